//! Why the program ends without having done what it was asked for.

use crate::exit_code::ExitCode;
use client::load::LoadError;
use client::policy::{PolicyError, Refusal};
use client::{Code, ConnectError, RequestError};
use std::io;

/// Why the program ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no connection.
    #[error("{error}{}", hint(.error))]
    Connect {
        /// Why.
        #[from]
        error: ConnectError,
    },
    /// The server did not answer a question, or went before a command was sent.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// Options that are right by themselves make no sense together.
    #[error("{0}")]
    Usage(String),
    /// A bench has measured nothing.
    #[error("{error}{}", bench_hint(.error))]
    Bench {
        /// Why.
        #[from]
        error: LoadError,
    },
    /// The policy cannot be used.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The policy does not run a command that was tried.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// Running anything, as root, without saying so twice.
    #[error(
        "--allow-any as root gives this machine away; add --allow-root if that is what you want"
    )]
    AnyAsRoot,
    /// A signal came before there was anything to wait for.
    #[error("interrupted")]
    Interrupted,
    /// Standard output does not take what is to be shown.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The system has no thread for it.
    #[error("cannot start a thread: {0}")]
    NoThread(io::Error),
    /// Signals or the terminal cannot be handled.
    #[error("cannot handle {what}: {why}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl Failure {
    /// What it counts as.
    pub(crate) fn exit(&self) -> ExitCode {
        match self {
            Failure::Connect {
                error: ConnectError::NoToken(_),
            }
            | Failure::Policy(_)
            | Failure::AnyAsRoot
            | Failure::Usage(_)
            | Failure::Bench {
                error: LoadError::TooLong { .. },
            }
            | Failure::Request(RequestError::TooLong { .. }) => ExitCode::Usage,
            Failure::Bench {
                error: LoadError::Join { error, .. },
            } if matches!(**error, ConnectError::NoToken(_)) => ExitCode::Usage,
            Failure::Refused(_) => ExitCode::Refused,
            Failure::Interrupted
            | Failure::Bench {
                error: LoadError::Interrupted,
            } => ExitCode::Interrupted,
            Failure::Output(_) => ExitCode::Failed,
            _ => ExitCode::NotConnected,
        }
    }
}

/// What would help against that, beyond what it says.
fn bench_hint(error: &LoadError) -> String {
    match error {
        LoadError::Join { error, wanted, .. } => {
            let is_full = error.rpc().is_some_and(|rpc| rpc.is(Code::Full));
            match is_full {
                true => {
                    format!(
                        " (`pecking-server {wanted}` has a place for each, if nobody else is there)"
                    )
                }
                false => hint(error).into(),
            }
        }
        _ => String::new(),
    }
}

/// What would help against a refusal, beyond what the server says.
fn hint(error: &ConnectError) -> &'static str {
    let is = |code| error.rpc().is_some_and(|rpc| rpc.is(code));
    if is(Code::Full) {
        " (--wait waits for a place)"
    } else if is(Code::NameTaken) {
        " (--wait waits until it is free)"
    } else if is(Code::Unauthorized) {
        " (--token-file FILE gives a token)"
    } else {
        ""
    }
}
