//! The executor: a trait that any closure fulfils, and the simulation of the two original programs,
//! which run nothing.

use crate::execute::job::Job;
use crate::execute::result::ExecutionResult;
use crate::execute::witness::Witness;
use common::audit::Audit;
use common::sys::sync::Arc;
use std::time::Duration;

/// Executes commands. Called from as many threads at once as the client has slots; each
/// such thread stays until the client closes.
pub trait Executor: Send + Sync + 'static {
    /// Executes one command and says what became of it. It should return soon after
    /// [`Job::stop_reason`] has a reason; no other thread can end it.
    fn execute(&self, job: &Job) -> ExecutionResult;

    /// A command has arrived. Called in the order of arrival; it must return at once.
    /// [`Executor::execute`] follows once there is a slot, or [`Executor::discarded`].
    fn enqueued(&self, _job: &Job) {}

    /// A command that was taken in is no longer wanted, and is not executed.
    fn discarded(&self, _job: &Job) {}

    /// Whether a process of a command still runs after [`Executor::execute`] has returned. The same
    /// thread asks again and again, and the command's slot stays taken, until this is false. It may
    /// wait up to this long for that.
    fn still_runs(&self, _job: &Job, _wait: Duration) -> bool {
        false
    }
}

impl<F: Fn(&Job) -> ExecutionResult + Send + Sync + 'static> Executor for F {
    fn execute(&self, job: &Job) -> ExecutionResult {
        self(job)
    }
}

/// One executor for several clients, or for one that connects again.
#[derive(Clone, derive_more::Debug)]
#[debug("SharedExecutor")]
pub struct SharedExecutor {
    executor: Arc<dyn Executor>,
    witness: Witness,
}

impl SharedExecutor {
    /// Shares an executor.
    pub fn new(executor: impl Executor) -> SharedExecutor {
        SharedExecutor::with_audit(executor, None)
    }

    /// Shares an executor that starts no programs, and with a log puts on record what it does; a
    /// command that cannot be on record is not executed. Of programs,
    /// [`Processes`](crate::Processes) knows more.
    pub fn with_audit(executor: impl Executor, audit: Option<Audit>) -> SharedExecutor {
        SharedExecutor {
            executor: Arc::new(executor),
            witness: Witness(audit),
        }
    }
}

impl Executor for SharedExecutor {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let witnessed = match self.witness.begin(job, None) {
            Ok(witnessed) => witnessed,
            Err(answer) => {
                self.executor.discarded(job);
                return answer;
            }
        };
        let answer = self.executor.execute(job);
        witnessed.end(job, &answer);
        answer
    }

    fn enqueued(&self, job: &Job) {
        self.executor.enqueued(job);
    }

    fn discarded(&self, job: &Job) {
        self.executor.discarded(job);
    }

    fn still_runs(&self, job: &Job, wait: Duration) -> bool {
        self.executor.still_runs(job, wait)
    }
}

/// What the original programs do with a command: they say that they do it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulation;

impl Executor for Simulation {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let word = job.words().join(" ");
        ExecutionResult::exited(0, format!("i am {word}ing watch me {word}\n"))
    }
}
