//! Takes a `send` that is detached.

use super::account::Owner;
use super::job::{JOB, Job, OUTCOME};
use super::keeper::JobKeeper;
use super::log::Log;
use super::stand_in::stand_in;
use super::table::{Jobs, Opened};
use crate::dispatch::command::Telling;
use crate::dispatch::dispatcher::{self, Taken};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::refused::clipped;
use crate::dispatch::selection::{Found, Selection};
use crate::eviction;
use crate::hub::Hub;
use crate::member::Member;
use crate::millis;
use crate::record::on_record::OnRecord;
use common::limits::{JOB_DEADLINE, MAX_JOB_WORDS, MAX_OPEN_JOBS, MAX_OPEN_JOBS_OF_ONE};
use common::memory::Charge;
use common::sys::sync::atomic::AtomicBool;
use common::sys::sync::{Arc, Mutex, leaf};
use common::wire::message::{Code, Id, RpcError};
use common::wire::{Detach, Detached, JobId, Send, Stdin};

/// What a detached `send` is answered.
pub(crate) enum Answer {
    /// It was taken.
    Taken(Detached),
    /// Its one target takes nothing now.
    Busy(RpcError),
}

/// Takes a `send` that is detached. Where a plain one is told what comes of it, the job keeps that.
///
/// # Errors
/// What the client is to be answered at once.
#[inline(never)]
pub(crate) fn send(
    hub: &Hub,
    sender: &Arc<Member>,
    mut request: Box<Send<'_>>,
    now: u64,
    flushes: &mut FlushSet<'_>,
) -> Result<Answer, RpcError> {
    let id = check(&hub.jobs, &request)?;
    let deadline = request.deadline_ms.unwrap_or(millis(JOB_DEADLINE));
    request.deadline_ms = Some(deadline);
    let selection = dispatcher::find_targets(hub, sender, &request)?;
    let found = &selection.found;
    let on_record = dispatcher::reserve_records(hub, found, &request, now, flushes)?;
    let (job, has_room) = open(hub, sender, id, &request, &selection.found)?;
    let taken = take(hub, &job, &request, selection, on_record, has_room);
    let taken = taken.inspect_err(|_| hub.jobs.take_back(&job))?;
    taken.carry_out(hub, &request, now, flushes);
    let refusal = leaf(&job.log).refusal.clone();
    if let Some(error) = refusal {
        hub.jobs.take_back(&job);
        job.stand_in.sends.close(&taken.command.send, || true);
        return Ok(Answer::Busy(error));
    }
    // The rules may have changed while the job was in no list.
    eviction::hold_job(hub, &job, flushes);
    Ok(Answer::Taken(Detached {
        job: job.id,
        targets: job.targets,
    }))
}

/// The id of the job, if the request is right.
fn check(jobs: &Jobs, request: &Send<'_>) -> Result<JobId, RpcError> {
    let has_input = request.stdin.and_then(Stdin::window).is_some();
    let wrong = [
        ("stdin", has_input),
        ("window", request.window.is_some()),
        ("progress", request.progress == Some(true)),
    ];
    if let Some((name, _)) = wrong.iter().find(|(_, is_there)| *is_there) {
        return Err(RpcError::new(
            Code::InvalidParams,
            format!("params.{name} is not for a detached command; ask `job` what becomes of it"),
        ));
    }
    match &request.detach {
        Some(Detach::Named(id)) if jobs.get(id).is_some() => Err(in_use()),
        Some(Detach::Named(id)) => Ok(**id),
        _ => JobId::random().map_err(|error| {
            let message = format!("the system gives no random bytes for an id: {error}");
            RpcError::new(Code::Internal, message)
        }),
    }
}

fn in_use() -> RpcError {
    let message = "params.detach: there is a job with this id; ask for it, or choose another id";
    RpcError::new(Code::InvalidParams, message)
}

/// Opens the job, and says whether its command may run: else it is busy at all of its targets.
fn open(
    hub: &Hub,
    sender: &Arc<Member>,
    id: JobId,
    request: &Send<'_>,
    found: &Found,
) -> Result<(Arc<Job>, bool), RpcError> {
    let jobs = &hub.jobs;
    let (is_for_one, outcomes) = match found {
        Found::One(_) => (true, 1),
        Found::Many {
            execute,
            outranked,
            absent,
        } => (false, execute.len() + outranked.len() + absent.len()),
    };
    let owner = Owner::of(sender);
    let account = jobs.account(&owner);
    let kept = JOB + outcomes * OUTCOME;
    if !jobs.make_room_for_job(&owner, &account, kept) {
        return Err(RpcError::new(
            Code::Busy,
            "your detached commands keep all that they may; wait until one ends, or cancel one",
        ));
    }
    let charge = Charge::new(&account.memory, kept);
    let targets = outcomes as u32;
    let log = Log::new(targets, charge);
    let to = request.to.as_ref().map(|to| {
        let to = to.decoded();
        to[..to.floor_char_boundary(MAX_JOB_WORDS)].to_owned()
    });
    let (stand_in, sent) = (stand_in(hub, sender), hub.timers.now());
    let words = clipped(request.command.to_vec(), MAX_JOB_WORDS).0;
    let opened = jobs.open(id, &owner, is_for_one, |number| Job {
        id,
        number,
        owner: owner.clone(),
        account,
        stand_in,
        is_for_one,
        words,
        to,
        sent,
        targets,
        log: Mutex::new(log),
        news: AtomicBool::new(false),
    });
    match opened {
        Opened::New(job, has_room) => Ok((job, has_room)),
        Opened::InUse => Err(in_use()),
        Opened::Full => Err(too_many()),
    }
}

fn too_many() -> RpcError {
    let message = format!(
        "{MAX_OPEN_JOBS_OF_ONE} detached commands of yours are open, or {MAX_OPEN_JOBS} of all; wait \
         until one ends"
    );
    RpcError::new(Code::Busy, message)
}

/// The command of a job, with its stand-in for a sender.
fn take(
    hub: &Hub,
    job: &Arc<Job>,
    request: &Send<'_>,
    selection: Selection,
    on_record: Option<OnRecord>,
    has_place: bool,
) -> Result<Taken, RpcError> {
    let Selection { sender_rank, found } = selection;
    let words = request.command.as_json().len();
    let room = hub.budget.room_for(found.executing(), words, 0);
    if room.is_none() && job.is_for_one {
        return Err(dispatcher::no_memory());
    }
    let has_memory = room.is_some();
    let (charge, stand_in) = (room.unwrap_or_default(), &job.stand_in);
    let id = Id::from(0);
    let (mut command, outranked, absent) =
        dispatcher::command(hub, stand_in, id, request, found, charge, on_record);
    if let Some(command) = Arc::get_mut(&mut command) {
        let keeper = JobKeeper {
            job: Arc::clone(job),
            jobs: Arc::downgrade(&hub.jobs),
        };
        command.telling = Telling::Job(Arc::new(keeper));
    }
    stand_in.sends.open(&command, 1);
    Ok(Taken {
        command,
        outranked,
        absent,
        sender_rank,
        has_room: has_place && has_memory,
    })
}
