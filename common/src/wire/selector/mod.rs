//! The clients that a command is for, as text: `next`, `below`, `all`, `least-loaded`, or a list
//! of ranks, ranges, member numbers, names, node sets, patterns, tags and exclusions. What a
//! selector finds is decided in one place, at the server; this module only reads it.

mod error;
mod forms;
mod items;
mod node_set;
mod parse;

pub use error::SelectorError;
pub use forms::{GIVEN, check_name, check_pattern, is_name, is_pattern};
pub use items::Subject;
pub use parse::parts;

use items::Items;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

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

/// One client, by what names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Single<'a> {
    /// By its rank.
    Rank(u32),
    /// By its member number.
    Member(u64),
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

impl Single<'_> {
    /// Whether it is this client.
    pub fn is(&self, client: &Subject<'_>) -> bool {
        match self {
            Single::Rank(rank) => client.rank == Some(*rank),
            Single::Member(member) => client.member == Some(*member),
            Single::Name(name) => client.name == Some(name),
        }
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Single<'static> {
        match self {
            Single::Rank(rank) => Single::Rank(rank),
            Single::Member(member) => Single::Member(member),
            Single::Name(name) => Single::Name(Cow::Owned(name.into_owned())),
        }
    }
}

/// The words that are selectors by themselves, and no names.
pub const WORDS: [&str; 4] = ["next", "least-loaded", "below", "all"];

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

impl fmt::Display for Single<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Single::Rank(rank) => write!(f, "rank {rank}"),
            Single::Member(member) => write!(f, "#{member}"),
            Single::Name(name) => f.write_str(name),
        }
    }
}
