//! The output of several targets in one place: whole lines only, each with the name of its target.
//!
//! The start of a line waits here for its end. It counts as consumed, as the target's share of the
//! window may be smaller than its line. So there are bounds for each line and for all together.

use crate::output::colour;
use crate::output::report::Piece;
use crate::output::stream::Look;
use client::OutputStream;
use common::terminal::escape::{Keep, escape, one_line};
use common::wire::text::whole_characters;
use memchr::memchr;
use std::collections::BTreeMap;

/// Bytes after which a line of one of several targets is cut: as many as a line of the wire has.
pub(crate) const LONGEST_LINE: usize = 1 << 20;

/// Bytes of unfinished lines that are held for all targets together: the longest lines of 64 of
/// them. Past it the longest one is cut. The memory that holds them is at most twice that.
const MOST_HELD: usize = 64 << 20;

/// What stands between a name and the rest of a line that was cut.
const CONTINUED: &str = " (continued)";

/// Where output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) send: u64,
    pub(crate) member: u64,
    pub(crate) is_stderr: bool,
}

/// Collects the bytes of each source until a line is whole.
#[derive(Debug)]
pub(crate) struct NamedLines {
    /// The bytes after which a line is cut.
    longest: usize,
    /// How the lines look on standard output and on standard error.
    looks: [Look; 2],
    held: usize,
    unfinished: BTreeMap<Source, Unfinished>,
}

/// Whole lines with their names, for each of the two streams.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WholeLines {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// The line of a source that has not ended.
#[derive(Debug)]
struct Unfinished {
    name: String,
    look: Look,
    bytes: Vec<u8>,
    /// Whether the start of the line was written already.
    is_continued: bool,
}

impl NamedLines {
    /// Cuts lines that are longer than this, in bytes. They look so on standard output and on standard
    /// error.
    pub(crate) fn new(longest: usize, looks: [Look; 2]) -> NamedLines {
        NamedLines {
            longest,
            looks,
            held: 0,
            unfinished: BTreeMap::new(),
        }
    }

    /// Takes bytes of a source, and returns the lines that are now whole or too long. Lines of
    /// other sources may be among them: if too much is held, the longest line is cut.
    pub(crate) fn add(&mut self, source: Source, name: &str, bytes: &[u8]) -> WholeLines {
        let mut whole = WholeLines::default();
        let line = self.unfinished.entry(source);
        let look = self.looks[usize::from(source.is_stderr)];
        let line = line.or_insert_with(|| Unfinished {
            name: one_line(name).into_owned(),
            look,
            bytes: Vec::new(),
            is_continued: false,
        });
        let before = line.bytes.len();
        line.add(bytes, self.longest, whole.of(source));
        self.held = self.held + line.bytes.len() - before;
        while self.held > MOST_HELD {
            let lines = self.unfinished.iter_mut();
            let Some((source, line)) = lines.max_by_key(|(_, line)| line.bytes.len()) else {
                break;
            };
            let before = line.bytes.len();
            line.cut(whole.of(*source));
            self.held = self.held + line.bytes.len() - before;
        }
        whole
    }

    /// Ends the unfinished lines of a command, of one of its targets or of all.
    pub(crate) fn finish(&mut self, send: u64, member: Option<u64>) -> WholeLines {
        let source = |member, is_stderr| Source {
            send,
            member,
            is_stderr,
        };
        let (first, last) = member.map_or((0, u64::MAX), |member| (member, member));
        let sources = self
            .unfinished
            .range(source(first, false)..=source(last, true));
        let sources: Vec<Source> = sources.map(|(source, _)| *source).collect();
        let mut whole = WholeLines::default();
        for source in sources {
            if let Some(mut line) = self.unfinished.remove(&source)
                && !line.bytes.is_empty()
            {
                self.held -= line.bytes.len();
                line.end(&[], whole.of(source));
            }
        }
        whole
    }
}

