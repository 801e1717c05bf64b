//! What is known of an outcome: at which target, and besides its status.

use common::wire::{ExecutionResult, Status, Text};

/// A target as others are told of it, with its rank as of when the command was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetInfo<'a> {
    pub(crate) member: u64,
    pub(crate) name: &'a str,
    pub(crate) rank: u32,
}

/// What an outcome says besides its target and its status.
#[derive(Debug, Default)]
pub(crate) struct OutcomeDetails<'a> {
    pub(crate) executed: ExecutionResult<'a>,
    pub(crate) message: Option<Text<'a>>,
    pub(crate) elapsed_ms: Option<u64>,
    pub(crate) started: Option<bool>,
    /// Bytes of output that went to the sender, if that is known.
    pub(crate) output: Option<u64>,
}

impl<'a> OutcomeDetails<'a> {
    /// Those of an outcome that has a message.
    pub(crate) fn saying(message: impl Into<Text<'a>>) -> OutcomeDetails<'a> {
        OutcomeDetails {
            message: Some(message.into()),
            ..OutcomeDetails::default()
        }
    }

    /// Whether the command ran and ended with exit code 0.
    pub(crate) fn is_success(&self, status: Status) -> bool {
        status == Status::Done && self.executed.exit_code == Some(0)
    }
}
