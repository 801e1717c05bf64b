//! `bye`: the last line before the server closes a connection.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why the server says `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    ShuttingDown,
    /// This client did not take what was sent to it.
    SlowConsumer,
    /// This client sent too many malformed lines.
    TooManyErrors,
    /// This connection did not join in time.
    IdleHandshake,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

/// `bye`: the last line before the server closes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bye<'a> {
    pub reason: ByeReason,
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}
