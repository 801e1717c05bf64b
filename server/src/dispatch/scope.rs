//! The clients that a sender's role lets it command, and those that it may know of. Both are asked where
//! ranks are looked at ([`selection`](super::selection)): whether the sender may know of a client before
//! its rank is, and whether its role covers it after that.

use crate::authority::grant::{AllowLine, Forbidden};
use crate::authority::rules::Role;
use common::sys::sync;
use common::wire::Right;
use common::wire::message::RpcError;

/// Which targets a sender may have execute one command. At a server that knows no identities, all
/// of them.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a>(Option<Covered<'a>>);

#[derive(Clone, Copy)]
struct Covered<'a> {
    role: &'a Role,
    /// The first word of the command; without one it is about any.
    word: Option<&'a str>,
    sees_all: bool,
}

impl<'a> Scope<'a> {
    /// Every client.
    pub(crate) const ALL: Scope<'static> = Scope(None);

    /// What a role covers for a command.
    pub(crate) fn of(role: &'a Role, word: Option<&'a str>) -> Scope<'a> {
        let sees_all = role.may(Right::List).is_ok();
        Scope(Some(Covered {
            role,
            word,
            sees_all,
        }))
    }

    /// Whether any client may be outside of it.
    pub(crate) fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the sender is not to know of clients outside of it.
    pub(crate) fn hides(&self) -> bool {
        self.0.is_some_and(|covered| !covered.sees_all)
    }

    /// Whether a client of this name may execute the command.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.decide(name).is_some()
    }

    /// If a client of this name may execute the command, by what; that is nothing but rank at a
    /// server that knows no identities.
    pub(crate) fn decide(&self, name: &str) -> Option<Option<AllowLine>> {
        match &self.0 {
            None => Some(None),
            Some(Covered { role, word, .. }) => role.allows(name, *word).map(Some),
        }
    }

    /// Whether the sender may know of a client of this name.
    pub(crate) fn shows(&self, name: &str) -> bool {
        !self.hides() || self.covers(name)
    }

    /// Why a target, as the sender named it, may not execute the command.
    pub(crate) fn forbidden(&self, target: &str) -> Forbidden {
        sync::assert_unlocked();
        match &self.0 {
            Some(Covered { role, word, .. }) => role.not_allowed(*word, target),
            None => Forbidden {
                rule: String::new(),
                message: format!("{target} may not execute it"),
            },
        }
    }

    /// The error if that is the only target.
    pub(crate) fn error(&self, target: &str) -> RpcError {
        self.forbidden(target).into()
    }
}
