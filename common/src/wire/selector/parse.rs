//! Reads a selector: its words, then its list, item by item.

use super::error::SelectorError;
use super::items::{Item, Items};
use super::node_set::NodeSet;
use super::single::Single;
use super::{List, Selector};
use crate::limits::{
    MAX_PATTERN, MAX_SELECTOR, MAX_SELECTOR_ITEMS, MAX_SELECTOR_NAMES, MAX_SELECTOR_PATTERNS,
};
use crate::wire::name::{WORDS, is_digits, is_name, is_name_byte};
use crate::wire::tags::{is_key, is_value, is_value_byte};
use crate::wire::text::clip;
use crate::wire::wildcard::Wildcard;
use std::str::FromStr;

impl<'a> Selector<'a> {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn parse(text: &'a str) -> Result<Selector<'a>, SelectorError> {
        match text {
            "next" => Ok(Selector::Next),
            "least-loaded" => Ok(Selector::LeastLoaded),
            "below" => Ok(Selector::Below),
            "all" => Ok(Selector::All),
            _ if is_name(text) => Ok(Selector::Single(Single::Name(text.into()))),
            _ => parse_items(text),
        }
    }
}

impl FromStr for Selector<'static> {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Ok(match Selector::parse(text)? {
            Selector::Single(single) => Selector::Single(single.into_owned()),
            Selector::Next => Selector::Next,
            Selector::NextOf(list) => Selector::NextOf(list),
            Selector::LeastLoaded => Selector::LeastLoaded,
            Selector::LeastLoadedOf(list) => Selector::LeastLoadedOf(list),
            Selector::Below => Selector::Below,
            Selector::All => Selector::All,
            Selector::List(list) => Selector::List(list),
        })
    }
}

#[inline(never)]
fn parse_items(text: &str) -> Result<Selector<'_>, SelectorError> {
    if text.len() > MAX_SELECTOR {
        return Err(SelectorError::TooLong(text.len()));
    }
    if let Some(list) = text.strip_prefix("next:") {
        return read(list, text)?.into_list().map(Selector::NextOf);
    }
    if let Some(list) = text.strip_prefix("least-loaded:") {
        return read(list, text)?.into_list().map(Selector::LeastLoadedOf);
    }
    let mut items = read(text, text)?;
    // A rank alone is that client; a range of one is a list all the same.
    if items.included.len() == 1 && items.excluded.is_empty() {
        match items.included.pop() {
            Some(Item::One(one)) => return Ok(Selector::Single(one)),
            item => items.included.extend(item),
        }
    }
    items.into_list().map(Selector::List)
}

/// The items of a list that were understood, and are within the bounds.
struct ReadItems<'a> {
    included: Vec<Item<'a>>,
    excluded: Vec<Item<'a>>,
}

/// Reads a list, which is the whole selector, or the end of it.
fn read<'a>(list: &'a str, whole: &str) -> Result<ReadItems<'a>, SelectorError> {
    check_counts(list)?;
    let (mut included, mut excluded) = (Vec::new(), Vec::new());
    for part in parts(list) {
        match part.strip_prefix('!') {
            Some("") => return Err(SelectorError::BareExclusion(clip(whole).into())),
            Some(part) => excluded.push(item(part, whole)?),
            None => included.push(item(part, whole)?),
        }
    }
    let counts = included.iter().chain(&excluded).map(Item::count);
    match counts.fold(0, u64::saturating_add) {
        names if names > MAX_SELECTOR_NAMES => Err(SelectorError::TooManyNames(names)),
        _ => Ok(ReadItems { included, excluded }),
    }
}

/// Holds a list to the bounds that can be seen before its items are read.
fn check_counts(text: &str) -> Result<(), SelectorError> {
    let operands = |part: &str| part.split('&').count();
    let count = parts(text).map(operands).sum();
    if count > MAX_SELECTOR_ITEMS {
        return Err(SelectorError::TooManyItems(count));
    }
    let mut patterns = 0;
    for part in parts(text).filter(|part| part.contains(['*', '?', '&'])) {
        let length = part.strip_prefix('!').unwrap_or(part).len();
        if length > MAX_PATTERN {
            return Err(SelectorError::PatternTooLong(length));
        }
        // Each pattern costs a pass over all clients, also behind a `&`.
        patterns += part
            .split('&')
            .filter(|part| is_pattern(part))
            .count()
            .max(1);
    }
    match patterns {
        ..=MAX_SELECTOR_PATTERNS => Ok(()),
        _ => Err(SelectorError::TooManyPatterns(patterns)),
    }
}

/// The parts of a list between its commas, of which those inside brackets are none.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.split(move |c| {
        match c {
            '[' => is_inside = true,
            ']' => is_inside = false,
            _ => {}
        }
        c == ',' && !is_inside
    })
}

