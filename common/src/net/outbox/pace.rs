//! How fast a peer takes what waits for it, and whether that is too slow.

use crate::limits::{SLOW_PATIENCE, SLOW_PROGRESS};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most of the time between two looks that counts as the peer's delay: what is beyond that
/// is the delay of this process, which was stopped for a while.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// How far apart the moments are that are remembered: a peer that is too slow is found so much
/// later at most.
const MARK_EVERY: Duration = Duration::from_millis(250);

/// How fast a peer that is behind takes what waits for it, in the last [`SLOW_PATIENCE`].
#[derive(Debug)]
pub(super) struct Pace {
    looked: Instant,
    /// How long the peer has been behind.
    behind: Duration,
    /// How much it had taken at which time: first the latest mark that is [`SLOW_PATIENCE`] old,
    /// then those since.
    marks: VecDeque<Mark>,
}

#[derive(Debug)]
struct Mark {
    behind: Duration,
    taken: u64,
}

impl Pace {
    /// The pace of a peer that falls behind now and has taken so many bytes before.
    pub(super) fn start(taken: u64) -> Pace {
        let behind = Duration::ZERO;
        Pace {
            looked: Instant::now(),
            behind,
            marks: VecDeque::from([Mark { behind, taken }]),
        }
    }

    /// Notes that the peer has taken so many bytes in all by now; says whether it is too slow.
    pub(super) fn look(&mut self, taken: u64) -> bool {
        let passed = self.looked.elapsed();
        self.looked += passed;
        self.look_after(passed, taken)
    }

    /// [`look`](Self::look), so long after the last one.
    pub(super) fn look_after(&mut self, passed: Duration, taken: u64) -> bool {
        self.behind += passed.min(LONGEST_LOOK);
        let now = self.behind;
        let is_old = |mark: &Mark| now - mark.behind >= SLOW_PATIENCE;
        while self.marks.get(1).is_some_and(is_old) {
            self.marks.pop_front();
        }
        let oldest = self.marks.front();
        let too_slow =
            oldest.is_some_and(|mark| is_old(mark) && taken - mark.taken < SLOW_PROGRESS as u64);
        let latest = self.marks.back();
        if latest.is_none_or(|mark| now - mark.behind >= MARK_EVERY) {
            self.marks.push_back(Mark { behind: now, taken });
        }
        too_slow
    }

    /// How long the peer has been behind, without the pauses of this process.
    pub(super) fn behind(&self) -> Duration {
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(500);
    const ENOUGH: u64 = SLOW_PROGRESS as u64;

    /// After how long a peer is too slow that takes so many bytes at each tick, if it ever is.
    fn too_slow_after(by_tick: impl IntoIterator<Item = u64>) -> Option<Duration> {
        let mut pace = Pace::start(1 << 20);
        let mut taken = 1 << 20;
        by_tick.into_iter().find_map(|bytes| {
            taken += bytes;
            let too_slow = pace.look_after(TICK, taken);
            too_slow.then_some(pace.behind())
        })
    }

    /// Nothing, for so many seconds.
    fn nothing(seconds: usize) -> impl Iterator<Item = u64> {
        std::iter::repeat_n(0, 2 * seconds)
    }

    #[test]
    fn a_peer_that_takes_enough_in_any_ten_seconds_is_quick_enough() {
        let trickle = ENOUGH / 20 + 1;
        assert_eq!(too_slow_after([trickle; 500]), None);
        let by_the_piece = (0..50).flat_map(|_| nothing(9).chain([ENOUGH, 0]));
        assert_eq!(too_slow_after(by_the_piece), None);
        assert_eq!(too_slow_after([1 << 20; 500]), None);
    }

    #[test]
    fn a_peer_that_takes_too_little_in_ten_seconds_is_too_slow_at_their_end() {
        let after = |seconds: u64| Some(Duration::from_secs(seconds));
        assert_eq!(too_slow_after(nothing(60)), after(10));
        let trickle = ENOUGH / 20 - 1;
        assert_eq!(too_slow_after([trickle; 500]), after(10));
        let at_the_start = std::iter::once(ENOUGH).chain(nothing(60));
        assert_eq!(too_slow_after(at_the_start), Some(SLOW_PATIENCE + TICK));
        // Enough in the first ten seconds, of which the last byte comes late.
        let late = nothing(5).chain([ENOUGH - 1]).chain(nothing(4)).chain([1]);
        let after_most_of_it = SLOW_PATIENCE + 11 * TICK;
        assert_eq!(
            too_slow_after(late.chain(nothing(60))),
            Some(after_most_of_it)
        );
    }

    #[test]
    fn time_in_which_the_process_was_stopped_does_not_count() {
        let mut pace = Pace::start(0);
        for _ in 0..9 {
            assert!(!pace.look_after(Duration::from_secs(100), 0));
        }
        assert!(pace.look_after(Duration::from_secs(100), 0));
    }

    #[test]
    fn the_number_of_marks_is_bounded() {
        let mut pace = Pace::start(0);
        for n in 1..100_000 {
            pace.look_after(Duration::from_millis(1), n * ENOUGH);
        }
        let most = SLOW_PATIENCE.as_millis() / MARK_EVERY.as_millis() + 2;
        assert!(pace.marks.len() as u128 <= most, "{}", pace.marks.len());
    }
}
