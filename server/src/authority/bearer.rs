//! The grant of a member, as the rules in force have it now.

use crate::authority::grant::{Forbidden, Grant};
use common::sys::sync::atomic::{AtomicU64, Ordering};
use common::sys::sync::{Arc, Mutex, leaf};
use common::wire::name::Name;
use common::wire::{Identity, Right};
use std::time::{Duration, SystemTime};

/// What a member has proven, and what that gives it. Its identity and its role stay as they are
/// while it is here; the rest follows the rules.
pub(crate) struct Bearer {
    identity: Box<str>,
    role: Box<str>,
    grant: Mutex<Arc<Grant>>,
    /// When its credential ends, in the time of the timer queue; 0: it does not.
    expires_at: AtomicU64,
}

impl Bearer {
    pub(crate) fn new(grant: Grant) -> Bearer {
        let (identity, role) = (grant.credential.id.as_str(), grant.role().name.as_str());
        Bearer {
            identity: identity.into(),
            role: role.into(),
            grant: Mutex::new(Arc::new(grant)),
            expires_at: AtomicU64::new(0),
        }
    }

    /// The identity that it has proven.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// The name of its role.
    pub(crate) fn role(&self) -> Name<'_> {
        Name::known(&*self.role)
    }

    /// [`identity`](Self::identity) for the wire; a credential has no id that is none.
    pub(crate) fn wire_identity(&self) -> Option<Identity<'_>> {
        Identity::new(&*self.identity).ok()
    }

    pub(crate) fn grant(&self) -> Arc<Grant> {
        Arc::clone(&leaf(&self.grant))
    }

    /// From now on the rules give it this.
    pub(crate) fn set_grant(&self, grant: Grant) {
        let before = std::mem::replace(&mut *leaf(&self.grant), Arc::new(grant));
        drop(before);
    }

    /// Whether it has a right.
    pub(crate) fn may(&self, right: Right) -> Result<(), Forbidden> {
        self.grant().role().may(right)
    }

    /// Notes when its credential ends: the clock on the wall is looked at now, and not again.
    pub(crate) fn set_expiry(&self, now: u64, wall_clock: SystemTime) -> Option<u64> {
        let left = self.grant().credential.expires.map(|expires| {
            let left = expires.duration_since(wall_clock);
            left.unwrap_or(Duration::ZERO)
        });
        let at = left.map(|left| now.saturating_add(crate::millis(left) + 1));
        self.expires_at.store(at.unwrap_or(0), Ordering::Relaxed);
        at
    }

    /// When its credential ends, in the time of the timer queue.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        match self.expires_at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(at),
        }
    }
}