impl ReadItems<'_> {
    fn into_list(self) -> Result<Box<List>, SelectorError> {
        let mut list = Box::<List>::default();
        for item in self.excluded {
            item.add_to(&mut list.exclude, &mut |_| {})?;
        }
        list.exclude.tidy();
        let named = &mut list.named;
        for item in self.included {
            item.add_to(&mut list.include, &mut |one| named.push(one))?;
        }
        list.include.tidy();
        let exclude = &list.exclude;
        list.named.retain(|one| !exclude.find(&one.into()));
        Ok(list)
    }
}

impl Item<'_> {
    /// How many names its node sets stand for.
    fn count(&self) -> u64 {
        match self {
            Item::NodeSet(set) => set.count(),
            Item::Each(operands) => {
                let counts = operands.iter().map(Item::count);
                counts.fold(0, u64::saturating_add)
            }
            _ => 0,
        }
    }

    /// Adds it to others; tells what names one client and is new.
    fn add_to(
        self,
        items: &mut Items,
        named: &mut dyn FnMut(Single<'static>),
    ) -> Result<(), SelectorError> {
        items.are_some = true;
        let mut add_one = |items: &mut Items, one: Single<'_>| {
            if items.add_one(&one) {
                named(one.into_owned());
            }
        };
        match self {
            Item::One(one) => add_one(items, one),
            Item::NodeSet(set) => {
                let names = set.expand()?.into_iter();
                names.for_each(|name| add_one(items, Single::Name(name.into())));
            }
            Item::Range(first, last) => items.ranges.push((first, last)),
            Item::Pattern(pattern) => items.patterns.push(Wildcard::new(pattern)),
            Item::Tag(key, value) => {
                let values = items.tags.entry(key.into()).or_default();
                values.insert(value.into());
            }
            Item::TagPattern(key, pattern) => {
                let pattern = Wildcard::new(pattern);
                items.tag_patterns.push((key.into(), pattern));
            }
            Item::Each(operands) => {
                let operands = operands.into_iter().map(|operand| {
                    let mut items = Items::default();
                    operand.add_to(&mut items, &mut |_| {}).map(|()| items)
                });
                items.joined.push(operands.collect::<Result<_, _>>()?);
            }
        }
        Ok(())
    }
}

fn item<'a>(part: &'a str, whole: &str) -> Result<Item<'a>, SelectorError> {
    if part.is_empty() {
        return Err(SelectorError::EmptyItem(clip(whole).into()));
    }
    if !part.contains('&') {
        return plain_item(part);
    }
    let operands = part.split('&').map(|operand| match operand {
        "" => Err(SelectorError::EmptyItem(clip(whole).into())),
        operand if operand.starts_with('!') => Err(SelectorError::ExcludedPart(clip(part).into())),
        operand => plain_item(operand),
    });
    operands.collect::<Result<_, _>>().map(Item::Each)
}

/// An item without `&`.
fn plain_item(part: &str) -> Result<Item<'_>, SelectorError> {
    let quoted = || String::from(clip(part));
    if let Some(number) = part.strip_prefix('#') {
        let is_number = is_digits(number).then(|| number.parse().ok());
        return match is_number.flatten() {
            Some(number) => Ok(Item::One(Single::Member(number))),
            None => Err(SelectorError::NoNumber(quoted())),
        };
    }
    if let Some((key, value)) = part.split_once('=') {
        return tag(key, value).ok_or_else(|| SelectorError::NoTag(quoted()));
    }
    if part.contains(['[', ']']) {
        return NodeSet::read(part).map(Item::NodeSet);
    }
    if is_pattern(part) {
        return check_pattern(part).map(|()| Item::Pattern(part));
    }
    if let Some(ranks) = ranks(part) {
        return ranks;
    }
    if WORDS.contains(&part) {
        return Err(SelectorError::WordInList(quoted()));
    }
    match is_name(part) {
        true => Ok(Item::One(Single::Name(part.into()))),
        false => Err(SelectorError::NoItem(quoted())),
    }
}

fn tag<'a>(key: &'a str, value: &'a str) -> Option<Item<'a>> {
    let is_right = |b: u8| is_value_byte(b) || b"*?".contains(&b);
    match is_key(key) {
        true if is_value(value) => Some(Item::Tag(key, value)),
        true if is_pattern(value) && value.bytes().all(is_right) => {
            Some(Item::TagPattern(key, value))
        }
        _ => None,
    }
}

/// A rank or a range, if it is meant as one.
fn ranks(part: &str) -> Option<Result<Item<'_>, SelectorError>> {
    let quoted = || String::from(clip(part));
    let rank = |text: &str| {
        text.parse()
            .map_err(|_| SelectorError::RankTooLarge(clip(text).into()))
    };
    match part.split_once('-') {
        None if is_digits(part) => Some(rank(part).map(|rank| Item::One(Single::Rank(rank)))),
        Some((first, last)) if is_digits(first) && is_digits(last) => {
            if first.is_empty() || last.is_empty() {
                return Some(Err(SelectorError::OpenRange(quoted())));
            }
            let range = rank(first).and_then(|first| Ok((first, rank(last)?)));
            Some(range.and_then(|(first, last)| match first <= last {
                true => Ok(Item::Range(first, last)),
                false => Err(SelectorError::ReversedRange(quoted())),
            }))
        }
        _ => None,
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
