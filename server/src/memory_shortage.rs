//! Ends the connections that keep most when all that the server keeps for its clients is more than
//! `--max-memory`.
//!
//! What is past the limit is in outboxes and in lines that have not ended: the rest is bounded
//! ([`MemoryBudget`](crate::memory_budget::MemoryBudget)). The timer thread ends the connection that
//! keeps most of either, until the rest is within the limit; meanwhile sessions read nothing, so it
//! does not get worse.

use crate::connection::Connection;
use crate::hub::Hub;
use crate::timers::timer_queue::Timer;
use common::sys::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// When to check again whether there is room: a session that was told to end does so within a
/// scheduler's turn or two.
const AGAIN_MS: u64 = 10;

/// How long a session waits for room; the timer thread needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

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
