//! Writing to the socket, by the thread that has the writer's role: it moves lines from the queue
//! to one buffer and writes that. It never waits; `catch_up` does.

use super::writer::Writer;
use super::{CLOSED, FINISHING, OPEN, OVERFLOWN, Outbox, SLOW};
use crate::limits::{OUTBOX_BYTES, OUTBOX_LINES};
use crate::net::scratch::{self, BATCH};
use crate::sys::sync::atomic::{AtomicU32, Ordering, fence};
use crate::sys::sync::{Arc, try_role};
use std::io;

/// Batches that one flush writes before it hands the rest to a thread: the thread that flushes
/// has a client of its own to serve.
const MAX_BATCHES: usize = 16;

pub(super) enum Progress {
    /// All that was queued is written.
    Drained,
    /// The socket takes no more for now, or a thread of its own has to go on.
    Behind,
    /// Nothing more will be written.
    Over,
    /// Nothing will be written before the outbox has another connection.
    Unplugged,
}

impl Outbox {
    /// Writes what is queued, as far as the socket takes it without blocking.
    pub fn flush(self: &Arc<Self>) {
        while self.has_something() {
            // Pairs with the fence below: either this thread sees the role free, or the thread
            // that has it sees the line that was pushed before this look.
            fence(Ordering::SeqCst);
            let Some(mut writer) = try_role(&self.writer) else {
                return;
            };
            if writer.handed_over {
                return;
            }
            match self.write_queued(&mut writer) {
                Progress::Drained => self.has_caught_up(&mut writer),
                Progress::Over | Progress::Unplugged => return,
                Progress::Behind => {
                    writer.hand_over();
                    drop(writer);
                    self.start_catching_up();
                    return;
                }
            }
            drop(writer);
            fence(Ordering::SeqCst);
        }
    }

    /// Whether something is to be written that no thread is writing yet, as far as that shows.
    fn has_something(&self) -> bool {
        let has_lines = !self.waiting.is_empty() || self.rest.load(Ordering::Relaxed) > 0;
        let is_overflown = self.state.load(Ordering::Relaxed) == OVERFLOWN;
        has_lines || self.is_stuck() || is_overflown || self.owes_ack() || self.owes()
    }

    /// Whether the stream has something to send that is not among the lines any more.
    fn owes(&self) -> bool {
        self.stream.owes() && self.state.load(Ordering::Relaxed) < SLOW
    }

    /// Writes the rest and the queue, batch by batch. The caller has the writer's role.
    pub(super) fn write_queued(&self, writer: &mut Writer) -> Progress {
        let progress = self.write_batches(writer);
        if matches!(progress, Progress::Over) {
            self.let_go(writer);
            return progress;
        }
        let is_waiting = matches!(progress, Progress::Behind | Progress::Unplugged);
        if !is_waiting || writer.rest.is_empty() {
            scratch::give(std::mem::take(&mut writer.rest));
        }
        self.count_rest(writer);
        progress
    }

    fn write_batches(&self, writer: &mut Writer) -> Progress {
        for _ in 0..MAX_BATCHES {
            let state = self.state.load(Ordering::Acquire);
            if state == OVERFLOWN {
                self.give_up(writer);
            }
            if state >= OVERFLOWN {
                return Progress::Over;
            }
            if self.is_unplugged() {
                return self.write_nothing(state);
            }
            self.fill(writer);
            match self.write(writer) {
                Err(e) if writer.ack.is_some() => {
                    self.fail(&e);
                    self.stream.shutdown();
                    return self.write_nothing(state);
                }
                Err(_) => {
                    self.end(CLOSED);
                    return Progress::Over;
                }
                Ok(()) if !writer.rest.is_empty() || self.stream.owes() => {
                    return Progress::Behind;
                }
                Ok(()) if writer.ending && !self.stream.shutdown_write() => {
                    return Progress::Behind;
                }
                Ok(()) if writer.ending => {
                    self.change(FINISHING, CLOSED);
                    return Progress::Over;
                }
                Ok(()) if self.is_drained(writer) => return Progress::Drained,
                Ok(()) => {}
            }
        }
        Progress::Behind
    }

    #[inline]
    fn is_drained(&self, writer: &Writer) -> bool {
        let has_again = writer.kept.as_ref().is_some_and(|kept| kept.has_again());
        self.waiting.is_empty() && !has_again && !self.owes_ack()
    }

    /// What becomes of the connection while nothing can be written to it.
    #[cold]
    fn write_nothing(&self, state: u8) -> Progress {
        if state == OPEN {
            return Progress::Unplugged;
        }
        self.end(CLOSED);
        Progress::Over
    }

