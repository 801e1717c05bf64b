//! `send` and what belongs to it on the sender's side: `accepted`, `cancel` and `refused`.

use super::is_false;
use crate::wire::identity::Identity;
use crate::wire::input::Stdin;
use crate::wire::jobs::Detach;
use crate::wire::message::Id;
use crate::wire::name::Name;
use crate::wire::text::Text;
use crate::wire::tier::Tier;
use crate::wire::words::Words;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What `send` takes.
#[derive(Debug, Deserialize)]
pub struct Send<'a> {
    /// The program or command word, then its arguments.
    #[serde(borrow)]
    pub command: Words<'a>,
    #[serde(borrow, default)]
    pub to: Option<Text<'a>>,
    /// How long it may run, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How many bytes of output the sender takes ahead.
    #[serde(default)]
    pub window: Option<u64>,
    /// The run of the server that the selector was made for.
    #[serde(borrow, default)]
    pub run: Option<Text<'a>>,
    /// How long it may take, waiting included, in milliseconds.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// Whether the sender is told when each target is given it.
    #[serde(default)]
    pub progress: Option<bool>,
    /// Whether it has input, and how much of it may be under way.
    #[serde(default)]
    pub stdin: Option<Stdin>,
    /// Whether it goes on at the server after its sender has ended.
    #[serde(default)]
    pub detach: Option<Detach>,
}

/// What `send` takes, as a client writes it.
#[derive(Debug, Serialize)]
pub struct SendOut<'a> {
    /// The program or command word, then its arguments.
    pub command: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// How long it may run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How many bytes of output the sender takes ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// How long it may take, waiting included, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Whether the sender is told when each target is given it.
    #[serde(skip_serializing_if = "is_false")]
    pub progress: bool,
    /// The run of the server that the selector was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Stdin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detach: Option<Detach>,
}

/// Who sent a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Origin<'a> {
    pub member: u64,
    pub name: Name<'a>,
    /// Its rank as of when the command was taken.
    pub rank: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The identity that it has proven, at a server that knows identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity<'a>>,
    /// Its role there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Name<'a>>,
}

/// `accepted`: a send to many was taken.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Accepted {
    pub send: Id,
    /// How many outcomes it will have.
    pub targets: u32,
}

/// `started`: a target was given the command of a send.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Started {
    /// The request.
    pub send: Id,
    /// The target's number.
    pub member: u64,
}

/// `cancel`, from a sender.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Cancel {
    /// The request whose commands are no longer wanted.
    pub send: Id,
}

/// `refused`: a lower-ranked client tried to command this one.
#[derive(Debug, Deserialize, Serialize)]
pub struct Refused<'a> {
    #[serde(borrow)]
    pub from: Origin<'a>,
    /// What it wanted.
    pub command: Cow<'a, [String]>,
    /// Words were left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}
