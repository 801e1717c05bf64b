//! Those whom one batch of input has something for: each is written to once, at the batch's
//! end, and not once a line.
//!
//! What may wait for company is left to those who push next, and to the clock where nobody
//! does: to wake a client for each of many outcomes that come at once is what a send to many
//! would cost most.

use crate::clock::{Clock, Due};
use crate::member::{Member, Role};
use common::outbox::Line;
use common::sync::Arc;

/// How long something waits for company at most, in milliseconds: too short to be noticed,
/// and what the clock can tell apart.
const COMPANY_MS: u64 = 1;

/// How many entries back it is looked whether somebody is noted already: to look at all of
/// them would cost more than to flush somebody for whom there is nothing.
const LOOKED_BACK: usize = 4;

/// Bytes of the buffer that is kept to make lines in: most are shorter.
const KEPT_BUFFER: usize = 1 << 10;

/// Members to be flushed; dropping it flushes them.
pub(crate) struct Flushes<'a> {
    clock: &'a Clock,
    now: Vec<Flush>,
    soon: Vec<Flush>,
    buffer: Vec<u8>,
}

/// Somebody for whom there is something, as an executor or as a sender: what is for the same
/// client in its other role is others' to see to.
type Flush = (Role, Arc<Member>);

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

    /// There is something for it to execute, or to stop.
    pub(crate) fn add_executor(&mut self, member: &Arc<Member>) {
        add(&mut self.now, Role::Executor, member);
    }

    /// It is told something.
    pub(crate) fn add_sender(&mut self, member: &Arc<Member>) {
        add(&mut self.now, Role::Sender, member);
    }

    /// It is told something that may wait for company.
    pub(crate) fn add_sender_soon(&mut self, member: &Arc<Member>) {
        add(&mut self.soon, Role::Sender, member);
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
        for (role, member) in self.now.drain(..) {
            member.flush(role);
            self.clock.retry_stuck(&member.connection.outbox);
        }
        for (_, member) in self.soon.drain(..) {
            if member.ask_for_flush() {
                let at = self.clock.now() + COMPANY_MS;
                self.clock.schedule(at, Due::Flush(Arc::downgrade(&member)));
            }
        }
    }
}

fn add(flushes: &mut Vec<Flush>, role: Role, member: &Arc<Member>) {
    // A session has something for the same few again and again: itself, and one or two others.
    let mut last = flushes.iter().rev().take(LOOKED_BACK);
    if !last.any(|last| last.0 == role && Arc::ptr_eq(&last.1, member)) {
        flushes.push((role, Arc::clone(member)));
    }
}

impl Drop for Flushes<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
