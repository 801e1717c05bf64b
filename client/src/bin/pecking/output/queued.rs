//! Says in which queue a sent command waits while it neither writes nor ends.
//!
//! Unless it is asked to, the server tells nothing about a command until that writes or ends, but it tells how many
//! commands run and wait at each client, in the order of their arrival. So right after the `send`
//! all others are in front of this one, and it does not wait at a client with an empty queue. After
//! a while comes a second look: if the queue is empty by then, the command has started. The smaller
//! number of the two looks counts, as later commands are behind this one.

use crate::output::tracker::Tracker;
use client::{Client, Member};
use common::limits::MAX_MEMBERS_PAGE;
use common::terminal::escape::one_line;
use common::wire::selector::{Selector, Subject};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// When to look again, and to say what was found: a person begins to wonder.
const AFTER_A_WHILE: Duration = Duration::from_secs(1);

const NAMED: usize = 3;

/// Watches one command until its queue was told, or it does not wait.
#[derive(Debug)]
pub(crate) struct Queued {
    selector: Option<Selector<'static>>,
    sent: Instant,
    /// How many were in front of it at each target, at the first look.
    first: Option<HashMap<u64, u32>>,
    /// When to look next, if at all.
    pub(crate) due: Option<Instant>,
}

impl Queued {
    /// For a command that was sent just now. The first look is due at once.
    pub(crate) fn new(to: Option<&str>) -> Queued {
        let sent = Instant::now();
        Queued {
            // The command line has read it already.
            selector: to.and_then(|to| to.parse().ok()),
            sent,
            first: None,
            due: Some(sent),
        }
    }

    /// Looks where the command waits, if it is time; returns what to say. `known`: the targets that
    /// were given it, have written something, or ended it. Without a selector the server's default
    /// counts: the next client, or one for many.
    pub(crate) fn look(
        &mut self,
        client: &Client,
        known: &Tracker,
        is_for_many: bool,
    ) -> Option<String> {
        self.due.take_if(|at| *at <= Instant::now())?;
        let (own, ranking) = from_own_rank(client)?;
        let selector = self.selector.as_ref().unwrap_or(match is_for_many {
            true => &Selector::Below,
            false => &Selector::Next,
        });
        let found = ranking.iter().filter(|m| m.rank > own && m.slots > 0);
        let found = found.filter(|m| finds(selector, m, client.member(), own));
        let mut waits: Vec<&Member> = found.collect();
        match selector {
            Selector::Next | Selector::NextOf(_) => waits.truncate(1),
            // It waits only if no executor has a free slot.
            Selector::LeastLoaded | Selector::LeastLoadedOf(_)
                if waits.iter().any(|m| m.running < m.slots) =>
            {
                waits.clear();
            }
            _ => {}
        }
        waits.retain(|m| m.queued > 0 && !known.has_heard(m.member));
        let ahead = |m: &&Member| m.running.saturating_add(m.queued).saturating_sub(1);
        let Some(first) = self.first.take() else {
            if !waits.is_empty() {
                self.first = Some(waits.iter().map(|m| (m.member, ahead(m))).collect());
                self.due = Some(self.sent + AFTER_A_WHILE);
            }
            return None;
        };
        let waits = waits.iter().filter_map(|m| {
            let ahead = ahead(m).min(*first.get(&m.member)?);
            Some((&*m.name, ahead))
        });
        let waits: Vec<(&str, u32)> = waits.collect();
        match selector {
            _ if waits.is_empty() => None,
            Selector::LeastLoaded | Selector::LeastLoadedOf(_) => Some(at_one_of(&waits)),
            _ => Some(at_each_of(&waits)),
        }
    }
}

/// Whether a selector means this client, for a sender with this number and rank. `next` and its like
/// mean the clients of which they would take one.
pub(crate) fn finds(selector: &Selector<'_>, member: &Member, own: u64, rank: u32) -> bool {
    let subject = Subject::from(member);
    let is_below = member.rank > rank && member.slots > 0;
    match selector {
        Selector::All => member.member != own,
        Selector::Below | Selector::Next | Selector::LeastLoaded => is_below,
        Selector::Single(single) => single.is(&subject),
        Selector::List(list) => list.finds(&subject),
        Selector::NextOf(list) | Selector::LeastLoadedOf(list) => is_below && list.finds(&subject),
    }
}

/// This client's rank, and the clients from there on down: one page, the nearest ones of
/// thousands, unless its rank has changed and it was not told.
fn from_own_rank(client: &Client) -> Option<(u32, Vec<Member>)> {
    let own = |ranking: &[Member]| {
        let own = ranking.iter().find(|m| m.member == client.member());
        own.map(|m| m.rank)
    };
    let page = client
        .members(client.rank(), MAX_MEMBERS_PAGE)
        .ok()?
        .members;
    if let Some(rank) = own(&page) {
        return Some((rank, page));
    }
    let all = client.all_members().ok()?.members;
    own(&all).map(|rank| (rank, all))
}

/// `queued at web1 behind 2, web2 behind 1 and 7 more`.
fn at_each_of(waits: &[(&str, u32)]) -> String {
    let named = waits.iter().take(NAMED);
    let named = named.map(|(name, ahead)| format!("{} behind {ahead}", one_line(name)));
    let named: Vec<String> = named.collect();
    let more = match waits.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("queued at {}{more}", named.join(", "))
}

/// The same for a command that waits at one of them, and it is not known at which.
fn at_one_of(waits: &[(&str, u32)]) -> String {
    match waits {
        [_] => at_each_of(waits),
        _ => {
            let least = waits.iter().map(|(_, ahead)| ahead).min();
            let least = least.copied().unwrap_or_default();
            format!(
                "queued at one of {} clients behind at least {least}",
                waits.len()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_a_command_is_told_on_one_short_line() {
        let waits = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)];
        for (count, shown) in [
            (1, "queued at a behind 1"),
            (3, "queued at a behind 1, b behind 2, c behind 3"),
            (5, "queued at a behind 1, b behind 2, c behind 3 and 2 more"),
        ] {
            assert_eq!(at_each_of(&waits[..count]), shown);
        }
        assert_eq!(at_one_of(&waits[1..2]), "queued at b behind 2");
        assert_eq!(
            at_one_of(&waits[1..]),
            "queued at one of 4 clients behind at least 2"
        );
    }
}
