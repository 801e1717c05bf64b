//! Locks that a panic poisons for no other thread, and of which a thread holds one at a time.
//!
//! A thread that panics while it holds a lock leaves the data as they were between
//! two statements. Each critical section of this project is written so that the
//! data are whole at any such point, or are mended by the owner's cleanup, so the
//! others go on instead of panicking one after another.
//!
//! Threads that hold one lock at a time cannot wait for each other in a circle. A build with
//! debug assertions, which is what tests are made with, panics when a thread takes a second.
//!
//! A build with `--cfg shuttle` takes its locks, atomics and channels from an explorer of
//! schedules instead (`tests/schedules.sh`), and one with `--cfg thread_sanitizer` takes locks
//! that ThreadSanitizer sees (`tests/thread-sanitizer.sh`). Neither is a feature of the package,
//! as the dependency of another package could switch that on.

#[cfg(thread_sanitizer)]
mod visible;

#[cfg(not(thread_sanitizer))]
use poisoned as locks;
#[cfg(thread_sanitizer)]
use visible as locks;

pub use locks::{Arc, Condvar, Mutex, RwLock, Weak, atomic};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Locks that a panic poisons, which does not count here.
#[cfg(not(thread_sanitizer))]
mod poisoned {
    #[cfg(shuttle)]
    use shuttle::sync as source;
    #[cfg(not(shuttle))]
    use std::sync as source;

    pub use source::{Arc, Condvar, Mutex, RwLock, Weak, atomic};
    pub(super) use source::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
    use std::sync::{LockResult, PoisonError, TryLockError};
    use std::time::Duration;

    pub(super) fn whole<G>(guard: LockResult<G>) -> G {
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        match mutex.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Ok(guard) => Some(guard),
        }
    }

    pub(super) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        whole(condvar.wait(guard))
    }

    pub(super) fn wait_timeout<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        whole(condvar.wait_timeout(guard, timeout)).0
    }
}

/// The part of a channel that is explored.
pub mod channel {
    #[cfg(shuttle)]
    pub use crate::testing::channel::{Receiver, Sender, unbounded};
    #[cfg(not(shuttle))]
    pub use crossbeam_channel::{Receiver, Sender, unbounded};
}

/// A lock that this thread holds, and the data behind it.
#[derive(Debug, derive_more::Deref, derive_more::DerefMut)]
pub struct Held<G> {
    #[deref(forward)]
    #[deref_mut(forward)]
    guard: G,
    /// Let go of last.
    only: Only,
}

/// A mutex that is held.
pub type MutexGuard<'a, T> = Held<locks::MutexGuard<'a, T>>;

/// The read side of a lock that is held.
pub type RwLockReadGuard<'a, T> = Held<locks::RwLockReadGuard<'a, T>>;

/// The write side of a lock that is held.
pub type RwLockWriteGuard<'a, T> = Held<locks::RwLockWriteGuard<'a, T>>;

/// A mutex that is a role: see [`try_role`].
pub type Role<'a, T> = locks::MutexGuard<'a, T>;

/// Takes a mutex, poisoned or not.
#[track_caller]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let only = Only::new();
    let guard = locks::whole(mutex.lock());
    Held { guard, only }
}

/// Takes the read side of a lock, poisoned or not.
#[track_caller]
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    let only = Only::new();
    let guard = locks::whole(lock.read());
    Held { guard, only }
}

/// Takes the write side of a lock, poisoned or not.
#[track_caller]
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    let only = Only::new();
    let guard = locks::whole(lock.write());
    Held { guard, only }
}

/// Takes a mutex that stands for a role, if no thread has it, poisoned or not. A thread with a
/// role may take a lock: no thread waits for a role while it holds a lock.
pub fn try_role<T>(mutex: &Mutex<T>) -> Option<Role<'_, T>> {
    locks::try_lock(mutex)
}

/// Takes a mutex that stands for a role, poisoned or not; waits for a thread that has it, which
/// is a matter of a moment.
#[track_caller]
pub fn role<T>(mutex: &Mutex<T>) -> Role<'_, T> {
    assert_unlocked();
    locks::whole(mutex.lock())
}

/// Takes a mutex that is held for a look at what is in it or an exchange of that, poisoned or not.
/// Nothing waits and nothing is called meanwhile, so a thread may take it that holds a lock.
pub fn leaf<T>(mutex: &Mutex<T>) -> Role<'_, T> {
    locks::whole(mutex.lock())
}

/// Panics in a build with debug assertions if this thread holds a lock: for what takes too long
/// to be done under one.
#[track_caller]
pub fn assert_unlocked() {
    if cfg!(debug_assertions) {
        let held = HOLDS_ONE.with(Cell::get);
        assert!(!held || std::thread::panicking(), "under a lock");
    }
}

/// Waits until another thread notifies, or for no reason; the lock is not held meanwhile.
pub fn wait<'a, T>(condvar: &Condvar, held: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    let Held { guard, only } = held;
    let guard = locks::wait(condvar, guard);
    Held { guard, only }
}

/// [`wait`], for so long at most.
pub fn wait_timeout<'a, T>(
    condvar: &Condvar,
    held: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    let Held { guard, only } = held;
    let guard = locks::wait_timeout(condvar, guard, timeout);
    Held { guard, only }
}

/// [`wait_timeout`], and goes on waiting as long as the condition holds.
pub fn wait_timeout_while<'a, T>(
    condvar: &Condvar,
    mut held: MutexGuard<'a, T>,
    timeout: Duration,
    mut condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    let deadline = Instant::now() + timeout;
    while condition(&mut held) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        held = wait_timeout(condvar, held, left);
    }
    held
}

#[cfg(not(shuttle))]
thread_local! {
    static HOLDS_ONE: Cell<bool> = const { Cell::new(false) };
}
#[cfg(shuttle)]
shuttle::thread_local! {
    static HOLDS_ONE: Cell<bool> = Cell::new(false);
}

/// The only lock that its thread holds.
#[derive(Debug)]
struct Only;

impl Only {
    #[track_caller]
    fn new() -> Only {
        if cfg!(debug_assertions) {
            let held = HOLDS_ONE.with(|one| one.replace(true));
            // What a panic drops on its way may lock, also past a lock that is held.
            assert!(!held || std::thread::panicking(), "a second lock at once");
        }
        Only
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            HOLDS_ONE.with(|one| one.set(false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a second lock at once")]
    fn a_second_lock_panics() {
        let (one, other) = (Mutex::new(1), RwLock::new(2));
        let _one = lock(&one);
        let _other = read(&other);
    }

    #[test]
    #[should_panic(expected = "under a lock")]
    fn what_takes_long_panics_under_a_lock() {
        let one = Mutex::new(1);
        assert_unlocked();
        let _one = lock(&one);
        assert_unlocked();
    }

    #[test]
    fn a_lock_after_another_or_beside_a_role_is_taken() {
        let (one, other) = (Mutex::new(1), RwLock::new(2));
        let free = Mutex::new(3);
        let mut role = try_role(&free).expect("it is free");
        *role += *lock(&one);
        *role += *read(&other);
        *write(&other) += 1;
        assert!(try_role(&free).is_none());
        drop(role);
        assert_eq!(*self::role(&free), 6);
        let waited = wait_timeout(&Condvar::new(), lock(&one), Duration::ZERO);
        assert_eq!(*waited, 1);
    }

    #[test]
    fn a_poisoned_lock_is_taken() {
        let one = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let poisons = scope.spawn(|| {
                let _one = lock(&one);
                panic!("on purpose");
            });
            poisons.join().is_err()
        });
        assert!(panicked && *lock(&one) == 1);
    }
}
