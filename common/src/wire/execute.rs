//! `execute` and what an executor answers.

use crate::wire::identity::Identity;
use crate::wire::name::Name;
use crate::wire::null_is_false;
use crate::wire::text::Text;
use crate::wire::tier::Tier;
use crate::wire::words::Words;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_with_macros::skip_serializing_none;

/// What `execute` takes.
#[skip_serializing_none]
#[derive(Debug, Deserialize, Serialize)]
pub struct Execute<'a> {
    #[serde(borrow)]
    pub from: Origin<'a>,
    #[serde(borrow)]
    pub command: Words<'a>,
    /// How long it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How many bytes of output may be on their way.
    pub window: Option<u64>,
    /// Its standard input comes from its sender.
    #[serde(
        default,
        deserialize_with = "null_is_false",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub stdin: bool,
}

/// Who sent a command.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Origin<'a> {
    pub member: u64,
    pub name: Name<'a>,
    /// Its rank as of when the command was taken.
    pub rank: u32,
    pub tier: Option<Tier>,
    /// The identity that it has proven, at a server that knows identities.
    pub identity: Option<Identity<'a>>,
    /// Its role there.
    pub role: Option<Name<'a>>,
}

/// What an executor answers where the command ran or was ended.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ExecutionResult<'a> {
    pub exit_code: Option<i64>,
    /// The signal that ended it, by name: `SIGKILL`.
    #[serde(borrow)]
    pub signal: Option<Text<'a>>,
    /// What it wrote, and was not streamed before.
    #[serde(borrow)]
    pub stdout: Option<Text<'a>>,
    #[serde(borrow)]
    pub stdout_base64: Option<Text<'a>>,
    #[serde(borrow)]
    pub stderr: Option<Text<'a>>,
    #[serde(borrow)]
    pub stderr_base64: Option<Text<'a>>,
    /// It was ended because its time was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// It was ended because its sender no longer wants it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    pub leftovers: Option<Leftovers>,
}

/// How many processes a command left behind, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// Those that the executor ended.
    pub ended: u32,
    /// Those that it could not end.
    pub running: u32,
}

impl Leftovers {
    /// These, if there are any: a message leaves out what says nothing.
    pub fn if_any(self) -> Option<Leftovers> {
        (self != Leftovers::default()).then_some(self)
    }
}

/// An object, never an array of numbers; a member that is left out or `null` is 0.
impl<'de> Deserialize<'de> for Leftovers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Leftovers, D::Error> {
        #[derive(Deserialize)]
        struct Counts {
            ended: Option<u32>,
            running: Option<u32>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if !raw.starts_with('{') {
            let expected = "expected an object such as {\"ended\": 2, \"running\": 0}";
            return Err(D::Error::custom(expected));
        }
        let counts: Counts = serde_json::from_str(raw).map_err(D::Error::custom)?;
        Ok(Leftovers {
            ended: counts.ended.unwrap_or_default(),
            running: counts.running.unwrap_or_default(),
        })
    }
}

/// `cancel`, to an executor.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CancelExecution {
    pub id: u64,
}
