//! What waits in front of a writer that is busy, or behind its peer. The channel is made when
//! something first waits: that takes more memory than the rest of an outbox, and most peers never
//! have anything wait.
//!
//! It has no bound of its own: the outbox counts what is in it.

use super::line::Line;
use crate::sys::sync::channel::{Receiver, Sender, unbounded};
// Not the one that schedules are explored with: a thread that makes the channel lets no other one go
// first.
use std::sync::OnceLock;

/// Bytes that a piece of the queue needs besides its lines: its place in the channel, and what
/// the allocator adds to it and to its line.
pub(super) const PIECE: usize = 96;

/// An entry of the queue.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) line: Line,
    /// Nothing is written after it.
    pub(super) is_last: bool,
}

impl Piece {
    /// Bytes of memory that it keeps.
    pub(super) fn kept(&self) -> usize {
        PIECE + self.line.own_bytes()
    }
}

/// An entry of the channel. It is small: a channel keeps room for 31 of its entries.
type Entry = Box<Piece>;

#[derive(Debug, Default)]
pub(super) struct Queue(OnceLock<Box<Ends>>);

type Ends = (Sender<Entry>, Receiver<Entry>);

impl Queue {
    pub(super) fn push(&self, piece: Entry) {
        let (sender, _) = &**self.0.get_or_init(|| Box::new(unbounded()));
        // Both ends are here, so the channel cannot be disconnected.
        let _ = sender.send(piece);
    }

    /// The first entry, if there is one.
    #[inline]
    pub(super) fn pop(&self) -> Option<Entry> {
        self.0.get()?.1.try_recv().ok()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.get().is_none_or(|ends| ends.1.is_empty())
    }

    /// Whether nothing has ever been in it.
    #[cfg(all(test, not(shuttle)))]
    pub(super) fn is_untouched(&self) -> bool {
        self.0.get().is_none()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.get().map_or(0, |ends| ends.1.len())
    }
}
