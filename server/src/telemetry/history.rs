//! A figure for each of the last seconds, for plots: a page that is opened shows the minutes before
//! it, too.

use super::counters::{Totals, quantile};
use common::sys::sync::{Mutex, lock};
use common::wire::Status;
use serde::Serialize;
use std::collections::VecDeque;

/// Seconds that are kept: five minutes, in 40 KiB.
pub(crate) const SECONDS: usize = 300;

/// One second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// When it ended, by the clock on the wall, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) members: u32,
    pub(crate) running: u64,
    pub(crate) queued: u64,
    /// Commands that were taken.
    pub(crate) commands: u64,
    /// Outcomes that are `done`, and all others.
    pub(crate) done: u64,
    pub(crate) other: u64,
    /// The durations of commands that ended: half and 99 of 100 were shorter, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// What members do at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) members: u32,
    pub(crate) running: u64,
    pub(crate) queued: u64,
}

/// The last seconds.
#[derive(Default)]
pub(crate) struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    before: Option<Totals>,
    /// How many there were so far.
    number: u64,
}

impl History {
    /// Ends a second.
    pub(crate) fn note(&self, now: &Totals, load: Load, at_ms: u64) {
        let mut kept = lock(&self.0);
        if let Some(before) = kept.before.replace(now.clone()) {
            if kept.samples.len() == SECONDS {
                kept.samples.pop_front();
            }
            kept.samples.push_back(sample(&before, now, load, at_ms));
            kept.number += 1;
        }
    }

    /// How many there were so far, and those after as many, as far as they are kept; the newest
    /// last.
    pub(crate) fn after(&self, number: u64) -> (u64, Vec<Sample>) {
        let kept = lock(&self.0);
        let new = kept.number.saturating_sub(number).min(SECONDS as u64) as usize;
        let from = kept.samples.len().saturating_sub(new);
        (kept.number, kept.samples.range(from..).cloned().collect())
    }
}

fn sample(before: &Totals, now: &Totals, load: Load, at_ms: u64) -> Sample {
    let durations = std::array::from_fn(|at| now.durations[at] - before.durations[at]);
    let ended = |totals: &Totals| totals.outcomes.iter().sum::<u64>();
    let done = Status::Done as usize;
    let done = now.outcomes[done] - before.outcomes[done];
    Sample {
        at_ms,
        members: load.members,
        running: load.running,
        queued: load.queued,
        commands: now.taken - before.taken,
        done,
        other: (ended(now) - ended(before)).saturating_sub(done),
        p50_ms: quantile(&durations, 0.5),
        p99_ms: quantile(&durations, 0.99),
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::super::Telemetry;
    use super::super::counters::Pending;
    use super::*;
    use common::sys::sync::Arc;

    #[test]
    fn each_second_has_what_came_in_it_and_five_minutes_are_kept() {
        let (history, telemetry) = (History::default(), Arc::<Telemetry>::default());
        let (counters, mut pending) = (&telemetry.counters, Pending::default());
        history.note(&counters.totals(), Load::default(), 0);
        for second in 1..=SECONDS as u64 + 10 {
            pending.taken(&telemetry, second);
            pending.outcome(&telemetry, second, Status::Done, Some(4), 0);
            pending.outcome(&telemetry, second, Status::Lost, None, 0);
            pending.settle();
            history.note(&counters.totals(), Load::default(), second * 1000);
        }
        let (number, samples) = history.after(0);
        assert_eq!((number, samples.len()), (SECONDS as u64 + 10, SECONDS));
        assert!(
            samples
                .iter()
                .all(|s| (s.commands, s.done, s.other) == (1, 1, 1))
        );
        let last = samples.last().expect("there are some");
        assert_eq!(last.at_ms, number * 1000);
        assert_eq!(last.p50_ms, Some(3.5));
        let (_, newest) = history.after(number - 2);
        assert_eq!(newest, samples[SECONDS - 2..]);
    }
}
