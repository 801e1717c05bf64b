//! Gives a command to its targets, and ends it at those that cannot be given it.

use crate::dispatch::command::{Assignment, Command, Target};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::outcome_details::OutcomeDetails;
use crate::hub::Hub;
use crate::member::executor_queue::Registered;
use common::limits::MAX_OPEN_INPUTS;
use common::memory::Charge;
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::wire::Status;
use common::wire::message::{Code, RpcError};

/// Registers a command with each of its targets.
pub(super) fn distribute(
    hub: &Hub,
    command: &Arc<Command>,
    line: Vec<u8>,
    now: u64,
    flushes: &mut FlushSet<'_>,
) {
    // One line is made once, however many get it.
    let mut line = match command.targets.len() {
        1 => Line::Own(line),
        _ => {
            let charge = Charge::new(&hub.budget.commands, line.capacity());
            Line::shared(line, charge)
        }
    };
    for (at, target) in command.targets.iter().enumerate() {
        if command.sender.sends.have_ended() {
            let details = OutcomeDetails::default();
            command.conclude(target, Status::Cancelled, &details, flushes);
            continue;
        }
        let assignment = Assignment {
            command: Arc::clone(command),
            target: at,
        };
        let bounds = hub.queue_bounds();
        let registered = target
            .member
            .register(assignment, &mut line, bounds, &hub.timers, now);
        registration_ended(command, target, &registered, flushes);
    }
    flushes.give_back(line);
}

/// Why a client is given no command with input.
const NO_INPUT: &str = "this client takes no input for what it executes";

/// Why one target is busy.
#[cold]
#[inline(never)]
fn busy(command: &Command, target: &Target) -> String {
    let (member, rank) = (&target.member, target.rank);
    match command.input {
        None => format!(
            "the queue of {member} (rank {rank}), or your share of it, is full; wait for an outcome"
        ),
        Some(_) => format!(
            "{member} (rank {rank}) has no free slot, or {MAX_OPEN_INPUTS} commands with input; a \
             command with input does not wait, so try again later"
        ),
    }
}

fn registration_ended(
    command: &Command,
    target: &Target,
    registered: &Registered,
    flushes: &mut FlushSet<'_>,
) {
    let (status, details) = match registered {
        Registered::Started => {
            if command.progress {
                flushes.add_soon(&command.sender.connection);
            }
            flushes.add(&target.member.connection);
            return;
        }
        Registered::Waiting => return,
        Registered::Gone => {
            let details = OutcomeDetails {
                started: Some(false),
                ..OutcomeDetails::default()
            };
            (Status::Lost, details)
        }
        Registered::Draining => (Status::Cancelled, OutcomeDetails::default()),
        Registered::NoInput => (Status::Failed, OutcomeDetails::saying(NO_INPUT)),
        Registered::Busy if command.is_for_one() => {
            let message = busy(command, target);
            log::info!(
                "#{}: {} (rank {}) busy",
                command.id,
                target.member,
                target.rank
            );
            if let Some(on_record) = &command.on_record {
                let (is_for_one, details) = (true, OutcomeDetails::default());
                on_record.outcome(
                    (command.id, is_for_one),
                    target.info(),
                    Status::Busy,
                    &details,
                );
            }
            return command.refuse(&RpcError::new(Code::Busy, message), flushes);
        }
        Registered::Busy => (Status::Busy, OutcomeDetails::default()),
    };
    command.conclude(target, status, &details, flushes);
}
