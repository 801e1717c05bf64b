//! Why a text is no selector, and what would be right.

use crate::limits::{
    MAX_PATTERN, MAX_SELECTOR, MAX_SELECTOR_ITEMS, MAX_SELECTOR_NAMES, MAX_SELECTOR_PATTERNS,
};

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
    #[error(
        "the selector has {0} items with \"*\", \"?\" or \"&\"; at most {MAX_SELECTOR_PATTERNS} are allowed"
    )]
    TooManyPatterns(usize),
    /// A pattern that is longer than the protocol allows.
    #[error(
        "an item with \"*\", \"?\" or \"&\" has {0} characters; at most {MAX_PATTERN} are allowed"
    )]
    PatternTooLong(usize),
    /// Node sets with more names than the protocol allows.
    #[error("the node sets have {0} names; at most {MAX_SELECTOR_NAMES} are allowed")]
    TooManyNames(u64),
    /// Nothing between two commas, or nothing at all.
    #[error(
        "the selector {0:?} has an empty item; write next, below, all, least-loaded or a list such as 2,4-6,web*,!web3, with items such as web[1-20], role=web and #17 as well"
    )]
    EmptyItem(String),
    /// A `!` alone.
    #[error(
        "the selector {0:?} has a bare \"!\"; write what to leave out right after it, such as !web3"
    )]
    BareExclusion(String),
    /// A `!` behind a `&`.
    #[error(
        "{0:?} leaves out a part of an item; write \"!\" in front of a whole item, such as dc=fra,!web3"
    )]
    ExcludedPart(String),
    /// A range that lacks an end.
    #[error("the range {0:?} is open; write both ends, such as 3-7")]
    OpenRange(String),
    /// A range whose ends are the wrong way round.
    #[error("the range {0:?} is reversed; write the smaller rank first")]
    ReversedRange(String),
    /// A rank that no client can have.
    #[error("the rank {0:?} is beyond 32 bits")]
    RankTooLarge(String),
    /// A `#` without a number, or with more than that.
    #[error("{0:?} is no member number; write \"#\" and digits, such as #17")]
    NoNumber(String),
    /// Brackets that are no node set.
    #[error("the node set {0:?} {1}")]
    NoNodeSet(String, &'static str),
    /// A node set that expands to ranks.
    #[error(
        "the node set {0:?} expands to numbers, and it stands for names; write ranks without brackets, such as 1-3, or a name in front of them, such as web[1-3]"
    )]
    Ranks(String),
    /// A node set that expands to something else than names.
    #[error("the node set {0:?} expands to {1:?}, which is no name")]
    NoNames(String, String),
    /// A `=` in something else than a tag.
    #[error("{0:?} is no tag; write a key, \"=\" and a value or a pattern, such as role=web")]
    NoTag(String),
    /// A word that cannot stand in a list.
    #[error(
        "{0:?} stands alone; a list has ranks, ranges, member numbers, names, node sets, patterns and tags: all but web3 is *,!web3"
    )]
    WordInList(String),
    /// None of the forms an item has.
    #[error(
        "{0:?} is neither a rank (2), a range (3-7), a member number (#17), a name (web1), a node set (web[1-3]), a pattern (web*) nor a tag (role=web)"
    )]
    NoItem(String),
}
