//! The members as the open pages see them, and what has changed of them. All streams of events share
//! one board, which looks at the ranking ten times a second at most, and only if something has
//! happened: with nothing new, ten thousand members cost nothing.
//!
//! A stream remembers up to which version of the board it was told. A row knows at which version it
//! came and changed, so what a stream is told next needs no list of its own; what one event has no
//! room for follows in the next one.

use crate::hub::Hub;
use crate::member::Member;
use crate::ranking::RankKey;
use crate::telemetry::Telemetry;
use common::sys::sync::Arc;
use serde::Serialize;
use std::collections::VecDeque;

/// How often the ranking is looked at: the most events a second that a page is sent.
pub(super) const TICK_MS: u64 = 100;

/// How often all loads are looked at again although nothing seems to have happened: a command is
/// counted before its target has it.
const RESCAN_MS: u64 = 1000;

/// Members that left which are remembered: more than a large fleet has. A stream that was told of
/// none since then begins anew.
const MOST_GONE: usize = 16 << 10;

/// Bytes of members in one event, as good as they can be told beforehand: ten thousand members come
/// within a dozen events, and one that waits for a reader is a small part of what the reader may cost.
const EVENT_BYTES: usize = 192 << 10;

/// Bytes of a row as JSON, besides its name and its tags, and of a load.
const ROW_BYTES: usize = 200;
const LOAD_BYTES: usize = 32;

/// The members that open pages show.
#[derive(Default)]
pub(super) struct Board {
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
    streams: usize,
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

/// Up to where a stream was told.
#[derive(Default)]
pub(super) struct Cursor {
    since: u64,
    /// Within a sweep: to which version it goes, and behind which row it goes on.
    sweep: Option<(u64, RankKey)>,
    has_begun: bool,
}

/// What has changed.
#[derive(Default, Serialize)]
pub(super) struct Changes {
    /// What was said before counts for nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) reset: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) joined: Vec<Shown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<u64>,
    /// Member, running, queued.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) load: Vec<(u64, u32, u32)>,
    /// Member, and for how many milliseconds it has been away; `None`: it is back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) away: Vec<(u64, Option<u64>)>,
    /// More of it follows in the next event.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) more: bool,
}

/// A member as a page shows it. Its rank is its place among all members, by tier, then by number.
#[derive(Serialize)]
pub(super) struct Shown {
    member: u64,
    name: String,
    tier: u8,
    slots: u32,
    running: u32,
    queued: u32,
    #[serde(skip_serializing_if = "common::wire::tags::Tags::is_empty")]
    tags: common::wire::tags::Tags,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// When it joined, in the time of the timer queue.
    joined: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    away_ms: Option<u64>,
}

impl Board {
    pub(super) fn open_stream(&mut self) {
        self.streams += 1;
    }

    /// The last one to close leaves nothing behind.
    pub(super) fn close_stream(&mut self) {
        self.streams -= 1;
        if self.streams == 0 {
            let version = self.version;
            *self = Board {
                version,
                forgotten: version,
                ..Board::default()
            };
        }
    }

    /// Looks at the ranking, if it is time and something has happened. Says whether it was time.
    pub(super) fn refresh(&mut self, hub: &Hub, telemetry: &Telemetry, now: u64) -> bool {
        if self.looked_at > 0 && now.saturating_sub(self.looked_at) < TICK_MS {
            return false;
        }
        self.looked_at = now;
        // Before the list, so that a change meanwhile is seen the next time.
        let members = telemetry.counters.changes_of_members();
        let load = telemetry.counters.changes_of_load();
        if self.seen_members != members || self.rows.is_empty() {
            self.seen_members = members;
            let ranked = hub.roster.look(|view| view.ranked().to_vec());
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
            let key = RankKey::of(member);
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

    /// What a stream is told next, at this time; `None`: nothing.
    pub(super) fn changes(&self, cursor: &mut Cursor, now: u64) -> Option<Changes> {
        let mut changes = Changes::default();
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

    /// The members that left after a version; a stream that begins knows none.
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
    fn tell(&self, since: u64, now: u64, changes: &mut Changes) -> usize {
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

    fn shown(&self, now: u64) -> Shown {
        let member = &self.member;
        let bearer = member.bearer.as_ref();
        Shown {
            member: member.id,
            name: member.name.to_string(),
            tier: member.tier.number(),
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
