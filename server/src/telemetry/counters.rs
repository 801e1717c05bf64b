//! The counts on the path of a command, in parts: threads that count at the same time seldom write
//! to the same cache line. A part belongs to no thread; which one is used follows from a member's
//! number.

use common::net::outbox::WrittenBytes;
use common::sys::sync::Arc;
use common::wire::Status;
// Not those that schedules are explored with: no thread decides anything by a count, and there are
// thousands of them.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Parts: some more than the processors that count at the same time on most machines.
const PARTS: usize = 16;

/// The upper bounds of the durations that are told apart, in milliseconds: about three for each
/// power of ten, from what the timers tell apart to the longest time-outs that are usual.
pub(crate) const BOUNDS_MS: [u64; 23] = [
    1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 350, 500, 750, 1000, 2000, 5000, 10_000, 20_000,
    60_000, 120_000, 300_000, 900_000,
];

/// The counts, all parts together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Commands that were taken.
    pub(crate) taken: u64,
    /// Outcomes by status, in the order of [`Status::ALL`].
    pub(crate) outcomes: [u64; Status::ALL.len()],
    /// Durations: as many as were at most each of [`BOUNDS_MS`] and above the bound before it; the
    /// longer ones last.
    pub(crate) durations: [u64; BOUNDS_MS.len() + 1],
    /// The sum of the durations, in milliseconds.
    pub(crate) duration_ms: u64,
    /// Bytes of output that went to senders.
    pub(crate) output: u64,
    /// Bytes that clients sent, and that were sent to them.
    pub(crate) received: u64,
    pub(crate) written: u64,
    pub(crate) joined: u64,
    pub(crate) left: u64,
    /// Of these, clients that did not read.
    pub(crate) slow: u64,
}

/// The counts of a running server.
pub(crate) struct Counters {
    parts: Box<[Part]>,
    /// Each of a share of the connections.
    written: [Arc<WrittenBytes>; PARTS],
    connections: AtomicU64,
    replaced: AtomicU64,
    joined: AtomicU64,
    left: AtomicU64,
    slow: AtomicU64,
}

impl Default for Counters {
    fn default() -> Counters {
        // Made where they stay: they are tens of kilobytes.
        let parts = std::iter::repeat_with(Part::default).take(PARTS);
        Counters {
            parts: parts.collect(),
            written: Default::default(),
            connections: AtomicU64::default(),
            replaced: AtomicU64::default(),
            joined: AtomicU64::default(),
            left: AtomicU64::default(),
            slow: AtomicU64::default(),
        }
    }
}

/// One part, on cache lines of its own: processors fetch two at a time.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    taken: AtomicU64,
    /// Outcomes without a duration.
    outcomes: [AtomicU64; Status::ALL.len()],
    /// Those with one, by status: one addition counts both.
    durations: [Durations; Status::ALL.len()],
    duration_ms: AtomicU64,
    output: AtomicU64,
    received: AtomicU64,
}

/// Outcomes of one status by their durations.
type Durations = [AtomicU64; BOUNDS_MS.len() + 1];

impl Counters {
    fn part(&self, number: u64) -> &Part {
        &self.parts[number as usize % PARTS]
    }

    /// Adds commands that were taken, outcomes that were done within a millisecond, and bytes of output.
    pub(super) fn add(&self, member: u64, taken: u64, quick: u64, output: u64) {
        let part = self.part(member);
        part.taken.fetch_add(taken, Relaxed);
        part.durations[Status::Done as usize][0].fetch_add(quick, Relaxed);
        part.output.fetch_add(output, Relaxed);
    }

    /// Counts an outcome of a member, and how long it took if it was given the command.
    pub(super) fn outcome(&self, member: u64, status: Status, elapsed_ms: Option<u64>) {
        let part = self.part(member);
        let Some(ms) = elapsed_ms else {
            part.outcomes[status as usize].fetch_add(1, Relaxed);
            return;
        };
        let at = BOUNDS_MS.partition_point(|bound| *bound < ms);
        part.durations[status as usize][at].fetch_add(1, Relaxed);
        if ms > 0 {
            part.duration_ms.fetch_add(ms, Relaxed);
        }
    }

