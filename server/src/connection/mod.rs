//! A connection, joined or not: its socket, its outbox and what all threads may know of it.
//! [`deadlines`] says what is due.

mod deadlines;
pub(crate) mod hold;

pub(crate) use deadlines::Verdict;

use crate::connection::hold::Hold;
use crate::millis;
use crate::telemetry::Telemetry;
use common::limits::{ACK_PATIENCE, LINE_DEADLINE};
use common::memory::Memory;
use common::net::outbox::{Cut, Line, Outbox};
use common::net::stream::Stream;
use common::sys::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::message::{Code, RpcError, error_line, notification_line};
use common::wire::{Ack, Bye, ByeReason, method};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::OnceLock;

// The phases of a connection.

/// Its session has read nothing of it yet.
const NEW: u8 = 0;
/// Its session has read something, and it has not joined.
const HEARD: u8 = 1;
/// It is joining, and cannot be turned away.
const JOINING: u8 = 2;
/// It joined.
const MEMBER: u8 = 3;
/// It was closed to make room for a newcomer.
const TURNED_AWAY: u8 = 4;

const TURNED_AWAY_MESSAGE: &str =
    "others want to join, and you had not yet; join right after you connect";

/// A socket and its outbox. Times are those of the timer queue; 0 is "not".
pub(crate) struct Connection {
    pub(crate) stream: Arc<Stream>,
    pub(crate) outbox: Arc<Outbox>,
    accepted: u64,
    phase: AtomicU8,
    /// When it last gave a sign of life.
    heard: AtomicU64,
    /// When the client was asked for one and has not given it yet, and with which id.
    pinged: AtomicU64,
    ping: AtomicU64,
    /// Its outbox's progress at the last check.
    progress: AtomicU32,
    /// Since when a line is incomplete, and how many bytes are kept for it.
    line_since: AtomicU64,
    line_bytes: AtomicUsize,
    /// Since when it is closing.
    closing: AtomicU64,
    /// When the client has to be told that it may not join, and with which line.
    refusal: OnceLock<Box<(u64, Vec<u8>)>>,
    /// Why it ends, if that is not its peer's own doing.
    why: Mutex<Option<Cow<'static, str>>>,
    /// A flush is scheduled.
    flush_asked: AtomicBool,
    /// The identity of the client's certificate, if it has shown one.
    identity: OnceLock<Box<str>>,
    /// Its place, if that is held for its client.
    hold: OnceLock<Box<Hold>>,
    /// The hub's number for it.
    number: AtomicU64,
    /// Where what becomes of its commands is counted.
    telemetry: Option<Arc<Telemetry>>,
}

impl Connection {
    pub(crate) fn new(stream: Arc<Stream>, memory: &Arc<Memory>, now: u64) -> Connection {
        let outbox = outbox(&stream, memory);
        Connection {
            stream,
            outbox,
            accepted: now,
            phase: AtomicU8::new(NEW),
            heard: AtomicU64::new(now),
            pinged: AtomicU64::new(0),
            ping: AtomicU64::new(0),
            progress: AtomicU32::new(0),
            line_since: AtomicU64::new(0),
            line_bytes: AtomicUsize::new(0),
            closing: AtomicU64::new(0),
            refusal: OnceLock::new(),
            why: Mutex::new(None),
            flush_asked: AtomicBool::new(false),
            identity: OnceLock::new(),
            hold: OnceLock::new(),
            number: AtomicU64::new(0),
            telemetry: None,
        }
    }

    /// That of a member of an earlier start of this server, which may come back to its place.
    #[cfg(not(shuttle))]
    pub(crate) fn away(peer: SocketAddr, memory: &Arc<Memory>, hold: Hold, now: u64) -> Connection {
        let connection = Connection::new(Arc::new(Stream::closed(peer)), memory, now);
        let _ = connection.hold.set(Box::new(hold));
        // Nothing can go on over another connection.
        connection.outbox.close();
        connection
    }

    /// The same, whose commands are counted, and bytes that are sent to its client if all of them can
    /// be.
    pub(crate) fn counted(mut self, telemetry: &Arc<Telemetry>) -> Connection {
        self.telemetry = Some(Arc::clone(telemetry));
        if telemetry.always
            && let Some(outbox) = Arc::get_mut(&mut self.outbox)
        {
            outbox.count_written(telemetry.counters.written());
        }
        self
    }

