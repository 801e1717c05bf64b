//! The machines that ought to be here: the names in a file of the user. A selector such as `below` finds
//! the clients that are here, so nothing else tells that one is not.
//!
//! The server knows nothing of them: an operator expects machines, whichever server they come to.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::node_set::{A_FEW_LINES, fold};
use crate::output::report::{Report, Sink};
use crate::output::screen::Screen;
use crate::own_files;
use client::Status;
use common::limits::MAX_SELECTOR_NAMES;
use common::terminal::escape::path_line;
use common::wire::message::clip;
use common::wire::selector::{Selector, Single, Subject, is_name};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;

/// The name of the file in the user's folder for settings.
const FILE: &str = "expected.toml";

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// Names and node sets.
    names: Vec<String>,
}

/// Names of machines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected(BTreeSet<String>);

impl Expected {
    /// The machines that the user expects; none without a file.
    pub(crate) fn load() -> Result<Option<Expected>, String> {
        let Some(path) = own_files::path(FILE) else {
            return Ok(None);
        };
        let raw: Option<Raw> = own_files::read(&path)?;
        let names = raw.map(|raw| Expected::of(&raw.names)).transpose();
        names.map_err(|why| format!("{}: {why}", path_line(&path)))
    }

    /// The same for a command that needs them.
    pub(crate) fn needed() -> Result<Expected, Failure> {
        let expected = Expected::load().map_err(Failure::Usage)?;
        expected.ok_or_else(|| {
            Failure::Usage(match own_files::path(FILE) {
                Some(path) => format!(
                    "no machines are expected: {} is not there; write names = [\"web[01-20]\"] into it",
                    path_line(&path)
                ),
                None => "no machines are expected: neither XDG_CONFIG_HOME nor HOME names a folder"
                    .into(),
            })
        })
    }

    fn of(texts: &[String]) -> Result<Expected, String> {
        let mut names = BTreeSet::new();
        for text in texts {
            let wrong = || {
                format!(
                    "{:?} is neither a name (web1) nor a node set (web[01-20])",
                    clip(text)
                )
            };
            if !is_name(text) && (!text.contains('[') || text.contains(['&', '!', '='])) {
                return Err(wrong());
            }
            match Selector::parse(text).map_err(|e| e.to_string())? {
                Selector::Single(Single::Name(name)) => drop(names.insert(name.into_owned())),
                Selector::List(list) => {
                    names.extend(list.named().iter().map(ToString::to_string));
                }
                _ => return Err(wrong()),
            }
            if names.len() as u64 > MAX_SELECTOR_NAMES {
                return Err(format!(
                    "it expects more than {MAX_SELECTOR_NAMES} machines"
                ));
            }
        }
        Ok(Expected(names))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that have none of these names, in order.
    pub(crate) fn missing<'a>(&'a self, here: &BTreeSet<&str>) -> Vec<&'a str> {
        let names = self.0.iter().map(String::as_str);
        names.filter(|name| !here.contains(name)).collect()
    }

    /// Those that a selector would find if they were here, and whose absence no outcome tells.
    fn silent(mut self, to: Option<&str>) -> Expected {
        let selector = to.map(Selector::parse);
        self.0.retain(|name| {
            let client = Subject {
                name: Some(name),
                ..Subject::default()
            };
            match &selector {
                // The server's default reaches one, or its own word for several.
                None | Some(Ok(Selector::Below | Selector::All)) => true,
                Some(Ok(Selector::List(list))) => list.finds(&client) && !list.names(&client),
                _ => false,
            }
        });
        self
    }
}

/// The expected machines that a command has not reached so far.
#[derive(Debug, Default)]
pub(crate) struct Unreached {
    of: usize,
    names: BTreeSet<String>,
    /// Whether the command is for several clients: one for a single client leaves the others out.
    is_for_many: bool,
    /// Whether the server has told what it reached.
    is_told: bool,
}

impl Unreached {
    /// Those that this selector should reach. A file that makes no sense is no reason not to run
    /// a command, but is told.
    pub(crate) fn of(to: Option<&str>) -> Unreached {
        let expected = Expected::load().unwrap_or_else(|why| {
            log::warn!("the expected machines are not known: {why}");
            None
        });
        let silent = expected.unwrap_or_default().silent(to);
        Unreached {
            of: silent.len(),
            names: silent.0,
            is_for_many: to.is_some(),
            is_told: true,
        }
    }

    pub(crate) fn reached(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Which were not reached, if any.
    pub(crate) fn note(&self) -> Option<String> {
        let count = self.names.len();
        let plural = if self.of == 1 { "" } else { "s" };
        let verb = if count == 1 { "was" } else { "were" };
        let names = || fold(self.names.iter().map(String::as_str), A_FEW_LINES);
        let note = || {
            format!(
                "{count} of {} expected machine{plural} {verb} not reached: {}",
                self.of,
                names()
            )
        };
        (self.is_for_many && count > 0).then(note)
    }
}

impl Sink for Unreached {
    fn take(&mut self, report: &Report<'_>, screen: &mut Screen) -> io::Result<()> {
        let mut say = |note: Option<String>| note.iter().for_each(|note| screen.note(note));
        match report {
            Report::Accepted(accepted) => self.is_for_many |= accepted.targets > 1,
            Report::Outcome(outcome) if outcome.status != Status::Absent => {
                outcome.name.iter().for_each(|name| self.reached(name));
            }
            Report::Skipped(target) => target.name.iter().for_each(|name| self.reached(name)),
            // There is no summary then.
            Report::Error(problem) if problem.exit == ExitCode::NoTarget => say(self.note()),
            // After a loss nothing tells which clients it had reached.
            Report::Error(problem) => self.is_told &= problem.exit != ExitCode::Lost,
            Report::Summary(..) if self.is_told => say(self.note()),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(texts: &[&str]) -> Result<Expected, String> {
        Expected::of(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_node_sets_are_expected_and_nothing_else() {
        let names = expected(&["web[01-02]", "db1", "web[02,3]"]).expect("names");
        assert_eq!(
            names.0.iter().collect::<Vec<_>>(),
            ["db1", "web01", "web02", "web3"]
        );
        for (text, why) in [
            ("web*", "\"web*\" is neither"),
            ("role=web", "neither"),
            ("web[1-2],!web1", "neither"),
            ("3", "neither"),
            ("below", "neither"),
            ("web[1-20000]", "20000 names"),
            ("web[1", "lacks its"),
        ] {
            let error = expected(&[text]).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = expected(&["a[1-9000]", "b[1-9000]"]).expect_err("too many");
        assert!(error.contains("more than 10000"), "{error}");
    }

    #[test]
    fn a_selector_that_finds_what_is_here_is_held_against_what_is_expected() {
        for (to, missing) in [
            (Some("below"), "db1,web[1-3]"),
            (Some("all"), "db1,web[1-3]"),
            (Some("web*"), "web[1-3]"),
            (Some("web*,!web3"), "web[1-2]"),
            (Some("!web3"), "db1,web[1-2]"),
            // Named ones are absent in the outcomes.
            (Some("web[1-3]"), ""),
            (Some("web*,web2"), "web[1,3]"),
            (Some("role=web"), ""),
            (Some("web1"), ""),
            (Some("least-loaded:web*"), ""),
        ] {
            let silent = expected(&["web[1-3]", "db1"]).expect("names").silent(to);
            let names = fold(silent.0.iter().map(String::as_str), A_FEW_LINES);
            assert_eq!(names, missing, "{to:?}");
        }
    }
}
