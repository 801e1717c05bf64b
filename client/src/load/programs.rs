//! Executors of a bench that really start a program for each command: clients of the library, each
//! with its threads, as `pecking work` is one.
//!
//! They take from the machine what such clients take, so their bench says more of a fleet, and less of
//! the server.

use crate::execute::executor::{Executor, SharedExecutor};
use crate::execute::job::Job;
use crate::execute::result::ExecutionResult;
use crate::process::{Processes, find_program, is_program, watchdog};
use std::io;
use std::time::Duration;

/// What an executor of a bench answers to other clients, whether it runs programs or not.
pub(super) const NOT_FOR_OTHERS: &str = "this client belongs to a bench, and executes for it alone";

/// Finds out whether a program could start.
///
/// # Errors
/// Why not.
pub(super) fn check(words: &[String]) -> Result<(), String> {
    match find_program(&words[0]) {
        Err(ExecutionResult::NotFound(why) | ExecutionResult::Failed(why)) => Err(why),
        Ok(path) if !is_program(&path) => Err(format!("there is no program {:?}", words[0])),
        _ => Ok(()),
    }
}

/// Runs one program, for the senders of its bench, and refuses everything else.
struct Programs {
    /// The start of the names of those senders.
    senders: String,
    words: Vec<String>,
    processes: Processes,
}

/// What executes for all executors of a bench; a watchdog ends what it started if this process is
/// killed.
pub(super) fn executor(senders: String, words: &[String]) -> io::Result<SharedExecutor> {
    watchdog::start()?;
    Ok(SharedExecutor::new(Programs {
        senders,
        words: words.to_vec(),
        processes: Processes::allow_any()?,
    }))
}

impl Executor for Programs {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let is_own = job.origin().name.starts_with(&self.senders) && job.words() == self.words;
        match is_own {
            true => self.processes.execute(job),
            false => ExecutionResult::Refused(NOT_FOR_OTHERS.into()),
        }
    }

    fn still_runs(&self, job: &Job, wait: Duration) -> bool {
        self.processes.still_runs(job, wait)
    }
}
