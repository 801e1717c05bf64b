//! The outboxes that one batch of input put something into: each is written once, at the
//! batch's end, and not once a line.
//!
//! What may wait for company is left to those who push next, and to the clock where nobody
//! does: to wake a client for each of many outcomes that come at once is what a send to many
//! would cost most.

use crate::clock::{Clock, Due};
use common::outbox::Outbox;
use common::spare::Spare;
use common::sync::Arc;

/// How long something waits for company at most, in milliseconds: too short to be noticed,
/// and what the clock can tell apart.
const COMPANY_MS: u64 = 1;

/// Outboxes to be flushed; dropping it flushes them.
pub(crate) struct Flushes<'a> {
    clock: &'a Clock,
    now: Vec<Arc<Outbox>>,
    soon: Vec<Arc<Outbox>>,
    spare: Spare,
    /// Buffers that lines were made in since the last flush.
    taken: usize,
}

impl<'a> Flushes<'a> {
    /// None yet.
    pub(crate) fn new(clock: &'a Clock) -> Flushes<'a> {
        Flushes {
            clock,
            now: Vec::new(),
            soon: Vec::new(),
            spare: Spare::default(),
            taken: 0,
        }
    }

    /// Something was pushed there.
    pub(crate) fn add(&mut self, outbox: &Arc<Outbox>) {
        add(&mut self.now, outbox);
    }

    /// Something was pushed there that may wait for company.
    pub(crate) fn add_soon(&mut self, outbox: &Arc<Outbox>) {
        add(&mut self.soon, outbox);
    }

    /// The clock's time.
    pub(crate) fn time(&self) -> u64 {
        self.clock.now()
    }

    /// An empty buffer to make a line in.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.taken += 1;
        self.spare.take()
    }

    /// Writes them all, in the order in which they got something.
    pub(crate) fn flush(&mut self) {
        for outbox in self.now.drain(..) {
            outbox.flush_sparing(&mut self.spare);
        }
        for outbox in self.soon.drain(..) {
            if outbox.is_behind() && outbox.ask_for_flush() {
                let at = self.clock.now() + COMPANY_MS;
                self.clock.schedule(at, Due::Flush(Arc::downgrade(&outbox)));
            }
        }
        self.spare.shrink_to(std::mem::take(&mut self.taken));
    }
}

fn add(outboxes: &mut Vec<Arc<Outbox>>, outbox: &Arc<Outbox>) {
    let is_last = |last| Arc::ptr_eq(last, outbox);
    if !outboxes.last().is_some_and(is_last) {
        outboxes.push(Arc::clone(outbox));
    }
}

impl Drop for Flushes<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
