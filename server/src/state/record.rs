//! The lines of a state file, and what they come to.
//!
//! The first line says that it is one, and of which version. Each line behind it is a change: a
//! place is held, or no more, or numbers up to one may have been given. So a file that is cut
//! anywhere says what was so a moment before, and what is appended once is never changed. No line
//! has a time in it, so no clock can make a place too old or too young.

use crate::authority::token::TokenHash;
use crate::connection::hold::NUMBER_DIGITS;
use common::limits::MAX_SLOTS;
use common::wire::Identity;
use common::wire::name::Name;
use common::wire::tags::Tags;
use common::wire::tier::Tier;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The version that this program writes, and the only one that it reads.
pub(super) const VERSION: u64 = 1;

/// Bytes of a line: a name, an identity and a role take at most 1 KiB as JSON, 16 tags 2 KiB,
/// hashes and the rest less than 1 KiB.
pub(super) const MAX_LINE: usize = 4096;

/// Numbers of members, which stand in their tokens.
const MAX_NUMBER: u64 = 1 << (4 * NUMBER_DIGITS);

/// A line.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub(super) enum Line {
    /// The first.
    #[serde(rename = "pecking-server state")]
    Version(u64),
    /// Numbers below this one may have been given.
    #[serde(rename = "numbers")]
    Numbers(u64),
    /// A place is held, as this says.
    #[serde(rename = "place")]
    Place(Box<Kept>),
    /// The place of this number is held no more.
    #[serde(rename = "gone")]
    Gone(u64),
}

/// A member whose place is held.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(super) member: u64,
    pub(super) name: Box<str>,
    pub(super) tier: Tier,
    pub(super) slots: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) rank_news: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) stdin: bool,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub(super) tags: Tags,
    pub(super) address: SocketAddr,
    /// What it has proven, at a server that knows identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<Credential>,
    pub(super) token: TokenHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<TokenHash>,
}

/// What a member has proven.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) identity: Box<str>,
    pub(super) role: Box<str>,
    pub(super) proof: Proof,
}

/// By what it has.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proof {
    Token(TokenHash),
    Certificate(Box<str>),
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TokenHash, D::Error> {
        TokenHash::parse(&Box::<str>::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl Line {
    /// Appends it, with its end.
    pub(super) fn write_to(&self, to: &mut Vec<u8>) {
        // Nothing in it fails to serialize, and a vector takes everything.
        let _ = serde_json::to_writer(&mut *to, self);
        to.push(b'\n');
    }

    /// Reads one, without its end.
    pub(super) fn read(line: &[u8]) -> Option<Line> {
        let line = serde_json::from_slice(line).ok()?;
        let is_right = match &line {
            Line::Version(_) => true,
            Line::Numbers(number) | Line::Gone(number) => *number < MAX_NUMBER,
            Line::Place(kept) => kept.is_right(),
        };
        is_right.then_some(line)
    }
}

impl Kept {
    /// Whether this server could have written it.
    fn is_right(&self) -> bool {
        let is_name = Name::told(&*self.name).is_ok();
        let is_identity = |of: &Credential| Identity::new(&*of.identity).is_ok();
        (1..MAX_NUMBER).contains(&self.member)
            && self.slots <= MAX_SLOTS
            && is_name
            && self.credential.as_ref().is_none_or(is_identity)
    }
}

/// What a file comes to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Replay {
    /// By their numbers.
    pub(super) places: BTreeMap<u64, Kept>,
    /// The number from which on none was given.
    pub(super) next: u64,
    /// Lines that cannot be read, and whether the last one has no end.
    pub(super) unreadable: u64,
    pub(super) is_cut: bool,
}

impl Replay {
    pub(super) fn take(&mut self, line: Line) {
        match line {
            Line::Version(_) => self.unreadable += 1,
            Line::Numbers(next) => self.next = self.next.max(next),
            Line::Place(kept) => {
                self.next = self.next.max(kept.member + 1);
                self.places.insert(kept.member, *kept);
            }
            Line::Gone(number) => drop(self.places.remove(&number)),
        }
    }
}

/// The first line, without its end.
pub(super) fn first_line() -> Vec<u8> {
    let mut line = Vec::new();
    Line::Version(VERSION).write_to(&mut line);
    line.pop();
    line
}

/// A whole file.
pub(super) fn whole<'a>(next: u64, places: impl Iterator<Item = &'a Kept>) -> Vec<u8> {
    let mut text = Vec::new();
    Line::Version(VERSION).write_to(&mut text);
    Line::Numbers(next).write_to(&mut text);
    for kept in places {
        Line::Place(Box::new(kept.clone())).write_to(&mut text);
    }
    text
}
