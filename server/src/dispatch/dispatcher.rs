//! Takes a `send`: finds its targets, registers it with each, and has it executed. Also the
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
use crate::dispatch::command::{
    Absent, Assignment, Command, Counts, OutcomeDetails, Target, Targets,
};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::input::Input;
use crate::dispatch::refusal_limiter;
use crate::dispatch::scope::Scope;
use crate::dispatch::selection::{Found, Selection, gone, select};
use crate::hub::Hub;
use crate::member::Member;
use crate::member::executor_queue::{Cancelled, Registered};
use crate::member::open_sends::Opened;
use crate::record::{self, OnRecord};
use common::limits::{MAX_INPUT_WINDOW, MAX_OPEN_INPUTS, MAX_OUTPUT};
use common::memory::Charge;
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError, notification_line};
use common::wire::selector::{Selector, SelectorError};
use common::wire::{Accepted, Execute, Send, Status, Stdin, Text, Words, fast_encode, method};
use std::borrow::Cow;
use std::fmt;

/// A `send` that was taken, and not begun.
struct Taken {
    command: Arc<Command>,
    /// Those found that outrank its sender.
    outranked: Vec<Target>,
    /// Those named that cannot execute.
    absent: Vec<Absent>,
    sender_rank: u32,
    /// Whether its sender may have one more open, and there is memory for it.
    has_room: bool,
}

