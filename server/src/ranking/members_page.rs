//! The answer to `members`: a part of the ranking, as a client is shown it.

use super::place::Place;
use super::roster::Roster;
use crate::member::Member;
use common::sys::sync::read;
use common::wire;
use common::wire::name::Name;

impl Roster {
    /// A part of the ranking, as the answer to `members`.
    pub(crate) fn page(&self, from: usize, limit: usize, now: u64) -> wire::Members {
        let ranking = read(&self.ranking);
        let places = ranking.ranked.iter().skip(from).take(limit).cloned();
        let places: Vec<Place> = places.collect();
        let (total, max) = (ranking.ranked.len() as u32, ranking.max);
        drop(ranking);
        let line = |(at, place): (usize, Place)| shown_member(&place.member, from + at, now);
        let members = places.into_iter().enumerate().map(line).collect();
        wire::Members {
            members,
            total,
            max,
            expected: None,
        }
    }

    /// A part of the members that a client without the right to list is shown: without what tells
    /// where they come from and what they have proven. `from` counts those that are shown.
    pub(crate) fn page_of(
        &self,
        from: usize,
        limit: usize,
        now: u64,
        is_shown: impl Fn(&Member) -> bool,
    ) -> wire::Members {
        let (places, max) = self.look(|view| (view.ranked().to_vec(), view.0.max));
        let shown = places.iter().enumerate();
        let shown: Vec<_> = shown.filter(|(_, place)| is_shown(&place.member)).collect();
        let lines = shown
            .iter()
            .skip(from)
            .take(limit)
            .map(|(rank, place)| without_origin(shown_member(&place.member, *rank, now)));
        wire::Members {
            members: lines.collect(),
            total: shown.len() as u32,
            max,
            expected: None,
        }
    }
}

/// A member of a rank, as the answer to `members` shows it.
fn shown_member(member: &Member, rank: usize, now: u64) -> wire::Member {
    let bearer = member.bearer.as_ref();
    wire::Member {
        member: member.id,
        name: Name::known(member.name.to_string()),
        rank: rank as u32,
        tier: member.tier,
        address: Some(member.connection.peer().to_string()),
        identity: bearer.and_then(|bearer| Some(bearer.wire_identity()?.into_owned())),
        role: bearer.map(|bearer| bearer.role().into_owned()),
        tags: member.tags.clone(),
        slots: member.slots,
        running: member.queue.running(),
        queued: member.queue.queued(),
        joined_ms: now.saturating_sub(member.joined),
        away_ms: member
            .connection
            .away_since()
            .map(|since| now.saturating_sub(since)),
    }
}

/// The same for a client that may not know where it is and what it has proven. Each field is named,
/// so that it has to be decided for a new one.
fn without_origin(shown: wire::Member) -> wire::Member {
    let wire::Member {
        member,
        name,
        rank,
        tier,
        address: _,
        identity: _,
        role: _,
        tags,
        slots,
        running,
        queued,
        joined_ms,
        away_ms,
    } = shown;
    wire::Member {
        member,
        name,
        rank,
        tier,
        address: None,
        identity: None,
        role: None,
        tags,
        slots,
        running,
        queued,
        joined_ms,
        away_ms,
    }
}
