//! Whom a selector finds, client by client.

use super::model::Model;
use super::step::{Item, To, Whom};

impl Model {
    /// Everybody whom a selector finds above and below a sender, and whether it is of kind
    /// many; or an error's code.
    pub(crate) fn find(
        &self,
        sender: usize,
        to: &To,
    ) -> Result<(Vec<usize>, Vec<usize>, bool), i64> {
        let executes = |rank: &usize| *rank > sender && self.ranked[*rank].slots > 0;
        let all = 0..self.ranked.len();
        let one = |found: Option<usize>| found.map(|rank| (vec![], vec![rank], false)).ok_or(7);
        let is_chosen = |rank: usize| match to {
            To::All => true,
            To::List(items) => self.is_in(items, rank, sender),
            _ => rank > sender,
        };
        match to {
            To::Unsaid | To::Next => return one(all.clone().find(executes)),
            To::LeastLoaded => {
                let load = |rank: &usize| {
                    let client = &self.ranked[*rank];
                    // Of at most three slots, so that sixths are exact.
                    (client.running.len() + client.waiting.len()) * 6 / client.slots
                };
                return one(all.clone().filter(executes).min_by_key(load));
            }
            To::List(items) => {
                if let [
                    Item {
                        is_excluded: false,
                        whom,
                    },
                ] = items.as_slice()
                    && let Some(found) = self.named_alone(whom)
                {
                    return match found {
                        Some(rank) if rank < sender => Err(8),
                        found => one(found.filter(executes)),
                    };
                }
            }
            To::Below | To::All => {}
        }
        let above = (0..sender)
            .filter(|rank| is_chosen(*rank))
            .collect::<Vec<_>>();
        let below = all
            .filter(executes)
            .filter(|rank| is_chosen(*rank))
            .collect::<Vec<_>>();
        match above.is_empty() && below.is_empty() {
            true => Err(7),
            false => Ok((above, below, true)),
        }
    }

    /// Whose rank or name it is, if anybody's; none where it is of kind many.
    fn named_alone(&self, whom: &Whom) -> Option<Option<usize>> {
        match whom {
            Whom::Rank(rank) => Some(Some(*rank).filter(|rank| *rank < self.ranked.len())),
            Whom::Name(name) => Some(self.ranked.iter().position(|client| client.name == *name)),
            Whom::Ranks(..) | Whom::Pattern(_) => None,
        }
    }

    fn is_in(&self, items: &[Item], rank: usize, sender: usize) -> bool {
        let is_found = |item: &Item| match &item.whom {
            Whom::Rank(wanted) => rank == *wanted,
            Whom::Ranks(first, last) => (*first..=*last).contains(&rank),
            Whom::Name(name) => self.ranked[rank].name == *name,
            Whom::Pattern(pattern) => {
                matches_pattern(pattern.as_bytes(), self.ranked[rank].name.as_bytes())
            }
        };
        let (out, of): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|item| item.is_excluded);
        let is_in = match of.is_empty() {
            true => rank > sender,
            false => of.iter().any(|item| is_found(item)),
        };
        is_in && !out.iter().any(|item| is_found(item))
    }
}

/// Whether a name matches a pattern with `*` and `?`.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=name.len()).any(|taken| matches_pattern(rest, &name[taken..]))
        }
        ([b'?', pattern @ ..], [_, name @ ..]) => matches_pattern(pattern, name),
        ([a, pattern @ ..], [b, name @ ..]) => a == b && matches_pattern(pattern, name),
        _ => false,
    }
}
