//! The clients that a selector finds. This is the one place where authority is decided: a client
//! below the sender executes if the sender's role covers it, a client above it is never sent a
//! command.

use crate::dispatch::command::{Absent, Missed, Target};
use crate::dispatch::scope::Scope;
use crate::member::Member;
use crate::ranking::{Place, Roster, View, least_loaded};
use common::sys::sync::Arc;
use common::wire::Status;
use common::wire::message::{Code, RpcError};
use common::wire::selector::{List, Selector, Single, Subject};

/// The clients that a command is for.
pub(crate) struct Selection {
    /// The sender's own rank.
    pub(crate) sender_rank: u32,
    pub(crate) found: Found,
}

impl Found {
    /// How many are to execute.
    pub(crate) fn executing(&self) -> usize {
        match self {
            Found::One(_) => 1,
            Found::Many { execute, .. } => execute.len(),
        }
    }
}

/// The clients that a selector finds.
pub(crate) enum Found {
    /// One client; its outcome is the answer.
    One(Target),
    /// Several, each with an outcome of its own.
    Many {
        /// Those below the sender, in rank order.
        execute: Vec<Target>,
        /// Those above it, in rank order.
        outranked: Vec<Target>,
        /// Those that an item names one by one and that cannot execute, and those that the
        /// sender's role does not cover.
        absent: Vec<Absent>,
    },
}

/// How many are named in a message that says why no client can execute.
const NAMED: usize = 3;

/// Finds the targets of a sender's command, of those that its scope covers.
///
/// # Errors
/// `no_target`, `outranked` or `forbidden`, with the clients that the selector found.
#[inline(never)]
pub(crate) fn select(
    roster: &Roster,
    sender: &Member,
    selector: &Selector<'_>,
    scope: Scope<'_>,
) -> Result<Selection, RpcError> {
    let is_covered = |place: &Place| scope.covers(&place.member.name);
    match selector {
        Selector::Next => one(roster, sender, scope, |view| {
            let mut executors = view.executors_below(sender).iter();
            executors.find(|place| is_covered(place))
        }),
        Selector::LeastLoaded => one(roster, sender, scope, |view| {
            view.least_loaded_below(sender, is_covered)
        }),
        Selector::NextOf(list) => one_of(roster, sender, scope, list, <[Target]>::first),
        Selector::LeastLoadedOf(list) => one_of(roster, sender, scope, list, least_loaded),
        Selector::Single(single) => roster.look(|view| named(&view, sender, single, scope)),
        Selector::Below => many(roster, sender, None, scope, |_, _, below| below),
        Selector::All => many(roster, sender, None, scope, |_, _, _| true),
        Selector::List(list) => many(roster, sender, Some(list), scope, |rank, member, below| {
            in_list(list, rank, member, below)
        }),
    }
}

fn in_list(list: &List, rank: u32, member: &Member, below: bool) -> bool {
    let client = subject(rank, member);
    let included = match list.only_excludes() {
        true => below,
        false => list.includes(&client),
    };
    included && !list.excludes(&client)
}

/// A member, as a list looks at it.
fn subject(rank: u32, member: &Member) -> Subject<'_> {
    Subject {
        rank: Some(rank),
        member: Some(member.id),
        name: Some(&member.name),
        tags: Some(&member.tags),
    }
}

/// One executor below the sender, by its place.
fn one(
    roster: &Roster,
    sender: &Member,
    scope: Scope<'_>,
    pick: impl for<'v> FnOnce(&'v View<'_>) -> Option<&'v Place>,
) -> Result<Selection, RpcError> {
    roster.look(|view| one_in(&view, sender, scope, pick))
}

fn one_in(
    view: &View<'_>,
    sender: &Member,
    scope: Scope<'_>,
    pick: impl for<'v> FnOnce(&'v View<'_>) -> Option<&'v Place>,
) -> Result<Selection, RpcError> {
    let sender_rank = sender_rank(view, sender)?;
    let Some(place) = pick(view) else {
        if scope.is_limited() {
            return Err(no_target(NONE_COVERED));
        }
        return Err(nobody_below(
            &view.ranked()[sender_rank as usize + 1..],
            sender_rank + 1,
        ));
    };
    let rank = rank_of(view, &place.member)?;
    let member = Arc::clone(&place.member);
    Ok(Selection {
        sender_rank,
        found: Found::One(Target { member, rank }),
    })
}

