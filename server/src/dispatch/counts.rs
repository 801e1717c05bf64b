//! How many outcomes of each kind a send to many has had, counted by the threads of all its targets.

use common::sys::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use common::wire::{Status, Tally};

/// A tally in the making, without a lock.
pub(crate) struct Counts {
    of: [AtomicU32; Status::ALL.len()],
    open: AtomicU32,
    /// When the last outcome came that others may follow.
    last: AtomicU64,
}

/// What is left of a send to many after one of its outcomes.
pub(super) enum Left {
    /// This many are open.
    Many(u32),
    /// None is.
    Tally(Tally),
}

impl Counts {
    /// Of a send that will have this many outcomes.
    pub(crate) fn new(outcomes: u32) -> Counts {
        Counts {
            of: Default::default(),
            open: AtomicU32::new(outcomes),
            last: AtomicU64::new(0),
        }
    }

    /// Counts an outcome.
    pub(super) fn count(&self, status: Status) -> Left {
        self.of[status as usize].fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_sub(1, Ordering::AcqRel);
        if open > 1 {
            return Left::Many(open - 1);
        }
        let counts = Status::ALL.iter().zip(&self.of);
        let tally = counts.map(|(s, n)| (*s, n.load(Ordering::Relaxed)));
        Left::Tally(tally.collect())
    }

    /// Whether outcomes come close together, at a time in milliseconds at which one does.
    pub(super) fn has_company(&self, now: u64) -> bool {
        let last = self.last.swap(now, Ordering::Relaxed);
        now.saturating_sub(last) <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_outcome_of_many_threads_gives_the_tally() {
        let counts = Counts::new(8);
        let tallies: Vec<Tally> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let status = if n % 2 == 0 {
                        Status::Done
                    } else {
                        Status::Lost
                    };
                    let counts = &counts;
                    scope.spawn(move || counts.count(status))
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|t| match t.join().expect("no panic") {
                    Left::Tally(tally) => Some(tally),
                    Left::Many(_) => None,
                })
                .collect()
        });
        let [tally] = tallies.as_slice() else {
            panic!("one thread is the last, not {}", tallies.len());
        };
        assert_eq!((tally.of(Status::Done), tally.of(Status::Lost)), (4, 4));
    }
}
