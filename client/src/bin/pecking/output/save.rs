//! `--save`: the JSON lines of a run in a file, from which it can be run again.
//!
//! The file that was there before is emptied when the server has taken the command, so that a run that
//! never begins leaves it as it is: it may be the file that says what to run again.

use crate::failure::Failure;
use crate::output::json;
use crate::output::report::{Problem, Report, Sink};
use crate::output::screen::Screen;
use common::terminal::escape::path_line;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes reports to a file, and remembers the first fault: the command goes on without it.
pub(crate) struct SavedLines {
    path: PathBuf,
    /// `None` after a fault.
    file: Option<File>,
    /// Whether what was there before is gone.
    is_emptied: bool,
    fault: Option<io::Error>,
}

impl SavedLines {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn create(path: &Path) -> Result<SavedLines, Failure> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        let wrong = |why: io::Error| {
            let path = path_line(path);
            Failure::Usage(format!("--save: cannot write {path}: {why}"))
        };
        Ok(SavedLines {
            path: path.to_owned(),
            file: Some(file.map_err(wrong)?),
            is_emptied: false,
            fault: None,
        })
    }

    fn write(&mut self, report: &Report<'_>) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if !self.is_emptied {
            if !matches!(report, Report::Accepted(_)) {
                return Ok(());
            }
            self.is_emptied = true;
            // A device or a pipe has nothing to be emptied.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
        }
        // At once: what is known of a target is in the file even if this process is killed.
        file.write_all(json::line(report).as_bytes())
    }
}

impl Sink for SavedLines {
    fn take(&mut self, report: &Report<'_>, _: &mut Screen) -> io::Result<()> {
        if let Err(why) = self.write(report) {
            (self.file, self.fault) = (None, Some(why));
        }
        Ok(())
    }

    fn wants_names(&self) -> bool {
        true
    }

    fn fault(&mut self) -> Option<Problem> {
        let why = self.fault.take()?;
        Some(Problem::not_kept("save", &path_line(&self.path), &why))
    }
}
