//! What the methods of the protocol take and give, as types. `PROTOCOL.md` says in words
//! what each means; this module says how it is written.

use crate::message::{Id, clip};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize as De, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The methods' names.
pub mod method {
    #![allow(missing_docs)]
    pub const JOIN: &str = "join";
    pub const SEND: &str = "send";
    pub const CANCEL: &str = "cancel";
    pub const MEMBERS: &str = "members";
    pub const LEAVE: &str = "leave";
    pub const PING: &str = "ping";
    pub const EXECUTE: &str = "execute";
    pub const OUTPUT: &str = "output";
    pub const CONSUMED: &str = "consumed";
    pub const ACCEPTED: &str = "accepted";
    pub const OUTCOME: &str = "outcome";
    pub const RANK: &str = "rank";
    pub const REFUSED: &str = "refused";
    pub const BYE: &str = "bye";
}

/// A string of a line's. It is borrowed where it has no escapes, and written as it came: what
/// only passes through is neither decoded nor escaped again.
#[derive(Clone, Debug)]
pub struct Text<'a> {
    text: Cow<'a, str>,
    /// As it stands in the line, in quotes.
    raw: Option<&'a RawValue>,
}

impl<'a> Text<'a> {
    /// The string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The string, owned where it had escapes.
    pub fn into_cow(self) -> Cow<'a, str> {
        self.text
    }

    /// The string.
    pub fn into_string(self) -> String {
        self.text.into_owned()
    }

    /// The string in quotes as it came, if it did.
    pub fn raw(&self) -> Option<&'a str> {
        self.raw.map(RawValue::get)
    }

    /// Its first bytes; `len` is where a character ends.
    #[must_use]
    pub fn truncated(self, len: usize) -> Text<'a> {
        let text = match self.text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..len]),
            Cow::Owned(mut text) => {
                text.truncate(len);
                Cow::Owned(text)
            }
        };
        Text { text, raw: None }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Text<'_> {}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        let text = Cow::Borrowed(text);
        Text { text, raw: None }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        let text = Cow::Owned(text);
        Text { text, raw: None }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let quoted = raw.get();
        let Some(inner) = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')) else {
            let found = clip(quoted);
            return Err(de::Error::custom(format_args!(
                "expected a string, not {found}"
            )));
        };
        // Escapes are decoded at once: half a surrogate pair is no text.
        let text = match memchr::memchr(b'\\', inner.as_bytes()) {
            None => Cow::Borrowed(inner),
            Some(_) => Cow::Owned(serde_json::from_str(quoted).map_err(de::Error::custom)?),
        };
        let raw = Some(raw);
        Ok(Text { text, raw })
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.raw {
            Some(raw) => raw.serialize(serializer),
            None => serializer.serialize_str(&self.text),
        }
    }
}

/// An object without members.
#[derive(Clone, Copy, Debug, Default, De, Serialize)]
pub struct Empty {}

/// What `join` takes; the numbers are held to their ranges by the server.
#[derive(Debug, De, Serialize)]
pub struct Join<'a> {
    /// The version of the protocol.
    pub protocol: u64,
    /// The name it asks for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    /// How many commands it executes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// The server's credential.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Text<'a>>,
}

/// What `join` gives.
#[derive(Clone, Debug, PartialEq, Eq, De, Serialize)]
pub struct Joined {
    /// The number of this client, never used again while the server runs.
    pub member: u64,
    /// Its name.
    pub name: String,
    /// Its rank; 0 is the highest.
    pub rank: u32,
    /// How many are ranked, itself included.
    pub members: u32,
    /// After how long a silence a sign of life is asked for, in milliseconds.
    pub heartbeat_ms: u64,
    /// The longest line that the server takes, in bytes, its `\n` included.
    pub max_line: usize,
}

/// The words of a command, as the JSON text of a non-empty array of strings: checked, and
/// passed on as it came.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a RawValue);

