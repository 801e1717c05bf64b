//! Why the program ends without having done what it was asked for.

use crate::exit_code::ExitCode;
use client::load::LoadError;
use client::policy::{PolicyError, Refusal};
use client::{Code, ConnectError, RequestError};
use common::audit::AuditError;
use std::io;

/// Why the program ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{error}{hint}", error = .0, hint = hint(.0))]
    Connect(#[from] ConnectError),
    /// The server did not answer a question, or went before a command was sent.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// The same, with what a user can do about it.
    #[error("{message}")]
    NotSent {
        message: String,
        error: RequestError,
    },
    #[error("{0}")]
    Usage(String),
    #[error("{error}{hint}", error = .0, hint = bench_hint(.0))]
    Bench(#[from] LoadError),
    #[error("{0}")]
    Policy(#[from] PolicyError),
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    #[error(
        "--allow-any as root gives this machine away; add --allow-root if that is what you want"
    )]
    AnyAsRoot,
    #[error("{0}")]
    Audit(#[from] AuditError),
    /// There was a connection, and there will be none any more.
    #[error("{0}")]
    Gone(String),
    #[error("interrupted")]
    Interrupted,
    #[error("not sent: it was not confirmed")]
    NotConfirmed,
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("cannot read standard input, so the command was cancelled: {0}")]
    Input(io::Error),
    #[error("cannot start a thread: {0}")]
    NoThread(io::Error),
    #[error("cannot handle {what}: {why}")]
    System { what: &'static str, why: String },
}

impl Failure {
    /// The failure as one word for programs: the reason on the wire, if the server gave one.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Failure::Connect(error) => {
                let code = error.rpc().and_then(|rpc| Code::from_number(rpc.code));
                code.map_or("not_connected", Code::reason)
            }
            Failure::Request(error) | Failure::NotSent { error, .. } => refusal_word(error),
            Failure::Gone(_) => "not_connected",
            Failure::Interrupted => "interrupted",
            Failure::NotConfirmed => "not_confirmed",
            Failure::Output(_) => "output",
            _ if self.exit_code() == ExitCode::Usage => "usage",
            _ => "system",
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Bench(LoadError::Join { error, .. }) => of_connect(error),
            Failure::Connect(error) => of_connect(error),
            Failure::Policy(_)
            | Failure::Audit(_)
            | Failure::AnyAsRoot
            | Failure::Usage(_)
            | Failure::Bench(LoadError::TooLong { .. })
            | Failure::Request(RequestError::TooLong { .. }) => ExitCode::Usage,
            Failure::NotSent { error, .. } => ExitCode::of_error(error),
            Failure::Refused(_) | Failure::Bench(LoadError::Forbidden(_)) => ExitCode::Refused,
            Failure::Interrupted
            | Failure::NotConfirmed
            | Failure::Bench(LoadError::Interrupted) => ExitCode::Interrupted,
            Failure::Output(_) | Failure::Input(_) => ExitCode::Failed,
            _ => ExitCode::NotConnected,
        }
    }
}

/// Why a command was not sent, as one word for programs: the reason on the wire, if the server gave
/// one.
pub(crate) fn refusal_word(error: &RequestError) -> &'static str {
    match error {
        RequestError::Rpc(_) => error.code().map_or("refused", Code::reason),
        RequestError::NotConnected => "not_connected",
        RequestError::Lost => "lost",
        RequestError::TooLong { .. } => "too_long",
        RequestError::TimedOut(_) => "timed_out",
        _ => "malformed",
    }
}

fn of_connect(error: &ConnectError) -> ExitCode {
    match error {
        ConnectError::NoToken(_) | ConnectError::NoTls(_) | ConnectError::InTheClear { .. } => {
            ExitCode::Usage
        }
        _ => ExitCode::NotConnected,
    }
}

/// What the user can do about a bench that did not start.
fn bench_hint(error: &LoadError) -> String {
    match error {
        LoadError::Join { error, wanted, .. } if error.rpc().is_some_and(|e| e.is(Code::Full)) => {
            format!(
                " (`pecking-server {wanted}` has a place for each, if no other client is there)"
            )
        }
        LoadError::Join { error, .. } => hint(error).into(),
        _ => String::new(),
    }
}

/// Whether the server asks for a token. What was shown and does not count is mended by the server's
/// operator, and not by another file here.
fn is_asked_for(error: &ConnectError) -> bool {
    let rpc = error.rpc();
    rpc.is_some_and(|rpc| rpc.message.contains("asks for a token"))
}

/// What the user can do about it, beyond what the server says.
fn hint(error: &ConnectError) -> &'static str {
    let is = |code| error.rpc().is_some_and(|rpc| rpc.is(code));
    if is(Code::Full) {
        " (--wait waits for a place)"
    } else if is(Code::NameTaken) {
        " (--wait waits until it is free)"
    } else if is(Code::Unauthorized) && is_asked_for(error) {
        " (--token-file FILE gives a token)"
    } else {
        ""
    }
}
