//! Takes a `send`: has its targets found, announces them, and has it executed by each. Also the
//! ways in which a command ends early because of its sender.
//!
//! Three orders make it sound. `accepted` is in the sender's outbox before the first target is
//! registered. Whether a target is still here is looked at under the lock of its own table, in the
//! act of registering. And taking a command out of that table is the single act that decides its
//! outcome.
//!
//! A sender that another thread ends gets nothing executed: its sends are closed before those that
//! are open are cancelled, and this looks whether they are before each target, and after the last.

use crate::authority::bearer::Bearer;
use crate::dispatch::command::{Absent, Command, Target, Targets, Telling};
use crate::dispatch::counts::Counts;
use crate::dispatch::distribute::distribute;
use crate::dispatch::find::find;
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::input::Input;
use crate::dispatch::outcome_details::OutcomeDetails;
use crate::dispatch::refused;
use crate::dispatch::request::{check_numbers, check_run, first_end, input_window};
use crate::dispatch::selection::{Found, Selection, gone};
use crate::hub::Hub;
use crate::member::Member;
use crate::member::executor_queue::Cancelled;
use crate::member::open_sends::Opened;
use crate::record;
use crate::record::on_record::OnRecord;
use common::memory::Charge;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError, notification_line};
use common::wire::{Accepted, Execute, Send, Status, fast_encode, method};
use std::fmt;

/// A `send` that was taken, and not begun.
pub(crate) struct Taken {
    pub(crate) command: Arc<Command>,
    /// Those found that outrank its sender.
    pub(crate) outranked: Vec<Target>,
    /// Those named that cannot execute.
    pub(crate) absent: Vec<Absent>,
    pub(crate) sender_rank: u32,
    /// Whether its sender may have one more open, and there is memory for it.
    pub(crate) has_room: bool,
}

impl Taken {
    /// How many outcomes it will have.
    fn outcomes(&self) -> usize {
        self.command.targets.len() + self.outranked.len() + self.absent.len()
    }

    /// Has it executed, and says so.
    #[inline(always)]
    pub(crate) fn carry_out(
        &self,
        hub: &Hub,
        request: &Send<'_>,
        now: u64,
        flushes: &mut FlushSet<'_>,
    ) {
        if let Some(on_record) = &self.command.on_record {
            let outcomes = self.outcomes();
            let (command, rank) = (&self.command, self.sender_rank);
            record::send(on_record, command, rank, request, outcomes);
        }
        log_taken(self, request);
        if let Some(telemetry) = hub.telemetry.counting() {
            let (sender, shown) = (self.command.sender.id, self.command.shown.as_ref());
            let counted = &mut flushes.counted;
            counted.taken(telemetry, (sender, self.sender_rank), shown);
        }
        announce(self, request, now, flushes);
        begin(hub, self, request, now, flushes);
        if self.command.sender.sends.have_ended() {
            // A target that it reached after the thread that ends the sender had cancelled it there.
            cancel(hub, &self.command, flushes);
        }
    }
}

/// Takes a `send` of a client's, whose answer then comes by itself.
///
/// A session keeps the memory that its stack ever had, so each step has a frame of its own:
/// what one needs is not in the frame below which the next one runs.
///
/// # Errors
/// What the client is to be answered at once.
pub(crate) fn send(
    hub: &Hub,
    sender: &Arc<Member>,
    id: &Id,
    request: &Send<'_>,
    now: u64,
    flushes: &mut FlushSet<'_>,
) -> Result<(), RpcError> {
    let taken = find_and_take(hub, sender, id, request, now, flushes)?;
    taken.carry_out(hub, request, now, flushes);
    Ok(())
}

#[inline(never)]
fn find_and_take(
    hub: &Hub,
    sender: &Arc<Member>,
    id: &Id,
    request: &Send<'_>,
    now: u64,
    flushes: &mut FlushSet<'_>,
) -> Result<Taken, RpcError> {
    let selection = find_targets(hub, sender, request)?;
    let on_record = reserve_records(hub, &selection.found, request, now, flushes)?;
    take(hub, sender, id, request, selection, on_record)
}

/// The targets of a request that is right.
#[inline(always)]
pub(crate) fn find_targets(
    hub: &Hub,
    sender: &Member,
    request: &Send<'_>,
) -> Result<Selection, RpcError> {
    check_numbers(request)?;
    check_run(hub, request)?;
    find(hub, sender, request.to.as_ref(), Some(&request.command))
}

