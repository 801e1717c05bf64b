//! The outboxes that one batch of input put something into: each is written once, at the
//! batch's end, and not once a line.

use common::outbox::Outbox;
use common::sync::Arc;

/// Outboxes to be flushed; dropping it flushes them.
#[derive(Default)]
pub(crate) struct Flushes(Vec<Arc<Outbox>>);

impl Flushes {
    /// Something was pushed there.
    pub(crate) fn add(&mut self, outbox: &Arc<Outbox>) {
        if !self.0.last().is_some_and(|last| Arc::ptr_eq(last, outbox)) {
            self.0.push(Arc::clone(outbox));
        }
    }

    /// Writes them all, in the order in which they got something.
    pub(crate) fn flush(&mut self) {
        for outbox in self.0.drain(..) {
            outbox.flush();
        }
    }
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.flush();
    }
}
