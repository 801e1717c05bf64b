//! The exit codes of the program, and which of several counts. The help (`cli/help.rs`) and README
//! list them, too; `cli/tests.rs` holds both against this.

use client::{Code, Outcome, RequestError, Status};
use nix::sys::signal::Signal;
use serde::Serialize;
use std::str::FromStr;

/// The exit codes from best to worst: of several, the worst counts. So `Cut` counts only if every
/// command ended with 0, and `Unread` counts more than the outcomes that its reader missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
pub(crate) enum ExitCode {
    #[default]
    Done,
    /// All done with exit code 0, and output of some was cut.
    Cut,
    /// A command ended with another code or by a signal, or could not be started; targets were skipped;
    /// input could not be read, or what was to be kept not be written.
    Failed,
    /// The selector finds no client that can execute, or names one that is absent.
    NoTarget,
    /// A policy, a role, a rank, a full queue or an audit log stood against it.
    Refused,
    TimedOut,
    /// The command line, or a piped line, makes no sense.
    Usage,
    /// No connection, or not admitted; and all that no other code is for.
    NotConnected,
    /// The server or the target went while it was under way.
    Lost,
    /// The reader of standard output has gone.
    Unread,
    Interrupted,
    /// Not in the order: what `--exit-code` makes of all of them.
    OfCommands(u8),
}

/// The exit code of `--exit-code` for everything that is no command's own exit code.
const OURS: u8 = 255;

/// What a shell adds to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;

impl From<ExitCode> for u8 {
    fn from(exit: ExitCode) -> u8 {
        exit.code()
    }
}

impl ExitCode {
    /// The code that a shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            ExitCode::Done => 0,
            ExitCode::Failed => 1,
            ExitCode::Usage => 2,
            ExitCode::Lost => 3,
            ExitCode::NoTarget => 4,
            ExitCode::Refused => 5,
            ExitCode::Cut => 6,
            ExitCode::TimedOut => 124,
            ExitCode::Interrupted => 130,
            // 128 and the number of SIGPIPE, as a shell has it.
            ExitCode::Unread => 141,
            ExitCode::NotConnected => 255,
            ExitCode::OfCommands(code) => code,
        }
    }

    pub(crate) fn of_outcome(outcome: &Outcome) -> ExitCode {
        match outcome.status {
            Status::Done if outcome.exit_code != Some(0) => ExitCode::Failed,
            Status::Done if outcome.truncated => ExitCode::Cut,
            status => ExitCode::of_status(status),
        }
    }

    pub(crate) fn of_status(status: Status) -> ExitCode {
        match status {
            Status::Done => ExitCode::Done,
            Status::NotFound | Status::Failed => ExitCode::Failed,
            Status::Absent => ExitCode::NoTarget,
            Status::Refused | Status::Outranked | Status::Forbidden | Status::Busy => {
                ExitCode::Refused
            }
            Status::TimedOut => ExitCode::TimedOut,
            Status::Cancelled => ExitCode::Interrupted,
            Status::Lost => ExitCode::Lost,
        }
    }

    pub(crate) fn of_error(error: &RequestError) -> ExitCode {
        match error {
            RequestError::TooLong { .. } => ExitCode::Usage,
            RequestError::Lost | RequestError::TimedOut(_) => ExitCode::Lost,
            _ => error
                .code()
                .map_or(ExitCode::NotConnected, ExitCode::of_code),
        }
    }

    pub(crate) fn of_code(code: Code) -> ExitCode {
        match code {
            Code::NoTarget => ExitCode::NoTarget,
            Code::Outranked | Code::Busy | Code::Refused => ExitCode::Refused,
            Code::Forbidden | Code::AuditUnavailable => ExitCode::Refused,
            Code::InvalidParams => ExitCode::Usage,
            _ => ExitCode::NotConnected,
        }
    }

    /// What `--exit-code` makes of a run that failed before there were commands.
    pub(crate) fn ours() -> ExitCode {
        ExitCode::OfCommands(OURS)
    }
}

