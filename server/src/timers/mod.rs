//! The timer thread: does what the timer queue says is due.

pub(crate) mod timer_queue;

use crate::connection::{Connection, Verdict, line_too_slow};
use crate::dispatch::flush_set::FlushSet;
use crate::drain;
use crate::eviction;
use crate::giving_up;
use crate::hub::Hub;
use crate::member::{Member, ScheduleCheck};
use crate::memory_shortage;
use crate::millis;
use crate::ranking::Standing;
use crate::timers::timer_queue::{StoodStill, Tick, Timer, TimerQueue};
use common::logging::log_limit;
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use common::wire::message::notification_line;
use common::wire::{ByeReason, Rank, method};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// How long sessions may take, once the server goes on after it stood still, to read what came
/// meanwhile.
const RESUME_MS: u64 = 1000;

/// When to take the next step of a drain, or to make room, after a step that failed.
const RETRY_MS: u64 = 100;

/// When to check a connection again that seems silent, but has something unread.
const UNREAD_RETRY_MS: u64 = 100;

/// After rank news, none are told for this many times as long as they took: so they take less than
/// a tenth of the time, however many clients come and go.
const NEWS_PAUSE: u32 = 10;

/// The longest such pause: that of ten thousand members, which take a good part of a second. A round
/// that a panic or a stopped server made longer says nothing about its cost.
const NEWS_LONGEST_PAUSE_MS: u64 = 3000;

/// How long a member that is behind is spared rank news.
const NEWS_RETRY_MS: u64 = 100;

/// Does what is due until the queue is stopped. A panic ends the one action that it happens in: all
/// clients need this thread.
pub(crate) fn run(hub: &Arc<Hub>) {
    let mut drain = drain::Drain::default();
    while let Some(tick) = hub.timers.next() {
        if catch_unwind(AssertUnwindSafe(|| act(hub, &tick, &mut drain))).is_err() {
            log::error!("a timer panicked");
            give_up(hub, tick.due);
        }
    }
}

fn act(hub: &Arc<Hub>, tick: &Tick, drain: &mut drain::Drain) {
    let Tick {
        due,
        now,
        stood_still,
    } = tick;
    fault_point!(due of hub);
    match due {
        Timer::RankNews => tell_ranks(hub),
        Timer::Expiry => eviction::end_expired(hub),
        Timer::MakeRoom => memory_shortage::make_room(hub),
        Timer::Drain => drain.step(hub),
        Timer::News(of) => Arc::clone(of).tell_news(&hub.timers),
        Timer::Jobs => hub.jobs.sweep(&hub.timers),
        Timer::Deadlines(connection) => {
            if let Some(connection) = connection.upgrade() {
                check_deadlines(hub, &connection, *now, stood_still.until);
            }
        }
        Timer::Flush(connection) => {
            if let Some(connection) = connection.upgrade() {
                connection.flush_as_asked();
                hub.timers.retry_stuck(&connection);
            }
        }
        Timer::Overdue(member, at) => {
            if let Some(member) = hub.roster.member(*member) {
                take_overdue(hub, &member, *at, *now, *stood_still);
            }
        }
        Timer::HoldOver(member, at) => {
            if let Some(member) = hub.roster.member(*member) {
                giving_up::end_due(hub, &member, *at, stood_still.until);
            }
        }
        Timer::Joined(member) => {
            if let Some(member) = hub.roster.member(*member)
                && hub.roster.mark_joined(&member)
            {
                hub.schedule_news();
            }
        }
    }
}

/// Ends the connection that a timer which failed is about: no other one checks it. What is about
/// all of them is tried again.
fn give_up(hub: &Hub, due: Timer) {
    match due {
        Timer::HoldOver(..) | Timer::Joined(_) | Timer::RankNews | Timer::News(_) => {}
        Timer::Expiry => {
            let soon = hub.timers.now() + RETRY_MS;
            hub.next_expiry.store(soon, Ordering::Release);
            hub.timers.schedule(soon, due);
        }
        Timer::MakeRoom | Timer::Jobs | Timer::Drain => {
            hub.timers.schedule(hub.timers.now() + RETRY_MS, due);
        }
        Timer::Deadlines(connection) | Timer::Flush(connection) => {
            if let Some(connection) = connection.upgrade() {
                connection.stream.shutdown();
            }
        }
        Timer::Overdue(member, _) => {
            if let Some(member) = hub.roster.member(member) {
                member.connection.stream.shutdown();
            }
        }
    }
}

impl ScheduleCheck for TimerQueue {
    fn schedule_check(&self, member: &Arc<Member>, at: u64) {
        self.schedule(at, Timer::Overdue(member.rank_key(), at));
    }
}

