//! The names that credentials give, and which of them keep a name from all others.
//!
//! A name that a credential's pattern matches belongs to that credential, and so do its
//! look-alikes: no other client may take them, even while no client has them. So a name that is
//! used again never inherits what others grant to it. `*`, and what stands for a part of a
//! certificate's name alone, reserve nothing: they take what is left.

use crate::authority::certificate::MAX_STARS;
use crate::authority::overlap::{folded, overlap};
use common::wire::name::check_name;
use common::wire::selector::{check_pattern, is_pattern};
use common::wire::text::clip;
use common::wire::wildcard::Wildcard;
use std::collections::HashMap;

/// Patterns in the `names` of all credentials together: each costs 2 KiB, and a look at each
/// name that a client asks for.
const MAX_PATTERNS: usize = 1024;

/// A name, a pattern of names, or one with places that a certificate's name fills.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamePattern {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Name,
    Pattern(Wildcard),
    /// It has places to be filled.
    Captured,
}

impl NamePattern {
    /// Reads a pattern of a credential that takes certificates with so many open places.
    pub(super) fn parse(text: &str, stars: usize) -> Result<NamePattern, String> {
        let kind = match text.contains(['{', '}']) {
            true => {
                let filled = fill(text, |place| (place <= stars).then_some("*"));
                let filled = filled.ok_or_else(|| no_place(text, stars))?;
                check_pattern(&filled).map_err(|e| format!("found {:?}: {e}", clip(text)))?;
                Kind::Captured
            }
            false if is_pattern(text) => {
                check_pattern(text).map_err(|e| e.to_string())?;
                Kind::Pattern(Wildcard::new(text))
            }
            false => {
                check_name(text)?;
                Kind::Name
            }
        };
        let text = text.to_owned();
        Ok(NamePattern { text, kind })
    }

    /// The pattern as text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it gives a name, with what the stars of the certificate's pattern stood for.
    pub(super) fn gives(&self, name: &str, captures: &[String]) -> bool {
        match &self.kind {
            Kind::Name => self.text == name,
            Kind::Pattern(pattern) => pattern.matches(name),
            Kind::Captured => {
                // A certificate's name may have a star of its own, which is none here.
                let capture = |place: usize| captures.get(place - 1).map(String::as_str);
                let plain = |text: &&str| !is_pattern(text);
                match fill(&self.text, |place| capture(place).filter(plain)) {
                    Some(filled) if is_pattern(&filled) => Wildcard::new(&filled).matches(name),
                    filled => filled.as_deref() == Some(name),
                }
            }
        }
    }

    /// Whether it keeps names from all other credentials.
    pub(super) fn reserves(&self) -> bool {
        self.reserved().is_some()
    }

    /// What no other credential gives, folded; `None` if it reserves nothing.
    fn reserved(&self) -> Option<String> {
        let pattern = match self.kind {
            Kind::Captured => fill(&self.text, |_| Some("*"))?,
            _ => self.text.clone(),
        };
        (!pattern.bytes().all(|byte| byte == b'*')).then(|| folded(&pattern))
    }
}

/// The text with each `{1}` to `{9}` replaced; `None` if there is nothing for one of them, or a
/// brace is no part of one.
fn fill<'a>(text: &str, by: impl Fn(usize) -> Option<&'a str>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let place = rest[at..].strip_prefix('{')?;
        let (digit, behind) = place.split_once('}')?;
        let place = digit
            .parse()
            .ok()
            .filter(|place| (1..=MAX_STARS).contains(place))?;
        filled.push_str(by(place).filter(|_| digit.len() == 1)?);
        rest = behind;
    }
    filled.push_str(rest);
    Some(filled)
}

fn no_place(text: &str, stars: usize) -> String {
    let text = clip(text);
    match stars {
        0 => {
            format!("found {text:?}, but the credential's `cert` has no star that {{1}} stands for")
        }
        1 => format!("found {text:?}, expected {{1}}, which stands for the star of `cert`"),
        _ => format!(
            "found {text:?}, expected {{1}} to {{{stars}}}, which stand for the stars of `cert`"
        ),
    }
}

/// The names that belong to credentials, by the number of each.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    names: HashMap<String, usize>,
    patterns: Vec<(String, Wildcard, usize)>,
}

/// Why a name cannot be reserved.
pub(super) enum Unreservable {
    /// A pattern of this credential has a name in common with it.
    Overlaps(usize),
    /// There are as many patterns as there may be.
    TooMany,
}

