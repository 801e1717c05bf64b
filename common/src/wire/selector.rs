//! Whom a command is for, as text: `next`, `below`, `all`, `least-loaded`, or a list of
//! ranks, ranges, names, patterns and exclusions. What a selector finds is decided in
//! one place, at the server; this module only reads it.

use crate::limits::{
    MAX_NAME, MAX_PATTERN, MAX_SELECTOR, MAX_SELECTOR_ITEMS, MAX_SELECTOR_PATTERNS,
};
use crate::wire::message::clip;
use crate::wire::wildcard::Wildcard;
use std::borrow::Cow;
use std::collections::HashSet;
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

/// One client, by what names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Single<'a> {
    /// By its rank.
    Rank(u32),
    /// By its name.
    Name(Cow<'a, str>),
}

/// A list of items, separated by commas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    include: Items,
    exclude: Items,
    /// What `include` names one by one, in the order of the text, each once, without what
    /// `exclude` leaves out whether such a client is here or not.
    named: Vec<Single<'static>>,
}

/// Items in a form that finds a client without a look at each of them: a list may have
/// thousands, and as many clients are held against it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Items {
    /// Items that name one client.
    ones: HashSet<Single<'static>>,
    /// Ranges of ranks, in order and apart from each other.
    ranges: Vec<(u32, u32)>,
    patterns: Vec<Wildcard>,
}

/// One item as it stands in the text.
enum Item<'a> {
    One(Single<'a>),
    Range(u32, u32),
    Pattern(&'a str),
}

impl Items {
    fn is_empty(&self) -> bool {
        self.ones.is_empty() && self.ranges.is_empty() && self.patterns.is_empty()
    }

    /// Adds an item; returns what names one client and is new.
    fn add(&mut self, item: Item<'_>) -> Option<Single<'static>> {
        match item {
            Item::One(one) => {
                let one = one.into_owned();
                return self.ones.insert(one.clone()).then_some(one);
            }
            Item::Range(first, last) => self.ranges.push((first, last)),
            Item::Pattern(pattern) => self.patterns.push(Wildcard::new(pattern)),
        }
        None
    }

    /// Puts the ranges in order, and those together that overlap.
    fn tidy(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, range| {
            let overlaps = next.0 <= range.1;
            if overlaps {
                range.1 = range.1.max(next.1);
            }
            overlaps
        });
    }

    fn has_rank(&self, rank: u32) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < rank);
        let in_range = self.ranges.get(at).is_some_and(|(first, _)| *first <= rank);
        in_range || self.ones.contains(&Single::Rank(rank))
    }

    fn has_name(&self, name: &str) -> bool {
        self.ones.contains(&Single::Name(name.into()))
            || self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    fn has(&self, one: &Single<'_>) -> bool {
        match one {
            Single::Rank(rank) => self.has_rank(*rank),
            Single::Name(name) => self.has_name(name),
        }
    }
}

impl List {
    /// Whether it names no client and only leaves some out.
    pub fn only_excludes(&self) -> bool {
        self.include.is_empty()
    }

    /// Whether an item names this client.
    pub fn includes(&self, rank: u32, name: &str) -> bool {
        self.include.has_rank(rank) || self.include.has_name(name)
    }

    /// Whether an item leaves this client out.
    pub fn excludes(&self, rank: u32, name: &str) -> bool {
        self.exclude.has_rank(rank) || self.exclude.has_name(name)
    }

    /// What it names one by one, each once and in the order of the text: these clients are
    /// expected to be here. What an exclusion leaves out is not among them.
    pub fn named(&self) -> &[Single<'static>] {
        &self.named
    }

    /// Whether one of its items names one client, and names it like this.
    pub fn names(&self, one: &Single<'_>) -> bool {
        self.include.ones.contains(one)
    }
}

