//! The members as open pages and clients that watch see them, and what has changed of them. All these
//! readers share one board, which looks at the ranking ten times a second at most, and only if something has
//! happened: with nothing new, ten thousand members cost nothing.
//!
//! A reader remembers up to which version of the board it was told. A row knows at which version it
//! came and changed, so what a reader is told next needs no list of its own; what one event has no
//! room for follows in the next one.

use crate::member::Member;
use crate::ranking::Roster;
use crate::ranking::rank_key::RankKey;
use crate::telemetry::Telemetry;
use common::sys::sync::Arc;
use common::wire::watch::{MemberChanges, WatchedMember};
use std::collections::VecDeque;

/// How often the ranking is looked at: a reader is told of no more changes a second.
pub(crate) const TICK_MS: u64 = 100;

/// How often all loads are looked at again although nothing seems to have happened: a command is
/// counted before its target has it.
const RESCAN_MS: u64 = 1000;

/// Members that left which are remembered: more than a large fleet has. A reader that was told of
/// none since then begins anew.
const MOST_GONE: usize = 16 << 10;

/// Bytes of members in one event, as good as they can be told beforehand: ten thousand members come
/// within a dozen events, and one that waits for a reader is a small part of what the reader may cost.
const EVENT_BYTES: usize = 192 << 10;

/// Bytes of a row as JSON, besides its name and its tags, and of a load.
const ROW_BYTES: usize = 200;
const LOAD_BYTES: usize = 32;

/// The members that readers are told of.
#[derive(Default)]
pub(crate) struct Board {
    /// In rank order.
    rows: Vec<Row>,
    version: u64,
    /// With the version at which they left.
    gone: VecDeque<(u64, u64)>,
    /// Members that left up to this version are forgotten.
    forgotten: u64,
    looked_at: u64,
    scanned_at: u64,
    seen_members: (u64, u64),
    seen_load: u64,
    readers: usize,
}

struct Row {
    key: RankKey,
    member: Arc<Member>,
    running: u32,
    queued: u32,
    /// Since when its connection is broken and its place is held.
    away: Option<u64>,
    came: u64,
    changed: u64,
    /// When it went away, or came back.
    moved: u64,
}

/// Up to where a reader was told.
#[derive(Default)]
pub(crate) struct Cursor {
    since: u64,
    /// Within a sweep: to which version it goes, and behind which row it goes on.
    sweep: Option<(u64, RankKey)>,
    has_begun: bool,
}

impl Board {
    /// Counts a reader; says whether it is the only one.
    pub(crate) fn open(&mut self) -> bool {
        self.readers += 1;
        self.readers == 1
    }

    /// A reader goes; says whether it was the last one, which leaves nothing behind.
    pub(crate) fn close(&mut self) -> bool {
        self.readers -= 1;
        if self.readers == 0 {
            let version = self.version;
            *self = Board {
                version,
                forgotten: version,
                ..Board::default()
            };
        }
        self.readers == 0
    }

    /// Looks at the ranking, if it is time and something has happened. Says whether it was time.
    pub(crate) fn refresh(&mut self, roster: &Roster, telemetry: &Telemetry, now: u64) -> bool {
        if self.looked_at > 0 && now.saturating_sub(self.looked_at) < TICK_MS {
            return false;
        }
        self.looked_at = now;
        // Before the list, so that a change meanwhile is seen the next time.
        let members = telemetry.counters.changes_of_members();
        let load = telemetry.counters.changes_of_load();
        if self.seen_members != members || self.rows.is_empty() {
            self.seen_members = members;
            let ranked = roster.look(|view| view.ranked().to_vec());
            let ranked = ranked.iter().map(|place| &place.member);
            self.merge(ranked);
        } else if self.seen_load == load && now.saturating_sub(self.scanned_at) < RESCAN_MS {
            return true;
        }
        self.seen_load = load;
        self.scanned_at = now;
        self.scan();
        true
    }

