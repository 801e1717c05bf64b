//! The lines that are to be written to a peer: a bounded queue in front of a socket, without a
//! thread of its own as long as the peer keeps up.
//!
//! The thread that pushes also drains. [`Outbox::push`] only queues; [`Outbox::flush`] takes the
//! writer's role if it is free, moves what is queued into one buffer, writes that with calls
//! that never block, and looks again after it gave the role back, so that no line is left
//! behind. A socket that takes no more gets a thread of its own until it has caught up. So a slow
//! peer never delays the thread that pushes, and a burst costs one system call.
//!
//! A line for a peer rests in two places only: the queue, and what the writer has. If no thread
//! has the role and nothing waits, a pushed line goes straight behind what the writer has; the
//! queue is for lines that are pushed meanwhile. So all lines for one peer have one order, that
//! in which they were pushed. The queue is a channel without a preallocated size, bounded by
//! counts of its own, and is made when something first waits (`queue`): an idle peer has none.
//!
//! For a peer that acknowledges ([`Outbox::keep`]), the outbox outlives its connection: what was
//! written is kept until it is acknowledged (`kept`). A connection that breaks is
//! [unplugged](Outbox::unplug), from when on lines only wait, until another one takes its place
//! ([`Outbox::resume`]). So a line that is pushed at any moment is neither lost nor written twice.

mod catch_up;
mod flush;
mod kept;
mod line;
mod pace;
mod queue;
mod resuming;
mod writer;
mod written;

use crate::limits::{OUTBOX_BYTES, OUTBOX_LINES};
use crate::memory::Memory;
use crate::net::stream::Stream;
use crate::sys::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sys::sync::{Arc, Condvar, Mutex, lock, role, try_role, wait_timeout};
use crate::sys::thread::JoinHandle;
use std::ops::Deref;
use std::time::Duration;

pub use line::{Line, SharedLine};
use queue::{Piece, Queue};
pub use resuming::Cut;
use writer::{SHORT_LINE, Writer};
pub use written::WrittenBytes;

// What the outbox takes and does. A later state never goes back to an earlier one: up to
// FINISHING something is written, from SLOW on nothing is, and only OPEN takes lines.

/// It takes lines and writes them.
const OPEN: u8 = 0;
/// It takes nothing more, and closes once the queue is written.
const FINISHING: u8 = 1;
/// More was pushed than its bounds allow: the next thread that writes gives the peer up.
const OVERFLOWN: u8 = 2;
/// It gave up on a peer that did not keep up.
const SLOW: u8 = 3;
/// Nothing is written any more.
const CLOSED: u8 = 4;

/// There is a connection; else it is a [`Cut`] that says how that has ended.
const PLUGGED: u8 = 0;

/// How often a thread that catches up looks whether it was called off.
const CATCH_UP_TICK: Duration = Duration::from_millis(500);

/// The outbox of one peer.
#[derive(Debug)]
pub struct Outbox {
    stream: Arc<Stream>,
    /// Where what is written is counted, if it is.
    written: Option<Arc<WrittenBytes>>,
    waiting: Queue,
    /// Lines in the queue, and their bytes.
    lines: AtomicUsize,
    bytes: AtomicUsize,
    /// Bytes of memory that it keeps, and where those of all outboxes are counted.
    kept: AtomicUsize,
    memory: Arc<Memory>,
    /// Bytes that the writer has, up to [`SHORT_LINE`] less than there are; only a thread that has
    /// its role changes it.
    rest: AtomicUsize,
    /// How often a peer that is behind was seen to take something: the low bits.
    progress: AtomicU32,
    state: AtomicU8,
    writer: Apart<Mutex<Writer>>,
    /// For threads that wait until no more than half is waiting.
    room: Mutex<()>,
    has_room: Condvar,
    /// Apart, as few peers are ever behind.
    catching_up: Mutex<Option<Box<JoinHandle<()>>>>,
    /// The socket takes no more, and the system had no thread to catch up with.
    stuck: AtomicBool,
    /// How its connection has ended, if that is so and it keeps what it wrote.
    cut: AtomicU8,
    /// Lines and bytes that were written and not acknowledged: not much more than [`OUTBOX_BYTES`].
    kept_lines: AtomicU32,
    kept_bytes: AtomicU32,
    /// The lines that the peer is to be told were received, and one more; 0: it was told.
    ack: AtomicU64,
    /// Lines that the peer has acknowledged: the low bits.
    acknowledged: AtomicU32,
}

