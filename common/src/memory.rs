//! How many bytes a process keeps for all of its peers: each peer has bounds of its own, and
//! thousands of peers within theirs are still too many for the machine.
//!
//! This module only counts, without a lock. The code that keeps something says so, and what
//! happens past the limit is decided elsewhere.

use crate::sys::sync::Arc;
use crate::sys::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are kept, and a limit of them.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    kept: AtomicUsize,
    /// What is kept here is kept there, too.
    whole: Option<Arc<Memory>>,
}

impl Memory {
    /// Nothing yet, of so many bytes.
    pub fn new(limit: usize) -> Arc<Memory> {
        Memory::with(limit, None)
    }

    /// Counts, without a limit.
    pub fn unlimited() -> Arc<Memory> {
        Memory::new(usize::MAX)
    }

    /// A part of another one, with a limit of its own.
    pub fn part_of(whole: &Arc<Memory>, limit: usize) -> Arc<Memory> {
        Memory::with(limit, Some(Arc::clone(whole)))
    }

    fn with(limit: usize, whole: Option<Arc<Memory>>) -> Arc<Memory> {
        let kept = AtomicUsize::new(0);
        Arc::new(Memory { limit, kept, whole })
    }

    /// Notes that what was kept in so many bytes is kept in so many others.
    pub(crate) fn change(&self, before: usize, after: usize) {
        if after > before {
            self.kept.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.kept.fetch_sub(before - after, Ordering::Relaxed);
        }
        if let Some(whole) = &self.whole {
            whole.change(before, after);
        }
    }

    /// Bytes that are kept.
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// By how many bytes the limit is exceeded.
    pub fn excess(&self) -> usize {
        self.kept().saturating_sub(self.limit)
    }

    /// Whether so many bytes more are within this limit, and no other one is passed.
    pub fn has_room(&self, bytes: usize) -> bool {
        let fits = self.kept().saturating_add(bytes) <= self.limit;
        fits && self.whole.as_ref().is_none_or(|whole| whole.has_room(0))
    }
}

/// Bytes that are kept as long as this is.
#[derive(Debug, Default)]
pub struct Charge {
    memory: Option<Arc<Memory>>,
    bytes: usize,
}

impl Charge {
    /// For so many bytes.
    pub fn new(memory: &Arc<Memory>, bytes: usize) -> Charge {
        memory.change(0, bytes);
        Charge {
            memory: Some(Arc::clone(memory)),
            bytes,
        }
    }

    /// How many these are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on for so many bytes.
    pub fn set(&mut self, bytes: usize) {
        if let Some(memory) = &self.memory
            && bytes != self.bytes
        {
            memory.change(self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_in_the_part_and_the_whole_until_it_is_dropped() {
        let whole = Memory::new(100);
        let part = Memory::part_of(&whole, 50);
        let mut charge = Charge::new(&part, 30);
        let other = Charge::new(&part, 20);
        assert_eq!((part.kept(), whole.kept()), (50, 50));
        assert!(part.has_room(0) && !part.has_room(1));
        charge.set(60);
        assert_eq!((part.excess(), whole.excess()), (30, 0));
        drop(other);
        let rest = Charge::new(&whole, 60);
        assert_eq!((part.kept(), whole.kept(), whole.excess()), (60, 120, 20));
        charge.set(1);
        assert!(part.has_room(49));
        drop((charge, rest));
        assert_eq!((part.kept(), whole.kept()), (0, 0));
    }
}
