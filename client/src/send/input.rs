//! The input of a command that was sent: written piece by piece, and no faster than the slowest
//! target takes it.

use crate::line_piece::piece_len;
use common::limits::MAX_INPUT_PIECES;
use common::net::outbox::Outbox;
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait};
use common::wire::{Cancel, fast_encode, message, method};
use std::collections::VecDeque;
use std::io::{self, Write};

/// How far the input of one command has come.
pub(crate) struct InputFlow {
    window: u64,
    state: Mutex<FlowState>,
    /// More was consumed, or the command has ended.
    changed: Condvar,
}

#[derive(Default)]
struct FlowState {
    sent: u64,
    consumed: u64,
    /// Where each piece ends that is under way.
    pieces: VecDeque<u64>,
    has_ended: bool,
}

impl InputFlow {
    pub(crate) fn new(window: u64) -> InputFlow {
        InputFlow {
            window,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// So much in all was consumed by every target that is open.
    pub(crate) fn consumed(&self, total: u64) {
        let mut state = lock(&self.state);
        state.consumed = total.min(state.sent).max(state.consumed);
        let consumed = state.consumed;
        while state.pieces.front().is_some_and(|end| *end <= consumed) {
            state.pieces.pop_front();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The command has ended everywhere.
    fn end(&self) {
        lock(&self.state).has_ended = true;
        self.changed.notify_all();
    }

    /// Waits for room for one more piece, which gets as many of so many bytes as there is room for;
    /// `None` once the command has ended.
    fn wait_for_room(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        loop {
            if state.has_ended {
                return None;
            }
            let room = self.window - (state.sent - state.consumed);
            if room > 0 && state.pieces.len() < MAX_INPUT_PIECES {
                return Some(room);
            }
            state = wait(&self.changed, state);
        }
    }

    fn count(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.sent += bytes;
        let end = state.sent;
        state.pieces.push_back(end);
    }
}

/// Ends the flow when what is kept of the command goes.
pub(crate) struct FlowEnd(pub(crate) Arc<InputFlow>);

impl Drop for FlowEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Writes the input of a command: see [`SendHandle::take_input`].
///
/// Writing waits until the slowest target has taken enough of what was written before. Once the
/// command has ended at every target it fails with [`io::ErrorKind::BrokenPipe`]: programs need not
/// read all of their input.
///
/// If this is dropped before [`finish`](Self::finish), the command is cancelled, so that no program
/// takes a part of its input for the whole.
///
/// [`SendHandle::take_input`]: crate::SendHandle::take_input
#[derive(derive_more::Debug)]
#[debug("Input({send})")]
pub struct Input {
    pub(super) send: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) max_line: usize,
    pub(super) flow: Arc<InputFlow>,
    pub(super) is_finished: bool,
}

impl Input {
    /// Says that nothing comes after what was written: programs read the end.
    pub fn finish(mut self) {
        self.is_finished = true;
        let end = fast_encode::send_input(self.send, &[], true);
        self.tell(end);
    }

    fn tell(&self, line: Vec<u8>) {
        self.outbox.push(line);
        self.outbox.flush();
    }
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.outbox.wait_for_room();
        let room = self.flow.wait_for_room();
        let room =
            room.ok_or_else(|| io::Error::new(io::ErrorKind::BrokenPipe, "the command has ended"))?;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let length = piece_len(bytes, room, self.max_line);
        self.flow.count(length as u64);
        let line = fast_encode::send_input(self.send, &bytes[..length], false);
        self.tell(line);
        Ok(length)
    }

    /// Does nothing: each piece is on its way once it is written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if !self.is_finished {
            let send = self.send.into();
            let cancel = message::notification_line(method::CANCEL, Cancel { send });
            self.tell(cancel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_the_window_and_the_pieces_leave() {
        let flow = InputFlow::new(1000);
        assert_eq!(flow.wait_for_room(), Some(1000));
        flow.count(600);
        assert_eq!(flow.wait_for_room(), Some(400));
        flow.consumed(100);
        assert_eq!(flow.wait_for_room(), Some(500));
        flow.consumed(50);
        flow.consumed(u64::MAX);
        assert_eq!(flow.wait_for_room(), Some(1000), "no more than was sent");
        for _ in 0..MAX_INPUT_PIECES {
            flow.count(1);
        }
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| flow.wait_for_room());
            flow.consumed(601);
            assert_eq!(waiting.join().expect("no panic"), Some(745));
        });
        flow.count(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| flow.wait_for_room());
            flow.end();
            assert_eq!(waiting.join().expect("no panic"), None);
        });
    }
}
