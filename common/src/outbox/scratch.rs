//! Buffers that are used again: a flush needs a large one, and only for a moment.

use super::BATCH;
use crossbeam_channel::bounded;
use std::sync::LazyLock;

/// Buffers kept for flushes: as many as are likely to run at the same moment.
const SCRATCH_BUFFERS: usize = 16;

/// Buffers for flushes, kept by all outboxes together: an idle peer has none.
static SCRATCH: LazyLock<Pool> = LazyLock::new(|| bounded(SCRATCH_BUFFERS));

/// A channel as a bag of buffers.
type Pool = (
    crossbeam_channel::Sender<Vec<u8>>,
    crossbeam_channel::Receiver<Vec<u8>>,
);

/// An empty buffer, with room if there is one that was used before.
pub(super) fn take() -> Vec<u8> {
    SCRATCH.1.try_recv().unwrap_or_default()
}

/// Keeps a buffer for the next one, unless it is larger than most need.
pub(super) fn give(mut buffer: Vec<u8>) {
    if (1..=2 * BATCH).contains(&buffer.capacity()) {
        buffer.clear();
        let _ = SCRATCH.0.try_send(buffer);
    }
}
