//! The options of the audit log, as a group of both programs' command lines.

use super::{Audit, AuditError, Full, KeptOutcomes, KeptWords, NoLog, ROTATE_RANGE, Settings};
use crate::terminal::args;
use clap::Args;
use std::fs::Metadata;
use std::path::PathBuf;

/// The most earlier files that can be kept.
const MOST_KEPT: usize = 1_000_000;

/// The options of the audit log.
#[derive(Clone, Debug, Args)]
pub struct AuditOptions {
    /// Put commands on record, as JSON lines at the end of this file; a command that cannot be on
    /// record does not run
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,

    /// Which words of a command are on record: full, or first (the first word, how many there
    /// are, and a keyed hash of all)
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "full",
        requires = "audit",
        allow_hyphen_values = true
    )]
    audit_words: KeptWords,

    /// What happens to a command if the audit log cannot be written: refuse (it does not run), or
    /// drop (it runs, and the log counts the records that are missing)
    #[arg(
        long,
        value_name = "ACTION",
        default_value = "refuse",
        requires = "audit",
        allow_hyphen_values = true
    )]
    audit_full: Full,

    /// The size from which on the audit log goes on in a new file
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = args::size(ROTATE_RANGE), requires = "audit", allow_hyphen_values = true)]
    audit_rotate: usize,

    /// How many earlier files of the audit log are kept
    #[arg(long, value_name = "FILES", default_value_t = 32, value_parser = args::number(1..=MOST_KEPT), requires = "audit", allow_hyphen_values = true)]
    audit_keep: usize,
}

impl AuditOptions {
    /// Opens the log, if there is to be one, which keeps these outcomes of commands to several.
    ///
    /// # Errors
    /// The file cannot be a log. In a device or a FIFO, which [`Audit::open`] takes, an operator
    /// finds no record.
    pub fn open(&self, outcomes: KeptOutcomes) -> Result<Option<Audit>, AuditError> {
        let Some(file) = &self.audit else {
            return Ok(None);
        };
        let is_special = |found: Metadata| !found.is_file() && !found.is_dir();
        if file.metadata().is_ok_and(is_special) {
            let (file, reason) = (file.clone(), NoLog::Special);
            return Err(AuditError { file, reason });
        }
        let settings = Settings {
            rotate: self.audit_rotate as u64,
            keep: self.audit_keep,
            full: self.audit_full,
            words: self.audit_words.clone(),
            outcomes,
            ..Settings::new(file)
        };
        Audit::open(settings).map(Some)
    }
}
