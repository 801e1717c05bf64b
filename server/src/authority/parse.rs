//! Turns the text of an auth file into rules. It reads nothing but the text.

use super::certificate::CertPattern;
use super::error::{Fault, of_toml};
use super::names::{NamePattern, Unreservable};
use super::rules::{Allow, Credential, ProofPattern, Reserve, Role, Rules};
use super::token::TokenHash;
use super::values::{commands, moment, network, whole};
use crate::config::MOST_CLIENTS;
use common::sys::sync::Arc;
use common::wire::name::check_name;
use common::wire::selector::check_pattern;
use common::wire::text::clip;
use common::wire::tier::Tier;
use common::wire::wildcard::Wildcard;
use common::wire::{Identity, Right};
use serde::Deserialize;
use std::collections::HashMap;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};
use toml::value::Datetime;

/// The only version of the file so far.
const VERSION: i64 = 1;

/// Lines of `allow` of all roles together: each costs 2 KiB.
const MAX_ALLOW: usize = 1024;

/// The most commands that a role can be told to have open, as on the command line.
const MAX_SENDS: u32 = 1 << 20;

/// Texts with their places, as nearly every value of the file is.
type Texts = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    reserve: Option<RawReserve>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReserve {
    tier: Spanned<i64>,
    seats: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    tier: Option<Spanned<i64>>,
    #[serde(default)]
    may: Texts,
    #[serde(default)]
    allow: Vec<RawAllow>,
    max_sends: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAllow {
    to: Spanned<String>,
    commands: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredential {
    id: Spanned<String>,
    role: Spanned<String>,
    token: Option<Spanned<String>>,
    cert: Option<Spanned<String>>,
    #[serde(default)]
    names: Texts,
    from: Option<Spanned<Texts>>,
    expires: Option<Spanned<Datetime>>,
    connections: Option<Spanned<i64>>,
    #[serde(default)]
    replace: bool,
}

type Key<'a> = Spanned<DeString<'a>>;
type Value<'a> = Spanned<DeValue<'a>>;

/// Reads the text of an auth file. Of several faults it reports the first one, roles before
/// credentials.
pub(super) fn parse(text: &str) -> Result<Rules, Fault> {
    let (mut roles, mut credentials) = (Vec::new(), Vec::new());
    let mut rules = Rules::default();
    let mut version = None;
    let table = DeTable::parse(text).map_err(|error| of_toml(&error))?;
    for (key, value) in in_order(table.into_inner()) {
        let at = key.span().start;
        match &**key.get_ref() {
            "version" => version = Some(read::<i64>(value).map_err(|f| f.within("version"))?),
            "limits" => rules.reserve = read_limits(value).map_err(|f| f.within("limits"))?,
            "roles" => match value.into_inner() {
                DeValue::Table(table) => roles = in_order(table),
                _ => return Err(Fault::at(at, "roles must be tables: [roles.NAME]")),
            },
            "credentials" => match value.into_inner() {
                DeValue::Array(array) => credentials.extend(array),
                _ => return Err(Fault::at(at, "credentials must be tables: [[credentials]]")),
            },
            key => {
                let message = format!(
                    "found the key {:?}, expected version, [limits], [roles.NAME] or [[credentials]]",
                    clip(key)
                );
                return Err(Fault::at(at, message));
            }
        }
    }
    if version != Some(VERSION) {
        let found = version.map(|other| format!("found version {other}"));
        let found = found.unwrap_or_else(|| "it has no version".into());
        return Err(Fault::of_all(format!(
            "{found}, expected version = {VERSION}"
        )));
    }
    let mut lines = 0;
    for (key, value) in roles {
        let role = read_role(&key, value)?;
        lines += role.allow.len();
        if lines > MAX_ALLOW {
            let message = format!("there are more than {MAX_ALLOW} lines of allow in all roles");
            return Err(Fault::at(key.span().start, message));
        }
        rules.roles.push(Arc::new(role));
    }
    Builder::new(rules).build(credentials)
}

fn in_order<'a>(table: DeTable<'a>) -> Vec<(Key<'a>, Value<'a>)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn read<'a, T: Deserialize<'a>>(value: Value<'a>) -> Result<T, Fault> {
    let at = value.span().start;
    T::deserialize(ValueDeserializer::from(value)).map_err(|error| of_toml(&error).or_at(at))
}

fn read_limits(value: Value<'_>) -> Result<Option<Reserve>, Fault> {
    let raw: RawLimits = read(value)?;
    let Some(RawReserve { tier, seats }) = raw.reserve else {
        return Ok(None);
    };
    Ok(Some(Reserve {
        tier: read_tier(&tier)?,
        seats: whole(&seats, "seats", 0..=MOST_CLIENTS)?,
    }))
}

fn read_tier(number: &Spanned<i64>) -> Result<Tier, Fault> {
    let lowest = u32::from(Tier::LOWEST.number());
    let number = whole(number, "tier", 0..=lowest)?;
    Ok(Tier::new(number.into()).unwrap_or_default())
}

fn read_role(key: &Key<'_>, value: Value<'_>) -> Result<Role, Fault> {
    let at = key.span().start;
    let name = &**key.get_ref();
    check_name(name).map_err(|why| Fault::at(at, format!("the role {:?}: {why}", clip(name))))?;
    let raw = read::<RawRole>(value).map_err(|fault| fault.or_at(at));
    raw.and_then(|raw| raw.role(name))
        .map_err(|fault| fault.within(&format!("roles.{name}")))
}

impl RawRole {
    fn role(self, name: &str) -> Result<Role, Fault> {
        let mut may = Vec::new();
        for word in &self.may {
            let right: Right = word.get_ref().parse().map_err(|_| {
                let message = format!(
                    "may: found {:?}, expected send, execute or list",
                    clip(word.get_ref())
                );
                Fault::at(word.span().start, message)
            })?;
            may.push(right);
        }
        may.sort_unstable();
        may.dedup();
        let allow = self.allow.into_iter().map(RawAllow::allow);
        let max_sends = self
            .max_sends
            .map(|number| whole(&number, "max_sends", 1..=MAX_SENDS));
        Ok(Role {
            name: name.to_owned(),
            tier: self.tier.as_ref().map_or(Ok(Tier::DEFAULT), read_tier)?,
            may,
            allow: allow.collect::<Result<_, _>>()?,
            max_sends: max_sends.transpose()?.map(|number| number as usize),
        })
    }
}

impl RawAllow {
    fn allow(self) -> Result<Allow, Fault> {
        let to = self.to.get_ref();
        check_pattern(to).map_err(|_| {
            let message = format!(
                "to: found {:?}, expected a name or a pattern of names such as \"web*\"",
                clip(to)
            );
            Fault::at(self.to.span().start, message)
        })?;
        Ok(Allow {
            to: Wildcard::new(to),
            commands: commands(&self.commands)?,
        })
    }
}

/// Puts credentials together, and finds those that get in each other's way.
struct Builder {
    rules: Rules,
    ids: HashMap<String, usize>,
}

impl Builder {
    fn new(rules: Rules) -> Builder {
        let ids = HashMap::new();
        Builder { rules, ids }
    }

    fn build(mut self, credentials: Vec<Value<'_>>) -> Result<Rules, Fault> {
        for (number, value) in credentials.into_iter().enumerate() {
            let entry = entry_name(&value, number);
            let at = value.span().start;
            let raw = read::<RawCredential>(value);
            let added = raw.and_then(|raw| self.add(raw));
            added.map_err(|fault| fault.or_at(at).within(&entry))?;
        }
        Ok(self.rules)
    }

    fn add(&mut self, raw: RawCredential) -> Result<(), Fault> {
        let number = self.rules.credentials.len();
        let id = raw.id.get_ref().clone();
        let at_id = |message: String| Fault::at(raw.id.span().start, message);
        Identity::new(id.as_str()).map_err(|why| at_id(format!("id: {why}")))?;
        if self.ids.insert(id.clone(), number).is_some() {
            return Err(at_id(
                "there are two credentials with this id; each needs its own".into(),
            ));
        }
        let role = self.role(&raw.role)?;
        let proof = self.proof(&raw, number)?;
        let names = self.names(&raw.names, &proof, number)?;
        let connections = raw
            .connections
            .map(|n| whole(&n, "connections", 0..=MOST_CLIENTS));
        self.rules.credentials.push(Arc::new(Credential {
            id,
            role,
            proof,
            names,
            from: networks(raw.from.as_ref())?,
            expires: raw.expires.as_ref().map(expiry).transpose()?,
            connections: connections.transpose()?,
            replace: raw.replace,
        }));
        Ok(())
    }

    fn role(&self, name: &Spanned<String>) -> Result<Arc<Role>, Fault> {
        let role = self
            .rules
            .roles
            .iter()
            .find(|role| role.name == *name.get_ref());
        role.cloned().ok_or_else(|| {
            let known = match self.rules.roles.is_empty() {
                true => "a role such as [roles.agent], and there is none".to_owned(),
                false => format!("one of these roles: {}", self.rules.role_names()),
            };
            let message = format!("role: found {:?}, expected {known}", clip(name.get_ref()));
            Fault::at(name.span().start, message)
        })
    }

    fn proof(&mut self, raw: &RawCredential, number: usize) -> Result<ProofPattern, Fault> {
        let at_id = raw.id.span().start;
        match (&raw.token, &raw.cert) {
            (Some(token), None) => self.token(token, number),
            (None, Some(cert)) => self.certificate(cert, number),
            (None, None) => Err(Fault::at(
                at_id,
                "it proves nothing, expected token or cert",
            )),
            (Some(_), Some(cert)) => Err(Fault::at(
                cert.span().start,
                "found token and cert, expected one of them; a second credential may have the other",
            )),
        }
    }

    fn token(&mut self, text: &Spanned<String>, number: usize) -> Result<ProofPattern, Fault> {
        let at = |message: String| Fault::at(text.span().start, format!("token: {message}"));
        let hash = TokenHash::parse(text.get_ref()).map_err(at)?;
        if let Some(other) = self.rules.by_token.insert(hash, number) {
            return Err(at(format!(
                "it is that of {:?}, too; each credential needs its own",
                self.id(other)
            )));
        }
        Ok(ProofPattern::Token(hash))
    }

    fn certificate(
        &mut self,
        text: &Spanned<String>,
        number: usize,
    ) -> Result<ProofPattern, Fault> {
        let at = |message: String| Fault::at(text.span().start, format!("cert: {message}"));
        let pattern = CertPattern::parse(text.get_ref()).map_err(at)?;
        let other = match pattern.stars() {
            0 => self
                .rules
                .by_certificate
                .insert(pattern.as_str().to_owned(), number),
            _ => {
                let mut others = self.rules.by_pattern.iter().copied();
                let other = others.find(|other| self.rules.has_certificate_of(*other, &pattern));
                self.rules.by_pattern.push(number);
                other
            }
        };
        if let Some(other) = other {
            return Err(at(format!(
                "some certificates are those of {:?}, too",
                self.id(other)
            )));
        }
        Ok(ProofPattern::Certificate(pattern))
    }

    fn names(
        &mut self,
        texts: &[Spanned<String>],
        proof: &ProofPattern,
        number: usize,
    ) -> Result<Vec<NamePattern>, Fault> {
        let stars = match proof {
            ProofPattern::Certificate(pattern) => pattern.stars(),
            ProofPattern::Token(_) => 0,
        };
        let mut names: Vec<NamePattern> = Vec::new();
        for text in texts {
            let at = |message: String| Fault::at(text.span().start, format!("names: {message}"));
            let pattern = NamePattern::parse(text.get_ref(), stars).map_err(at)?;
            if names.iter().any(|known| known.as_str() == pattern.as_str()) {
                return Err(at(format!("found {:?} twice", pattern.as_str())));
            }
            self.rules.reserved.add(&pattern, number).map_err(|why| {
                at(match why {
                    Unreservable::Overlaps(other) => format!(
                        "found {:?}, which has names in common with those of {:?} (case, and which \
                         of '.', '_' and '-' it has, do not tell names apart)",
                        pattern.as_str(),
                        self.id(other)
                    ),
                    Unreservable::TooMany => format!(
                        "found {:?}, and the file has as many patterns of names as it may",
                        pattern.as_str()
                    ),
                })
            })?;
            names.push(pattern);
        }
        Ok(names)
    }

    /// The id of a credential, also of the one that is being added.
    fn id(&self, number: usize) -> &str {
        let found = self.ids.iter().find(|(_, at)| **at == number);
        found.map_or("", |(id, _)| id)
    }
}

impl Rules {
    /// Whether a certificate can have a pattern's name and that of another credential's pattern.
    fn has_certificate_of(&self, other: usize, pattern: &CertPattern) -> bool {
        let other = self
            .credentials
            .get(other)
            .map(|credential| &credential.proof);
        match other {
            Some(ProofPattern::Certificate(other)) => {
                super::overlap::overlap(other.as_str(), pattern.as_str())
            }
            _ => false,
        }
    }
}

fn networks(from: Option<&Spanned<Texts>>) -> Result<Vec<ipnet::IpNet>, Fault> {
    let Some(from) = from else {
        return Ok(Vec::new());
    };
    if from.get_ref().is_empty() {
        let message =
            "from: found no network, expected one such as \"10.0.0.0/8\", or no from at all";
        return Err(Fault::at(from.span().start, message));
    }
    let read = |text: &Spanned<String>| {
        network(text.get_ref()).map_err(|why| Fault::at(text.span().start, format!("from: {why}")))
    };
    from.get_ref().iter().map(read).collect()
}

fn expiry(date: &Spanned<Datetime>) -> Result<std::time::SystemTime, Fault> {
    let at = |why| Fault::at(date.span().start, format!("expires: {why}"));
    moment(date.get_ref()).map_err(at)
}

/// How an error names a credential: by its id, if it has one, else by its place.
fn entry_name(value: &Value<'_>, number: usize) -> String {
    let id = match value.get_ref() {
        DeValue::Table(table) => table.get("id").map(Spanned::get_ref),
        _ => None,
    };
    match id {
        Some(DeValue::String(id)) if Identity::new(&**id).is_ok() => format!("credentials.{id}"),
        _ => format!("credentials[{number}]"),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