/// One executor below the sender, of those that a list finds. Its items are held against all
/// members outside the lock, on a copy.
#[inline(never)]
fn one_of(
    roster: &Roster,
    sender: &Member,
    scope: Scope<'_>,
    list: &List,
    pick: impl FnOnce(&[Target]) -> Option<&Target>,
) -> Result<Selection, RpcError> {
    let (everybody, sender_rank) = roster.look(|view| {
        let rank = sender_rank(&view, sender)?;
        Ok::<_, RpcError>((view.ranked().to_vec(), rank))
    })?;
    let below = (0..).zip(everybody).skip(sender_rank as usize + 1);
    let found = below.map(|(rank, Place { member, .. })| Target { member, rank });
    let found: Vec<Target> = found
        .filter(|Target { member, rank }| {
            member.slots > 0 && scope.covers(&member.name) && in_list(list, *rank, member, true)
        })
        .collect();
    let target = pick(&found).cloned();
    let target = target.ok_or_else(|| {
        no_target(match scope.is_limited() {
            true => NONE_COVERED,
            false => "the list finds no client below you that executes",
        })
    })?;
    Ok(Selection {
        sender_rank,
        found: Found::One(target),
    })
}

/// Why a client finds no executor whose role lets it command some of them.
const NONE_COVERED: &str =
    "no client below you executes this, of those that your role lets execute it";

/// One client, named alone.
fn named(
    view: &View<'_>,
    sender: &Member,
    single: &Single<'_>,
    scope: Scope<'_>,
) -> Result<Selection, RpcError> {
    let sender_rank = sender_rank(view, sender)?;
    if is_hidden(view, sender, single, scope) {
        return Err(scope.error(&single.to_string()));
    }
    let (rank, place) = find(view, single, scope).map_err(no_target)?;
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
    if !scope.covers(&member.name) {
        return Err(scope.error(&format!("{member} (rank {rank})")));
    }
    let member = Arc::clone(member);
    Ok(Selection {
        sender_rank,
        found: Found::One(Target { member, rank }),
    })
}

/// Whether something names a client that the sender is not to know of, whether it is here or not.
fn is_hidden(view: &View<'_>, sender: &Member, single: &Single<'_>, scope: Scope<'_>) -> bool {
    let shows = |name: &str| *name == *sender.name || scope.covers(name);
    scope.hides()
        && match single {
            Single::Name(name) => !shows(name),
            Single::Rank(rank) => {
                let place = view.ranked().get(*rank as usize);
                place.is_none_or(|place| !shows(&place.member.name))
            }
            Single::Member(number) => {
                let found = view.by_number(*number);
                found.is_none_or(|(_, place)| !shows(&place.member.name))
            }
        }
}

/// The client that something names; or why there is none.
fn find<'v>(
    view: &'v View<'_>,
    single: &Single<'_>,
    scope: Scope<'_>,
) -> Result<(u32, &'v Place), String> {
    match single {
        Single::Rank(rank) => {
            let ranked = view.ranked();
            let place = ranked.get(*rank as usize);
            place.map(|place| (*rank, place)).ok_or_else(|| {
                let lowest = ranked.len().saturating_sub(1);
                format!("there is no {single}; the lowest is {lowest}")
            })
        }
        Single::Member(number) => match view.by_number(*number) {
            Some((rank, place)) => Ok((rank as u32, place)),
            None => Err(format!("no client here has the member number {number}")),
        },
        Single::Name(name) => match view.any_case(name) {
            Some((rank, place)) if *place.member.name == **name => Ok((rank as u32, place)),
            other => {
                let other = other.filter(|(_, place)| scope.shows(&place.member.name));
                let spelled = other.map(|(_, place)| format!("; there is {:?}", place.member.name));
                let spelled = spelled.unwrap_or_default();
                Err(format!("no client here has the name {name:?}{spelled}"))
            }
        },
    }
}

