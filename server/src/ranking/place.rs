//! A place in the list, and the order of places.

use super::rank_key::RankKey;
use crate::member::Member;
use common::sys::sync::Arc;

/// One place in the list. The key stands here too, so that a search by it need not look at
/// every member on its way.
#[derive(Clone)]
pub(crate) struct Place {
    pub(super) key: RankKey,
    pub(crate) member: Arc<Member>,
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
            key: member.rank_key(),
            member: Arc::clone(member),
        }
    }
}

/// How many of these rank above a member.
pub(super) fn above(places: &[Place], member: &Member) -> usize {
    let key = member.rank_key();
    places.partition_point(|place| place.key < key)
}

pub(super) fn position(places: &[Place], member: &Member) -> Option<usize> {
    let key = member.rank_key();
    places.binary_search_by_key(&key, |place| place.key).ok()
}
