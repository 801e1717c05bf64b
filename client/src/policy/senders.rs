//! Which senders may run a command, by what the server says of them: tier, role and identity. A
//! rule that names several of these asks for all of them, and what the server does not say
//! satisfies no rule. A sender's name does not count, as a client may choose its own.

use common::wire::name::Name;
use common::wire::{Identity, Origin, Tier};
use std::fmt::Display;

/// What the server says of the sender of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender<'a> {
    /// Its tier.
    pub tier: Option<Tier>,
    /// Its role.
    pub role: Option<Name<'a>>,
    /// The identity that it has proven.
    pub identity: Option<Identity<'a>>,
}

impl<'a> From<&Origin<'a>> for Sender<'a> {
    fn from(origin: &Origin<'a>) -> Sender<'a> {
        Sender {
            tier: origin.tier,
            role: origin.role.clone(),
            identity: origin.identity.clone(),
        }
    }
}

/// The senders that a policy lets run a command: those that satisfy all that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Senders {
    /// Where the policy says so: `commands.NAME.from` or `defaults.from`.
    pub rule: String,
    /// This tier, or a higher one: a smaller number.
    pub tier: Option<Tier>,
    /// One of these roles.
    pub roles: Option<Vec<Name<'static>>>,
    /// One of these identities.
    pub identities: Option<Vec<Identity<'static>>>,
}

impl Senders {
    /// Whether a sender is one of them.
    ///
    /// # Errors
    /// The first part of the rule that the sender does not satisfy, and what the sender is: never
    /// what would satisfy it.
    pub(super) fn check(&self, sender: &Sender<'_>) -> Result<(), String> {
        let (lowest, is) = (self.tier.as_ref(), sender.tier.as_ref());
        let tier = fault("tier", lowest, is, |lowest, tier| tier <= lowest);
        let (known, is) = (self.roles.as_ref(), sender.role.as_ref());
        let role = fault("role", known, is, |known, role| {
            known.iter().any(|known| **known == **role)
        });
        let (known, is) = (self.identities.as_ref(), sender.identity.as_ref());
        let identity = fault("identity", known, is, |known, identity| {
            known.iter().any(|known| **known == **identity)
        });
        let parts = [("tier", tier), ("roles", role), ("identities", identity)];
        let first = parts.into_iter().find_map(|(part, fault)| {
            let fault = fault?;
            Some(format!("{}.{part}: {fault}", self.rule))
        });
        first.map_or(Ok(()), Err)
    }
}

/// Why a part of a rule does not hold for what a sender is; `None` if it holds, or if the rule
/// does not have this part.
fn fault<R, S: Display>(
    what: &str,
    part: Option<&R>,
    is: Option<&S>,
    holds: impl Fn(&R, &S) -> bool,
) -> Option<String> {
    let part = part?;
    match is {
        None => Some(format!("the server does not say its {what}")),
        Some(is) if holds(part, is) => None,
        Some(is) => Some(format!("its {what} is {is}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice";
    const OPERATOR: &str = "operator";

    fn senders(tier: Option<u64>, roles: &[&str], identities: &[&str]) -> Senders {
        let roles = roles.iter().map(|role| Name::known(role.to_string()));
        let identities = identities.iter().map(|id| identity(id).into_owned());
        let (roles, identities) = (roles.collect::<Vec<_>>(), identities.collect::<Vec<_>>());
        Senders {
            rule: "commands.x.from".into(),
            tier: tier.map(self::tier),
            roles: (!roles.is_empty()).then_some(roles),
            identities: (!identities.is_empty()).then_some(identities),
        }
    }

    fn tier(number: u64) -> Tier {
        Tier::new(number).expect("a tier")
    }

    fn identity(text: &str) -> Identity<'_> {
        Identity::new(text).expect("an identity")
    }

    #[test]
    fn every_combination_of_a_rule_and_a_sender_is_the_and_of_its_parts() {
        let tiers = [None, Some(0), Some(3), Some(4), Some(9)];
        let roles = [None, Some(OPERATOR), Some("deployer"), Some("Operator")];
        let identities = [None, Some(ALICE), Some("mallory"), Some("alice ")];
        let (mut taken, mut cases) = (0, 0);
        for rule_tier in [None, Some(0), Some(3), Some(9)] {
            for rule_roles in [&[][..], &[OPERATOR], &["ops", OPERATOR]] {
                for rule_identities in [&[][..], &[ALICE], &["bob", ALICE]] {
                    let rule = senders(rule_tier, rule_roles, rule_identities);
                    for (t, r, i) in tiers.iter().flat_map(|t| {
                        let pairs = roles.iter().flat_map(|r| identities.map(|i| (*r, i)));
                        pairs.map(move |(r, i)| (*t, r, i))
                    }) {
                        let sender = Sender {
                            tier: t.map(tier),
                            role: r.map(Name::known),
                            identity: i.map(identity),
                        };
                        let expected = rule_tier.is_none_or(|most| t.is_some_and(|t| t <= most))
                            && (rule_roles.is_empty() || r == Some(OPERATOR))
                            && (rule_identities.is_empty() || i == Some(ALICE));
                        let found = rule.check(&sender);
                        assert_eq!(found.is_ok(), expected, "{rule:?} {sender:?}: {found:?}");
                        cases += 1;
                        taken += u32::from(expected);
                    }
                }
            }
        }
        assert!(cases == 36 * 80 && taken > 200, "{taken} of {cases}");
    }

    #[test]
    fn a_refusal_names_the_part_and_the_sender_and_keeps_what_the_rule_takes() {
        let rule = senders(Some(3), &["operator", "ops"], &["alice", "bob"]);
        let sender = |t: Option<u64>, r: Option<&'static str>, i: Option<&'static str>| Sender {
            tier: t.map(tier),
            role: r.map(Name::known),
            identity: i.map(identity),
        };
        for (sender, why) in [
            (
                sender(Some(5), None, None),
                "commands.x.from.tier: its tier is 5",
            ),
            (
                sender(None, Some("ops"), Some("bob")),
                "commands.x.from.tier: the server does not say its tier",
            ),
            (
                sender(Some(3), Some("deployer"), Some("mallory")),
                "commands.x.from.roles: its role is deployer",
            ),
            (
                sender(Some(0), None, Some("alice")),
                "commands.x.from.roles: the server does not say its role",
            ),
            (
                sender(Some(0), Some("ops"), Some("mallory")),
                "commands.x.from.identities: its identity is mallory",
            ),
            (
                sender(Some(0), Some("ops"), None),
                "commands.x.from.identities: the server does not say its identity",
            ),
        ] {
            assert_eq!(rule.check(&sender), Err(why.into()));
        }
        assert_eq!(
            rule.check(&sender(Some(3), Some("ops"), Some("bob"))),
            Ok(())
        );
    }
}
