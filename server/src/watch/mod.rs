//! What is told as it changes: to open pages, and to clients that watch. Each is a [`reader`]; all
//! of them share one [`board`] of members, and what the [telemetry](crate::telemetry) has counted.
//! Clients that watch are told by one [`thread`], which the sessions hand them to ([`watchers`]); a
//! page has a stream of events of its own (`http/events.rs`).

pub(crate) mod board;
pub(crate) mod reader;
pub(crate) mod thread;
pub(crate) mod watchers;