    /// Counts bytes that a client sent.
    pub(crate) fn received(&self, member: u64, bytes: usize) {
        self.part(member).received.fetch_add(bytes as u64, Relaxed);
    }

    /// Where bytes are counted that are sent over a new connection.
    pub(crate) fn written(&self) -> Arc<WrittenBytes> {
        let number = self.connections.fetch_add(1, Relaxed);
        Arc::clone(&self.written[number as usize % PARTS])
    }

    pub(crate) fn joined(&self) {
        self.joined.fetch_add(1, Relaxed);
    }

    pub(crate) fn left(&self, was_slow: bool) {
        self.slow.fetch_add(u64::from(was_slow), Relaxed);
        self.left.fetch_add(1, Relaxed);
    }

    /// A client has come back to its place as a member anew.
    pub(crate) fn replaced(&self) {
        self.replaced.fetch_add(1, Relaxed);
    }

    /// How many joined or came back so far, and left: changes if the ranking does.
    pub(crate) fn changes_of_members(&self) -> (u64, u64) {
        (load(&self.joined) + load(&self.replaced), load(&self.left))
    }

    /// How many commands were taken and had outcomes so far: changes if the load of members does.
    pub(crate) fn changes_of_load(&self) -> u64 {
        let parts = self.parts.iter();
        parts.map(|part| load(&part.taken) + part.all()).sum()
    }

    /// The counts as they are now.
    pub(crate) fn totals(&self) -> Totals {
        let sum = |count: &dyn Fn(&Part) -> u64| -> u64 { self.parts.iter().map(count).sum() };
        Totals {
            taken: sum(&|part| load(&part.taken)),
            outcomes: std::array::from_fn(|status| sum(&|part| part.of_status(status))),
            durations: std::array::from_fn(|at| sum(&|part| part.of_duration(at))),
            duration_ms: sum(&|part| load(&part.duration_ms)),
            output: sum(&|part| load(&part.output)),
            received: sum(&|part| load(&part.received)),
            written: self.written.iter().map(|part| part.count()).sum(),
            joined: load(&self.joined),
            left: load(&self.left),
            slow: load(&self.slow),
        }
    }
}

impl Part {
    fn of_status(&self, status: usize) -> u64 {
        let timed: u64 = self.durations[status].iter().map(load).sum();
        load(&self.outcomes[status]) + timed
    }

    fn of_duration(&self, at: usize) -> u64 {
        self.durations.iter().map(|of| load(&of[at])).sum()
    }

    /// All outcomes.
    fn all(&self) -> u64 {
        (0..Status::ALL.len())
            .map(|status| self.of_status(status))
            .sum()
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Relaxed)
}

/// The duration below which a share of some durations lies, in milliseconds, as far as the bounds
/// tell: within the bounds that it is between, evenly spread.
pub(crate) fn quantile(durations: &[u64; BOUNDS_MS.len() + 1], share: f64) -> Option<f64> {
    let all: u64 = durations.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = share * all as f64;
    let mut before = 0.0;
    for (at, count) in durations.iter().enumerate() {
        let count = *count as f64;
        if count > 0.0 && before + count >= wanted {
            let low = at.checked_sub(1).map_or(0, |below| BOUNDS_MS[below]) as f64;
            let high = BOUNDS_MS.get(at).map_or(low, |bound| *bound as f64);
            return Some(low + (high - low) * ((wanted - before) / count).clamp(0.0, 1.0));
        }
        before += count;
    }
    BOUNDS_MS.last().map(|bound| *bound as f64)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_the_bounds_of_its_durations() {
        let mut durations = [0; BOUNDS_MS.len() + 1];
        assert_eq!(quantile(&durations, 0.5), None);
        durations[3] = 100;
        assert_eq!(quantile(&durations, 0.5), Some(7.5));
        assert_eq!(quantile(&durations, 1.0), Some(10.0));
        durations[BOUNDS_MS.len()] = 100;
        assert_eq!(quantile(&durations, 0.99), Some(900_000.0));
    }
}
