//! The ranked list: the members by tier, and within a tier first come, first ranked.
//!
//! Members stand in the order of their tiers and their numbers, neither of which changes while
//! a member is here ([`RankKey`]). So a rank is a position, and 0..n-1 without gaps in every
//! look-up, and two members never change places. A newcomer is the last of its tier, which need
//! not be the end of the list. The list hides behind a handle that returns owned values: its lock
//! is held for a look-up or a change of the list, and never while something is written, sent or
//! waited for.

mod members_page;
mod newcomer;
#[cfg(test)]
mod tests;
mod view;

use crate::member::Member;
use crate::transcript::{Standings, Transcript, WHOLE_RANKING};
use common::sys::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use common::sys::sync::{Arc, RwLock, read, write};
use common::wire::name::GIVEN;
use foldhash::fast::RandomState;
use std::collections::HashMap;

pub(crate) use newcomer::{Admitted, Newcomer, NotAdmitted};
pub(crate) use view::{View, least_loaded};

/// A handle to the ranked list.
#[derive(Clone)]
pub(crate) struct Roster {
    ranking: Arc<RwLock<Ranking>>,
}

/// One place in the list. The key stands here too, so that a search by it need not look at
/// every member on its way.
#[derive(Clone)]
pub(crate) struct Place {
    key: RankKey,
    pub(crate) member: Arc<Member>,
}

/// The order of ranks: by tier, then by number, the smaller one first. All look-ups of a member
/// in the list go by it. In one number, as a search compares nothing faster: 4 bits of tier, the
/// member's number, and in the last bit, which decides nothing as no two have the same number,
/// whether the member is told its rank. So news cost no look at members that want none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RankKey(u64);

impl RankKey {
    /// Bits of a member's number and the one behind it: no server takes that many joins.
    const BELOW_TIER: u32 = 60;

    pub(crate) fn of(member: &Member) -> RankKey {
        let tier = u64::from(member.tier.number());
        RankKey(tier << Self::BELOW_TIER | member.id << 1 | u64::from(member.rank_news))
    }

    fn wants_news(self) -> bool {
        self.0 & 1 == 1
    }
}

struct Ranking {
    ranked: Vec<Place>,
    /// The members that execute.
    executors: Vec<Place>,
    /// By the names in lower case: two names that differ in nothing else are too much alike.
    names: HashMap<Box<str>, Arc<Member>, RandomState>,
    /// By what they have proven, in the order of joining.
    identities: HashMap<Box<str>, Vec<Arc<Member>>, RandomState>,
    max: u32,
    next_id: u64,
    draining: bool,
    /// How many members are told when their rank changes.
    listening: usize,
    /// The highest rank from which on a rank changed and its member was not told.
    changed_from: AtomicUsize,
    transcript: Transcript,
}

/// A rank, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) rank: u32,
    pub(crate) members: u32,
}

impl Roster {
    /// An empty list of at most `max` clients.
    pub(crate) fn new(max: u32, transcript: Transcript) -> Roster {
        let ranking = Ranking {
            ranked: Vec::new(),
            executors: Vec::new(),
            names: HashMap::default(),
            identities: HashMap::default(),
            max,
            next_id: 1,
            draining: false,
            listening: 0,
            changed_from: AtomicUsize::new(usize::MAX),
            transcript,
        };
        Roster {
            ranking: Arc::new(RwLock::new(ranking)),
        }
    }

