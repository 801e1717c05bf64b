//! What executes for the bench's own senders, at once, and for nobody else. Idle clients are
//! executors that nobody sends to.

use common::wire::ExecutionResult;
use common::wire::fast_decode::execute_from;
use common::wire::fast_encode::Prepared;
use common::wire::message::{Code, Id, RpcError, error_line, result_line};

/// What executors share.
pub(super) struct Executor {
    /// What the names of those begin with that it executes for.
    senders: String,
    /// Its answer to each of them.
    answer: Prepared,
}

impl Executor {
    /// Executes for clients whose names begin so; each result has this many bytes.
    pub(super) fn new(senders: String, result: usize) -> Executor {
        let executed = ExecutionResult {
            exit_code: Some(0),
            stdout: (result > 0).then(|| "=".repeat(result).into()),
            ..ExecutionResult::default()
        };
        Executor {
            senders,
            answer: Prepared::new(&result_line(&0.into(), executed)),
        }
    }

    /// Bytes of its longest line.
    pub(super) fn longest_line(&self) -> usize {
        self.answer.longest()
    }

    /// Executes, if the line is a command of one of its senders; says whether it was.
    pub(super) fn take(&self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let id = execute_from(line, self.senders.as_bytes());
        if let Some(id) = id {
            self.answer.append(id, out);
        }
        id.is_some()
    }

    /// What somebody else is told.
    pub(super) fn refuse(id: Id, out: &mut Vec<u8>) {
        let message = "this client belongs to a bench, and executes for nobody else";
        let error = RpcError::new(Code::Refused, message);
        out.extend_from_slice(&error_line(Some(id), &error));
    }
}
