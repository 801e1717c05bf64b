//! What a server counts and keeps for people that look at it: totals, the newest commands, members
//! that left, and a figure for each of the last seconds.
//!
//! It counts while there is something to show it to: at a server with `--http` always, at every other
//! while a client watches ([`watch`](crate::watch)). Otherwise a command pays a look at a flag, and only what is rare
//! is kept: members that join and leave. What is on the path of a command is a handful of relaxed additions to a part that few threads share
//! ([`counters`]). What costs more, names and words, is kept of a bounded number of commands a
//! second ([`feed`]). Nothing here is an account: the audit log is.

pub(crate) mod counters;
pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod pending;
pub(crate) mod recent;

use crate::clock::wall_ms;
use common::sys::sync::atomic::{AtomicBool, Ordering};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::Status;
use common::wire::message::RpcError;
use common::wire::watch::Departed;
use counters::Counters;
use feed::{Feed, Shown};
use history::{History, Load};
use recent::Recent;
use std::collections::BTreeMap;

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
    pub(crate) fn begin(&self) {
        if !self.always {
            self.feed.clear();
            self.history.begin();
            self.counts.store(true, Ordering::Release);
        }
    }

    /// There is none any more.
    pub(crate) fn end(&self) {
        if !self.always {
            self.counts.store(false, Ordering::Release);
        }
    }

    /// Ends a second: takes a sample, and has commands of the next one kept.
    pub(crate) fn end_second(&self, load: Load) {
        let at_ms = wall_ms();
        self.feed.refill(SHOWN_A_SECOND);
        self.history.note(&self.counters.totals(), load, at_ms);
    }

    /// A client that was named and is not here has its outcome, or the only target takes nothing.
    #[inline(never)]
    pub(crate) fn missed(&self, sender: u64, shown: Option<&Shown>, status: Status) {
        self.counters.outcome(sender, status, None);
        if let Some(shown) = shown {
            shown.count(status);
            self.feed.changed();
        }
    }

    /// A member has left, which may be one that is remembered.
    pub(crate) fn left(&self, departed: Option<Departed>, was_slow: bool) {
        if let Some(departed) = departed {
            self.departed.push(departed);
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
