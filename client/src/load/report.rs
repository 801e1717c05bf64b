//! What was measured.

use common::wire::Status;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Digits that a latency is exact to.
const DIGITS: u8 = 3;

const GROWS: &str = "a histogram that grows takes every value";

/// How far a bench has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many of its clients have joined.
    Joining { joined: u64, wanted: u64 },
    /// It sends, and nothing counts yet.
    WarmingUp,
    /// So many commands have ended in this time.
    Measuring { commands: u64, elapsed: Duration },
}

/// How a measurement has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    Interrupted,
    /// The server went, and what it said.
    Lost(String),
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// What all senders have counted.
    pub counts: Counts,
    /// From the first send to the last answer.
    pub elapsed: Duration,
    /// Processor time that this process took meanwhile.
    pub cpu: Duration,
    /// How long it took the idle clients to join, one after another.
    pub idle_joining: Duration,
    /// How it has ended.
    pub end: End,
}

/// What senders count.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Sends that were written.
    pub sent: u64,
    /// Sends that were not answered when the bench ended.
    pub open: u64,
    /// How many outcomes of each kind there were.
    pub outcomes: [u64; Status::ALL.len()],
    /// What else went wrong, by its reason: the errors of the protocol; `exit_code`, a command
    /// that ended with another code than 0; `missing`, an outcome that did not come.
    pub errors: BTreeMap<&'static str, u64>,
    /// From each send that was done to its answer, in nanoseconds.
    pub latency: Histogram<u64>,
    pub(super) last: Option<Instant>,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            sent: 0,
            open: 0,
            outcomes: Default::default(),
            errors: BTreeMap::new(),
            latency: Histogram::new(DIGITS).expect("it can be that exact"),
            last: None,
        }
    }
}

impl Counts {
    /// Commands that were done.
    pub fn done(&self) -> u64 {
        self.outcomes[Status::Done as usize]
    }

    pub(super) fn error(&mut self, reason: &'static str) {
        *self.errors.entry(reason).or_default() += 1;
    }

    pub(super) fn latency(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.record(ns).expect(GROWS);
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.sent += other.sent;
        self.open += other.open;
        for (sum, count) in self.outcomes.iter_mut().zip(other.outcomes) {
            *sum += count;
        }
        for (reason, count) in &other.errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.latency.add(&other.latency).expect(GROWS);
        self.last = self.last.max(other.last);
    }
}
