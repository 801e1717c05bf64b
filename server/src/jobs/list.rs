//! The jobs that a client is shown.

use super::table::{Jobs, Own};
use crate::member::Member;
use crate::session::page;
use common::sys::sync::{Arc, leaf};
use common::wire;
use std::iter;

impl Jobs {
    /// The jobs that a client is shown, the newest first, from a place on and so many at the most.
    pub(crate) fn list(&self, member: &Member, from: usize, limit: usize, now: u64) -> wire::Jobs {
        let table = leaf(&self.table);
        let shown = table.owners.iter();
        let shown = shown.filter(|(owner, _)| owner.is_shown_to(member));
        let shown: Vec<&Own> = shown.map(|(_, own)| own).collect();
        let total: usize = shown.iter().map(|own| own.jobs.len()).sum();
        let page: Vec<_> = newest_first(&shown).skip(from).take(limit).collect();
        drop(table);
        let mut jobs = page.iter().map(|job| job.summary(now)).collect();
        page::fit(&mut jobs);
        wire::Jobs {
            jobs,
            total: total as u32,
        }
    }
}

/// The jobs of several owners, of which each are in order.
fn newest_first<'a>(owners: &[&'a Own]) -> impl Iterator<Item = Arc<super::Job>> + use<'a> {
    let jobs = owners.iter().map(|own| own.jobs.iter().rev());
    let mut jobs: Vec<_> = jobs.map(Iterator::peekable).collect();
    iter::from_fn(move || {
        let next = jobs.iter_mut().enumerate();
        let next = next.filter_map(|(at, jobs)| jobs.peek().map(|(number, _)| (**number, at)));
        let (_, at) = next.max()?;
        jobs[at].next().map(|(_, job)| Arc::clone(job))
    })
}