impl Source {
    /// Where a piece of a send's output comes from.
    pub(crate) fn of(send: u64, piece: &Piece<'_>) -> Source {
        Source {
            send,
            member: piece.member,
            is_stderr: piece.stream == OutputStream::Stderr,
        }
    }
}

impl WholeLines {
    /// Adds lines that come after these.
    pub(crate) fn extend(&mut self, more: &WholeLines) {
        self.stdout.extend_from_slice(&more.stdout);
        self.stderr.extend_from_slice(&more.stderr);
    }

    fn of(&mut self, source: Source) -> &mut Vec<u8> {
        match source.is_stderr {
            true => &mut self.stderr,
            false => &mut self.stdout,
        }
    }
}

impl Unfinished {
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

    fn end(&mut self, last: &[u8], whole: &mut Vec<u8>) {
        let marked = if self.is_continued { CONTINUED } else { "" };
        let colour = self.look.is_coloured.then(|| colour::of(&self.name));
        let (on, off) = colour.map_or_else(Default::default, colour::codes);
        for part in [&on, &self.name, marked, ":", &off, " "] {
            whole.extend_from_slice(part.as_bytes());
        }
        match self.look.is_escaped {
            true => {
                self.bytes.extend_from_slice(last);
                let text = String::from_utf8_lossy(&self.bytes);
                whole.extend_from_slice(escape(&text, Keep::Layout).as_bytes());
            }
            false => {
                whole.extend_from_slice(&self.bytes);
                whole.extend_from_slice(last);
            }
        }
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
            let whole = lines.add(*source, &name, piece);
            out.extend([whole.stdout, whole.stderr].concat());
        }
        out
    }

    fn prefixed(longest: usize, pieces: &[&[u8]]) -> Vec<u8> {
        let mut lines = NamedLines::new(longest, Default::default());
        let pieces: Vec<_> = pieces.iter().map(|piece| (A, *piece)).collect();
        let mut out = written(&mut lines, &pieces);
        out.extend(lines.finish(A.send, None).stdout);
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
        let mut lines = NamedLines::new(LONGEST_LINE, Default::default());
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
        let cut = lines.add(source(2), "b", b"z");
        let expected = WholeLines {
            stdout: Vec::new(),
            stderr: [b"c: ", &long[..LONGEST_LINE - 4], b"\n"].concat(),
        };
        assert!(cut == expected);
        let rest = written(
            &mut lines,
            &[(source(3), &long[LONGEST_LINE - 2..]), (source(3), b"\n")],
        );
        assert_eq!(rest, "c (continued): \u{20ac}\n".as_bytes());
        let held: usize = lines.unfinished.values().map(|line| line.bytes.len()).sum();
        assert!(held == lines.held && held < MOST_HELD);
    }

    #[test]
    fn at_a_terminal_names_have_colours_and_lines_no_controls() {
        let look = Look {
            is_escaped: true,
            is_coloured: true,
        };
        let mut lines = NamedLines::new(LONGEST_LINE, [look, Look::default()]);
        let whole = lines.add(A, "web1", b"a\x1b[2J\tb\xff\n");
        let shown = String::from_utf8(whole.stdout).expect("text");
        let (name, rest) = shown.split_once("web1:").expect("a name");
        assert!(name.starts_with("\x1b[") && name.ends_with('m'), "{name:?}");
        assert_eq!(rest, "\x1b[0m a\\x1b[2J\tb\u{fffd}\n");
        let stderr = Source {
            is_stderr: true,
            ..A
        };
        let whole = lines.add(stderr, "web1", b"a\x1b[2J\n");
        assert_eq!(whole.stderr, b"web1: a\x1b[2J\n");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[a€\n]{0,60}", at in 0usize..60, longest in 4usize..20) {
            let (left, right) = text.as_bytes().split_at(at.min(text.len()));
            prop_assert_eq!(prefixed(longest, &[left, right]), prefixed(longest, &[text.as_bytes()]));
        }
    }
}
