//! Why there is no policy: one sentence, with the place in the file, safe for a terminal.

pub(super) use common::sys::fault::Fault;
pub use common::sys::position::Position;
use common::sys::trusted_file::Distrust;
use common::terminal::escape::one_line;
pub(super) use common::terminal::escape::path_line as shown;
use common::wire::text::clip;
use std::path::{Path, PathBuf};

/// Why a policy could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file could not be read, or another user could have written it.
    #[error("{}", .reason.about(.file))]
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

impl PolicyError {
    /// The error to show for a file that has this text.
    pub(super) fn of(fault: Fault, file: &Path, text: &[u8]) -> PolicyError {
        let (position, message) = fault.located(text);
        PolicyError::Invalid {
            file: file.to_owned(),
            position,
            message: one_line(&message).into_owned(),
        }
    }
}

/// The same fault, in a command of the policy.
pub(super) fn in_entry(fault: Fault, name: &str) -> Fault {
    fault.within(&format!("commands.{}", clip(name)))
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

/// The fault that the TOML library found.
pub(super) fn of_toml(error: &toml::de::Error) -> Fault {
    Fault::of_toml(error, &EXPECTED)
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
        let error = PolicyError::of(fault, Path::new("/tmp/a\nb.toml"), b"x\ny");
        assert_eq!(
            error.to_string(),
            "/tmp/a\\nb.toml:2:1: found \\u{202e}\\n\\x1b[2J"
        );
        let whole = in_entry(Fault::of_all("no"), "logs");
        assert_eq!(
            PolicyError::of(whole, Path::new("p"), b"").to_string(),
            "p: commands.logs: no"
        );
    }
}