    /// The hub's number for it; 0: it has none yet.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(crate) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Its place, if that is held for its client.
    pub(crate) fn hold(&self) -> Option<&Hold> {
        self.hold.get().map(|hold| &**hold)
    }

    /// From now on its place is held. Everything that was pushed before does not count.
    pub(crate) fn set_hold(&self, hold: Box<Hold>) {
        let _ = self.hold.set(hold);
        self.outbox.keep(Ack::line);
    }

    /// Since when its client has no connection, if that is so and it may come back.
    pub(crate) fn away_since(&self) -> Option<u64> {
        self.hold()?.away_since()
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away_since().is_some()
    }

    /// Whether it is about to be closed by this server.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed) > 0 || !self.outbox.is_open()
    }

    /// Ends the connection, as its client gives no sign of life.
    pub(crate) fn lose(&self) {
        match self.hold() {
            Some(_) => self.outbox.break_off(Cut::Broken),
            None => self.stream.shutdown(),
        }
    }

    /// Its client has come back.
    pub(crate) fn come_back(&self, now: u64) {
        self.hear(now);
        if let Some(hold) = self.hold() {
            hold.end_silence(now);
        }
        self.line_since.store(0, Ordering::Relaxed);
        self.line_bytes.store(0, Ordering::Relaxed);
        *lock(&self.why) = None;
    }

    /// Has its client told, with what is written next, what was received since it was told last.
    /// Says whether that is something.
    pub(crate) fn say_received(&self) -> bool {
        let unsaid = self.hold().and_then(Hold::unsaid);
        if let Some(received) = unsaid {
            self.outbox.say_received(received);
        }
        unsaid.is_some()
    }

    /// Whether its client has long not acknowledged what its connection took. `went_on` is when the
    /// server itself last stood still.
    pub(crate) fn is_unacknowledged(&self, now: u64, went_on: u64) -> bool {
        let Some(hold) = self.hold() else {
            return false;
        };
        let outbox = &self.outbox;
        let silence = hold.silence(outbox.acknowledged(), outbox.is_unacknowledged(), now);
        silence.min(now.saturating_sub(went_on)) > millis(ACK_PATIENCE)
    }

    /// Where what becomes of its commands is counted, if it is now.
    pub(crate) fn counting(&self) -> Option<&Arc<Telemetry>> {
        self.telemetry.as_ref().and_then(Telemetry::counting)
    }

    /// Notes the identity that its client has proven in the handshake.
    pub(crate) fn set_identity(&self, identity: Box<str>) {
        let _ = self.identity.set(identity);
    }

    /// The identity of the certificate that its client has shown, if it has.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.identity.get().map(|identity| &**identity)
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.stream.peer()
    }

    /// Its session read something of it before it joined.
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

    /// Whether it sent something before it joined that its session has not read yet: most likely a
    /// `join`.
    pub(crate) fn has_first_words(&self) -> bool {
        self.phase.load(Ordering::Acquire) == NEW && self.stream.has_unread()
    }

    pub(crate) fn is_turned_away(&self) -> bool {
        self.phase.load(Ordering::Acquire) == TURNED_AWAY
    }

    /// Closes it to make room for a newcomer, and tells the client why if that can be written at
    /// once. Says whether it did: not if the client joins or was turned away before.
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

    /// Notes a sign of life.
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

    /// Ends it at once, as there is no memory for its line, and tells the client if that can be
    /// written.
    pub(crate) fn end_line(&self, now: u64) {
        self.blame("there was no memory for its line");
        let message = "the server has no memory left for a line this long; send shorter ones";
        let error = RpcError::new(Code::InvalidRequest, message);
        self.finish(Some(error_line(None, &error).into()), now);
        self.stream.shutdown();
    }

    /// Its session did not read for a while, which the client is not blamed for.
    pub(crate) fn resume(&self, now: u64) {
        self.hear(now);
        if self.line_since.load(Ordering::Relaxed) > 0 {
            self.line_since.store(now, Ordering::Relaxed);
        }
    }

    /// Notes whether the client read anything since this was called last: a client that reads is
    /// alive, though its answer to a ping may have to wait behind all that.
    pub(crate) fn note_progress(&self, now: u64) {
        let progress = self.outbox.progress();
        if self.progress.swap(progress, Ordering::Relaxed) != progress {
            self.hear(now);
        }
    }

    /// Whether an answer is that to its last ping. It counts once.
    pub(crate) fn is_ping(&self, id: u64) -> bool {
        // A look first: most answers are none, and a write costs more.
        let asked = self.ping.load(Ordering::Relaxed) == id;
        id != 0 && asked && self.ping.swap(0, Ordering::Relaxed) == id
    }

    /// Asks for a sign of life, under an id.
    pub(crate) fn ask_for_life(&self, id: u64, now: u64) {
        self.ping.store(id, Ordering::Relaxed);
        self.pinged.store(now, Ordering::Relaxed);
        self.outbox.push(common::wire::message::request_line(
            &id.into(),
            method::PING,
            common::wire::Empty {},
        ));
        self.outbox.flush();
    }

    /// Whether the caller has to schedule [`flush_as_asked`](Self::flush_as_asked): lines wait, and
    /// no other thread is going to write it.
    pub(crate) fn ask_for_flush(&self) -> bool {
        self.outbox.is_behind() && !self.flush_asked.swap(true, Ordering::AcqRel)
    }

    /// Writes what waits, as [`ask_for_flush`](Self::ask_for_flush) wanted.
    pub(crate) fn flush_as_asked(&self) {
        // Before the flush: a thread that adds something from now on asks again. A swap, so that
        // this flush sees what the threads added that found it asked for already.
        self.flush_asked.swap(false, Ordering::AcqRel);
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

    /// Has the timer thread tell the client, at a time, that it may not join, and close.
    pub(crate) fn refuse_at(&self, at: u64, line: Vec<u8>) {
        let _ = self.refusal.set(Box::new((at, line)));
    }

    pub(crate) fn is_to_be_refused(&self) -> bool {
        self.refusal.get().is_some()
    }

    /// Sends the answer that it has waited for, and closes.
    pub(crate) fn refuse(&self, now: u64) {
        let line = self.refusal.get().map(|refusal| refusal.1.clone());
        self.finish(line.map(Line::from), now);
    }

    /// Says `bye` and closes.
    pub(crate) fn bye(&self, reason: ByeReason, message: &str, now: u64) {
        self.blame(message.to_owned());
        self.finish(Some(bye_line(reason, message).into()), now);
    }

    /// Says `bye` as the server stops, and closes; `held`: the place is held for its next start.
    pub(crate) fn say_it_stops(&self, message: &str, held: bool, now: u64) {
        self.blame(message.to_owned());
        let line = bye_with(ByeReason::ShuttingDown, message, held);
        self.finish(Some(line.into()), now);
    }

    /// Notes why it ends; the first reason stays.
    pub(crate) fn blame(&self, why: impl Into<Cow<'static, str>>) {
        lock(&self.why).get_or_insert(why.into());
    }

    /// Why it ended, if that was not its peer's own doing.
    pub(crate) fn why(&self) -> Option<Cow<'static, str>> {
        if self.outbox.was_too_slow() {
            return Some("it did not take what was sent to it".into());
        }
        lock(&self.why).clone()
    }
}

