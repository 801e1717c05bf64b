//! The newest commands, with what became of them at their targets.
//!
//! Of a flood a bounded number a second is kept, and the rest is counted: no person reads more, and
//! names and words cost what a command costs. The budget is given anew from time to time
//! ([`Feed::refill`]), so that a command which is not kept costs one look at a number.

use super::recent::Recent;
use crate::clock::wall_ms;
use crate::dispatch::outcome_details::{OutcomeDetails, TargetInfo};
use common::sys::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::text::clip;
use common::wire::watch::{WatchedCommand, WatchedSender};
use common::wire::{Send, Status};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Instant;

/// Commands that are kept: what a person scrolls through, several times over.
const MOST_KEPT: usize = 512;

/// Targets of one command that are kept by name from its start, and as many again that end
/// otherwise than by exit code 0: with [`MOST_KEPT`], 8 MiB at most, of the longest names.
const MOST_TARGETS: usize = 64;

/// Outcomes that cost as much as a command with one.
const OUTCOMES_AS_DEAR: u32 = 8;

/// Bytes of a command's words, as JSON; longer ones are shown by their first word.
const MOST_WORDS: usize = 1024;

/// The newest commands.
#[derive(Default)]
pub(crate) struct Feed {
    kept: Recent<Arc<Shown>, MOST_KEPT>,
    /// How many more are kept until the budget is given anew; one to many counts as several.
    budget: AtomicI64,
    /// Changes with every change.
    changes: AtomicU64,
}

/// A command that is kept.
pub(crate) struct Shown {
    pub(crate) id: u64,
    /// By the clock on the wall.
    at_ms: u64,
    since: Instant,
    sender: u64,
    sender_name: Box<str>,
    sender_rank: AtomicU32,
    words: Box<RawValue>,
    targets: u32,
    outcomes: [AtomicU32; Status::ALL.len()],
    /// Of those that are done, the ones that did not end with exit code 0.
    not_zero: AtomicU32,
    ended_ms: AtomicU64,
    /// The number of the last of the first targets.
    last_first: u64,
    at: Mutex<AtTargets>,
}

#[derive(Default)]
struct AtTargets {
    /// The first ones, in the order of their numbers.
    first: Vec<AtTarget>,
    /// Others that did not do it.
    others: Vec<AtTarget>,
}

/// A command at one of its targets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AtTarget {
    pub(crate) member: u64,
    pub(crate) name: Box<str>,
    pub(crate) rank: u32,
    /// How it ended; without it, it waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) elapsed_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl Feed {
    /// Begins to keep a command, if the budget has room for it. Apart, for the stack of each `send`.
    #[inline(never)]
    pub(crate) fn show<'a>(
        &self,
        id: u64,
        sender: (u64, &str),
        request: &Send<'_>,
        targets: impl Iterator<Item = TargetInfo<'a>>,
        outcomes: u32,
    ) -> Option<Arc<Shown>> {
        // A look first: in a flood it is all that is done.
        let cost = 1 + i64::from(outcomes / OUTCOMES_AS_DEAR);
        if self.budget.load(Relaxed) <= 0 || self.budget.fetch_sub(cost, Relaxed) <= 0 {
            return None;
        }
        Some(Shown::new(id, sender, request, targets, outcomes))
    }

    /// From now on so many commands are kept, until this is called again.
    pub(crate) fn refill(&self, budget: u32) {
        self.budget.store(budget.into(), Relaxed);
    }

    /// Forgets those that are kept: nothing was noted of them for a time.
    pub(super) fn clear(&self) {
        self.kept.clear();
        self.changed();
    }

    pub(super) fn add(&self, shown: &Arc<Shown>) {
        self.kept.push(Arc::clone(shown));
        self.changed();
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    /// Changes whenever a command is kept or has an outcome.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// The newest commands, the newest last.
    pub(crate) fn newest(&self, most: usize) -> Vec<Arc<Shown>> {
        let (_, mut kept) = self.kept.after(0);
        kept.split_off(kept.len().saturating_sub(most))
    }

    /// A command that is kept.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Shown>> {
        let (_, kept) = self.kept.after(0);
        kept.into_iter().rfind(|shown| shown.id == id)
    }
}