impl<'a> Words<'a> {
    /// The array as it stands in the line.
    pub fn raw(self) -> &'a RawValue {
        self.0
    }

    /// The words themselves.
    pub fn to_vec(self) -> Vec<String> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if has_only_plain_strings(raw.get()) {
            return Ok(Words(raw));
        }
        match serde_json::from_str::<WordCount>(raw.get()) {
            Ok(WordCount(1..)) => Ok(Words(raw)),
            Ok(WordCount(0)) => Err(de::Error::custom("a command has at least one word")),
            Err(_) => Err(de::Error::custom(format_args!(
                "a command is an array of strings, not {}",
                clip(raw.get())
            ))),
        }
    }
}

/// Whether JSON that is known to be well-formed is an array of one string or more, none of
/// which has an escape; `false` where a closer look is needed. Most commands are.
fn has_only_plain_strings(json: &str) -> bool {
    let Some(mut rest) = json.strip_prefix("[\"") else {
        return false;
    };
    if memchr::memchr(b'\\', rest.as_bytes()).is_some() {
        return false;
    }
    loop {
        // Without escapes a string ends at the next quote.
        let Some((_, after)) = rest.split_once('"') else {
            return false;
        };
        match after.strip_prefix(",\"") {
            Some(next) => rest = next,
            None => return after == "]",
        }
    }
}

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The number of strings in an array of nothing else; keeps none of them.
struct WordCount(usize);

impl<'de> Deserialize<'de> for WordCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl<'de> Deserialize<'de> for Word {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
                struct WordVisitor;
                impl Visitor<'_> for WordVisitor {
                    type Value = Word;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }
                    fn visit_str<E>(self, _: &str) -> Result<Word, E> {
                        Ok(Word)
                    }
                }
                deserializer.deserialize_str(WordVisitor)
            }
        }
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = WordCount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<WordCount, A::Error> {
                let mut count = 0;
                while words.next_element::<Word>()?.is_some() {
                    count += 1;
                }
                Ok(WordCount(count))
            }
        }
        deserializer.deserialize_seq(CountVisitor)
    }
}

/// What `send` takes.
#[derive(Debug, De)]
pub struct Send<'a> {
    /// The program or command word, then its arguments.
    #[serde(borrow)]
    pub command: Words<'a>,
    /// Whom it is for.
    #[serde(borrow, default)]
    pub to: Option<Text<'a>>,
    /// How long it may run, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How many bytes of output the sender takes ahead.
    #[serde(default)]
    pub window: Option<u64>,
}

/// What `send` takes, as a client writes it.
#[derive(Debug, Serialize)]
pub struct SendOut<'a> {
    /// The program or command word, then its arguments.
    pub command: &'a [String],
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// How long it may run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How many bytes of output the sender takes ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

/// Who sent a command.
#[derive(Clone, Debug, PartialEq, Eq, De, Serialize)]
pub struct Origin<'a> {
    /// Its number.
    pub member: u64,
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its rank as of when the command was taken.
    pub rank: u32,
}

/// What `execute` takes.
#[derive(Debug, De, Serialize)]
pub struct Execute<'a> {
    /// Who commands.
    #[serde(borrow)]
    pub from: Origin<'a>,
    /// What.
    #[serde(borrow)]
    pub command: Words<'a>,
    /// How long it may run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How many bytes of output may be on their way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

/// What an executor answers where the command ran or was ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, De, Serialize)]
pub struct Executed<'a> {
    /// How it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The signal that ended it, by name: `SIGKILL`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Text<'a>>,
    /// What it wrote, and was not streamed before.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<Text<'a>>,
    /// What it wrote as errors, and was not streamed before.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<Text<'a>>,
    /// It was ended because its time was over.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timed_out: bool,
    /// It was ended because its sender no longer wants it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancelled: bool,
    /// Output was cut at a bound.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_false(value: &bool) -> bool {
    !value
}

