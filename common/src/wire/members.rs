//! `members` and `rank`: the ranked clients, and this client's place among them.

use crate::wire::identity::Identity;
use crate::wire::name::Name;
use crate::wire::tags::Tags;
use crate::wire::tier::Tier;
use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

/// What `members` takes.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct MembersQuery {
    pub from: Option<u64>,
    pub limit: Option<u64>,
    /// Whether to tell which machines are expected, with the first part of the list.
    pub expected: Option<bool>,
}

/// One line of the ranking.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Member {
    pub member: u64,
    pub name: Name<'static>,
    pub rank: u32,
    /// Its tier; a server that does not say so has that one only.
    #[serde(default)]
    pub tier: Tier,
    /// Where it dialled in from, `ip:port`; left out if the client that asks has not the right to list.
    pub address: Option<String>,
    /// The identity that it has proven, at a server that knows identities; left out as the
    /// address is. So it is with its role.
    pub identity: Option<Identity<'static>>,
    /// Its role.
    pub role: Option<Name<'static>>,
    /// What it says of itself, for selectors.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// How many commands it executes at once.
    pub slots: u32,
    pub running: u32,
    pub queued: u32,
    /// How long ago it joined, in milliseconds.
    pub joined_ms: u64,
    /// How long ago its connection broke, in milliseconds, if it may still come back.
    pub away_ms: Option<u64>,
}

/// What `members` gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Members {
    pub members: Vec<Member>,
    pub total: u32,
    /// How many the server accepts.
    pub max: u32,
    /// The machines that ought to be here, in order, if that was asked and the server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Vec<Name<'static>>>,
}

/// `rank`: this client's own rank changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rank {
    pub rank: u32,
    pub members: u32,
}
