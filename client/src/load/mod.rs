//! A load generator: measures how many commands a running server relays in a second, and how
//! long each takes, through connections of its own.
//!
//! It leaves the machine to the server: a few threads serve all connections as they become
//! readable, and the usual lines are written from prepared pieces and recognized by their start. It
//! sends only to executors of its own, and these execute only for it. `--run` makes these executors
//! clients like others, which start real programs (`programs`).

#![allow(missing_docs)] // Only `pecking bench` uses it, and most names say enough.

mod conductor;
mod driver;
mod peer;
mod plan;
mod programs;
mod report;
mod sender;

pub use conductor::run;
pub use plan::{Plan, To, Words};
pub use report::{Counts, End, Progress, Report};

use crate::ConnectError;
use std::io;

/// What an executor of a bench answers to other clients.
const NOT_FOR_OTHERS: &str = "this client belongs to a bench, and executes for it alone";

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
