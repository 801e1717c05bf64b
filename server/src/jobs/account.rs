//! The owner of a job, and what tells its jobs from those of others.

use crate::member::Member;
use common::memory::Memory;
use common::sys::sync::Arc;

/// Whose a job is: a client that comes back later is known by this alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// All clients of a tier, at a server that knows no identities.
    Tier(u8),
    /// An identity.
    Identity(Box<str>),
}

impl Owner {
    pub(crate) fn of(member: &Member) -> Owner {
        match &member.bearer {
            Some(bearer) => Owner::Identity(bearer.identity().into()),
            None => Owner::Tier(member.tier.number()),
        }
    }

    /// Whether a client is shown its jobs: its own, and without identities those of lower tiers, too.
    pub(super) fn is_shown_to(&self, member: &Member) -> bool {
        match (self, &member.bearer) {
            (Owner::Tier(tier), None) => *tier >= member.tier.number(),
            (Owner::Identity(identity), Some(bearer)) => **identity == *bearer.identity(),
            _ => false,
        }
    }

    /// Whether a client that knows the id of one of its jobs may ask for it.
    pub(crate) fn may_be_asked_by(&self, member: &Member) -> bool {
        match self {
            Owner::Tier(_) => true,
            Owner::Identity(_) => self.is_shown_to(member),
        }
    }
}

/// What tells an owner's jobs from those of others, and what they keep.
#[derive(Debug)]
pub(super) struct Account {
    /// Never used again while the server runs.
    pub(super) number: u64,
    pub(super) memory: Arc<Memory>,
}
