//! A figure for each of the last seconds, for plots: a page that is opened, or a client that
//! begins to watch, shows the minutes before it, too.

use super::counters::{Totals, quantile};
use super::recent::Recent;
use common::sys::sync::{Mutex, lock};
use common::wire::Status;
use common::wire::watch::Sample;

/// Seconds that are kept: five minutes, in 40 KiB.
pub(crate) const SECONDS: usize = 300;

/// What members do at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) members: u32,
    pub(crate) running: u64,
    pub(crate) queued: u64,
}

/// The last seconds.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) samples: Recent<Sample, SECONDS>,
    /// At the end of the last one.
    before: Mutex<Option<Totals>>,
}

impl History {
    /// Begins anew, after a time in which nothing was counted.
    pub(crate) fn begin(&self) {
        *lock(&self.before) = None;
        self.samples.clear();
    }

    /// Ends a second.
    pub(crate) fn note(&self, now: &Totals, load: Load, at_ms: u64) {
        let before = lock(&self.before).replace(now.clone());
        if let Some(before) = before {
            self.samples.push(sample(&before, now, load, at_ms));
        }
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
    use super::super::counters::Counters;
    use super::*;

    #[test]
    fn each_second_has_what_came_in_it_and_five_minutes_are_kept() {
        let (history, counters) = (History::default(), Counters::default());
        history.note(&counters.totals(), Load::default(), 0);
        for second in 1..=SECONDS as u64 + 10 {
            counters.add(second, 1, 0, 0);
            counters.outcome(second, Status::Done, Some(4));
            counters.outcome(second, Status::Lost, None);
            history.note(&counters.totals(), Load::default(), second * 1000);
        }
        let (number, samples) = history.samples.after(0);
        assert_eq!((number, samples.len()), (SECONDS as u64 + 10, SECONDS));
        assert!(
            samples
                .iter()
                .all(|s| (s.commands, s.done, s.other) == (1, 1, 1))
        );
        let last = samples.last().expect("there are some");
        assert_eq!(last.at_ms, number * 1000);
        assert_eq!(last.p50_ms, Some(3.5));
        let (_, newest) = history.samples.after(number - 2);
        assert_eq!(newest, samples[SECONDS - 2..]);
    }
}
