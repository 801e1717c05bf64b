//! `join`: how a client asks to be ranked, and what the server answers.

use crate::wire::identity::Identity;
use crate::wire::name::Name;
use crate::wire::right::Right;
use crate::wire::tags::Tags;
use crate::wire::text::Text;
use crate::wire::tier::Tier;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What `join` takes; the numbers are held to their ranges by the server.
#[derive(Debug, Deserialize, Serialize)]
pub struct Join<'a> {
    pub protocol: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u64>,
    /// Whether it is told when its rank changes; it is, if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_news: Option<bool>,
    /// Whether it takes input for the commands that it executes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<bool>,
    /// What it says of itself, for selectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Credential<'a>>,
}

/// The token that a `join` shows: neither an error nor a log repeats it, of any type.
#[derive(Serialize)]
pub struct Credential<'a>(Text<'a>);

impl Credential<'_> {
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
    pub name: Name<'static>,
    /// Its rank; 0 is the highest.
    pub rank: u32,
    /// Its tier; a server that does not say so has that one only.
    #[serde(default)]
    pub tier: Tier,
    /// How many are ranked, itself included.
    pub members: u32,
    /// After how long a silence a sign of life is asked for, in milliseconds.
    pub heartbeat_ms: u64,
    /// The longest line that the server takes, in bytes, its `\n` included.
    pub max_line: usize,
    /// The run of the server, 32 hex digits, new with each start: numbers of members are those of
    /// one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The identity that it has proven, at a server that knows identities. So it is with the next
    /// two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity<'static>>,
    /// Its role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Name<'static>>,
    /// What that lets it do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may: Option<Vec<Right>>,
}
