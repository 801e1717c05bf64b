//! Why there are no rules: one sentence, with the place in the file if there is one. Nothing in it
//! steers a terminal or shows a token, with any text of the file.

use crate::authority::token;
pub(super) use common::sys::fault::Fault;
use common::sys::position::Position;
use common::sys::trusted_file::Distrust;
use common::terminal::escape::{one_line, path_line as shown};
use std::path::{Path, PathBuf};

/// Why an auth file was not taken, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file could not be read, or another user could have written it.
    #[error("{}", .reason.about(.file))]
    Untrusted {
        /// The auth file, as it was named.
        file: PathBuf,
        /// Why it was not taken; named in the sentence, so it is no source of its own.
        reason: Distrust,
    },
    /// The file does not say what an auth file says.
    #[error("{}{}: {message}", shown(.file), suffix(.position.as_ref()))]
    Invalid {
        /// The auth file, as it was named.
        file: PathBuf,
        /// Where, if it is one place.
        position: Option<Position>,
        /// What was found and what would be right.
        message: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {error}", shown(.file))]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system says; named in the sentence, so it is no source of its own.
        error: std::io::Error,
    },
    /// A file for a token would have been overwritten.
    #[error("{} exists already, and is not overwritten; name a new file for the token", shown(.0))]
    Exists(PathBuf),
    /// The file, which is right, would not be right with a change.
    #[error("{} stays as it was: {message}", shown(.file))]
    Unfit {
        /// The auth file, as it was named.
        file: PathBuf,
        /// What of the change is wrong and what would be right. It has no place in the file.
        message: String,
    },
    /// A change that the file's rules do not allow.
    #[error("{0}")]
    Change(String),
}

impl AuthError {
    /// Whether the file was not read, so that the same one may be taken a moment later: the system had
    /// no descriptor for it, its disk did not answer, or a folder on the way to it was not safe.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self, AuthError::Untrusted { .. })
    }

    /// The error to show for a file that has this text.
    pub(super) fn of(fault: Fault, file: &Path, text: &[u8]) -> AuthError {
        let (position, message) = fault.located(text);
        AuthError::Invalid {
            file: file.to_owned(),
            position,
            message: one_line(&token::redact(&message)).into_owned(),
        }
    }
}

/// What `serde` expects of a type that it has a name for, and what an owner would write.
const EXPECTED: [(&str, &str); 3] = [
    ("a sequence", "an array such as [\"a\", \"b\"]"),
    ("a boolean", "true or false, without quotes"),
    ("a map", "a table such as { key = \"value\" }"),
];

/// The fault that the TOML library found.
pub(super) fn of_toml(error: &toml::de::Error) -> Fault {
    Fault::of_toml(error, &EXPECTED)
}

fn suffix(position: Option<&Position>) -> String {
    position.map_or_else(String::new, |position| format!(":{position}"))
}

/// Names in a sentence, a screen's width of them; `None` if there is none.
pub(super) fn some_of(names: impl ExactSizeIterator<Item = String>) -> Option<String> {
    const NAMED: usize = 8;
    let count = names.len();
    let named = names.take(NAMED).collect::<Vec<_>>().join(", ");
    match count {
        0 => None,
        1..=NAMED => Some(named),
        _ => Some(format!("{named} and {} more", count - NAMED)),
    }
}
