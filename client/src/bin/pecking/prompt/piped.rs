//! Lines from a pipe or a file: they run one after another, without a prompt.

use crate::failure::Failure;
use crate::prompt::repl::{ReplInput, ReplOutput};
use crate::prompt::terminal;
use common::limits::MAX_LINE;
use common::net::line_reader::LineReader;
use common::sys::thread;
use common::terminal::console::Console;
use crossbeam_channel::{Sender, bounded};
use std::io::{self, Read, Write};
use std::sync::OnceLock;

/// The transcript on standard output, what is wrong with a line on standard error.
#[derive(Debug)]
pub(crate) struct PipedOutput {
    console: Console,
    /// Why standard output takes nothing any more.
    closed: OnceLock<io::Error>,
}

impl PipedOutput {
    /// With the console of standard error.
    pub(crate) fn new(console: Console) -> PipedOutput {
        PipedOutput {
            console,
            closed: OnceLock::new(),
        }
    }

    /// Why standard output takes nothing any more, if that is so.
    pub(crate) fn into_closed(self) -> Option<io::Error> {
        self.closed.into_inner()
    }
}

impl ReplOutput for PipedOutput {
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

    fn has_room(&self) -> bool {
        true
    }

    fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    fn columns(&self) -> Option<usize> {
        terminal::columns()
    }
}

/// Reads standard input on a thread of its own, which is left behind where the program ends
/// before its input does: a read that blocks cannot be ended.
pub(crate) fn lines() -> Result<ReplInput, Failure> {
    let (into, lines) = bounded(1);
    let reading = move || read_lines(io::stdin().lock(), &into);
    thread::spawn("stdin", reading).map_err(Failure::NoThread)?;
    Ok(ReplInput {
        lines,
        handled: None,
        one_by_one: true,
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
    fn what_is_no_line_is_an_error() {
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
