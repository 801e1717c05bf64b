//! Lines from a pipe or a file: they run one after another, without a prompt.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::prompt::repl::{Repl, ReplEnd, ReplInput, ReplOutput};
use crate::settings::Settings;
use common::limits::MAX_LINE;
use common::net::line_reader::LineReader;
use common::sys::thread;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::{Sender, bounded, never};
use std::io::{self, Read, Write};
use std::sync::OnceLock;

/// Runs the lines of standard input. Of all exit codes the worst counts.
pub(crate) fn run(settings: &Settings, console: &Console) -> Result<ExitCode, Failure> {
    let (client, signals) = settings.join(console)?;
    let output = PipedOutput {
        console,
        closed: OnceLock::new(),
    };
    let mut repl = Repl::new(&client, &output, settings.raw);
    repl.greet();
    let end = repl.run(&lines()?, &signals);
    let worst = repl.worst;
    if let ReplEnd::ServerGone(reason) = &end {
        let reason = reason.to_string();
        console.say(&format!("the server is gone: {}", one_line(&reason)));
    }
    client.leave();
    Ok(match end {
        ReplEnd::ServerGone(_) => worst.max(ExitCode::NotConnected),
        ReplEnd::Interrupted => ExitCode::Interrupted,
        ReplEnd::Quit | ReplEnd::NoMoreLines => worst,
        ReplEnd::OutputClosed => match output.closed.into_inner() {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::Output(e)),
            _ => ExitCode::Unread,
        },
    })
}

/// The transcript on standard output, what is wrong with a line on standard error.
struct PipedOutput<'a> {
    console: &'a Console,
    /// Why standard output takes nothing any more.
    closed: OnceLock<io::Error>,
}

impl ReplOutput for PipedOutput<'_> {
    fn show(&self, text: &str) {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(e) = written {
            let _ = self.closed.set(e);
        }
    }

    fn complain(&self, text: &str) {
        self.console.say(&format!("error: {text}"));
    }

    fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }
}

/// Reads standard input on a thread of its own. If the program ends first, it leaves the thread
/// behind: no call ends a read that blocks.
fn lines() -> Result<ReplInput, Failure> {
    let (into, lines) = bounded(1);
    let reading = move || read_lines(io::stdin().lock(), &into);
    thread::spawn("stdin", reading).map_err(Failure::NoThread)?;
    Ok(ReplInput {
        lines,
        handled: None,
        one_by_one: true,
        asks: never(),
    })
}

fn read_lines(input: impl Read, lines: &Sender<Result<String, String>>) {
    // A last line that lacks its end is a line all the same.
    let mut input = input.chain(&b"\n"[..]);
    let mut reader = LineReader::new(MAX_LINE);
    loop {
        match reader.next_line() {
            Ok(Some(line)) => {
                let line = std::str::from_utf8(line).map(str::to_owned);
                let line = line.map_err(|_| "a line is not UTF-8".to_owned());
                if lines.send(line).is_err() {
                    return;
                }
            }
            Ok(None) => match reader.fill(&mut input) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) => {
                    let _ = lines.send(Err(format!("standard input cannot be read: {e}")));
                    return;
                }
            },
            Err(e) => {
                // Where the next line starts is not known.
                let _ = lines.send(Err(e.to_string()));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Vec<Result<String, String>> {
        let (into, lines) = bounded(100);
        read_lines(input, &into);
        drop(into);
        lines.iter().collect()
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let lines = [Ok("a".to_owned()), Ok("b c".to_owned())];
        assert_eq!(read(b"a\nb c")[..], lines);
        assert_eq!(read(b"a\r\nb c\n")[..2], lines);
    }

    #[test]
    fn input_that_is_no_line_is_an_error() {
        let lines = read(b"\xff\nok\n");
        assert!(lines[0].is_err() && lines[1].is_ok());
        let endless = vec![b'x'; MAX_LINE + 1];
        assert!(
            read(&endless)[0]
                .as_ref()
                .is_err_and(|e| e.contains("1048576"))
        );
    }
}
