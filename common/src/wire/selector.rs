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
    /// Every other client.
    All,
    /// One client, by rank or by name.
    Single(Single<'a>),
    /// Several, each once.
    List(List),
}

/// One client, by what names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Single<'a> {
    Rank(u32),
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
        return check_pattern(part).map(|()| Item::Pattern(part));
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

/// Checks a pattern of names: it starts like a name or with `*` or `?`, and goes on with these and
/// the characters of names.
///
/// # Errors
/// It is no pattern, or has more than [`MAX_PATTERN`] characters.
pub fn check_pattern(text: &str) -> Result<(), SelectorError> {
    let starts_right = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "*?".contains(c));
    let rest_is_right = text.bytes().all(|b| is_name_byte(b) || b"*?".contains(&b));
    match starts_right && rest_is_right {
        true if text.len() > MAX_PATTERN => Err(SelectorError::PatternTooLong(text.len())),
        true => Ok(()),
        false => Err(SelectorError::NoItem(clip(text).into())),
    }
}

/// Whether an item is a pattern rather than a name or a rank.
pub fn is_pattern(part: &str) -> bool {
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
