//! Why there is no policy: one sentence, with the place in the file, safe for a terminal.

pub use common::sys::position::Position;
use common::sys::trusted_file::Distrust;
use common::terminal::escape::one_line;
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

    pub(super) fn in_entry(self, name: &str) -> Fault {
        self.within_table(&format!("commands.{}", common::wire::message::clip(name)))
    }

    pub(super) fn within_table(mut self, table: &str) -> Fault {
        self.message = format!("{table}: {}", self.message);
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
