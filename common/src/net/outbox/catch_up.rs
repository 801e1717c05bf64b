//! Writing to a peer that is behind: by a thread of its own until it has caught up, or from
//! time to time if the system has no thread for that.

use super::flush::Progress;
use super::writer::Writer;
use super::{CATCH_UP_TICK, CLOSED, Outbox, SLOW};
use crate::sys::sync::atomic::{Ordering, fence};
use crate::sys::sync::{Arc, lock, role, try_role};
use crate::sys::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Outbox {
    /// Starts a thread for a peer that is behind. The caller has handed it the writer's role.
    pub(super) fn start_catching_up(self: &Arc<Self>) {
        let outbox = Arc::clone(self);
        // No other thread gets here before the new one runs; from then on others may, and find
        // the handles in the order of the threads.
        let was_stuck = self.stuck.swap(false, Ordering::Relaxed);
        let mut catching_up = lock(&self.catching_up);
        let started = thread::spawn("catch-up", move || outbox.catch_up_guarded());
        let started = started.map(|handle| catching_up.replace(Box::new(handle)));
        drop(catching_up);
        match started {
            Ok(previous) => {
                if let Some(previous) = previous {
                    // It let go of the role, so it is about to end.
                    let _ = previous.join();
                }
            }
            Err(e) => {
                if !was_stuck {
                    log::warn!("{}: no thread to catch up with: {e}", self.stream.peer());
                }
                self.get_stuck();
            }
        }
    }

    /// Takes the writer's role back, as there is no thread for it, or gives the peer up if it is
    /// too slow.
    pub(super) fn get_stuck(&self) {
        let mut writer = role(&self.writer);
        writer.handed_over = false;
        if writer.is_too_slow() {
            self.give_up(&mut writer);
        }
        let is_over = self.state.load(Ordering::Acquire) >= SLOW;
        self.stuck.store(!is_over, Ordering::Relaxed);
    }

    /// Nothing waits any more.
    pub(super) fn has_caught_up(&self, writer: &mut Writer) {
        if writer.pace.take().is_some() {
            self.stuck.store(false, Ordering::Relaxed);
        }
    }

    /// Takes the writer's role for a thread that just gave it back and saw another line, unless a
    /// thread has the role that will see that line.
    fn take_role_again(&self) -> bool {
        let Some(mut writer) = try_role(&self.writer) else {
            return false;
        };
        if writer.handed_over {
            return false;
        }
        writer.hand_over();
        true
    }

    /// No other thread would notice a panic of the thread that catches up.
    fn catch_up_guarded(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.catch_up())).is_err() {
            self.end(CLOSED);
        }
    }

    /// Writes as fast as the peer takes it, until nothing waits or the peer is too slow.
    fn catch_up(&self) {
        loop {
            // Whether it is writable or not: the system says so only once a good part of the
            // socket's buffer is free, and a peer has to take far less than that.
            let _ = self.stream.wait_writable(CATCH_UP_TICK);
            let mut writer = role(&self.writer);
            match self.write_queued(&mut writer) {
                Progress::Over => return,
                Progress::Unplugged => {
                    writer.handed_over = false;
                    return;
                }
                Progress::Behind => {
                    if writer.is_too_slow() {
                        self.give_up(&mut writer);
                        return;
                    }
                }
                Progress::Drained => {
                    self.has_caught_up(&mut writer);
                    writer.handed_over = false;
                    drop(writer);
                    fence(Ordering::SeqCst);
                    if self.waiting.is_empty() || !self.take_role_again() {
                        return;
                    }
                }
            }
        }
    }
}