/// Places for the records of a command, if there are any.
#[inline(always)]
pub(crate) fn reserve_records(
    hub: &Hub,
    found: &Found,
    request: &Send<'_>,
    now: u64,
    flushes: &mut FlushSet<'_>,
) -> Result<Option<OnRecord>, RpcError> {
    let Some(audit) = &hub.config.audit else {
        return Ok(None);
    };
    if audit.is_crowded() {
        // What others are told does not wait for the log.
        flushes.flush();
    }
    record::reserve(audit, found, request, now).map(Some)
}

#[inline(never)]
fn take(
    hub: &Hub,
    sender: &Arc<Member>,
    id: &Id,
    request: &Send<'_>,
    selection: Selection,
    on_record: Option<OnRecord>,
) -> Result<Taken, RpcError> {
    let Selection { sender_rank, found } = selection;
    let is_single = matches!(found, Found::One(_));
    let words = request.command.as_json().len();
    let input = input_window(request).map_or(0, Input::most_kept);
    let room = hub.budget.room_for(found.executing(), words, input);
    if room.is_none() && is_single {
        return Err(no_memory());
    }
    let has_memory = room.is_some();
    let charge = room.unwrap_or_default();
    let (command, outranked, absent) =
        command(hub, sender, id.clone(), request, found, charge, on_record);
    let most = most_sends(hub, sender);
    let has_room = match sender.sends.open(&command, most) {
        Opened::New => has_memory,
        Opened::IsOpen => return Err(is_open(&command.send)),
        Opened::Full if is_single => return Err(too_many_open(most)),
        Opened::Full => false,
        Opened::Gone => return Err(gone()),
    };
    Ok(Taken {
        command,
        outranked,
        absent,
        sender_rank,
        has_room,
    })
}

/// Sends that a client may have open.
fn most_sends(hub: &Hub, sender: &Member) -> usize {
    let of_role = |bearer: &Bearer| bearer.grant().role().max_sends;
    let most = sender.bearer.as_deref().and_then(of_role);
    most.unwrap_or(hub.config.max_sends)
}

#[cold]
#[inline(never)]
pub(crate) fn no_memory() -> RpcError {
    let message = "commands that wait have all the memory that they may; wait for an outcome";
    RpcError::new(Code::Busy, message)
}

#[cold]
#[inline(never)]
fn is_open(id: &Id) -> RpcError {
    let message = format!("the request id {id} is still open");
    RpcError::new(Code::InvalidRequest, message)
}

#[cold]
#[inline(never)]
fn too_many_open(most: usize) -> RpcError {
    let message = format!("you have {most} sends open, the most allowed; wait for an outcome");
    RpcError::new(Code::Busy, message)
}

#[inline(never)]
fn log_taken(taken: &Taken, request: &Send<'_>) {
    let command = &taken.command;
    log::info!(
        "#{}: {} (rank {}) sends {} to {}",
        command.id,
        command.sender,
        taken.sender_rank,
        request.command.logged(),
        Recipients(taken),
    );
}

/// Tells the sender how many targets there are, and the outcomes of the targets that do not
/// execute. Every target has exactly one outcome from here on.
#[inline(never)]
fn announce(taken: &Taken, request: &Send<'_>, now: u64, flushes: &mut FlushSet<'_>) {
    let Taken {
        command,
        outranked,
        absent,
        ..
    } = taken;
    if let Telling::Tally(_) = command.telling {
        command.tell(accepted(&command.send, taken.outcomes()), flushes);
    }
    for target in outranked {
        command.conclude(
            target,
            Status::Outranked,
            &OutcomeDetails::default(),
            flushes,
        );
    }
    for absent in absent {
        command.conclude_absent(absent, flushes);
    }
    refused::tell(
        outranked,
        &command.sender,
        taken.sender_rank,
        request.command,
        now,
        flushes,
    );
}

#[inline(never)]
fn accepted(send: &Id, outcomes: usize) -> Vec<u8> {
    let accepted = Accepted {
        send: send.clone(),
        targets: outcomes as u32,
    };
    notification_line(method::ACCEPTED, accepted)
}

