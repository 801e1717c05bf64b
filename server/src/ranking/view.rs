//! The list as a look-up sees it: by rank, by name, by number, by load.

use super::list::Ranking;
use super::place::{Place, position};
use super::rank_key::RankKey;
use crate::dispatch::command::Target;
use crate::member::Member;
use crate::telemetry::history;
use std::cmp::Ordering;

/// The list as a look-up sees it.
pub(crate) struct View<'a>(pub(super) &'a Ranking);

impl View<'_> {
    /// All members, in rank order.
    pub(crate) fn ranked(&self) -> &[Place] {
        &self.0.ranked
    }

    /// Whether the server is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining
    }

    /// The rank of a member.
    pub(crate) fn rank_of(&self, member: &Member) -> Option<usize> {
        position(&self.0.ranked, member)
    }

    /// The rank and the place of the member of that name, however that is spelled in upper and
    /// lower case.
    pub(crate) fn any_case(&self, name: &str) -> Option<(usize, &Place)> {
        let member = self.0.names.get(name.to_ascii_lowercase().as_str())?;
        let rank = self.rank_of(member)?;
        Some((rank, &self.0.ranked[rank]))
    }

    /// The place of the member with that key.
    pub(crate) fn by_key(&self, key: RankKey) -> Option<&Place> {
        let ranked = &self.0.ranked;
        let at = ranked.binary_search_by_key(&key, |place| place.key).ok()?;
        Some(&ranked[at])
    }

    /// The rank and the place of the member with that number. In each tier members stand in the
    /// order of their numbers.
    pub(crate) fn by_number(&self, number: u64) -> Option<(usize, &Place)> {
        let ranked = &self.0.ranked;
        let mut first = 0;
        while let Some(place) = ranked.get(first) {
            let tier = place.member.tier;
            let end = first + ranked[first..].partition_point(|place| place.member.tier == tier);
            let found = ranked[first..end].binary_search_by_key(&number, |place| place.member.id);
            if let Ok(at) = found {
                return Some((first + at, &ranked[first + at]));
            }
            first = end;
        }
        None
    }

    /// What all members do now.
    pub(crate) fn load(&self) -> history::Load {
        let mut load = history::Load {
            members: self.ranked().len() as u32,
            ..history::Load::default()
        };
        for place in self.ranked() {
            load.running += u64::from(place.member.queue.running());
            load.queued += u64::from(place.member.queue.queued());
        }
        load
    }

    /// All executors, in rank order.
    #[cfg(all(test, shuttle))]
    pub(crate) fn executors(&self) -> &[Place] {
        &self.0.executors
    }

    /// The executors below a member, in rank order.
    pub(crate) fn executors_below(&self, member: &Member) -> &[Place] {
        let executors = &self.0.executors;
        let key = member.rank_key();
        let first = executors.partition_point(|place| place.key <= key);
        &executors[first..]
    }

    /// Of the executors below a member that are wanted, the one with the smallest share of its slots
    /// in use; of equals, the highest-ranked. A scan of ten thousand costs some ten microseconds, and
    /// needs nothing that every command would have to keep up to date.
    pub(crate) fn least_loaded_below(
        &self,
        member: &Member,
        is_wanted: impl Fn(&Place) -> bool,
    ) -> Option<&Place> {
        let load = |place| (place, Load::of(place));
        let executors = self.executors_below(member).iter();
        let loads = executors.filter(|place| is_wanted(place)).map(load);
        let least = loads.min_by(|(_, a), (_, b)| a.compare(b));
        least.map(|(place, _)| place)
    }
}

/// The same, of targets that are in rank order.
pub(crate) fn least_loaded(targets: &[Target]) -> Option<&Target> {
    let loads = targets
        .iter()
        .map(|target| (target, Load::of_member(&target.member)));
    let least = loads.min_by(|(_, a), (_, b)| a.compare(b));
    least.map(|(target, _)| target)
}

/// The commands of an executor, and its slots.
struct Load {
    commands: u64,
    slots: u64,
}

impl Load {
    fn of(place: &Place) -> Load {
        Load::of_member(&place.member)
    }

    fn of_member(member: &Member) -> Load {
        let queue = &member.queue;
        Load {
            commands: u64::from(queue.running()) + u64::from(queue.queued()),
            slots: member.slots.into(),
        }
    }

    /// Compares shares as fractions, without rounding: a/b < c/d if a*d < c*b.
    fn compare(&self, other: &Load) -> Ordering {
        (self.commands * other.slots).cmp(&(other.commands * self.slots))
    }
}