impl Shown {
    #[inline(never)]
    fn new<'a>(
        id: u64,
        (sender, sender_name): (u64, &str),
        request: &Send<'_>,
        targets: impl Iterator<Item = TargetInfo<'a>>,
        outcomes: u32,
    ) -> Arc<Shown> {
        let first = targets.take(MOST_TARGETS).map(AtTarget::waiting);
        let first: Vec<AtTarget> = first.collect();
        Arc::new(Shown {
            id,
            at_ms: wall_ms(),
            since: Instant::now(),
            sender,
            sender_name: sender_name.into(),
            sender_rank: AtomicU32::new(0),
            words: words(request),
            targets: outcomes,
            outcomes: Default::default(),
            not_zero: AtomicU32::new(0),
            ended_ms: AtomicU64::new(0),
            last_first: first.last().map_or(0, |at| at.member),
            at: Mutex::new(AtTargets {
                first,
                others: Vec::new(),
            }),
        })
    }

    pub(super) fn set_sender_rank(&self, rank: u32) {
        self.sender_rank.store(rank, Relaxed);
    }

    #[inline(never)]
    pub(super) fn outcome(
        &self,
        target: TargetInfo<'_>,
        status: Status,
        details: &OutcomeDetails<'_>,
    ) {
        if target.member <= self.last_first || !details.is_success(status) {
            self.note(target, status, details);
        }
        if status == Status::Done && !details.is_success(status) {
            self.not_zero.fetch_add(1, Relaxed);
        }
        self.count(status);
    }

    fn note(&self, target: TargetInfo<'_>, status: Status, details: &OutcomeDetails<'_>) {
        let mut at = lock(&self.at);
        let found = at
            .first
            .binary_search_by_key(&target.member, |at| at.member);
        match found {
            Ok(found) => at.first[found].end(status, details),
            Err(_) if at.others.len() < MOST_TARGETS && !details.is_success(status) => {
                let mut other = AtTarget::waiting(target);
                other.end(status, details);
                at.others.push(other);
            }
            Err(_) => {}
        }
    }

    pub(super) fn count(&self, status: Status) {
        self.outcomes[status as usize].fetch_add(1, Relaxed);
        if self.has_ended() {
            self.ended_ms.store(self.now_ms(), Relaxed);
        }
    }

    fn has_ended(&self) -> bool {
        self.outcomes() >= self.targets
    }

    /// Not by the clock on the wall, which jumps.
    fn now_ms(&self) -> u64 {
        self.at_ms + crate::millis(self.since.elapsed())
    }

    /// When it had its last outcome. The thread that counted it may not have noted that yet; a stream
    /// is told of each outcome once, so it is told the end with the last of them.
    fn ended_ms(&self) -> Option<u64> {
        match self.ended_ms.load(Relaxed) {
            0 => self.has_ended().then(|| self.now_ms()),
            at => Some(at),
        }
    }

    /// How many outcomes it has had.
    pub(crate) fn outcomes(&self) -> u32 {
        self.outcomes.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// What is known of it.
    pub(crate) fn summary(&self) -> WatchedCommand<'_> {
        let counts = Status::ALL.iter().zip(&self.outcomes);
        let counts =
            counts.map(|(status, count)| (Cow::Borrowed(status.name()), count.load(Relaxed)));
        WatchedCommand {
            id: self.id,
            at_ms: self.at_ms,
            from: WatchedSender {
                member: self.sender,
                name: Cow::Borrowed(&self.sender_name),
                rank: self.sender_rank.load(Relaxed),
            },
            command: Cow::Borrowed(&self.words),
            targets: self.targets,
            outcomes: counts.filter(|(_, count)| *count > 0).collect(),
            not_zero: self.not_zero.load(Relaxed),
            ended_ms: self.ended_ms(),
        }
    }

    /// What is known of its targets: the first ones, and others that did not do it.
    pub(crate) fn at_targets(&self) -> Vec<AtTarget> {
        let at = lock(&self.at);
        at.first.iter().chain(&at.others).cloned().collect()
    }
}

impl AtTarget {
    fn waiting(target: TargetInfo<'_>) -> AtTarget {
        AtTarget {
            member: target.member,
            name: target.name.into(),
            rank: target.rank,
            status: None,
            exit_code: None,
            signal: None,
            elapsed_ms: None,
            message: None,
        }
    }

    fn end(&mut self, status: Status, details: &OutcomeDetails<'_>) {
        let executed = &details.executed;
        self.status = Some(status);
        self.exit_code = executed.exit_code;
        self.signal = executed.signal.as_ref().map(|s| s.decoded().into_owned());
        self.elapsed_ms = details.elapsed_ms;
        let message = details.message.as_ref();
        self.message = message.map(|text| clip(&text.decoded()).into_owned());
    }
}

/// The words of a command as a JSON array, without line breaks between them.
fn words(request: &Send<'_>) -> Box<RawValue> {
    let words = request.command;
    let json = if words.as_json().len() <= MOST_WORDS {
        let mut json = Vec::new();
        words.append_to(&mut json);
        String::from_utf8(json).unwrap_or_default()
    } else {
        let short = [clip(&words.first_word()).into_owned(), "…".to_owned()];
        serde_json::to_string(&short).unwrap_or_default()
    };
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;
    use std::iter::empty;

    const SENDER: (u64, &str) = (1, "sender");

    #[test]
    fn a_command_in_the_first_second_of_a_server_is_kept() {
        let telemetry = Telemetry::new(true);
        let request = serde_json::from_str(r#"{"command":["x"]}"#).expect("a send");
        let shown = telemetry.feed.show(1, SENDER, &request, empty(), 1);
        assert!(shown.is_some());
    }

    #[test]
    fn a_command_that_has_all_outcomes_is_shown_with_its_end() {
        let request = serde_json::from_str(r#"{"command":["x"]}"#).expect("a send");
        let shown = Shown::new(1, SENDER, &request, empty(), 2);
        shown.count(Status::Absent);
        assert_eq!(shown.summary().ended_ms, None);
        // As another thread finds it while the last outcome is counted.
        shown.outcomes[Status::Absent as usize].fetch_add(1, Relaxed);
        assert!(shown.summary().ended_ms.is_some());
        shown.ended_ms.store(7, Relaxed);
        assert_eq!(shown.summary().ended_ms, Some(7));
    }
}
