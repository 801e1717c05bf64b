//! The connections that one batch of input has lines for: each is written to once, at the batch's
//! end, and not once a line.
//!
//! What may wait for company is left to the thread that pushes next, and to the timer thread if none
//! does: to wake a client for each of many outcomes that come at once is what a send to many
//! would cost most.

use crate::connection::Connection;
use crate::telemetry::pending::Pending;
use crate::timers::timer_queue::TimerQueue;
use common::net::outbox::Line;
use common::sys::sync::Arc;

/// How long something waits for company at most, in milliseconds: too short to be noticed,
/// and what the timer thread can tell apart.
const COMPANY_MS: u64 = 1;

/// Members that are noted before they are flushed all the same: what a send to thousands begins
/// with is not to wait for its end, and what is made for each is memory that stays with the
/// allocator. A hundred commands to a few clients each still leave together.
const MOST_NOTED: usize = 256;

/// How many entries back it is looked whether a member is noted already: to look at all of
/// them would cost more than to flush a member for which nothing waits.
const LOOKED_BACK: usize = 4;

/// Bytes that are not kept for the batch's end: the system call for them costs a tenth of what it
/// costs to make them, and they are memory that every session may hold at once.
const WORTH_WRITING: usize = 64 << 10;

/// Members for which room is kept from one batch of input to the next: few have something for
/// more, and every session keeps it.
const KEPT_ROOM: usize = 16;

/// Bytes of the buffer that is kept to make lines in: most are shorter.
const KEPT_BUFFER: usize = 1 << 10;

/// Members to be flushed; dropping it flushes them.
pub(crate) struct FlushSet<'a> {
    timers: &'a TimerQueue,
    now: Vec<Arc<Connection>>,
    soon: Vec<Arc<Connection>>,
    buffer: Vec<u8>,
    /// What was counted of the commands of this batch.
    pub(crate) counted: Pending,
}

impl<'a> FlushSet<'a> {
    /// None yet.
    pub(crate) fn new(timers: &'a TimerQueue) -> FlushSet<'a> {
        FlushSet {
            timers,
            now: Vec::new(),
            soon: Vec::new(),
            buffer: Vec::new(),
            counted: Pending::default(),
        }
    }

    /// It is told something. The caller holds no lock: where many are noted, or much waits for
    /// this one, it is written.
    pub(crate) fn add(&mut self, connection: &Arc<Connection>) {
        if !write_if_much(connection) {
            add(&mut self.now, connection);
        }
        if self.now.len() >= MOST_NOTED {
            self.flush_now();
        }
    }

    /// It is told something that may wait for company.
    pub(crate) fn add_soon(&mut self, connection: &Arc<Connection>) {
        if !write_if_much(connection) {
            add(&mut self.soon, connection);
        }
    }

    /// For what is due later.
    pub(crate) fn timers(&self) -> &'a TimerQueue {
        self.timers
    }

    /// The timer thread's time.
    pub(crate) fn time(&self) -> u64 {
        self.timers.now()
    }

    /// A buffer to make a line in; its content counts for nothing.
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
        // First: a client that has its outcome finds it counted.
        self.counted.settle();
        self.flush_now();
        for connection in self.soon.drain(..) {
            self.timers.schedule_flush(&connection, COMPANY_MS);
        }
        self.soon.shrink_to(KEPT_ROOM);
    }

    fn flush_now(&mut self) {
        for connection in self.now.drain(..) {
            connection.outbox.flush();
            self.timers.retry_stuck(&connection);
        }
        self.now.shrink_to(KEPT_ROOM);
    }
}

/// Writes what waits for a member if that is as much as is worth a system call; says whether
/// nothing is left to write.
fn write_if_much(connection: &Connection) -> bool {
    let outbox = &connection.outbox;
    let is_much = outbox.waiting_bytes() >= WORTH_WRITING;
    if is_much {
        outbox.flush();
    }
    is_much && !outbox.is_behind()
}

fn add(flushes: &mut Vec<Arc<Connection>>, connection: &Arc<Connection>) {
    // A session has something for the same few again and again: itself, and one or two others.
    let mut last = flushes.iter().rev().take(LOOKED_BACK);
    if !last.any(|last| Arc::ptr_eq(last, connection)) {
        flushes.push(Arc::clone(connection));
    }
}

impl Drop for FlushSet<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;
    use crate::testing;

    #[test]
    fn what_a_send_to_thousands_begins_with_is_written_before_all_of_them_are_noted() {
        let timers = TimerQueue::new();
        let sender = testing::member(1, "sender", 0);
        let crowd = (2..).map(|id| testing::member(id, "one-of-many", 1));
        let crowd: Vec<_> = crowd.take(MOST_NOTED).collect();
        let is_waiting = |member: &Member| member.connection.outbox.is_behind();
        let mut flushes = FlushSet::new(&timers);
        sender.connection.outbox.push(b"accepted\n".to_vec());
        flushes.add(&sender.connection);
        for (noted, member) in crowd.iter().enumerate() {
            assert_eq!(is_waiting(&sender), noted + 1 < MOST_NOTED, "{noted} noted");
            member.connection.outbox.push(b"execute\n".to_vec());
            flushes.add(&member.connection);
        }
        assert!(is_waiting(&crowd[MOST_NOTED - 1]), "few are noted by now");
        drop(flushes);
        assert!(!crowd.iter().any(|member| is_waiting(member)));
    }
}
