//! Where the outputs of a command go that `run` sent: to standard output and standard
//! error, byte by byte with one target, line by line and named with several. Everything
//! else that is to be said goes to standard error.

use crate::exit_code::ExitCode;
use crate::output::prefix::{LONGEST_LINE, NamedLines, Source};
use crate::output::render;
use crate::output::summary::Summary;
use client::{Leftovers, Outcome, OutputStream, SendEvent};
use common::terminal::escape::{Escaper, Keep};
use common::wire::text::whole_characters;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

/// Bytes that are written to standard output at a time where there are so many: what a pipe
/// takes.
const BLOCK: usize = 64 << 10;

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

/// Standard output by blocks, whatever is in them: the standard library's own is written line
/// by line, which costs a system call more for each piece of text.
pub(crate) type Blocks = BufWriter<File>;

impl Printer<Blocks, io::Stderr> {
    /// To this process's own two streams. What goes to a terminal is made safe for it.
    pub(crate) fn to_own_streams() -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = io::stderr();
        let is_terminal = (stdout.is_terminal(), stderr.is_terminal());
        let stdout = BufWriter::with_capacity(BLOCK, stdout);
        Ok(Printer::new(
            Sink::new(stdout, is_terminal.0 && !render::is_raw()),
            Sink::new(stderr, is_terminal.1 && !render::is_raw()),
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

    /// Prints one event, or keeps it for [`flush`](Self::flush). An error is one of standard
    /// output: nobody reads it any more.
    pub(crate) fn print(&mut self, event: &SendEvent) -> io::Result<()> {
        match event {
            SendEvent::Accepted { targets } => {
                self.targets = *targets;
                self.lines = (*targets > 1).then(|| NamedLines::new(LONGEST_LINE));
            }
            SendEvent::Output(output) => {
                self.write(output.member, &output.name, output.stream, &output.bytes)?;
            }
            SendEvent::Outcome(outcome) => self.outcome(outcome)?,
            // Where the server went, lines are left that no outcome has ended.
            SendEvent::End(_) => self.end()?,
            _ => {}
        }
        Ok(())
    }

    /// Writes what was kept.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        if let Some(member) = outcome.member {
            self.rest(member, outcome)?;
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

    /// Says how it went at several targets, as the last line.
    pub(crate) fn sum_up(&mut self) {
        if self.targets > 1 {
            self.say(&self.summary.line(self.targets));
        }
    }

    /// What a target wrote and was not told before.
    fn rest(&mut self, member: u64, outcome: &Outcome) -> io::Result<()> {
        let name = &outcome.target();
        self.write(member, name, OutputStream::Stdout, &outcome.stdout)?;
        self.write(member, name, OutputStream::Stderr, &outcome.stderr)?;
        if let Some(lines) = &mut self.lines {
            for is_stderr in [false, true] {
                let source = source(member, is_stderr);
                lines.finish(source, writer(&mut self.stdout, &mut self.stderr))?;
            }
        }
        self.stdout.finish()
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            lines.finish_all(SEND, writer(&mut self.stdout, &mut self.stderr))?;
        }
        self.stdout.finish()
    }

    /// Says something on standard error, on a line of its own.
    pub(crate) fn say(&mut self, line: &str) {
        // Where standard error is closed there is nobody to tell.
        let _ = self.stderr.finish();
        let _ = writeln!(self.stderr.out, "{line}");
    }

    fn write(
        &mut self,
        member: u64,
        name: &str,
        stream: OutputStream,
        bytes: &[u8],
    ) -> io::Result<()> {
        let source = source(member, stream == OutputStream::Stderr);
        let mut write = writer(&mut self.stdout, &mut self.stderr);
        match &mut self.lines {
            Some(lines) => lines.add(source, name, bytes, write),
            None => write(source, bytes),
        }
    }
}

/// The one command that there is.
const SEND: u64 = 0;

fn source(member: u64, is_stderr: bool) -> Source {
    Source {
        send: SEND,
        member,
        is_stderr,
    }
}

/// Writes to one stream or the other. Where standard error is closed there is nobody to tell.
fn writer<Out: Write, Err: Write>(
    stdout: &mut Sink<Out>,
    stderr: &mut Sink<Err>,
) -> impl FnMut(Source, &[u8]) -> io::Result<()> {
    |source, bytes| match source.is_stderr {
        true => stderr.write_all(bytes).or(Ok(())),
        false => stdout.write_all(bytes),
    }
}

/// One of the two streams. Bytes pass as they are, unless it is a terminal.
pub(crate) struct Sink<Out> {
    out: Out,
    /// What makes it safe, if it is a terminal.
    escaper: Option<Escaper>,
    /// The start of a character whose end has not come yet.
    incomplete: Vec<u8>,
}

impl<Out: Write> Sink<Out> {
    fn new(out: Out, is_terminal: bool) -> Sink<Out> {
        Sink {
            out,
            escaper: is_terminal.then(|| Escaper::new(Keep::Layout)),
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
