//! What became of a command that was executed here.

use common::wire::Leftovers;

/// What an executor answers. Whether the command was cancelled or its time was over is
/// added from what the [`Job`](crate::Job) knows.
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
