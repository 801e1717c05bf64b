//! The clients that a selector finds. This is the one place that decides which of them execute a
//! command: a client below the sender does if the sender's role covers it ([`scope`](super::scope)), a
//! client above it is never sent one.

mod no_target;

use crate::dispatch::command::{Absent, Missed, Target};
use crate::dispatch::scope::Scope;
use crate::member::Member;
use crate::ranking::{Place, Roster, View, least_loaded};
use common::sys::sync::{self, Arc};
use common::wire::Status;
use common::wire::message::{Code, RpcError};
use common::wire::selector::{List, Selector, Single, Subject};
use no_target::{no_target, none_below, none_found};

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
        Selector::Single(single) => named(roster, sender, single, scope),
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

/// Why a member that has slots is passed over.
const AWAY: &str = "it is away: its connection broke, and it may come back";

/// Whether a member executes what it is sent now.
fn executes(member: &Member) -> bool {
    member.slots > 0 && !member.connection.is_away()
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
        return Err(none_below(
            &view.ranked()[sender_rank as usize + 1..],
            sender_rank + 1,
        ));
    };
    let target = Target {
        member: Arc::clone(&place.member),
        rank: rank_of(view, &place.member)?,
        allow: scope.decide(&place.member.name).flatten(),
    };
    Ok(Selection {
        sender_rank,
        found: Found::One(target),
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
    let (ranked, sender_rank) = roster.look(|view| {
        let rank = sender_rank(&view, sender)?;
        Ok::<_, RpcError>((view.ranked().to_vec(), rank))
    })?;
    let below = (0..).zip(ranked).skip(sender_rank as usize + 1);
    let taken = below.filter_map(|(rank, Place { member, .. })| {
        let is_found = executes(&member) && in_list(list, rank, &member, true);
        let allow = is_found.then(|| scope.decide(&member.name))??;
        Some(Target {
            member,
            rank,
            allow,
        })
    });
    let found: Vec<Target> = taken.collect();
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
#[inline(never)]
fn named(
    roster: &Roster,
    sender: &Member,
    single: &Single<'_>,
    scope: Scope<'_>,
) -> Result<Selection, RpcError> {
    let (sender_rank, found, members) = roster.look(|view| {
        let rank = sender_rank(&view, sender)?;
        Ok::<_, RpcError>((rank, find(&view, single), view.ranked().len()))
    })?;
    if is_hidden(single, found.as_ref(), sender, scope) {
        return Err(scope.error(&single.to_string()));
    }
    let mut target = here(single, found, members, scope).map_err(no_target)?;
    let Target { member, rank, .. } = &target;
    if *rank == sender_rank {
        return Err(no_target(format!(
            "{single} is you; no client commands itself"
        )));
    }
    if *rank < sender_rank {
        // The sender alone is told: a superior hears of what was meant for it among others.
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
    let Some(allow) = scope.decide(&member.name) else {
        return Err(scope.error(&format!("{member} (rank {rank})")));
    };
    if member.connection.is_away() {
        return Err(no_target(format!("{member} (rank {rank}): {AWAY}")));
    }
    target.allow = allow;
    Ok(Selection {
        sender_rank,
        found: Found::One(target),
    })
}

/// The client that something names, in upper or lower case. That is all that is done
/// under the list's lock: a line names ten thousand, and each may need a text that says why not.
fn find(view: &View<'_>, single: &Single<'_>) -> Option<Target> {
    let (rank, place) = match single {
        Single::Rank(rank) => (*rank as usize, view.ranked().get(*rank as usize)?),
        Single::Member(number) => view.by_number(*number)?,
        Single::Name(name) => view.any_case(name)?,
    };
    Some(Target {
        member: Arc::clone(&place.member),
        rank: rank as u32,
        allow: None,
    })
}

/// Whether something names a client that the sender is not to know of, whether it is here or not.
fn is_hidden(
    single: &Single<'_>,
    found: Option<&Target>,
    sender: &Member,
    scope: Scope<'_>,
) -> bool {
    let shows = |name: &str| *name == *sender.name || scope.covers(name);
    scope.hides()
        && match single {
            Single::Name(name) => !shows(name),
            Single::Rank(_) | Single::Member(_) => {
                found.is_none_or(|found| !shows(&found.member.name))
            }
        }
}

/// The client that something names, of so many members; or why there is none.
fn here(
    single: &Single<'_>,
    found: Option<Target>,
    members: usize,
    scope: Scope<'_>,
) -> Result<Target, String> {
    sync::assert_unlocked();
    match (single, found) {
        (Single::Name(name), Some(found)) if *found.member.name != **name => {
            let is_shown = scope.shows(&found.member.name);
            let other = is_shown.then(|| format!("; there is {:?}", found.member.name));
            let other = other.unwrap_or_default();
            Err(format!("no client here has the name {name:?}{other}"))
        }
        (_, Some(found)) => Ok(found),
        (Single::Name(name), None) => Err(format!("no client here has the name {name:?}")),
        (Single::Rank(_), None) => {
            let lowest = members.saturating_sub(1);
            Err(format!("there is no {single}; the lowest is {lowest}"))
        }
        (Single::Member(number), None) => {
            Err(format!("no client here has the member number {number}"))
        }
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
    let names = list.map_or(&[][..], List::named);
    let (ranked, sender_rank, named) = roster.look(|view| {
        let rank = sender_rank(&view, sender)?;
        let named: Vec<_> = names.iter().map(|one| find(&view, one)).collect();
        Ok::<_, RpcError>((view.ranked().to_vec(), rank, named))
    })?;
    let unknown = match names {
        [] => Vec::new(),
        names => unknown(names, named, ranked.len(), sender, scope),
    };
    let above = sender_rank as usize;
    let below = ranked.len() - above - 1;
    let is_lowest = below == 0;
    // A list that grows leaves pieces of each size with the thread's allocator, thousands of times.
    let (mut execute, mut passed_over) = (Vec::with_capacity(below), Vec::with_capacity(below));
    let mut outranked = Vec::with_capacity(above);
    let mut forbidden = Vec::new();
    for (rank, Place { member, .. }) in ranked.into_iter().enumerate() {
        let rank = rank as u32;
        let is_chosen = rank != sender_rank && chosen(rank, &member, rank > sender_rank);
        if !is_chosen || !scope.shows(&member.name) {
            continue;
        }
        let mut target = Target {
            member,
            rank,
            allow: None,
        };
        if rank < sender_rank {
            outranked.push(target);
        } else if !executes(&target.member) {
            passed_over.push(target);
        } else if let Some(allow) = scope.decide(&target.member.name) {
            target.allow = allow;
            execute.push(target);
        } else {
            forbidden.push(forbidden_here(target, scope));
        }
    }
    execute.shrink_to_fit();
    outranked.shrink_to_fit();
    let mut absent = match list {
        Some(list) => absent(list, &passed_over, unknown),
        None => Vec::new(),
    };
    absent.append(&mut forbidden);
    if execute.is_empty() && outranked.is_empty() && absent.is_empty() {
        return Err(match is_lowest && passed_over.is_empty() {
            true => none_below(&[], 0),
            // Clients that it may not know of may be here.
            false if passed_over.is_empty() && scope.hides() => no_target(NONE_COVERED),
            false => none_found(&passed_over),
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
        message: match target.member.slots {
            0 => "it has no slots: it never executes".into(),
            _ => AWAY.into(),
        },
    });
    without_slots.chain(unknown).collect()
}

/// Of what a list names, and the clients that were found for it among so many members: what is not
/// here, or what the sender is not to know of.
#[inline(never)]
fn unknown(
    names: &[Single<'static>],
    found: Vec<Option<Target>>,
    members: usize,
    sender: &Member,
    scope: Scope<'_>,
) -> Vec<Absent> {
    let missed = names.iter().zip(found).filter_map(|(one, found)| {
        let (status, message) = match is_hidden(one, found.as_ref(), sender, scope) {
            true => (Status::Forbidden, scope.forbidden(&one.to_string()).message),
            false => (Status::Absent, here(one, found, members, scope).err()?),
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

/// The server ends the sender, on another thread. No client reads this: the session of one that ends
/// answers nothing.
pub(crate) fn gone() -> RpcError {
    RpcError::new(Code::Internal, "you are not ranked any more")
}

#[cfg(test)]
mod tests;
