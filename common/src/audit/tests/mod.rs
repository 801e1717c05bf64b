//! A log with its chain, and what its tests share.

mod files;
mod records;
mod room;

use super::record::{Outcome, Record, Stop};
use super::verify::{Verified, verify};
use super::*;
use crate::wire::Status;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A log in a folder of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    fn settings(&self) -> Settings {
        Settings::new(self.file())
    }

    fn open(&self) -> Audit {
        Audit::open(self.settings()).expect("a log")
    }

    /// Every file of the log.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        entries.map(|e| e.expect("an entry").path()).collect()
    }

    fn verified(&self) -> Verified {
        verify(&self.files(), None).expect("it holds together")
    }

    fn content(&self) -> String {
        fs::read_to_string(self.file()).expect("text")
    }
}

fn stop(why: &str) -> Record<'_> {
    Record::Stop(Stop { why })
}

fn outcome(cmd: u64) -> Record<'static> {
    Record::Outcome(Outcome {
        cmd: cmd.into(),
        member: Some(3),
        name: Some("web1"),
        rank: None,
        status: Status::Done,
        exit_code: Some(0),
        signal: None,
        ms: Some(12),
        bytes: Some(0),
        message: None,
    })
}

fn note(audit: &Audit, records: usize) {
    for n in 0..records {
        audit.note(&stop(&format!("record {n}")));
    }
    assert!(audit.settle(PATIENCE), "they are written");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
