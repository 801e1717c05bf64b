//! Passes the input of a command on to its targets.

use crate::dispatch::command::{Command, Target};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::input::Piece;
use crate::dispatch::outcome_details::OutcomeDetails;
use crate::member::executor_queue::Fed;
use common::memory::{Charge, Memory};
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::wire::{SendInput, Status, fast_encode};

/// What a sender is told that has more under way than it may.
const PAST_WINDOW: &str = "more input than the window";

/// What a sender is told whose target takes nothing.
const NOT_TAKEN: &str = "too much waits for this client, which takes it too slowly, to queue input";

/// Passes a piece of a command's input on to the targets that are open.
#[inline(never)]
pub(crate) fn pass_on(
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::dispatch::command::Assignment;
    use crate::dispatch::input::Input;
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
        pass_on(&command, piece, &memory, &mut flushes);
        let kept = memory.kept();
        assert!(kept >= 5000, "{kept}");
        give_up(&command, &command.targets, "a test ends it", &mut flushes);
        drop(command);
        assert_eq!(memory.kept(), kept);
        drop((flushes, sender, target));
        assert_eq!(memory.kept(), 0);
    }
}