/// How a command ended at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, De, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran and ended.
    Done,
    /// The target's policy does not run it.
    Refused,
    /// The target has no such program.
    NotFound,
    /// It could not be started, or the answer was malformed.
    Failed,
    /// The target ranks above the sender.
    Outranked,
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
    pub const ALL: [Status; 9] = [
        Status::Done,
        Status::Refused,
        Status::NotFound,
        Status::Failed,
        Status::Outranked,
        Status::Busy,
        Status::TimedOut,
        Status::Cancelled,
        Status::Lost,
    ];

    /// Whether the command had been started, as far as the status tells.
    pub fn has_started(self) -> bool {
        matches!(self, Status::Done | Status::TimedOut | Status::Cancelled)
    }

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Refused => "refused",
            Status::NotFound => "not_found",
            Status::Failed => "failed",
            Status::Outranked => "outranked",
            Status::Busy => "busy",
            Status::TimedOut => "timed_out",
            Status::Cancelled => "cancelled",
            Status::Lost => "lost",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of one command at one target.
#[derive(Clone, Debug, PartialEq, Eq, De, Serialize)]
pub struct Outcome<'a> {
    /// The request that it belongs to, where it is not the answer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<Id>,
    /// The target's number.
    pub member: u64,
    /// The target's name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The target's rank as of when the command was taken.
    pub rank: u32,
    /// How it ended.
    pub status: Status,
    /// How it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The signal that ended it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Text<'a>>,
    /// What it wrote, and was not streamed before.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<Text<'a>>,
    /// What it wrote as errors, and was not streamed before.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<Text<'a>>,
    /// How long it ran, in milliseconds, as the server saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Output was cut at a bound.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
    /// Why it did not run.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text<'a>>,
    /// Whether it had been sent to the target before that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
}

