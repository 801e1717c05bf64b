//! The decisions: which credential a client has proven, and what that gives it. Each decision is a
//! function of the rules and of what is asked for, and names the rule that it comes from.

use crate::authority::certificate;
use crate::authority::error::{AuthError, some_of};
use crate::authority::names::NamePattern;
use crate::authority::rules::{Allow, Credential, ProofPattern, Role, Rules};
use crate::authority::token::{TokenHash, key_id};
use common::sys::sync::Arc;
use common::wire::Right;
use common::wire::text::clip;
use common::wire::tier::Tier;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::SystemTime;

/// What a client has proven, kept to prove it again when the rules change. `Debug` shows no token's
/// hash.
#[derive(Clone, derive_more::Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It showed the token with this hash.
    #[debug("a token")]
    Token(TokenHash),
    /// Its certificate has this name.
    #[debug("certificate {_0:?}")]
    Certificate(String),
}

impl Proof {
    /// What a client shows: a token counts before its certificate.
    pub(crate) fn of(token: Option<&str>, certificate: Option<&str>) -> Option<Proof> {
        let token = token.map(|token| Proof::Token(TokenHash::of(token)));
        token.or_else(|| certificate.map(|name| Proof::Certificate(certificate::canonical(name))))
    }
}

/// Why a client has proven nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unproven {
    /// It shows neither a token nor a certificate.
    #[error("this server asks for a token or a certificate")]
    Nothing,
    /// No credential has what it shows.
    #[error("the token is not one of this server's")]
    UnknownToken,
    /// No credential has its certificate.
    #[error("no credential of this server has your certificate")]
    UnknownCertificate,
    /// The credential's time is over.
    #[error("your credential has expired; ask for a new one")]
    Expired,
    /// The credential does not count where it comes from.
    #[error("your credential may not be used from your address")]
    Address,
}

/// What a credential does not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    /// What was missing: `ROLE.…` or `ID.…`.
    pub(crate) rule: String,
    pub(crate) message: String,
}

/// What a client has proven, and what the rules give it for that.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) proof: Proof,
    pub(crate) credential: Arc<Credential>,
    /// Which of the rules' credentials that is.
    number: usize,
    /// What the stars of the certificate's pattern stood for.
    captures: Vec<String>,
}

/// A line of a role's `allow`. A target keeps it, so it is small: its number from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AllowLine(NonZeroU32);

impl AllowLine {
    /// The name of this line of a role, as errors, decisions and records have it.
    pub(crate) fn rule(self, role: &str) -> String {
        format!("{role}.allow[{}]", self.0.get() - 1)
    }
}

impl Rules {
    /// The credential that a client proves, if it counts here and now.
    pub(crate) fn authenticate(
        &self,
        proof: Option<Proof>,
        address: IpAddr,
        now: SystemTime,
    ) -> Result<Grant, Unproven> {
        let proof = proof.ok_or(Unproven::Nothing)?;
        let (number, captures) = self.proven(&proof)?;
        let credential = Arc::clone(&self.credentials[number]);
        if !credential.takes(address) {
            return Err(Unproven::Address);
        }
        if credential.expires.is_some_and(|expires| expires <= now) {
            return Err(Unproven::Expired);
        }
        Ok(Grant {
            proof,
            credential,
            number,
            captures,
        })
    }

    fn proven(&self, proof: &Proof) -> Result<(usize, Vec<String>), Unproven> {
        match proof {
            Proof::Token(hash) => {
                let number = self.by_token.get(hash).copied();
                number
                    .map(|n| (n, Vec::new()))
                    .ok_or(Unproven::UnknownToken)
            }
            Proof::Certificate(name) => {
                // A certificate that is named by itself is not among those of a pattern.
                if let Some(number) = self.by_certificate.get(name) {
                    return Ok((*number, Vec::new()));
                }
                let mut patterns = self.by_pattern.iter();
                let found = patterns.find_map(|number| {
                    let ProofPattern::Certificate(pattern) = &self.credentials[*number].proof
                    else {
                        return None;
                    };
                    pattern.captures(name).map(|captures| (*number, captures))
                });
                found.ok_or(Unproven::UnknownCertificate)
            }
        }
    }

    /// Whether a client may take a name with what it was granted by these rules.
    pub(crate) fn may_take(&self, grant: &Grant, name: &str) -> Result<(), Forbidden> {
        let names = &grant.credential.names;
        let is_given = names.iter().any(|of| of.gives(name, &grant.captures));
        if is_given && !self.reserved.belongs_to_another(name, grant.number) {
            return Ok(());
        }
        let id = &grant.credential.id;
        Err(Forbidden {
            rule: format!("{id}.names"),
            message: format!(
                "the name {name:?} is not one that the credential {id:?} gives; {}",
                given(names, is_given)
            ),
        })
    }
}

