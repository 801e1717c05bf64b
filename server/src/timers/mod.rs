//! Does what the timer queue says is due.

pub(crate) mod timer_queue;

use crate::connection::{Connection, Verdict, line_too_slow};
use crate::dispatch::flush_set::FlushSet;
use crate::drain;
use crate::hub::Hub;
use crate::member::Member;
use crate::memory_budget;
use crate::ranking::Standing;
use crate::timers::timer_queue::{StoodStill, Tick, Timer, millis};
use common::logging::log_limit;
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use common::wire::message::notification_line;
use common::wire::{ByeReason, Rank, method};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long everything that came meanwhile may take to be read after that.
const RESUME_MS: u64 = 1000;

/// When to take the next step of a drain, or to make room, after a step that failed.
const RETRY_MS: u64 = 100;

/// When to look again at a connection that seems silent, but has something unread.
const UNREAD_RETRY_MS: u64 = 100;

/// News take at most one part in this many of the time ...
const NEWS_SHARE: u64 = 10;

/// ... unless that would keep people waiting who can tell: to tell ten thousand takes a good
/// part of a second, and everybody is to know within two.
const NEWS_LONGEST_PAUSE_MS: u64 = 300;

/// How long somebody who is behind is spared rank news.
const NEWS_RETRY_MS: u64 = 100;

/// Does what is due until the timer thread is stopped. A panic ends what it happens in, and nothing
/// else: the timer thread is everybody's.
pub(crate) fn run(hub: &Arc<Hub>) {
    let mut drain = drain::Drain::default();
    while let Some(tick) = hub.timers.next() {
        if catch_unwind(AssertUnwindSafe(|| act(hub, &tick, &mut drain))).is_err() {
            log::error!("what was due panicked");
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
        Timer::Deadlines(connection) => {
            if let Some(connection) = connection.upgrade() {
                look(hub, &connection, *now, stood_still.until);
            }
        }
        Timer::Overdue(member, at) => {
            if let Some(member) = member.upgrade() {
                take_overdue(hub, &member, *at, *now, *stood_still);
            }
        }
        Timer::Flush(member) => {
            if let Some(member) = member.upgrade() {
                member.flush_as_asked();
                hub.timers.retry_stuck(&member.connection.outbox);
            }
        }
        Timer::Retry(outbox) => {
            if let Some(outbox) = outbox.upgrade() {
                outbox.retry();
                hub.timers.retry_stuck(&outbox);
            }
        }
        Timer::RankNews => tell_ranks(hub),
        Timer::MakeRoom => memory_budget::make_room(hub),
        Timer::Drain => drain.step(hub),
    }
}

/// What could not be done is not looked at again, so whom it is about goes.
fn give_up(hub: &Hub, due: Timer) {
    match due {
        Timer::Deadlines(connection) => {
            if let Some(connection) = connection.upgrade() {
                connection.stream.shutdown();
            }
        }
        Timer::Overdue(member, _) | Timer::Flush(member) => {
            if let Some(member) = member.upgrade() {
                member.connection.stream.shutdown();
            }
        }
        Timer::Retry(outbox) => {
            if let Some(outbox) = outbox.upgrade() {
                outbox.close();
            }
        }
        Timer::RankNews => {}
        Timer::MakeRoom => hub
            .timers
            .schedule(hub.timers.now() + RETRY_MS, Timer::MakeRoom),
        Timer::Drain => hub
            .timers
            .schedule(hub.timers.now() + RETRY_MS, Timer::Drain),
    }
}

/// Holds a connection to its deadlines.
fn look(hub: &Hub, connection: &Arc<Connection>, now: u64, resumed: u64) {
    let heartbeat = hub.config.heartbeat;
    connection.note_progress(now);
    match connection.verdict(now, heartbeat, resumed) {
        Verdict::LookAt(_) => {}
        Verdict::Silent | Verdict::LineTooSlow if connection.stream.has_unread() => {
            // It gave one, or more of its line; it is we who have not got round to it.
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
            connection.stream.shutdown();
            return;
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
    hub.timers.retry_stuck(&connection.outbox);
    let next = match connection.verdict(now, heartbeat, resumed) {
        Verdict::LookAt(at) => at,
        _ => now,
    };
    hub.timers
        .schedule(next, Timer::Deadlines(Arc::downgrade(connection)));
}

/// Takes the outcomes of what should have been answered by now.
fn take_overdue(hub: &Hub, member: &Arc<Member>, at: u64, now: u64, stood_still: StoodStill) {
    let _about = log_limit::about(&member.name);
    // Answers that came while the server stood still get time to be read.
    let judged = match now < stood_still.until.saturating_add(RESUME_MS) {
        true => stood_still.from,
        false => now,
    };
    let ended = member.take_overdue(at, judged, now, &hub.timers);
    let mut flushes = FlushSet::new(&hub.timers);
    flushes.add(member);
    hub.conclude_all(ended, &mut flushes);
}

/// Tells those whose rank changed the rank that they have now.
fn tell_ranks(hub: &Hub) {
    let started = hub.timers.now();
    hub.news_are_told();
    let mut behind = None;
    for (member, standing) in hub.roster.untold() {
        if member.connection.outbox.is_behind() {
            // It is told once it has caught up, and only its last rank.
            behind.get_or_insert(standing.rank);
            continue;
        }
        // Those who come after it are told, whatever happens to this one.
        if catch_unwind(AssertUnwindSafe(|| tell_rank(&member, standing))).is_err() {
            log::error!("to tell a rank panicked");
            member.connection.stream.shutdown();
        }
    }
    let now = hub.timers.now();
    let mut pause = ((now - started) * NEWS_SHARE).min(NEWS_LONGEST_PAUSE_MS);
    if let Some(rank) = behind {
        hub.roster.set_untold(rank);
        pause = pause.max(NEWS_RETRY_MS);
    }
    hub.news_after.store(now + pause, Ordering::Relaxed);
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
