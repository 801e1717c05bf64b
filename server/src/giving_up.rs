//! How the place of a member whose connection has broken is given up if no client comes back to it.

use crate::dispatch::dispatcher;
use crate::dispatch::flush_set::FlushSet;
use crate::hub::Hub;
use crate::member::Member;
use crate::millis;
use crate::record;
use crate::timers::timer_queue::Timer;
use common::logging::log_limit;
use common::sys::sync::Arc;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long a place is held after the last line that its client has sent, in milliseconds; `None`:
/// it is not.
pub(crate) fn hold_ms(hub: &Hub) -> Option<u64> {
    let config = &hub.config;
    let heartbeats = millis(config.heartbeat).saturating_mul(2);
    (!config.hold.is_zero()).then(|| millis(config.hold).saturating_add(heartbeats))
}

/// Gives up a place at its time, unless its client has come back. A server that stood still counts
/// from when it went on.
pub(crate) fn end_due(hub: &Hub, member: &Arc<Member>, at: u64, went_on: u64) {
    let Some(hold) = member.connection.hold() else {
        return;
    };
    if !hold.is_due(at) {
        return;
    }
    let from = hold.away_since().unwrap_or_default();
    let later = (went_on > from).then(|| went_on.saturating_add(hold_ms(hub).unwrap_or_default()));
    let later = later.filter(|later| *later > at);
    if let Some(later) = later {
        hub.timers
            .schedule(later, Timer::HoldOver(member.rank_key(), later));
    }
    if hold.expire(at, later) {
        give_up(hub, member, "it did not come back in time");
    }
}

/// Ends a member that is away, which no session does: it is out of the ranking, what it sent is
/// cancelled, and what it executes is lost.
pub(crate) fn give_up(hub: &Hub, member: &Arc<Member>, why: &str) {
    step(member, || {
        hub.roster.leave(member);
    });
    step(member, || hub.note_place(&member.connection));
    step(member, || hub.schedule_news());
    let_go(hub, member);
    step(member, || on_record(hub, member, why));
    let _any = log_limit::unlimited();
    log::info!("{} left: {member}: {why}", member.connection.peer());
}

/// Puts on record, and shows, that a member has left. No session does that for one that is away.
pub(crate) fn on_record(hub: &Hub, member: &Member, why: &str) {
    let was_slow = member.connection.outbox.was_too_slow();
    hub.telemetry.left(member.departed(why), was_slow);
    if let Some(audit) = &hub.config.audit {
        record::leave(audit, member, why);
    }
}

/// Cancels what a member sent that is out of the ranking, tells the senders of what it executes that
/// it is lost, and closes its connection, which no session serves.
pub(crate) fn let_go(hub: &Hub, member: &Arc<Member>) {
    let mut flushes = FlushSet::new(&hub.timers);
    let why = (&**member, dispatcher::SENDER_LEFT);
    step(member, || {
        dispatcher::cancel_all(hub, member, why, &mut flushes);
    });
    let ended = member.queue.close();
    step(member, || hub.conclude_all(ended, &mut flushes));
    step(member, || close(hub, member));
}

/// A panic ends the step that it happens in: no session and no timer would take the others.
fn step(member: &Member, step: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(step)).is_err() {
        log::error!("{member}: to give up its place panicked");
    }
}

/// Lets go of the connection of a member that no session serves.
pub(crate) fn close(hub: &Hub, member: &Member) {
    let connection = &member.connection;
    if let Some(hold) = connection.hold() {
        hold.end();
    }
    connection.outbox.close();
    hub.disconnected(connection);
}
