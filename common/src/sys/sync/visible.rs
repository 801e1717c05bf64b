//! Locks that ThreadSanitizer can see. Those that came with the toolchain wait in code that is not
//! instrumented, so all that they guard would look like a race; these are built together with the
//! project. They are never poisoned.

pub use parking_lot::{Condvar, Mutex, RwLock};
pub(super) use parking_lot::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
pub use std::sync::{Arc, Weak, atomic};
use std::time::Duration;

pub(super) fn whole<G>(guard: G) -> G {
    guard
}

pub(super) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    mutex.try_lock()
}

pub(super) fn wait<'a, T>(condvar: &Condvar, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(&mut guard);
    guard
}

pub(super) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    condvar.wait_for(&mut guard, timeout);
    guard
}
