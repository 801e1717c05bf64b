//! The end of a server: it takes nothing new, ends the commands that wait, gives those that run the
//! drain time, says `bye` to every client, and stops. A client that is away has as long to come back.

use crate::connection::hold::{Hold, Stage};
use crate::dispatch::flush_set::FlushSet;
use crate::giving_up;
use crate::hub::Hub;
use crate::member::Member;
use crate::millis;
use crate::timers::timer_queue::Timer;
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use common::wire::ByeReason;

/// How often the drain checks which clients are done. A drain takes seconds, once in a server's life.
const STEP_MS: u64 = 10;

/// How long clients may take after `bye` to close the connection.
const LAST_LINES_MS: u64 = 500;

/// How long sessions may take to conclude what they took out at the end of the drain time.
const CONCLUDE_MS: u64 = 100;

const MESSAGE: &str = "the server is shutting down";

/// How far the drain is.
#[derive(Default)]
pub(crate) enum Drain {
    #[default]
    NotBegun,
    /// Members without a `bye` yet, until the drain time is over.
    Waiting {
        members: Vec<Arc<Member>>,
        until: u64,
    },
    /// Every client was told; connections are cut at this time.
    Leaving { until: u64 },
    /// No connection is accepted any more, and those that are left are cut.
    Cutting,
}

impl Drain {
    /// Does what can be done now, and schedules the next step.
    pub(crate) fn step(&mut self, hub: &Arc<Hub>) {
        let now = hub.timers.now();
        let must_end = hub.abort_requested.load(Ordering::Acquire);
        if must_end && !matches!(self, Drain::Cutting) {
            self.begin_if_not_begun(hub, now);
            if hub.keeps_places() {
                keep_all(hub);
            }
            hub.stop_accepting();
            *self = Drain::Cutting;
        }
        let mut flushes = FlushSet::new(&hub.timers);
        match self {
            Drain::NotBegun => self.begin_if_not_begun(hub, now),
            Drain::Waiting { members, until } => {
                let is_over = now >= *until;
                if is_over {
                    for member in members.iter() {
                        hub.conclude_all(member.queue.give_up(), &mut flushes);
                    }
                    flushes.flush();
                    hub.jobs.tell_news(&hub.timers);
                }
                // What a session is concluding at this moment gets a moment more.
                let must_go = now >= until.saturating_add(CONCLUDE_MS);
                members.retain(|member| {
                    let is_busy = member.sends.len() > 0 || member.queue.running() > 0;
                    let stays = (is_busy && !must_go) || (may_come_back(hub, member) && !is_over);
                    if !stays {
                        end(hub, member, now);
                    }
                    stays
                });
                if members.is_empty() {
                    *self = Drain::Leaving {
                        until: now + LAST_LINES_MS,
                    };
                    for connection in hub.connections() {
                        connection.bye(ByeReason::ShuttingDown, MESSAGE, now);
                    }
                }
            }
            Drain::Leaving { until } => {
                if hub.connections().is_empty() || now >= *until {
                    hub.stop_accepting();
                    *self = Drain::Cutting;
                }
            }
            Drain::Cutting => {
                for connection in hub.connections() {
                    connection.stream.shutdown();
                }
            }
        }
        drop(flushes);
        hub.timers.schedule(now + STEP_MS, Timer::Drain);
    }

    fn begin_if_not_begun(&mut self, hub: &Hub, now: u64) {
        if !matches!(self, Drain::NotBegun) {
            return;
        }
        let members: Vec<Arc<Member>> = hub.roster.drain().into_iter().map(|p| p.member).collect();
        log::info!("shutting down; clients to be told: {}", members.len());
        let mut flushes = FlushSet::new(&hub.timers);
        for member in &members {
            hub.conclude_all(member.queue.drain(), &mut flushes);
        }
        // `now` may be nearly a millisecond ago, and no client gets less than the whole time.
        let until = now
            .saturating_add(millis(hub.config.drain))
            .saturating_add(1);
        *self = Drain::Waiting { members, until };
    }
}

/// Whether a member has no connection at the moment, and has only this start of the server to come
/// back to: what it is to be told would be lost with it.
fn may_come_back(hub: &Hub, member: &Member) -> bool {
    !hub.keeps_places() && member.connection.hold().is_some_and(Hold::is_left)
}

/// Holds the places of all that are here for the next start of the server, which ends at once.
fn keep_all(hub: &Hub) {
    for place in hub.roster.drain() {
        let member = &place.member;
        let stage = member.connection.hold().map(Hold::end);
        hub.keep_place(member, stage);
    }
}

/// Tells a member that the server stops; one that is away has had its time to come back.
pub(crate) fn end(hub: &Hub, member: &Arc<Member>, now: u64) {
    let stage = member.connection.hold().map(Hold::end);
    let is_kept = hub.keep_place(member, stage);
    member.connection.say_it_stops(MESSAGE, is_kept, now);
    if stage == Some(Stage::Away) {
        giving_up::give_up(hub, member, MESSAGE);
    }
}
