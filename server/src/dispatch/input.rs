//! The input of a command on its way from the sender to the targets: how much of it each target has
//! consumed, how much may still come, and when the sender is told.
//!
//! The slowest target decides the pace, and one that has ended no longer counts. Nothing is kept
//! here but counts: a piece is queued for each target at once, in memory once, and the window bounds
//! what can wait. Commands without input have none of this.

use crate::dispatch::command::{Command, Target};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::outcome_details::OutcomeDetails;
use crate::member::executor_queue::Fed;
use common::limits::{INPUT_STEP, MAX_INPUT_PIECES};
use common::memory::{Charge, Memory};
use common::net::outbox::Line;
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::message::notification_line;
use common::wire::{SendInput, SendInputConsumed, Status, fast_encode, method};
use std::collections::{BTreeMap, VecDeque};

/// Bytes that a piece needs besides its input: the words around it in its line, its place in the
/// lists of pieces, and what the allocator adds.
const AROUND_PIECE: usize = 256;

/// What a sender is told that has more under way than it may.
const PAST_WINDOW: &str = "more input than the window";

/// What a sender is told whose target takes nothing.
const NOT_TAKEN: &str = "too much waits for this client, which takes it too slowly, to queue input";

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
enum Piece {
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
    fn take(&self, bytes: u64, is_last: bool) -> Piece {
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
    fn note(&self, target: usize, consumed: Option<u64>, tell: impl FnOnce(u64)) {
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

/// Passes a piece of a command's input on to the targets that are open.
#[inline(never)]
pub(crate) fn feed(
    command: &Command,
    piece: SendInput<'_>,
    memory: &Arc<Memory>,
    flushes: &mut FlushSet<'_>,
) {
    let (Some(input), Some(bytes)) = (&command.input, piece.bytes()) else {
        return;
    };
    match input.take(bytes, piece.end) {
        Piece::Ignore => return,
        Piece::PastWindow => return give_up(command, &command.targets, PAST_WINDOW, flushes),
        Piece::Pass => {}
    }
    let line = fast_encode::input(&piece.for_target(command.id));
    // The command's own charge is for what it may have under way. This one counts also what waits for
    // a target after the command has ended there.
    let charge = Charge::new(memory, line.capacity());
    let line = Line::shared(line, charge);
    for target in command.targets.iter() {
        match target.member.feed(command.id, &line) {
            Fed::Taken => flushes.add(&target.member.connection),
            Fed::Behind => give_up(command, std::slice::from_ref(target), NOT_TAKEN, flushes),
            Fed::NotOpen => {}
        }
    }
}

/// Ends a command at targets where it is open, which are told.
#[inline(never)]
fn give_up(command: &Command, targets: &[Target], why: &str, flushes: &mut FlushSet<'_>) {
    for target in targets {
        if target.member.give_up(command.id) {
            flushes.add(&target.member.connection);
            let details = OutcomeDetails::saying(why);
            command.conclude(target, Status::Failed, &details, flushes);
        }
    }
}

/// Notes what a target has consumed, or, with no figure, that it has ended.
#[inline(never)]
pub(crate) fn note(
    command: &Command,
    target: &Target,
    consumed: Option<u64>,
    flushes: &mut FlushSet<'_>,
) {
    let Some(input) = &command.input else {
        return;
    };
    let Some(at) = command.targets.place(target.member.id) else {
        return;
    };
    let mut is_told = false;
    input.note(at, consumed, |consumed| {
        let send = command.send.clone();
        let told = SendInputConsumed { send, consumed };
        let line = notification_line(method::INPUT_CONSUMED, told);
        is_told = command.sender.connection.outbox.push(line);
    });
    if is_told {
        flushes.add(&command.sender.connection);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::dispatch::command::Assignment;
    use crate::member::executor_queue::QueueBounds;
    use crate::testing;
    use crate::timers::timer_queue::TimerQueue;

    #[test]
    fn input_that_waits_for_a_target_is_counted_after_its_command_has_ended() {
        let (sender, mut target) = (
            testing::member(1, "sender", 0),
            testing::member(2, "target", 1),
        );
        Arc::get_mut(&mut target).expect("it is new").takes_input = true;
        let mut command = testing::command(7, &sender, &target, None);
        let input = Some(Input::new(5000, 1));
        Arc::get_mut(&mut command).expect("it is new").input = input;
        let (timers, memory) = (TimerQueue::new(), Memory::unlimited());
        let mut flushes = FlushSet::new(&timers);
        let assignment = Assignment {
            command: Arc::clone(&command),
            target: 0,
        };
        let bounds = QueueBounds {
            commands: 1,
            bytes: 1000,
            memory: None,
        };
        target.register(assignment, &mut Line::Own(Vec::new()), bounds, &timers, 1);
        // Too long to be copied, and too short to be written at once.
        let piece = format!(r#"{{"send":7,"text":"{}"}}"#, "x".repeat(5000));
        let piece = serde_json::from_str(&piece).expect("a piece");
        feed(&command, piece, &memory, &mut flushes);
        let kept = memory.kept();
        assert!(kept >= 5000, "{kept}");
        give_up(&command, &command.targets, "a test ends it", &mut flushes);
        drop(command);
        assert_eq!(memory.kept(), kept);
        drop((flushes, sender, target));
        assert_eq!(memory.kept(), 0);
    }

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