    /// Puts behind the rest what is to be written again, up to a batch, and then an `ack`, if one is
    /// due and none is under way.
    #[inline(never)]
    fn fill_again(&self, writer: &mut Writer) {
        while writer.rest.len() < BATCH
            && let Some(piece) = writer.kept.as_mut().and_then(|kept| kept.next_again())
        {
            let (lines, bytes) = piece.waiting();
            match writer.rest.is_empty() {
                true => writer.take_over(piece.into_bytes()),
                false => writer.rest.extend(piece.into_bytes()),
            }
            self.tell_rest(writer);
            self.bytes.fetch_sub(bytes, Ordering::Release);
            self.lines.fetch_sub(lines, Ordering::Relaxed);
        }
        if let Some(ack) = writer.ack
            && writer.uncounted.is_empty()
            && self.owes_ack()
        {
            let received = self.ack.swap(0, Ordering::Relaxed) - 1;
            let start = writer.rest.len();
            writer.add(&ack(received));
            writer.uncounted = start..writer.rest.len();
        }
    }

    /// Moves lines from the queue to the rest.
    #[inline(always)]
    pub(super) fn fill(&self, writer: &mut Writer) {
        if writer.ack.is_some() {
            self.fill_again(writer);
        }
        let (mut lines, mut kept) = (0, 0);
        let before = writer.rest.len();
        while writer.rest.len() < BATCH && !writer.ending {
            let Some(piece) = self.waiting.pop() else {
                break;
            };
            kept += piece.kept();
            lines += usize::from(!piece.is_last);
            writer.take(*piece);
        }
        if kept > 0 {
            let moved = writer.rest.len() - before;
            self.tell_rest(writer);
            self.bytes.fetch_sub(moved, Ordering::Release);
            self.lines.fetch_sub(lines, Ordering::Relaxed);
            self.count(kept, 0);
        }
    }

    /// Writes the rest, or as much of it as the socket takes now.
    fn write(&self, writer: &mut Writer) -> io::Result<()> {
        let was_over_half = self.is_over_half();
        let (mut written, mut sent) = (0, 0);
        let mut result = Ok(());
        while written < writer.rest.len() || self.stream.owes() {
            match self.stream.write(&writer.rest[written..]) {
                Ok(now) => {
                    written += now.taken;
                    sent += now.sent;
                    if now.taken == 0 {
                        break;
                    }
                }
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        match writer.ack {
            None => drop(writer.rest.drain(..written)),
            Some(_) => {
                writer.keep_written(written);
                self.count_kept(writer);
            }
        }
        if writer.rest.capacity() > 2 * BATCH.max(writer.rest.len()) {
            writer.rest.shrink_to(BATCH);
        }
        writer.taken += sent as u64;
        if sent > 0 && writer.is_behind_for_long() {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        if let (1.., Some(all)) = (written, &self.written) {
            all.add(written);
        }
        self.tell_rest(writer);
        if was_over_half && !self.is_over_half() {
            self.has_room.notify_all();
        }
        result
    }

    /// Notes how much is kept until it is acknowledged; a peer that leaves too much unacknowledged
    /// does not keep up.
    #[inline(never)]
    pub(super) fn count_kept(&self, writer: &mut Writer) {
        let Some(kept) = &mut writer.kept else {
            return;
        };
        self.kept_lines.store(kept.lines, Ordering::Relaxed);
        self.kept_bytes.store(kept.bytes, Ordering::Relaxed);
        self.count(kept.counted, kept.memory);
        kept.counted = kept.memory;
        writer.kept.take_if(|kept| kept.is_empty());
        if self.is_overfull(self.lines.load(Ordering::Relaxed)) {
            self.change(OPEN, OVERFLOWN);
        }
    }

    /// Whether there is more than may wait or be kept, with so many lines that wait.
    pub(super) fn is_overfull(&self, lines: usize) -> bool {
        let kept = |of: &AtomicU32| of.load(Ordering::Relaxed) as usize;
        lines + kept(&self.kept_lines) > OUTBOX_LINES
            || self.waiting_bytes() + kept(&self.kept_bytes) > OUTBOX_BYTES
    }

    /// Keeps nothing any more.
    pub(super) fn forget_kept(&self, writer: &mut Writer) {
        if let Some(kept) = writer.kept.take() {
            self.kept_lines.store(0, Ordering::Relaxed);
            self.kept_bytes.store(0, Ordering::Relaxed);
            self.count(kept.counted, 0);
        }
    }

    /// Disconnects a peer that does not keep up, with its last words if the socket takes them:
    /// they start after the line that the peer has the beginning of.
    pub(super) fn give_up(&self, writer: &mut Writer) {
        let rest = std::mem::take(&mut writer.rest);
        self.count_rest(writer);
        self.forget_kept(writer);
        if let Some(farewell) = writer.farewell {
            let line_end = rest.iter().position(|byte| *byte == b'\n');
            let mut last = rest[..line_end.map_or(0, |at| at + 1)].to_vec();
            last.extend(farewell());
            let _ = self.stream.write_now(&last);
        }
        self.end(SLOW);
        self.let_go(writer);
    }

    /// Keeps nothing any more, as nothing more is written.
    pub(super) fn let_go(&self, writer: &mut Writer) {
        scratch::give(std::mem::take(&mut writer.rest));
        self.stream.discard();
        self.count_rest(writer);
        self.forget_kept(writer);
    }
}
