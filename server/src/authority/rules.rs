//! What an auth file says, checked and immutable: roles, and the credentials that have them.

use crate::authority::certificate::CertPattern;
use crate::authority::error::{AuthError, some_of};
use crate::authority::names::{NamePattern, Reserved};
use crate::authority::token::TokenHash;
use common::sys::sync::Arc;
use common::wire::Right;
use common::wire::text::clip;
use common::wire::tier::Tier;
use common::wire::wildcard::Wildcard;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::SystemTime;

/// Seats that only clients of a tier, or of a higher one, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserve {
    /// The lowest tier that may take them.
    pub(crate) tier: Tier,
    /// How many; those that clients of these tiers have taken count.
    pub(crate) seats: u32,
}

/// What clients may do that have a role.
#[derive(Debug, PartialEq)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// The tier of its clients, unless they ask for a lower one.
    pub(crate) tier: Tier,
    /// Each once, in the order of [`Right`].
    pub(crate) may: Vec<Right>,
    pub(super) allow: Vec<Allow>,
    /// The most commands that one of its clients may have open.
    pub(crate) max_sends: Option<usize>,
}

/// The commands that a role may send to some clients.
#[derive(Debug, PartialEq)]
pub(crate) struct Allow {
    pub(super) to: Wildcard,
    pub(super) commands: Commands,
}

/// Commands, by their first word.
#[derive(Debug, PartialEq)]
pub(crate) enum Commands {
    Any,
    These(Vec<String>),
}

/// What a client proves, and what that gives it.
#[derive(Debug, PartialEq)]
pub(crate) struct Credential {
    /// The identity that is proven.
    pub(crate) id: String,
    pub(super) role: Arc<Role>,
    pub(super) proof: ProofPattern,
    pub(super) names: Vec<NamePattern>,
    /// The networks that it may be used from; none: from anywhere.
    pub(super) from: Vec<IpNet>,
    /// When it ends, by the clock on the wall.
    pub(crate) expires: Option<SystemTime>,
    /// How many clients may have joined with it at a time.
    pub(crate) connections: Option<u32>,
    /// A new client ends the old one that it would take the place of.
    pub(crate) replace: bool,
}

/// What proves a credential.
#[derive(Debug, PartialEq)]
pub(crate) enum ProofPattern {
    Token(TokenHash),
    Certificate(CertPattern),
}

/// All that an auth file says.
#[derive(Debug, Default)]
pub struct Rules {
    pub(super) reserve: Option<Reserve>,
    pub(super) roles: Vec<Arc<Role>>,
    pub(super) credentials: Vec<Arc<Credential>>,
    pub(super) by_token: HashMap<TokenHash, usize>,
    /// Certificates without a star.
    pub(super) by_certificate: HashMap<String, usize>,
    /// Those with one.
    pub(super) by_pattern: Vec<usize>,
    pub(super) reserved: Reserved,
}

/// The ids of credentials that differ between two files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
}

fn by_id(rules: &Rules) -> impl Iterator<Item = (&str, &Credential)> {
    let all = rules.credentials.iter();
    all.map(|credential| (credential.id.as_str(), &**credential))
}

impl Credential {
    /// Whether it may be used from an address.
    pub(super) fn takes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.from.is_empty() || self.from.iter().any(|net| net.contains(&address))
    }
}

impl Commands {
    pub(super) fn have(&self, word: &str) -> bool {
        match self {
            Commands::Any => true,
            Commands::These(words) => words.iter().any(|known| known == word),
        }
    }
}

impl Rules {
    /// What an error says of an id that no credential has.
    pub(super) fn no_credential(&self, id: &str) -> AuthError {
        let known = some_of(self.credentials.iter().map(|c| c.id.clone()));
        let known = known.unwrap_or_else(|| "none".to_owned());
        let id = clip(id);
        AuthError::Change(format!("there is no credential {id:?}; there are {known}"))
    }

    /// Seats that only some tiers may take.
    pub(crate) fn reserve(&self) -> Option<Reserve> {
        self.reserve
    }

