//! Why the program ends without having done what it was asked for.

use crate::exit::Exit;
use client::policy::{PolicyError, Refusal};
use client::{Code, ConnectError, RequestError};
use std::io;
use std::path::PathBuf;

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
    /// The token could not be read.
    #[error("cannot read a token from {}: {what}", path.display())]
    TokenFile {
        /// Of which file.
        path: PathBuf,
        /// Why.
        what: String,
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
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::TokenFile { .. }
            | Failure::Policy(_)
            | Failure::AnyAsRoot
            | Failure::Request(RequestError::TooLong { .. }) => Exit::Usage,
            Failure::Refused(_) => Exit::Refused,
            Failure::Interrupted => Exit::Interrupted,
            Failure::Output(_) => Exit::Failed,
            _ => Exit::NotConnected,
        }
    }
}

/// What would help against a refusal, beyond what the server says.
fn hint(error: &ConnectError) -> &'static str {
    let is = |code| error.rpc().is_some_and(|rpc| rpc.is(code));
    if is(Code::Full) {
        " (--wait waits for a place)"
    } else if is(Code::Unauthorized) {
        " (--token-file FILE gives a token)"
    } else {
        ""
    }
}
