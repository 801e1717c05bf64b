//! `bye`: the last line before the server closes a connection.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why the server says `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ByeReason {
    ShuttingDown,
    /// This client did not take what was sent to it.
    SlowConsumer,
    /// This client sent too many malformed lines.
    TooManyErrors,
    /// This connection did not join in time.
    IdleHandshake,
    /// The credential of this client no longer gives what it joined with.
    Revoked,
    /// The time of the credential of this client is over.
    Expired,
    /// Another client with the same credential has taken its place.
    Replaced,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

impl ByeReason {
    /// Those that are final.
    pub const FINAL: [ByeReason; 3] = [ByeReason::Revoked, ByeReason::Expired, ByeReason::Replaced];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the client is not to come back: the server would send it away again, or it would
    /// push out the client that has taken its place.
    pub fn is_final(self) -> bool {
        ByeReason::FINAL.contains(&self)
    }
}

/// `bye`: the last line before the server closes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bye<'a> {
    pub reason: ByeReason,
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// Whether the place is held for the next start of the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}
