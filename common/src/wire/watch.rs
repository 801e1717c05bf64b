//! `watch` and `watched`: what a server shows of itself while a client looks. The events of the
//! server's page over HTTP have the same form (`docs/http.md`).

use crate::wire::tags::Tags;
use crate::wire::tier::Tier;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What `watch` takes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Watch {
    /// `false` ends it; left out, it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
}

/// The first state, or what has changed since the last one. What is left out has not changed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Watched<'a> {
    pub server: ServerFacts,
    /// The time of the server's own clock, by which members joined, in milliseconds.
    pub now: u64,
    /// The time of its clock on the wall, in milliseconds since 1970.
    pub now_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<MemberChanges>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departed: Vec<Departed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<WatchedCommand<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// The server, with its totals.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServerFacts {
    pub version: Cow<'static, str>,
    pub commit: Cow<'static, str>,
    /// What tells this start of the server from others.
    pub run: String,
    pub address: String,
    pub started_ms: u64,
    pub members: u32,
    pub max: u32,
    pub draining: bool,
    pub commands: u64,
    /// By the names of the statuses.
    pub outcomes: BTreeMap<Cow<'static, str>, u64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// When it read which machines it expects; left out if it was told of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
}

/// What has changed of the members.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct MemberChanges {
    /// What was said before counts for nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<WatchedMember>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<u64>,
    /// Member, running, queued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<(u64, u32, u32)>,
    /// Member, and for how many milliseconds its connection has been broken; `None`: it is back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<(u64, Option<u64>)>,
    /// More of it follows in the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A member. Its rank is its place among all members, by tier, then by number.
#[serde_with_macros::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct WatchedMember {
    pub member: u64,
    pub name: String,
    pub tier: Tier,
    pub slots: u32,
    pub running: u32,
    pub queued: u32,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub address: String,
    pub identity: Option<String>,
    pub role: Option<String>,
    /// When it joined, by the server's own clock.
    pub joined: u64,
    /// For how many milliseconds its connection has been broken, if its place is held.
    pub away_ms: Option<u64>,
}

/// A member that left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Departed {
    pub member: u64,
    pub name: Box<str>,
    pub tier: Tier,
    pub slots: u32,
    pub why: Box<str>,
    /// By the clock on the wall, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A command, with what became of it so far.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WatchedCommand<'a> {
    /// Its number in the log.
    pub id: u64,
    /// When it was taken, by the clock on the wall, in milliseconds since 1970.
    pub at_ms: u64,
    pub from: WatchedSender<'a>,
    /// Its words, an array.
    pub command: Cow<'a, RawValue>,
    pub targets: u32,
    /// How many of its outcomes were of which status.
    pub outcomes: BTreeMap<Cow<'a, str>, u32>,
    /// Of those that are `done`, the ones that did not end with exit code 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_zero: u32,
    /// When it had its last outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
}

/// The sender of a command.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WatchedSender<'a> {
    pub member: u64,
    pub name: Cow<'a, str>,
    pub rank: u32,
}

/// A figure for one second.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Sample {
    /// When it ended, by the clock on the wall, in milliseconds since 1970.
    pub at_ms: u64,
    pub members: u32,
    pub running: u64,
    pub queued: u64,
    /// Commands that were taken.
    pub commands: u64,
    /// Outcomes that are `done`, and all others.
    pub done: u64,
    pub other: u64,
    /// The durations of commands that ended: half and 99 of 100 were shorter, in milliseconds.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}
