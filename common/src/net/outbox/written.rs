//! How many bytes were written to peers, for many outboxes together.

use crate::sys::sync::atomic::{AtomicU64, Ordering};

/// A count that outboxes share; on cache lines of its own, as threads of many peers add to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WrittenBytes(AtomicU64);

impl WrittenBytes {
    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
