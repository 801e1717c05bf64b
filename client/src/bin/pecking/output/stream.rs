//! One of the two streams that a run writes to. Bytes of other clients pass as they are, unless they
//! are escaped for a terminal.

use common::terminal::escape::{Escaper, Keep};
use common::wire::text::whole_characters;
use std::io::{self, Write};

/// A stream of this process, or what stands for it in a test.
pub(crate) struct Stream {
    out: Box<dyn Write + Send>,
    pub(crate) look: Look,
    pub(crate) is_terminal: bool,
    /// The state of escaping a text that comes in pieces.
    escaper: Escaper,
    /// The start of a character that is not complete yet.
    incomplete: Vec<u8>,
    /// Whether what was written last ended a line.
    is_at_line_start: bool,
}

/// How text of other clients looks on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether control characters are shown as escapes.
    pub(crate) is_escaped: bool,
    /// Whether there are colours.
    pub(crate) is_coloured: bool,
}

impl Stream {
    pub(crate) fn new(out: impl Write + Send + 'static, is_terminal: bool, look: Look) -> Stream {
        Stream {
            out: Box::new(out),
            look,
            is_terminal,
            escaper: Escaper::new(Keep::Layout),
            incomplete: Vec::new(),
            is_at_line_start: true,
        }
    }

    /// Whether a line may begin here, as far as anything shows.
    pub(crate) fn is_at_line_start(&self) -> bool {
        self.is_at_line_start || !self.is_terminal
    }

    /// Writes bytes of another client, whole characters of them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.look.is_escaped {
            return self.write_own(bytes);
        }
        self.incomplete.extend_from_slice(bytes);
        let rest = self
            .incomplete
            .split_off(whole_characters(&self.incomplete));
        let text = std::mem::replace(&mut self.incomplete, rest);
        let text = String::from_utf8_lossy(&text);
        let escaped = self.escaper.escape(&text).into_owned();
        self.write_own(escaped.as_bytes())
    }

    /// Writes text that is safe.
    pub(crate) fn write_own(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.is_at_line_start = *last == b'\n';
        }
        self.out.write_all(bytes)
    }

    /// Nothing comes that could complete a character.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.incomplete);
        match rest.is_empty() {
            true => Ok(()),
            false => self.write_own("\u{fffd}".as_bytes()),
        }
    }

    /// Ends the line, if what was written last did not.
    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        self.finish()?;
        match self.is_at_line_start {
            true => Ok(()),
            false => self.write_own(b"\n"),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
