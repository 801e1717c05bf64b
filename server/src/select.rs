//! Whom a selector finds. This is the one place where rank authority is decided: who ranks
//! below the sender executes, who ranks above it is never sent anything.

use crate::command::Target;
use crate::member::Member;
use crate::roster::{Place, Roster, View};
use common::message::{Code, RpcError};
use common::selector::{List, Selector, Single};
use common::sync::Arc;

/// Whom a command is for.
pub(crate) struct Selection {
    /// The sender's own rank.
    pub(crate) sender_rank: u32,
    pub(crate) found: Found,
}

/// Whom a selector finds.
pub(crate) enum Found {
    /// One, whose outcome is the answer.
    One(Target),
    /// Several, each with an outcome of its own.
    Many {
        /// Those below the sender, in rank order.
        execute: Vec<Target>,
        /// Those above it, in rank order.
        outranked: Vec<Target>,
    },
}

/// The last client that a session's sends went to: as long as nobody comes or goes, the same
/// selector finds it again without a look at the list.
#[derive(Default)]
pub(crate) struct LastTarget {
    /// The selector as it stood in the line; the server's default is none.
    selector: Option<String>,
    found: Option<(u64, u32, Target)>,
}

impl LastTarget {
    /// [`select`] with a selector that is still to be read; `None` stands for `default`.
    ///
    /// # Errors
    /// As [`select`], or that the text is no selector.
    pub(crate) fn select(
        &mut self,
        roster: &Roster,
        sender: &Member,
        text: Option<&str>,
        default: &Selector<'_>,
    ) -> Result<Selection, RpcError> {
        // Before the look-up: what changes meanwhile makes it a thing of the past.
        let version = roster.version();
        if let Some((then, sender_rank, target)) = &self.found
            && *then == version
            && self.selector.as_deref() == text
        {
            let (sender_rank, found) = (*sender_rank, Found::One(target.clone()));
            return Ok(Selection { sender_rank, found });
        }
        let wrong = |e| RpcError::new(Code::InvalidParams, format!("params.to: {e}"));
        let parsed = text.map(Selector::parse).transpose().map_err(wrong)?;
        let selector = parsed.as_ref().unwrap_or(default);
        let selection = select(roster, sender, selector)?;
        self.found = match &selection.found {
            Found::One(target) if !matches!(selector, Selector::LeastLoaded) => {
                Some((version, selection.sender_rank, target.clone()))
            }
            _ => None,
        };
        if self.found.is_some() {
            self.selector = text.map(str::to_owned);
        }
        Ok(selection)
    }
}

/// How many are named in a message that says why nobody can execute.
const NAMED: usize = 3;

/// Finds the targets of a sender's command.
///
/// # Errors
/// `no_target` or `outranked`, with whom the selector found.
pub(crate) fn select(
    roster: &Roster,
    sender: &Member,
    selector: &Selector<'_>,
) -> Result<Selection, RpcError> {
    match selector {
        Selector::Next => one(roster, sender, |view| {
            view.executors_below(sender.id).first().cloned()
        }),
        Selector::LeastLoaded => least_loaded(roster, sender),
        Selector::Single(single) => roster.look(|view| named(&view, sender, single)),
        Selector::Below => many(roster, sender, |_, _, below| below),
        Selector::All => many(roster, sender, |_, _, _| true),
        Selector::List(list) => many(roster, sender, |rank, member, below| {
            in_list(list, rank, member, below)
        }),
    }
}

fn in_list(list: &List, rank: u32, member: &Member, below: bool) -> bool {
    let included = match list.only_excludes() {
        true => below,
        false => list.includes(rank, &member.name),
    };
    included && !list.excludes(rank, &member.name)
}

/// The least loaded executor below the sender.
fn least_loaded(roster: &Roster, sender: &Member) -> Result<Selection, RpcError> {
    loop {
        let least = roster.least_loaded_below(sender.id);
        let has_left = |view: &View<'_>| least.is_some_and(|id| view.rank_of(id).is_none());
        let selection = roster.look(|view| match has_left(&view) {
            true => None,
            false => Some(one_in(&view, sender, |view| view.place_of(least?))),
        });
        if let Some(selection) = selection {
            return selection;
        }
    }
}