    /// Ranks a newcomer as the last of its tier. `make` makes the member of its number and name;
    /// `welcome` tells it while no look-up finds it yet, so that nothing overtakes the answer to
    /// `join`. Neither may block. If either panics, the list is as before, except for the number, and
    /// for the members whose place it was to take.
    pub(crate) fn join<'n>(
        &self,
        newcomer: impl Into<Newcomer<'n>>,
        make: impl FnOnce(u64, Box<str>) -> Arc<Member>,
        welcome: impl FnOnce(&Arc<Member>, Standing),
    ) -> Result<Admitted, NotAdmitted> {
        let mut ranking = write(&self.ranking);
        let newcomer = newcomer.into();
        let replaced = ranking.check(&newcomer)?;
        for member in &replaced {
            // First, so that its session can tell why it is not ranked.
            member.sends.end();
            ranking.take_out(member);
        }
        let id = ranking.next_id;
        let name: Box<str> = match newcomer.name {
            Some(name) => name.into(),
            None => [GIVEN, itoa::Buffer::new().format(id)].concat().into(),
        };
        ranking.next_id += 1;
        let member = make(id, name);
        let rank = above(&ranking.ranked, &member);
        let standing = Standing {
            rank: rank as u32,
            members: ranking.ranked.len() as u32 + 1,
        };
        member.told_rank.store(standing.rank, Relaxed);
        welcome(&member, standing);
        ranking.put_in(rank, &member);
        fault_point!(Joining, member);
        if ranking.transcript.is_on() {
            let client = member.connection.peer();
            ranking
                .transcript
                .accepted(client, rank, &ranking.standings());
        }
        Ok(Admitted { member, replaced })
    }

    /// Takes a member out; all below it move up. Says whether there were any.
    pub(crate) fn leave(&self, member: &Member) -> bool {
        let mut ranking = write(&self.ranking);
        let Some(moves_others) = ranking.take_out(member) else {
            return false;
        };
        fault_point!(Leaving, member);
        moves_others
    }

    /// A member has no connection: no look-up of executors finds it, and it keeps its rank.
    pub(crate) fn set_away(&self, member: &Member) {
        let mut ranking = write(&self.ranking);
        if let Some(at) = position(&ranking.executors, member) {
            ranking.executors.remove(at);
        }
    }

    /// A member has a connection again, and is told its rank if that has changed.
    pub(crate) fn set_back(&self, member: &Arc<Member>) {
        let mut ranking = write(&self.ranking);
        let Some(rank) = position(&ranking.ranked, member) else {
            return;
        };
        let is_executor = member.slots > 0 && position(&ranking.executors, member).is_none();
        if is_executor && !member.connection.is_away() {
            let at = above(&ranking.executors, member);
            ranking.executors.insert(at, Place::of(member));
        }
        ranking.mark_changed(rank);
    }

    /// Puts a member into the list that an earlier start of this server had, unless another one has
    /// its number or its name; says whether it did. Newcomers have greater numbers.
    #[cfg(not(shuttle))]
    pub(crate) fn restore(&self, member: &Arc<Member>) -> bool {
        let mut ranking = write(&self.ranking);
        let view = View(&ranking);
        if view.by_number(member.id).is_some() || view.any_case(&member.name).is_some() {
            return false;
        }
        let rank = above(&ranking.ranked, member);
        ranking.put_in(rank, member);
        ranking.next_id = ranking.next_id.max(member.id + 1);
        true
    }

    /// Newcomers have at least this number.
    #[cfg(not(shuttle))]
    pub(crate) fn begin_numbers(&self, next: u64) {
        let mut ranking = write(&self.ranking);
        ranking.next_id = ranking.next_id.max(next);
    }

    /// The number of the next newcomer.
    #[cfg(not(shuttle))]
    pub(crate) fn next_number(&self) -> u64 {
        read(&self.ranking).next_id
    }

    /// The rank of a member, if it is in the list.
    pub(crate) fn standing(&self, member: &Member) -> Option<Standing> {
        let ranking = read(&self.ranking);
        ranking.standing(member)
    }

    /// Puts a member into the place of another one, which has the same number, name and tier, if
    /// that is in the list; says whether it was. `welcome` tells it before any look-up finds it.
    pub(crate) fn replace(
        &self,
        earlier: &Arc<Member>,
        member: &Arc<Member>,
        welcome: impl FnOnce(Standing),
    ) -> bool {
        let mut ranking = write(&self.ranking);
        let here = position(&ranking.ranked, earlier);
        let here = here.filter(|at| Arc::ptr_eq(&ranking.ranked[*at].member, earlier));
        let (Some(rank), Some(standing)) = (here, ranking.standing(earlier)) else {
            return false;
        };
        member.told_rank.store(standing.rank, Relaxed);
        welcome(standing);
        ranking.take_out_of_tables(rank);
        ranking.put_in(rank, member);
        true
    }

    /// Admits no client any more; gives all members.
    pub(crate) fn drain(&self) -> Vec<Place> {
        let mut ranking = write(&self.ranking);
        ranking.draining = true;
        ranking.ranked.clone()
    }

    /// How many are ranked.
    pub(crate) fn len(&self) -> usize {
        read(&self.ranking).ranked.len()
    }

    /// Looks something up in the list, without a copy of it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(View<'_>) -> T) -> T {
        let ranking = read(&self.ranking);
        look(View(&ranking))
    }

    /// Whether a newcomer of this rank is news for a member that is told its rank.
    pub(crate) fn is_news(&self, newcomer: Standing) -> bool {
        newcomer.rank + 1 < newcomer.members && read(&self.ranking).listening > 0
    }

    /// Has all members below one looked at for [`untold`](Self::untold), if it is still here.
    pub(crate) fn mark_joined(&self, member: &Member) -> bool {
        let ranking = read(&self.ranking);
        let rank = position(&ranking.ranked, member);
        if let Some(rank) = rank {
            ranking.mark_changed(rank + 1);
        }
        rank.is_some()
    }

    /// The members whose rank is not the one they were told last, of those that are told.
    pub(crate) fn untold(&self) -> Vec<(Arc<Member>, Standing)> {
        let ranking = read(&self.ranking);
        let from = ranking.changed_from.swap(usize::MAX, Relaxed);
        let members = ranking.ranked.len() as u32;
        let changed = ranking.ranked.iter().enumerate().skip(from);
        changed
            .map(|(rank, place)| (place, rank as u32))
            .filter(|(place, _)| place.key.wants_news())
            .filter(|(place, rank)| place.member.told_rank.load(Relaxed) != *rank)
            .map(|(place, rank)| (Arc::clone(&place.member), Standing { rank, members }))
            .collect()
    }

    /// Has all members from this rank on looked at again for [`untold`](Self::untold).
    pub(crate) fn set_untold(&self, rank: u32) {
        read(&self.ranking).mark_changed(rank as usize);
    }
}

