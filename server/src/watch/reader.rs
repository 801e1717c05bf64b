//! What one reader is told: a page's stream of events, or a client that watches. What changed several
//! times since it was told last is told once, as it is now; the reader says when it has room for that.

use super::board::{Board, Cursor};
use crate::clock::wall_ms;
use crate::ranking::Roster;
use crate::telemetry::Telemetry;
use crate::telemetry::feed::Shown;
use common::sys::sync::{Arc, Mutex, role};
use common::wire::watch::{ServerFacts, Watched};
use std::collections::HashMap;

/// Commands of one telling, twice as many as begin to be kept in a tick; more follow in the next one.
const MOST_COMMANDS: usize = 64;

/// Commands that are kept each tick while there is a reader: more than a page of them.
const SHOWN_A_TICK: u32 = 32;

/// What all readers of a server share.
pub(crate) struct Readers {
    telemetry: Arc<Telemetry>,
    /// A role: it takes the ranking's lock, and only threads of readers wait for it.
    board: Mutex<Board>,
}

/// Up to where one reader was told.
pub(crate) struct Reader {
    readers: Arc<Readers>,
    cursor: Cursor,
    sample: u64,
    feed_seen: u64,
    /// With how many outcomes, by the command's number.
    commands: HashMap<u64, u32>,
    /// How many had left.
    departed: u64,
}

impl Readers {
    /// Those of a server that starts: there is none.
    pub(crate) fn new(telemetry: &Arc<Telemetry>) -> Readers {
        Readers {
            telemetry: Arc::clone(telemetry),
            board: Mutex::default(),
        }
    }
}

impl Reader {
    /// A reader that was told nothing yet. The server counts while there is one, until it is dropped.
    pub(crate) fn open(readers: &Arc<Readers>) -> Reader {
        let mut board = role(&readers.board);
        if board.open() {
            readers.telemetry.begin();
        }
        drop(board);
        Reader {
            readers: Arc::clone(readers),
            cursor: Cursor::default(),
            sample: 0,
            feed_seen: u64::MAX,
            commands: HashMap::new(),
            departed: 0,
        }
    }

    /// What it is told now, made into something; `None` if nothing has changed. The first time there
    /// is always something. `Hub::tell` gives it what it takes of the server.
    pub(crate) fn tell<T>(
        &mut self,
        roster: &Roster,
        now: u64,
        server: impl FnOnce() -> ServerFacts,
        make: impl FnOnce(&Watched<'_>) -> T,
    ) -> Option<T> {
        let readers = Arc::clone(&self.readers);
        let telemetry = &readers.telemetry;
        let mut board = role(&readers.board);
        let is_tick = board.refresh(roster, telemetry, now);
        let members = board.changes(&mut self.cursor, now);
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
        (!is_empty).then(|| {
            make(&Watched {
                server: server(),
                now,
                now_ms: wall_ms(),
                members,
                departed,
                commands: commands.iter().map(|shown| shown.summary()).collect(),
                samples,
            })
        })
    }

    /// The commands that are new, or have more outcomes than this reader was told; the oldest first.
    fn new_commands(&mut self, in_any_case: bool) -> Vec<Arc<Shown>> {
        let feed = &self.readers.telemetry.feed;
        let changes = feed.changes();
        if changes == self.feed_seen && !in_any_case {
            return Vec::new();
        }
        let kept = feed.newest(usize::MAX);
        let known = |id: u64| self.commands.get(&id).copied();
        let mut new: Vec<_> = kept
            .iter()
            .filter(|shown| known(shown.id) != Some(shown.outcomes()))
            .cloned()
            .collect();
        match new.len() > MOST_COMMANDS {
            true => new.truncate(MOST_COMMANDS),
            false => self.feed_seen = changes,
        }
        if self.commands.len() > 2 * kept.len() {
            let oldest = kept.first().map_or(u64::MAX, |shown| shown.id);
            self.commands.retain(|id, _| *id >= oldest);
        }
        for shown in &new {
            self.commands.insert(shown.id, shown.outcomes());
        }
        new
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut board = role(&self.readers.board);
        if board.close() {
            self.readers.telemetry.end();
        }
    }
}