/// One executor below the sender, by its place.
fn one(
    roster: &Roster,
    sender: &Member,
    pick: impl FnOnce(&View<'_>) -> Option<Place>,
) -> Result<Selection, RpcError> {
    roster.look(|view| one_in(&view, sender, pick))
}

fn one_in(
    view: &View<'_>,
    sender: &Member,
    pick: impl FnOnce(&View<'_>) -> Option<Place>,
) -> Result<Selection, RpcError> {
    let sender_rank = sender_rank(view, sender.id)?;
    let Some(place) = pick(view) else {
        return Err(nobody_below(
            &view.ranked()[sender_rank as usize + 1..],
            sender_rank + 1,
        ));
    };
    let rank = rank_of(view, place.id)?;
    let member = place.member;
    Ok(Selection {
        sender_rank,
        found: Found::One(Target { member, rank }),
    })
}

/// One client, named alone.
fn named(view: &View<'_>, sender: &Member, single: &Single<'_>) -> Result<Selection, RpcError> {
    let sender_rank = sender_rank(view, sender.id)?;
    let ranked = view.ranked();
    let found = match single {
        Single::Rank(rank) => ranked.get(*rank as usize).map(|place| (*rank, place)),
        Single::Name(name) => match view.any_case(name) {
            Some((rank, place)) if *place.member.name == **name => Some((rank as u32, place)),
            other => {
                let spelled = other.map(|(_, place)| &*place.member.name);
                return Err(no_target(no_such_name(name, spelled)));
            }
        },
    };
    let Some((rank, place)) = found else {
        return Err(no_target(no_such_rank(single, ranked.len())));
    };
    let member = &place.member;
    if rank == sender_rank {
        return Err(no_target(format!(
            "{single} is you; nobody commands itself"
        )));
    }
    if rank < sender_rank {
        let message = format!(
            "{member} (rank {rank}) ranks above you (rank {sender_rank}); only lower ranks execute what you send"
        );
        return Err(RpcError::new(Code::Outranked, message));
    }
    if member.slots == 0 {
        return Err(no_target(format!(
            "{member} (rank {rank}) has no slots: it never executes"
        )));
    }
    let member = Arc::clone(member);
    Ok(Selection {
        sender_rank,
        found: Found::One(Target { member, rank }),
    })
}

/// Why a name finds no client, and how a name is spelled that one has and that differs in case
/// only.
fn no_such_name(name: &str, spelled: Option<&str>) -> String {
    let spelled = spelled.map_or(String::new(), |name| format!("; there is {name:?}"));
    format!("no client here has the name {name:?}{spelled}")
}

/// Why a rank finds no client.
fn no_such_rank(rank: &Single<'_>, ranked: usize) -> String {
    format!(
        "there is no {rank}; the lowest is {}",
        ranked.saturating_sub(1)
    )
}

/// All whom `chosen` wants, by rank, member and whether that ranks below the sender.
fn many(
    roster: &Roster,
    sender: &Member,
    chosen: impl Fn(u32, &Member, bool) -> bool,
) -> Result<Selection, RpcError> {
    // Patterns are matched outside the lock, on a copy.
    let (everybody, sender_rank) = roster.look(|view| {
        let rank = sender_rank(&view, sender.id)?;
        Ok((view.ranked().to_vec(), rank))
    })?;
    let is_lowest = sender_rank as usize + 1 == everybody.len();
    let (mut execute, mut outranked, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    for (rank, Place { member, .. }) in everybody.into_iter().enumerate() {
        let rank = rank as u32;
        if rank == sender_rank || !chosen(rank, &member, rank > sender_rank) {
            continue;
        }
        let target = Target { member, rank };
        if rank < sender_rank {
            outranked.push(target);
        } else if target.member.slots > 0 {
            execute.push(target);
        } else {
            passed_over.push(target);
        }
    }
    if execute.is_empty() && outranked.is_empty() {
        return Err(match is_lowest && passed_over.is_empty() {
            true => nobody_below(&[], 0),
            false => nobody_found(&passed_over),
        });
    }
    Ok(Selection {
        sender_rank,
        found: Found::Many { execute, outranked },
    })
}

/// The rank of a sender, as long as anything is taken at all.
fn sender_rank(view: &View<'_>, id: u64) -> Result<u32, RpcError> {
    if view.is_draining() {
        let message = "the server is shutting down; it takes nothing new";
        return Err(RpcError::new(Code::ShuttingDown, message));
    }
    rank_of(view, id)
}

fn rank_of(view: &View<'_>, id: u64) -> Result<u32, RpcError> {
    view.rank_of(id).map(|rank| rank as u32).ok_or_else(gone)
}

/// A sender is ranked as long as its session reads; this would be our own fault.
fn gone() -> RpcError {
    RpcError::new(Code::Internal, "you are not ranked any more")
}

fn no_target(message: impl Into<String>) -> RpcError {
    RpcError::new(Code::NoTarget, message)
}

/// Nobody below the sender executes: there is nobody, or they have no slots.
fn nobody_below(below: &[Place], first_rank: u32) -> RpcError {
    if below.is_empty() {
        return no_target("you rank lowest: nobody is below you to execute it");
    }
    let places = below.iter().zip(first_rank..);
    no_target(format!(
        "nobody below you executes: {} no slots",
        have(
            places.map(|(place, rank)| (&*place.member, rank)),
            below.len()
        )
    ))
}

/// A selector of kind many found only those who never execute, or nobody.
fn nobody_found(passed_over: &[Target]) -> RpcError {
    if passed_over.is_empty() {
        return no_target("the selector finds nobody here, or nobody but you");
    }
    let targets = passed_over.iter();
    no_target(format!(
        "the selector finds nobody who executes: {} no slots",
        have(targets.map(|t| (&*t.member, t.rank)), passed_over.len())
    ))
}

/// `a (rank 1), b (rank 2) and 7 more have`.
fn have<'a>(members: impl Iterator<Item = (&'a Member, u32)>, count: usize) -> String {
    let named: Vec<String> = members
        .take(NAMED)
        .map(|(member, rank)| format!("{member} (rank {rank})"))
        .collect();
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{}{more} {}",
        named.join(", "),
        if count == 1 { "has" } else { "have" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{join, ranked, roster};
    use proptest::prelude::*;

    /// What the selector finds, in short: `1!` is an outranked one, `one 3` a single one.
    fn found(roster: &Roster, sender: &Member, selector: &str) -> String {
        let selector = selector
            .parse()
            .unwrap_or_else(|e| panic!("{selector}: {e}"));
        match select(roster, sender, &selector) {
            Err(error) => error.message,
            Ok(Selection {
                found: Found::One(target),
                ..
            }) => format!("one {}", target.rank),
            Ok(Selection {
                found: Found::Many { execute, outranked },
                ..
            }) => {
                let outranked = outranked.iter().map(|t| format!("{}!", t.rank));
                let execute = execute.iter().map(|t| t.rank.to_string());
                outranked.chain(execute).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn what_each_selector_finds() {
        let roster = roster(10);
        let everybody: Vec<_> = [
            ("boss", 1),
            ("idle", 0),
            ("web1", 2),
            ("quiet", 0),
            ("web2", 1),
            ("db", 3),
        ]
        .into_iter()
        .map(|(name, slots)| join(&roster, name, slots))
        .collect();
        let (boss, idle, web1, db) = (&everybody[0], &everybody[1], &everybody[2], &everybody[5]);
        for (sender, selector, expected) in [
            (boss, "next", "one 2"),
            (web1, "next", "one 4"),
            (boss, "least-loaded", "one 2"),
            (boss, "below", "2 4 5"),
            (boss, "all", "2 4 5"),
            (web1, "all", "0! 1! 4 5"),
            (db, "all", "0! 1! 2! 3! 4!"),
            (
                db,
                "below",
                "you rank lowest: nobody is below you to execute it",
            ),
            (
                db,
                "next",
                "you rank lowest: nobody is below you to execute it",
            ),
            (boss, "2", "one 2"),
            (boss, "web2", "one 4"),
            (boss, "2-2", "2"),
            (boss, "0-99", "2 4 5"),
            (boss, "web*", "2 4"),
            (boss, "web?,5,4-5,db", "2 4 5"),
            (boss, "!web*", "5"),
            (web1, "0-9,!boss", "1! 4 5"),
            (boss, "web*,!web2", "2"),
            (boss, "0", "rank 0 is you; nobody commands itself"),
            (boss, "boss", "boss is you; nobody commands itself"),
            (
                boss,
                "quiet",
                "quiet (rank 3) has no slots: it never executes",
            ),
            (boss, "7", "there is no rank 7; the lowest is 5"),
            (boss, "nope", "no client here has the name \"nope\""),
            (
                boss,
                "Web1",
                "no client here has the name \"Web1\"; there is \"web1\"",
            ),
            (
                boss,
                "x*",
                "the selector finds nobody here, or nobody but you",
            ),
            (
                boss,
                "1,3",
                "the selector finds nobody who executes: idle (rank 1), quiet (rank 3) have no slots",
            ),
            (
                idle,
                "0",
                "boss (rank 0) ranks above you (rank 1); only lower ranks execute what you send",
            ),
        ] {
            assert_eq!(
                found(&roster, sender, selector),
                expected,
                "{sender} sends to {selector}"
            );
        }
    }

    #[test]
    fn nobody_below_with_slots_is_said_with_names() {
        let roster = roster(10);
        let boss = join(&roster, "boss", 1);
        for name in ["a", "b", "c", "d", "e"] {
            join(&roster, name, 0);
        }
        let expected = "nobody below you executes: a (rank 1), b (rank 2), c (rank 3) and 2 more have no slots";
        assert_eq!(found(&roster, &boss, "next"), expected);
    }

    #[test]
    fn the_last_target_is_found_again_until_somebody_comes_or_goes() {
        let roster = roster(10);
        let boss = join(&roster, "boss", 0);
        let [first, second] = ["first", "second"].map(|name| join(&roster, name, 1));
        let mut last = LastTarget::default();
        let mut found = |text| match last.select(&roster, &boss, text, &Selector::Next) {
            Ok(selection) => match selection.found {
                Found::One(target) => format!("{} {}", target.member, target.rank),
                Found::Many { .. } => "many".into(),
            },
            Err(error) => error.message,
        };
        for _ in 0..2 {
            assert_eq!(found(None), "first 1");
            assert_eq!(found(Some("second")), "second 2");
            assert_eq!(found(Some("1")), "first 1");
            assert_eq!(found(Some("below")), "many");
        }
        assert_eq!(found(Some("second")), "second 2");
        roster.leave(&first);
        assert_eq!(found(Some("second")), "second 1");
        roster.leave(&second);
        assert_eq!(
            found(Some("second")),
            "no client here has the name \"second\""
        );
        join(&roster, "second", 1);
        assert_eq!(found(Some("second")), "second 1");
        roster.drain();
        let over = "the server is shutting down; it takes nothing new";
        assert_eq!(found(Some("second")), over);
    }

    proptest! {
        /// Whatever the selector, nobody above the sender is ever given a command, nor is the
        /// sender itself, nor anybody without slots.
        #[test]
        fn authority_holds_for_every_selector(
            slots in prop::collection::vec(0u32..3, 1..8),
            sender in any::<prop::sample::Index>(),
            selector in "next|below|all|least-loaded|[0-9]|m[0-9]|[0-4]-[4-9]|m\\*(,!m[0-9])?|![0-9]|\\*,[0-9]",
        ) {
            let roster = roster(10);
            for (at, slots) in slots.iter().enumerate() {
                join(&roster, &format!("m{at}"), *slots);
            }
            let places = ranked(&roster);
            let rank = sender.index(places.len());
            let selector = selector.parse().expect("the patterns above are selectors");
            let Ok(selection) = select(&roster, &places[rank].member, &selector) else {
                return Ok(());
            };
            prop_assert_eq!(selection.sender_rank as usize, rank);
            let (execute, outranked) = match selection.found {
                Found::One(target) => (vec![target], vec![]),
                Found::Many { execute, outranked } => (execute, outranked),
            };
            for target in &execute {
                prop_assert!(target.rank as usize > rank && target.member.slots > 0);
                prop_assert_eq!(places[target.rank as usize].id, target.member.id);
            }
            prop_assert!(outranked.iter().all(|target| (target.rank as usize) < rank));
        }
    }
}
