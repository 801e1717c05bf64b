//! Where a run writes: its two streams, and the progress line between them.

use crate::output::progress::{Part, Progress};
use crate::output::stream::{Look, Stream};
use client::OutputStream;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::os::fd::AsFd;

/// Bytes that one write to standard output takes: as many as a pipe holds.
const BLOCK: usize = 64 << 10;

pub(crate) struct Screen {
    stdout: Stream,
    stderr: Stream,
    /// The progress line, which is not there while anything else is written to a terminal.
    pub(crate) progress: Progress,
    /// Whether only errors are said.
    pub(crate) is_quiet: bool,
}

impl Screen {
    /// The streams of this process. Standard output is written in blocks: the standard library
    /// writes it line by line, which costs a system call for each piece of text. `colours`: whether
    /// there are any; `None`: at a terminal. `raw`: control characters of other clients reach a
    /// terminal.
    pub(crate) fn own(
        colours: Option<bool>,
        raw: bool,
        is_quiet: bool,
        progress: Progress,
    ) -> io::Result<Screen> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = io::stderr();
        let look = |is_terminal: bool| Look {
            is_escaped: is_terminal && !raw,
            is_coloured: colours.unwrap_or(is_terminal),
        };
        let are_terminals = (stdout.is_terminal(), stderr.is_terminal());
        let stdout = BufWriter::with_capacity(BLOCK, stdout);
        Ok(Screen {
            stdout: Stream::new(stdout, are_terminals.0, look(are_terminals.0)),
            stderr: Stream::new(stderr, are_terminals.1, look(are_terminals.1)),
            progress,
            is_quiet,
        })
    }

    /// How text of other clients looks on standard output and on standard error.
    pub(crate) fn looks(&self) -> [Look; 2] {
        [self.stdout.look, self.stderr.look]
    }

    /// Writes bytes of another client. Only standard output has errors.
    pub(crate) fn write(&mut self, stream: OutputStream, bytes: &[u8]) -> io::Result<()> {
        self.clear_for(stream);
        match stream {
            OutputStream::Stdout => self.stdout.write(bytes),
            OutputStream::Stderr => self.stderr.write(bytes).or(Ok(())),
        }
    }

    /// Writes text that is safe, or escaped already. Only standard output has errors.
    pub(crate) fn write_own(&mut self, stream: OutputStream, bytes: &[u8]) -> io::Result<()> {
        self.clear_for(stream);
        match stream {
            OutputStream::Stdout => self.stdout.write_own(bytes),
            OutputStream::Stderr => self.stderr.write_own(bytes).or(Ok(())),
        }
    }

    /// Ends the line of a stream, if it has none ended.
    pub(crate) fn end_line(&mut self, stream: OutputStream) -> io::Result<()> {
        match stream {
            OutputStream::Stdout => self.stdout.end_line(),
            OutputStream::Stderr => self.stderr.end_line().or(Ok(())),
        }
    }

    /// Nothing comes that could complete a character on standard output.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stdout.finish()
    }

    /// Writes what was kept.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Makes room for a stream that is the terminal of the progress line too.
    fn clear_for(&self, stream: OutputStream) {
        if stream == OutputStream::Stderr || self.stdout.is_terminal {
            self.progress.shown.hide();
        }
    }

    /// Draws the progress line, unless a line of output has not ended.
    pub(crate) fn draw(&mut self, part: Part, text: String) -> io::Result<()> {
        self.flush()?;
        if self.stdout.is_at_line_start() && self.stderr.is_at_line_start() {
            self.progress.draw(part, text);
        } else {
            self.progress.put_off();
        }
        Ok(())
    }

    /// Says something on standard error, on a line of its own.
    pub(crate) fn say(&mut self, line: &str) {
        self.clear_for(OutputStream::Stderr);
        if self.stdout.is_terminal && self.stderr.is_terminal {
            let ended = self.stdout.end_line();
            let _ = ended.and_then(|()| self.stdout.flush());
        }
        let _ = self.stderr.finish();
        let _ = self.stderr.write_own(format!("{line}\n").as_bytes());
    }

    /// Says something that is no error.
    pub(crate) fn note(&mut self, line: &str) {
        if !self.is_quiet {
            self.say(line);
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A screen whose streams are kept.

    use super::*;
    use common::sys::sync::{Arc, Mutex, lock};
    use std::io::Write;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) struct TestScreen {
        pub(crate) screen: Screen,
        kept: [Kept; 2],
    }

    impl TestScreen {
        pub(crate) fn new(look: Look) -> TestScreen {
            let kept = [Kept::default(), Kept::default()];
            let stream = |kept: &Kept| Stream::new(kept.clone(), look.is_escaped, look);
            TestScreen {
                screen: Screen {
                    stdout: stream(&kept[0]),
                    stderr: stream(&kept[1]),
                    progress: Progress::new(false),
                    is_quiet: false,
                },
                kept,
            }
        }

        pub(crate) fn stdout(&self) -> Vec<u8> {
            lock(&self.kept[0].0).clone()
        }

        pub(crate) fn stderr(&self) -> String {
            String::from_utf8(lock(&self.kept[1].0).clone()).expect("text")
        }
    }
}
