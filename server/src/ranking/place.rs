//! A place in the list, and the order of places.

use crate::member::Member;
use common::sys::sync::Arc;

/// One place in the list. The key stands here too, so that a search by it need not look at
/// every member on its way.
#[derive(Clone)]
pub(crate) struct Place {
    pub(super) key: RankKey,
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

    pub(super) fn wants_news(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A rank, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) rank: u32,
    pub(crate) members: u32,
}

impl Place {
    pub(super) fn of(member: &Arc<Member>) -> Place {
        Place {
            key: RankKey::of(member),
            member: Arc::clone(member),
        }
    }
}

/// How many of these rank above a member.
pub(super) fn above(places: &[Place], member: &Member) -> usize {
    let key = RankKey::of(member);
    places.partition_point(|place| place.key < key)
}

pub(super) fn position(places: &[Place], member: &Member) -> Option<usize> {
    let key = RankKey::of(member);
    places.binary_search_by_key(&key, |place| place.key).ok()
}
