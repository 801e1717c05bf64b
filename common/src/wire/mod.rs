//! The wire: what goes over a connection, as types, and how it is encoded and decoded.
//! `PROTOCOL.md` says in words what each message means.
//!
//! - [`message`] decodes the JSON-RPC envelope of a line, `encode` writes it, [`error`] has the
//!   table of error codes. They know no method.
//! - A module for each method has its parameters and its result as types with serde forms.
//! - [`fast_encode`] and [`fast_decode`] write and read the lines that travel most without a
//!   general parser. A property test holds them equal to the serde forms.
//! - [`selector`] reads the targets of a `send`; it does not decide which clients they are.

#![allow(missing_docs)] // PROTOCOL.md describes the members of each message.

mod bye;
mod encode;
pub mod error;
mod execute;
pub mod fast_decode;
pub mod fast_encode;
mod id;
mod identity;
mod input;
mod jobs;
mod join;
mod members;
pub mod message;
pub mod method;
pub mod name;
mod outcome;
mod output;
mod right;
mod select;
pub mod selector;
mod send;
pub mod tags;
#[cfg(test)]
mod tests;
pub mod text;
pub mod tier;
pub mod watch;
pub mod wildcard;
mod words;

pub use bye::{Bye, ByeReason};
pub use execute::{CancelExecution, Execute, ExecutionResult, Leftovers, Origin};
pub use identity::Identity;
pub use input::{ExecutionInput, ExecutionInputConsumed, SendInput, SendInputConsumed, Stdin};
pub use jobs::{
    CancelJob, Detach, Detached, JobEvent, JobEvents, JobId, JobOutput, JobQuery, JobSummary, Jobs,
    JobsQuery,
};
pub use join::{Ack, Credential, Join, Joined, Resumable, Resume, ResumeToken, Resumed, Staying};
pub use members::{Member, Members, MembersQuery, Rank};
pub use outcome::{Outcome, Status, Tally};
pub use output::{
    ExecutionConsumed, ExecutionOutput, OutputStream, SendConsumed, SendOutput, base64_len,
    decode_output, encode_output,
};
pub use right::Right;
pub use select::{Kind, Reach, SelectQuery, SelectQueryOut, Selected, SelectedTarget};
pub use send::{Accepted, Cancel, Refused, Send, SendOut, Started};
pub use tags::Tags;
pub use text::Text;
pub use tier::Tier;
pub use words::Words;

use serde::{Deserialize, Deserializer, Serialize};

/// An object without members.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Empty {}

/// A member that is `null` counts as left out.
pub(crate) fn null_is_false<'de, D: Deserializer<'de>>(json: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or_default())
}