impl Reserved {
    /// Reserves what a pattern of a credential gives.
    pub(super) fn add(&mut self, pattern: &NamePattern, owner: usize) -> Result<(), Unreservable> {
        let Some(reserved) = pattern.reserved() else {
            return Ok(());
        };
        match self.other_owner(&reserved, owner) {
            Some(other) => return Err(Unreservable::Overlaps(other)),
            None if !is_pattern(&reserved) => {
                self.names.insert(reserved, owner);
            }
            None if self.patterns.len() >= MAX_PATTERNS => return Err(Unreservable::TooMany),
            None => {
                let wildcard = Wildcard::new(&reserved);
                self.patterns.push((reserved, wildcard, owner));
            }
        }
        Ok(())
    }

    /// Another credential that gives a name that this pattern matches.
    fn other_owner(&self, reserved: &str, owner: usize) -> Option<usize> {
        let is_other = |other: &usize| *other != owner;
        let is_pattern = is_pattern(reserved);
        let same = self.names.get(reserved).copied().filter(is_other);
        let mut names = self.names.iter();
        let name = || names.find(|(name, o)| is_other(o) && overlap(name, reserved));
        let name = same.or_else(|| is_pattern.then(name).flatten().map(|(_, owner)| *owner));
        let mut patterns = self.patterns.iter();
        name.or_else(|| {
            let pattern = patterns.find(|(text, _, o)| is_other(o) && overlap(text, reserved));
            pattern.map(|(.., owner)| *owner)
        })
    }

    /// Whether a name, or one that looks like it, belongs to another credential.
    pub(super) fn belongs_to_another(&self, name: &str, owner: usize) -> bool {
        let name = folded(name);
        let is_named = self.names.get(&name).is_some_and(|other| *other != owner);
        let mut patterns = self.patterns.iter();
        is_named || patterns.any(|(_, pattern, other)| *other != owner && pattern.matches(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern::parse(text, 2).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn the_names_that_a_pattern_gives() {
        let captures = ["web1".to_owned(), "*".to_owned()];
        for (text, name, expected) in [
            ("web1", "web1", true),
            ("web1", "Web1", false),
            ("web*", "web1", true),
            ("*", "any", true),
            ("{1}", "web1", true),
            ("{1}", "web2", false),
            ("{1}-*", "web1-a", true),
            ("x-{1}", "x-web1", true),
            // The star of a certificate's name gives no name at all.
            ("{2}", "web1", false),
            ("{2}", "*", false),
        ] {
            assert_eq!(
                pattern(text).gives(name, &captures),
                expected,
                "{text}: {name}"
            );
        }
        assert!(!pattern("{1}").gives("web1", &[]));
    }

    #[test]
    fn what_is_no_pattern_of_names() {
        for (text, stars, why) in [
            ("", 0, "is not allowed"),
            ("a b", 0, "is not allowed"),
            ("next", 0, "it is a selector"),
            ("client-7", 0, "the server gives names of that form"),
            ("5", 0, "read as a rank"),
            ("-*", 0, "-*"),
            ("{1}", 0, "has no star"),
            ("{2}", 1, "expected {1}"),
            ("{3}", 2, "{1} to {2}"),
            ("{0}", 2, "{1} to {2}"),
            ("{01}", 2, "{1} to {2}"),
            ("{1", 2, "{1} to {2}"),
            ("a}", 2, "{1} to {2}"),
            ("{1} b", 2, "found \"{1} b\""),
        ] {
            let error = NamePattern::parse(text, stars).expect_err(why);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_and_its_look_alikes_belong_to_one_credential() {
        let mut reserved = Reserved::default();
        for (text, owner) in [("web-1", 0), ("db*", 1), ("x-{1}", 2), ("*", 3), ("{1}", 3)] {
            assert!(reserved.add(&pattern(text), owner).is_ok(), "{text}");
        }
        for (name, owner) in [
            ("web-1", 0),
            ("WEB.1", 0),
            ("web_1", 0),
            ("DB7", 1),
            ("X.a", 2),
        ] {
            for asks in 0..4 {
                assert_eq!(
                    reserved.belongs_to_another(name, asks),
                    asks != owner,
                    "{name}"
                );
            }
        }
        assert!(!reserved.belongs_to_another("web1", 3));
        for (text, other) in [
            ("Web.1", Some(0)),
            ("web*", Some(0)),
            ("d*", Some(1)),
            ("db1", Some(1)),
            ("*-a", Some(2)),
            ("mail*", None),
        ] {
            let found = match reserved.add(&pattern(text), 9) {
                Err(Unreservable::Overlaps(other)) => Some(other),
                _ => None,
            };
            // What a map's order decides is not looked at.
            assert_eq!(found.is_some(), other.is_some(), "{text}");
        }
        // One credential may give the same name in several ways.
        assert!(reserved.add(&pattern("db-7"), 1).is_ok());
    }
}
