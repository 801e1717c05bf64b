//! `send` and what belongs to it on the sender's side: `accepted`, `cancel` and `refused`.

use crate::wire::execute::Origin;
use crate::wire::id::Id;
use crate::wire::input::Stdin;
use crate::wire::jobs::Detach;
use crate::wire::text::Text;
use crate::wire::words::Words;
use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;
use std::borrow::Cow;

/// What `send` takes.
#[derive(Debug, Deserialize)]
pub struct Send<'a> {
    /// The program or command word, then its arguments.
    #[serde(borrow)]
    pub command: Words<'a>,
    #[serde(borrow)]
    pub to: Option<Text<'a>>,
    /// How long it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How many bytes of output the sender takes ahead.
    pub window: Option<u64>,
    /// The run of the server that the selector was made for.
    #[serde(borrow)]
    pub run: Option<Text<'a>>,
    /// How long it may take, waiting included, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Whether the sender is told when each target is given it.
    pub progress: Option<bool>,
    /// Whether it has input, and how much of it may be under way.
    pub stdin: Option<Stdin>,
    /// Whether it goes on at the server after its sender has ended.
    pub detach: Option<Detach>,
}

/// What `send` takes, as a client writes it.
#[skip_serializing_none]
#[derive(Debug, Serialize)]
pub struct SendOut<'a> {
    /// The program or command word, then its arguments.
    pub command: &'a [String],
    pub to: Option<&'a str>,
    /// How long it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How many bytes of output the sender takes ahead.
    pub window: Option<u64>,
    /// How long it may take, waiting included, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Whether the sender is told when each target is given it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
    /// The run of the server that the selector was made for.
    pub run: Option<&'a str>,
    pub stdin: Option<Stdin>,
    pub detach: Option<Detach>,
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

/// `refused`: a lower-ranked client tried to command this one, among others.
#[derive(Debug, Deserialize, Serialize)]
pub struct Refused<'a> {
    #[serde(borrow)]
    pub from: Origin<'a>,
    /// What it wanted.
    pub command: Cow<'a, [String]>,
    /// Words were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}
