//! What the server does when all that it keeps for its clients is more than `--max-memory`.
//!
//! It keeps memory in three kinds of places. Commands that wait have a share of their own, past which
//! a `send` is `busy`; buffers of clients that say nothing are given back early. So what is past the
//! limit is in outboxes and in lines that have not ended. The timer thread ends the connection that
//! keeps most of either, until the rest is within the limit; meanwhile sessions read nothing, so it
//! does not get worse.

use crate::connection::Connection;
use crate::hub::Hub;
use crate::timers::timer_queue::Timer;
use common::memory::{Charge, Memory};
use common::sys::sync::Arc;
use common::sys::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The part of the limit that is for commands that wait for their targets.
const COMMANDS_PART: usize = 2;

/// With less than this part of the limit in use, sessions keep large buffers: together with the
/// commands that leaves a quarter of it for outboxes and lines.
const BUFFERS_PART: usize = 4;

/// When to check again whether there is room: a session that was told to end does so within a
/// scheduler's turn or two.
const AGAIN_MS: u64 = 10;

/// How long a session waits for room; the timer thread needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that each target of a command costs: its place in the list of targets, and in the table
/// of what it executes or has waiting.
const TARGET: usize = 256;

/// What the server keeps for its clients.
pub(crate) struct MemoryBudget {
    /// All of it.
    pub(crate) all: Arc<Memory>,
    /// Commands that wait.
    pub(crate) commands: Arc<Memory>,
    limit: usize,
    /// The timer thread was asked to make room.
    asked: AtomicBool,
}

impl MemoryBudget {
    pub(crate) fn new(limit: usize) -> MemoryBudget {
        let all = Memory::new(limit);
        let commands = Memory::part_of(&all, limit / COMMANDS_PART);
        MemoryBudget {
            all,
            commands,
            limit,
            asked: AtomicBool::new(false),
        }
    }

    /// Room for a command with so many targets and bytes of words, if there is some: for what it
    /// needs until it ends. Its line is counted in the queue. A single target is not counted: as
    /// many sends as a client may have open are a mebibyte. The input that may be under way is.
    pub(crate) fn room_for(&self, targets: usize, words: usize, input: usize) -> Option<Charge> {
        let bytes = targets.saturating_mul(TARGET).saturating_add(input);
        let has_room = self.commands.has_room(bytes.saturating_add(words));
        has_room.then(|| match (targets, input) {
            (..=1, 0) => Charge::default(),
            _ => Charge::new(&self.commands, bytes),
        })
    }

    /// Whether sessions give large buffers back.
    pub(crate) fn is_scarce(&self) -> bool {
        self.all.kept() > self.limit / BUFFERS_PART
    }
}

/// Waits until what is kept is within the limit, or the connection is to end.
pub(crate) fn wait(hub: &Hub, connection: &Connection) {
    let budget = &hub.budget;
    let deadline = Instant::now() + PATIENCE;
    let is_over = || budget.all.excess() > 0 && connection.outbox.is_open();
    while is_over() && Instant::now() < deadline {
        if !budget.asked.swap(true, Ordering::AcqRel) {
            hub.timers.schedule(hub.timers.now(), Timer::MakeRoom);
        }
        std::thread::sleep(Duration::from_millis(AGAIN_MS));
    }
}

/// Ends the connections that keep most, until the others are within the limit.
pub(crate) fn make_room(hub: &Hub) {
    let mut excess = hub.budget.all.excess();
    if excess > 0 {
        let mut connections = hub.connections();
        connections.retain(|connection| connection.outbox.is_open());
        // What waits for clients that are away goes first.
        connections.sort_by_cached_key(|connection| {
            let keeps = keeps(connection);
            (keeps > 0 && connection.is_away(), keeps)
        });
        while excess > 0
            && let Some(connection) = connections.pop()
        {
            excess = excess.saturating_sub(keeps(&connection));
            end(&connection, hub.timers.now());
        }
        let again = hub.timers.now() + AGAIN_MS;
        return hub.timers.schedule(again, Timer::MakeRoom);
    }
    hub.budget.asked.store(false, Ordering::Release);
}

/// Bytes that the end of a connection frees, at the least.
fn keeps(connection: &Connection) -> usize {
    connection.outbox.kept().max(connection.line_bytes())
}

fn end(connection: &Connection, now: u64) {
    let (waiting, line) = (connection.outbox.kept(), connection.line_bytes());
    log::warn!(
        "{}: it goes, as memory is short: {waiting} bytes wait for it, {line} of its line are here",
        connection.peer()
    );
    if waiting >= line {
        return connection.outbox.give_up_now();
    }
    connection.end_line(now);
}
