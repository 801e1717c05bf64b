//! What became of a command, and what it wrote, as bytes: what a sender is given.

use common::net::outbox::Outbox;
use common::sys::sync::Arc;
use common::wire::message;
use common::wire::name::Name;
use common::wire::{
    self, Leftovers, OutputStream, SendConsumed, Status, Text, decode_output, method,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What became of one command at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The target's number. Only what is [absent](Status::Absent) or
    /// [forbidden](Status::Forbidden) may have none, nor a name or a rank: then it has what the
    /// selector named it by.
    pub member: Option<u64>,
    /// The target's name.
    pub name: Option<String>,
    /// The target's rank as of when the server took the command.
    pub rank: Option<u32>,
    /// How it ended.
    pub status: Status,
    /// How it exited by itself.
    pub exit_code: Option<i64>,
    /// The signal that ended it, by name.
    pub signal: Option<String>,
    /// What it wrote and was not told as [`Output`] before.
    pub stdout: Vec<u8>,
    /// What it wrote as errors and was not told as [`Output`] before.
    pub stderr: Vec<u8>,
    /// How long it ran, as the server saw it.
    pub elapsed: Option<Duration>,
    /// Output was cut at a bound.
    pub truncated: bool,
    /// How many processes it left behind.
    pub leftovers: Leftovers,
    /// Why it did not run.
    pub message: Option<String>,
    /// Whether it had been sent to the target before that was lost.
    pub started: Option<bool>,
}

impl Outcome {
    /// An outcome as it came; `None` if it does not name its target.
    pub(crate) fn from_wire(wire: wire::Outcome<'_>) -> Option<Outcome> {
        let own = Text::into_string;
        let known = [
            wire.member.is_some(),
            wire.name.is_some(),
            wire.rank.is_some(),
        ];
        let names_target = match wire.status {
            Status::Absent | Status::Forbidden => known.contains(&true),
            _ => known == [true; 3],
        };
        if !names_target {
            return None;
        }
        let stdout = decode_output(wire.stdout, wire.stdout_base64);
        let stderr = decode_output(wire.stderr, wire.stderr_base64);
        Some(Outcome {
            member: wire.member,
            name: wire.name.map(Name::into_string),
            rank: wire.rank,
            status: wire.status,
            exit_code: wire.exit_code,
            signal: wire.signal.map(own),
            truncated: wire.truncated || stdout.is_none() || stderr.is_none(),
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
            leftovers: wire.leftovers.unwrap_or_default(),
            elapsed: wire.elapsed_ms.map(Duration::from_millis),
            message: wire.message.map(own),
            started: wire.started,
        })
    }

    /// The target, for people: its name, or what the selector named it by.
    pub fn target(&self) -> String {
        match (&self.name, self.rank, self.member) {
            (Some(name), ..) => name.clone(),
            (None, Some(rank), _) => format!("rank {rank}"),
            (None, None, member) => format!("#{}", member.unwrap_or_default()),
        }
    }

    /// [`target`](Self::target) with its rank, if both are known: `web1, rank 3`.
    pub fn label(&self) -> String {
        match (&self.name, self.rank) {
            (Some(name), Some(rank)) => format!("{name}, rank {rank}"),
            _ => self.target(),
        }
    }

    /// Whether it ran to its end and exited with 0.
    pub fn succeeded(&self) -> bool {
        self.status == Status::Done && self.exit_code == Some(0)
    }
}

/// Output of a command that runs. Dropping it says that it was consumed: if the command was sent
/// with a window, its target may write that much more.
#[derive(Debug)]
pub struct Output {
    /// The target's number.
    pub member: u64,
    /// The target's name.
    pub name: String,
    /// The target's rank as of when the server took the command.
    pub rank: u32,
    /// The stream.
    pub stream: OutputStream,
    /// What was written.
    pub bytes: Vec<u8>,
    /// Gives the room back when it is dropped.
    pub(crate) _credit: Credit,
}

/// Room for output that is in use until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    /// Bytes of the send's output that are not consumed.
    pub(crate) unconsumed: Arc<AtomicU64>,
    /// How many of them are this one's.
    pub(crate) bytes: u64,
    /// The target to tell, if there is a window.
    pub(crate) tell: Option<WindowUpdate>,
}

/// Tells a target what was consumed: at once if nothing more has come, but not each piece by itself
/// as long as there is more to consume and the target can go on.
#[derive(Debug)]
pub(crate) struct WindowUpdate {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) send: u64,
    pub(crate) member: u64,
    /// What was consumed of the target's output and not told yet.
    pub(crate) untold: Arc<AtomicU64>,
    /// How much of that is told at once; less than the target's whole window.
    pub(crate) enough: u64,
}

impl WindowUpdate {
    fn consumed(&self, bytes: u64, is_last: bool) {
        let untold = self.untold.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if untold < self.enough && !is_last {
            return;
        }
        let consumed = SendConsumed {
            send: self.send.into(),
            member: self.member,
            bytes: self.untold.swap(0, Ordering::AcqRel),
        };
        if consumed.bytes > 0 {
            let line = message::notification_line(method::CONSUMED, consumed);
            self.outbox.push(line);
            self.outbox.flush();
        }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        // In this order: what was told may come back as output before this returns.
        let before = self.unconsumed.fetch_sub(self.bytes, Ordering::AcqRel);
        if let Some(tell) = &self.tell {
            tell.consumed(self.bytes, before == self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_base64_become_bytes() {
        let mut wire =
            wire::Outcome::new(2, common::wire::name::Name::known("web1"), 1, Status::Done);
        wire.stdout = Some("ä\n".into());
        wire.stderr_base64 = Some("/wA=".into());
        let outcome = Outcome::from_wire(wire).expect("it names its target");
        assert_eq!(outcome.stdout, "ä\n".as_bytes());
        assert_eq!(outcome.stderr, [0xff, 0]);
        assert!(!outcome.truncated);
    }

    #[test]
    fn an_outcome_names_its_target() {
        let read = |json: &str| {
            let wire = serde_json::from_str(json).expect("an outcome");
            Outcome::from_wire(wire).map(|outcome| outcome.target())
        };
        for (json, target) in [
            (r#"{"name":"nope","status":"absent"}"#, Some("nope")),
            (r#"{"rank":7,"status":"absent"}"#, Some("rank 7")),
            (r#"{"member":17,"status":"absent"}"#, Some("#17")),
            (
                r#"{"member":5,"name":"idle","rank":2,"status":"absent"}"#,
                Some("idle"),
            ),
            (r#"{"status":"absent"}"#, None),
            (
                r#"{"member":5,"name":"web1","rank":2,"status":"done"}"#,
                Some("web1"),
            ),
            (r#"{"member":5,"name":"web1","status":"done"}"#, None),
            (r#"{"name":"web1","rank":2,"status":"outranked"}"#, None),
        ] {
            assert_eq!(read(json).as_deref(), target, "{json}");
        }
    }

    #[test]
    fn invalid_base64_counts_as_output_that_was_cut() {
        let mut wire =
            wire::Outcome::new(2, common::wire::name::Name::known("web1"), 1, Status::Done);
        wire.stdout_base64 = Some("?".into());
        assert!(Outcome::from_wire(wire).is_some_and(|outcome| outcome.truncated));
    }
}