/// Collects what the exit code of a run is made of.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    worst: ExitCode,
    /// The highest exit code of the commands themselves.
    highest: u8,
}

impl Exits {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.worst = self.worst.max(ExitCode::of_outcome(outcome));
        self.highest = self.highest.max(own_code(outcome));
    }

    /// Takes what is no outcome into account.
    pub(crate) fn fail(&mut self, exit: ExitCode) {
        self.worst = self.worst.max(exit);
        self.highest = OURS;
    }

    /// The exit code of the program: by the table, or with `--exit-code`.
    pub(crate) fn exit(&self, is_of_commands: bool) -> ExitCode {
        match is_of_commands {
            true => ExitCode::OfCommands(self.highest),
            false => self.worst,
        }
    }
}

/// The exit code of a command itself, as a shell would tell it.
fn own_code(outcome: &Outcome) -> u8 {
    let code = match (outcome.status, outcome.exit_code, &outcome.signal) {
        (Status::Done, Some(code), _) => u8::try_from(code).ok(),
        (Status::Done, None, Some(signal)) => Signal::from_str(signal)
            .ok()
            .and_then(|signal| u8::try_from(BY_SIGNAL + signal as i32).ok()),
        _ => None,
    };
    code.unwrap_or(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::outcome;
    use client::RpcError;

    #[test]
    fn with_exit_code_the_highest_of_the_commands_counts_and_255_is_ours() {
        for (ends, expected) in [
            (&[(Status::Done, Some(0), None)][..], 0),
            (
                &[(Status::Done, Some(3), None), (Status::Done, Some(2), None)],
                3,
            ),
            (
                &[
                    (Status::Done, None, Some("SIGKILL")),
                    (Status::Done, Some(2), None),
                ],
                137,
            ),
            (&[(Status::Done, None, Some("SIGNONE"))], 255),
            (&[(Status::Done, Some(-1), None)], 255),
            (&[(Status::Done, Some(256), None)], 255),
            (
                &[
                    (Status::TimedOut, Some(0), None),
                    (Status::Done, Some(2), None),
                ],
                255,
            ),
            (&[(Status::Refused, None, None)], 255),
        ] {
            let mut exits = Exits::default();
            for (status, code, signal) in ends {
                let mut outcome = outcome("web1", *status, *code);
                outcome.signal = signal.map(str::to_owned);
                exits.add(&outcome);
            }
            assert_eq!(exits.exit(true).code(), expected, "{ends:?}");
        }
        let mut exits = Exits::default();
        exits.add(&outcome("web1", Status::Done, Some(3)));
        exits.fail(ExitCode::Interrupted);
        assert_eq!([true, false].map(|is| exits.exit(is).code()), [255, 130]);
    }

    #[test]
    fn the_worst_of_several_counts() {
        let order = [
            ExitCode::Interrupted,
            ExitCode::Unread,
            ExitCode::Lost,
            ExitCode::TimedOut,
            ExitCode::Refused,
            ExitCode::NoTarget,
            ExitCode::Failed,
            ExitCode::Cut,
            ExitCode::Done,
        ];
        assert_eq!(order.map(ExitCode::code), [130, 141, 3, 124, 5, 4, 1, 6, 0]);
        assert!(order.is_sorted_by(|worse, better| worse > better));
    }

    #[test]
    fn errors_have_their_codes() {
        for (code, exit) in [
            (Code::NoTarget, 4),
            (Code::Outranked, 5),
            (Code::Busy, 5),
            (Code::Forbidden, 5),
            (Code::AuditUnavailable, 5),
            (Code::ShuttingDown, 255),
            (Code::InvalidParams, 2),
        ] {
            let error = RequestError::from(RpcError::new(code, "x"));
            assert_eq!(ExitCode::of_error(&error).code(), exit, "{code:?}");
        }
        assert_eq!(ExitCode::of_error(&RequestError::Lost).code(), 3);
        assert_eq!(ExitCode::of_error(&RequestError::NotConnected).code(), 255);
    }
}
