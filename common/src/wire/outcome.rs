//! What became of a command.

use crate::wire::execute::{ExecutionResult, Leftovers};
use crate::wire::id::Id;
use crate::wire::name::Name;
use crate::wire::selector::Single;
use crate::wire::text::Text;
use serde::de::Deserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use strum::VariantArray;

/// How a command ended at one target.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize,
)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// It ran and ended.
    #[default]
    Done,
    /// The target's policy does not run it.
    Refused,
    /// The target has no such program.
    NotFound,
    /// It could not be started, or the answer was malformed.
    Failed,
    /// The target ranks above the sender.
    Outranked,
    /// The selector names it, and it is not here or has no slots.
    Absent,
    /// The sender's role does not let it execute this command.
    Forbidden,
    /// A queue was full.
    Busy,
    /// It was ended because its time was over.
    TimedOut,
    /// It was ended because its sender no longer wanted it.
    Cancelled,
    /// The target left, fell silent or outlasted the drain before it answered.
    Lost,
}

impl Status {
    /// Every status, in the order in which a tally names them.
    pub const ALL: [Status; Status::VARIANTS.len()] = *Status::VARIANTS
        .first_chunk()
        .expect("as many as there are");

    /// Whether the command may have been started: a queue's end may be a `timed_out` or `cancelled`, too.
    pub fn has_started(self) -> bool {
        matches!(self, Status::Done | Status::TimedOut | Status::Cancelled)
    }

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What became of one command at one target.
#[serde_with_macros::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Outcome<'a> {
    /// The request that it belongs to, where it is not the answer itself.
    pub send: Option<Id>,
    /// The target's number. This and the next two are there unless it is
    /// [absent](Status::Absent) or [forbidden](Status::Forbidden): then those are that are known
    /// of it.
    pub member: Option<u64>,
    #[serde(borrow)]
    pub name: Option<Name<'a>>,
    /// The target's rank as of when the command was taken.
    pub rank: Option<u32>,
    pub status: Status,
    pub exit_code: Option<i64>,
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
    /// How long it ran, in milliseconds, as the server saw it.
    pub elapsed_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    pub leftovers: Option<Leftovers>,
    #[serde(borrow)]
    pub message: Option<Text<'a>>,
    /// Whether it had been sent to the target before that was lost.
    pub started: Option<bool>,
}

impl<'a> Outcome<'a> {
    /// An outcome that says nothing but how the command ended.
    pub fn new(member: u64, name: Name<'a>, rank: u32, status: Status) -> Self {
        Outcome {
            member: Some(member),
            name: Some(name),
            rank: Some(rank),
            status,
            ..Outcome::default()
        }
    }

    /// The outcome of a client that a selector names and that is not connected, or that the sender
    /// is not to know of.
    pub fn missed(named: &'a Single<'a>, status: Status) -> Self {
        let mut outcome = Outcome {
            status,
            ..Outcome::default()
        };
        match named {
            Single::Name(name) => outcome.name = Some(Name::known(&**name)),
            Single::Rank(rank) => outcome.rank = Some(*rank),
            Single::Member(member) => outcome.member = Some(*member),
        }
        outcome
    }

    /// Takes over what an executor says of how the command ended and what it wrote.
    pub fn set_result(&mut self, result: &'a ExecutionResult<'_>) {
        let borrowed = |text: &'a Option<Text<'_>>| text.as_ref().map(Text::borrowed);
        self.exit_code = result.exit_code;
        self.signal = borrowed(&result.signal);
        self.stdout = borrowed(&result.stdout);
        self.stdout_base64 = borrowed(&result.stdout_base64);
        self.stderr = borrowed(&result.stderr);
        self.stderr_base64 = borrowed(&result.stderr_base64);
        self.truncated = result.truncated;
        self.leftovers = result.leftovers;
    }
}

/// How many outcomes of each kind a send to many had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [u32; Status::ALL.len()],
}

impl Tally {
    /// Counts one outcome.
    pub fn count(&mut self, status: Status) {
        self.counts[status as usize] += 1;
    }

    /// How many outcomes were of this kind.
    pub fn of(&self, status: Status) -> u32 {
        self.counts[status as usize]
    }

    /// How many outcomes there were. A peer may say any counts, so the sum has an end.
    pub fn targets(&self) -> u32 {
        self.counts.into_iter().fold(0, u32::saturating_add)
    }
}

impl FromIterator<(Status, u32)> for Tally {
    fn from_iter<I: IntoIterator<Item = (Status, u32)>>(counts: I) -> Tally {
        let mut tally = Tally::default();
        for (status, count) in counts {
            let counted = &mut tally.counts[status as usize];
            *counted = counted.saturating_add(count);
        }
        tally
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("targets", &self.targets())?;
        for status in Status::ALL {
            if self.of(status) > 0 {
                map.serialize_entry(status.name(), &self.of(status))?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tally, D::Error> {
        let counts = std::collections::HashMap::<String, u32>::deserialize(deserializer)?;
        let of = |status: Status| counts.get(status.name()).copied().unwrap_or(0);
        Ok(Status::ALL.into_iter().map(|s| (s, of(s))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_leaves_zeroes_out() {
        let tally: Tally = [(Status::Done, 3), (Status::Lost, 1), (Status::Outranked, 1)]
            .into_iter()
            .collect();
        let text = serde_json::to_string(&tally).expect("JSON");
        assert_eq!(text, r#"{"targets":5,"done":3,"outranked":1,"lost":1}"#);
        assert_eq!(
            serde_json::from_str::<Tally>(&text).expect("a tally"),
            tally
        );
    }

    #[test]
    fn counts_that_a_peer_made_up_have_a_sum() {
        let most = u32::MAX;
        let text = format!(r#"{{"done":{most},"lost":{most}}}"#);
        let tally: Tally = serde_json::from_str(&text).expect("a tally");
        assert_eq!((tally.targets(), tally.of(Status::Done)), (most, most));
    }

    #[test]
    fn statuses_are_written_as_they_are_named() {
        for (at, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, at, "a tally counts by position");
            let text = serde_json::to_string(&status).expect("JSON");
            assert_eq!(text, format!("{:?}", status.name()));
        }
    }
}
