//! Why there are no rules: one sentence, with the place in the file if there is one. Nothing in it
//! steers a terminal or shows a token, whatever the file says.

use crate::authority::token;
use common::sys::position::Position;
use common::sys::trusted_file::Distrust;
use common::terminal::escape::one_line;
use std::path::{Path, PathBuf};

/// Why an auth file was not taken, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file could not be read, or another user could have written it.
    #[error("{}: {reason}", shown(.file))]
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
    /// A change that the file's rules do not allow.
    #[error("{0}")]
    Change(String),
}

/// What is wrong with the text of an auth file, before it is known which file the text is from.
#[derive(Debug)]
pub(super) struct Fault {
    at: Option<usize>,
    message: String,
}

impl Fault {
    /// A fault at a byte of the text.
    pub(super) fn at(byte: usize, message: impl Into<String>) -> Fault {
        Fault {
            at: Some(byte),
            message: message.into(),
        }
    }

    /// A fault of the text as a whole.
    pub(super) fn of_all(message: impl Into<String>) -> Fault {
        Fault {
            at: None,
            message: message.into(),
        }
    }

    /// The same, with the entry that it belongs to.
    pub(super) fn in_entry(mut self, entry: &str) -> Fault {
        self.message = format!("{entry}: {}", self.message);
        self
    }

    /// The same, at a byte of the text if it has no place of its own.
    pub(super) fn or_at(mut self, byte: usize) -> Fault {
        self.at.get_or_insert(byte);
        self
    }

    /// The error to show for a file that has this text.
    pub(super) fn within(self, file: &Path, text: &[u8]) -> AuthError {
        AuthError::Invalid {
            file: file.to_owned(),
            position: self.at.map(|byte| Position::of(text, byte)),
            message: one_line(&token::redact(&self.message)).into_owned(),
        }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Fault {
        Fault {
            at: error.span().map(|span| span.start),
            message: error.message().to_owned(),
        }
    }
}

/// A path on one line, whatever is in it.
pub(super) fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

fn suffix(position: Option<&Position>) -> String {
    position.map_or_else(String::new, |position| format!(":{position}"))
}