/// All clients that `chosen` wants, by rank, member and whether that ranks below the sender; and
/// the clients that `list` names and that cannot execute.
#[inline(never)]
fn many(
    roster: &Roster,
    sender: &Member,
    list: Option<&List>,
    scope: Scope<'_>,
    chosen: impl Fn(u32, &Member, bool) -> bool,
) -> Result<Selection, RpcError> {
    // Items are held against all members outside the lock, on a copy.
    let (everybody, sender_rank, unknown) = roster.look(|view| {
        let rank = sender_rank(&view, sender)?;
        let unknown = list.map_or_else(Vec::new, |list| unknown(list, &view, sender, scope));
        Ok::<_, RpcError>((view.ranked().to_vec(), rank, unknown))
    })?;
    let is_lowest = sender_rank as usize + 1 == everybody.len();
    let (mut execute, mut outranked, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    let mut forbidden = Vec::new();
    for (rank, Place { member, .. }) in everybody.into_iter().enumerate() {
        let rank = rank as u32;
        let is_chosen = rank != sender_rank && chosen(rank, &member, rank > sender_rank);
        if !is_chosen || !scope.shows(&member.name) {
            continue;
        }
        let target = Target { member, rank };
        if rank < sender_rank {
            outranked.push(target);
        } else if target.member.slots == 0 {
            passed_over.push(target);
        } else if scope.covers(&target.member.name) {
            execute.push(target);
        } else {
            forbidden.push(forbidden_here(target, scope));
        }
    }
    let mut absent = match list {
        Some(list) => absent(list, &passed_over, unknown),
        None => Vec::new(),
    };
    absent.append(&mut forbidden);
    if execute.is_empty() && outranked.is_empty() && absent.is_empty() {
        return Err(match is_lowest && passed_over.is_empty() {
            true => nobody_below(&[], 0),
            false => nobody_found(&passed_over),
        });
    }
    Ok(Selection {
        sender_rank,
        found: Found::Many {
            execute,
            outranked,
            absent,
        },
    })
}

/// The clients that a list names and that cannot execute: each client that is here and was
/// passed over once, however often it was named, and all that are not here.
#[inline(never)]
fn absent(list: &List, passed_over: &[Target], unknown: Vec<Absent>) -> Vec<Absent> {
    let is_named = |target: &&Target| list.names(&subject(target.rank, &target.member));
    let without_slots = passed_over.iter().filter(is_named).map(|target| Absent {
        who: Missed::Here(target.clone()),
        status: Status::Absent,
        message: "it has no slots: it never executes".into(),
    });
    without_slots.chain(unknown).collect()
}

/// The clients that a list names and that are not here, or that the sender is not to know of.
#[inline(never)]
fn unknown(list: &List, view: &View<'_>, sender: &Member, scope: Scope<'_>) -> Vec<Absent> {
    let missed = list.named().iter().filter_map(|one| {
        let (status, message) = match is_hidden(view, sender, one, scope) {
            true => (Status::Forbidden, scope.forbidden(&one.to_string()).message),
            false => (Status::Absent, find(view, one, scope).err()?),
        };
        let who = Missed::Named(one.clone());
        Some(Absent {
            who,
            status,
            message,
        })
    });
    missed.collect()
}

/// A client below the sender that its role does not cover.
#[inline(never)]
fn forbidden_here(target: Target, scope: Scope<'_>) -> Absent {
    let message = scope.forbidden(&target.member.name).message;
    Absent {
        who: Missed::Here(target),
        status: Status::Forbidden,
        message,
    }
}

/// The rank of a sender, as long as anything is taken at all.
fn sender_rank(view: &View<'_>, sender: &Member) -> Result<u32, RpcError> {
    if view.is_draining() {
        let message = "the server is shutting down; it takes nothing new";
        return Err(RpcError::new(Code::ShuttingDown, message));
    }
    rank_of(view, sender)
}

fn rank_of(view: &View<'_>, member: &Member) -> Result<u32, RpcError> {
    view.rank_of(member)
        .map(|rank| rank as u32)
        .ok_or_else(gone)
}

/// A sender is ranked as long as its session reads; this would be our own fault.
fn gone() -> RpcError {
    RpcError::new(Code::Internal, "you are not ranked any more")
}

fn no_target(message: impl Into<String>) -> RpcError {
    RpcError::new(Code::NoTarget, message)
}

/// No client below the sender executes: there is none, or none has slots.
#[inline(never)]
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

/// A selector of kind many found only clients that never execute, or none.
#[inline(never)]
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
    use crate::authority::Rules;
    use crate::authority::rules::Role;
    use crate::testing::{join, join_in, join_tagged, ranked, roster};
    use common::wire::tier::Tier;
    use proptest::prelude::*;

    /// What the selector finds, in short: `1!` is an outranked one, `one 3` a single one.
    fn found(roster: &Roster, sender: &Member, selector: &str) -> String {
        let selector = selector
            .parse()
            .unwrap_or_else(|e| panic!("{selector}: {e}"));
        match select(roster, sender, &selector, Scope::ALL) {
            Err(error) => error.message,
            Ok(Selection {
                found: Found::One(target),
                ..
            }) => format!("one {}", target.rank),
            Ok(Selection {
                found:
                    Found::Many {
                        execute,
                        outranked,
                        absent,
                    },
                ..
            }) => {
                let outranked = outranked.iter().map(|t| format!("{}!", t.rank));
                let execute = execute.iter().map(|t| t.rank.to_string());
                let absent = absent.iter().map(|absent| match &absent.who {
                    Missed::Here(target) => format!("{}?", target.rank),
                    Missed::Named(one) => format!("({one})"),
                });
                let found = outranked.chain(execute).chain(absent);
                found.collect::<Vec<_>>().join(" ")
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
        .map(|(name, slots)| {
            let role = name.starts_with("web").then_some(("role", "web"));
            join_tagged(&roster, name, slots, role.as_slice())
        })
        .collect();
        let (boss, idle, web1, db) = (&everybody[0], &everybody[1], &everybody[2], &everybody[5]);
        let web2 = &everybody[4];
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
                "1-3,!2",
                "the selector finds nobody who executes: idle (rank 1), quiet (rank 3) have no slots",
            ),
            (boss, "1,3", "1? 3?"),
            // Members have the numbers 1 to 6.
            (boss, "#3", "one 2"),
            (boss, "#1", "#1 is you; nobody commands itself"),
            (boss, "#7", "no client here has the member number 7"),
            (
                web1,
                "#2",
                "idle (rank 1) ranks above you (rank 2); only lower ranks execute what you send",
            ),
            (boss, "#4", "quiet (rank 3) has no slots: it never executes"),
            (boss, "quiet,3,#4,#9,#09,#3", "2 3? (#9)"),
            (boss, "#3,#9,!#9", "2"),
            (web1, "#1,#2,#5", "0! 1! 4"),
            (boss, "web[1-3]", "2 4 (web3)"),
            (boss, "web[1-3],!web[2-9]", "2"),
            (web2, "web[1-3]", "2! (web3)"),
            (boss, "web[1]", "2"),
            (boss, "role=web", "2 4"),
            (boss, "role=web&#5", "4"),
            (boss, "!role=web", "5"),
            (boss, "0-9,!role=*&2-3", "4 5"),
            (
                boss,
                "role=none",
                "the selector finds nobody here, or nobody but you",
            ),
            (boss, "next:web2,db", "one 4"),
            (boss, "next:!web1", "one 4"),
            (web1, "next:web*", "one 4"),
            (boss, "least-loaded:role=web", "one 2"),
            (boss, "least-loaded:db", "one 5"),
            (
                boss,
                "next:quiet,nope",
                "the list finds no client below you that executes",
            ),
            (
                web2,
                "next:web1",
                "the list finds no client below you that executes",
            ),
            (
                boss,
                "web1,nope,quiet,9,Web1",
                "2 3? (nope) (rank 9) (Web1)",
            ),
            // One client, however it is named, and one of each text that nobody has.
            (boss, "quiet,3,03,nope,nope,9,09", "3? (nope) (rank 9)"),
            (boss, "nope,0", "(nope)"),
            (web1, "nope,idle,quiet", "1! 3? (nope)"),
            // An exclusion beats it, whatever it has.
            (boss, "2,quiet,nope,9,!q*,!nop?,!7-9", "2"),
            (boss, "2,quiet,!3", "2"),
            (boss, "2,!nope", "2"),
            (
                boss,
                "nope,!nope",
                "the selector finds nobody here, or nobody but you",
            ),
            (boss, "0-99,n*", "2 4 5"),
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

    proptest! {
        /// No selector gives a command to a client above the sender, to the sender itself, or to
        /// a client without slots.
        #[test]
        fn authority_holds_for_every_selector(
            cast in prop::collection::vec((0u32..3, 0u64..3), 1..8),
            sender in any::<prop::sample::Index>(),
            selector in "next|below|all|least-loaded|[0-9]|m[0-9]|[0-4]-[4-9]|m\\*(,!m[0-9])?|![0-9]|\\*,[0-9]|[0-9],m[0-9],(m[0-9]|x|!0)|#[1-9]|(next:|least-loaded:)?(#[1-9],m[0-9]|m\\[0-9\\](,!#[1-9]|,!m\\*&[0-4])?)",
        ) {
            let roster = roster(10);
            for (at, (slots, tier)) in cast.iter().enumerate() {
                let tier = Tier::new(*tier).expect("a tier");
                join_in(&roster, tier, &format!("m{at}"), *slots);
            }
            let places = ranked(&roster);
            let rank = sender.index(places.len());
            let selector = selector.parse().expect("the patterns above are selectors");
            let Ok(selection) = select(&roster, &places[rank].member, &selector, Scope::ALL) else {
                return Ok(());
            };
            prop_assert_eq!(selection.sender_rank as usize, rank);
            let order = |member: &Member| (member.tier, member.id);
            let own = order(&places[rank].member);
            let (execute, outranked) = match selection.found {
                Found::One(target) => (vec![target], vec![]),
                Found::Many { execute, outranked, absent } => {
                    let below = |missed: &Missed| match missed {
                        Missed::Here(target) => {
                            target.rank as usize > rank && target.member.slots == 0
                        }
                        Missed::Named(_) => true,
                    };
                    prop_assert!(absent.iter().all(|absent| below(&absent.who)));
                    (execute, outranked)
                }
            };
            for target in &execute {
                prop_assert!(target.rank as usize > rank && target.member.slots > 0);
                prop_assert!(order(&target.member) > own, "a higher tier, or an earlier one of its own");
                prop_assert_eq!(places[target.rank as usize].member.id, target.member.id);
            }
            prop_assert!(outranked.iter().all(|target| (target.rank as usize) < rank));
        }
    }

    proptest! {
        /// Those that execute are those that rank alone would have execute, as far as the role
        /// covers them; no other client is told of if the role is not to see it.
        #[test]
        fn what_executes_is_what_rank_and_role_both_allow(
            slots in prop::collection::vec(0u32..3, 2..8),
            sender in any::<prop::sample::Index>(),
            covered in "m\\*|m[0-7]|m\\?|x\\*|\\*",
            sees_all: bool,
            selector in "next|below|all|least-loaded|[0-9]|m[0-9]|[0-4]-[4-9]|m\\*(,!m[0-9])?|![0-9]|\\*,[0-9]|[0-9],m[0-9],(m[0-9]|x|!0)|#[1-9]|#[1-9],m\\[0-9\\](,!#[1-9])?|m\\*&[0-4]",
        ) {
            let roster = roster(10);
            for (at, slots) in slots.iter().enumerate() {
                join(&roster, &format!("m{at}"), *slots);
            }
            let places = ranked(&roster);
            let rank = sender.index(places.len());
            let sender = &places[rank].member;
            let role = role(&covered, sees_all);
            let scope = Scope::of(&role, Some("x"));
            let selector = selector.parse().expect("the patterns above are selectors");
            let executing = |found: &Result<Selection, RpcError>| match found {
                Ok(Selection { found: Found::One(target), .. }) => vec![target.rank],
                Ok(Selection { found: Found::Many { execute, .. }, .. }) => {
                    execute.iter().map(|target| target.rank).collect()
                }
                Err(_) => Vec::new(),
            };
            let is_covered = |rank: &u32| scope.covers(&places[*rank as usize].member.name);
            let plain = select(&roster, sender, &selector, Scope::ALL);
            let scoped = select(&roster, sender, &selector, scope);
            if matches!(selector, Selector::Next | Selector::LeastLoaded) {
                // They pick among those that are covered, of all below.
                let below = (rank as u32 + 1..places.len() as u32)
                    .filter(|at| places[*at as usize].member.slots > 0 && is_covered(at));
                let picked = executing(&scoped);
                prop_assert_eq!(picked.len(), usize::from(below.clone().next().is_some()));
                prop_assert!(picked.iter().all(|picked| below.clone().any(|at| at == *picked)));
            } else {
                let expected: Vec<u32> = executing(&plain).into_iter().filter(is_covered).collect();
                prop_assert_eq!(executing(&scoped), expected);
            }
            if sees_all {
                return Ok(());
            }
            if let Ok(Selection { found: Found::Many { outranked, absent, .. }, .. }) = &scoped {
                prop_assert!(outranked.iter().all(|target| is_covered(&target.rank)));
                let tells_no_other = |absent: &Absent| match &absent.who {
                    Missed::Here(target) => is_covered(&target.rank),
                    Missed::Named(_) => true,
                };
                prop_assert!(absent.iter().all(tells_no_other));
            }
        }
    }

    fn role(covered: &str, sees_all: bool) -> Arc<Role> {
        let list = if sees_all { ", \"list\"" } else { "" };
        let text = format!(
            "version = 1\n[roles.r]\nmay = [\"send\"{list}]\n\
             allow = [{{ to = \"{covered}\", commands = [\"x\"] }}]\n"
        );
        let rules = Rules::read(text.as_bytes(), "auth.toml".as_ref());
        rules.expect("it is right").first_role()
    }
}
