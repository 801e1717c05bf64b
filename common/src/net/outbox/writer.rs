//! The writer's role: what the thread that has it has taken, and what it knows of its peer.

use super::kept::Kept;
use super::line::Line;
use super::pace::Pace;
use super::queue::Piece;
use crate::limits::OUTBOX_BYTES;
use crate::net::scratch::{self, BATCH};
use std::ops::Range;
use std::time::Duration;

/// Bytes of the longest line that is copied behind what the writer has: to copy more costs more
/// than to queue it by itself.
pub(super) const SHORT_LINE: usize = 4 << 10;

/// How long the system's buffers may take to fill, and to grow while the system asks a stopped
/// peer whether it takes more: measured as up to 1.9 s.
const BUFFERS_FILL: Duration = Duration::from_secs(2);

/// The data of the writer's role.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Taken from the queue and not yet by the socket.
    pub(super) rest: Vec<u8>,
    /// Bytes of memory that are counted for the rest.
    pub(super) rest_kept: usize,
    /// Bytes of the rest that other threads know of.
    pub(super) rest_told: usize,
    /// The end was taken from the queue: nothing comes after the rest.
    pub(super) ending: bool,
    /// A thread has the role until it has caught up.
    pub(super) handed_over: bool,
    /// Bytes that the socket took in all.
    pub(super) taken: u64,
    /// How fast that goes, while the peer is behind.
    pub(super) pace: Option<Box<Pace>>,
    /// Makes the last words for a peer that does not keep up, if there are any.
    pub(super) farewell: Option<fn() -> Vec<u8>>,
    /// Makes an `ack` of so many lines, for a peer that acknowledges.
    pub(super) ack: Option<fn(u64) -> Vec<u8>>,
    /// Lines that such a peer has acknowledged in all, and what was written and not acknowledged.
    pub(super) acknowledged: u64,
    pub(super) kept: Option<Box<Kept>>,
    /// The part of the rest that is not kept even so.
    pub(super) uncounted: Range<usize>,
}

impl Writer {
    /// Takes a piece of the queue. A line that fills a good part of a write by itself is written
    /// from where it is.
    pub(super) fn take(&mut self, piece: Piece) {
        self.ending = piece.is_last;
        match piece.line {
            Line::Own(bytes) if self.rest.is_empty() && bytes.len() > BATCH / 2 => {
                self.take_over(bytes);
            }
            line => self.add(&line),
        }
    }

    /// Puts a line that was just pushed behind the rest, if that is cheap: the thread that pushes
    /// may hold a lock, so nothing long is copied.
    pub(super) fn put(&mut self, line: &mut Line) -> bool {
        if line.len() <= SHORT_LINE && self.rest.len() + line.len() <= BATCH {
            self.add(line);
            return true;
        }
        match line {
            Line::Own(bytes) if self.rest.is_empty() && bytes.len() <= OUTBOX_BYTES => {
                self.take_over(std::mem::take(bytes));
            }
            _ => return false,
        }
        true
    }

    #[inline]
    pub(super) fn add(&mut self, line: &[u8]) {
        if self.rest.capacity() == 0 {
            self.rest = scratch::take();
        }
        if line.len() > SHORT_LINE {
            // A buffer that doubles may be half empty.
            self.rest.reserve_exact(line.len());
        }
        self.rest.extend_from_slice(line);
    }

    pub(super) fn take_over(&mut self, line: Vec<u8>) {
        scratch::give(std::mem::replace(&mut self.rest, line));
    }

    /// Takes the first bytes of the rest, which were written, for a peer that acknowledges.
    pub(super) fn keep_written(&mut self, written: usize) {
        let Range { start, end } = self.uncounted;
        if start == 0 && written <= end {
            // Nothing of it counts.
            self.rest.drain(..written);
            self.uncounted = 0..end - written;
            return;
        }
        let kept = self.kept.get_or_insert_default();
        kept.keep(
            &mut self.rest,
            written,
            &mut self.uncounted,
            self.acknowledged,
        );
    }

    /// The peer has so many lines in all; `false` if that cannot be.
    pub(super) fn acknowledge(&mut self, received: u64) -> bool {
        let lines = self.kept.as_ref().map_or(0, |kept| kept.lines);
        let new = received.checked_sub(self.acknowledged);
        let Some(new) = new.filter(|new| *new <= u64::from(lines)) else {
            return false;
        };
        self.acknowledged = received;
        if let (1.., Some(kept)) = (new, &mut self.kept) {
            kept.acknowledge(new as u32, received);
        }
        true
    }

    /// Hands the role over to a thread that catches up.
    pub(super) fn hand_over(&mut self) {
        self.handed_over = true;
        self.pace();
    }

    /// The pace of the peer, which is behind from now on if it was not before.
    fn pace(&mut self) -> &mut Pace {
        let taken = self.taken;
        self.pace
            .get_or_insert_with(|| Box::new(Pace::start(taken)))
    }

    /// Measures the pace; says whether it is too slow.
    pub(super) fn is_too_slow(&mut self) -> bool {
        let taken = self.taken;
        self.pace().look(taken)
    }

    /// Whether what the peer takes now is a sign of life.
    pub(super) fn is_behind_for_long(&self) -> bool {
        let pace = self.pace.as_ref();
        pace.is_some_and(|pace| pace.behind() >= BUFFERS_FILL)
    }
}