impl<'a> Outcome<'a> {
    /// An outcome that says nothing but how the command ended.
    pub fn new(member: u64, name: impl Into<Cow<'a, str>>, rank: u32, status: Status) -> Self {
        Outcome {
            send: None,
            member,
            name: name.into(),
            rank,
            status,
            exit_code: None,
            signal: None,
            stdout: None,
            stdout_base64: None,
            stderr: None,
            stderr_base64: None,
            elapsed_ms: None,
            truncated: false,
            message: None,
            started: None,
        }
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Outcome<'static> {
        let own = |text: Option<Text<'_>>| text.map(|t| Text::from(t.into_string()));
        Outcome {
            send: self.send,
            member: self.member,
            name: Cow::Owned(self.name.into_owned()),
            rank: self.rank,
            status: self.status,
            exit_code: self.exit_code,
            signal: own(self.signal),
            stdout: own(self.stdout),
            stdout_base64: own(self.stdout_base64),
            stderr: own(self.stderr),
            stderr_base64: own(self.stderr_base64),
            elapsed_ms: self.elapsed_ms,
            truncated: self.truncated,
            message: own(self.message),
            started: self.started,
        }
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

    /// How many outcomes there were.
    pub fn targets(&self) -> u32 {
        self.counts.iter().sum()
    }
}

impl FromIterator<(Status, u32)> for Tally {
    fn from_iter<I: IntoIterator<Item = (Status, u32)>>(counts: I) -> Tally {
        let mut tally = Tally::default();
        for (status, count) in counts {
            tally.counts[status as usize] += count;
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

/// `accepted`: a send to many was taken.
#[derive(Clone, Debug, De, Serialize)]
pub struct Accepted {
    /// The request.
    pub send: Id,
    /// How many outcomes it will have.
    pub targets: u32,
}

/// `cancel`, from a sender.
#[derive(Clone, Debug, De, Serialize)]
pub struct Cancel {
    /// The request whose commands are no longer wanted.
    pub send: Id,
}

/// `cancel`, to an executor.
#[derive(Clone, Debug, De, Serialize)]
pub struct CancelExecution {
    /// The `execute` request.
    pub id: u64,
}

/// One of a program's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, De, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// `output`, from an executor.
#[derive(Clone, Debug, De, Serialize)]
pub struct ExecutionOutput<'a> {
    /// The `execute` request.
    pub id: u64,
    /// Where it was written to.
    pub stream: OutputStream,
    /// What was written.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
}

/// `output`, to a sender.
#[derive(Clone, Debug, De, Serialize)]
pub struct SendOutput<'a> {
    /// The sender's request.
    pub send: Id,
    /// The target's number.
    pub member: u64,
    /// The target's name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The target's rank as of when the command was taken.
    pub rank: u32,
    /// Where it was written to.
    pub stream: OutputStream,
    /// What was written.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
}

/// How many bytes a string of base64 stands for (RFC 4648 §4), without decoding it; `None`
/// where its length or its characters are wrong.
pub fn base64_len(text: &str) -> Option<u64> {
    let data = text.trim_end_matches('=');
    let padding = text.len() - data.len();
    let is_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    let whole = text.len().is_multiple_of(4) && padding <= 2 && data.bytes().all(is_alphabet);
    whole.then_some((text.len() / 4 * 3 - padding) as u64)
}

/// `consumed`, from a sender.
#[derive(Clone, Debug, De, Serialize)]
pub struct SendConsumed {
    /// The sender's request.
    pub send: Id,
    /// Whose output.
    pub member: u64,
    /// How much of it.
    pub bytes: u64,
}

/// `consumed`, to an executor.
#[derive(Clone, Debug, De, Serialize)]
pub struct ExecutionConsumed {
    /// The `execute` request.
    pub id: u64,
    /// How much of its output.
    pub bytes: u64,
}

/// What `members` takes.
#[derive(Clone, Debug, Default, De, Serialize)]
pub struct MembersQuery {
    /// The rank to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// How many to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// One line of the ranking.
#[derive(Clone, Debug, PartialEq, Eq, De, Serialize)]
pub struct Member {
    /// Its number.
    pub member: u64,
    /// Its name.
    pub name: String,
    /// Its rank.
    pub rank: u32,
    /// Where it dialled in from, `ip:port`.
    pub address: String,
    /// How many commands it executes at once.
    pub slots: u32,
    /// How many it executes now.
    pub running: u32,
    /// How many wait for it.
    pub queued: u32,
    /// How long ago it joined, in milliseconds.
    pub joined_ms: u64,
}

/// What `members` gives.
#[derive(Clone, Debug, PartialEq, Eq, De, Serialize)]
pub struct Members {
    /// In rank order.
    pub members: Vec<Member>,
    /// How many are ranked.
    pub total: u32,
    /// How many the server accepts.
    pub max: u32,
}

/// `rank`: this client's own rank changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, De, Serialize)]
pub struct Rank {
    /// Its new rank.
    pub rank: u32,
    /// How many are ranked.
    pub members: u32,
}

/// `refused`: a lower-ranked client tried to command this one.
#[derive(Debug, De, Serialize)]
pub struct Refused<'a> {
    /// Who.
    #[serde(borrow)]
    pub from: Origin<'a>,
    /// What it wanted.
    pub command: Cow<'a, [String]>,
    /// Words were left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// Why the server says `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, De, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// It stops.
    ShuttingDown,
    /// This client did not take what was sent to it.
    SlowConsumer,
    /// This client sent too many malformed lines.
    TooManyErrors,
    /// This connection did not join in time.
    IdleHandshake,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

/// `bye`: the last line before the server closes.
#[derive(Clone, Debug, De, Serialize)]
pub struct Bye<'a> {
    /// For programs.
    pub reason: ByeReason,
    /// For people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_checked_and_pass_unchanged() {
        let read = |text: &'static str| serde_json::from_str::<Words<'_>>(text);
        let words = read(r#"["a", "\u00e4", ""]"#).expect("words");
        assert_eq!(words.raw().get(), r#"["a", "\u00e4", ""]"#);
        assert_eq!(words.to_vec(), ["a", "ä", ""]);
        for wrong in [
            "[]",
            "\"a\"",
            "{}",
            "null",
            "[1]",
            "[\"a\",null]",
            "[[\"a\"]]",
            r#"["\ud800"]"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

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
    fn statuses_are_written_as_they_are_named() {
        for (at, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, at, "a tally counts by position");
            let text = serde_json::to_string(&status).expect("JSON");
            assert_eq!(text, format!("{:?}", status.name()));
        }
    }

    #[test]
    fn base64_lengths() {
        for (text, len) in [
            ("", Some(0)),
            ("AA==", Some(1)),
            ("AAA=", Some(2)),
            ("AAAA", Some(3)),
            ("AAA", None),
            ("A===", None),
            ("A=A=", None),
            ("AA A", None),
        ] {
            assert_eq!(base64_len(text), len, "{text}");
        }
    }
}
