//! Patterns of names: `*` stands for any number of characters, `?` for one.
//!
//! A name is passed over once, with any pattern: all places in the pattern that the name may
//! have come to so far are the bits of one number. A matcher that goes back to the last `*` takes
//! as many steps as the name has characters, times the pattern's, and a client that sends knows
//! which pattern that is.

use crate::limits::MAX_NAME;

/// A pattern that was understood.
#[derive(Clone, derive_more::Debug, PartialEq)]
#[debug("{text:?}")]
pub struct Wildcard {
    text: Box<str>,
    /// By character, its places in the pattern: bit `n` for place `n`, without each `*`.
    places: Box<[Bits; ASCII]>,
    /// Before which of them a `*` stands.
    stars: Bits,
    /// Behind the last of them.
    end: Bits,
}

/// A pattern with more characters than a name matches none, so these are enough.
type Bits = u128;
const _: () = assert!(MAX_NAME < Bits::BITS as usize);

/// Names and patterns have no other characters.
const ASCII: usize = 128;

impl Wildcard {
    /// Reads a pattern; any text is one.
    pub fn new(text: &str) -> Wildcard {
        let mut places = Box::new([0; ASCII]);
        let (mut stars, mut here): (Bits, Bits) = (0, 1);
        for c in text.bytes() {
            match c {
                b'*' => {
                    stars |= here;
                    continue;
                }
                b'?' => places.iter_mut().for_each(|of| *of |= here),
                c => places[usize::from(c) % ASCII] |= here,
            }
            // Nothing is left of a pattern that is too long for any name.
            here = here.checked_shl(1).unwrap_or(0);
        }
        Wildcard {
            text: text.into(),
            places,
            stars,
            end: here,
        }
    }

    /// Whether it matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        let mut reached: Bits = 1;
        for c in name.bytes() {
            let goes_on = reached & self.places[usize::from(c) % ASCII];
            reached = (goes_on << 1) | (reached & self.stars);
        }
        reached & self.end != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// The definition.
    fn is_match(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) if is_match(rest, name) => true,
            ([b'*', ..], [_, name @ ..]) => is_match(pattern, name),
            ([b'?', pattern @ ..], [_, name @ ..]) => is_match(pattern, name),
            ([a, pattern @ ..], [b, name @ ..]) => a == b && is_match(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_pattern_matches_what_its_definition_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            let expected = is_match(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Wildcard::new(&pattern).matches(&name), expected);
        }
    }

    #[test]
    fn a_pattern_that_is_longer_than_any_name_matches_none() {
        let name = "a".repeat(MAX_NAME);
        for (length, matches) in [(64, true), (65, false), (127, false), (128, false)] {
            for c in ["a", "?"] {
                let pattern = Wildcard::new(&(c.repeat(length) + "*"));
                assert_eq!(pattern.matches(&name), matches, "{length} times {c}");
                assert!(!pattern.matches(""));
            }
        }
        assert!(Wildcard::new(&"*".repeat(128)).matches(""));
        assert!(!Wildcard::new(&"a".repeat(300)).matches("a"));
    }

    #[test]
    fn hostile_patterns_take_no_longer_than_others() {
        let names: Vec<String> = (0..2000)
            .map(|n| format!("{}{n:04}", "a".repeat(60)))
            .collect();
        let patterns = [
            format!("*{}b", "a".repeat(30)),
            format!("{}b", "*a".repeat(31)),
            format!("{}b", "*?a".repeat(20)),
        ];
        let patterns: Vec<Wildcard> = patterns.iter().map(|p| Wildcard::new(p)).collect();
        // The best of a few tries: other programs use the machine as well.
        let took = (0..3).map(|_| {
            let began = Instant::now();
            for pattern in patterns.iter().cycle().take(16) {
                assert!(!names.iter().any(|name| pattern.matches(name)));
            }
            began.elapsed()
        });
        let took = took.min().expect("three");
        println!("{took:?}");
        // Far more than a debug build on a busy machine needs.
        assert!(took <= Duration::from_millis(400), "{took:?}");
    }
}
