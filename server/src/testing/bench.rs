//! The ranked list for the micro-benchmarks. It exists with the feature `bench` only, which this
//! package's own benchmarks switch on.

use crate::dispatch::scope::Scope;
use crate::dispatch::selection::{Found, select};
use crate::member::Member;
use crate::ranking::Roster;
use crate::testing;
use common::sys::sync::Arc;
use common::wire::selector::Selector;
use common::wire::tier::Tier;

/// A ranked list of members without clients.
pub struct Ranking {
    roster: Roster,
    members: Vec<Arc<Member>>,
}

/// A member of it.
#[derive(Clone)]
pub struct Ranked(Arc<Member>);

impl Ranking {
    /// A list of so many members with one slot each, named `m0`, `m1` and so on, with room for more.
    pub fn of(members: usize) -> Ranking {
        let roster = testing::roster(u32::MAX);
        let join = |n| testing::join(&roster, &format!("m{n}"), 1);
        let members = (0..members).map(join).collect();
        Ranking { roster, members }
    }

    /// How many members a selector of the highest-ranked member finds.
    pub fn find(&self, selector: &Selector<'_>) -> usize {
        match select(&self.roster, &self.members[0], selector, Scope::ALL) {
            Ok(selection) => match selection.found {
                Found::One(_) => 1,
                Found::Many {
                    execute, outranked, ..
                } => execute.len() + outranked.len(),
            },
            Err(_) => 0,
        }
    }

    /// Gives a member something to do, or takes it away, as a command does that starts or ends.
    pub fn load(&self, rank: usize, commands: usize) {
        self.members[rank].queue.set_load(commands, 0);
    }

    /// Adds a member.
    pub fn join(&self, name: &str) -> Ranked {
        Ranked(testing::join(&self.roster, name, 1))
    }

    /// Joins one more, above all others.
    pub fn join_above(&self, name: &str) -> Ranked {
        Ranked(testing::join_in(&self.roster, Tier::HIGHEST, name, 1))
    }

    /// Removes a member.
    pub fn leave(&self, ranked: &Ranked) -> bool {
        self.roster.leave(&ranked.0)
    }

    /// The member with a rank.
    pub fn at(&self, rank: usize) -> Ranked {
        Ranked(Arc::clone(&self.members[rank]))
    }
}
