//! The outboxes that one batch of input put something into: each is written once, at the
//! batch's end, and not once a line.

use common::outbox::Outbox;
use common::spare::Spare;
use common::sync::Arc;

/// Outboxes to be flushed; dropping it flushes them.
#[derive(Default)]
pub(crate) struct Flushes {
    outboxes: Vec<Arc<Outbox>>,
    spare: Spare,
    /// Buffers that lines were made in since the last flush.
    taken: usize,
}

impl Flushes {
    /// Something was pushed there.
    pub(crate) fn add(&mut self, outbox: &Arc<Outbox>) {
        let is_last = |last| Arc::ptr_eq(last, outbox);
        if !self.outboxes.last().is_some_and(is_last) {
            self.outboxes.push(Arc::clone(outbox));
        }
    }

    /// An empty buffer to make a line in.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.taken += 1;
        self.spare.take()
    }

    /// Writes them all, in the order in which they got something.
    pub(crate) fn flush(&mut self) {
        for outbox in self.outboxes.drain(..) {
            outbox.flush_sparing(&mut self.spare);
        }
        self.spare.shrink_to(std::mem::take(&mut self.taken));
    }
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.flush();
    }
}
