//! The output of the command that `run` sent: the bytes of one target, or the lines of several with
//! their names. What this client says itself goes to standard error.

use crate::exit_code::ExitCode;
use crate::output::prefix::{LONGEST_LINE, NamedLines, Source, WholeLines};
use crate::output::render;
use crate::output::summary::Summary;
use client::{Leftovers, Outcome, OutputStream, SendEvent};
use common::terminal::escape::{Escaper, Keep};
use common::wire::text::whole_characters;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

/// Bytes that one write to standard output takes: as many as a pipe holds.
const BLOCK: usize = 64 << 10;

/// The one command that there is.
const SEND: u64 = 0;

/// Prints what comes of one send.
pub(crate) struct Printer<Out, Err> {
    stdout: Sink<Out>,
    stderr: Sink<Err>,
    /// The lines of several targets, if there are several.
    lines: Option<NamedLines>,
    targets: u32,
    summary: Summary,
    exit: ExitCode,
}

/// Prints to the streams of this process. Standard output is written in blocks: the standard
/// library writes it line by line, which costs a system call for each piece of text.
pub(crate) type OwnStreams = Printer<BufWriter<File>, io::Stderr>;

impl OwnStreams {
    /// A terminal gets no control characters, unless `raw` is set.
    pub(crate) fn to_own_streams(raw: bool) -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = io::stderr();
        let is_escaped = [stdout.is_terminal(), stderr.is_terminal()].map(|is| is && !raw);
        let stdout = BufWriter::with_capacity(BLOCK, stdout);
        Ok(Printer::new(
            Sink::new(stdout, is_escaped[0]),
            Sink::new(stderr, is_escaped[1]),
        ))
    }
}

impl<Out: Write, Err: Write> Printer<Out, Err> {
    fn new(stdout: Sink<Out>, stderr: Sink<Err>) -> Self {
        Printer {
            stdout,
            stderr,
            lines: None,
            targets: 1,
            summary: Summary::default(),
            exit: ExitCode::Done,
        }
    }

    /// The worst of what has ended so far.
    pub(crate) fn exit(&self) -> ExitCode {
        self.exit
    }

    /// Prints one event, or keeps it for [`flush`](Self::flush). Only standard output has errors.
    pub(crate) fn print(&mut self, event: &SendEvent) -> io::Result<()> {
        match event {
            SendEvent::Accepted { targets } => {
                self.targets = *targets;
                self.lines = (*targets > 1).then(|| NamedLines::new(LONGEST_LINE));
                Ok(())
            }
            SendEvent::Output(output) => {
                self.write(output.member, &output.name, output.stream, &output.bytes)
            }
            SendEvent::Outcome(outcome) => self.outcome(outcome),
            // After the loss of the server, lines are left that no outcome has ended.
            SendEvent::End(_) => self.finish(None),
            _ => Ok(()),
        }
    }

    /// Writes what was kept.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Says how it went at several targets, as the last line.
    pub(crate) fn sum_up(&mut self) {
        if self.targets > 1 {
            self.say(&self.summary.line(self.targets));
        }
    }

    /// Says something on standard error, on a line of its own.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = self.stderr.finish();
        let _ = writeln!(self.stderr.out, "{line}");
    }

    fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        if let Some(member) = outcome.member {
            let name = &outcome.target();
            self.write(member, name, OutputStream::Stdout, &outcome.stdout)?;
            self.write(member, name, OutputStream::Stderr, &outcome.stderr)?;
            self.finish(Some(member))?;
        }
        self.summary.add(outcome);
        let exit = ExitCode::of_outcome(outcome);
        self.exit = self.exit.max(exit);
        let has_left = outcome.leftovers != Leftovers::default();
        if exit != ExitCode::Done || outcome.truncated || has_left {
            self.stdout.flush()?;
            self.say(&render::outcome(outcome));
        }
        Ok(())
    }

    fn finish(&mut self, member: Option<u64>) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            let whole = lines.finish(SEND, member);
            self.write_whole(&whole)?;
        }
        self.stdout.finish()
    }

    fn write(
        &mut self,
        member: u64,
        name: &str,
        stream: OutputStream,
        bytes: &[u8],
    ) -> io::Result<()> {
        let is_stderr = stream == OutputStream::Stderr;
        let Some(lines) = &mut self.lines else {
            return match is_stderr {
                true => self.stderr.write_all(bytes).or(Ok(())),
                false => self.stdout.write_all(bytes),
            };
        };
        let source = Source {
            send: SEND,
            member,
            is_stderr,
        };
        let whole = lines.add(source, name, bytes);
        self.write_whole(&whole)
    }

    fn write_whole(&mut self, whole: &WholeLines) -> io::Result<()> {
        // As in `say`.
        let _ = self.stderr.write_all(&whole.stderr);
        self.stdout.write_all(&whole.stdout)
    }
}

