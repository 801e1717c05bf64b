//! One socket, joined or not: what all threads may know of it. `deadlines` says what is due.

mod deadlines;

pub(crate) use deadlines::Verdict;

use common::limits::LINE_DEADLINE;
use common::memory::Memory;
use common::net::outbox::{Line, Outbox};
use common::net::stream::Stream;
use common::sys::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::message::{Code, RpcError, error_line, notification_line};
use common::wire::{Bye, ByeReason, method};
use std::borrow::Cow;
use std::net::SocketAddr;

// How far a connection is on its way to a rank.

/// Nothing of it was read yet.
const NEW: u8 = 0;
/// Something was, and it has not joined.
const HEARD: u8 = 1;
/// It is about to, and cannot be turned away.
const JOINING: u8 = 2;
/// It joined.
const MEMBER: u8 = 3;
/// It ended in favour of a newcomer.
const TURNED_AWAY: u8 = 4;

const TURNED_AWAY_MESSAGE: &str =
    "others want to join, and you had not yet; join right after you connect";

/// One socket and its outbox. Times are the [`TimerQueue`](crate::timers::timer_queue::TimerQueue)'s; 0 is "not".
pub(crate) struct Connection {
    pub(crate) stream: Arc<Stream>,
    pub(crate) outbox: Arc<Outbox>,
    accepted: u64,
    phase: AtomicU8,
    /// When it last gave a sign of life.
    heard: AtomicU64,
    /// When it was asked for one and has not given it yet, and with which id.
    pinged: AtomicU64,
    ping: AtomicU64,
    /// Its outbox's, when it was looked at last.
    progress: AtomicU64,
    /// Since when a line is incomplete, and how much it keeps.
    line_since: AtomicU64,
    line_bytes: AtomicUsize,
    /// Since when it is being closed.
    closing: AtomicU64,
    /// When it is to be told that it may not join, and with which line.
    refused_at: AtomicU64,
    refusal: Mutex<Option<Vec<u8>>>,
    /// Why it ends, where that is not its peer's own doing.
    why: Mutex<Option<Cow<'static, str>>>,
}

