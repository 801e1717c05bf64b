//! The ranked list: the members by tier, and within a tier first come, first ranked.
//!
//! Members stand in the order of their tiers and their numbers, neither of which changes while
//! a member is here ([`RankKey`](rank_key::RankKey)). So a rank is a position, and 0..n-1 without gaps in every
//! look-up, and two members never change places. A newcomer is the last of its tier, which need
//! not be the end of the list. The list hides behind a handle that returns owned values: its lock
//! is held for a look-up or a change of the list, and never while something is written, sent or
//! waited for.

mod list;
mod members_page;
mod newcomer;
mod place;
pub(crate) mod rank_key;
mod roster;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use newcomer::{Admitted, Newcomer, NotAdmitted};
pub(crate) use place::{Place, Standing};
pub(crate) use roster::Roster;
pub(crate) use view::{View, least_loaded};
