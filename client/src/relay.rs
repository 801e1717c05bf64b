//! Where the outputs of a command go that `run` sent: to standard output and standard
//! error, byte by byte with one target, line by line and named with several. Everything
//! else that is to be said goes to standard error.

use crate::exit::Exit;
use crate::prefix::Prefixer;
use crate::render;
use crate::summary::Summary;
use client::{Leftovers, Outcome, OutputStream, SendEvent};
use common::escape::{Keep, escape};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

/// Bytes that are written to standard output at a time where there are so many: what a pipe
/// takes.
const BLOCK: usize = 64 << 10;

/// Prints what comes of one send.
pub(crate) struct Relay<Out, Err> {
    stdout: Sink<Out>,
    stderr: Sink<Err>,
    /// Each target's unfinished lines, where there are several targets.
    partial: HashMap<(u64, bool), Prefixer>,
    is_prefixed: bool,
    targets: u32,
    summary: Summary,
    exit: Exit,
}

/// Standard output by blocks, whatever is in them: the standard library's own is written line
/// by line, which costs a system call more for each piece of text.
pub(crate) type Blocks = BufWriter<File>;

impl Relay<Blocks, io::Stderr> {
    /// To this process's own two streams. What goes to a terminal is made safe for it.
    pub(crate) fn to_own_streams() -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = io::stderr();
        let is_terminal = (stdout.is_terminal(), stderr.is_terminal());
        let stdout = BufWriter::with_capacity(BLOCK, stdout);
        Ok(Relay::new(
            Sink::new(stdout, is_terminal.0 && !render::is_raw()),
            Sink::new(stderr, is_terminal.1 && !render::is_raw()),
        ))
    }
}

impl<Out: Write, Err: Write> Relay<Out, Err> {
    fn new(stdout: Sink<Out>, stderr: Sink<Err>) -> Self {
        Relay {
            stdout,
            stderr,
            partial: HashMap::new(),
            is_prefixed: false,
            targets: 1,
            summary: Summary::default(),
            exit: Exit::Done,
        }
    }

    /// The worst of what has ended so far.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints one event, or keeps it for [`flush`](Self::flush). An error is one of standard
    /// output: nobody reads it any more.
    pub(crate) fn print(&mut self, event: &SendEvent) -> io::Result<()> {
        match event {
            SendEvent::Accepted { targets } => {
                self.targets = *targets;
                self.is_prefixed = *targets > 1;
            }
            SendEvent::Output(output) => {
                self.write(output.member, &output.name, output.stream, &output.bytes)?;
            }
            SendEvent::Outcome(outcome) => self.outcome(outcome)?,
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
        let exit = Exit::of_outcome(outcome);
        self.exit = self.exit.max(exit);
        let has_left = outcome.leftovers != Leftovers::default();
        if exit != Exit::Done || outcome.truncated || has_left {
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
        if let Some(mut rest) = self.partial.remove(&(member, false)) {
            rest.finish(&mut self.stdout)?;
        }
        if let Some(mut rest) = self.partial.remove(&(member, true)) {
            let _ = rest.finish(&mut self.stderr);
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
        let is_stderr = stream == OutputStream::Stderr;
        if !self.is_prefixed {
            return match is_stderr {
                true => self.stderr.write_all(bytes).or(Ok(())),
                false => self.stdout.write_all(bytes),
            };
        }
        let partial = self.partial.entry((member, is_stderr));
        let prefixer = partial.or_insert_with(|| Prefixer::new(name));
        match is_stderr {
            true => prefixer.write(bytes, &mut self.stderr).or(Ok(())),
            false => prefixer.write(bytes, &mut self.stdout),
        }
    }
}

/// One of the two streams. Bytes pass as they are, unless it is a terminal.
pub(crate) struct Sink<Out> {
    out: Out,
    is_terminal: bool,
    /// The start of a character whose end has not come yet.
    incomplete: Vec<u8>,
}

impl<Out: Write> Sink<Out> {
    fn new(out: Out, is_terminal: bool) -> Sink<Out> {
        Sink {
            out,
            is_terminal,
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

    fn write_safely(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.incomplete.extend_from_slice(bytes);
        let end = complete(&self.incomplete);
        let rest = self.incomplete.split_off(end);
        let text = std::mem::replace(&mut self.incomplete, rest);
        let text = String::from_utf8_lossy(&text);
        let safe = escape(&text, Keep::Layout);
        self.out.write_all(safe.as_bytes())
    }
}

impl<Out: Write> Write for Sink<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.is_terminal {
            true => self.write_safely(bytes)?,
            false => self.out.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How many of the bytes come before a character that is not complete yet.
fn complete(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match std::str::from_utf8(&bytes[at..]) {
            Ok(_) => return bytes.len(),
            Err(e) => match e.error_len() {
                // Only an end that is too early has no length; the rest is decided.
                None => return at + e.valid_up_to(),
                Some(len) => at += e.valid_up_to() + len,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Status;

    type TestRelay = Relay<Vec<u8>, Vec<u8>>;

    fn relay(is_terminal: bool) -> TestRelay {
        Relay::new(
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
        let mut relay = relay(false);
        relay
            .print(&outcome("a", b"\xff\x00 no newline", 0))
            .expect("memory");
        assert_eq!(relay.stdout.out, b"\xff\x00 no newline");
        assert_eq!(relay.stderr.out, b"e\n");
        assert_eq!(relay.exit(), Exit::Done);
    }

    #[test]
    fn several_targets_lines_are_named() {
        let mut relay = relay(false);
        relay
            .print(&SendEvent::Accepted { targets: 2 })
            .expect("memory");
        relay.print(&outcome("a", b"x\ny", 0)).expect("memory");
        relay.print(&outcome("bb", b"z\n", 3)).expect("memory");
        assert_eq!(relay.stdout.out, b"a: x\na: y\nbb: z\n");
        let said = String::from_utf8(relay.stderr.out.clone()).expect("text");
        assert_eq!(said, "a: e\nbb: e\n[bb, rank 1] done, exit code 3\n");
        assert_eq!(relay.exit(), Exit::Failed);
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
