//! The handle by which the rest of the server looks at the list and changes it.

use super::list::Ranking;
use super::newcomer::{Admitted, Newcomer, NotAdmitted};
use super::place::{Place, Standing, above, position};
use super::rank_key::RankKey;
use super::view::View;
use crate::member::Member;
use crate::transcript::Transcript;
use common::sys::sync::atomic::Ordering::Relaxed;
use common::sys::sync::{Arc, RwLock, read, write};
use common::wire::name::GIVEN;

/// A handle to the ranked list.
#[derive(Clone)]
pub(crate) struct Roster {
    pub(super) ranking: Arc<RwLock<Ranking>>,
}

impl Roster {
    /// An empty list of at most `max` clients.
    pub(crate) fn new(max: u32, transcript: Transcript) -> Roster {
        Roster {
            ranking: Arc::new(RwLock::new(Ranking::new(max, transcript))),
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

    /// The member with that key, if it is in the list.
    pub(crate) fn member(&self, key: RankKey) -> Option<Arc<Member>> {
        self.look(|view| Some(Arc::clone(&view.by_key(key)?.member)))
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
