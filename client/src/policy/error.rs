//! Why there is no policy: one sentence, with the place in the file, safe for a terminal.

use common::sys::trusted_file::Distrust;
use common::terminal::escape::one_line;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a policy could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file could not be read, or another user could have written it.
    #[error("{}", untrusted(.file, .reason))]
    Untrusted {
        /// The policy file, as it was named.
        file: PathBuf,
        /// Why it was not taken.
        reason: Distrust,
    },
    /// The file does not say what a policy says, or names what is not on this machine.
    #[error("{}{}: {message}", shown(.file), suffix(.position.as_ref()))]
    Invalid {
        /// The policy file, as it was named.
        file: PathBuf,
        /// Where, if it is one place.
        position: Option<Position>,
        /// What was found and what would be right.
        message: String,
    },
}

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
    fn of(text: &[u8], byte: usize) -> Position {
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

/// What is wrong with the text of a policy, before it is known where the text is from.
#[derive(Debug)]
pub(super) struct Fault {
    at: Option<usize>,
    message: String,
}

impl Fault {
    pub(super) fn at(byte: usize, message: impl Into<String>) -> Fault {
        Fault {
            at: Some(byte),
            message: message.into(),
        }
    }

    pub(super) fn of_all(message: impl Into<String>) -> Fault {
        Fault {
            at: None,
            message: message.into(),
        }
    }

    pub(super) fn in_entry(mut self, name: &str) -> Fault {
        self.message = format!(
            "commands.{}: {}",
            common::wire::message::clip(name),
            self.message
        );
        self
    }

    /// The error to show for a file that has this text.
    pub(super) fn within(self, file: &Path, text: &[u8]) -> PolicyError {
        PolicyError::Invalid {
            file: file.to_owned(),
            position: self.at.map(|byte| Position::of(text, byte)),
            message: one_line(&self.message).into_owned(),
        }
    }
}

/// What `serde` expects of a type that it has a name for, and what an owner would write.
const EXPECTED: [(&str, &str); 3] = [
    (
        "a sequence",
        "an array of strings such as [\"/usr/bin/tail\", \"-n\"]",
    ),
    ("a boolean", "true or false, without quotes"),
    ("a map", "a table such as { LANG = \"C.UTF-8\" }"),
];

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Fault {
        let message = error.message();
        let in_toml = EXPECTED.iter().find_map(|(name, in_toml)| {
            let found = message.strip_suffix(name)?.strip_suffix("expected ")?;
            Some(format!("{found}expected {in_toml}"))
        });
        Fault {
            at: error.span().map(|span| span.start),
            message: in_toml.unwrap_or_else(|| message.to_owned()),
        }
    }
}

/// A path on one line, whatever is in it.
pub(super) fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

/// The reason, after the file unless the reason names it.
fn untrusted(file: &Path, reason: &Distrust) -> String {
    let (file, reason) = (shown(file), reason.to_string());
    match reason.contains(&file) {
        true => reason,
        false => format!("{file}: {reason}"),
    }
}

fn suffix(position: Option<&Position>) -> String {
    position.map_or_else(String::new, |position| format!(":{position}"))
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
            assert_eq!(
                Position::of(text, byte),
                Position { line, column },
                "{byte}"
            );
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_it_repeats() {
        let fault = Fault::at(2, "found \u{202e}\n\x1b[2J");
        let error = fault.within(Path::new("/tmp/a\nb.toml"), b"x\ny");
        assert_eq!(
            error.to_string(),
            "/tmp/a\\nb.toml:2:1: found \\u{202e}\\n\\x1b[2J"
        );
        let whole = Fault::of_all("no").in_entry("logs");
        assert_eq!(
            whole.within(Path::new("p"), b"").to_string(),
            "p: commands.logs: no"
        );
    }
}
