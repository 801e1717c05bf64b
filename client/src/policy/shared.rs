//! What an entry and `[defaults]` may both say: which senders it is for, and as what a run starts.
//! What an entry says takes the place of the default, key by key; `from` is one key.

use super::command::{Group, User};
use super::error::{Fault, of_toml};
use super::field_types::{InTable, Number, Table, Text, Umask};
use super::senders::Senders;
use common::wire::name::Name;
use common::wire::{Identity, Tier};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

/// What an entry and `[defaults]` may both say.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) from: Option<Senders>,
    pub(super) user: Option<Spanned<Text<User>>>,
    pub(super) groups: Option<Spanned<Vec<Text<Group>>>>,
    pub(super) umask: Option<Text<Umask>>,
    pub(super) setuid: Option<bool>,
}

/// The table `[defaults]` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefaults {
    from: Option<Spanned<Table<RawSenders>>>,
    user: Option<Spanned<Text<User>>>,
    groups: Option<Spanned<Vec<Text<Group>>>>,
    umask: Option<Text<Umask>>,
    setuid: Option<bool>,
}

/// `from` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSenders {
    tier: Option<Number<0, { Tier::LOWEST.number() as u64 }>>,
    roles: Option<Spanned<Vec<Text<Name<'static>>>>>,
    identities: Option<Spanned<Vec<Text<Identity<'static>>>>>,
}

impl InTable for RawDefaults {
    const EXPECTED: &'static str = "a table such as [defaults]";
}

impl InTable for RawSenders {
    const EXPECTED: &'static str = "a table such as { tier = 0, roles = [\"operator\"] }";
}

/// Reads the table `[defaults]`.
pub(super) fn defaults(value: Spanned<DeValue<'_>>) -> Result<Shared, Fault> {
    let raw = Table::<RawDefaults>::deserialize(ValueDeserializer::from(value));
    let shared = raw.map_err(|error| of_toml(&error)).and_then(|Table(raw)| {
        Ok(Shared {
            from: senders(raw.from, "defaults.from")?,
            user: raw.user,
            groups: raw.groups,
            umask: raw.umask,
            setuid: raw.setuid,
        })
    });
    shared.map_err(|fault| fault.within("defaults"))
}

/// Reads `from`, which stands in this place of the policy.
pub(super) fn senders(
    raw: Option<Spanned<Table<RawSenders>>>,
    rule: &str,
) -> Result<Option<Senders>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let at = raw.span().start;
    let RawSenders {
        tier,
        roles,
        identities,
    } = raw.into_inner().0;
    if tier.is_none() && roles.is_none() && identities.is_none() {
        let message = "from is empty, expected tier, roles, identities or several of them";
        return Err(Fault::at(at, message));
    }
    // The bounds of the number are those of a tier.
    let tier = tier.and_then(|tier| Tier::new(tier.0).ok());
    Ok(Some(Senders {
        rule: rule.to_owned(),
        tier,
        roles: some_of(roles, "from.roles", "[\"operator\"]")?,
        identities: some_of(identities, "from.identities", "[\"alice\"]")?,
    }))
}

/// The values of a list, which has one at least.
fn some_of<T>(
    list: Option<Spanned<Vec<Text<T>>>>,
    key: &str,
    example: &str,
) -> Result<Option<Vec<T>>, Fault> {
    let Some(list) = list else { return Ok(None) };
    let at = list.span().start;
    match list.into_inner() {
        list if list.is_empty() => {
            let message = format!("{key} is empty, which no sender satisfies; expected {example}");
            Err(Fault::at(at, message))
        }
        list => Ok(Some(list.into_iter().map(|text| text.0).collect())),
    }
}

impl Shared {
    /// With the defaults for what this does not say.
    pub(super) fn or(self, defaults: &Shared) -> Shared {
        Shared {
            from: self.from.or_else(|| defaults.from.clone()),
            user: self.user.or_else(|| defaults.user.clone()),
            groups: self.groups.or_else(|| defaults.groups.clone()),
            umask: self.umask.or(defaults.umask.clone()),
            setuid: self.setuid.or(defaults.setuid),
        }
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
