//! The answer to `select`: the targets that a `send` would have, found by the same code. Nothing is
//! sent, and no client but the one that asks is told.

use crate::dispatch::command::{Absent, Missed, Target};
use crate::dispatch::selection::{Found, Selection};
use common::wire::name::Name;
use common::wire::selector::Single;
use common::wire::{Kind, Reach, Selected, SelectedTarget, Status};

/// The targets of a selection, `limit` of them from a place on.
#[inline(never)]
pub(crate) fn page(selection: Selection, from: usize, limit: usize) -> Selected {
    let (kind, mut targets): (_, Vec<SelectedTarget>) = match selection.found {
        Found::One(target) => (Kind::One, vec![of(&target, Reach::Execute)]),
        Found::Many {
            execute,
            outranked,
            absent,
        } => {
            let execute = execute.iter().map(|target| of(target, Reach::Execute));
            let outranked = outranked.iter().map(|target| of(target, Reach::Outranked));
            let missed = absent.iter().map(missed);
            (Kind::Many, execute.chain(outranked).chain(missed).collect())
        }
    };
    // As stable as the ranks, so that the next page goes on where this one ends.
    targets.sort_by_key(|target| (target.tier.is_none(), target.rank));
    let total = targets.len() as u32;
    let targets = targets.into_iter().skip(from).take(limit).collect();
    Selected {
        kind,
        targets,
        total,
    }
}

fn of(target: &Target, status: Reach) -> SelectedTarget {
    let member = &target.member;
    SelectedTarget {
        member: Some(member.id),
        name: Some(Name::known(member.name.to_string())),
        rank: Some(target.rank),
        tier: Some(member.tier),
        status,
    }
}

fn missed(absent: &Absent) -> SelectedTarget {
    let status = match absent.status {
        Status::Forbidden => Reach::Forbidden,
        _ => Reach::Absent,
    };
    let named = match &absent.who {
        Missed::Here(target) => return of(target, status),
        Missed::Named(named) => named,
    };
    let mut target = SelectedTarget {
        member: None,
        name: None,
        rank: None,
        tier: None,
        status,
    };
    match named {
        Single::Rank(rank) => target.rank = Some(*rank),
        Single::Member(member) => target.member = Some(*member),
        Single::Name(name) => target.name = Some(Name::known(name.to_string())),
    }
    target
}
