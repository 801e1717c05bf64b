//! One client: by what names it, and as a selector looks at it.

use crate::wire::members::Member;
use crate::wire::tags::Tags;
use std::borrow::Cow;
use std::fmt;

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

impl fmt::Display for Single<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Single::Rank(rank) => write!(f, "rank {rank}"),
            Single::Member(member) => write!(f, "#{member}"),
            Single::Name(name) => f.write_str(name),
        }
    }
}

/// A client as a list looks at it: what is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Its rank.
    pub rank: Option<u32>,
    /// Its number.
    pub member: Option<u64>,
    /// Its name.
    pub name: Option<&'a str>,
    /// Its tags.
    pub tags: Option<&'a Tags>,
}

impl<'a> From<&'a Member> for Subject<'a> {
    fn from(member: &'a Member) -> Subject<'a> {
        Subject {
            rank: Some(member.rank),
            member: Some(member.member),
            name: Some(&member.name),
            tags: Some(&member.tags),
        }
    }
}

impl<'a> From<&'a Single<'_>> for Subject<'a> {
    fn from(single: &'a Single<'_>) -> Subject<'a> {
        let mut subject = Subject::default();
        match single {
            Single::Rank(rank) => subject.rank = Some(*rank),
            Single::Member(member) => subject.member = Some(*member),
            Single::Name(name) => subject.name = Some(name),
        }
        subject
    }
}
