//! The sending client of a bench: it sends, and counts what comes back; and how far all of them have come.

use super::plan::Plan;
use super::report::Counts;
use common::sys::sync::Arc;
use common::wire::fast_decode::{done, outcome_of_many};
use common::wire::fast_encode::Prepared;
use common::wire::message::{self, AnswerBody, Code, Id, RpcError};
use common::wire::{Outcome, Status, Tally};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes that wait to be written from which on nothing more is sent: a socket that takes no
/// more has a few hundred of its own.
const AHEAD: usize = 256 << 10;

/// How long no outcome may come while some are open.
const STALL: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub(super) enum Budget {
    /// So many sends, of all senders together.
    Sends(u64),
    Until(Instant),
}

/// How far all senders have come.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Drivers with senders that have not done all yet.
    pub(super) sending: AtomicUsize,
    pub(super) is_stopped: AtomicBool,
    pub(super) commands: AtomicU64,
}

impl Run {
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed) || self.sending.load(Ordering::Relaxed) == 0
    }
}

/// What one client sends, and what it counts.
pub(super) struct Sender {
    command: Prepared,
    /// How many outcomes each send has, if it has more than its answer.
    targets: Option<u32>,
    /// Its executors run programs, which may end with any code: each outcome is read.
    runs_programs: bool,
    number: u32,
    senders: u32,
    budget: Budget,
    /// By the number of a send, which is used again once it was answered.
    open: Vec<PendingSend>,
    free: Vec<u32>,
    last_heard: Instant,
    counts: Counts,
    run: Arc<Run>,
}

#[derive(Clone, Copy)]
struct PendingSend {
    since: Instant,
    outcomes: u32,
}

impl Sender {
    pub(super) fn new(command: Prepared, plan: &Plan, number: u32, run: Arc<Run>) -> Sender {
        let now = Instant::now();
        let never = PendingSend {
            since: now,
            outcomes: 0,
        };
        Sender {
            command,
            targets: plan.fan_out,
            runs_programs: plan.run.is_some(),
            number,
            senders: plan.senders(),
            budget: Budget::Sends(0),
            open: vec![never; plan.window as usize],
            free: (0..plan.window).rev().collect(),
            last_heard: now,
            counts: Counts::default(),
            run,
        }
    }

    /// Counts anew, and sends this much.
    pub(super) fn start(&mut self, budget: Budget) {
        self.counts = Counts::default();
        self.budget = match budget {
            Budget::Sends(all) => {
                let (number, senders) = (u64::from(self.number), u64::from(self.senders));
                Budget::Sends(all / senders + u64::from(number < all % senders))
            }
            until @ Budget::Until(_) => until,
        };
        self.last_heard = Instant::now();
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        counts.add(&self.counts);
        counts.open += (self.open.len() - self.free.len()) as u64;
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        self.free.len() == self.open.len() && !self.may_send(now)
    }

    /// Whether it has waited for too long.
    pub(super) fn check(&self, now: Instant) -> io::Result<()> {
        let is_waiting = self.free.len() < self.open.len();
        if is_waiting && now.saturating_duration_since(self.last_heard) > STALL {
            let stall = humantime::format_duration(STALL);
            return Err(io::Error::other(format!("no outcome came for {stall}")));
        }
        Ok(())
    }

    fn may_send(&self, now: Instant) -> bool {
        match self.budget {
            Budget::Sends(left) => left > 0,
            Budget::Until(end) => now < end,
        }
    }

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
            self.counts.outcomes[Status::Done as usize] += 1;
            self.answered(id, true, now);
            return true;
        }
        match outcome_of_many(line).filter(|_| !self.runs_programs) {
            Some(id) => self.told(id, now),
            None => false,
        }
    }

    /// Counts an outcome of a send to many that was read.
    pub(super) fn outcome(&mut self, outcome: &Outcome<'_>, now: Instant) {
        if outcome.status == Status::Done && outcome.exit_code != Some(0) {
            self.counts.error("exit_code");
        }
        if let Some(Id::Integer(id)) = outcome.send {
            self.told(id.unsigned_abs(), now);
        }
    }

    /// An outcome of a send to many has come; says whether there is such a send.
    fn told(&mut self, id: u64, now: Instant) -> bool {
        let Some(open) = self.open.get_mut(id as usize) else {
            return false;
        };
        open.outcomes += 1;
        self.last_heard = now;
        true
    }

    /// Counts an answer of another kind.
    pub(super) fn answer(
        &mut self,
        id: Option<&Id>,
        body: &AnswerBody<'_>,
        now: Instant,
    ) -> io::Result<()> {
        let Some(Id::Integer(id)) = id else {
            return Err(io::Error::other("it answered what was not asked"));
        };
        let id = id.unsigned_abs();
        match (body, self.targets) {
            (AnswerBody::Result(raw), None) => {
                let outcome: Outcome<'_> = serde_json::from_str(raw.get()).map_err(no_sense)?;
                self.counts.outcomes[outcome.status as usize] += 1;
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
                    return Err(io::Error::other(error.message));
                }
                if error.is(Code::Forbidden) {
                    // The next send would be answered in the same way.
                    let kind = io::ErrorKind::PermissionDenied;
                    return Err(io::Error::new(kind, error.message));
                }
            }
            (AnswerBody::Malformed, _) => {
                return Err(io::Error::other("an answer says nothing"));
            }
        }
        Ok(())
    }

    /// Counts the outcomes of a send to many; says whether all were done.
    fn tally(&mut self, id: u64, tally: &Tally, targets: u32) -> bool {
        for status in Status::ALL {
            self.counts.outcomes[status as usize] += u64::from(tally.of(status));
        }
        let told = self.open.get(id as usize).map_or(0, |open| open.outcomes);
        // Targets that had left, and outcomes that were counted and not told.
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
        self.counts.last = Some(now);
        self.last_heard = now;
        self.free.push(id as u32);
        let targets = self.targets.unwrap_or(1);
        self.run
            .commands
            .fetch_add(targets.into(), Ordering::Relaxed);
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` has it
fn no_sense(e: serde_json::Error) -> io::Error {
    io::Error::other(format!("its answer makes no sense: {e}"))
}
