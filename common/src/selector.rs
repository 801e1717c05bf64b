//! Whom a command is for, as text: `next`, `below`, `all`, `least-loaded`, or a list of
//! ranks, ranges, names, patterns and exclusions. What a selector finds is decided in
//! one place, at the server; this module only reads it.

use crate::limits::{
    MAX_NAME, MAX_PATTERN, MAX_SELECTOR, MAX_SELECTOR_ITEMS, MAX_SELECTOR_PATTERNS,
};
use crate::message::clip;
use crate::wildcard::Wildcard;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A selector that was understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector<'a> {
    /// The nearest lower-ranked client that executes.
    Next,
    /// The lower-ranked client with the smallest share of its slots in use.
    LeastLoaded,
    /// Every lower-ranked client that executes.
    Below,
    /// Everybody else.
    All,
    /// One client, by rank or by name.
    Single(Single<'a>),
    /// Several, each once.
    List(List),
}

/// One client, named alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Single<'a> {
    /// By its rank.
    Rank(u32),
    /// By its name.
    Name(Cow<'a, str>),
}

/// A list of items, separated by commas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    include: Vec<Item>,
    exclude: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Ranks(u32, u32),
    Name(String),
    Pattern(Wildcard),
}

impl Item {
    fn matches(&self, rank: u32, name: &str) -> bool {
        match self {
            Item::Ranks(first, last) => (*first..=*last).contains(&rank),
            Item::Name(wanted) => wanted == name,
            Item::Pattern(pattern) => pattern.matches(name),
        }
    }
}

impl List {
    /// Whether it names nobody and only leaves some out.
    pub fn only_excludes(&self) -> bool {
        self.include.is_empty()
    }

    /// Whether an item names this client.
    pub fn includes(&self, rank: u32, name: &str) -> bool {
        self.include.iter().any(|item| item.matches(rank, name))
    }

    /// Whether an item leaves this client out.
    pub fn excludes(&self, rank: u32, name: &str) -> bool {
        self.exclude.iter().any(|item| item.matches(rank, name))
    }
}

/// The words that are selectors by themselves, and no names.
pub const WORDS: [&str; 4] = ["next", "least-loaded", "below", "all"];

/// Why a text is no selector.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Longer than the protocol allows.
    #[error("the selector has {0} bytes; at most {MAX_SELECTOR} are allowed")]
    TooLong(usize),
    /// More items than the protocol allows.
    #[error("the selector has {0} items; at most {MAX_SELECTOR_ITEMS} are allowed")]
    TooManyItems(usize),
    /// More patterns than the protocol allows.
    #[error("the selector has {0} patterns; at most {MAX_SELECTOR_PATTERNS} are allowed")]
    TooManyPatterns(usize),
    /// A pattern that is longer than the protocol allows.
    #[error("a pattern has {0} characters; at most {MAX_PATTERN} are allowed")]
    PatternTooLong(usize),
    /// Nothing between two commas, or nothing at all.
    #[error(
        "the selector {0:?} has an empty item; write next, below, all, least-loaded or a list such as 2,4-6,web*,!web3"
    )]
    EmptyItem(String),
    /// A `!` alone.
    #[error(
        "the selector {0:?} has a bare \"!\"; write what to leave out right after it, such as !web3"
    )]
    BareExclusion(String),
    /// A range that lacks an end.
    #[error("the range {0:?} is open; write both ends, such as 3-7")]
    OpenRange(String),
    /// A range whose ends are the wrong way round.
    #[error("the range {0:?} is reversed; write the smaller rank first")]
    ReversedRange(String),
    /// A rank that no client can have.
    #[error("the rank {0:?} is beyond 32 bits")]
    RankTooLarge(String),
    /// A word that cannot stand in a list.
    #[error("{0:?} stands alone; a list has ranks, ranges, names and patterns")]
    WordInList(String),
    /// None of the forms an item has.
    #[error("{0:?} is neither a rank (2), a range (3-7), a name (web1) nor a pattern (web*)")]
    NoItem(String),
}

