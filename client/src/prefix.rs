//! The output of several targets on one stream: whole lines only, each with its
//! target's name in front.

use std::io::{self, Write};

/// A line that is longer is broken there, so that a target that never ends one neither
/// holds back what it writes nor fills the memory.
const LONGEST_LINE: usize = 64 << 10;

/// Collects one target's bytes until a line is whole.
#[derive(Debug)]
pub(crate) struct Prefixer {
    prefix: Vec<u8>,
    partial: Vec<u8>,
}

impl Prefixer {
    pub(crate) fn new(name: &str) -> Prefixer {
        Prefixer {
            prefix: format!("{name}: ").into_bytes(),
            partial: Vec::new(),
        }
    }

    /// Takes bytes and writes the lines that are whole now.
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for chunk in piece.chunks(LONGEST_LINE) {
                self.add(chunk, out)?;
            }
        }
        Ok(())
    }

    /// Adds at most one line's worth of bytes, without a line end but as its last.
    fn add(&mut self, mut chunk: &[u8], out: &mut impl Write) -> io::Result<()> {
        let room = LONGEST_LINE - self.partial.len();
        let content = chunk.strip_suffix(b"\n").unwrap_or(chunk);
        if content.len() > room {
            self.partial.extend_from_slice(&content[..room]);
            chunk = &chunk[room..];
            self.finish(out)?;
        }
        self.partial.extend_from_slice(chunk);
        match self.partial.ends_with(b"\n") {
            true => self.write_line(out),
            false => Ok(()),
        }
    }

    /// Writes what is left, as a line of its own.
    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.partial.is_empty() {
            return Ok(());
        }
        self.partial.push(b'\n');
        self.write_line(out)
    }

    fn write_line(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.prefix)?;
        out.write_all(&self.partial)?;
        self.partial.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefixed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut prefixer = Prefixer::new("a");
        let mut out = Vec::new();
        for piece in pieces {
            prefixer.write(piece, &mut out).expect("memory");
        }
        prefixer.finish(&mut out).expect("memory");
        out
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        assert_eq!(prefixed(&[b"x\ny", b"z\n"]), b"a: x\na: yz\n");
        assert_eq!(prefixed(&[b"x\n\n", b"y"]), b"a: x\na: \na: y\n");
        assert_eq!(prefixed(&[b"", b""]), b"");
    }

    #[test]
    fn an_endless_line_is_broken_and_nothing_lost() {
        let exactly = [vec![b'x'; LONGEST_LINE], vec![b'\n']].concat();
        assert_eq!(prefixed(&[&exactly]), [b"a: ", &exactly[..]].concat());
        let long = vec![b'x'; LONGEST_LINE * 3 + 5];
        let out = prefixed(&[&long[..10], &long[10..]]);
        assert_eq!(out.iter().filter(|b| **b == b'x').count(), long.len());
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 4);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[a\n]{0,60}", at in 0usize..60) {
            let (left, right) = text.as_bytes().split_at(at.min(text.len()));
            prop_assert_eq!(prefixed(&[left, right]), prefixed(&[text.as_bytes()]));
        }
    }
}
