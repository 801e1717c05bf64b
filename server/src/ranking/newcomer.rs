//! Whether a newcomer may join, and in whose place it is then.

use super::list::Ranking;
use super::view::View;
use crate::authority::rules::{Credential, Reserve};
use crate::member::Member;
use common::sys::sync::Arc;
use common::wire::tier::Tier;

/// Why a client cannot join, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// As many clients as may join with its identity have.
    TooMany(u32),
    ShuttingDown,
    Full(u32),
    /// Only these seats are free, which are for clients of higher tiers.
    Reserved(u32),
    /// With the name as it is spelled by the client that has it.
    NameTaken(Box<str>),
}

/// What is looked at of a newcomer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Newcomer<'a> {
    /// The name that it asks for.
    pub(crate) name: Option<&'a str>,
    pub(crate) tier: Tier,
    /// Whether it has slots.
    pub(crate) executes: bool,
    /// The credential that it has proven.
    pub(crate) credential: Option<&'a Credential>,
    /// Seats that only some tiers may take.
    pub(crate) reserve: Option<Reserve>,
}

impl<'a> From<Option<&'a str>> for Newcomer<'a> {
    fn from(name: Option<&'a str>) -> Newcomer<'a> {
        Newcomer {
            name,
            ..Newcomer::default()
        }
    }
}

/// A newcomer that has joined.
pub(crate) struct Admitted {
    pub(crate) member: Arc<Member>,
    /// Those in whose place it is: they are out of the list, and not told yet.
    pub(crate) replaced: Vec<Arc<Member>>,
}

impl Ranking {
    /// Finds the members in whose place a newcomer would be, if it may join.
    pub(super) fn check(&self, newcomer: &Newcomer<'_>) -> Result<Vec<Arc<Member>>, NotAdmitted> {
        let view = View(self);
        let taken = newcomer.name.and_then(|name| view.any_case(name));
        let taken = taken.map(|(_, place)| &place.member);
        let replaced = match newcomer.credential {
            Some(credential) => self.replaced(credential, newcomer.executes, taken)?,
            None => Vec::new(),
        };
        if self.draining {
            return Err(NotAdmitted::ShuttingDown);
        }
        self.check_seats(newcomer, &replaced)?;
        match taken {
            Some(member) if !is_among(&replaced, member) => {
                Err(NotAdmitted::NameTaken(member.name.clone()))
            }
            _ => Ok(replaced),
        }
    }

    /// The members that a newcomer with a credential would replace: the one that has the name that
    /// it asks for, and the oldest ones beyond the number that may be here with it. A newcomer that
    /// executes nothing replaces no executor: to look at the members with the certificate of a
    /// service does not end the service. One that is away goes if its name is asked for, and counts
    /// like the others otherwise.
    #[inline(never)]
    fn replaced(
        &self,
        credential: &Credential,
        executes: bool,
        taken: Option<&Arc<Member>>,
    ) -> Result<Vec<Arc<Member>>, NotAdmitted> {
        let here = self.identities.get(credential.id.as_str());
        let here = here.map_or(&[][..], Vec::as_slice);
        let is_mild = |member: &Member| executes || member.slots == 0;
        let may_replace = |member: &&Arc<Member>| credential.replace && is_mild(member);
        let may_have_name = |member: &&Arc<Member>| {
            (credential.replace || member.connection.is_away()) && is_mild(member)
        };
        let mut replaced: Vec<Arc<Member>> = Vec::new();
        let taken = taken.filter(|member| is_among(here, member));
        replaced.extend(taken.filter(may_have_name).cloned());
        let Some(most) = credential.connections else {
            return Ok(replaced);
        };
        let beyond = (here.len() + 1).saturating_sub(most as usize + replaced.len());
        let others = here
            .iter()
            .filter(|member| taken.is_none_or(|taken| !Arc::ptr_eq(taken, member)));
        let others: Vec<_> = others.filter(may_replace).take(beyond).cloned().collect();
        if others.len() < beyond || (beyond > 0 && most == 0) {
            return Err(NotAdmitted::TooMany(most));
        }
        replaced.extend(others);
        Ok(replaced)
    }

    fn check_seats(
        &self,
        newcomer: &Newcomer<'_>,
        replaced: &[Arc<Member>],
    ) -> Result<(), NotAdmitted> {
        let members = self.ranked.len() - replaced.len();
        let free = (self.max as usize).saturating_sub(members);
        if free == 0 {
            return Err(NotAdmitted::Full(self.max));
        }
        let Some(reserve) = newcomer
            .reserve
            .filter(|reserve| newcomer.tier > reserve.tier)
        else {
            return Ok(());
        };
        // Those of the tiers that it is kept for have a part of it already.
        let is_high = |member: &Member| member.tier <= reserve.tier;
        let high = self.ranked.partition_point(|place| is_high(&place.member));
        let go = replaced.iter().filter(|member| is_high(member)).count();
        let high = high.saturating_sub(go);
        let kept = (reserve.seats as usize).saturating_sub(high);
        match free > kept {
            true => Ok(()),
            false => Err(NotAdmitted::Reserved(free as u32)),
        }
    }
}

fn is_among(members: &[Arc<Member>], member: &Arc<Member>) -> bool {
    members.iter().any(|other| Arc::ptr_eq(other, member))
}
