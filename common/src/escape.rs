//! Text of a peer's, made safe for a terminal and for a log of one record a line.

use std::borrow::Cow;
use std::fmt::Write;

/// What may stay as it is besides printable text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the text stays on one line.
    OneLine,
    /// Newline and tab: the text is a program's output.
    Layout,
}

/// Replaces what could steer a terminal or forge a line by a visible escape: C0 and C1
/// controls, DEL, the line and paragraph separators, and the bidirectional controls
/// (Unicode Standard Annex 9, "Directional Formatting Characters").
pub fn escape(text: &str, keep: Keep) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c, keep)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if is_unsafe(c, keep) => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' if is_unsafe(c, keep) => out.push_str("\\t"),
            c if !is_unsafe(c, keep) => out.push(c),
            c if u32::from(c) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(out)
}

/// [`escape`] with [`Keep::OneLine`].
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, Keep::OneLine)
}

fn is_unsafe(c: char, keep: Keep) -> bool {
    match c {
        '\n' | '\t' => keep == Keep::OneLine,
        '\u{2028}' | '\u{2029}' => true,
        '\u{061c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
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
    fn what_steers_a_terminal_becomes_visible() {
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