    /// Takes the list as it is now: the rows that stay, those that are new, those that left.
    fn merge<'a>(&mut self, ranked: impl Iterator<Item = &'a Arc<Member>>) {
        let version = self.version + 1;
        let mut old = std::mem::take(&mut self.rows).into_iter().peekable();
        let mut has_changed = false;
        for member in ranked {
            let key = member.rank_key();
            while let Some(row) = old.next_if(|row| row.key < key) {
                self.gone.push_back((version, row.member.id));
                has_changed = true;
            }
            let mut row = old.next_if(|row| row.key == key);
            has_changed |= row.is_none();
            // The same place after its connection broke.
            if let Some(row) = &mut row {
                row.member = Arc::clone(member);
            }
            self.rows.push(row.unwrap_or_else(|| Row {
                key,
                member: Arc::clone(member),
                running: 0,
                queued: 0,
                away: None,
                came: version,
                changed: version,
                moved: version,
            }));
        }
        for row in old {
            self.gone.push_back((version, row.member.id));
            has_changed = true;
        }
        if has_changed {
            self.version = version;
        }
        while self.gone.len() > MOST_GONE {
            self.forgotten = self.gone.pop_front().map_or(0, |(version, _)| version);
        }
    }

    fn scan(&mut self) {
        let version = self.version + 1;
        let mut has_changed = false;
        for row in &mut self.rows {
            let (running, queued) = (row.member.queue.running(), row.member.queue.queued());
            if (row.running, row.queued) != (running, queued) {
                (row.running, row.queued, row.changed) = (running, queued, version);
                has_changed = true;
            }
            let away = row.member.connection.away_since();
            if row.away != away {
                (row.away, row.moved) = (away, version);
                has_changed = true;
            }
        }
        if has_changed {
            self.version = version;
        }
    }

    /// What a reader is told next, at this time; `None`: nothing.
    pub(crate) fn changes(&self, cursor: &mut Cursor, now: u64) -> Option<MemberChanges> {
        let mut changes = MemberChanges::default();
        let is_between = cursor.sweep.is_none();
        if !cursor.has_begun || (is_between && cursor.since < self.forgotten) {
            *cursor = Cursor {
                has_begun: true,
                ..Cursor::default()
            };
            changes.reset = true;
        }
        let (upto, from) = match cursor.sweep {
            Some((upto, key)) => (upto, self.rows.partition_point(|row| row.key <= key)),
            None if changes.reset || self.version > cursor.since => {
                changes.left = self.gone_since(cursor.since);
                (self.version, 0)
            }
            None => return None,
        };
        let mut room = EVENT_BYTES.saturating_sub(changes.left.len() * LOAD_BYTES);
        for row in &self.rows[from..] {
            let cost = row.tell(cursor.since, now, &mut changes);
            room = room.saturating_sub(cost);
            if room == 0 {
                cursor.sweep = Some((upto, row.key));
                changes.more = true;
                return Some(changes);
            }
        }
        (cursor.sweep, cursor.since) = (None, upto);
        Some(changes)
    }

    /// The members that left after a version; a reader that begins knows none.
    fn gone_since(&self, since: u64) -> Vec<u64> {
        if since == 0 {
            return Vec::new();
        }
        let first = self.gone.partition_point(|(version, _)| *version <= since);
        self.gone
            .range(first..)
            .map(|(_, member)| *member)
            .collect()
    }
}

impl Row {
    /// Adds what is new of it since a version; about how many bytes that takes.
    fn tell(&self, since: u64, now: u64, changes: &mut MemberChanges) -> usize {
        if self.came > since {
            let shown = self.shown(now);
            let cost = ROW_BYTES + shown.name.len() + shown.tags.to_string().len();
            changes.joined.push(shown);
            return cost;
        }
        let mut cost = 0;
        let id = self.member.id;
        if self.changed > since {
            changes.load.push((id, self.running, self.queued));
            cost += LOAD_BYTES;
        }
        if self.moved > since {
            changes.away.push((id, self.away_ms(now)));
            cost += LOAD_BYTES;
        }
        cost
    }

    fn away_ms(&self, now: u64) -> Option<u64> {
        self.away.map(|since| now.saturating_sub(since))
    }

    fn shown(&self, now: u64) -> WatchedMember {
        let member = &self.member;
        let bearer = member.bearer.as_ref();
        WatchedMember {
            member: member.id,
            name: member.name.to_string(),
            tier: member.tier,
            slots: member.slots,
            running: self.running,
            queued: self.queued,
            tags: member.tags.clone(),
            address: member.connection.peer().to_string(),
            identity: bearer.map(|bearer| bearer.identity().to_owned()),
            role: bearer.map(|bearer| bearer.role().to_string()),
            joined: member.joined,
            away_ms: self.away_ms(now),
        }
    }
}
