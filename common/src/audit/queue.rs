//! What lies between the handles and the thread that writes: records on their way, and the places
//! that they have or will have, which are counted.

use super::denied::Denials;
use crate::sys::sync::Mutex;
use crate::sys::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crossbeam_channel::Sender;
use std::time::{Duration, Instant, SystemTime};

/// Records that may wait to be written before no command is taken any more: a disk that stands
/// still for a tenth of a second at 40,000 commands a second.
pub const QUEUE_RECORDS: usize = 8192;

/// Bytes of these records, however few they are: sixteen lines of the longest kind.
pub const QUEUE_BYTES: usize = 16 << 20;

/// Records that commands under way still have to come: the outcomes of 26 commands to 10,000
/// clients. Each has less than a kilobyte, so that they have their places beyond the queue's
/// bound: a command that was taken is on record to its end.
pub const LATER_RECORDS: usize = 1 << 18;

/// How long a command waits for room in the queue: as long as a busy machine may keep the thread
/// that writes from running.
const ROOM_PATIENCE: Duration = Duration::from_millis(100);

/// How often it looks.
const ROOM_TICK: Duration = Duration::from_millis(1);

/// A record on its way.
pub(crate) struct Entry {
    pub(crate) at: SystemTime,
    pub(crate) body: Vec<u8>,
    /// Bytes that it takes of the queue.
    pub(crate) bytes: usize,
}

/// What a handle asks of the thread.
pub(crate) enum Control {
    /// Say whether everything that was queued is written.
    Settle(Sender<bool>),
    /// The same, and end.
    Close(Sender<bool>),
}

/// Which places are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Those in the queue: the thread that writes frees them in a moment.
    Queue,
    /// Those for later records: outcomes of commands free them, which may take hours.
    Later,
}

/// What the handles and the writer count together.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(super) records: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    pub(super) later: AtomicUsize,
    /// Records that found no place.
    pub(crate) dropped: AtomicU64,
    /// A wait for room was in vain, and nothing was written since.
    is_stuck: AtomicBool,
    /// The last write failed.
    pub(crate) is_failing: AtomicBool,
    pub(crate) denials: Mutex<Denials>,
}

impl Counts {
    /// These records are written.
    pub(crate) fn written(&self, records: usize, bytes: usize) {
        self.records.fetch_sub(records, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.is_stuck.store(false, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.records.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Waits until there is room in the queue for a record of so many bytes and so many later ones.
    pub(super) fn wait_for_places(&self, bytes: usize, later: usize) -> Result<(), NoRoom> {
        let until = Instant::now() + ROOM_PATIENCE;
        while !self.is_stuck.load(Ordering::Relaxed) && !self.is_failing.load(Ordering::Relaxed) {
            std::thread::sleep(ROOM_TICK);
            match self.take_places(bytes, later) {
                Err(NoRoom::Queue) => {}
                other => return other,
            }
            if Instant::now() >= until {
                self.is_stuck.store(true, Ordering::Relaxed);
            }
        }
        Err(NoRoom::Queue)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes places for a record of so many bytes and so many later ones. One record has a place
    /// in an empty queue, however long it is.
    pub(super) fn take_places(&self, bytes: usize, later: usize) -> Result<(), NoRoom> {
        let records = self.records.fetch_add(1, Ordering::Relaxed);
        let kept = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let later_ones = self.later.fetch_add(later, Ordering::Relaxed);
        let in_queue =
            records < QUEUE_RECORDS && (kept == 0 || kept.saturating_add(bytes) <= QUEUE_BYTES);
        let for_later = later_ones == 0 || later_ones.saturating_add(later) <= LATER_RECORDS;
        if in_queue && for_later {
            return Ok(());
        }
        self.give_back(bytes);
        self.later.fetch_sub(later, Ordering::Relaxed);
        Err(if for_later {
            NoRoom::Queue
        } else {
            NoRoom::Later
        })
    }

    /// Whether the queue takes what no command waits for: it has as much room again.
    pub(super) fn has_room_besides(&self) -> bool {
        self.records.load(Ordering::Relaxed) < 2 * QUEUE_RECORDS
            && self.bytes.load(Ordering::Relaxed) < 2 * QUEUE_BYTES
    }
}
