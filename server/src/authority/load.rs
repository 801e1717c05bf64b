//! Reads an auth file: which users may have written it, and what it says.

use super::error::{AuthError, Fault};
use super::parse::parse;
use super::rules::Rules;
use common::sys::trusted_file;
use std::path::Path;

/// Bytes of an auth file: ten thousand credentials, with a comment for each.
pub(crate) const MAX_FILE: usize = 4 << 20;

impl Rules {
    /// Reads the rules of an auth file, for the user of this process: checks which users may have
    /// written it, and what it says.
    ///
    /// # Errors
    /// One sentence that names the file, the place in it, the value and what would be right.
    pub fn load(path: &Path) -> Result<Rules, AuthError> {
        Rules::read(&read_file(path)?, path)
    }

    /// Reads the rules from the text of an auth file, without a check of the file itself. An error
    /// names this path.
    ///
    /// # Errors
    /// As for [`Rules::load`].
    pub fn read(text: &[u8], path: &Path) -> Result<Rules, AuthError> {
        let read = std::str::from_utf8(text).map_err(|error| {
            let message = "found bytes that are not UTF-8, expected a TOML file in UTF-8";
            Fault::at(error.valid_up_to(), message)
        });
        let rules = read.and_then(parse);
        rules.map_err(|fault| AuthError::of(fault, path, text))
    }
}

/// The bytes of an auth file that no other user could have written.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, AuthError> {
    let bytes = trusted_file::read(path, trusted_file::user(), MAX_FILE);
    bytes.map_err(|reason| AuthError::Untrusted {
        file: path.to_owned(),
        reason,
    })
}
