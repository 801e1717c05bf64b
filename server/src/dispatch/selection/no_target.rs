//! Why a selector finds no client that executes, in words.

use super::Target;
use crate::member::Member;
use crate::ranking::Place;
use common::wire::message::{Code, RpcError};

/// How many are named in a message that says why no client can execute.
const NAMED: usize = 3;

pub(super) fn no_target(message: impl Into<String>) -> RpcError {
    RpcError::new(Code::NoTarget, message)
}

/// No client below the sender executes: there is none, or none has slots.
#[inline(never)]
pub(super) fn none_below(below: &[Place], first_rank: u32) -> RpcError {
    if below.is_empty() {
        return no_target("you rank lowest: no client is below you to execute it");
    }
    let places = below.iter().zip(first_rank..);
    no_target(format!(
        "no client below you executes: {}",
        do_not(
            places.map(|(place, rank)| (&*place.member, rank)),
            below.len()
        )
    ))
}

/// A selector of kind many found only clients that never execute, or none.
#[inline(never)]
pub(super) fn none_found(passed_over: &[Target]) -> RpcError {
    if passed_over.is_empty() {
        return no_target("the selector finds no client here, or none but you");
    }
    let targets = passed_over.iter();
    no_target(format!(
        "the selector finds no client that executes: {}",
        do_not(targets.map(|t| (&*t.member, t.rank)), passed_over.len())
    ))
}

/// `a (rank 1), b (rank 2) and 7 more have no slots`, or `are away`.
fn do_not<'a>(members: impl Iterator<Item = (&'a Member, u32)>, count: usize) -> String {
    let mut named = Vec::new();
    let (mut without_slots, mut away) = (false, false);
    for (member, rank) in members {
        match member.slots {
            0 => without_slots = true,
            _ => away = true,
        }
        if named.len() < NAMED {
            named.push(format!("{member} (rank {rank})"));
        }
    }
    let why = match (without_slots, away, count) {
        (true, true, _) => "have no slots or are away",
        (_, true, 1) => "is away",
        (_, true, _) => "are away",
        (_, _, 1) => "has no slots",
        _ => "have no slots",
    };
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more} {why}", named.join(", "))
}