/// Checks the deadlines of a connection, and acts on them.
fn check_deadlines(hub: &Hub, connection: &Arc<Connection>, now: u64, resumed: u64) {
    let heartbeat = hub.config.heartbeat;
    if connection.hold().is_some() && !check_acks(connection, now, resumed) {
        let next = now.saturating_add(millis(heartbeat));
        return hub
            .timers
            .schedule(next, Timer::Deadlines(Arc::downgrade(connection)));
    }
    connection.note_progress(now);
    match connection.verdict(now, heartbeat, resumed) {
        Verdict::LookAt(_) => {}
        Verdict::Silent | Verdict::LineTooSlow if connection.stream.has_unread() => {
            // It gave a sign of life, or more of its line, which its session has not read yet.
            let soon = now + UNREAD_RETRY_MS;
            return hub
                .timers
                .schedule(soon, Timer::Deadlines(Arc::downgrade(connection)));
        }
        Verdict::Ping => connection.ask_for_life(hub.next_id(), now),
        Verdict::Silent => {
            connection.blame(format!(
                "it gave no sign of life for {} ms",
                2 * millis(heartbeat)
            ));
            connection.lose();
            if connection.hold().is_none() {
                return;
            }
        }
        Verdict::IdleHandshake => {
            let message = "you did not join in time; join right after you connect";
            connection.bye(ByeReason::IdleHandshake, message, now);
        }
        Verdict::Refuse => connection.refuse(now),
        Verdict::LineTooSlow => {
            connection.blame("its line took too long");
            connection.finish(Some(line_too_slow()), now);
        }
        Verdict::Cut => {
            connection.stream.shutdown();
            return;
        }
    }
    hub.timers.retry_stuck(connection);
    let next = match connection.verdict(now, heartbeat, resumed) {
        Verdict::LookAt(at) => at,
        _ => now,
    };
    hub.timers
        .schedule(next, Timer::Deadlines(Arc::downgrade(connection)));
}

/// Tells a client what was received of it, and gives up one that acknowledges nothing. `false`: it
/// is away.
#[inline(never)]
fn check_acks(connection: &Arc<Connection>, now: u64, resumed: u64) -> bool {
    if connection.is_away() || connection.outbox.cut().is_some() {
        return false;
    }
    if connection.say_received() {
        connection.outbox.flush();
    }
    if connection.is_unacknowledged(now, resumed) {
        connection.outbox.give_up_now();
    }
    true
}

/// Decides the outcomes of commands that should have been answered by now.
fn take_overdue(hub: &Hub, member: &Arc<Member>, at: u64, now: u64, stood_still: StoodStill) {
    let _about = log_limit::about(&member.name);
    // Answers that came while the server stood still get time to be read.
    let judged = match now < stood_still.until.saturating_add(RESUME_MS) {
        true => stood_still.from,
        false => now,
    };
    let (ended, told) = member.take_overdue(at, judged, now, &hub.timers);
    let mut flushes = FlushSet::new(&hub.timers);
    flushes.add(&member.connection);
    for sender in &told {
        flushes.add(&sender.connection);
    }
    hub.conclude_all(ended, &mut flushes);
}

/// Tells members their new ranks.
fn tell_ranks(hub: &Hub) {
    let after = hub.news_after.load(Ordering::Relaxed);
    if hub.timers.now() < after {
        // It was scheduled while the last ones were told.
        return hub.timers.schedule(after, Timer::RankNews);
    }
    let started = Instant::now();
    hub.news_are_told();
    let mut behind = None;
    for (member, standing) in hub.roster.untold() {
        if member.connection.is_away() {
            // It is told when it comes back.
            continue;
        }
        if member.connection.outbox.is_behind() {
            // It is told its last rank once it has caught up.
            behind.get_or_insert(standing.rank);
            continue;
        }
        // The members after it are told, also if telling this one fails.
        if catch_unwind(AssertUnwindSafe(|| tell_rank(&member, standing))).is_err() {
            log::error!("telling a rank panicked");
            member.connection.stream.shutdown();
        }
    }
    let mut pause = millis(started.elapsed() * NEWS_PAUSE).min(NEWS_LONGEST_PAUSE_MS);
    if let Some(rank) = behind {
        hub.roster.set_untold(rank);
        pause = pause.max(NEWS_RETRY_MS);
    }
    hub.news_after
        .store(hub.timers.now() + pause, Ordering::Relaxed);
    if behind.is_some() {
        hub.schedule_news();
    }
}

fn tell_rank(member: &Member, standing: Standing) {
    fault_point!(Telling, member);
    member.told_rank.store(standing.rank, Ordering::Relaxed);
    let rank = Rank {
        rank: standing.rank,
        members: standing.members,
    };
    let outbox = &member.connection.outbox;
    outbox.push(notification_line(method::RANK, rank));
    outbox.flush();
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use common::net::listener::Listener;

    #[test]
    fn ends_of_credentials_are_looked_at_again_wherever_a_look_panicked() {
        let (_listener, waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        let hub = Hub::new(Config::default(), 1, waker);
        // Before it noted that it looks, and after that.
        for next in [1, u64::MAX] {
            hub.next_expiry.store(next, Ordering::Release);
            give_up(&hub, Timer::Expiry);
            let tick = hub.timers.next().expect("a timer");
            assert!(matches!(tick.due, Timer::Expiry));
            assert!(hub.next_expiry.load(Ordering::Acquire) <= tick.now);
        }
    }
}
