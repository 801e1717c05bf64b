//! `join`: how a client asks to be ranked, and what the server answers.

use crate::token::Secret;
use crate::wire::identity::Identity;
use crate::wire::message::notification_line;
use crate::wire::method;
use crate::wire::name::Name;
use crate::wire::right::Right;
use crate::wire::tags::Tags;
use crate::wire::text::Text;
use crate::wire::tier::Tier;
use derive_more::{Debug, From};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_with_macros::skip_serializing_none;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// What `join` takes; the numbers are held to their ranges by the server.
#[skip_serializing_none]
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Join<'a> {
    pub protocol: u64,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    pub slots: Option<u64>,
    pub tier: Option<u64>,
    /// Whether it is told when its rank changes; it is, if this is left out.
    pub rank_news: Option<bool>,
    /// Whether it takes input for the commands that it executes.
    pub stdin: Option<bool>,
    /// What it says of itself, for selectors.
    pub tags: Option<Tags>,
    #[serde(borrow)]
    pub token: Option<Credential<'a>>,
    /// Whether its place is held if its connection breaks; it is not, if this is left out. Read as
    /// [`Staying`].
    #[serde(skip_deserializing)]
    pub hold: Option<bool>,
    /// The place that it comes back to. Read as [`Staying`].
    #[serde(skip_deserializing)]
    pub resume: Option<Box<Resume<'a>>>,
}

/// What [`Join`] says about a connection that breaks. Read by itself: the code that reads a struct
/// needs more of the stack with each field, and the thread of every client passes through it.
#[derive(Debug, Deserialize)]
pub struct Staying<'a> {
    pub hold: Option<bool>,
    #[serde(borrow)]
    pub resume: Option<Box<Object<Resume<'a>>>>,
}

/// What is read from an object only: serde takes the elements of an array for the fields of a struct.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// How a client comes back after its connection broke.
#[derive(Debug, Deserialize, Serialize)]
pub struct Resume<'a> {
    /// What the server gave it for that.
    #[serde(borrow)]
    pub token: Credential<'a>,
    /// How many of the server's lines it has received in all.
    pub received: u64,
}

/// What a client comes back with if its connection breaks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Resumable {
    /// 32 hex digits.
    pub token: ResumeToken,
    /// How long the server holds its place after the last line that it received, in milliseconds.
    pub hold_ms: u64,
}

/// A token that the server gives: neither an error nor a log repeats it.
#[derive(Clone, Debug, From, PartialEq, Eq)]
#[debug("…")]
#[from(String)]
pub struct ResumeToken(Secret);

impl ResumeToken {
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl Serialize for ResumeToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reveal())
    }
}

impl<'de> Deserialize<'de> for ResumeToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Credential::deserialize(deserializer)
            .map(|token| ResumeToken::from(token.reveal().into_owned()))
    }
}

/// What is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resumed {
    /// Nothing was lost: both ends go on with the lines that the other has not received.
    Lines,
    /// The place alone: all that was open is lost.
    Rank,
}

/// `ack`: lines that the other end has sent and this one has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ack {
    pub received: u64,
}

impl Ack {
    /// Its line.
    pub fn line(received: u64) -> Vec<u8> {
        notification_line(method::ACK, Ack { received })
    }
}

/// The token that a `join` shows: neither an error nor a log repeats it, of any type.
#[derive(Debug, From, Serialize)]
#[debug("…")]
#[from(&'a str)]
pub struct Credential<'a>(Text<'a>);

impl Credential<'_> {
    pub fn reveal(&self) -> Cow<'_, str> {
        self.0.decoded()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Credential<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer);
        text.map(Credential)
            .map_err(|_| D::Error::custom("expected a string"))
    }
}

/// What `join` gives.
#[skip_serializing_none]
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
    pub run: Option<String>,
    /// The identity that it has proven, at a server that knows identities. So it is with the next
    /// two.
    pub identity: Option<Identity<'static>>,
    /// Its role.
    pub role: Option<Name<'static>>,
    /// What that lets it do.
    pub may: Option<Vec<Right>>,
    /// What it comes back with, if it has asked to be held.
    pub resume: Option<Resumable>,
    /// If it has come back.
    pub resumed: Option<Resumed>,
    /// How many of its lines the server has received in all, if it goes on with lines.
    pub received: Option<u64>,
}
