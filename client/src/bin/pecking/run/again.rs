//! Says behind the summary how a command is run again for those at which it did not end with 0.

use crate::output::summary::Summary;
use common::terminal::escape::path_line;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// What `pecking rerun` would need; nothing is said by default.
#[derive(Default)]
pub(crate) struct Again {
    /// Where the run is kept.
    pub(crate) saved: Option<PathBuf>,
    /// Whether the command has input, which is kept nowhere.
    pub(crate) has_input: bool,
    pub(crate) is_told: bool,
}

impl Again {
    /// The file is not all there.
    pub(crate) fn forget_file(&mut self) {
        self.saved = None;
        self.is_told = false;
    }

    /// What is said, if it helps: without a file, at a terminal, and only if `run` itself, once more,
    /// would be for others too.
    pub(crate) fn text(&self, summary: &Summary) -> Option<String> {
        let failed = summary.targets - summary.succeeded;
        if !self.is_told || failed == 0 {
            return None;
        }
        match &self.saved {
            Some(file) => {
                let file = shlex::try_quote(file.to_str()?).ok()?.into_owned();
                let input = if self.has_input {
                    " --stdin < FILE"
                } else {
                    ""
                };
                let file = path_line(file.as_ref());
                Some(format!(
                    "again for those: pecking rerun --failed {file}{input}"
                ))
            }
            None if summary.succeeded > 0 && io::stderr().is_terminal() => Some(
                "with --save FILE, `pecking rerun --failed FILE` runs it again for those alone"
                    .into(),
            ),
            None => None,
        }
    }
}
