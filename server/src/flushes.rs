//! Those whom one batch of input has something for: each is written to once, at the batch's
//! end, and not once a line.
//!
//! What may wait for company is left to those who push next, and to the clock where nobody
//! does: to wake a client for each of many outcomes that come at once is what a send to many
//! would cost most.

use crate::clock::{Clock, Due};
use crate::member::Member;
use common::outbox::Line;
use common::sync::Arc;

/// How long something waits for company at most, in milliseconds: too short to be noticed,
/// and what the clock can tell apart.
const COMPANY_MS: u64 = 1;

/// Bytes of the buffer that is kept to make lines in: most are shorter.
const KEPT_BUFFER: usize = 1 << 10;

/// Members to be flushed; dropping it flushes them.
pub(crate) struct Flushes<'a> {
    clock: &'a Clock,
    now: Vec<Arc<Member>>,
    soon: Vec<Arc<Member>>,
    buffer: Vec<u8>,
}

impl<'a> Flushes<'a> {
    /// None yet.
    pub(crate) fn new(clock: &'a Clock) -> Flushes<'a> {
        Flushes {
            clock,
            now: Vec::new(),
            soon: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// There is something for it.
    pub(crate) fn add(&mut self, member: &Arc<Member>) {
        add(&mut self.now, member);
    }

    /// There is something for it that may wait for company.
    pub(crate) fn add_soon(&mut self, member: &Arc<Member>) {
        add(&mut self.soon, member);
    }

    /// The clock's time.
    pub(crate) fn time(&self) -> u64 {
        self.clock.now()
    }

    /// A buffer to make a line in, whatever is in it.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Keeps what is left of a line for the next one.
    pub(crate) fn give_back(&mut self, line: Line) {
        if let Line::Own(buffer) = line
            && (1..=KEPT_BUFFER).contains(&buffer.capacity())
        {
            self.buffer = buffer;
        }
    }

    /// Writes to them all, in the order in which there was something for them.
    pub(crate) fn flush(&mut self) {
        for member in self.now.drain(..) {
            member.flush();
        }
        for member in self.soon.drain(..) {
            if member.ask_for_flush() {
                let at = self.clock.now() + COMPANY_MS;
                self.clock.schedule(at, Due::Flush(Arc::downgrade(&member)));
            }
        }
    }
}

fn add(members: &mut Vec<Arc<Member>>, member: &Arc<Member>) {
    let is_last = |last| Arc::ptr_eq(last, member);
    if !members.last().is_some_and(is_last) {
        members.push(Arc::clone(member));
    }
}

impl Drop for Flushes<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
