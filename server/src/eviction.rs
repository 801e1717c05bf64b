//! Ends members that their credential no longer gives what they joined with: the auth file has
//! changed, the credential's time is over, or another client has taken their place.
//!
//! Such a member is out of the ranking, and all that it sent or executes has ended, before it is
//! told; its session then ends by itself. The auth file is read by the thread for files
//! (`reloading.rs`); the ends of credentials are a matter of the timers.

use crate::authority::Rules;
use crate::authority::grant::{Grant, Unproven};
use crate::clock::wall_clock;
use crate::connection::hold::{Hold, Stage};
use crate::dispatch::dispatcher;
use crate::dispatch::flush_set::FlushSet;
use crate::giving_up;
use crate::hub::Hub;
use crate::jobs::{self, Job};
use crate::member::Member;
use common::logging::log_limit;
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use common::wire::ByeReason;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// For its program.
    bye: ByeReason,
    /// For the people at its end.
    message: &'static str,
    /// For the operator of the server, in the log and on record.
    exact: &'static str,
}

/// The credential is gone, or gives less.
const fn revoked(exact: &'static str) -> Reason {
    Reason {
        bye: ByeReason::Revoked,
        message: "your credential is gone, or gives less than it did",
        exact,
    }
}

const GONE: Reason = revoked("revoked: its credential is gone");
const ADDRESS: Reason = revoked("revoked: its credential no longer counts at its address");
const ID: Reason = revoked("revoked: what it showed belongs to another credential now");
const NAME: Reason = revoked("revoked: its credential no longer gives its name");
const ROLE: Reason = revoked("revoked: its credential has another role");
const RIGHTS: Reason = revoked("revoked: its role has lost a right");
const CONNECTIONS: Reason = revoked("revoked: its credential lets no client join");
const TIER: Reason = revoked("revoked: its role has a lower tier");

const EXPIRED: Reason = Reason {
    bye: ByeReason::Expired,
    message: "the time of your credential is over",
    exact: "expired: the time of its credential is over",
};

pub(crate) const REPLACED: Reason = Reason {
    bye: ByeReason::Replaced,
    message: "another client with your credential has taken your place",
    exact: "replaced: another client with its credential has taken its place",
};

/// Ends a member; a panic does not go beyond that. Its session may be in the middle of a `send` of
/// its: that is not taken any more, or the session cancels it ([`dispatcher::send`]).
pub(crate) fn evict(hub: &Hub, member: &Arc<Member>, reason: Reason, flushes: &mut FlushSet<'_>) {
    guarded(hub, member, || {
        end(hub, member, reason, flushes);
        false
    });
}

fn end(hub: &Hub, member: &Arc<Member>, reason: Reason, flushes: &mut FlushSet<'_>) {
    let Reason {
        bye,
        message,
        exact,
    } = reason;
    // The first reason stays.
    member.connection.blame(exact);
    // First, so that its session can tell why it is not ranked.
    member.sends.end();
    hub.roster.leave(member);
    hub.note_place(&member.connection);
    hub.schedule_news();
    // Before the last line, so that the member hears of what it sent and what still waited.
    let why = "the server ended its sender";
    dispatcher::cancel_all(hub, member, (member, why), flushes);
    hub.conclude_all(member.queue.close(), flushes);
    let now = hub.timers.now();
    let stage = member.connection.hold().map(Hold::end);
    member.connection.bye(bye, message, now);
    match stage {
        // No session serves it that would end by itself.
        Some(Stage::Away) => {
            giving_up::close(hub, member);
            giving_up::on_record(hub, member, exact);
        }
        _ => hub.schedule_check(&member.connection),
    }
    let _any = log_limit::unlimited();
    log::info!("{member} ends: {exact}");
}

/// Ends the members that have had a credential until now, and has the next end noticed.
pub(crate) fn end_expired(hub: &Hub) {
    let now = hub.timers.now();
    if now < hub.next_expiry.load(Ordering::Acquire) {
        // An earlier look has scheduled a later one.
        return;
    }
    let mut flushes = FlushSet::new(&hub.timers);
    for member in bearers(hub) {
        if expiry(&member).is_some_and(|at| at <= now) {
            evict(hub, &member, EXPIRED, &mut flushes);
        }
    }
    // Before the look at the others: a newcomer is among them, or schedules its end itself.
    hub.next_expiry.swap(u64::MAX, Ordering::AcqRel);
    let members = bearers(hub);
    let ends = members.iter().filter_map(|member| expiry(member));
    if let Some(at) = ends.filter(|at| *at > now).min() {
        hub.schedule_expiry(at);
    }
}

