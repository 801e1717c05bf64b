//! Ends members that their credential no longer gives what they joined with: the auth file has
//! changed, the credential's time is over, or another client has taken their place.
//!
//! Such a member is out of the ranking, and all that it sent or executes has ended, before it is
//! told; its session then ends by itself. The auth file is read on a thread of its own, as a
//! folder on a network may keep it waiting; nothing else waits for that.

use crate::authority::grant::Grant;
use crate::authority::{Authority, wall_clock};
use crate::dispatch::dispatcher;
use crate::dispatch::flush_set::FlushSet;
use crate::hub::Hub;
use crate::member::Member;
use crate::record;
use crate::timers::timer_queue::Timer;
use common::logging::log_limit;
use common::sys::sync::atomic::Ordering;
use common::sys::sync::{Arc, lock};
use common::sys::thread;
use common::wire::ByeReason;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How often the auth file is looked at: a revoked client is gone a moment later, and a look is
/// one system call.
const LOOK_MS: u64 = 2000;

/// Why a member ends, for programs and for people.
type Reason = (ByeReason, &'static str);

const REVOKED: Reason = (
    ByeReason::Revoked,
    "your credential is gone, or gives less than it did",
);

const EXPIRED: Reason = (ByeReason::Expired, "the time of your credential is over");

pub(crate) const REPLACED: Reason = (
    ByeReason::Replaced,
    "another client with your credential has taken your place",
);

/// Ends a member.
pub(crate) fn evict(hub: &Hub, member: &Arc<Member>, reason: Reason, flushes: &mut FlushSet<'_>) {
    let (reason, message) = reason;
    hub.roster.leave(member);
    hub.schedule_news();
    // Before the last line, so that the member hears of what it sent and what still waited.
    for command in member.sends.take_all() {
        if let Some(on_record) = &command.on_record {
            on_record.cancel(&command, "the server ended its sender");
        }
        dispatcher::cancel(hub, &command, flushes);
    }
    hub.conclude_all(member.queue.close(), flushes);
    let now = hub.timers.now();
    member.connection.bye(reason, message, now);
    hub.schedule_check(&member.connection);
    let _any = log_limit::unlimited();
    log::info!("{member} ends: {message}");
}

/// Looks whether the auth file has changed, and whether credentials end soon; then again later.
pub(crate) fn look(hub: &Arc<Hub>) {
    if hub.config.authority.is_none() {
        return;
    }
    let now = hub.timers.now();
    let next = now + LOOK_MS;
    hub.timers.schedule(next, Timer::Authority);
    let expiries = bearers(hub)
        .into_iter()
        .filter_map(|member| expiry(&member));
    if let Some(at) = expiries.min().filter(|at| *at < next) {
        hub.timers.schedule(at.max(now), Timer::Expiry);
    }
    reload_changed(hub);
}

/// Reads the auth file again if it has changed.
pub(crate) fn reload_changed(hub: &Arc<Hub>) {
    if let Some(authority) = &hub.config.authority
        && authority.has_changed()
        && !hub.is_reloading.swap(true, Ordering::AcqRel)
    {
        reload(hub, authority);
    }
}

/// Ends the members that have had a credential until now.
pub(crate) fn end_expired(hub: &Hub) {
    let now = hub.timers.now();
    let mut flushes = FlushSet::new(&hub.timers);
    for member in bearers(hub) {
        if expiry(&member).is_some_and(|at| at <= now) {
            evict(hub, &member, EXPIRED, &mut flushes);
        }
    }
}

/// Has the end of a newcomer's credential noticed, if that is soon.
pub(crate) fn watch_expiry(hub: &Hub, member: &Member) {
    let now = hub.timers.now();
    let bearer = member.bearer.as_ref();
    let at = bearer.and_then(|bearer| bearer.set_expiry(now, wall_clock()));
    if let Some(at) = at.filter(|at| *at <= now + LOOK_MS) {
        hub.timers.schedule(at, Timer::Expiry);
    }
}

fn expiry(member: &Member) -> Option<u64> {
    member
        .bearer
        .as_ref()
        .and_then(|bearer| bearer.expires_at())
}

fn bearers(hub: &Hub) -> Vec<Arc<Member>> {
    hub.roster.look(|view| {
        let members = view.ranked().iter().map(|place| &place.member);
        members
            .filter(|member| member.bearer.is_some())
            .cloned()
            .collect()
    })
}

/// Reads the file again on a thread of its own.
fn reload(hub: &Arc<Hub>, authority: &Authority) {
    let (shared, authority) = (Arc::clone(hub), authority.clone());
    let reload = move || {
        let applied = catch_unwind(AssertUnwindSafe(|| {
            let reloaded = authority.reload();
            record::reload(&shared, authority.file(), reloaded.as_ref().err());
            match reloaded {
                Ok(()) => apply(&shared),
                Err(error) => log::error!("the auth file stays as it was: {error}"),
            }
        }));
        if applied.is_err() {
            log::error!("to read the auth file panicked");
        }
        shared.is_reloading.store(false, Ordering::Release);
    };
    match thread::spawn("auth", reload) {
        Ok(thread) => drop(lock(&hub.reloader).replace(thread)),
        Err(error) => {
            log::warn!("there is no thread to read the auth file with: {error}");
            hub.is_reloading.store(false, Ordering::Release);
        }
    }
}

/// Holds every member to the rules in force.
fn apply(hub: &Hub) {
    let mut flushes = FlushSet::new(&hub.timers);
    let members = bearers(hub);
    let mut ended = 0;
    for member in &members {
        ended += usize::from(!hold(hub, member, &mut flushes));
    }
    drop(flushes);
    let _any = log_limit::unlimited();
    log::info!(
        "the auth file was read again; clients that end: {ended} of {}",
        members.len()
    );
}

/// Holds a member to the rules in force; says whether it stays.
pub(crate) fn hold(hub: &Hub, member: &Arc<Member>, flushes: &mut FlushSet<'_>) -> bool {
    let (Some(bearer), Some(authority)) = (&member.bearer, &hub.config.authority) else {
        return true;
    };
    let before = bearer.grant();
    let rules = authority.rules();
    let proof = Some(before.proof.clone());
    let now = wall_clock();
    // An end that has come is told as such, by the timer.
    let proven = rules.authenticate(proof, member.connection.peer().ip(), now);
    let is_expired = matches!(proven, Err(crate::authority::grant::Unproven::Expired));
    let stays = proven.ok().filter(|grant| {
        let named = member
            .has_own_name()
            .then(|| rules.may_take(grant, &member.name));
        gives_no_less(grant, &before, member) && named.is_none_or(|named| named.is_ok())
    });
    match stays {
        Some(grant) => {
            bearer.set_grant(grant);
            watch_expiry(hub, member);
            true
        }
        None => {
            let reason = if is_expired { EXPIRED } else { REVOKED };
            evict(hub, member, reason, flushes);
            false
        }
    }
}

/// Whether a grant gives a member what it has. What `allow` covers is not looked at: it counts
/// from the next `send`.
fn gives_no_less(grant: &Grant, before: &Grant, member: &Member) -> bool {
    let (role, was) = (grant.role(), before.role());
    grant.credential.id == before.credential.id
        && role.name == was.name
        && was.may.iter().all(|right| role.may.contains(right))
        && role.tier <= member.tier
}
