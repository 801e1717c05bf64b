//! Buffers that are used again: a flush needs a large one, and only for a moment. They are not
//! wiped.

use crossbeam_channel::bounded;
use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::available_parallelism;

/// Bytes that one write takes along: a good part of a socket's buffer, and a size at
/// which the system call's own cost no longer shows.
pub(super) const BATCH: usize = 256 << 10;

/// Buffers kept for flushes besides one for each processor: as many are likely to be in use at the
/// same moment, with a few of threads that were interrupted.
const SPARE_BUFFERS: usize = 2;

/// Bytes of a new buffer: it need not grow for a few lines.
const NEW_BUFFER: usize = 4 << 10;

/// Buffers for flushes, kept by all outboxes together: an idle peer has none.
static SCRATCH: LazyLock<Pool> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, NonZero::get);
    bounded(processors + SPARE_BUFFERS)
});

/// A channel as a bag of buffers.
type Pool = (
    crossbeam_channel::Sender<Vec<u8>>,
    crossbeam_channel::Receiver<Vec<u8>>,
);

/// An empty buffer, if possible one that was used before.
pub(super) fn take() -> Vec<u8> {
    let used = SCRATCH.1.try_recv();
    used.unwrap_or_else(|_| Vec::with_capacity(NEW_BUFFER))
}

/// Keeps a buffer for the next one, unless it is larger than most need.
pub(super) fn give(mut buffer: Vec<u8>) {
    if (1..=2 * BATCH).contains(&buffer.capacity()) {
        buffer.clear();
        let _ = SCRATCH.0.try_send(buffer);
    }
}
