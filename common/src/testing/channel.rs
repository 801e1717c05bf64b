//! The part of a channel that this project uses, for a build that explores schedules: before
//! each call another thread may be scheduled.

use shuttle::sync::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};

/// Puts things in.
pub struct Sender<T>(Arc<Mutex<VecDeque<T>>>);

/// Takes them out, in the same order.
pub struct Receiver<T>(Arc<Mutex<VecDeque<T>>>);

/// Nothing is in.
#[derive(Debug)]
pub struct Empty;

/// A channel without a bound.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Mutex::new(VecDeque::new()));
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

fn with<T, R>(queue: &Mutex<VecDeque<T>>, look: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
    look(&mut queue.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<T> Sender<T> {
    /// Puts one in.
    ///
    /// # Errors
    /// None.
    pub fn send(&self, one: T) -> Result<(), Empty> {
        with(&self.0, |queue| queue.push_back(one));
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Receiver<T> {
    /// Takes one out.
    ///
    /// # Errors
    /// Nothing is in.
    pub fn try_recv(&self) -> Result<T, Empty> {
        with(&self.0, VecDeque::pop_front).ok_or(Empty)
    }

    /// Whether nothing is in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are in.
    pub fn len(&self) -> usize {
        with(&self.0, |queue| queue.len())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