impl Taken {
    /// How many outcomes it will have.
    fn outcomes(&self) -> usize {
        self.command.targets.len() + self.outranked.len() + self.absent.len()
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
    if let Some(on_record) = &taken.command.on_record {
        let outcomes = taken.outcomes();
        on_record.send(&taken.command, taken.sender_rank, request, outcomes);
    }
    log_taken(&taken, request);
    if let Some(telemetry) = &hub.telemetry {
        telemetry.taken(&taken.command, taken.sender_rank, &mut flushes.counted);
    }
    announce(&taken, request, now, flushes);
    begin(hub, &taken, request, now, flushes);
    if sender.sends.have_ended() {
        // A target that it reached after the thread that ends the sender had cancelled it there.
        cancel(hub, &taken.command, flushes);
    }
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
    check_numbers(request)?;
    check_run(hub, request)?;
    let selection = find(hub, sender, request.to.as_ref(), Some(&request.command))?;
    let on_record = match &hub.config.audit {
        None => None,
        Some(audit) => {
            if audit.is_crowded() {
                // What others are told does not wait for the log.
                flushes.flush();
            }
            Some(record::reserve(audit, &selection.found, request, now)?)
        }
    };
    take(hub, sender, id, request, selection, on_record)
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

/// Finds the targets of a command; without one, those that could be given any.
#[inline(never)]
pub(crate) fn find(
    hub: &Hub,
    sender: &Member,
    to: Option<&Text<'_>>,
    command: Option<&Words<'_>>,
) -> Result<Selection, RpcError> {
    match &sender.bearer {
        None => find_in(hub, sender, to, Scope::ALL),
        Some(bearer) => {
            let (grant, word) = (bearer.grant(), command.map(|words| words.first_word()));
            find_in(hub, sender, to, Scope::of(grant.role(), word.as_deref()))
        }
    }
}

/// For a selection that found no client: what says so on record, if the sender's role is the only
/// reason, because without it a client would execute the command. The sender is told `no_target`,
/// so that the error does not say which clients are here.
#[cold]
#[inline(never)]
pub(crate) fn hidden_by_role(
    hub: &Hub,
    sender: &Member,
    to: Option<&Text<'_>>,
    command: Option<&Words<'_>>,
) -> Option<RpcError> {
    let grant = sender.bearer.as_ref()?.grant();
    let all = find_in(hub, sender, to, Scope::ALL).ok()?;
    let word = command.map(|words| words.first_word());
    let target = to.map_or(Cow::Borrowed("a target"), |to| to.decoded());
    (all.found.executing() > 0).then(|| Scope::of(grant.role(), word.as_deref()).error(&target))
}

#[inline(never)]
fn find_in(
    hub: &Hub,
    sender: &Member,
    to: Option<&Text<'_>>,
    scope: Scope<'_>,
) -> Result<Selection, RpcError> {
    let Some(to) = to else {
        return select(&hub.roster, sender, &hub.config.dispatch, scope);
    };
    let text = to.decoded();
    match &Selector::parse(&text) {
        Ok(selector) => select(&hub.roster, sender, selector, scope),
        Err(error) => Err(no_selector(error)),
    }
}

/// Sends that a client may have open.
fn most_sends(hub: &Hub, sender: &Member) -> usize {
    let of_role = |bearer: &Bearer| bearer.grant().role().max_sends;
    let most = sender.bearer.as_deref().and_then(of_role);
    most.unwrap_or(hub.config.max_sends)
}

#[cold]
#[inline(never)]
fn no_selector(error: &SelectorError) -> RpcError {
    RpcError::new(Code::InvalidParams, format!("params.to: {error}"))
}

#[cold]
#[inline(never)]
fn no_memory() -> RpcError {
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
    if command.tally.is_some() {
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
    refusal_limiter::tell(
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

/// How long a command may run that a target is given at once.
fn first_end(request: &Send<'_>) -> Option<u64> {
    let ends = [request.timeout_ms, request.deadline_ms];
    ends.into_iter().flatten().min()
}

#[inline(never)]
fn check_numbers(request: &Send<'_>) -> Result<(), RpcError> {
    let wrong = |message: String| Err(RpcError::new(Code::InvalidParams, message));
    for (name, value) in [
        ("timeout_ms", request.timeout_ms),
        ("deadline_ms", request.deadline_ms),
    ] {
        if value == Some(0) {
            return wrong(format!("params.{name} is 0; it must be at least 1"));
        }
    }
    for (name, window, most) in [
        ("window", request.window, MAX_OUTPUT),
        ("stdin", input_window(request), MAX_INPUT_WINDOW),
    ] {
        if let Some(window) = window.filter(|window| !(1..=most).contains(window)) {
            return wrong(format!(
                "params.{name} is {window}; it must be from 1 to {most}"
            ));
        }
    }
    Ok(())
}

/// How much input of a command may be under way, if it has any.
fn input_window(request: &Send<'_>) -> Option<u64> {
    request.stdin.and_then(Stdin::window)
}

/// Holds a `send` that was made for one run of a server to that: the numbers of members in its
/// selector are those of that run.
fn check_run(hub: &Hub, request: &Send<'_>) -> Result<(), RpcError> {
    match &request.run {
        Some(run) if *run.decoded() != *hub.run => Err(another_run()),
        _ => Ok(()),
    }
}

#[cold]
#[inline(never)]
fn another_run() -> RpcError {
    let message = "params.run is that of another run of this server, whose members were others";
    RpcError::new(Code::InvalidParams, message)
}

/// The command of a `send`, and the clients that it found and that cannot execute it: those
/// that outrank its sender, and the absent ones.
fn command(
    hub: &Hub,
    sender: &Arc<Member>,
    send: Id,
    request: &Send<'_>,
    found: Found,
    charge: Charge,
    on_record: Option<OnRecord>,
) -> (Arc<Command>, Vec<Target>, Vec<Absent>) {
    let (targets, outranked, absent, tally) = match found {
        Found::One(target) => (Targets::One(target), Vec::new(), Vec::new(), None),
        Found::Many {
            execute,
            outranked,
            absent,
        } => {
            let outcomes = execute.len() + outranked.len() + absent.len();
            let counts = Counts::new(outcomes as u32);
            (Targets::many(execute), outranked, absent, Some(counts))
        }
    };
    let executing = targets.len();
    let id = hub.next_id();
    let shown = hub.telemetry.as_ref().and_then(|telemetry| {
        let outcomes = targets.len() + outranked.len() + absent.len();
        telemetry
            .feed
            .show(id, sender, request, &targets, outcomes as u32)
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
        tally,
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
            absent => write!(f, ", {absent} absent"),
        }
    }
}

/// Registers a command with each of its targets.
fn distribute(
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
            let started = Some(false);
            (
                Status::Lost,
                OutcomeDetails {
                    started,
                    ..OutcomeDetails::default()
                },
            )
        }
        Registered::Draining => (Status::Cancelled, OutcomeDetails::default()),
        Registered::NoInput => (
            Status::Failed,
            OutcomeDetails {
                message: Some(NO_INPUT.into()),
                ..OutcomeDetails::default()
            },
        ),
        Registered::Busy if command.tally.is_none() => {
            let message = busy(command, target);
            log::info!(
                "#{}: {} (rank {}) busy",
                command.id,
                target.member,
                target.rank
            );
            if let Some(on_record) = &command.on_record {
                on_record.outcome(command, target, Status::Busy, &OutcomeDetails::default());
            }
            return command.refuse(&RpcError::new(Code::Busy, message), flushes);
        }
        Registered::Busy => (Status::Busy, OutcomeDetails::default()),
    };
    command.conclude(target, status, &details, flushes);
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
