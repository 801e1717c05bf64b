//! Detached commands: how a `send` asks for one, and what `jobs`, `job` and `cancel_job` take and
//! give.

use crate::wire::name::Name;
use crate::wire::outcome::{Status, Tally};
use crate::wire::output::OutputStream;
use crate::wire::text::{Text, clip};
use crate::wire::watch::is_zero;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_with_macros::skip_serializing_none;
use std::fmt;
use std::str::FromStr;

/// Digits of a job's id.
const DIGITS: usize = 32;

/// The id of a job, 32 hex digits on the wire: at a server without identities, a client that knows it
/// may ask for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; DIGITS / 2]);

impl JobId {
    /// The id of these bytes.
    pub fn new(bytes: [u8; 16]) -> JobId {
        JobId(bytes)
    }

    /// An id that no guess finds.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn random() -> Result<JobId, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(JobId(bytes))
    }
}

impl FromStr for JobId {
    type Err = String;

    fn from_str(text: &str) -> Result<JobId, String> {
        let is_hex = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if is_hex => Ok(JobId(number.to_be_bytes())),
            _ => Err(format!(
                "{:?} is no job; write its {DIGITS} hex digits",
                clip(text)
            )),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JobId, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.decoded().parse().map_err(de::Error::custom)
    }
}

/// Whether a command is detached, and under which id. Small, as every `send` has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Detach {
    /// Under an id that the server chooses; or it is not.
    Flag(bool),
    /// Under an id of the sender's choice, so that a lost answer can be asked for again.
    Named(Box<JobId>),
}

impl Detach {
    /// Whether it is.
    pub fn is_wanted(&self) -> bool {
        *self != Detach::Flag(false)
    }
}

impl<'de> Deserialize<'de> for Detach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DetachVisitor;
        impl Visitor<'_> for DetachVisitor {
            type Value = Detach;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "true, or {DIGITS} hex digits")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Detach, E> {
                Ok(Detach::Flag(flag))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Detach, E> {
                let id = text.parse().map_err(E::custom)?;
                Ok(Detach::Named(Box::new(id)))
            }
        }
        deserializer.deserialize_any(DetachVisitor)
    }
}

/// The answer to a `send` that is detached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Detached {
    /// Its id.
    pub job: JobId,
    /// How many outcomes it will have.
    pub targets: u32,
}

/// What `jobs` takes.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct JobsQuery {
    /// The place in the list to start from; 0 is the newest.
    pub from: Option<u64>,
    /// How many to name.
    pub limit: Option<u64>,
}

/// What `jobs` gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Jobs {
    /// Some of them, the newest first.
    pub jobs: Vec<JobSummary>,
    /// How many there are.
    pub total: u32,
}

/// A job as `jobs` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct JobSummary {
    /// Its id.
    pub job: JobId,
    /// Its words, the first 256 bytes of them.
    pub command: Vec<String>,
    /// Its selector, the first 256 bytes of it; without one it was the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How long ago it was sent, in milliseconds.
    pub sent_ms: u64,
    /// The name of the client that sent it.
    pub by: Name<'static>,
    /// How many outcomes it will have.
    pub targets: u32,
    /// Those that it has.
    pub tally: Tally,
    /// Of those that are `done`, the ones that did not end with exit code 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_zero: u32,
    /// Whether others are to come.
    pub open: bool,
}

impl JobSummary {
    /// How many did not do it, or not with exit code 0. A server may say any counts, so the sum has an end.
    pub fn failed(&self) -> u32 {
        let others = self.tally.targets() - self.tally.of(Status::Done);
        others.saturating_add(self.not_zero)
    }
}

/// What `job` takes.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct JobQuery {
    pub job: JobId,
    /// The number of the last event that the client has.
    pub after: Option<u64>,
    /// Whether to wait for the next event if there is none.
    pub wait: Option<bool>,
}

/// What `job` gives.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct JobEvents<'a> {
    /// What happened, in order.
    #[serde(borrow)]
    pub events: Vec<JobEvent<'a>>,
    /// Whether outcomes are to come that have not happened.
    pub open: bool,
    /// The number of the newest event, also if it is not among these.
    pub last: u64,
}

/// Something that happened to a job.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct JobEvent<'a> {
    /// Its number; they grow, and some may be missing.
    pub n: u64,
    /// It has ended at a target: an [`Outcome`](super::Outcome).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a RawValue>,
    /// A target has written something.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub output: Option<JobOutput<'a>>,
}

/// Output of a job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct JobOutput<'a> {
    pub member: u64,
    #[serde(borrow)]
    pub name: Name<'a>,
    /// The target's rank as of when the command was taken.
    pub rank: u32,
    pub stream: OutputStream,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
}

/// What `cancel_job` takes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct CancelJob {
    pub job: JobId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_digits_in_either_case() {
        let text = "00ffEE0123456789abcdefABCDEF0000";
        let id: JobId = text.parse().expect("an id");
        assert_eq!(id.to_string(), text.to_lowercase());
        for wrong in [
            "",
            "x",
            &text[1..],
            &format!("{text}0"),
            &text.replace('f', "g"),
            &text.replacen('0', "+", 1),
        ] {
            assert!(wrong.parse::<JobId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn detach_is_a_flag_or_an_id() {
        let id = "0123456789abcdef0123456789abcdef";
        let read = |json: &str| serde_json::from_str::<Detach>(json);
        assert!(!read("false").expect("a flag").is_wanted());
        for json in ["true", &format!("{id:?}")] {
            let detach = read(json).expect("it is right");
            assert!(detach.is_wanted());
            assert_eq!(serde_json::to_string(&detach).expect("JSON"), json);
        }
        for wrong in ["1", "\"x\"", "{}", "[]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(size_of::<Detach>() <= 16, "every send has one");
    }
}
