//! What decides a rank.

use common::wire::tier::Tier;

/// The order of ranks: by tier, then by number, the smaller one first. All look-ups of a member
/// in the list go by it. In one number, as a search compares nothing faster: 4 bits of tier, the
/// member's number, and in the last bit, which decides nothing as no two have the same number,
/// whether the member is told its rank. So news cost no look at members that want none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RankKey(u64);

impl RankKey {
    /// Bits of a member's number and the one behind it: no server takes that many joins.
    const BELOW_TIER: u32 = 60;

    /// The key of a member of this tier and with this number.
    pub(crate) fn new(tier: Tier, member: u64, rank_news: bool) -> RankKey {
        let tier = u64::from(tier.number());
        RankKey(tier << Self::BELOW_TIER | member << 1 | u64::from(rank_news))
    }

    pub(super) fn wants_news(self) -> bool {
        self.0 & 1 == 1
    }
}