/// On cache lines of its own: the peer's own thread reads the fields beside it for every line,
/// and the threads of other peers write to this one for every line.
#[derive(Debug)]
#[repr(align(64))]
struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl Outbox {
    /// An empty outbox in front of a socket. `farewell` makes the last line for a peer
    /// that is disconnected because it does not keep up. What the outbox keeps is counted in
    /// `memory`.
    pub fn new(
        stream: Arc<Stream>,
        farewell: Option<fn() -> Vec<u8>>,
        memory: Arc<Memory>,
    ) -> Outbox {
        let writer = Writer {
            farewell,
            ..Writer::default()
        };
        Outbox {
            stream,
            written: None,
            waiting: Queue::default(),
            lines: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            memory,
            rest: AtomicUsize::new(0),
            progress: AtomicU32::new(0),
            state: AtomicU8::new(OPEN),
            writer: Apart(Mutex::new(writer)),
            room: Mutex::new(()),
            has_room: Condvar::new(),
            catching_up: Mutex::new(None),
            stuck: AtomicBool::new(false),
            cut: AtomicU8::new(PLUGGED),
            kept_lines: AtomicU32::new(0),
            kept_bytes: AtomicU32::new(0),
            ack: AtomicU64::new(0),
            acknowledged: AtomicU32::new(0),
        }
    }

    /// Queues a line; says whether it was taken. Nothing is written before a
    /// [`flush`](Self::flush), so the caller may be one that must not block.
    pub fn push(&self, line: impl Into<Line>) -> bool {
        self.push_from(&mut line.into())
    }

    /// [`push`](Self::push) for a caller that makes many lines in one buffer: that of a short
    /// line stays with the caller if the line need not be queued by itself.
    pub fn push_from(&self, line: &mut Line) -> bool {
        if !self.is_open() {
            return false;
        }
        self.put_behind(line) || self.enqueue(line.take())
    }

    /// Queues a line by itself, unless that is more than may wait.
    fn enqueue(&self, line: Line) -> bool {
        let lines = self.lines.fetch_add(1, Ordering::Relaxed) + 1;
        self.bytes.fetch_add(line.len(), Ordering::Relaxed);
        if self.is_overfull(lines) {
            self.change(OPEN, OVERFLOWN);
            return false;
        }
        self.send(line, false);
        if self.state.load(Ordering::Acquire) >= SLOW {
            self.empty_queue();
        }
        true
    }

    fn send(&self, line: Line, is_last: bool) {
        let piece = Piece { line, is_last };
        self.count(0, piece.kept());
        self.waiting.push(Box::new(piece));
    }

    /// Notes that what was kept in so many bytes of memory is kept in so many others.
    fn count(&self, before: usize, after: usize) {
        if after == before {
            return;
        }
        match after > before {
            true => self.kept.fetch_add(after - before, Ordering::Relaxed),
            false => self.kept.fetch_sub(before - after, Ordering::Relaxed),
        };
        self.memory.change(before, after);
    }

    /// Notes how much the writer has.
    fn tell_rest(&self, writer: &mut Writer) {
        writer.rest_told = writer.rest.len();
        self.rest.store(writer.rest_told, Ordering::Relaxed);
    }

    /// Notes how much the writer keeps, with what is encrypted for it. Short lines are not counted
    /// before a flush has tried to write them: until then they are no more than a batch, and two
    /// counts for each flush would be felt.
    #[inline(always)]
    fn count_rest(&self, writer: &mut Writer) {
        self.tell_rest(writer);
        let kept = writer.rest.capacity() + self.stream.kept();
        self.count(writer.rest_kept, kept);
        writer.rest_kept = kept;
    }

    /// Bytes of memory that it keeps.
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// From now on, bytes of lines are counted here once they are written.
    pub fn count_written(&mut self, written: Arc<WrittenBytes>) {
        self.written = Some(written);
    }

    /// Puts a line behind what the writer has, if no thread writes, nothing waits before it, and
    /// that is cheap; says whether it did. A thread that finds the role taken meanwhile leaves what
    /// it has queued to this one: every thread that pushes flushes later.
    fn put_behind(&self, line: &mut Line) -> bool {
        let Some(mut writer) = try_role(&self.writer) else {
            return false;
        };
        // What is queued before this line, by whichever thread, was counted before that.
        let is_queued = self.lines.load(Ordering::Relaxed) > 0;
        let is_long = line.len() > SHORT_LINE;
        if writer.handed_over || writer.ending || is_queued || !writer.put(line) {
            return false;
        }
        // Others look at it for every line, and only roughly.
        let untold = writer.rest.len() - writer.rest_told;
        if is_long {
            self.count_rest(&mut writer);
        } else if writer.rest_told == 0 || untold > SHORT_LINE {
            self.tell_rest(&mut writer);
        }
        true
    }

    /// Bytes that wait. What moves to the writer is counted there before it is no longer counted
    /// in the queue, so it is never missing here.
    pub fn waiting_bytes(&self) -> usize {
        let queued = self.bytes.load(Ordering::Acquire);
        queued + self.rest.load(Ordering::Relaxed)
    }

    /// Takes nothing more; closes the writing half once what is queued is written.
    pub fn finish(&self) {
        self.finish_with(Vec::new());
    }

    /// Queues a last line and [finishes](Self::finish); nothing can come after it.
    pub fn finish_with(&self, line: impl Into<Line>) {
        if self.change(OPEN, FINISHING) {
            let line = line.into();
            self.bytes.fetch_add(line.len(), Ordering::Relaxed);
            self.send(line, true);
        }
    }

    /// Changes when a peer that is behind takes something: a sign of life, as its answers may
    /// have to wait behind what it is sent. What is taken at first does not count: that fills the
    /// system's buffers at both ends, whether the peer reads or not.
    pub fn progress(&self) -> u32 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Whether lines are still taken.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Whether the peer was given up because it did not keep up.
    pub fn was_too_slow(&self) -> bool {
        self.state.load(Ordering::Acquire) == SLOW
    }

    /// Whether something is waiting that the socket did not take at once.
    pub fn is_behind(&self) -> bool {
        let is_writing = self.state.load(Ordering::Acquire) <= FINISHING;
        is_writing && (self.waiting_bytes() > 0 || self.stream.owes())
    }

    /// Whether more than half of what the outbox holds is waiting.
    pub fn is_over_half(&self) -> bool {
        self.lines.load(Ordering::Relaxed) > OUTBOX_LINES / 2
            || self.waiting_bytes() > OUTBOX_BYTES / 2
    }

    /// Waits until no more than half is waiting, or nothing will be written any more.
    /// Says whether it had to wait.
    pub fn wait_for_room(self: &Arc<Self>) -> bool {
        self.wait_while(|| self.is_over_half() && self.is_open())
    }

    /// [`wait_for_room`](Self::wait_for_room), with another bound of bytes than half, for the
    /// thread that reads the connection: also not longer than until that has ended.
    pub fn wait_until_waiting(self: &Arc<Self>, bytes: usize) -> bool {
        self.wait_while(|| {
            (self.is_over_half() || self.waiting_bytes() > bytes)
                && self.is_open()
                && !self.is_unplugged()
        })
    }

    fn wait_while(self: &Arc<Self>, must_wait: impl Fn() -> bool) -> bool {
        if !must_wait() {
            return false;
        }
        let mut guard = lock(&self.room);
        while must_wait() {
            // The thread that makes room does not take this lock, so a wake-up may be missed;
            // the tick bounds what that costs.
            guard = wait_timeout(&self.has_room, guard, CATCH_UP_TICK);
            if self.is_stuck() {
                drop(guard);
                self.flush();
                guard = lock(&self.room);
            }
        }
        true
    }

    /// Whether something waits, and there was no thread to catch up with: it is to be
    /// [flushed](Self::flush) again before long.
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Ends the connection at once, also if lines are queued.
    pub fn close(&self) {
        self.end(CLOSED);
        self.settle();
        if let Some(mut writer) = try_role(&self.writer) {
            self.let_go(&mut writer);
        }
        self.stream.close();
    }

    /// Gives the peer up as one that does not keep up, for any reason.
    pub fn give_up_now(&self) {
        if self.change(OPEN, OVERFLOWN) || self.change(FINISHING, OVERFLOWN) {
            let mut writer = role(&self.writer);
            if self.state.load(Ordering::Acquire) == OVERFLOWN {
                self.give_up(&mut writer);
            }
        }
    }

    /// Waits until no thread is catching up: everything is written, the peer was given up, or the
    /// connection has ended.
    pub fn settle(&self) {
        let handle = lock(&self.catching_up).take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }

    fn change(&self, from: u8, to: u8) -> bool {
        let changed = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok()
    }

    /// Reaches a final state, once, and lets go of everything that waits.
    fn end(&self, state: u8) {
        let changed = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now < SLOW).then_some(state)
            });
        self.stream.shutdown();
        self.stuck.store(false, Ordering::Relaxed);
        if changed.is_ok() {
            self.empty_queue();
            self.has_room.notify_all();
        }
    }

    fn empty_queue(&self) {
        while let Some(piece) = self.waiting.pop() {
            self.count(piece.kept(), 0);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.count(self.kept(), 0);
    }
}

#[cfg(all(test, not(shuttle)))]
mod resuming_tests;
#[cfg(all(test, shuttle))]
mod schedules;
#[cfg(all(test, not(shuttle)))]
mod tests;
