//! The connections of browsers and of monitoring: how many there may be, and how long one may keep
//! its place without doing anything.

use common::net::stream::Stream;
use common::sys::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait_timeout_while};
use std::collections::HashMap;
use std::time::Duration;

/// Connections at a time, each with a thread: a few browsers, which open six each, and monitoring.
pub(super) const MOST: usize = 64;

/// Of these, streams of events: the other half is left to all other requests.
pub(super) const MOST_EVENTS: usize = MOST / 2;

/// How long a new connection has for its TLS handshake and its first request.
const FIRST_REQUEST_MS: u64 = 10_000;

/// How long a connection may be without a request, or without taking anything of an answer: more than
/// monitoring waits between two requests, and three times as long as a stream of events is silent.
const QUIET_MS: u64 = 30_000;

/// How long a newcomer waits for a place: the thread of a connection that was closed to make room
/// ends at once.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<HashMap<u64, Arc<Visit>>>,
    freed: Condvar,
    next: AtomicU64,
    events: AtomicUsize,
}

/// One connection. Times are those of the timer queue.
pub(super) struct Visit {
    pub(super) stream: Arc<Stream>,
    number: u64,
    has_asked: AtomicBool,
    quiet_since: AtomicU64,
    is_events: AtomicBool,
}

/// The place of a stream of events, until it is dropped.
pub(super) struct EventsPlace {
    connections: Arc<Connections>,
    visit: Arc<Visit>,
}

impl Visit {
    /// It asked for something.
    pub(super) fn ask(&self, now: u64) {
        self.has_asked.store(true, Relaxed);
        self.quiet_since.store(now, Relaxed);
    }

    /// It took something.
    pub(super) fn take(&self, now: u64) {
        self.quiet_since.store(now, Relaxed);
    }

    fn is_overdue(&self, now: u64) -> bool {
        let most = match self.has_asked.load(Relaxed) {
            true => QUIET_MS,
            false => FIRST_REQUEST_MS,
        };
        now.saturating_sub(self.quiet_since.load(Relaxed)) > most
    }
}

impl Connections {
    /// Gives a connection a place; the one that has been quiet for the longest time makes room. `None`:
    /// there is none.
    pub(super) fn admit(&self, stream: Arc<Stream>, now: u64) -> Option<Arc<Visit>> {
        if let Some(victim) = self.victim() {
            victim.stream.shutdown();
        }
        let is_full = |open: &mut HashMap<u64, Arc<Visit>>| open.len() >= MOST;
        let mut open = wait_timeout_while(&self.freed, lock(&self.open), ROOM_PATIENCE, is_full);
        if open.len() >= MOST {
            return None;
        }
        let visit = Arc::new(Visit {
            stream,
            number: self.next.fetch_add(1, Relaxed),
            has_asked: AtomicBool::new(false),
            quiet_since: AtomicU64::new(now),
            is_events: AtomicBool::new(false),
        });
        open.insert(visit.number, Arc::clone(&visit));
        Some(visit)
    }

    fn victim(&self) -> Option<Arc<Visit>> {
        let open = lock(&self.open);
        if open.len() < MOST {
            return None;
        }
        let others = open.values().filter(|visit| !visit.is_events.load(Relaxed));
        others
            .min_by_key(|visit| visit.quiet_since.load(Relaxed))
            .cloned()
    }

    pub(super) fn leave(&self, visit: &Visit) {
        lock(&self.open).remove(&visit.number);
        self.freed.notify_all();
    }

    /// Ends those that have been quiet for too long.
    pub(super) fn sweep(&self, now: u64) {
        for visit in self.all() {
            if visit.is_overdue(now) {
                visit.stream.shutdown();
            }
        }
    }

    /// Ends them all.
    pub(super) fn end(&self) {
        for visit in self.all() {
            visit.stream.shutdown();
        }
    }

    fn all(&self) -> Vec<Arc<Visit>> {
        lock(&self.open).values().cloned().collect()
    }

    /// How many there are, and how many streams of events.
    pub(super) fn count(&self) -> (usize, usize) {
        let open = lock(&self.open).len();
        (open, self.events.load(Relaxed))
    }

    /// A place for a stream of events, if one is free.
    pub(super) fn events(self: &Arc<Self>, visit: &Arc<Visit>) -> Option<EventsPlace> {
        let more = |events| (events < MOST_EVENTS).then_some(events + 1);
        self.events.fetch_update(Relaxed, Relaxed, more).ok()?;
        visit.is_events.store(true, Relaxed);
        Some(EventsPlace {
            connections: Arc::clone(self),
            visit: Arc::clone(visit),
        })
    }
}

impl Drop for EventsPlace {
    fn drop(&mut self) {
        self.visit.is_events.store(false, Relaxed);
        self.connections.events.fetch_sub(1, Relaxed);
    }
}
