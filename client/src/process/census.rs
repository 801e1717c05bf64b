//! How many commands this process runs, and how many it has started. It is one count for
//! the whole process, as there is one place where the system puts the orphans of all.

use common::sys::sync::{Mutex, lock};

/// What the census says at one moment. Where two of them are equal, no command was started
/// and none has ended in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    /// Commands that were started or are about to be, and have left something still.
    pub(crate) running: usize,
    /// All that were ever started.
    started: u64,
}

static CENSUS: Mutex<Census> = Mutex::new(Census {
    running: 0,
    started: 0,
});

/// A command that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(());

/// Counts a command that is about to be started.
pub(crate) fn count() -> Counted {
    let mut census = lock(&CENSUS);
    census.running += 1;
    census.started += 1;
    Counted(())
}

/// What the census says now.
pub(crate) fn now() -> Census {
    *lock(&CENSUS)
}

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&CENSUS).running -= 1;
    }
}