impl Single<'_> {
    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Single<'static> {
        match self {
            Single::Rank(rank) => Single::Rank(rank),
            Single::Name(name) => Single::Name(Cow::Owned(name.into_owned())),
        }
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
            Selector::Single(single) => Selector::Single(single.into_owned()),
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
                Some(excluded) => {
                    list.exclude.add(item(excluded, text)?);
                }
                None => match item(part, text)? {
                    // A rank alone is that client; a range of one is a list all the same.
                    Item::One(rank) if count == 1 => return Ok(Selector::Single(rank)),
                    item => list.named.extend(list.include.add(item)),
                },
            }
        }
        list.include.tidy();
        list.exclude.tidy();
        let exclude = &list.exclude;
        list.named.retain(|one| !exclude.has(one));
        Ok(Selector::List(list))
    }
}

fn item<'a>(part: &'a str, whole: &str) -> Result<Item<'a>, SelectorError> {
    let quoted = || String::from(clip(part));
    let rank = |text: &str| {
        text.parse()
            .map_err(|_| SelectorError::RankTooLarge(clip(text).into()))
    };
    if part.is_empty() {
        return Err(SelectorError::EmptyItem(clip(whole).into()));
    }
    if is_pattern(part) {
        let starts_right =
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || "*?".contains(c));
        let rest_is_right = part.bytes().all(|b| is_name_byte(b) || b"*?".contains(&b));
        return match starts_right && rest_is_right {
            true if part.len() > MAX_PATTERN => Err(SelectorError::PatternTooLong(part.len())),
            true => Ok(Item::Pattern(part)),
            false => Err(SelectorError::NoItem(quoted())),
        };
    }
    match part.split_once('-') {
        None if is_digits(part) => return Ok(Item::One(Single::Rank(rank(part)?))),
        Some((first, last)) if is_digits(first) && is_digits(last) => {
            if first.is_empty() || last.is_empty() {
                return Err(SelectorError::OpenRange(quoted()));
            }
            let (first, last) = (rank(first)?, rank(last)?);
            return match first <= last {
                true => Ok(Item::Range(first, last)),
                false => Err(SelectorError::ReversedRange(quoted())),
            };
        }
        _ => {}
    }
    if WORDS.contains(&part) {
        return Err(SelectorError::WordInList(quoted()));
    }
    match is_name(part) {
        true => Ok(Item::One(Single::Name(part.into()))),
        false => Err(SelectorError::NoItem(quoted())),
    }
}

fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// Whether there is nothing but digits, if anything.
fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// Whether a text has the form of a name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, and is neither a
/// rank nor a range of ranks, open ones included.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(is_name_byte)
        && !is_ranks(text)
}

/// `2`, `3-` or `3-7`.
fn is_ranks(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, ""));
    !first.is_empty() && is_digits(first) && is_digits(last)
}

/// Checks a name that a client asks for.
///
/// # Errors
/// A sentence that names it and says what would be right.
pub fn check_name(name: &str) -> Result<(), String> {
    if is_ranks(name) {
        return Err(format!(
            "the name {:?} is not allowed: it would be read as a rank or a range of ranks; \
             add a letter",
            clip(name)
        ));
    }
    if !is_name(name) {
        return Err(format!(
            "the name {:?} is not allowed: a name starts with a letter or a digit, goes on with \
             letters, digits, '.', '_' or '-', and has at most {MAX_NAME} characters",
            clip(name)
        ));
    }
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(format!(
            "the name {name:?} is not allowed: it is a selector"
        ));
    }
    let (start, end) = name.split_at(name.len().min(GIVEN.len()));
    if start.eq_ignore_ascii_case(GIVEN) && !end.is_empty() && is_digits(end) {
        return Err(format!(
            "the name {name:?} is not allowed: the server gives names of that form; take another, such as web1"
        ));
    }
    Ok(())
}