    /// What is right and yet may not be meant, as of a time.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let roles = self.roles.iter().filter_map(|role| role.warning());
        let expired = self.credentials.iter().filter_map(|credential| {
            let expires = credential.expires.filter(|expires| *expires <= now)?;
            let expires = humantime::format_rfc3339_seconds(expires);
            Some(format!(
                "credentials.{}: it expired at {expires}",
                credential.id
            ))
        });
        let reserve = self.reserve.and_then(|reserve| {
            let takes = |role: &Arc<Role>| role.tier <= reserve.tier;
            (!self.roles.iter().any(takes)).then(|| {
                format!(
                    "limits.reserve: no role has tier {} or a higher one",
                    reserve.tier
                )
            })
        });
        roles.chain(expired).chain(reserve).collect()
    }

    /// Why no client of a low tier can join a server for so many clients, if that is so.
    pub fn keeps_all_seats(&self, clients: u32) -> Option<String> {
        let reserve = self.reserve.filter(|reserve| reserve.seats >= clients)?;
        Some(format!(
            "limits.reserve: it keeps {} seats of {clients} for tiers 0 to {}, so no client of \
             another tier can join",
            reserve.seats, reserve.tier
        ))
    }

    /// The credentials as lines for people: id, role, what proves it, names, networks, end,
    /// and how many clients may join with it.
    pub fn list(&self) -> Vec<[String; 7]> {
        let lines = self.credentials.iter().map(|credential| {
            let joined = |texts: Vec<String>| match texts.is_empty() {
                true => "-".to_owned(),
                false => texts.join(","),
            };
            let names = credential.names.iter().map(|name| name.as_str().to_owned());
            let from = credential.from.iter().map(ToString::to_string);
            let expires = credential
                .expires
                .map(|at| humantime::format_rfc3339_seconds(at).to_string());
            [
                credential.id.clone(),
                credential.role.name.clone(),
                match &credential.proof {
                    ProofPattern::Token(_) => "token".to_owned(),
                    ProofPattern::Certificate(pattern) => pattern.as_str().to_owned(),
                },
                joined(names.collect()),
                joined(from.collect()),
                expires.unwrap_or_else(|| "-".to_owned()),
                match (credential.connections, credential.replace) {
                    (None, false) => "-".to_owned(),
                    (None, true) => "replace".to_owned(),
                    (Some(most), false) => most.to_string(),
                    (Some(most), true) => format!("{most},replace"),
                },
            ]
        });
        lines.collect()
    }

    /// Which credentials' clients can take the names that only the one with this id gives now, once
    /// that is gone; a sentence, if there are any.
    pub(super) fn heirs(&self, id: &str) -> Option<String> {
        let (ours, others): (Vec<_>, Vec<_>) = self.credentials.iter().partition(|c| c.id == id);
        let kept = ours.iter().flat_map(|credential| &credential.names);
        let kept = kept.filter(|name| name.reserves());
        let kept: Vec<&str> = kept.map(NamePattern::as_str).collect();
        let heirs = others.iter().filter_map(|credential| {
            let name = credential.names.iter().find(|name| !name.reserves())?;
            Some(format!("{} (names {:?})", credential.id, name.as_str()))
        });
        let heirs: Vec<String> = heirs.collect();
        (!kept.is_empty() && !heirs.is_empty()).then(|| {
            let (noun, kept) = (
                if kept.len() == 1 { "name" } else { "names" },
                kept.join(", "),
            );
            let heirs = heirs.join(", ");
            format!("the {noun} {kept} can now be taken by: {heirs}")
        })
    }

    /// How the credentials differ from those that were in force before, by their ids. One whose
    /// role is another one, or says something else, has changed.
    pub(crate) fn changes_since(&self, before: &Rules) -> Changes {
        let known: HashMap<&str, &Credential> = by_id(before).collect();
        let now: HashMap<&str, &Credential> = by_id(self).collect();
        let ids = |of: &[Arc<Credential>], is: &dyn Fn(&Credential) -> bool| {
            let of = of.iter().filter(|credential| is(credential));
            of.map(|credential| credential.id.clone()).collect()
        };
        Changes {
            added: ids(&self.credentials, &|c| !known.contains_key(c.id.as_str())),
            removed: ids(&before.credentials, &|c| !now.contains_key(c.id.as_str())),
            changed: ids(&self.credentials, &|c| {
                known.get(c.id.as_str()).is_some_and(|before| *before != c)
            }),
        }
    }

    /// The names of all roles.
    pub(super) fn role_names(&self) -> String {
        let names: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        names.join(", ")
    }

    /// The role that the file begins with.
    #[cfg(test)]
    pub(crate) fn first_role(&self) -> Arc<Role> {
        Arc::clone(&self.roles[0])
    }

    /// The credential with an id.
    pub(super) fn find(&self, id: &str) -> Option<&Arc<Credential>> {
        self.credentials
            .iter()
            .find(|credential| credential.id == id)
    }
}

impl Role {
    /// What is right and yet may not be meant.
    fn warning(&self) -> Option<String> {
        let sends = self.may.contains(&Right::Send);
        let why = match (sends, self.allow.is_empty()) {
            _ if self.may.is_empty() => "it has no right; its clients can only look on",
            (true, true) => "it may send, and allow covers no target",
            (false, false) => "it has allow, and may not send",
            _ => return None,
        };
        Some(format!("roles.{}: {why}", self.name))
    }
}
