//! The output of several targets in one place: whole lines only, each with its target's name
//! in front.
//!
//! What a line lacks its end is held here, and its target is told all the same that it was
//! consumed: a target's share of the window may be smaller than its line. So what is held has
//! bounds of its own, for each line and for all of them together.

use common::terminal::escape::one_line;
use common::wire::text::whole_characters;
use memchr::memchr;
use std::collections::BTreeMap;
use std::io;

/// A longer line of one of several targets is cut: as long as a line of the wire may be.
pub(crate) const LONGEST_LINE: usize = 1 << 20;

/// Bytes of unfinished lines that are held, of all targets together: the longest line of 64 of
/// them. Past it the longest one is cut. The memory that holds them is at most twice that.
const MOST_HELD: usize = 64 << 20;

/// What stands between a name and the rest of a line that was cut.
const CONTINUED: &str = " (continued)";

/// Where output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The command that was sent.
    pub(crate) send: u64,
    /// The number of the target.
    pub(crate) member: u64,
    /// Whether the target wrote it as errors.
    pub(crate) is_stderr: bool,
}

/// Collects the bytes of each source until a line is whole.
#[derive(Debug)]
pub(crate) struct NamedLines {
    /// The bytes after which a line is cut.
    longest: usize,
    /// How much is held of all lines.
    most: usize,
    held: usize,
    unfinished: BTreeMap<Source, Unfinished>,
}

/// The line of a source that has not ended.
#[derive(Debug)]
struct Unfinished {
    name: String,
    bytes: Vec<u8>,
    /// Whether the start of the line was written already.
    is_continued: bool,
}

impl NamedLines {
    /// Cuts lines that are longer than this, in bytes.
    pub(crate) fn new(longest: usize) -> NamedLines {
        NamedLines {
            longest,
            most: MOST_HELD,
            held: 0,
            unfinished: BTreeMap::new(),
        }
    }

