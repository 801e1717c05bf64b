//! What sends, and counts what comes back.

use super::endpoint::ConnectionLost;
use super::report::Counts;
use common::sys::sync::Arc;
use common::wire::fast_decode::{done, outcome_of_many};
use common::wire::fast_encode::Prepared;
use common::wire::message::{self, AnswerBody, Code, Id, RpcError};
use common::wire::{Outcome, Status, Tally};
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes that wait to be written from which on nothing more is sent: a socket that takes no
/// more has a few hundred of its own.
const AHEAD: usize = 256 << 10;

/// How long no outcome may come while some are open.
const STALL: Duration = Duration::from_secs(30);

/// How much is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Budget {
    /// So many sends, of all senders together.
    Sends(u64),
    Until(Instant),
}

/// Which part of what all send is one sender's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) number: u32,
    pub(super) of: u32,
}

impl Share {
    fn of(self, all: u64) -> u64 {
        let (number, of) = (u64::from(self.number), u64::from(self.of));
        all / of + u64::from(number < all % of)
    }
}

/// One that sends.
pub(super) struct Sender {
    command: Prepared,
    /// How many outcomes each send has, where it has more than its answer.
    targets: Option<u32>,
    share: Share,
    /// What is left of it.
    budget: Budget,
    /// By the number of a send, which is used again once it was answered.
    open: Vec<PendingSend>,
    free: Vec<u32>,
    last_heard: Instant,
    counts: Counts,
    /// Outcomes of all senders together, for whoever watches.
    progress: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
struct PendingSend {
    since: Instant,
    outcomes: u32,
}

impl Sender {
    pub(super) fn new(
        command: Prepared,
        targets: Option<u32>,
        window: u32,
        share: Share,
        progress: Arc<AtomicU64>,
    ) -> Sender {
        let now = Instant::now();
        let never = PendingSend {
            since: now,
            outcomes: 0,
        };
        Sender {
            command,
            targets,
            share,
            budget: Budget::Sends(0),
            open: vec![never; window as usize],
            free: (0..window).rev().collect(),
            last_heard: now,
            counts: Counts::default(),
            progress,
        }
    }

    /// Counts anew, and sends this much.
    pub(super) fn start(&mut self, budget: Budget) {
        self.counts = Counts::default();
        self.budget = match budget {
            Budget::Sends(all) => Budget::Sends(self.share.of(all)),
            until @ Budget::Until(_) => until,
        };
        self.last_heard = Instant::now();
    }

    /// What was counted since the start.
    pub(super) fn into_counts(mut self) -> Counts {
        self.counts.open = (self.open.len() - self.free.len()) as u64;
        self.counts
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        self.free.len() == self.open.len() && !self.may_send(now)
    }

    /// Whether it has waited for too long.
    pub(super) fn check(&self, now: Instant) -> Result<(), ConnectionLost> {
        let is_waiting = self.free.len() < self.open.len();
        if is_waiting && now.saturating_duration_since(self.last_heard) > STALL {
            let stall = humantime::format_duration(STALL);
            return Err(ConnectionLost(format!("no outcome came for {stall}")));
        }
        Ok(())
    }

    fn may_send(&self, now: Instant) -> bool {
        match self.budget {
            Budget::Sends(left) => left > 0,
            Budget::Until(end) => now < end,
        }
    }

    /// Sends as many as may be open.
    pub(super) fn send(&mut self, out: &mut Vec<u8>, now: Instant) {
        while out.len() < AHEAD && self.may_send(now) {
            let Some(id) = self.free.pop() else { return };
            if let Budget::Sends(left) = &mut self.budget {
                *left -= 1;
            }
            self.open[id as usize] = PendingSend {
                since: now,
                outcomes: 0,
            };
            self.counts.sent += 1;
            self.command.append(id.into(), out);
        }
    }

    /// Counts, if the line is an outcome like most; says whether it is.
    pub(super) fn take(&mut self, line: &[u8], now: Instant) -> bool {
        if self.targets.is_none()
            && let Some(id) = done(line)
        {
            self.counts.outcome(Status::Done, 1);
            self.answered(id, true, now);
            return true;
        }
        let open = outcome_of_many(line).and_then(|id| self.open.get_mut(id as usize));
        if let Some(open) = open {
            open.outcomes += 1;
            self.last_heard = now;
            return true;
        }
        false
    }

    /// Counts an answer of another kind.
    pub(super) fn answer(
        &mut self,
        id: Option<&Id>,
        body: &AnswerBody<'_>,
        now: Instant,
    ) -> Result<(), ConnectionLost> {
        let Some(Id::Integer(id)) = id else {
            return Err(ConnectionLost("it answered what was not asked".into()));
        };
        let id = id.unsigned_abs();
        match (body, self.targets) {
            (AnswerBody::Result(raw), None) => {
                let outcome: Outcome<'_> = read(raw)?;
                self.counts.outcome(outcome.status, 1);
                if outcome.status == Status::Done && outcome.exit_code != Some(0) {
                    self.counts.error("exit_code");
                }
                self.answered(id, false, now);
            }
            (AnswerBody::Result(raw), Some(targets)) => {
                let tally: Tally = message::result(raw).map_err(no_sense)?;
                let is_whole = self.tally(id, &tally, targets);
                self.answered(id, is_whole, now);
            }
            (AnswerBody::Error(raw), _) => {
                let error = RpcError::parse(raw).map_err(no_sense)?;
                self.answered(id, false, now);
                let code = Code::from_number(error.code);
                self.counts.error(code.map_or("unknown", Code::reason));
                if error.is(Code::ShuttingDown) {
                    return Err(ConnectionLost(error.message));
                }
            }
            (AnswerBody::Malformed, _) => {
                return Err(ConnectionLost("an answer says nothing".into()));
            }
        }
        Ok(())
    }

    /// Counts the outcomes of a send to many; says whether all were done.
    fn tally(&mut self, id: u64, tally: &Tally, targets: u32) -> bool {
        for status in Status::ALL {
            self.counts.outcome(status, tally.of(status).into());
        }
        let told = self.open.get(id as usize).map_or(0, |open| open.outcomes);
        // Those who had left, and outcomes that were counted and not told.
        for _ in told.min(tally.targets())..targets {
            self.counts.error("missing");
        }
        tally.of(Status::Done) == targets
    }

    fn answered(&mut self, id: u64, is_done: bool, now: Instant) {
        let Some(open) = self.open.get(id as usize) else {
            return;
        };
        if is_done {
            self.counts
                .latency(now.saturating_duration_since(open.since));
        }
        self.counts.answered(now);
        self.last_heard = now;
        self.free.push(id as u32);
        let targets = self.targets.unwrap_or(1);
        self.progress.fetch_add(targets.into(), Ordering::Relaxed);
    }
}

fn read<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue) -> Result<T, ConnectionLost> {
    serde_json::from_str(raw.get()).map_err(no_sense)
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` has it
fn no_sense(e: serde_json::Error) -> ConnectionLost {
    ConnectionLost(format!("its answer makes no sense: {e}"))
}
