//! A place in a text file, as editors count it: what an error about a file's text names.

use std::fmt;

/// A place in a file, as editors count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

impl Position {
    /// The place of a byte; one beyond the text is its end.
    pub fn of(text: &[u8], byte: usize) -> Position {
        let before = &text[..byte.min(text.len())];
        let start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |n| n + 1);
        Position {
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
            column: 1 + String::from_utf8_lossy(&before[start..]).chars().count(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_as_editors_do() {
        let text = "a = 1\n\u{e4}\u{1f986}b\n".as_bytes();
        for (byte, line, column) in [
            (0, 1, 1),
            (4, 1, 5),
            (5, 1, 6),
            (6, 2, 1),
            (8, 2, 2),
            (12, 2, 3),
            (14, 3, 1),
            (99, 3, 1),
        ] {
            let position = Position { line, column };
            assert_eq!(Position::of(text, byte), position, "{byte}");
        }
    }
}
