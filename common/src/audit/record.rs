//! What stands in an audit log: one typed record for each thing that happens. The writer adds
//! the number, the time and the link to the record before it.
//!
//! No record has a place for a token or for output; of that there is only the length.

use super::hash::Hash;
use super::words::AuditedWords;
use crate::wire::message::Id;
use crate::wire::name::Name;
use crate::wire::tier::Tier;
use crate::wire::{Status, Tally};
use serde::{Serialize, Serializer};
use serde_with_macros::skip_serializing_none;
use std::net::{IpAddr, SocketAddr};

/// One record, tagged with its type.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record<'a> {
    /// A program began.
    Start(Start<'a>),
    /// It ended.
    Stop(Stop<'a>),
    /// A file was read anew, or could not be.
    Reload(Reload<'a>),
    /// A client joined.
    Join(Join<'a>),
    /// A client left.
    Leave(Leave<'a>),
    /// Something was not allowed.
    Denied(Denied<'a>),
    /// A client sends a command.
    Send(Send<'a>),
    /// A command reached this executor, with what it runs for it.
    Run(Run<'a>),
    /// A command reached this executor, which does not run it.
    Refused(Refused<'a>),
    /// How a command ended at one target.
    Outcome(Outcome<'a>),
    /// How a command to several targets ended.
    End(End<'a>),
    /// A sender no longer wants a command.
    Cancel(Cancel<'a>),
    /// Something is missing here.
    Gap(Gap),
}

/// The program that writes the log.
#[derive(Clone, Debug, Serialize)]
pub struct Start<'a> {
    /// Its name.
    pub program: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Where a server listens, or which server a client dials.
    pub address: &'a str,
}

/// The end of the program.
#[derive(Clone, Debug, Serialize)]
pub struct Stop<'a> {
    /// How it ended.
    pub why: &'a str,
}

/// A file that was read anew.
#[derive(Clone, Debug, Serialize)]
pub struct Reload<'a> {
    /// Its path.
    pub file: &'a str,
    /// Why the earlier one still counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// The ids of credentials that it did not have before.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub added: &'a [String],
    /// Those that it has no more.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub removed: &'a [String],
    /// Those that say something else, or whose roles do.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub changed: &'a [String],
    /// How many more ids these lists would have.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A client, by what its connection proved.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize)]
pub struct Who<'a> {
    /// The credential that it showed.
    pub identity: Option<&'a str>,
    /// The role of that.
    pub role: Option<Name<'a>>,
    /// Its tier.
    pub tier: Option<Tier>,
    /// Its number.
    pub member: u64,
    /// Its name.
    pub name: &'a str,
    /// Its rank as of then.
    pub rank: Option<u32>,
    /// Where it dialled from; an executor is not told.
    pub address: Option<SocketAddr>,
    /// What carried its lines.
    pub via: Option<Via>,
}

/// What carries a connection's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// TLS.
    Tls,
    /// Nothing is encrypted.
    Plain,
}

/// A client that joined.
#[derive(Clone, Debug, Serialize)]
pub struct Join<'a> {
    /// The client.
    pub who: Who<'a>,
    /// How many commands it executes at once.
    pub slots: u32,
}

/// A client that left.
#[derive(Clone, Debug, Serialize)]
pub struct Leave<'a> {
    /// The client.
    pub who: Who<'a>,
    /// Why.
    pub why: &'a str,
}

/// Something that was not allowed.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize)]
pub struct Denied<'a> {
    /// The method that was asked for.
    pub method: &'a str,
    /// The machine-readable name of the error.
    pub reason: &'a str,
    /// What the rules say.
    pub rule: Option<&'a str>,
    /// Why a client was not let in.
    pub message: Option<&'a str>,
    /// What a client showed that was not let in: the key id of its token, never the token, or the
    /// name in its certificate.
    pub showed: Option<&'a str>,
    /// The client, if it had joined.
    pub who: Option<Who<'a>>,
    /// Where it dialled from.
    pub address: SocketAddr,
    /// The selector of a `send` or `select`.
    pub to: Option<&'a str>,
    /// The words of a `send` or `select`.
    #[serde(flatten)]
    pub words: Option<AuditedWords<'a>>,
}

/// Denials of one address that have no records of their own.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "denied")]
pub struct MoreDenied {
    /// Where they came from, of IPv6 the network (/64); left out for those of all other addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// How many.
    pub more: u64,
}

/// A command that was taken.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize)]
pub struct Send<'a> {
    /// Its number at this server, which its other records have as well.
    pub cmd: u64,
    /// Its sender.
    pub who: Who<'a>,
    /// The selector, as the sender wrote it; left out: the server's own.
    pub to: Option<&'a str>,
    /// How many outcomes it will have.
    pub targets: usize,
    /// The clients that are to execute it.
    pub names: Names<'a>,
    /// The rule that allowed it.
    pub rule: Option<&'a str>,
    /// What to execute.
    #[serde(flatten)]
    pub words: AuditedWords<'a>,
}

/// The names of clients.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Names<'a> {
    /// One.
    One([&'a str; 1]),
    /// Several.
    Many(Vec<&'a str>),
}

/// A command that an executor begins.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize)]
pub struct Run<'a> {
    /// Its number at the server.
    pub cmd: &'a Id,
    /// Its sender, as the server says.
    pub who: Who<'a>,
    /// What the sender wrote.
    #[serde(flatten)]
    pub words: AuditedWords<'a>,
    /// The file that is executed; an executor that starts no program has none.
    pub path: Option<&'a str>,
    /// What it is executed with; only if all words are kept.
    pub argv: Option<&'a [String]>,
}

/// A command that an executor does not run.
#[derive(Clone, Debug, Serialize)]
pub struct Refused<'a> {
    /// Its number at the server.
    pub cmd: &'a Id,
    /// Its sender, as the server says.
    pub who: Who<'a>,
    /// What the sender wrote.
    #[serde(flatten)]
    pub words: AuditedWords<'a>,
    /// What its sender is told.
    pub status: Status,
    /// Why it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

/// How a command ended at one target.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize)]
pub struct Outcome<'a> {
    /// Its number at the server.
    pub cmd: Id,
    /// The target's number.
    pub member: Option<u64>,
    /// The target's name.
    pub name: Option<&'a str>,
    /// A target that is not here, by the rank that the sender named.
    pub rank: Option<u32>,
    /// How it ended.
    pub status: Status,
    /// How it exited by itself.
    pub exit_code: Option<i64>,
    /// The signal that ended it.
    pub signal: Option<&'a str>,
    /// How long it ran, in milliseconds.
    pub ms: Option<u64>,
    /// How many bytes of output came with it and before it.
    pub bytes: Option<u64>,
    /// Why it did not run.
    pub message: Option<&'a str>,
}

/// How a command to several targets ended.
#[derive(Clone, Debug, Serialize)]
pub struct End<'a> {
    /// Its number.
    pub cmd: u64,
    /// How many outcomes it had, and how many of each kind.
    #[serde(flatten)]
    pub tally: &'a Tally,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// A sender that no longer wants a command.
#[derive(Clone, Debug, Serialize)]
pub struct Cancel<'a> {
    /// Its number.
    pub cmd: u64,
    /// Its sender.
    pub who: Who<'a>,
    /// Why: the sender's word, or that it left.
    pub why: &'a str,
}

/// What is missing.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How many records, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// The SHA-256 of the last whole record, if an unfinished line stands behind it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_hex")]
    pub whole: Option<Hash>,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The log could not be written, or not as fast as things happened.
    Dropped,
    /// The program ended while it wrote a line: what stands before this record is the part that
    /// was written.
    UnfinishedLine,
}

fn as_hex<S: Serializer>(hash: &Option<Hash>, serializer: S) -> Result<S::Ok, S::Error> {
    match hash {
        Some(hash) => serializer.collect_str(hash),
        None => serializer.serialize_none(),
    }
}

/// Bytes of a record besides the texts in it.
const AROUND: usize = 384;

/// A record as JSON, in a buffer with room for so many bytes of text.
pub(crate) fn encode(record: &impl Serialize, texts: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(AROUND + texts);
    serde_json::to_writer(&mut body, record).expect("a record becomes JSON, and memory takes it");
    body
}
