//! What a server counts and keeps for people that look at it: totals, the newest commands, members
//! that left, and a figure for each of the last seconds.
//!
//! It counts while there is something to show it to: at a server with `--http` always, at every other
//! while a client watches ([`reader`]). Otherwise a command pays a look at a flag, and only what is rare
//! is kept: members that join and leave. What is on the path of a command is a handful of relaxed additions to a part that few threads share
//! ([`counters`]). What costs more, names and words, is kept of a bounded number of commands a
//! second ([`feed`]). Nothing here is an account: the audit log is.

pub(crate) mod board;
pub(crate) mod counters;
pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod reader;
pub(crate) mod recent;

use crate::authority::wall_clock;
use crate::dispatch::command::{Command, OutcomeDetails, Target};
use crate::member::Member;
use crate::ranking::Roster;
use board::Board;
use common::sys::sync::atomic::{AtomicBool, Ordering};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::Status;
use common::wire::message::RpcError;
use common::wire::name::is_given;
use common::wire::text::clip;
use common::wire::watch::Departed;
use counters::{Counters, Pending};
use feed::Feed;
use history::{History, Load};
use recent::Recent;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Members that left which are remembered, so that a page shows which machines are missing: a
/// screen of them, several times over.
const MOST_DEPARTED: usize = 256;

/// Commands that are kept of each second, besides those of the ticks of a reader.
const SHOWN_A_SECOND: u32 = 100;

/// What a server counts and keeps for people that look at it.
#[derive(Default)]
pub(crate) struct Telemetry {
    /// Whether commands are counted and kept now.
    counts: AtomicBool,
    /// Whether they are in any case.
    pub(crate) always: bool,
    /// By the clock on the wall, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    /// The members, as readers are told of them: a role.
    pub(crate) board: Mutex<Board>,
    pub(crate) counters: Counters,
    pub(crate) feed: Feed,
    pub(crate) history: History,
    /// By what was refused, and why.
    refusals: Mutex<BTreeMap<Refused, u64>>,
    /// The members that left last.
    pub(crate) departed: Recent<Departed, MOST_DEPARTED>,
}

/// What was refused (`join` or `send`), and the reason's name on the wire.
pub(crate) type Refused = (&'static str, &'static str);

impl Telemetry {
    /// That of a server that starts: it counts always, or while there is a reader.
    pub(crate) fn new(always: bool) -> Arc<Telemetry> {
        let telemetry = Telemetry {
            counts: AtomicBool::new(always),
            always,
            started_ms: wall_ms(),
            ..Telemetry::default()
        };
        // Before the first second ends there are commands, too.
        telemetry.feed.refill(SHOWN_A_SECOND);
        Arc::new(telemetry)
    }

    /// This, if commands are counted now.
    pub(crate) fn counting(self: &Arc<Self>) -> Option<&Arc<Self>> {
        self.counts.load(Ordering::Relaxed).then_some(self)
    }

    /// There is a reader now. What was kept before is not told: nothing noted how it went on.
    fn begin(&self) {
        if !self.always {
            self.feed.clear();
            self.history.begin();
            self.counts.store(true, Ordering::Release);
        }
    }

    /// There is none any more.
    fn end(&self) {
        if !self.always {
            self.counts.store(false, Ordering::Release);
        }
    }

    /// Ends a second: takes a sample, and has commands of the next one kept.
    pub(crate) fn end_second(&self, roster: &Roster) {
        let at_ms = wall_ms();
        self.feed.refill(SHOWN_A_SECOND);
        let load = Load::of(roster);
        self.history.note(&self.counters.totals(), load, at_ms);
    }

    /// A command was taken.
    #[inline(never)]
    pub(crate) fn taken(
        self: &Arc<Self>,
        command: &Command,
        sender_rank: u32,
        pending: &mut Pending,
    ) {
        pending.taken(self, command.sender.id);
        if let Some(shown) = &command.shown {
            shown.set_sender_rank(sender_rank);
            self.feed.add(shown);
        }
    }

    /// A target has its outcome.
    #[inline(never)]
    pub(crate) fn outcome(
        self: &Arc<Self>,
        command: &Command,
        target: &Target,
        status: Status,
        details: &OutcomeDetails<'_>,
        pending: &mut Pending,
    ) {
        let output = details.output.unwrap_or(0);
        pending.outcome(self, target.member.id, status, details.elapsed_ms, output);
        if let Some(shown) = &command.shown {
            shown.outcome(target, status, details);
            self.feed.changed();
        }
    }

    /// A client that was named and is not here has its outcome, or the only target takes nothing.
    #[inline(never)]
    pub(crate) fn missed(&self, command: &Command, status: Status) {
        self.counters.outcome(command.sender.id, status, None);
        if let Some(shown) = &command.shown {
            shown.count(status);
            self.feed.changed();
        }
    }

    /// A member has left.
    #[inline(never)]
    pub(crate) fn left(&self, member: &Member, why: &str) {
        let was_slow = member.connection.outbox.was_too_slow();
        // Each `run` and `members` is a client that leaves: these would push out what is missed.
        if member.slots > 0 && !is_given(&member.name) {
            self.departed.push(Departed {
                member: member.id,
                name: member.name.clone(),
                tier: member.tier,
                slots: member.slots,
                why: clip(why).into(),
                at_ms: wall_ms(),
            });
        }
        // Last: what follows the count sees the rest.
        self.counters.left(was_slow);
    }

    /// A client may not join, or its send was not taken.
    #[inline(never)]
    pub(crate) fn refused(&self, what: &'static str, error: &RpcError) {
        *lock(&self.refusals)
            .entry((what, error.reason()))
            .or_default() += 1;
    }

    /// The refusals so far.
    pub(crate) fn refusals(&self) -> BTreeMap<Refused, u64> {
        lock(&self.refusals).clone()
    }
}

/// The time on the wall now, in milliseconds since 1970: for people, and for nothing that waits.
pub(crate) fn wall_ms() -> u64 {
    let since = wall_clock().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, crate::millis)
}
