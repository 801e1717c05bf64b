//! The newest of what comes one after the other, and how many there were: so each of its readers is
//! told what is new to it, once.

use common::sys::sync::{Mutex, lock};
use std::collections::VecDeque;

/// The newest ones, at most `MOST`.
pub(crate) struct Recent<T, const MOST: usize>(Mutex<Kept<T>>);

struct Kept<T> {
    /// The newest last.
    newest: VecDeque<T>,
    /// How many there were so far.
    number: u64,
}

impl<T, const MOST: usize> Default for Recent<T, MOST> {
    fn default() -> Recent<T, MOST> {
        Recent(Mutex::new(Kept {
            newest: VecDeque::new(),
            number: 0,
        }))
    }
}

impl<T: Clone, const MOST: usize> Recent<T, MOST> {
    pub(crate) fn push(&self, new: T) {
        let mut kept = lock(&self.0);
        let oldest = (kept.newest.len() == MOST).then(|| kept.newest.pop_front());
        kept.newest.push_back(new);
        kept.number += 1;
        drop(kept);
        drop(oldest);
    }

    /// Forgets those that are kept.
    pub(crate) fn clear(&self) {
        let newest = std::mem::take(&mut lock(&self.0).newest);
        drop(newest);
    }

    /// How many there were so far, and those after as many, as far as they are kept; the newest
    /// last.
    pub(crate) fn after(&self, number: u64) -> (u64, Vec<T>) {
        let kept = lock(&self.0);
        let new = kept.number.saturating_sub(number).min(MOST as u64) as usize;
        let from = kept.newest.len().saturating_sub(new);
        (kept.number, kept.newest.range(from..).cloned().collect())
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_told_each_once_while_others_come() {
        const THREADS: usize = 4;
        const EACH: usize = 10_000;
        let recent = Recent::<_, { THREADS * EACH }>::default();
        let (mut number, mut told) = (0, Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let recent = &recent;
                scope.spawn(move || (0..EACH).for_each(|n| recent.push(thread * EACH + n)));
            }
            while told.len() < THREADS * EACH {
                let (now, new) = recent.after(number);
                number = now;
                told.extend(new);
            }
        });
        told.sort_unstable();
        assert!(told.into_iter().eq(0..THREADS * EACH));
    }

    #[test]
    fn the_oldest_go_and_the_newest_come_last() {
        let recent = Recent::<_, 3>::default();
        assert_eq!(recent.after(0), (0, vec![]));
        (1..=5).for_each(|n| recent.push(n));
        assert_eq!(recent.after(0), (5, vec![3, 4, 5]));
        assert_eq!(recent.after(4), (5, vec![5]));
        assert_eq!(recent.after(5), (5, vec![]));
        // Of an earlier start of the server.
        assert_eq!(recent.after(9), (5, vec![]));
    }
}