/// One of the two streams. Bytes pass as they are, unless they are escaped for a terminal.
pub(crate) struct Sink<Out> {
    out: Out,
    /// What makes it safe, if it is a terminal.
    escaper: Option<Escaper>,
    /// The start of a character that is not complete yet.
    incomplete: Vec<u8>,
}

impl<Out: Write> Sink<Out> {
    fn new(out: Out, is_escaped: bool) -> Sink<Out> {
        Sink {
            out,
            escaper: is_escaped.then(|| Escaper::new(Keep::Layout)),
            incomplete: Vec::new(),
        }
    }

    /// Nothing comes that could complete a character.
    fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.incomplete);
        match rest.is_empty() {
            true => Ok(()),
            false => self.out.write_all("\u{fffd}".as_bytes()),
        }
    }
}

impl<Out: Write> Write for Sink<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(escaper) = &mut self.escaper else {
            self.out.write_all(bytes)?;
            return Ok(bytes.len());
        };
        self.incomplete.extend_from_slice(bytes);
        let rest = self
            .incomplete
            .split_off(whole_characters(&self.incomplete));
        let text = std::mem::replace(&mut self.incomplete, rest);
        let text = String::from_utf8_lossy(&text);
        self.out.write_all(escaper.escape(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Status;

    type TestPrinter = Printer<Vec<u8>, Vec<u8>>;

    fn printer(is_terminal: bool) -> TestPrinter {
        Printer::new(
            Sink::new(Vec::new(), is_terminal),
            Sink::new(Vec::new(), is_terminal),
        )
    }

    fn outcome(name: &str, stdout: &[u8], exit_code: i64) -> SendEvent {
        SendEvent::Outcome(Box::new(Outcome {
            member: Some(name.len() as u64),
            name: Some(name.into()),
            rank: Some(1),
            status: Status::Done,
            exit_code: Some(exit_code),
            signal: None,
            stdout: stdout.to_vec(),
            stderr: b"e\n".to_vec(),
            elapsed: None,
            truncated: false,
            leftovers: Leftovers::default(),
            message: None,
            started: None,
        }))
    }

    #[test]
    fn one_targets_bytes_pass_exactly() {
        let mut printer = printer(false);
        printer
            .print(&outcome("a", b"\xff\x00 no newline", 0))
            .expect("memory");
        assert_eq!(printer.stdout.out, b"\xff\x00 no newline");
        assert_eq!(printer.stderr.out, b"e\n");
        assert_eq!(printer.exit(), ExitCode::Done);
    }

    #[test]
    fn several_targets_lines_are_named() {
        let mut printer = printer(false);
        printer
            .print(&SendEvent::Accepted { targets: 2 })
            .expect("memory");
        printer.print(&outcome("a", b"x\ny", 0)).expect("memory");
        printer.print(&outcome("bb", b"z\n", 3)).expect("memory");
        assert_eq!(printer.stdout.out, b"a: x\na: y\nbb: z\n");
        let said = String::from_utf8(printer.stderr.out.clone()).expect("text");
        assert_eq!(said, "a: e\nbb: e\n[bb, rank 1] done, exit code 3\n");
        assert_eq!(printer.exit(), ExitCode::Failed);
    }

    #[test]
    fn a_terminal_gets_whole_characters_and_no_controls() {
        let mut sink = Sink::new(Vec::new(), true);
        for piece in [&b"a\x1b[2J\xc3"[..], b"\xa4\xff\xe6\x97", b"\xa5\n\xe6"] {
            sink.write_all(piece).expect("memory");
        }
        sink.finish().expect("memory");
        let shown = String::from_utf8(sink.out).expect("text");
        assert_eq!(shown, "a\\x1b[2Jä\u{fffd}日\n\u{fffd}");
    }
}
