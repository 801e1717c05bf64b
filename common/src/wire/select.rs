//! `select`: the clients that a `send` would reach.

use crate::wire::name::Name;
use crate::wire::text::Text;
use crate::wire::tier::Tier;
use crate::wire::words::Words;
use serde::{Deserialize, Serialize};

/// What `select` takes.
#[derive(Debug, Deserialize)]
pub struct SelectQuery<'a> {
    /// The selector; left out, that of the server.
    #[serde(borrow)]
    pub to: Option<Text<'a>>,
    /// The command that would be sent.
    #[serde(borrow)]
    pub command: Option<Words<'a>>,
    /// The place in the list of targets to start from.
    pub from: Option<u64>,
    /// How many targets to name.
    pub limit: Option<u64>,
}

/// What `select` takes, as a client writes it.
#[derive(Debug, Serialize)]
pub struct SelectQueryOut<'a> {
    /// The selector; left out, that of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// The command that would be sent, if it is known.
    #[serde(skip_serializing_if = "is_none")]
    pub command: &'a [String],
    /// The place in the list of targets to start from.
    pub from: u64,
}

fn is_none(command: &&[String]) -> bool {
    command.is_empty()
}

/// What `select` gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Selected {
    /// How many outcomes a `send` would have.
    pub kind: Kind,
    /// Some of the targets, in the order of their ranks; those without one are last.
    pub targets: Vec<SelectedTarget>,
    /// How many targets there are.
    pub total: u32,
}

/// How many outcomes a selector leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One, which is the answer.
    One,
    /// One for each target.
    Many,
}

/// A client that a `send` would reach, or say that it does not.
#[serde_with_macros::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SelectedTarget {
    /// Its number. This and the next three are there, unless it is [absent](Reach::Absent) or
    /// [forbidden](Reach::Forbidden): then as many of them as the sender named or may know.
    pub member: Option<u64>,
    /// Its name.
    pub name: Option<Name<'static>>,
    /// Its rank.
    pub rank: Option<u32>,
    /// Its tier.
    pub tier: Option<Tier>,
    /// What would become of the command there.
    pub status: Reach,
}

/// What would become of a command at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[derive(strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reach {
    /// It would be executed.
    Execute,
    /// The target ranks above the sender.
    Outranked,
    /// The sender's role does not let it execute that.
    Forbidden,
    /// It is not here, or has no slots.
    Absent,
}

impl Reach {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
