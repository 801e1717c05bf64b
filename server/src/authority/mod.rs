//! Authority beyond rank: which identity a client has proven, and what that gives it.
//!
//! An auth file names roles and the credentials that have them. `parse` makes immutable [`Rules`]
//! of its text, `grant` decides by them: which credential a client proves, and whether it may take
//! a tier, take a name, or have a target execute a command. Each decision is a function of the
//! rules and of what is asked for. What is not granted is refused.
//!
//! Nothing in here knows connections or ranks, or reads a line of the wire: `join` and `dispatch`
//! ask. Arguments of commands are not looked at either: they are for the policy of the machine
//! that executes them.

pub(crate) mod bearer;
mod certificate;
mod edit;
mod error;
pub(crate) mod grant;
mod in_force;
mod names;
mod overlap;
mod parse;
pub(crate) mod rules;
#[cfg(test)]
mod testing;
pub(crate) mod token;
mod values;

pub use edit::{NewCredential, revoke};
pub use error::AuthError;
pub use grant::Decision;
pub use in_force::Authority;
pub use rules::Rules;
pub(crate) use token::redact;

use common::sys::trusted_file;
use error::Fault;
use std::path::Path;
use std::time::SystemTime;

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
        let rules = read.and_then(parse::parse);
        rules.map_err(|fault| AuthError::of(fault, path, text))
    }
}

/// The time by the clock on the wall, which a date in an auth file is held against. Nothing waits
/// by it: what a server has to do at that date it does by the monotonic clock.
#[allow(clippy::disallowed_methods)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The bytes of an auth file that no other user could have written.
fn read_file(path: &Path) -> Result<Vec<u8>, AuthError> {
    let bytes = trusted_file::read(path, trusted_file::user(), MAX_FILE);
    bytes.map_err(|reason| AuthError::Untrusted {
        file: path.to_owned(),
        reason,
    })
}
