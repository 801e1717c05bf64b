//! The executor: a trait that any closure fulfils, its result, and the simulation of the two
//! original programs, which run nothing.

use crate::execute::job::Job;
use crate::execute::witness::Witness;
use common::audit::Audit;
use common::sys::sync::Arc;
use common::wire::Leftovers;
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

/// What an executor answers. Whether the command was cancelled or its time was over is
/// added from what the [`Job`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionResult {
    /// It ran and ended.
    Ended(Execution),
    /// The policy does not run this command, and what it would accept.
    Refused(String),
    /// There is no such program or command.
    NotFound(String),
    /// It could not be started, and why.
    Failed(String),
}

/// How a command ended that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// How it exited by itself.
    pub exit_code: Option<i64>,
    /// The signal that ended it, by name: `SIGKILL`.
    pub signal: Option<String>,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote as errors.
    pub stderr: Vec<u8>,
    /// Output was cut at a bound.
    pub truncated: bool,
    /// How many processes it left behind, and how many of them were ended.
    pub leftovers: Leftovers,
}

impl ExecutionResult {
    /// It exited by itself, and wrote this to its standard output.
    pub fn exited(exit_code: i64, stdout: impl Into<Vec<u8>>) -> ExecutionResult {
        ExecutionResult::Ended(Execution {
            exit_code: Some(exit_code),
            stdout: stdout.into(),
            ..Execution::default()
        })
    }

    /// The same with at most `limit` bytes of each text.
    pub(crate) fn clipped(&self, limit: usize) -> ExecutionResult {
        let clip = |bytes: &[u8]| bytes[..bytes.len().min(limit)].to_vec();
        let cut = |text: &str| text[..text.floor_char_boundary(limit)].to_owned();
        match self {
            ExecutionResult::Ended(ended) => ExecutionResult::Ended(Execution {
                exit_code: ended.exit_code,
                signal: ended.signal.clone(),
                stdout: clip(&ended.stdout),
                stderr: clip(&ended.stderr),
                truncated: ended.truncated || ended.stdout.len().max(ended.stderr.len()) > limit,
                leftovers: ended.leftovers,
            }),
            ExecutionResult::Refused(message) => ExecutionResult::Refused(cut(message)),
            ExecutionResult::NotFound(message) => ExecutionResult::NotFound(cut(message)),
            ExecutionResult::Failed(message) => ExecutionResult::Failed(cut(message)),
        }
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
