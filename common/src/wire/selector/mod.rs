//! The clients that a command is for, as text: `next`, `below`, `all`, `least-loaded`, or a list
//! of ranks, ranges, member numbers, names, node sets, patterns, tags and exclusions. What a
//! selector finds is decided in one place, at the server; this module only reads it.

mod error;
mod items;
mod node_set;
mod parse;
mod single;

pub use crate::wire::name::WORDS;
pub use error::SelectorError;
pub use parse::{check_pattern, is_pattern, parts};
pub use single::{Single, Subject};

use items::Items;

/// A selector that was understood. Lists have memory of their own, as threads with small stacks read
/// selectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector<'a> {
    /// The nearest lower-ranked client that executes.
    Next,
    /// The same, of those that a list finds.
    NextOf(Box<List>),
    /// The lower-ranked client with the smallest share of its slots in use.
    LeastLoaded,
    /// The same, of those that a list finds.
    LeastLoadedOf(Box<List>),
    /// Every lower-ranked client that executes.
    Below,
    /// Every other client.
    All,
    /// One client, by rank, by number or by name.
    Single(Single<'a>),
    /// Several, each once.
    List(Box<List>),
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

impl List {
    /// Whether it names no client and only leaves some out.
    pub fn only_excludes(&self) -> bool {
        self.include.is_empty()
    }

    /// Whether an item finds this client.
    pub fn includes(&self, client: &Subject<'_>) -> bool {
        self.include.find(client)
    }

    /// Whether an item leaves this client out.
    pub fn excludes(&self, client: &Subject<'_>) -> bool {
        self.exclude.find(client)
    }

    /// Whether it finds this client, which is one of those that a list of exclusions alone is for.
    pub fn finds(&self, client: &Subject<'_>) -> bool {
        (self.only_excludes() || self.includes(client)) && !self.excludes(client)
    }

    /// What it names one by one, each once and in the order of the text: these clients are
    /// expected to be here. What an exclusion leaves out is not among them.
    pub fn named(&self) -> &[Single<'static>] {
        &self.named
    }

    /// Whether one of its items names this client alone.
    pub fn names(&self, client: &Subject<'_>) -> bool {
        self.include.name_one(client)
    }
}