impl FromStr for Selector<'static> {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Ok(match Selector::parse(text)? {
            Selector::Single(Single::Name(name)) => {
                Selector::Single(Single::Name(Cow::Owned(name.into_owned())))
            }
            Selector::Single(Single::Rank(rank)) => Selector::Single(Single::Rank(rank)),
            Selector::Next => Selector::Next,
            Selector::LeastLoaded => Selector::LeastLoaded,
            Selector::Below => Selector::Below,
            Selector::All => Selector::All,
            Selector::List(list) => Selector::List(list),
        })
    }
}

impl<'a> Selector<'a> {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn parse(text: &'a str) -> Result<Selector<'a>, SelectorError> {
        match text {
            "next" => return Ok(Selector::Next),
            "least-loaded" => return Ok(Selector::LeastLoaded),
            "below" => return Ok(Selector::Below),
            "all" => return Ok(Selector::All),
            _ if is_name(text) => return Ok(Selector::Single(Single::Name(text.into()))),
            _ => {}
        }
        if text.len() > MAX_SELECTOR {
            return Err(SelectorError::TooLong(text.len()));
        }
        let count = text.split(',').count();
        if count > MAX_SELECTOR_ITEMS {
            return Err(SelectorError::TooManyItems(count));
        }
        let patterns = text.split(',').filter(|part| is_pattern(part)).count();
        if patterns > MAX_SELECTOR_PATTERNS {
            return Err(SelectorError::TooManyPatterns(patterns));
        }
        let mut list = List::default();
        for part in text.split(',') {
            match part.strip_prefix('!') {
                Some("") => return Err(SelectorError::BareExclusion(clip(text).into())),
                Some(excluded) => list.exclude.push(item(excluded, text)?),
                None => list.include.push(item(part, text)?),
            }
        }
        Ok(match (list.include.as_slice(), list.exclude.is_empty()) {
            // A rank alone is that client; a range of one is a list all the same.
            ([Item::Ranks(rank, _)], true) if !text.contains('-') => {
                Selector::Single(Single::Rank(*rank))
            }
            _ => Selector::List(list),
        })
    }
}

fn item(part: &str, whole: &str) -> Result<Item, SelectorError> {
    let quoted = || String::from(clip(part));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let rank = |text: &str| {
        text.parse()
            .map_err(|_| SelectorError::RankTooLarge(clip(text).into()))
    };
    if part.is_empty() {
        return Err(SelectorError::EmptyItem(clip(whole).into()));
    }
    if is_number(part) {
        let rank = rank(part)?;
        return Ok(Item::Ranks(rank, rank));
    }
    if let Some((first, last)) = part.split_once('-') {
        match (is_number(first), is_number(last)) {
            (true, true) => {
                let (first, last) = (rank(first)?, rank(last)?);
                if first > last {
                    return Err(SelectorError::ReversedRange(quoted()));
                }
                return Ok(Item::Ranks(first, last));
            }
            (true, false) if last.is_empty() => return Err(SelectorError::OpenRange(quoted())),
            (false, _) if first.is_empty() => return Err(SelectorError::OpenRange(quoted())),
            _ => {}
        }
    }
    if WORDS.contains(&part) {
        return Err(SelectorError::WordInList(quoted()));
    }
    if is_pattern(part) {
        let starts_right = part.starts_with(|c: char| c.is_ascii_alphabetic() || "*?".contains(c));
        let rest_is_right = part.bytes().all(|b| is_name_byte(b) || b"*?".contains(&b));
        return match starts_right && rest_is_right {
            true if part.len() > MAX_PATTERN => Err(SelectorError::PatternTooLong(part.len())),
            true => Ok(Item::Pattern(Wildcard::new(part))),
            false => Err(SelectorError::NoItem(quoted())),
        };
    }
    match is_name(part) {
        true => Ok(Item::Name(part.to_owned())),
        false => Err(SelectorError::NoItem(quoted())),
    }
}

fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?'])
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// Whether a text has the form of a name: `[A-Za-z][A-Za-z0-9._-]{0,63}`.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(is_name_byte)
}

