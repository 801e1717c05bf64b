//! The clients that a selector finds, one by one.

use serde_json::{Value, json};

use super::model::{Found, Model};
use super::step::{Item, Named, To};

impl Model {
    /// The clients that a selector finds; or an error's code.
    pub(crate) fn find(&self, sender: usize, to: &To) -> Result<Found, i64> {
        let executes = |rank: &usize| *rank > sender && self.executes(*rank);
        let all = 0..self.ranked.len();
        let one = |found: Option<usize>| {
            let below = vec![found.ok_or(7)?];
            Ok(Found {
                below,
                ..Found::default()
            })
        };
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
                        named,
                    },
                ] = items.as_slice()
                    && let Some(found) = self.named_alone(named)
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
        let absent = match to {
            To::List(items) => self.absent(items, sender),
            _ => vec![],
        };
        match above.is_empty() && below.is_empty() && absent.is_empty() {
            true => Err(7),
            false => Ok(Found {
                above,
                below,
                absent,
                is_many: true,
            }),
        }
    }

    /// Whether a client may be given something now.
    fn executes(&self, rank: usize) -> bool {
        let client = &self.ranked[rank];
        client.slots > 0 && !client.is_away
    }

    /// Those that items name one by one, and that have no slots, are away or are not here, with what
    /// is known of them.
    fn absent(&self, items: &[Item], sender: usize) -> Vec<Value> {
        let mut absent = Vec::new();
        let items = &expanded(items);
        for item in items.iter().filter(|item| !item.is_excluded) {
            let is_out = |rank: usize| !self.is_in(items, rank, sender);
            let known = match self.named_alone(&item.named) {
                None => continue,
                Some(Some(rank)) if rank <= sender || self.executes(rank) => continue,
                Some(Some(rank)) if is_out(rank) => continue,
                Some(Some(rank)) => self.identity(rank),
                Some(None) if items.iter().any(|other| leaves_out(other, &item.named)) => continue,
                Some(None) => match &item.named {
                    Named::Rank(rank) => json!({"rank": rank}),
                    Named::Name(name) => json!({"name": name}),
                    Named::Number(number) => json!({"member": number}),
                    _ => continue,
                },
            };
            if !absent.contains(&known) {
                absent.push(known);
            }
        }
        absent
    }

    /// The client with that rank or name, if there is one; none if it names many.
    fn named_alone(&self, named: &Named) -> Option<Option<usize>> {
        match named {
            Named::Rank(rank) => Some(Some(*rank).filter(|rank| *rank < self.ranked.len())),
            Named::Name(name) => Some(self.ranked.iter().position(|client| client.name == *name)),
            Named::Number(number) => {
                let mut ranked = self.ranked.iter();
                Some(ranked.position(|client| client.member == *number))
            }
            _ => None,
        }
    }

    fn is_in(&self, items: &[Item], rank: usize, sender: usize) -> bool {
        let is_found = |item: &Item| match &item.named {
            Named::Rank(wanted) => rank == *wanted,
            Named::Ranks(first, last) => (*first..=*last).contains(&rank),
            Named::Name(name) => self.ranked[rank].name == *name,
            Named::Pattern(pattern) => {
                matches_pattern(pattern.as_bytes(), self.ranked[rank].name.as_bytes())
            }
            Named::Number(number) => self.ranked[rank].member == *number,
            Named::Given(first, last) => given(*first, *last).any(|n| n == self.ranked[rank].name),
            Named::Tagged(slots) => self.ranked[rank].slots == *slots,
            Named::Both(pattern, first, last) => {
                let name = &self.ranked[rank].name;
                (*first..=*last).contains(&rank)
                    && matches_pattern(pattern.as_bytes(), name.as_bytes())
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

/// Items with a name for each that a node set stands for.
fn expanded(items: &[Item]) -> Vec<Item> {
    let of = |item: &Item| match item.named {
        Named::Given(first, last) => given(first, last)
            .map(|name| Item {
                named: Named::Name(name),
                ..*item
            })
            .collect(),
        _ => vec![item.clone()],
    };
    items.iter().flat_map(of).collect()
}

/// The names that the server gives to members of these numbers.
fn given(first: u64, last: u64) -> impl Iterator<Item = String> {
    (first..=last).map(|number| format!("client-{number}"))
}

/// Whether an item leaves out what another one names, though no client has that.
fn leaves_out(item: &Item, named: &Named) -> bool {
    item.is_excluded
        && match (&item.named, named) {
            (Named::Rank(rank), Named::Rank(named)) => rank == named,
            (Named::Ranks(first, last), Named::Rank(named)) => (*first..=*last).contains(named),
            (Named::Name(name), Named::Name(named)) => name == named,
            (Named::Number(number), Named::Number(named)) => number == named,
            (Named::Pattern(pattern), Named::Name(named)) => {
                matches_pattern(pattern.as_bytes(), named.as_bytes())
            }
            _ => false,
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
