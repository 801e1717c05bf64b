//! Why a request of this client's was not done.

use common::wire::message::{Code, RpcError};
use std::time::Duration;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server answered with an error: `no_target`, `outranked`, `busy`, ...
    #[error("{0}")]
    Rpc(Box<RpcError>),
    /// There was no connection before the request was written: nothing has happened.
    #[error("there is no connection to the server")]
    NotConnected,
    /// The connection ended before the answer came: it may have happened or not.
    #[error("the server was lost before it answered")]
    Lost,
    /// The request is longer than the server takes.
    #[error("the request has {bytes} bytes; the server takes at most {max}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The server lives and does not answer.
    #[error("the server did not answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The system has no thread for what follows the answer, and why.
    #[error("cannot start a thread: {0}")]
    NoThread(String),
    /// The server's answer is none to this request.
    #[error("the server's answer makes no sense: {0}")]
    Malformed(String),
}

impl RequestError {
    /// The protocol's code, if the server answered with one.
    pub fn code(&self) -> Option<Code> {
        match self {
            RequestError::Rpc(error) => Code::from_number(error.code),
            _ => None,
        }
    }
}

impl From<RpcError> for RequestError {
    fn from(error: RpcError) -> RequestError {
        RequestError::Rpc(Box::new(error))
    }
}