/// Checks a name that a client asks for.
///
/// # Errors
/// A sentence that names it and says what would be right.
pub fn check_name(name: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!(
            "the name {:?} is not allowed: a name starts with a letter, goes on with letters, \
             digits, '.', '_' or '-', and has at most {MAX_NAME} characters",
            clip(name)
        ));
    }
    if WORDS.contains(&name) {
        return Err(format!(
            "the name {name:?} is not allowed: it is a selector"
        ));
    }
    let given = name.strip_prefix("client-");
    if given.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!(
            "the name {name:?} is not allowed: the server gives names of that form"
        ));
    }
    Ok(())
}

impl fmt::Display for Single<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Single::Rank(rank) => write!(f, "rank {rank}"),
            Single::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Selector<'_> {
        Selector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn words_and_single_clients() {
        assert_eq!(read("next"), Selector::Next);
        assert_eq!(read("least-loaded"), Selector::LeastLoaded);
        assert_eq!(read("2"), Selector::Single(Single::Rank(2)));
        assert_eq!(read("web1"), Selector::Single(Single::Name("web1".into())));
        for list in ["2-2", "web*", "!2", "2,2", "a,!b", "a-1,b"] {
            assert!(matches!(read(list), Selector::List(_)), "{list}");
        }
        // A name may look almost like a range or like a word.
        assert_eq!(read("a-1"), Selector::Single(Single::Name("a-1".into())));
        assert_eq!(read("nexT"), Selector::Single(Single::Name("nexT".into())));
    }

    #[test]
    fn lists_match_each_client_once_whatever_the_order() {
        for text in ["1-4,web?,!web3,!2", "!2,web?,!web3,1-4"] {
            let Selector::List(list) = read(text) else {
                panic!("{text} is a list");
            };
            let chosen = |rank, name| list.includes(rank, name) && !list.excludes(rank, name);
            assert!(chosen(1, "x") && chosen(4, "x") && chosen(9, "web1"));
            assert!(!chosen(2, "x") && !chosen(3, "web3") && !chosen(5, "x"));
        }
        let Selector::List(list) = read("!2") else {
            panic!("!2 is a list");
        };
        assert!(list.only_excludes());
    }

    #[test]
    fn malformed_selectors_are_named() {
        let long_name = "x".repeat(65);
        for text in [
            "",
            ",",
            "1,",
            ",1",
            "!",
            "1,!",
            "3-",
            "-3",
            "-",
            "7-3",
            "4294967296",
            "0-4294967296",
            "1-2-3",
            "3-*",
            "2*",
            "a b",
            "1, 2",
            "käse",
            "!!1",
            "all,1",
            "below,!x",
            "2x",
            "_a",
            "a/b",
            long_name.as_str(),
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert_eq!(read("4294967295"), Selector::Single(Single::Rank(u32::MAX)));
        let many = |n: usize| vec!["1"; n].join(",");
        assert!(Selector::parse(&many(64)).is_ok());
        assert_eq!(
            Selector::parse(&many(65)),
            Err(SelectorError::TooManyItems(65))
        );
        let patterns = |n: usize| vec!["!a*,b?"; n / 2].join(",");
        assert!(Selector::parse(&patterns(16)).is_ok());
        assert_eq!(
            Selector::parse(&patterns(18)),
            Err(SelectorError::TooManyPatterns(18))
        );
        let pattern = |n: usize| format!("1,!*{}", "a".repeat(n - 1));
        assert!(Selector::parse(&pattern(128)).is_ok());
        assert_eq!(
            Selector::parse(&pattern(129)),
            Err(SelectorError::PatternTooLong(129))
        );
        let long = "a*,".repeat(2000);
        assert_eq!(Selector::parse(&long), Err(SelectorError::TooLong(6000)));
    }

    #[test]
    fn names_a_client_may_ask_for() {
        for right in [
            "a",
            "web-1.rack_2",
            "client-x",
            "client-",
            "Client-1",
            "nextdoor",
        ] {
            assert_eq!(check_name(right), Ok(()), "{right}");
        }
        let long = "x".repeat(65);
        for wrong in [
            "",
            "1a",
            "a b",
            "ä",
            "-a",
            "client-1",
            "client-007",
            "all",
            "next",
            &long,
        ] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