/// Has a command executed by the targets that can.
#[inline(never)]
fn begin(hub: &Hub, taken: &Taken, request: &Send<'_>, now: u64, flushes: &mut FlushSet<'_>) {
    let command = &taken.command;
    if command.targets.is_empty() {
        return;
    }
    if taken.has_room {
        let execute = Execute {
            from: command.sender.origin(taken.sender_rank),
            command: request.command,
            timeout_ms: first_end(request),
            window: command.window_share(),
            stdin: command.input.is_some(),
        };
        let line = fast_encode::execute(flushes.buffer(), command.id, &execute);
        return distribute(hub, command, line, now, flushes);
    }
    for target in command.targets.iter() {
        command.conclude(target, Status::Busy, &OutcomeDetails::default(), flushes);
    }
}

/// The command of a `send`, and the clients that it found and that cannot execute it: those
/// that outrank its sender, and the absent ones.
#[inline(always)]
pub(crate) fn command(
    hub: &Hub,
    sender: &Arc<Member>,
    send: Id,
    request: &Send<'_>,
    found: Found,
    charge: Charge,
    on_record: Option<OnRecord>,
) -> (Arc<Command>, Vec<Target>, Vec<Absent>) {
    let (targets, outranked, absent, telling) = match found {
        Found::One(target) => (
            Targets::One(target),
            Vec::new(),
            Vec::new(),
            Telling::Answer,
        ),
        Found::Many {
            execute,
            outranked,
            absent,
        } => {
            let outcomes = execute.len() + outranked.len() + absent.len();
            let counts = Counts::new(outcomes as u32);
            let telling = Telling::Tally(counts);
            (Targets::many(execute), outranked, absent, telling)
        }
    };
    let executing = targets.len();
    let id = hub.next_id();
    let shown = hub.telemetry.counting().and_then(|telemetry| {
        let outcomes = targets.len() + outranked.len() + absent.len();
        let (sender, targets) = ((sender.id, &*sender.name), targets.iter().map(Target::info));
        telemetry
            .feed
            .show(id, sender, request, targets, outcomes as u32)
    });
    let command = Command {
        id,
        send,
        sender: Arc::clone(sender),
        targets,
        timeout: request.timeout_ms,
        deadline: request
            .deadline_ms
            .map(|ms| hub.timers.now().saturating_add(ms)),
        progress: request.progress == Some(true),
        window: request.window,
        input: input_window(request).map(|window| Input::new(window, executing)),
        telling,
        _charge: charge,
        on_record,
        shown,
    };
    (Arc::new(command), outranked, absent)
}

/// For the log: the clients that a command is for.
struct Recipients<'a>(&'a Taken);

impl fmt::Display for Recipients<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (targets, outranked) = (&self.0.command.targets, self.0.outranked.len());
        match (&targets[..], outranked) {
            ([only], 0) => write!(f, "{} (rank {})", only.member, only.rank)?,
            (_, 0) => write!(f, "{} clients", targets.len())?,
            _ => write!(f, "{} below and {outranked} above it", targets.len())?,
        }
        match self.0.absent.len() {
            0 => Ok(()),
            others => write!(f, ", {others} absent or forbidden"),
        }
    }
}

/// Why the commands of a client that has left are cancelled.
pub(crate) const SENDER_LEFT: &str = "its sender left";

/// Ends all that a client has open early; on record is which client wants that, and why.
pub(crate) fn cancel_all(
    hub: &Hub,
    sender: &Member,
    (by, why): (&Member, &str),
    flushes: &mut FlushSet<'_>,
) {
    for command in sender.sends.take_all() {
        if let Some(on_record) = &command.on_record {
            record::cancel(on_record, &command, by, why);
        }
        cancel(hub, &command, flushes);
    }
}

/// Ends a command early, at each target that has not answered yet; a second time changes nothing.
#[inline(never)]
pub(crate) fn cancel(hub: &Hub, command: &Arc<Command>, flushes: &mut FlushSet<'_>) {
    for target in command.targets.iter() {
        match target
            .member
            .cancel(command.id, &hub.timers, hub.timers.now())
        {
            Cancelled::Waiting => {
                command.conclude(
                    target,
                    Status::Cancelled,
                    &OutcomeDetails::default(),
                    flushes,
                );
            }
            Cancelled::Running => flushes.add(&target.member.connection),
            Cancelled::Unknown => {}
        }
    }
}
