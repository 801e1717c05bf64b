//! Which programs a machine runs for others, as its owner wrote it down: a TOML file
//! that names each command, its program and what may follow. As with the forced commands
//! of `sshd`, the sender chooses an entry and fills in words; it never chooses a program.
//!
//! The way of a file: `common::sys::trusted_file` finds out which users could have written it,
//! `parse` makes typed commands of its text, `program` checks whether they could run here,
//! `exposure` whether other users can change what they name, and `plan` turns a sender's words
//! into an argv or a refusal. `process`, not this module, starts and counts programs.

mod command;
mod display;
mod error;
mod exposure;
mod field_types;
#[cfg(test)]
mod injection_tests;
mod parse;
mod pattern;
mod plan;
mod program;
mod rights;
mod senders;
mod shared;
#[cfg(test)]
mod tests;

pub use command::{Command, Group, Limits, Settings, User};
pub use common::sys::trusted_file::{Distrust, Kind};
pub use error::{PolicyError, Position};
pub use pattern::Pattern;
pub use plan::{Plan, Refusal};
pub use rights::Rights;
pub use senders::{Sender, Senders};

use common::sys::trusted_file;
use error::Fault;
use parse::Entry;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of a policy file: a thousand commands of a dozen lines each.
const MAX_FILE: usize = 512 << 10;

/// The commands that this machine runs for others, by name.
#[derive(Clone, Debug)]
pub struct Policy {
    commands: BTreeMap<String, Command>,
    /// What other users can change of what it names.
    warnings: Vec<String>,
}

impl Policy {
    /// Reads a policy from its file, for the user of this process: checks which users may have
    /// written it, what it says, and that each program and folder it names is here.
    ///
    /// If other users can change what it names, [`Policy::warnings`] say so. For what runs as root
    /// that is an error if the path is run, is the folder of a run, or is where a program loads
    /// code from.
    ///
    /// # Errors
    /// One sentence that names the file, the place in it, the value and what would be right.
    pub fn load(path: &Path) -> Result<Policy, PolicyError> {
        let user = trusted_file::user();
        let bytes = trusted_file::read(path, user, MAX_FILE);
        let bytes = bytes.map_err(|reason| PolicyError::Untrusted {
            file: path.to_owned(),
            reason,
        })?;
        let located = |fault| PolicyError::of(fault, path, &bytes);
        let entries = entries(&bytes).map_err(located)?;
        let warnings = exposure::find(&entries, user).map_err(located)?;
        let warnings = warnings.into_iter().map(|fault| located(fault).to_string());
        Ok(Policy {
            warnings: warnings.collect(),
            ..Policy::of(entries)
        })
    }

    /// Reads a policy from the text of its file, without a check of the file itself. An error
    /// names this path.
    ///
    /// # Errors
    /// As for [`Policy::load`].
    pub fn read(text: &[u8], path: &Path) -> Result<Policy, PolicyError> {
        Policy::from_bytes(text).map_err(|fault| PolicyError::of(fault, path, text))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Policy, Fault> {
        entries(bytes).map(Policy::of)
    }

    fn of(entries: Vec<Entry>) -> Policy {
        let commands = entries.into_iter().map(|entry| (entry.name, entry.command));
        Policy {
            commands: commands.collect(),
            warnings: Vec::new(),
        }
    }

    /// The files and folders that the policy names and that other users can change than root and
    /// the one that the entry runs as, each in a sentence with its place in the file.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the policy says about the command of a name.
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.get(name)
    }

    /// The commands with their names, in the names' order.
    pub fn commands(&self) -> impl ExactSizeIterator<Item = (&str, &Command)> {
        let commands = self.commands.iter();
        commands.map(|(name, command)| (name.as_str(), command))
    }
}

/// The entries of a text, which could run here.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = "found bytes that are not UTF-8, expected a TOML file in UTF-8";
        Fault::at(error.valid_up_to(), message)
    })?;
    let entries = parse::parse(text)?;
    entries.iter().try_for_each(program::check)?;
    Ok(entries)
}