/// How the names begin that a server gives; a client's number follows.
pub const GIVEN: &str = "client-";

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
    use proptest::prelude::*;
    use regex_lite::Regex;
    use std::time::{Duration, Instant};

    fn read(text: &str) -> Selector<'_> {
        Selector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn words_and_single_clients() {
        assert_eq!(read("next"), Selector::Next);
        assert_eq!(read("least-loaded"), Selector::LeastLoaded);
        assert_eq!(read("2"), Selector::Single(Single::Rank(2)));
        assert_eq!(read("web1"), Selector::Single(Single::Name("web1".into())));
        for list in [
            "2-2", "web*", "!2", "2,2", "a,!b", "a-1,b", "2*", "3-*", "10.0.0.?",
        ] {
            assert!(matches!(read(list), Selector::List(_)), "{list}");
        }
        // A name may look almost like a rank, a range or a word.
        for name in [
            "a-1",
            "nexT",
            "10.0.0.7",
            "3com-sw1",
            "7a3f9c01b2d4",
            "2x",
            "1-2-3",
            "3--",
            "3-4-",
            "3-x",
            "2.",
            "2_",
        ] {
            assert_eq!(read(name), Selector::Single(Single::Name(name.into())));
        }
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
            "03-",
            "-3",
            "-",
            "7-3",
            "4294967296",
            "0-4294967296",
            "0-",
            "-*",
            "-3*",
            "_*",
            ".*",
            "a b",
            "1, 2",
            "käse",
            "!!1",
            "all,1",
            "below,!x",
            "_a",
            ".a",
            "-a",
            "--",
            "a/b",
            long_name.as_str(),
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert_eq!(read("4294967295"), Selector::Single(Single::Rank(u32::MAX)));
        let many = |n: usize| vec!["1"; n].join(",");
        assert!(Selector::parse(&many(MAX_SELECTOR_ITEMS)).is_ok());
        assert_eq!(
            Selector::parse(&many(MAX_SELECTOR_ITEMS + 1)),
            Err(SelectorError::TooManyItems(10_001))
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
        let long = "a234567,".repeat(8 << 10);
        assert!(Selector::parse(&long[..long.len() - 1]).is_ok());
        let too_long = long + "a";
        assert_eq!(
            Selector::parse(&too_long),
            Err(SelectorError::TooLong(65_537))
        );
    }

    #[test]
    fn items_that_name_one_client_are_told_once_each_and_in_order() {
        for (text, expected) in [
            ("b,a,3,b,03,1-9,a*", "b,a,rank 3"),
            ("a,!a", ""),
            ("a,b,!a*", "b"),
            ("!1-3,2,7,0", "rank 7,rank 0"),
            ("a,A,!nope", "a,A"),
            ("!x", ""),
        ] {
            let Selector::List(list) = read(text) else {
                panic!("{text} is a list");
            };
            let named: Vec<String> = list.named().iter().map(Single::to_string).collect();
            assert_eq!(named.join(","), expected, "{text}");
            assert!(list.named().iter().all(|one| list.names(one)), "{text}");
        }
    }

    #[test]
    fn ten_thousand_names_are_held_against_ten_thousand_clients_in_one_pass() {
        let names: Vec<String> = (0..10_000).map(|n| format!("w{n}")).collect();
        let text = names.join(",");
        let others: Vec<String> = (0..10_000).map(|n| format!("x{n}")).collect();
        let took = || {
            let started = Instant::now();
            let Selector::List(list) = read(&text) else {
                panic!("it is a list");
            };
            let found = |names: &[String]| {
                let clients = (0..).zip(names);
                clients
                    .filter(|(rank, name)| list.includes(*rank, name))
                    .count()
            };
            assert_eq!((found(&names), found(&others)), (10_000, 0));
            assert_eq!(list.named().len(), 10_000);
            started.elapsed()
        };
        // Item by item this is 10^8 comparisons and more: seconds in a build for tests. The best of
        // a few tries, as other programs use the machine as well.
        let took = (0..3).map(|_| took()).min().expect("three");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn names_a_client_may_ask_for() {
        for right in [
            "a",
            "web-1.rack_2",
            "client-x",
            "client-",
            "Client-x",
            "client-1x",
            "nextdoor",
            "10.0.0.7",
            "3com-sw1",
            "7a3f9c01b2d4",
            "1-2-3",
            "1a",
        ] {
            assert_eq!(check_name(right), Ok(()), "{right}");
        }
        let long = "x".repeat(65);
        for wrong in [
            "",
            "1",
            "007",
            "1-",
            "1-2",
            "9-1",
            "99999999999999999999-1",
            "a b",
            "ä",
            "client-ä",
            "cliént-1",
            "-a",
            "client-1",
            "client-007",
            "Client-1",
            "CLIENT-007",
            "all",
            "next",
            "Next",
            "BELOW",
            "Least-Loaded",
            &long,
        ] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }

    /// What a text is that has no comma and no `!`, by the letter of the protocol.
    fn forms(text: &str) -> Vec<&'static str> {
        let is = |form: &str| Regex::new(form).expect("a pattern").is_match(text);
        let ends: Vec<Option<u32>> = text.split('-').map(|end| end.parse().ok()).collect();
        [
            ("word", WORDS.contains(&text)),
            ("rank", is("^[0-9]+$") && ends[0].is_some()),
            (
                "range",
                is("^[0-9]+-[0-9]+$") && !ends.contains(&None) && ends[0] <= ends[1],
            ),
            (
                "name",
                is("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
                    && !is("^[0-9]+(-[0-9]*)?$")
                    && !WORDS.contains(&text),
            ),
            (
                "pattern",
                is("^[A-Za-z0-9*?][A-Za-z0-9._*?-]*$") && text.contains(['*', '?']),
            ),
        ]
        .into_iter()
        .filter_map(|(form, is_it)| is_it.then_some(form))
        .collect()
    }

    proptest! {
        #[test]
        fn every_text_has_one_form_at_most_and_is_read_as_that(
            text in "[0-9]{0,3}[0-9aZ._*?-]{0,6}|[0-9]{1,12}-?[0-9]{0,12}|\\PC{0,8}|next|a{60,66}",
        ) {
            let text = text.replace([',', '!'], "x");
            let forms = forms(&text);
            prop_assert!(forms.len() <= 1, "{:?}: {:?}", text, forms);
            let read = Selector::parse(&text);
            match forms.first() {
                None => prop_assert!(read.is_err()),
                Some(&"word") => prop_assert!(!matches!(read, Ok(Selector::Single(_) | Selector::List(_)) | Err(_))),
                Some(&"rank") => prop_assert!(matches!(read, Ok(Selector::Single(Single::Rank(_))))),
                Some(&"name") => prop_assert_eq!(read, Ok(Selector::Single(Single::Name(text.as_str().into())))),
                Some(_) => prop_assert!(matches!(read, Ok(Selector::List(_)))),
            }
            // So what a client may be called finds that client, and nothing else does.
            let is_name = forms == ["name"];
            prop_assert!(check_name(&text).is_err() || is_name);
            prop_assert_eq!(super::is_name(&text), is_name || WORDS.contains(&text.as_str()));
        }

        /// A list is right if each of its items is, and finds what they find one by one.
        #[test]
        fn a_list_finds_what_its_items_find(
            items in prop::collection::vec("!?([0-9]{1,2}|[0-4]-[0-9]{1,2}|[ab]{1,2}|[0-9a]?[*?]|-|1-)", 2..8),
            ranks in prop::collection::vec(0u32..100, 8),
        ) {
            let text = items.join(",");
            let bare = |item: &String| item.trim_start_matches('!').to_owned();
            let are_right = items.iter().all(|item| !forms(&bare(item)).is_empty());
            let Ok(Selector::List(list)) = Selector::parse(&text) else {
                prop_assert!(!are_right, "{}", text);
                return Ok(());
            };
            prop_assert!(are_right, "{}", text);
            let finds = |item: &String, rank: u32, name: &str| {
                let item = bare(item);
                let (first, last) = item.split_once('-').unwrap_or((&item, &item));
                match (first.parse(), last.parse()) {
                    (Ok(first), Ok(last)) => (first..=last).contains(&rank),
                    _ => {
                        let form = item.replace('.', "\\.").replace('*', ".*").replace('?', ".");
                        Regex::new(&format!("^{form}$")).expect("a pattern").is_match(name)
                    }
                }
            };
            for (rank, name) in ranks.into_iter().zip(["a", "b", "ab", "ba", "aa", "7x", "1.a", "A"]) {
                let by_items = |excluded: bool| {
                    let mut items = items.iter().filter(|item| item.starts_with('!') == excluded);
                    items.any(|item| finds(item, rank, name))
                };
                prop_assert_eq!(list.includes(rank, name), by_items(false), "{} {} {}", text, rank, name);
                prop_assert_eq!(list.excludes(rank, name), by_items(true), "{} {} {}", text, rank, name);
            }
        }
    }
}
