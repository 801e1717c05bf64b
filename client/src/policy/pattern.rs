//! What a sender's word must look like: a regular expression that matches all of it.
//!
//! `regex-lite` rather than `regex`, because its `\d`, `\w`, `\s` and `(?i)` know ASCII only: with
//! `regex`, `\d+` also takes `٣` and `(?i)k` the Kelvin sign, which the author of a policy hardly
//! means. Both match in time linear in the word. `.` takes no newline, but `[^/]` and `\s` do.

use regex_lite::{Regex, RegexBuilder};

/// Bytes of a pattern: an alternation of two hundred host names fits.
const MAX_PATTERN: usize = 4 << 10;

/// Bytes of a compiled pattern: a pattern of [`MAX_PATTERN`] plain letters fits, and so does
/// `[A-Za-z0-9.-]{1,253}`, the longest domain name, eight times.
const MAX_COMPILED: usize = 256 << 10;

/// How deep groups may nest: deeper than people write, and far from the end of a stack.
const MAX_NESTING: u32 = 32;

/// A regular expression that matches whole words only.
#[derive(Clone, derive_more::Debug)]
#[debug("Pattern({text:?})")]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("it has more than {MAX_PATTERN} bytes"));
        }
        // By itself first: `a)|(?:b` would only be well-formed inside the group below,
        // and would take the anchors off.
        compile(text)?;
        // A pattern that is well-formed can still end inside a comment of `(?x)`, which
        // would swallow the end of the group: then this fails, and nothing is let through.
        let regex = compile(&format!(r"\A(?:{text})\z"))
            .map_err(|reason| format!("matched against a whole word: {reason}"))?;
        Ok(Pattern {
            text: text.to_owned(),
            regex,
        })
    }

    /// Whether all of a word is what the pattern says, from its first byte to its last.
    pub fn matches(&self, word: &str) -> bool {
        self.regex.is_match(word)
    }

    /// The pattern as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(MAX_COMPILED).nest_limit(MAX_NESTING);
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_words_only() {
        for (pattern, word, matches) in [
            ("[a-z]+", "abc", true),
            ("[a-z]+", "abc\n", false),
            ("[a-z]+", "\nabc", false),
            ("[a-z]+", "abc\0", false),
            ("[a-z]+", "", false),
            ("^[a-z]+$", "abc\n", false),
            ("(?m)^[a-z]+$", "abc\ndef", false),
            ("(?m)^[a-z]+$", "abc", true),
            ("a|ab", "ab", true),
            ("a|b", "ab", false),
            ("a|b", "xb", false),
            ("^a|b$", "ax", false),
            ("^a|b$", "xb", false),
            ("", "", true),
            ("", "a", false),
            ("a||b", "", true),
            (".*", "a\nb", false),
            (".*", "a b;$(c)", true),
            ("(?s).*", "a\nb", true),
            ("(?-s).*(?s)", "a\nb", false),
            ("(?i)k", "K", true),
            ("(?i)k", "\u{212a}", false),
            (r"\d+", "\u{663}", false),
            (r"\w+", "\u{430}", false),
            ("[a-z]", "\u{430}", false),
            (".", "\u{1f986}", true),
            ("(?x) a b # c\n", "ab", true),
        ] {
            let compiled = Pattern::new(pattern).expect(pattern);
            assert_eq!(compiled.matches(word), matches, "{pattern:?} on {word:?}");
        }
    }

    #[test]
    fn wrong_patterns_are_refused_with_a_reason() {
        let long = "a".repeat(MAX_PATTERN + 1);
        let deep = format!("{}a{}", "(".repeat(99), ")".repeat(99));
        for (pattern, reason) in [
            ("[a-z", "unclosed character class"),
            ("a)|(?:b", "closing ')' without matching"),
            ("a)\\z|\\A(b", "closing ')' without matching"),
            ("a(", "open group"),
            ("*", "repetition"),
            ("\\", "escape"),
            ("(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"\pL", "Unicode"),
            ("(?x)a # b", "against a whole word"),
            ("(((a{99}){99}){99}){99}", "size"),
            ("(.?){2000}", "size"),
            (&deep, "nesting"),
            (&long, "4096 bytes"),
        ] {
            let error = Pattern::new(pattern).expect_err(pattern);
            assert!(error.contains(reason), "{pattern:.60}: {error}");
        }
    }

    #[test]
    fn long_words_and_long_names_are_matched() {
        let domain = Pattern::new("[A-Za-z0-9.-]{1,253}").expect("it fits");
        assert!(domain.matches(&"a".repeat(253)));
        assert!(!domain.matches(&"a".repeat(254)));
        assert!(!domain.matches(&"a".repeat(1 << 20)));
        let plain = "a".repeat(MAX_PATTERN);
        assert!(Pattern::new(&plain).expect("it fits").matches(&plain));
        let any = Pattern::new(".*").expect("it fits");
        assert!(any.matches(&"a".repeat(1 << 18)));
    }
}
