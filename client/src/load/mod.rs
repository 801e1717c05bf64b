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
mod error;
mod peer;
mod plan;
mod programs;
mod report;
mod sender;

pub use conductor::run;
pub use error::LoadError;
pub use plan::{Plan, To, Words};
pub use report::{Counts, End, Progress, Report};
