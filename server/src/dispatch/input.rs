//! The input of a command on its way from the sender to the targets: how much of it each target has
//! consumed, how much may still come, and when the sender is told.
//!
//! The slowest target decides the pace, and one that has ended no longer counts. Nothing is kept
//! here but counts: a piece is queued for each target at once, in memory once, and the window bounds
//! what can wait. Commands without input have none of this.

use common::limits::{INPUT_STEP, MAX_INPUT_PIECES};
use common::sys::sync::{Mutex, lock};
use std::collections::{BTreeMap, VecDeque};

/// Bytes that a piece needs besides its input: the words around it in its line, its place in the
/// lists of pieces, and what the allocator adds.
const AROUND_PIECE: usize = 256;

/// The input of one command.
pub(crate) struct Input {
    window: u64,
    flow: Mutex<Flow>,
}

/// How far the input has come.
struct Flow {
    /// Bytes that came from the sender.
    sent: u64,
    /// The sender said the end, or more than it may.
    is_over: bool,
    /// What the sender was told last.
    told: u64,
    /// Where each piece ends that is under way.
    pieces: VecDeque<u64>,
    /// Of each target, how much it has consumed; none for one that has ended.
    consumed: Box<[Option<u64>]>,
    /// How many targets have consumed so much: the first is the slowest.
    levels: BTreeMap<u64, u32>,
}

/// What is to be done with a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Pass,
    Ignore,
    PastWindow,
}

impl Input {
    /// Of a command for so many targets, with this many bytes under way at the most. Apart, as the
    /// commands without input do not pay for what this takes of the stack.
    #[inline(never)]
    pub(crate) fn new(window: u64, targets: usize) -> Box<Input> {
        let at_the_start = u32::try_from(targets).ok().filter(|targets| *targets > 0);
        Box::new(Input {
            window,
            flow: Mutex::new(Flow {
                sent: 0,
                is_over: false,
                told: 0,
                pieces: VecDeque::new(),
                consumed: vec![Some(0); targets].into(),
                levels: at_the_start
                    .map(|targets| (0, targets))
                    .into_iter()
                    .collect(),
            }),
        })
    }

    /// Bytes that a window of input may take in memory: in lines of twice its length, and in as many
    /// pieces as may be.
    pub(crate) fn most_kept(window: u64) -> usize {
        let bytes = usize::try_from(window).unwrap_or(usize::MAX);
        2 * bytes + MAX_INPUT_PIECES * AROUND_PIECE
    }

    /// Counts a piece of so many bytes.
    pub(super) fn take(&self, bytes: u64, is_last: bool) -> Piece {
        let mut flow = lock(&self.flow);
        if flow.is_over || (bytes == 0 && !is_last) {
            return Piece::Ignore;
        }
        flow.is_over = is_last;
        if bytes > 0 {
            let under_way = flow.sent - flow.slowest();
            if bytes > self.window - under_way || flow.pieces.len() == MAX_INPUT_PIECES {
                flow.is_over = true;
                return Piece::PastWindow;
            }
            flow.sent += bytes;
            let end = flow.sent;
            flow.pieces.push_back(end);
        }
        Piece::Pass
    }

    /// Notes what a target has consumed, or that it has ended; `tell` is given what the sender is to
    /// be told, under the lock, so that it hears the totals in their order.
    pub(super) fn note(&self, target: usize, consumed: Option<u64>, tell: impl FnOnce(u64)) {
        let mut flow = lock(&self.flow);
        let Some(before) = flow.consumed.get(target).copied().flatten() else {
            return;
        };
        let now = consumed.map(|bytes| before.saturating_add(bytes).min(flow.sent));
        if now == Some(before) {
            return;
        }
        flow.consumed[target] = now;
        flow.move_level(before, now);
        let slowest = flow.slowest();
        while flow.pieces.front().is_some_and(|end| *end <= slowest) {
            flow.pieces.pop_front();
        }
        // Without an open target the answer says all.
        let is_open = !flow.levels.is_empty();
        let is_worth_it = slowest - flow.told >= INPUT_STEP || slowest == flow.sent;
        if is_open && slowest > flow.told && is_worth_it {
            flow.told = slowest;
            tell(slowest);
        }
    }
}

impl Flow {
    /// What every open target has consumed.
    fn slowest(&self) -> u64 {
        let slowest = self.levels.first_key_value();
        slowest.map_or(self.sent, |(level, _)| *level)
    }

    fn move_level(&mut self, before: u64, now: Option<u64>) {
        if let Some(count) = self.levels.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.levels.remove(&before);
            }
        }
        if let Some(now) = now {
            *self.levels.entry(now).or_default() += 1;
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// Notes something, and what the sender is told.
    fn told(input: &Input, target: usize, consumed: Option<u64>) -> Option<u64> {
        let mut told = None;
        input.note(target, consumed, |total| told = Some(total));
        told
    }

    #[test]
    fn the_slowest_target_decides_and_one_that_has_ended_does_not() {
        let input = Input::new(64 << 10, 3);
        assert_eq!(input.take(40 << 10, false), Piece::Pass);
        assert_eq!(told(&input, 0, Some(40 << 10)), None);
        assert_eq!(told(&input, 1, Some(20 << 10)), None);
        assert_eq!(told(&input, 2, Some(10 << 10)), None, "less than a step");
        assert_eq!(told(&input, 2, Some(8 << 10)), Some(18 << 10));
        assert_eq!(told(&input, 2, Some(u64::MAX)), None, "no more than came");
        assert_eq!(told(&input, 1, None), Some(40 << 10), "it is all");
        assert_eq!(told(&input, 1, Some(1)), None, "it has ended");
        assert_eq!(input.take(64 << 10, false), Piece::Pass);
        assert_eq!(told(&input, 2, None), None);
        assert_eq!(told(&input, 0, None), None, "no target is open");
        assert_eq!(input.take(1 << 30, true), Piece::PastWindow);
    }

    #[test]
    fn a_window_and_a_number_of_pieces_are_the_most_that_is_under_way() {
        let input = Input::new(1000, 1);
        for _ in 0..MAX_INPUT_PIECES {
            assert_eq!(input.take(1, false), Piece::Pass);
        }
        assert_eq!(input.take(0, false), Piece::Ignore);
        assert_eq!(told(&input, 0, Some(1)), None, "not all");
        assert_eq!(input.take(1, false), Piece::Pass, "one was consumed");
        assert_eq!(input.take(1, false), Piece::PastWindow);
        assert_eq!(input.take(1, false), Piece::Ignore, "it is over");

        let input = Input::new(1000, 1);
        assert_eq!(input.take(1000, false), Piece::Pass);
        assert_eq!(told(&input, 0, Some(1000)), Some(1000));
        assert_eq!(input.take(1000, true), Piece::Pass);
        assert_eq!(
            input.take(1, false),
            Piece::Ignore,
            "nothing follows the end"
        );
        let input = Input::new(1000, 1);
        assert_eq!(input.take(1001, true), Piece::PastWindow);
    }
}
