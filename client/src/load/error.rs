//! Why a bench has measured nothing.

use crate::error::ConnectError;
use std::io;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// One of its clients could not join.
    #[error("{error}; {joined} of the {wanted} clients of this bench had joined")]
    Join {
        error: Box<ConnectError>,
        joined: u64,
        wanted: u64,
    },
    /// The system does not allow so many connections, and pipes of programs.
    #[error(
        "{wanted} open files, for connections and programs, are more than the {limit} that the system \
         allows; raise that limit (ulimit -n) or ask for fewer"
    )]
    Descriptors { wanted: u64, limit: u64 },
    /// Another client is there, and the bench must be alone.
    #[error(
        "another client is here; beside other clients a bench commands its own only by name, \
         so use --to name, or a server without other clients"
    )]
    NotAlone,
    /// A line would be longer than the server takes.
    #[error("a {what} would have {bytes} bytes; this server takes lines of at most {max}")]
    TooLong {
        what: &'static str,
        bytes: usize,
        max: usize,
    },
    /// The server went before anything was measured.
    #[error("the server went before anything was measured: {0}")]
    Lost(String),
    /// The server does not let it send.
    #[error("{0}; a bench needs a role that may send, to clients of any name")]
    Forbidden(String),
    /// It was told to stop before anything was measured.
    #[error("interrupted before anything was measured")]
    Interrupted,
    /// The system has no threads or pollers left.
    #[error("the system gives no threads or pollers: {0}")]
    System(#[from] io::Error),
}