/// The names that a credential gives, in a sentence.
fn given(names: &[NamePattern], is_given: bool) -> String {
    let shown = names.iter().map(|name| format!("{:?}", name.as_str()));
    match some_of(shown) {
        None => "it gives none (`pecking-server auth add --name` gives one)".into(),
        Some(shown) if is_given => {
            format!("it gives {shown}, without the names of other credentials")
        }
        Some(shown) => format!("it gives {shown}"),
    }
}

impl Grant {
    /// Whether another one is of the same credential, and of the same client if several share it.
    pub(crate) fn is_of_the_same(&self, other: &Grant) -> bool {
        self.credential.id == other.credential.id && self.captures == other.captures
    }

    pub(crate) fn role(&self) -> &Arc<Role> {
        &self.credential.role
    }

    /// The tier of a client that asks for one, or for none.
    pub(crate) fn tier(&self, wanted: Option<Tier>) -> Result<Tier, Forbidden> {
        let role = self.role();
        match wanted.unwrap_or(role.tier) {
            tier if tier >= role.tier => Ok(tier),
            tier => Err(Forbidden {
                rule: format!("{}.tier", role.name),
                message: format!(
                    "tier {tier} is higher than the role {:?} gives; ask for {} or a larger number",
                    role.name, role.tier
                ),
            }),
        }
    }

    /// How many commands a client executes at once that asks for so many, or does not say.
    pub(crate) fn slots(&self, wanted: Option<u32>) -> Result<u32, Forbidden> {
        match (self.role().may(Right::Execute), wanted) {
            (Err(_), None | Some(0)) => Ok(0),
            (Err(forbidden), Some(_)) => Err(forbidden),
            (Ok(()), wanted) => Ok(wanted.unwrap_or(1)),
        }
    }
}

impl Role {
    /// Whether it has a right.
    pub(crate) fn may(&self, right: Right) -> Result<(), Forbidden> {
        if self.may.contains(&right) {
            return Ok(());
        }
        Err(Forbidden {
            rule: format!("{}.may.{right}", self.name),
            message: format!(
                "the role {:?} does not have the right {right:?}",
                self.name,
                right = right.name()
            ),
        })
    }

    /// Whether it may have a client of a name execute a command: the first line of `allow` that
    /// says so. Without a command, whether it may have it execute any.
    pub(crate) fn allows(&self, name: &str, word: Option<&str>) -> Option<AllowLine> {
        let has = |allow: &Allow| word.is_none_or(|word| allow.commands.have(word));
        let mut lines = self.allow.iter().zip(1..);
        let found = lines.find(|(allow, _)| has(allow) && allow.to.matches(name));
        found.and_then(|(_, count)| NonZeroU32::new(count).map(AllowLine))
    }

    /// No line of `allow` covers a command for a target, as the sender named it.
    pub(crate) fn not_allowed(&self, word: Option<&str>, target: &str) -> Forbidden {
        let what = word.map_or("anything".into(), |word| format!("{:?}", clip(word)));
        Forbidden {
            rule: format!("{}.allow", self.name),
            message: format!(
                "the role {:?} may not have {target} execute {what}",
                self.name
            ),
        }
    }
}

/// Whether a credential may have a client of some name execute a command, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub is_allowed: bool,
    /// The rule that says so, or what is missing.
    pub rule: String,
    /// The decision in a sentence.
    pub message: String,
}

impl Rules {
    /// What a `send` of a command word to a client of a name is decided by. Rank, and the policy
    /// of the machine that executes it, are looked at elsewhere.
    ///
    /// # Errors
    /// There is no credential with this id.
    pub fn decide(
        &self,
        id: &str,
        target: &str,
        word: &str,
        now: SystemTime,
    ) -> Result<Decision, AuthError> {
        let credential = self.find(id).ok_or_else(|| self.no_credential(id))?;
        let role = &credential.role;
        let counts = match credential.expires.filter(|expires| *expires <= now) {
            None => Ok(()),
            Some(_) => Err(Forbidden {
                rule: format!("{id}.expires"),
                message: format!("the credential {id:?} has expired"),
            }),
        };
        let sends = counts.and_then(|()| role.may(Right::Send));
        let decided = sends.and_then(|()| {
            let line = role.allows(target, Some(word));
            line.ok_or_else(|| role.not_allowed(Some(word), target))
        });
        Ok(match decided {
            Ok(line) => Decision {
                is_allowed: true,
                rule: line.rule(&role.name),
                message: format!(
                    "{id} (role {}, tier {}) may have {target} execute {:?}",
                    role.name,
                    role.tier,
                    clip(word)
                ),
            },
            Err(Forbidden { rule, message }) => Decision {
                is_allowed: false,
                rule,
                message,
            },
        })
    }
}

/// For the log: what a client showed, without what only its owner knows.
pub(crate) fn showed(token: Option<&str>, certificate: Option<&str>) -> String {
    match (token, certificate) {
        (Some(token), _) => match key_id(token) {
            Some(key) => format!("the token with the key id {key}"),
            None => "a token without a key id".into(),
        },
        (None, Some(name)) => format!("the certificate {:?}", clip(name)),
        (None, None) => "no credential".into(),
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