pub(crate) fn bye_line(reason: ByeReason, message: &str) -> Vec<u8> {
    bye_with(reason, message, false)
}

fn bye_with(reason: ByeReason, message: &str, held: bool) -> Vec<u8> {
    let message = Cow::Borrowed(message);
    let bye = Bye {
        reason,
        message,
        held,
    };
    notification_line(method::BYE, bye)
}

/// In a frame of its own, which the caller's own does not stand on: a stack keeps the memory that it
/// once used.
#[inline(never)]
fn outbox(stream: &Arc<Stream>, memory: &Arc<Memory>) -> Arc<Outbox> {
    let farewell: fn() -> Vec<u8> = slow_consumer_line;
    let outbox = Outbox::new(Arc::clone(stream), Some(farewell), Arc::clone(memory));
    Arc::new(outbox)
}

fn slow_consumer_line() -> Vec<u8> {
    bye_line(
        ByeReason::SlowConsumer,
        "you did not take what was sent to you; read faster, or ask for less at a time",
    )
}

/// The last line for a peer that took too long for a line.
pub(crate) fn line_too_slow() -> Line {
    let message = format!(
        "the line was not complete {} s after its first byte",
        LINE_DEADLINE.as_secs()
    );
    error_line(None, &RpcError::new(Code::InvalidRequest, message)).into()
}