impl Connection {
    pub(crate) fn new(stream: Arc<Stream>, memory: &Arc<Memory>, now: u64) -> Connection {
        let farewell: fn() -> Vec<u8> = slow_consumer_line;
        let outbox = Outbox::new(Arc::clone(&stream), Some(farewell), Arc::clone(memory));
        Connection {
            stream,
            outbox: Arc::new(outbox),
            accepted: now,
            phase: AtomicU8::new(NEW),
            heard: AtomicU64::new(now),
            pinged: AtomicU64::new(0),
            ping: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            line_since: AtomicU64::new(0),
            line_bytes: AtomicUsize::new(0),
            closing: AtomicU64::new(0),
            refused_at: AtomicU64::new(0),
            refusal: Mutex::new(None),
            why: Mutex::new(None),
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.stream.peer()
    }

    /// Its thread read something of it before it joined.
    pub(crate) fn set_heard(&self) {
        self.change(NEW, HEARD);
    }

    /// It wants to join; says whether it may still do so. From then on it cannot be turned
    /// away, until [`end_joining`](Self::end_joining) says that it did not join.
    pub(crate) fn begin_joining(&self) -> bool {
        self.change(HEARD, JOINING)
    }

    pub(crate) fn end_joining(&self, joined: bool) {
        self.change(JOINING, if joined { MEMBER } else { HEARD });
    }

    pub(crate) fn is_member(&self) -> bool {
        self.phase.load(Ordering::Acquire) == MEMBER
    }

    /// Milliseconds since it was accepted.
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.accepted)
    }

    /// Whether it said something before it joined that its thread did not get round to reading.
    pub(crate) fn has_first_words(&self) -> bool {
        self.phase.load(Ordering::Acquire) == NEW && self.stream.has_unread()
    }

    pub(crate) fn is_turned_away(&self) -> bool {
        self.phase.load(Ordering::Acquire) == TURNED_AWAY
    }

    /// Ends it in favour of a newcomer, with a word where that can be written at once; says
    /// whether it does, which it does not where it joins or was turned away before.
    pub(crate) fn turn_away(&self, now: u64) -> bool {
        if !self.change(HEARD, TURNED_AWAY) && !self.change(NEW, TURNED_AWAY) {
            return false;
        }
        if !self.outbox.is_behind() {
            self.bye(ByeReason::IdleHandshake, TURNED_AWAY_MESSAGE, now);
        }
        self.stream.shutdown();
        true
    }

    fn change(&self, from: u8, to: u8) -> bool {
        let changed = self
            .phase
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok()
    }

    /// It gave a sign of life.
    pub(crate) fn hear(&self, now: u64) {
        self.heard.store(now, Ordering::Relaxed);
        self.pinged.store(0, Ordering::Relaxed);
    }

    /// Notes whether a line has begun and not ended, and whether an earlier one ended in the
    /// same batch of input, so that this one is no older than that.
    pub(crate) fn set_partial_line(&self, partial: bool, earlier_ended: bool, now: u64) {
        let since = self.line_since.load(Ordering::Relaxed);
        match (partial, since) {
            (true, 0) => self.line_since.store(now, Ordering::Relaxed),
            (true, _) if earlier_ended => self.line_since.store(now, Ordering::Relaxed),
            (false, 1..) => self.line_since.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Notes how many bytes are kept for a line that has not ended; 0: there is none.
    pub(crate) fn set_line_bytes(&self, bytes: usize) {
        if self.line_bytes.load(Ordering::Relaxed) != bytes {
            self.line_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that are kept for a line that has not ended.
    pub(crate) fn line_bytes(&self) -> usize {
        self.line_bytes.load(Ordering::Relaxed)
    }

    /// Ends it at once, as there is no memory for its line, with a word if that can be written.
    pub(crate) fn end_line(&self, now: u64) {
        self.blame("there was no memory for its line");
        let message = "the server has no memory left for a line this long; send shorter ones";
        let error = RpcError::new(Code::InvalidRequest, message);
        self.finish(Some(error_line(None, &error).into()), now);
        self.stream.shutdown();
    }

    /// It was not read from for a while, which is nothing to blame it for.
    pub(crate) fn resume(&self, now: u64) {
        self.hear(now);
        if self.line_since.load(Ordering::Relaxed) > 0 {
            self.line_since.store(now, Ordering::Relaxed);
        }
    }

    /// Notes whether it took anything since this was asked last: who takes what it is sent is
    /// alive, though its answer to a ping may have to wait behind all that.
    pub(crate) fn note_progress(&self, now: u64) {
        let progress = self.outbox.progress();
        if self.progress.swap(progress, Ordering::Relaxed) != progress {
            self.hear(now);
        }
    }

    /// Whether an answer is that of the ping it was last asked.
    /// It counts once.
    pub(crate) fn is_ping(&self, id: u64) -> bool {
        // A look first: most answers are none, and to write costs more.
        let asked = self.ping.load(Ordering::Relaxed) == id;
        id != 0 && asked && self.ping.swap(0, Ordering::Relaxed) == id
    }

    /// Asks for a sign of life, under an id.
    pub(crate) fn ask_for_life(&self, id: u64, now: u64) {
        self.ping.store(id, Ordering::Relaxed);
        self.pinged.store(now, Ordering::Relaxed);
        self.outbox.push(common::wire::message::request_line(
            id.into(),
            method::PING,
            common::wire::Empty {},
        ));
        self.outbox.flush();
    }

    /// Closes it once what is queued, and `last`, is written. Its session then waits for the
    /// peer to close its half, until the deadline.
    pub(crate) fn finish(&self, last: Option<Line>, now: u64) {
        let _ = self
            .closing
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        match last {
            Some(line) => self.outbox.finish_with(line),
            None => self.outbox.finish(),
        }
        self.outbox.flush();
    }

    /// Has the timer thread tell it, at a time, that it may not join, and close it.
    pub(crate) fn refuse_at(&self, at: u64, line: Vec<u8>) {
        *lock(&self.refusal) = Some(line);
        self.refused_at.store(at, Ordering::Release);
    }

    pub(crate) fn is_to_be_refused(&self) -> bool {
        self.refused_at.load(Ordering::Acquire) > 0
    }

    /// Tells it what it has waited for, and closes.
    pub(crate) fn refuse(&self, now: u64) {
        let line = lock(&self.refusal).take();
        self.finish(line.map(Line::from), now);
    }

    /// Says `bye` and closes.
    pub(crate) fn bye(&self, reason: ByeReason, message: &str, now: u64) {
        self.blame(message.to_owned());
        self.finish(Some(bye_line(reason, message).into()), now);
    }

    /// Notes why it ends; the first reason stays.
    pub(crate) fn blame(&self, why: impl Into<Cow<'static, str>>) {
        lock(&self.why).get_or_insert(why.into());
    }

    /// Why it ended, where that was not its peer's own doing.
    pub(crate) fn why(&self) -> Option<Cow<'static, str>> {
        if self.outbox.was_too_slow() {
            return Some("it did not take what was sent to it".into());
        }
        lock(&self.why).clone()
    }
}

pub(crate) fn bye_line(reason: ByeReason, message: &str) -> Vec<u8> {
    let message = Cow::Borrowed(message);
    notification_line(method::BYE, Bye { reason, message })
}

fn slow_consumer_line() -> Vec<u8> {
    bye_line(
        ByeReason::SlowConsumer,
        "you did not take what was sent to you; read faster, or ask for less at a time",
    )
}

/// The last line for a peer whose line took too long.
pub(crate) fn line_too_slow() -> Line {
    let message = format!(
        "the line was not complete {} s after its first byte",
        LINE_DEADLINE.as_secs()
    );
    error_line(None, &RpcError::new(Code::InvalidRequest, message)).into()
}
