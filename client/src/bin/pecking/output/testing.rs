//! Outcomes for tests.

use client::{Leftovers, Outcome, Status};

/// An outcome at a target with this name, of rank and number 1.
pub(crate) fn outcome(name: &str, status: Status, exit_code: Option<i64>) -> Outcome {
    Outcome {
        member: Some(1),
        name: Some(name.into()),
        rank: Some(1),
        status,
        exit_code,
        signal: None,
        stdout: Vec::new(),
        stderr: Vec::new(),
        elapsed: None,
        truncated: false,
        leftovers: Leftovers::default(),
        message: None,
        started: None,
    }
}