impl Place {
    fn of(member: &Arc<Member>) -> Place {
        Place {
            key: RankKey::of(member),
            member: Arc::clone(member),
        }
    }
}

impl Ranking {
    fn put_in(&mut self, rank: usize, member: &Arc<Member>) {
        let place = Place::of(member);
        let key = member.name.to_ascii_lowercase().into();
        self.listening += usize::from(place.key.wants_news());
        self.ranked.insert(rank, place.clone());
        if member.slots > 0 && !member.connection.is_away() {
            let at = above(&self.executors, member);
            self.executors.insert(at, place);
        }
        self.names.insert(key, Arc::clone(member));
        if let Some(bearer) = &member.bearer {
            let here = self.identities.entry(bearer.identity().into());
            here.or_default().push(Arc::clone(member));
        }
    }

    fn standing(&self, member: &Member) -> Option<Standing> {
        let rank = position(&self.ranked, member)?;
        Some(Standing {
            rank: rank as u32,
            members: self.ranked.len() as u32,
        })
    }

    /// Takes a member out, if it is in the list; says whether any below it move up.
    fn take_out(&mut self, member: &Member) -> Option<bool> {
        let rank = position(&self.ranked, member)?;
        let is_it = std::ptr::eq(&*self.ranked[rank].member, member);
        if !is_it {
            // Its place is another one's.
            return None;
        }
        self.take_out_of_tables(rank);
        self.mark_changed(rank);
        if self.transcript.is_on() {
            let client = member.connection.peer();
            self.transcript.disconnected(client, &self.standings());
        }
        Some(rank < self.ranked.len())
    }

    fn take_out_of_tables(&mut self, rank: usize) {
        let place = self.ranked.remove(rank);
        let member = &*place.member;
        self.listening -= usize::from(place.key.wants_news());
        if let Some(at) = position(&self.executors, member) {
            self.executors.remove(at);
        }
        let key = place.member.name.to_ascii_lowercase();
        self.names.remove(key.as_str());
        if let Some(bearer) = &member.bearer {
            let identity = bearer.identity();
            if let Some(here) = self.identities.get_mut(identity) {
                here.retain(|other| other.id != member.id);
                if here.is_empty() {
                    self.identities.remove(identity);
                }
            }
        }
    }

    /// Ranks changed from this one on. If no member is told its rank, nothing is looked at later.
    fn mark_changed(&self, from: usize) {
        if self.listening > 0 {
            self.changed_from.fetch_min(from, Relaxed);
        }
    }

    fn standings(&self) -> Standings {
        if self.ranked.len() > WHOLE_RANKING {
            return Standings::Count(self.ranked.len());
        }
        let clients = self
            .ranked
            .iter()
            .map(|place| place.member.connection.peer());
        Standings::Whole(clients.collect())
    }
}

/// How many of these rank above a member.
fn above(places: &[Place], member: &Member) -> usize {
    let key = RankKey::of(member);
    places.partition_point(|place| place.key < key)
}

fn position(places: &[Place], member: &Member) -> Option<usize> {
    let key = RankKey::of(member);
    places.binary_search_by_key(&key, |place| place.key).ok()
}
