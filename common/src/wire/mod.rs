//! What the methods of the protocol take and give, as types. `PROTOCOL.md` says in words
//! what each means; this module says how it is written.

mod encode;
pub mod error;
mod execution;
pub mod fast_decode;
mod id;
pub mod message;
pub mod name;
mod outcome;
mod output;
mod ranking;
pub mod selector;
pub mod text;
mod wildcard;
mod words;

pub use crate::wire::text::Text;
pub use crate::wire::words::Words;
pub use execution::{
    Cancel, CancelExecution, Execute, ExecutionResult, Leftovers, Origin, Refused, Send, SendOut,
};
pub use outcome::{Accepted, Outcome, Status, Tally};
pub use output::{
    ExecutionConsumed, ExecutionOutput, OutputStream, SendConsumed, SendOutput, base64_len,
};
pub use ranking::{Credential, Join, Joined, Member, Members, MembersQuery, Rank};

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The methods' names.
pub mod method {
    #![allow(missing_docs)]
    pub const JOIN: &str = "join";
    pub const SEND: &str = "send";
    pub const CANCEL: &str = "cancel";
    pub const MEMBERS: &str = "members";
    pub const LEAVE: &str = "leave";
    pub const PING: &str = "ping";
    pub const EXECUTE: &str = "execute";
    pub const OUTPUT: &str = "output";
    pub const CONSUMED: &str = "consumed";
    pub const ACCEPTED: &str = "accepted";
    pub const OUTCOME: &str = "outcome";
    pub const RANK: &str = "rank";
    pub const REFUSED: &str = "refused";
    pub const BYE: &str = "bye";
}

/// An object without members.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Empty {}

/// Why the server says `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// It stops.
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
    /// For programs.
    pub reason: ByeReason,
    /// For people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
