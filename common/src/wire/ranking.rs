//! Who is here, and in which order.

use crate::wire::name::Name;
use crate::wire::text::Text;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What `join` takes; the numbers are held to their ranges by the server.
#[derive(Debug, Deserialize, Serialize)]
pub struct Join<'a> {
    /// The version of the protocol.
    pub protocol: u64,
    /// The name it asks for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    /// How many commands it executes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// The server's credential.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Credential<'a>>,
}

/// The token that a `join` shows: neither an error nor a log repeats it, whatever its type.
#[derive(Serialize)]
pub struct Credential<'a>(Text<'a>);

impl Credential<'_> {
    /// The token.
    pub fn reveal(&self) -> Cow<'_, str> {
        self.0.decoded()
    }
}

impl<'a> From<&'a str> for Credential<'a> {
    fn from(token: &'a str) -> Credential<'a> {
        Credential(token.into())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Credential<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer);
        text.map(Credential)
            .map_err(|_| D::Error::custom("expected a string"))
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What `join` gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Joined {
    /// The number of this client, never used again while the server runs.
    pub member: u64,
    /// Its name.
    pub name: Name<'static>,
    /// Its rank; 0 is the highest.
    pub rank: u32,
    /// How many are ranked, itself included.
    pub members: u32,
    /// After how long a silence a sign of life is asked for, in milliseconds.
    pub heartbeat_ms: u64,
    /// The longest line that the server takes, in bytes, its `\n` included.
    pub max_line: usize,
}

/// What `members` takes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct MembersQuery {
    /// The rank to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// How many to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// One line of the ranking.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Member {
    /// Its number.
    pub member: u64,
    /// Its name.
    pub name: Name<'static>,
    /// Its rank.
    pub rank: u32,
    /// Where it dialled in from, `ip:port`.
    pub address: String,
    /// How many commands it executes at once.
    pub slots: u32,
    /// How many it executes now.
    pub running: u32,
    /// How many wait for it.
    pub queued: u32,
    /// How long ago it joined, in milliseconds.
    pub joined_ms: u64,
}

/// What `members` gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Members {
    /// In rank order.
    pub members: Vec<Member>,
    /// How many are ranked.
    pub total: u32,
    /// How many the server accepts.
    pub max: u32,
}

/// `rank`: this client's own rank changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rank {
    /// Its new rank.
    pub rank: u32,
    /// How many are ranked.
    pub members: u32,
}
