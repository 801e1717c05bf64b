//! One detached command, as clients ask for it: what was sent, and what became of it.

use super::account::{Account, Owner};
use super::log::{Log, Wait};
use crate::dispatch::flush_set::FlushSet;
use crate::member::Member;
use crate::timers::timer_queue::{News, Timer, TimerQueue};
use common::sys::sync::atomic::{AtomicBool, Ordering};
use common::sys::sync::{Arc, Mutex, leaf};
use common::wire::message::Id;
use common::wire::name::Name;
use common::wire::{JobId, JobSummary};

/// Bytes that a job needs besides what happens to it: itself, its words, and its stand-in with a
/// connection of its own.
pub(super) const JOB: usize = 4 << 10;

/// Bytes that are kept for each outcome from the start, so that it has room when it comes. Output in
/// it, and a long message, are counted when it comes.
pub(super) const OUTCOME: usize = 512;

/// How long news wait for more before clients that wait for them are told: a burst is one answer.
const NEWS_DELAY_MS: u64 = 5;

/// A detached command. `Debug` shows no id, which is a key.
#[derive(derive_more::Debug)]
#[debug("Job({number})")]
pub(crate) struct Job {
    pub(super) id: JobId,
    /// In the order of sending.
    pub(super) number: u64,
    pub(crate) owner: Owner,
    pub(super) account: Arc<Account>,
    /// The member that stands in for its sender.
    pub(crate) stand_in: Arc<Member>,
    pub(crate) is_for_one: bool,
    pub(super) words: Vec<String>,
    pub(super) to: Option<String>,
    /// When it was sent.
    pub(super) sent: u64,
    pub(super) targets: u32,
    pub(super) log: Mutex<Log>,
    /// Clients that wait are going to be told soon.
    pub(super) news: AtomicBool,
}

impl Job {
    pub(crate) fn is_open(&self) -> bool {
        leaf(&self.log).is_open()
    }

    /// The answer to a request for what happened after an event.
    pub(crate) fn page(&self, id: &Id, after: u64) -> Vec<u8> {
        let page = leaf(&self.log).page(after);
        page.line(id)
    }

    /// Has a request wait until something happens; `false`: it can be answered now.
    pub(crate) fn wait(self: &Arc<Self>, wait: Wait, timers: &TimerQueue) -> bool {
        let waits = leaf(&self.log).wait(wait).is_ok();
        self.schedule(timers);
        waits
    }

    /// Has the request answered in time that has waited longest, if there is one.
    fn schedule(self: &Arc<Self>, timers: &TimerQueue) {
        let at = leaf(&self.log).timer(timers.now());
        if let Some(at) = at {
            timers.schedule(at, Timer::News(Arc::clone(self) as _));
        }
    }

    /// Has the clients told that wait for news, if there are any.
    pub(super) fn wake(self: &Arc<Self>, timers: &TimerQueue) {
        if leaf(&self.log).has_waits() && !self.news.swap(true, Ordering::AcqRel) {
            let soon = timers.now() + NEWS_DELAY_MS;
            timers.schedule(soon, Timer::News(Arc::clone(self) as _));
        }
    }

    /// As a list of jobs shows it.
    pub(super) fn summary(&self, now: u64) -> JobSummary {
        let log = leaf(&self.log);
        let (tally, open) = (log.tally.clone(), log.is_open());
        let not_zero = log.not_zero;
        drop(log);
        JobSummary {
            job: self.id,
            command: self.words.clone(),
            to: self.to.clone(),
            sent_ms: now.saturating_sub(self.sent),
            by: Name::known(self.stand_in.name.to_string()),
            targets: self.targets,
            tally,
            not_zero,
            open,
        }
    }
}

impl News for Job {
    /// Answers the requests that waited for what has happened, or have waited long enough.
    fn tell_news(self: Arc<Self>, timers: &TimerQueue) {
        self.news.store(false, Ordering::Release);
        let due = leaf(&self.log).take_due(timers.now());
        self.schedule(timers);
        let mut flushes = FlushSet::new(timers);
        for wait in due {
            let Some(member) = wait.member.upgrade() else {
                continue;
            };
            let line = self.page(&wait.id, wait.after);
            let outbox = &member.connection.outbox;
            member.sends.close_wait(&wait.id, || outbox.push(line));
            flushes.add(&member.connection);
        }
    }
}