    /// Takes bytes of a source, and has the lines written that are whole now or too long. They
    /// may be another source's: the longest line is cut when too much is held.
    pub(crate) fn add(
        &mut self,
        source: Source,
        name: &str,
        bytes: &[u8],
        mut write: impl FnMut(Source, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let line = self.unfinished.entry(source);
        let line = line.or_insert_with(|| Unfinished::new(name));
        let before = line.bytes.len();
        let mut whole = Vec::new();
        line.add(bytes, self.longest, &mut whole);
        self.held = self.held + line.bytes.len() - before;
        if !whole.is_empty() {
            write(source, &whole)?;
        }
        while self.held > self.most {
            self.cut_longest(&mut write)?;
        }
        Ok(())
    }

    fn cut_longest(
        &mut self,
        write: &mut impl FnMut(Source, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let lines = self.unfinished.iter_mut();
        let Some((source, line)) = lines.max_by_key(|(_, line)| line.bytes.len()) else {
            self.held = 0;
            return Ok(());
        };
        let before = line.bytes.len();
        let mut cut = Vec::new();
        line.cut(&mut cut);
        self.held = self.held + line.bytes.len() - before;
        write(*source, &cut)
    }

    /// Has what is left of a source written, as a line of its own.
    pub(crate) fn finish(
        &mut self,
        source: Source,
        mut write: impl FnMut(Source, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.unfinished.remove(&source) {
            Some(mut line) if !line.bytes.is_empty() => {
                self.held -= line.bytes.len();
                let mut rest = Vec::new();
                line.end(&[], &mut rest);
                write(source, &rest)
            }
            _ => Ok(()),
        }
    }

    /// [`finish`](Self::finish) for every source of a command.
    pub(crate) fn finish_all(
        &mut self,
        send: u64,
        mut write: impl FnMut(Source, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let sources = self.unfinished.keys().copied();
        let sources: Vec<Source> = sources.filter(|source| source.send == send).collect();
        let mut finish = |source| self.finish(source, &mut write);
        sources.into_iter().try_for_each(&mut finish)
    }
}

impl Unfinished {
    fn new(name: &str) -> Unfinished {
        Unfinished {
            name: one_line(name).into_owned(),
            bytes: Vec::new(),
            is_continued: false,
        }
    }

    /// Adds bytes, and moves to `whole` what is whole then or too long.
    fn add(&mut self, mut bytes: &[u8], longest: usize, whole: &mut Vec<u8>) {
        loop {
            let end = memchr(b'\n', bytes);
            let content = &bytes[..end.unwrap_or(bytes.len())];
            let room = longest - self.bytes.len();
            if content.len() > room {
                self.bytes.extend_from_slice(&content[..room]);
                self.cut(whole);
                bytes = &bytes[room..];
                continue;
            }
            let Some(end) = end else {
                self.bytes.extend_from_slice(content);
                return;
            };
            self.end(content, whole);
            bytes = &bytes[end + 1..];
        }
    }

    /// Ends the line with this as its last bytes.
    fn end(&mut self, last: &[u8], whole: &mut Vec<u8>) {
        let marked = if self.is_continued { CONTINUED } else { "" };
        whole.extend_from_slice(self.name.as_bytes());
        whole.extend_from_slice(marked.as_bytes());
        whole.extend_from_slice(b": ");
        whole.extend_from_slice(&self.bytes);
        whole.extend_from_slice(last);
        whole.push(b'\n');
        self.bytes = Vec::new();
        self.is_continued = false;
    }

    /// Ends the line behind its last whole character; the rest is marked as continued.
    fn cut(&mut self, whole: &mut Vec<u8>) {
        let end = match whole_characters(&self.bytes) {
            0 => self.bytes.len(),
            end => end,
        };
        let rest = self.bytes.split_off(end);
        self.end(&[], whole);
        self.bytes = rest;
        self.is_continued = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Source = Source {
        send: 1,
        member: 1,
        is_stderr: false,
    };

    /// What is written of the pieces of some sources, and how much is held at the end.
    fn written(lines: &mut NamedLines, pieces: &[(Source, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (source, piece) in pieces {
            let name = char::from(b'a' + source.member as u8 - 1).to_string();
            let added = lines.add(*source, &name, piece, |_, line| {
                out.extend_from_slice(line);
                Ok(())
            });
            added.expect("memory");
        }
        out
    }

    fn prefixed(longest: usize, pieces: &[&[u8]]) -> Vec<u8> {
        let mut lines = NamedLines::new(longest);
        let pieces: Vec<_> = pieces.iter().map(|piece| (A, *piece)).collect();
        let mut out = written(&mut lines, &pieces);
        let finished = lines.finish_all(A.send, |_, line| {
            out.extend_from_slice(line);
            Ok(())
        });
        finished.expect("memory");
        assert_eq!(lines.held, 0);
        out
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let prefixed = |pieces: &[&[u8]]| prefixed(LONGEST_LINE, pieces);
        assert_eq!(prefixed(&[b"x\ny", b"z\n"]), b"a: x\na: yz\n");
        assert_eq!(prefixed(&[b"x\n\n", b"y"]), b"a: x\na: \na: y\n");
        assert_eq!(prefixed(&[b"", b""]), b"");
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_marked() {
        let shown = |pieces: &[&[u8]]| prefixed(4, pieces);
        assert_eq!(shown(&[b"1234\n"]), b"a: 1234\n");
        assert_eq!(shown(&[b"12345\n6"]), b"a: 1234\na (continued): 5\na: 6\n");
        let euros = "\u{20ac}\u{20ac}".as_bytes();
        let cut = "a: \u{20ac}\na (continued): \u{20ac}\n".as_bytes();
        assert_eq!(shown(&[euros]), cut);
        assert_eq!(shown(&[&euros[..4], &euros[4..]]), cut);
        // What is no text is cut anywhere.
        assert_eq!(
            shown(&[b"\x80\x80\x80\x80\xff"]),
            b"a: \x80\x80\x80\x80\na (continued): \xff\n"
        );
    }

    #[test]
    fn past_what_is_held_in_all_the_longest_line_is_cut() {
        let mut lines = NamedLines::new(LONGEST_LINE);
        let source = |member: u64| Source {
            member,
            is_stderr: member == 3,
            ..A
        };
        // One line is longer than the others, which fill up what may be held.
        let long = [vec![b'x'; LONGEST_LINE - 4], "\u{20ac}".into()].concat();
        let other = vec![b'y'; LONGEST_LINE - 4096];
        let mut pieces = vec![(source(3), &long[..LONGEST_LINE - 2])];
        pieces.extend((4..67).map(|member| (source(member), &other[..])));
        let room = MOST_HELD - (LONGEST_LINE - 2) - 63 * other.len();
        pieces.push((source(1), &other[..room]));
        assert_eq!(written(&mut lines, &pieces), b"");
        assert_eq!(lines.held, MOST_HELD);
        let mut cut = Vec::new();
        let added = lines.add(source(2), "b", b"z", |source, line| {
            cut.push((source, line.to_vec()));
            Ok(())
        });
        added.expect("memory");
        let expected = [b"c: ", &long[..LONGEST_LINE - 4], b"\n"].concat();
        assert!(cut == [(source(3), expected)]);
        let rest = written(
            &mut lines,
            &[(source(3), &long[LONGEST_LINE - 2..]), (source(3), b"\n")],
        );
        assert_eq!(rest, "c (continued): \u{20ac}\n".as_bytes());
        let held: usize = lines.unfinished.values().map(|line| line.bytes.len()).sum();
        assert!(held == lines.held && held < MOST_HELD);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[a€\n]{0,60}", at in 0usize..60, longest in 4usize..20) {
            let (left, right) = text.as_bytes().split_at(at.min(text.len()));
            prop_assert_eq!(prefixed(longest, &[left, right]), prefixed(longest, &[text.as_bytes()]));
        }
    }
}
