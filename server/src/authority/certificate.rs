//! The certificates that a credential takes, by the one name that each has: `pecking:web1`, a
//! SPIFFE id, or `dns:NAME`. A `*` stands for one or more characters of one part: it crosses no
//! `/`, and in a DNS name no dot.

use common::limits::MAX_IDENTITY;
use common::wire::text::clip;

/// The places of a name that a pattern may leave open: `{1}` to `{9}` name them.
pub(super) const MAX_STARS: usize = 9;

/// How a DNS name is marked.
const DNS: &str = "dns:";

/// The certificates of one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertPattern {
    text: String,
    /// What stands between the stars, and around them.
    pieces: Vec<String>,
    is_dns: bool,
}

impl CertPattern {
    pub(super) fn parse(text: &str) -> Result<CertPattern, String> {
        let is_printable = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
        let is_right = is_printable && is_scheme && is_named(text);
        if !is_right || text.len() > MAX_IDENTITY {
            return Err(format!(
                "found {:?}, expected the URI of a certificate such as \"pecking:web1\", or \
                 \"dns:\" and its DNS name, of at most {MAX_IDENTITY} printable characters",
                clip(text)
            ));
        }
        let text = canonical(text);
        let pieces: Vec<String> = text.split('*').map(str::to_owned).collect();
        let stars = pieces.len() - 1;
        let are_apart = pieces
            .iter()
            .skip(1)
            .take(stars.saturating_sub(1))
            .all(|p| !p.is_empty());
        if stars > MAX_STARS || !are_apart {
            return Err(format!(
                "found {:?}, expected at most {MAX_STARS} stars, none of them beside another",
                clip(&text)
            ));
        }
        let is_dns = text.starts_with(DNS);
        Ok(CertPattern {
            text,
            pieces,
            is_dns,
        })
    }

    /// How many stars it has.
    pub(super) fn stars(&self) -> usize {
        self.pieces.len() - 1
    }

    /// The pattern as text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// What the stars stand for in a certificate's name, if it matches.
    pub(super) fn captures(&self, name: &str) -> Option<Vec<String>> {
        let (first, rest) = self.pieces.split_first()?;
        let mut left = name.strip_prefix(first.as_str())?;
        let mut captures = Vec::new();
        for (at, piece) in rest.iter().enumerate() {
            let is_last = at + 1 == rest.len();
            let end = match is_last {
                true => left
                    .len()
                    .checked_sub(piece.len())
                    .filter(|end| left.is_char_boundary(*end)),
                false => left.find(piece.as_str()),
            };
            let (star, behind) = left.split_at(end?);
            left = behind.strip_prefix(piece.as_str())?;
            let stops = |c: char| c == '/' || (self.is_dns && c == '.');
            if star.is_empty() || star.contains(stops) {
                return None;
            }
            captures.push(star.to_owned());
        }
        left.is_empty().then_some(captures)
    }
}

/// Whether there is a name behind the scheme; in a DNS name, between its dots as well. No
/// certificate has another one, so its client would be refused without a reason that shows.
fn is_named(text: &str) -> bool {
    match text.strip_prefix(DNS) {
        Some(name) => name.split('.').all(|label| !label.is_empty()),
        None => text
            .split_once(':')
            .is_some_and(|(_, name)| name.contains(|c| c != '/')),
    }
}

/// A certificate's name as it is compared: letters of a DNS name have no case.
pub(super) fn canonical(name: &str) -> String {
    match name.starts_with(DNS) {
        true => name.to_ascii_lowercase(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stars_stand_for() {
        for (pattern, name, captures) in [
            ("pecking:web1", "pecking:web1", Some(vec![])),
            ("pecking:web1", "pecking:web11", None),
            ("pecking:web1", "pecking:web", None),
            (
                "spiffe://corp/agent/*",
                "spiffe://corp/agent/web1",
                Some(vec!["web1"]),
            ),
            ("spiffe://corp/agent/*", "spiffe://corp/agent/", None),
            ("spiffe://corp/agent/*", "spiffe://corp/agent/a/b", None),
            (
                "spiffe://*/agent/*",
                "spiffe://corp/agent/web1",
                Some(vec!["corp", "web1"]),
            ),
            ("spiffe://*/agent/*", "spiffe://corp/x/agent/web1", None),
            (
                "spiffe://corp/*-agent",
                "spiffe://corp/web-1-agent",
                Some(vec!["web-1"]),
            ),
            (
                "dns:*.corp.example",
                "dns:web1.corp.example",
                Some(vec!["web1"]),
            ),
            ("dns:*.corp.example", "dns:a.b.corp.example", None),
            ("dns:WEB1.example", "dns:web1.example", Some(vec![])),
        ] {
            let pattern = CertPattern::parse(pattern).expect(pattern);
            let expected = captures.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(pattern.captures(&canonical(name)), expected, "{name}");
        }
    }

    #[test]
    fn what_names_no_certificate() {
        let long = format!("pecking:{}", "a".repeat(MAX_IDENTITY));
        for wrong in [
            "",
            "web1",
            ":web1",
            "1a:b",
            "a b:c",
            "a:\u{e4}",
            "a:\"",
            "a:**",
            "dns:",
            "dns:a..b",
            "dns:web1.",
            "pecking:",
            "spiffe://",
            &"a:*b".repeat(10),
            &long,
        ] {
            assert!(CertPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
