//! The machines that ought to be here: the names in a file of the user or, without one, those that the
//! server was told. A selector such as `below` finds the clients that are here, so nothing else tells
//! that one is not.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::node_set::{A_FEW_LINES, fold};
use crate::output::report::{Report, Sink};
use crate::output::screen::Screen;
use crate::own_files;
use client::{Client, RequestError, Status};
use common::expected::Expected;
use common::terminal::escape::{one_line, path_line};
use common::wire::name::is_name;
use common::wire::selector::{Selector, Subject, parts};
use std::collections::BTreeSet;
use std::io;

/// The name of the file in the user's folder for settings.
const FILE: &str = "expected.toml";

/// The machines of the user's own file; none without one.
pub(crate) fn own() -> Result<Option<Expected>, String> {
    let path = own_files::path(FILE);
    path.map_or(Ok(None), |path| own_files::read_by(&path, Expected::parse))
}

/// The machines that the server was told, as far as the user's role covers them.
pub(crate) fn of_server(client: &Client) -> Result<Option<Expected>, RequestError> {
    let names = client.expected()?;
    Ok(names.map(|names| names.into_iter().map(|name| name.to_string()).collect()))
}

/// Neither the user nor the server expects any.
pub(crate) fn none() -> Failure {
    let own = match own_files::path(FILE) {
        Some(path) => format!(
            "{} is not there; write names = [\"web[01-20]\"] into it",
            path_line(&path)
        ),
        None => "neither XDG_CONFIG_HOME nor HOME names a folder".into(),
    };
    Failure::Usage(format!(
        "no machines are expected: the server was started without --expected, and {own}"
    ))
}

/// Whether a selector may leave out machines that no outcome tells of. Without one the server's default
/// reaches one, as a rule, and a question for each command would be too much.
pub(crate) fn may_miss(to: &str) -> bool {
    match Selector::parse(to) {
        Ok(Selector::Below | Selector::All) => true,
        Ok(Selector::List(_)) => !parts(to).all(is_name),
        _ => false,
    }
}

/// Those that a selector would find if they were here, and whose absence no outcome tells.
fn silent(expected: &Expected, to: Option<&str>) -> BTreeSet<String> {
    let selector = to.map(Selector::parse);
    let is_silent = |name: &&str| {
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
    };
    let names = expected.names().filter(is_silent);
    names.map(ToOwned::to_owned).collect()
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
    pub(crate) fn of(client: &Client, to: Option<&str>) -> Unreached {
        let expected = match own() {
            Ok(None) if to.is_some_and(may_miss) => {
                of_server(client).map_err(|error| error.to_string())
            }
            own => own,
        };
        let expected = expected.unwrap_or_else(|why| {
            log::warn!("the expected machines are not known: {}", one_line(&why));
            None
        });
        let silent = silent(&expected.unwrap_or_default(), to);
        Unreached {
            of: silent.len(),
            names: silent,
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
            let asks_for_nothing = Some("web[1-3]") == to || Some("role=web") == to;
            assert!(
                asks_for_nothing || to.is_some_and(may_miss) != missing.is_empty(),
                "{to:?}"
            );
            let names = ["db1", "web1", "web2", "web3"].map(ToOwned::to_owned);
            let silent = silent(&names.into_iter().collect(), to);
            let names = fold(silent.iter().map(String::as_str), A_FEW_LINES);
            assert_eq!(names, missing, "{to:?}");
        }
    }
}