/// Has the end of a member's credential noticed.
pub(crate) fn watch_expiry(hub: &Hub, member: &Member) {
    let now = hub.timers.now();
    let bearer = member.bearer.as_ref();
    let at = bearer.and_then(|bearer| bearer.set_expiry(now, wall_clock()));
    if let Some(at) = at {
        hub.schedule_expiry(at);
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

/// Holds every member to the rules in force.
#[cfg(not(shuttle))]
pub(crate) fn hold_all(hub: &Hub) {
    let mut flushes = FlushSet::new(&hub.timers);
    let members = bearers(hub);
    let mut ended = 0;
    for member in &members {
        ended += usize::from(!guarded(hub, member, || hold(hub, member, &mut flushes)));
    }
    for job in hub.jobs.open_ones(None) {
        hold_job(hub, &job, &mut flushes);
    }
    drop(flushes);
    let _any = log_limit::unlimited();
    log::info!(
        "the auth file was read again; clients that end: {ended} of {}",
        members.len()
    );
}

/// Does something for a member that may end it; says whether it stays. Those behind it have their
/// turn, also if that fails.
fn guarded(hub: &Hub, member: &Arc<Member>, act: impl FnOnce() -> bool) -> bool {
    // Then it has no session that would end it.
    let is_away = member.connection.is_away();
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
        log::error!("{member}: to hold it to its credential panicked; it ends");
        member.connection.stream.shutdown();
        if is_away {
            giving_up::give_up(hub, member, "to hold it to its credential failed");
        }
        false
    })
}

/// Holds a member to the rules in force; says whether it stays.
pub(crate) fn hold(hub: &Hub, member: &Arc<Member>, flushes: &mut FlushSet<'_>) -> bool {
    let (Some(bearer), Some(authority)) = (&member.bearer, &hub.config.authority) else {
        return true;
    };
    loop {
        let rules = authority.rules();
        match given(&rules, &bearer.grant(), member) {
            Ok(grant) => bearer.set_grant(grant),
            Err(reason) => {
                evict(hub, member, reason, flushes);
                return false;
            }
        }
        watch_expiry(hub, member);
        // Else another thread may have held it to newer rules before this one did to older ones.
        if Arc::ptr_eq(&rules, &authority.rules()) {
            return true;
        }
    }
}

/// Cancels a job if its sender would be revoked by the rules in force; one whose credential's time is
/// over goes on.
pub(crate) fn hold_job(hub: &Hub, job: &Job, flushes: &mut FlushSet<'_>) {
    let sender = &job.stand_in;
    let (Some(bearer), Some(authority)) = (&sender.bearer, &hub.config.authority) else {
        return;
    };
    match given(&authority.rules(), &bearer.grant(), sender) {
        Err(reason) if reason.bye == ByeReason::Revoked => {
            jobs::cancel(hub, job, sender, reason.exact, flushes);
        }
        _ => {}
    }
}

/// What rules give a member now, or why it ends.
fn given(rules: &Rules, before: &Grant, member: &Member) -> Result<Grant, Reason> {
    let proof = Some(before.proof.clone());
    let address = member.connection.peer().ip();
    let grant = match rules.authenticate(proof, address, wall_clock()) {
        Ok(grant) => grant,
        Err(Unproven::Expired) => return Err(EXPIRED),
        Err(Unproven::Address) => return Err(ADDRESS),
        Err(_) => return Err(GONE),
    };
    let has_name = !member.has_own_name() || rules.may_take(&grant, &member.name).is_ok();
    match what_is_less(&grant, before, member) {
        Some(reason) => Err(reason),
        None if !has_name => Err(NAME),
        None => Ok(grant),
    }
}

/// What a grant does not give a member that it has. What `allow` covers is not looked at: it counts
/// from the next `send`; nor is how many clients may join with the credential, unless that is none.
fn what_is_less(grant: &Grant, before: &Grant, member: &Member) -> Option<Reason> {
    let (role, was) = (grant.role(), before.role());
    let keeps_rights = was.may.iter().all(|right| role.may.contains(right));
    let less = [
        (grant.credential.id != before.credential.id, ID),
        (grant.credential.connections == Some(0), CONNECTIONS),
        (role.name != was.name, ROLE),
        (!keeps_rights, RIGHTS),
        (role.tier > member.tier, TIER),
    ];
    less.into_iter()
        .find_map(|(is, reason)| is.then_some(reason))
}
