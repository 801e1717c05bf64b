//! Text that came from a peer, made safe for a terminal and for a log of one record a line.

use regex_syntax::hir::{Class, HirKind};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

/// What may stay as it is besides printable text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the text stays on one line.
    OneLine,
    /// Newline and tab: the text is a program's output.
    Layout,
}

/// Combining marks in a row that are shown: more than the spelling of any language needs, and
/// too few to reach the lines above and below.
const MOST_MARKS: usize = 8;

/// Replaces what could steer a terminal, forge a line, or hide by a visible escape: C0 and C1
/// controls, DEL, the line and paragraph separators, what formats and does not show itself
/// (Unicode's category `Cf`, in which the bidirectional controls are, and the property
/// `Default_Ignorable_Code_Point`), and the combining marks beyond eight in a row.
pub fn escape(text: &str, keep: Keep) -> Cow<'_, str> {
    Escaper::new(keep).escape(text)
}

/// [`escape`] with [`Keep::OneLine`].
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, Keep::OneLine)
}

/// A path on one line, with any bytes that it has.
pub fn path_line(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

/// [`escape`] for a text that comes in pieces.
#[derive(Debug)]
pub struct Escaper {
    keep: Keep,
    /// Combining marks that the text so far ends with.
    marks: usize,
}

impl Escaper {
    /// For a text that begins.
    pub fn new(keep: Keep) -> Escaper {
        Escaper { keep, marks: 0 }
    }

    /// The next piece of the text, made safe.
    pub fn escape<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let mut out = String::new();
        let mut copied = 0;
        for (at, c) in text.char_indices() {
            if !self.is_safe(c) {
                out.push_str(&text[copied..at]);
                push_escape(c, &mut out);
                copied = at + c.len_utf8();
            }
        }
        match copied {
            0 => Cow::Borrowed(text),
            _ => Cow::Owned(out + &text[copied..]),
        }
    }

    fn is_safe(&mut self, c: char) -> bool {
        if c.is_ascii() {
            self.marks = 0;
            return !c.is_ascii_control() || (self.keep == Keep::Layout && "\n\t".contains(c));
        }
        self.marks = match MARKS.has(c) {
            true => self.marks.saturating_add(1),
            false => 0,
        };
        self.marks <= MOST_MARKS && !HIDDEN.has(c)
    }
}

fn push_escape(c: char, out: &mut String) {
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

static HIDDEN: LazyLock<Ranges> =
    LazyLock::new(|| Ranges::of(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]"));
static MARKS: LazyLock<Ranges> = LazyLock::new(|| Ranges::of(r"[\p{M}]"));

/// A set of characters: ranges in order, both ends included.
struct Ranges(Vec<(char, char)>);

impl Ranges {
    /// Of a class as a regular expression has it: the parser of these has Unicode's tables.
    #[cold]
    #[inline(never)]
    fn of(class: &str) -> Ranges {
        let hir = regex_syntax::parse(class).expect("the tables are built in");
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
            return Ranges(Vec::new());
        };
        Ranges(
            class
                .iter()
                .map(|range| (range.start(), range.end()))
                .collect(),
        )
    }

    fn has(&self, c: char) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < c);
        self.0.get(at).is_some_and(|(first, _)| *first <= c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(one_line("käse 日本 🦆"), Cow::Borrowed(_)));
    }

    #[test]
    fn characters_that_hide_are_shown_as_escapes() {
        for (hidden, shown) in [
            // Of the category Cf.
            ("\u{ad}", "\\xad"),
            ("\u{200b}", "\\u{200b}"),
            ("\u{feff}", "\\u{feff}"),
            ("\u{600}", "\\u{600}"),
            ("\u{e0041}", "\\u{e0041}"),
            // Ignorable, in any category.
            ("\u{34f}", "\\u{34f}"),
            ("\u{115f}", "\\u{115f}"),
            ("\u{3164}", "\\u{3164}"),
            ("\u{fe0f}", "\\u{fe0f}"),
            ("\u{e0fff}", "\\u{e0fff}"),
        ] {
            for keep in [Keep::OneLine, Keep::Layout] {
                assert_eq!(escape(hidden, keep), shown);
            }
        }
        for visible in [
            "\u{a0}",
            "\u{3000}",
            "\u{1f986}",
            "\u{e9}",
            "\u{915}\u{93c}\u{93f}",
        ] {
            assert_eq!(one_line(visible), visible);
        }
    }

    #[test]
    fn marks_past_eight_in_a_row_are_shown_as_escapes() {
        let marks = |count: usize| "\u{301}".repeat(count);
        let eight = format!("e{}x{}", marks(8), marks(8));
        assert_eq!(one_line(&eight), eight);
        let shown = format!("e{}\\u{{301}}\\u{{301}}x", marks(8));
        assert_eq!(one_line(&format!("e{}x", marks(10))), shown);
        // A text that comes in pieces is one text.
        let mut escaper = Escaper::new(Keep::Layout);
        let pieces = [format!("e{}", marks(5)), marks(5), "x".into()];
        let pieces = pieces
            .iter()
            .map(|piece| escaper.escape(piece).into_owned());
        assert_eq!(pieces.collect::<String>(), shown);
    }

    #[test]
    fn characters_that_steer_a_terminal_are_shown_as_escapes() {
        for (text, keep, shown) in [
            ("a\x1b[2Jb", Keep::Layout, "a\\x1b[2Jb"),
            ("a\r\nb\tc", Keep::Layout, "a\\r\nb\tc"),
            ("a\r\nb\tc", Keep::OneLine, "a\\r\\nb\\tc"),
            (
                "\0\x07\x7f\u{9b}31m",
                Keep::Layout,
                "\\x00\\x07\\x7f\\x9b31m",
            ),
            (
                "x\u{202e}y\u{2066}z\u{2028}",
                Keep::Layout,
                "x\\u{202e}y\\u{2066}z\\u{2028}",
            ),
        ] {
            assert_eq!(escape(text, keep), shown);
        }
    }
}
