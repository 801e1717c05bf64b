//! Items of a list in a form that finds a client without a look at each of them: a list may have
//! thousands, and as many clients are held against it.

use super::node_set::NodeSet;
use super::single::{Single, Subject};
use crate::wire::tags::Tags;
use crate::wire::wildcard::Wildcard;
use std::collections::{HashMap, HashSet};

/// One item as it stands in the text.
pub(super) enum Item<'a> {
    One(Single<'a>),
    Range(u32, u32),
    Pattern(&'a str),
    NodeSet(NodeSet<'a>),
    /// A key and a value.
    Tag(&'a str, &'a str),
    /// A key and a pattern of values.
    TagPattern(&'a str, &'a str),
    /// Joined by `&`.
    Each(Vec<Item<'a>>),
}

/// Items, as they are looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Items {
    ranks: HashSet<u32>,
    members: HashSet<u64>,
    names: HashSet<Box<str>>,
    /// Ranges of ranks, in order and apart from each other.
    pub(super) ranges: Vec<(u32, u32)>,
    pub(super) patterns: Vec<Wildcard>,
    /// The values of each key.
    pub(super) tags: HashMap<Box<str>, HashSet<Box<str>>>,
    pub(super) tag_patterns: Vec<(Box<str>, Wildcard)>,
    /// Items joined by `&`: each of them is to find the client.
    pub(super) joined: Vec<Vec<Items>>,
    /// Whether there is any: most lists leave no client out.
    pub(super) are_some: bool,
}

impl Items {
    pub(super) fn is_empty(&self) -> bool {
        !self.are_some
    }

    /// Adds one that names a client; says whether it is new.
    pub(super) fn add_one(&mut self, one: &Single<'_>) -> bool {
        match one {
            Single::Rank(rank) => self.ranks.insert(*rank),
            Single::Member(member) => self.members.insert(*member),
            Single::Name(name) => self.names.insert((&**name).into()),
        }
    }

    /// Puts the ranges in order, and those together that overlap.
    pub(super) fn tidy(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, range| {
            let overlaps = next.0 <= range.1;
            if overlaps {
                range.1 = range.1.max(next.1);
            }
            overlaps
        });
    }

    /// Whether an item finds this client.
    pub(super) fn find(&self, client: &Subject<'_>) -> bool {
        self.are_some && self.find_among(client)
    }

    fn find_among(&self, client: &Subject<'_>) -> bool {
        self.name_one(client)
            || client.rank.is_some_and(|rank| self.have_in_range(rank))
            || client
                .name
                .is_some_and(|name| self.patterns.iter().any(|pattern| pattern.matches(name)))
            || client.tags.is_some_and(|tags| self.have_tag_of(tags))
            || self
                .joined
                .iter()
                .any(|operands| operands.iter().all(|items| items.find(client)))
    }

    /// Whether an item names this client alone.
    pub(super) fn name_one(&self, client: &Subject<'_>) -> bool {
        client.rank.is_some_and(|rank| self.ranks.contains(&rank))
            || client
                .member
                .is_some_and(|member| self.members.contains(&member))
            || client.name.is_some_and(|name| self.names.contains(name))
    }

    fn have_in_range(&self, rank: u32) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < rank);
        self.ranges.get(at).is_some_and(|(first, _)| *first <= rank)
    }

    fn have_tag_of(&self, tags: &Tags) -> bool {
        let has = |key: &str, value: &str| {
            let values = self.tags.get(key);
            values.is_some_and(|values| values.contains(value))
        };
        let matches = |(key, pattern): &(Box<str>, Wildcard)| {
            tags.get(key).is_some_and(|value| pattern.matches(value))
        };
        (!self.tags.is_empty() && tags.iter().any(|(key, value)| has(key, value)))
            || self.tag_patterns.iter().any(matches)
    }
}
