//! How many commands this process runs, and how many it has started. There is one count for
//! the whole process, as there is one place where the system puts the orphans of all.

use common::sys::sync::{Mutex, lock};

/// The count at one moment. If two are equal, no command has started or ended in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunCount {
    /// Commands that were started or are about to be, and have left something still.
    pub(crate) running: usize,
    started: u64,
}

static COUNT: Mutex<RunCount> = Mutex::new(RunCount {
    running: 0,
    started: 0,
});

/// A command that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct CountedRun(());

pub(crate) fn add() -> CountedRun {
    let mut count = lock(&COUNT);
    count.running += 1;
    count.started += 1;
    CountedRun(())
}

pub(crate) fn now() -> RunCount {
    *lock(&COUNT)
}

impl Drop for CountedRun {
    fn drop(&mut self) {
        lock(&COUNT).running -= 1;
    }
}
