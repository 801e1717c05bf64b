//! Keeps what becomes of a detached command, in place of its sender.

use super::job::{JOB, Job, OUTCOME};
use super::log::{self, EVENT};
use super::table::Jobs;
use crate::dispatch::command::{Command, Keeper};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::outcome_details::TargetInfo;
use crate::timers::timer_queue::TimerQueue;
use common::limits::JOBS_PART;
use common::sys::sync::{Arc, Weak, leaf};
use common::wire::message::RpcError;
use common::wire::{Outcome, OutputStream, Tally, Text, decode_output};

/// Writes the output and the outcomes of one job's command into its log, within its owner's memory.
pub(super) struct JobKeeper {
    pub(super) job: Arc<Job>,
    pub(super) jobs: Weak<Jobs>,
}

impl JobKeeper {
    fn make_room(&self, bytes: usize) -> bool {
        let jobs = self.jobs.upgrade();
        jobs.is_some_and(|jobs| {
            jobs.make_room_for_output(&self.job.owner, &self.job.account, bytes)
        })
    }

    /// An outcome as it is kept, and the bytes that it needs beyond what was kept for it: without
    /// output if there is no room for that, and then without a long message.
    fn encode(&self, outcome: &Outcome<'_>) -> (Box<serde_json::value::RawValue>, usize) {
        let is_cut = leaf(&self.job.log).is_cut(outcome.member);
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

    fn end(&self, command: &Command, tally: &Tally, flushes: &mut FlushSet<'_>) {
        if let Some(on_record) = command.on_record.as_ref().filter(|_| !self.job.is_for_one) {
            on_record.end(command.id, tally, flushes.time());
        }
        self.job.stand_in.sends.close(&command.send, || true);
        leaf(&self.job.log).settle(JOB);
        if let Some(jobs) = self.jobs.upgrade() {
            jobs.end(&self.job, flushes.timers());
        }
    }
}

impl Keeper for JobKeeper {
    fn is_for_one(&self) -> bool {
        self.job.is_for_one
    }

    fn share(&self) -> (u64, usize) {
        // No member has such a number.
        (u64::MAX - self.job.account.number, JOBS_PART)
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
        let has_room = !leaf(&self.job.log).is_cut(Some(target.member)) && self.make_room(kept);
        let mut log = leaf(&self.job.log);
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
    fn add_outcome(&self, command: &Command, outcome: &Outcome<'_>, flushes: &mut FlushSet<'_>) {
        let (json, extra) = self.encode(outcome);
        let mut log = leaf(&self.job.log);
        log.keep(extra);
        let last = log.add_outcome(outcome, json);
        drop(log);
        if let Some(tally) = last {
            self.end(command, &tally, flushes);
        }
        self.job.wake(flushes.timers());
    }

    fn refuse(&self, error: &RpcError) {
        leaf(&self.job.log).refusal = Some(error.clone());
    }

    fn wake(&self, timers: &TimerQueue) {
        self.job.wake(timers);
    }
}
