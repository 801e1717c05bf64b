//! The stream of events: what has changed since the last one, ten times a second at most. What
//! changed several times meanwhile is told once, as it is now. Only when hyper has room for it is an
//! event made; so a reader that does not read has one event that waits, and the system's buffers.

use super::api;
use super::board::{Changes, Cursor, TICK_MS};
use super::connections::EventsPlace;
use super::drive::Wants;
use super::running::Shared;
use crate::telemetry::feed::{Shown, Summary};
use crate::telemetry::history::Sample;
use crate::telemetry::{Departed, wall_ms};
use common::sys::sync::{Arc, role};
use hyper::body::Bytes;
use serde::Serialize;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The pause between two events.
const TICK: Duration = Duration::from_millis(TICK_MS);

/// After how long a silence a stream says that it lives: proxies and sweeps end silent ones.
const SILENCE: Duration = Duration::from_secs(10);

/// Commands of one event, twice as many as begin to be kept in a tick; more follow in the next one.
const MOST_COMMANDS: usize = 64;

/// Commands that are kept each tick while a page is open: more than a page of them.
const SHOWN_A_TICK: u32 = 32;

/// One event.
#[derive(Serialize)]
struct Update<'a> {
    server: api::ServerFacts,
    /// The time of the server's own clock, by which members joined, and that of the clock on the
    /// wall.
    now: u64,
    now_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Changes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    departed: Vec<Departed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<Summary<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<Sample>,
}

/// What one stream was told.
struct Events {
    shared: Arc<Shared>,
    wants: Rc<Wants>,
    _place: EventsPlace,
    next: Instant,
    said: Instant,
    cursor: Cursor,
    sample: u64,
    feed_seen: u64,
    /// With how many outcomes, by the command's number.
    commands: HashMap<u64, u32>,
    /// How many had left.
    departed: u64,
}

/// A stream of events for a connection, which ends when it is dropped.
pub(super) fn stream(
    shared: Arc<Shared>,
    place: EventsPlace,
    wants: Rc<Wants>,
) -> Box<dyn FnMut() -> Option<Bytes>> {
    role(&shared.board).open_stream();
    let now = Instant::now();
    let mut events = Events {
        shared,
        wants,
        _place: place,
        next: now,
        said: now,
        cursor: Cursor::default(),
        sample: 0,
        feed_seen: u64::MAX,
        commands: HashMap::new(),
        departed: 0,
    };
    Box::new(move || events.next())
}

impl Events {
    /// The next event, if it is time and there is one.
    fn next(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if now < self.next {
            self.wants.at(self.next);
            return None;
        }
        self.next = now + TICK;
        let event = self.event(now);
        match event {
            Some(_) => self.said = now,
            None => self.wants.at(self.next),
        }
        event
    }

    fn event(&mut self, now: Instant) -> Option<Bytes> {
        let shared = Arc::clone(&self.shared);
        let (hub, telemetry) = (&shared.hub, &shared.telemetry);
        let time = hub.timers.now();
        // A role: it takes the ranking's lock, and no thread of a client ever waits for it.
        let mut board = role(&shared.board);
        let is_tick = board.refresh(hub, telemetry, time);
        let members = board.changes(&mut self.cursor, time);
        drop(board);
        if is_tick {
            telemetry.feed.refill(SHOWN_A_TICK);
        }
        let (sample, samples) = telemetry.history.samples.after(self.sample);
        self.sample = sample;
        let (left, departed) = telemetry.departed.after(self.departed);
        self.departed = left;
        let commands = self.new_commands(!samples.is_empty());
        let is_empty =
            members.is_none() && samples.is_empty() && commands.is_empty() && departed.is_empty();
        if is_empty {
            let is_silent = now.duration_since(self.said) >= SILENCE;
            return is_silent.then(|| Bytes::from_static(b":\n\n"));
        }
        let update = Update {
            server: api::facts(&shared),
            now: time,
            now_ms: wall_ms(),
            members,
            departed,
            commands: commands.iter().map(|shown| shown.summary()).collect(),
            samples,
        };
        let mut event = b"event: update\ndata: ".to_vec();
        // Nothing of it can fail: all keys are texts.
        serde_json::to_writer(&mut event, &update).ok()?;
        event.extend_from_slice(b"\n\n");
        Some(event.into())
    }

    /// The commands that are new, or have more outcomes than this stream was told; the oldest first.
    fn new_commands(&mut self, in_any_case: bool) -> Vec<Arc<Shown>> {
        let feed = &self.shared.telemetry.feed;
        let changes = feed.changes();
        if changes == self.feed_seen && !in_any_case {
            return Vec::new();
        }
        let kept = feed.newest(usize::MAX);
        let known = |id: u64| self.commands.get(&id).copied();
        let mut new: Vec<_> = kept
            .iter()
            .filter(|shown| known(shown.id()) != Some(shown.outcomes()))
            .cloned()
            .collect();
        match new.len() > MOST_COMMANDS {
            true => new.truncate(MOST_COMMANDS),
            false => self.feed_seen = changes,
        }
        if self.commands.len() > 2 * kept.len() {
            let oldest = kept.first().map_or(u64::MAX, |shown| shown.id());
            self.commands.retain(|id, _| *id >= oldest);
        }
        for shown in &new {
            self.commands.insert(shown.id(), shown.outcomes());
        }
        new
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        role(&self.shared.board).close_stream();
    }
}
