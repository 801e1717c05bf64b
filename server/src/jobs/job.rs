//! One detached command, as clients ask for it: what was sent, and what became of it.

use super::account::Account;
use super::log::{self, EVENT, Log, Wait};
use super::{Jobs, Owner};
use crate::dispatch::command::{Command, Keeper};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::outcome_details::TargetInfo;
use crate::member::Member;
use crate::timers::timer_queue::{News, Timer, TimerQueue};
use common::limits::JOBS_PART;
use common::sys::sync::atomic::{AtomicBool, Ordering};
use common::sys::sync::{Arc, Mutex, Weak, leaf};
use common::wire::message::{Id, RpcError};
use common::wire::name::Name;
use common::wire::{JobId, JobSummary, Outcome, OutputStream, Tally, Text, decode_output};

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
    pub(super) jobs: Weak<Jobs>,
}

impl Job {
    pub(crate) fn is_open(&self) -> bool {
        leaf(&self.log).is_open()
    }

    fn make_room(&self, bytes: usize) -> bool {
        let jobs = self.jobs.upgrade();
        jobs.is_some_and(|jobs| jobs.make_room_for_output(&self.owner, &self.account, bytes))
    }

    /// An outcome as it is kept, and the bytes that it needs beyond what was kept for it: without
    /// output if there is no room for that, and then without a long message.
    fn encode(&self, outcome: &Outcome<'_>) -> (Box<serde_json::value::RawValue>, usize) {
        let is_cut = leaf(&self.log).is_cut(outcome.member);
        let whole = Outcome {
            truncated: outcome.truncated || is_cut,
            ..outcome.clone()
        };
        let mut short = log::without_output(outcome);
        short.truncated |= is_cut;
        let mut shortest = short.clone();
        shortest.message = None;
        let extra =
            |json: &serde_json::value::RawValue| (EVENT + json.get().len()).saturating_sub(OUTCOME);
        for form in [&whole, &short] {
            let json = log::json(form);
            let extra = extra(&json);
            if extra == 0 || self.make_room(extra) {
                return (json, extra);
            }
        }
        (log::json(&shortest), 0)
    }

    fn end(self: &Arc<Self>, command: &Command, tally: &Tally, flushes: &mut FlushSet<'_>) {
        if let Some(on_record) = command.on_record.as_ref().filter(|_| !self.is_for_one) {
            on_record.end(command.id, tally, flushes.time());
        }
        self.stand_in.sends.close(&command.send, || true);
        leaf(&self.log).settle(JOB);
        if let Some(jobs) = self.jobs.upgrade() {
            jobs.end(self, flushes.timers());
        }
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

impl Keeper for Job {
    fn is_for_one(&self) -> bool {
        self.is_for_one
    }

    fn share(&self) -> (u64, usize) {
        // No member has such a number.
        (u64::MAX - self.account.number, JOBS_PART)
    }

    fn add_output(
        &self,
        target: TargetInfo<'_>,
        stream: OutputStream,
        text: Option<Text<'_>>,
        base64: Option<Text<'_>>,
    ) {
        let Some(bytes) = decode_output(text, base64) else {
            return;
        };
        let kept = bytes.len() + EVENT;
        let has_room = !leaf(&self.log).is_cut(Some(target.member)) && self.make_room(kept);
        let mut log = leaf(&self.log);
        match has_room {
            true => {
                log.keep(kept);
                log.add_output(target, stream, bytes);
            }
            // What came later would pass for what is missing.
            false => drop(log.cut.insert(target.member)),
        }
    }

    #[inline(never)]
    fn add_outcome(
        self: Arc<Self>,
        command: &Command,
        outcome: &Outcome<'_>,
        flushes: &mut FlushSet<'_>,
    ) {
        let (json, extra) = self.encode(outcome);
        let mut log = leaf(&self.log);
        log.keep(extra);
        let last = log.add_outcome(outcome, json);
        drop(log);
        if let Some(tally) = last {
            self.end(command, &tally, flushes);
        }
        self.wake(flushes.timers());
    }

    fn refuse(&self, error: &RpcError) {
        leaf(&self.log).refusal = Some(error.clone());
    }

    fn wake(self: Arc<Self>, timers: &TimerQueue) {
        if leaf(&self.log).has_waits() && !self.news.swap(true, Ordering::AcqRel) {
            let soon = timers.now() + NEWS_DELAY_MS;
            timers.schedule(soon, Timer::News(self));
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
