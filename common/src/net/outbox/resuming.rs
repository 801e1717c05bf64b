//! A peer that acknowledges: its connection may break, and the outbox goes on over another one.

use super::{Outbox, PLUGGED};
use crate::net::stream::Stream;
use crate::sys::sync::atomic::{Ordering, fence};
use crate::sys::sync::{Arc, leaf, role};
use std::io;
use std::time::Instant;

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// The peer has ended it.
    Ended = 1,
    /// It broke: a reset, silence, a time-out of the system.
    Broken = 2,
}

impl Cut {
    /// By what a read or a write has met.
    pub fn of(error: &io::Error) -> Cut {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Cut::Ended,
            _ => Cut::Broken,
        }
    }
}

impl Outbox {
    /// From now on, what is written is kept until the peer acknowledges it, except what was pushed
    /// before. `ack` makes the line that tells the peer how many lines were received. No other
    /// thread pushes yet.
    pub fn keep(&self, ack: fn(u64) -> Vec<u8>) {
        // The caller may hold a lock, which a thread that has the role does not wait for.
        let mut writer = leaf(&self.writer);
        self.fill(&mut writer);
        self.count_rest(&mut writer);
        writer.uncounted = 0..writer.rest.len();
        writer.ack = Some(ack);
    }

    /// From now on it is known when lines were written that it keeps.
    pub fn note_times(&self) {
        let mut writer = role(&self.writer);
        writer.kept.get_or_insert_default().note_times();
    }

    /// The peer has received so many lines; what it says is ignored if that cannot be.
    pub fn acknowledge(self: &Arc<Self>, received: u64) {
        let mut writer = role(&self.writer);
        if writer.acknowledge(received) {
            self.acknowledged.store(received as u32, Ordering::Relaxed);
            self.count_kept(&mut writer);
        }
        drop(writer);
        // A thread that found the role taken meanwhile has left its line to this one.
        fence(Ordering::SeqCst);
        self.flush();
    }

    /// Lines that the peer has acknowledged in all: the low bits, which are enough to see a change.
    pub fn acknowledged(&self) -> u32 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether something was written that the peer has not acknowledged.
    pub fn is_unacknowledged(&self) -> bool {
        self.kept_bytes.load(Ordering::Relaxed) > 0
    }

    /// When the newest line was written that the peer has acknowledged, or a moment before that, if
    /// [that is noted](Self::note_times).
    pub fn acknowledged_at(&self) -> Option<Instant> {
        let writer = role(&self.writer);
        writer.kept.as_ref()?.acknowledged_at()
    }

    /// Has the peer told, at the next flush, that so many of its lines were received.
    pub fn say_received(&self, received: u64) {
        self.ack.store(received + 1, Ordering::Relaxed);
    }

    pub(super) fn owes_ack(&self) -> bool {
        self.ack.load(Ordering::Relaxed) > 0
    }

    /// The connection has ended: lines only wait from now on. Its stream stays as it is. Says how it
    /// ended, which is what was met first.
    pub fn unplug(&self, cut: Cut) -> Cut {
        let first =
            self.cut
                .compare_exchange(PLUGGED, cut as u8, Ordering::AcqRel, Ordering::Acquire);
        self.stuck.store(false, Ordering::Relaxed);
        self.has_room.notify_all();
        match first {
            Err(met) if met == Cut::Ended as u8 => Cut::Ended,
            Err(_) => Cut::Broken,
            Ok(_) => cut,
        }
    }

    /// [`unplug`](Self::unplug), as a read or a write has met an error. A reset counts however the
    /// other direction has met it: the system tells it once, and then says that the stream has ended.
    /// After an end that came first it tells no reset (`tcp_reset` of Linux).
    pub fn fail(&self, error: &io::Error) {
        self.unplug(Cut::of(error));
        if error.kind() == io::ErrorKind::ConnectionReset {
            self.cut.store(Cut::Broken as u8, Ordering::Release);
        }
    }

    /// [`unplug`](Self::unplug), and ends the stream: the thread that reads it goes on.
    pub fn break_off(&self, cut: Cut) {
        self.unplug(cut);
        self.stream.shutdown();
    }

    /// How its connection has ended, if a write or another thread knows that already.
    pub fn cut(&self) -> Option<Cut> {
        match self.cut.load(Ordering::Acquire) {
            PLUGGED => None,
            cut if cut == Cut::Ended as u8 => Some(Cut::Ended),
            _ => Some(Cut::Broken),
        }
    }

    /// Whether its connection broke, for the thread that has read its end: a write that is under way
    /// may have been told of a reset in its place.
    pub fn is_broken(&self) -> bool {
        drop(role(&self.writer));
        self.cut() == Some(Cut::Broken)
    }

    /// Whether it waits for another connection.
    pub fn is_unplugged(&self) -> bool {
        self.cut.load(Ordering::Acquire) != PLUGGED
    }

    /// Goes on over another connection, whose stream is left without one, to a peer that has
    /// received so many lines: `answer` is written first, then what the peer has not received. The
    /// caller flushes. `false`: the peer cannot have received that many, or lines were lost.
    ///
    /// `there` is when the peer is known to have been there last.
    pub fn resume(&self, stream: &Stream, received: u64, answer: &[u8], there: Instant) -> bool {
        // The connection has ended, so a thread that catches up soon does, too.
        self.settle();
        let mut writer = role(&self.writer);
        let mut rest = std::mem::take(&mut writer.rest);
        let uncounted = writer.uncounted.clone();
        if writer.ack.is_none() || !self.is_open() || !writer.acknowledge(received) {
            writer.rest = rest;
            return false;
        }
        rest.drain(uncounted);
        let kept = writer.kept.get_or_insert_default();
        let (lines, bytes) = kept.begin_again(rest, there);
        writer.uncounted = 0..answer.len();
        writer.rest = answer.to_vec();
        // The end of what waited counts before the rest no longer does.
        self.lines.fetch_add(lines, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count_kept(&mut writer);
        self.count_rest(&mut writer);
        writer.pace = None;
        self.acknowledged.store(received as u32, Ordering::Relaxed);
        self.stream.adopt(stream);
        self.cut.store(PLUGGED, Ordering::Release);
        true
    }
}
