//! One `send` that the server took: its targets, and the one door through which every
//! outcome leaves.

use crate::authority::grant::AllowLine;
use crate::dispatch::counts::{Counts, Left};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::input::Input;
use crate::dispatch::outcome_details::{OutcomeDetails, TargetInfo};
use crate::dispatch::output_credit::OutputCredit;
use crate::member::Member;
use crate::record::on_record::OnRecord;
use crate::telemetry::feed::Shown;
use crate::timers::timer_queue::TimerQueue;
use common::limits::{MAX_OUTPUT, MAX_OUTPUT_SHARE, MIN_OUTPUT_SHARE, MIN_WINDOW_SHARE};
use common::logging::logged;
use common::memory::Charge;
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::wire::message::{Id, RpcError, error_line, notification_line, result_line};
use common::wire::name::Name;
use common::wire::selector::Single;
use common::wire::{
    Outcome, OutputStream, SendInputConsumed, Started, Status, Tally, Text, fast_encode, method,
};
use std::fmt;
use std::ops::Deref;

/// A client that a command is for, and its rank as of when the command was taken.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) member: Arc<Member>,
    pub(crate) rank: u32,
    /// What lets the sender have it execute the command, if anything but rank does.
    pub(crate) allow: Option<AllowLine>,
}

impl Target {
    /// What others are told of it.
    pub(crate) fn info(&self) -> TargetInfo<'_> {
        TargetInfo {
            member: self.member.id,
            name: &self.member.name,
            rank: self.rank,
        }
    }
}

/// A client that a selector finds or names, and that does not execute: it is absent, or forbidden.
pub(crate) struct Absent {
    pub(crate) who: Missed,
    pub(crate) status: Status,
    /// Why not.
    pub(crate) message: String,
}

/// What is known of such a client.
pub(crate) enum Missed {
    /// It is here.
    Here(Target),
    /// It is not, and was named like this.
    Named(Single<'static>),
}

/// The targets of a command; one needs no memory of its own.
pub(crate) enum Targets {
    One(Target),
    /// In the order of their numbers.
    Many(Vec<Target>),
}

impl Targets {
    /// Several targets, in any order.
    pub(crate) fn many(mut targets: Vec<Target>) -> Targets {
        targets.sort_unstable_by_key(|target| target.member.id);
        Targets::Many(targets)
    }

    /// The target with that number.
    pub(crate) fn find(&self, number: u64) -> Option<&Target> {
        self.place(number).map(|at| &self[at])
    }

    /// Which of them has that number.
    pub(crate) fn place(&self, number: u64) -> Option<usize> {
        let at = self.binary_search_by_key(&number, |target| target.member.id);
        at.ok()
    }
}

impl Deref for Targets {
    type Target = [Target];
    fn deref(&self) -> &[Target] {
        match self {
            Targets::One(target) => std::slice::from_ref(target),
            Targets::Many(targets) => targets,
        }
    }
}

/// One `send`, from when it was taken to its last outcome.
pub(crate) struct Command {
    /// The id of its `execute` requests.
    pub(crate) id: u64,
    /// The sender's own id of the request.
    pub(crate) send: Id,
    pub(crate) sender: Arc<Member>,
    /// The clients that are to execute it.
    pub(crate) targets: Targets,
    /// How long it may run, in milliseconds.
    pub(crate) timeout: Option<u64>,
    /// When it is to have ended, waiting included.
    pub(crate) deadline: Option<u64>,
    /// Whether the sender is told when a target is given it.
    pub(crate) progress: bool,
    /// How much output the sender takes ahead, over all targets.
    pub(crate) window: Option<u64>,
    /// Its input, if it has any.
    pub(crate) input: Option<Box<Input>>,
    pub(crate) telling: Telling,
    /// For what is kept of it until its last outcome.
    pub(crate) _charge: Charge,
    /// If what clients do is put on record.
    pub(crate) on_record: Option<OnRecord>,
    /// If it is among the commands that are shown.
    pub(crate) shown: Option<Arc<Shown>>,
}

/// How what becomes of a command is told.
pub(crate) enum Telling {
    /// Its one outcome is the answer to the sender.
    Answer,
    /// The sender is told each outcome, and the answer is how many of each kind there were.
    Tally(Counts),
    /// It is detached: a job keeps what becomes of it.
    Job(Arc<dyn Keeper>),
}

/// Keeps the output and the outcomes of a detached command, which has no sender to tell.
pub(crate) trait Keeper: Send + Sync {
    /// Whether the command's selector is for one client.
    fn is_for_one(&self) -> bool;

    /// See [`Command::share`].
    fn share(&self) -> (u64, usize);

    /// Keeps output, if there is room for it. The caller may hold the lock of a queue, and
    /// [wakes](Self::wake) the clients that wait later.
    fn add_output(
        &self,
        target: TargetInfo<'_>,
        stream: OutputStream,
        text: Option<Text<'_>>,
        base64: Option<Text<'_>>,
    );

    /// Keeps what became of the command at one target.
    fn add_outcome(&self, command: &Command, outcome: &Outcome<'_>, flushes: &mut FlushSet<'_>);

    /// It is not taken after all.
    fn refuse(&self, error: &RpcError);

    /// Has the clients told that wait for news, if there are any.
    fn wake(&self, timers: &TimerQueue);
}

/// One command at one of its targets.
#[derive(Clone)]
pub(crate) struct Assignment {
    pub(crate) command: Arc<Command>,
    /// Which of the targets.
    pub(crate) target: usize,
}

/// Outcomes of one send that leave together where they come close together: enough that the
/// system calls for them no longer show, and so few that their sender has something to do
/// while the others come.
const TOGETHER: u32 = 16;

/// The part of a target's queue that is for one sender.
const SHARE_OF_SENDER: usize = 2;

/// Says in an outcome what is known of it.
#[inline]
fn describe<'a>(outcome: &mut Outcome<'a>, details: &'a OutcomeDetails<'_>) {
    outcome.message = details.message.as_ref().map(Text::borrowed);
    outcome.elapsed_ms = details.elapsed_ms;
    outcome.started = details.started;
    outcome.set_result(&details.executed);
}

#[inline(never)]
fn tally_line(send: &Id, tally: &Tally) -> Line {
    result_line(send, tally).into()
}

/// The message of an outcome, as far as a log shows it.
fn said(details: &OutcomeDetails<'_>) -> impl fmt::Display {
    fmt::from_fn(|f| match &details.message {
        Some(message) => write!(f, "{}", logged::details(message.decoded())),
        None => Ok(()),
    })
}

impl Command {
    /// Whether its selector is for one client.
    pub(crate) fn is_for_one(&self) -> bool {
        match &self.telling {
            Telling::Answer => true,
            Telling::Tally(_) => false,
            Telling::Job(keeper) => keeper.is_for_one(),
        }
    }

    /// Together with which others it has a share of a target's queue, and which part of the queue that
    /// is.
    pub(crate) fn share(&self) -> (u64, usize) {
        match &self.telling {
            Telling::Job(keeper) => keeper.share(),
            _ => (self.sender.id, SHARE_OF_SENDER),
        }
    }

    /// How much output each target may send.
    pub(crate) fn credit(&self) -> OutputCredit {
        let targets = (self.targets.len() as u64).max(1);
        match self.window_share() {
            Some(share) => OutputCredit::window(share),
            None => OutputCredit::share(
                (MAX_OUTPUT / targets).clamp(MIN_OUTPUT_SHARE, MAX_OUTPUT_SHARE),
            ),
        }
    }

    /// How long it may run if it is given to a target now.
    pub(crate) fn time_left(&self, now: u64) -> Option<u64> {
        let left = self.deadline.map(|at| at.saturating_sub(now).max(1));
        match (self.timeout, left) {
            (Some(timeout), Some(left)) => Some(timeout.min(left)),
            (timeout, left) => timeout.or(left),
        }
    }

    /// Tells the sender that a target is given it, if the sender takes what it is told. The caller
    /// flushes.
    #[inline(never)]
    pub(crate) fn tell_started(&self, member: u64) {
        let outbox = &self.sender.connection.outbox;
        if !outbox.is_over_half() {
            let send = self.send.clone();
            outbox.push(notification_line(method::STARTED, Started { send, member }));
        }
    }

    /// Each target's share of the window.
    pub(crate) fn window_share(&self) -> Option<u64> {
        let targets = (self.targets.len() as u64).max(1);
        self.window
            .map(|window| (window / targets).max(MIN_WINDOW_SHARE))
    }

    /// The one door of every outcome: tells the sender what became of the command at one
    /// target. The caller took the command out of the target's table, or never put it
    /// there, so it is called once for each.
    pub(crate) fn conclude(
        &self,
        target: &Target,
        status: Status,
        details: &OutcomeDetails<'_>,
        flushes: &mut FlushSet<'_>,
    ) {
        self.log_outcome(target, status, details);
        if let Some(on_record) = &self.on_record {
            let command = (self.id, self.is_for_one());
            on_record.outcome(command, target.info(), status, details);
        }
        if self.input.is_some() {
            self.note_input(target, None, flushes);
        }
        if let Some(telemetry) = self.sender.connection.counting() {
            let shown = self.shown.as_deref();
            let counted = &mut flushes.counted;
            counted.outcome(telemetry, shown, target.info(), status, details);
        }
        self.make_outcome(target, status, details, flushes);
    }

    #[inline(never)]
    fn make_outcome(
        &self,
        target: &Target,
        status: Status,
        details: &OutcomeDetails<'_>,
        flushes: &mut FlushSet<'_>,
    ) {
        if let Telling::Job(keeper) = &self.telling {
            return self.keep_outcome(keeper, target, status, details, flushes);
        }
        let line = self.outcome_line(flushes.buffer(), target, status, details);
        self.tell_outcome(line, status, flushes);
    }

    /// With a frame of its own, as only detached commands need it.
    #[inline(never)]
    fn keep_outcome(
        &self,
        keeper: &Arc<dyn Keeper>,
        target: &Target,
        status: Status,
        details: &OutcomeDetails<'_>,
        flushes: &mut FlushSet<'_>,
    ) {
        let name = Name::known(&*target.member.name);
        let mut outcome = Outcome::new(target.member.id, name, target.rank, status);
        describe(&mut outcome, details);
        keeper.add_outcome(self, &outcome, flushes);
    }

    /// With a frame of its own, as every outcome is told below that of its caller.
    ///
    /// At `info` only if the target might have executed the command: a sender far below can name
    /// thousands of superiors with a few bytes, and the line of the `send` counts them.
    #[inline(never)]
    fn log_outcome(&self, target: &Target, status: Status, details: &OutcomeDetails<'_>) {
        let level = match status {
            Status::Outranked | Status::Absent | Status::Forbidden => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(
            level,
            "#{}: {} (rank {}) {status}{}",
            self.id,
            target.member,
            target.rank,
            said(details),
        );
    }

    /// [`conclude`](Self::conclude) for a client that is absent.
    #[inline(never)]
    pub(crate) fn conclude_absent(&self, absent: &Absent, flushes: &mut FlushSet<'_>) {
        let Absent {
            who,
            status,
            message,
        } = absent;
        match who {
            Missed::Here(target) => {
                let details = OutcomeDetails::saying(message.as_str());
                self.conclude(target, *status, &details, flushes);
            }
            Missed::Named(one) => {
                if let Some(on_record) = &self.on_record {
                    on_record.absent(self.id, one, *status);
                }
                log::debug!("#{}: {one} {status}: {message}", self.id);
                if let Some(telemetry) = self.sender.connection.counting() {
                    telemetry.missed(self.sender.id, self.shown.as_deref(), *status);
                }
                let is_kept = matches!(self.telling, Telling::Job(_));
                let outcome = Outcome {
                    send: (!is_kept).then(|| self.send.clone()),
                    message: Some(message.as_str().into()),
                    ..Outcome::missed(one, *status)
                };
                let line = match &self.telling {
                    Telling::Job(keeper) => {
                        return keeper.add_outcome(self, &outcome, flushes);
                    }
                    _ => fast_encode::outcome(flushes.buffer(), &outcome),
                };
                self.tell_outcome(line, *status, flushes);
            }
        }
    }

    /// The line of an outcome: the answer to the `send`, or a notification if it has several.
    #[inline(never)]
    fn outcome_line(
        &self,
        buffer: Vec<u8>,
        target: &Target,
        status: Status,
        details: &OutcomeDetails<'_>,
    ) -> Vec<u8> {
        let name = Name::known(&*target.member.name);
        let mut outcome = Outcome::new(target.member.id, name, target.rank, status);
        describe(&mut outcome, details);
        if let Telling::Answer = self.telling {
            return fast_encode::result(buffer, &self.send, &outcome);
        }
        outcome.send = Some(self.send.clone());
        fast_encode::outcome(buffer, &outcome)
    }

    fn tell_outcome(&self, line: Vec<u8>, status: Status, flushes: &mut FlushSet<'_>) {
        let mut line = line.into();
        match &self.telling {
            Telling::Tally(counts) => self.add_outcome(&mut line, status, counts, flushes),
            _ => self.answer(&mut line, flushes),
        }
        flushes.give_back(line);
    }

    /// Tells the sender one outcome of several.
    fn add_outcome(
        &self,
        line: &mut Line,
        status: Status,
        counts: &Counts,
        flushes: &mut FlushSet<'_>,
    ) {
        // Before it is counted, so that the tally comes after all of them.
        self.sender.connection.outbox.push_from(line);
        match counts.count(status) {
            Left::Tally(tally) => {
                if let Some(on_record) = &self.on_record {
                    on_record.end(self.id, &tally, flushes.time());
                }
                self.answer(&mut tally_line(&self.send, &tally), flushes);
            }
            Left::Many(left) if left % TOGETHER != 0 && counts.has_company(flushes.time()) => {
                flushes.add_soon(&self.sender.connection);
            }
            Left::Many(_) => flushes.add(&self.sender.connection),
        }
    }

    /// Ends a send to one target that was not taken after all.
    pub(crate) fn refuse(&self, error: &RpcError, flushes: &mut FlushSet<'_>) {
        if let Some(telemetry) = self.sender.connection.counting() {
            telemetry.missed(self.sender.id, self.shown.as_deref(), Status::Busy);
        }
        if let Telling::Job(keeper) = &self.telling {
            return keeper.refuse(error);
        }
        let mut line = error_line(Some(self.send.clone()), error).into();
        self.answer(&mut line, flushes);
    }

    /// Notes what a target has consumed of its input, or, with no figure, that it has ended.
    #[inline(never)]
    pub(crate) fn note_input(
        &self,
        target: &Target,
        consumed: Option<u64>,
        flushes: &mut FlushSet<'_>,
    ) {
        let Some(input) = &self.input else {
            return;
        };
        let Some(at) = self.targets.place(target.member.id) else {
            return;
        };
        let mut is_told = false;
        input.note(at, consumed, |consumed| {
            let send = self.send.clone();
            let told = SendInputConsumed { send, consumed };
            let line = notification_line(method::INPUT_CONSUMED, told);
            is_told = self.sender.connection.outbox.push(line);
        });
        if is_told {
            flushes.add(&self.sender.connection);
        }
    }

    /// Tells the sender something.
    pub(crate) fn tell(&self, line: Vec<u8>, flushes: &mut FlushSet<'_>) {
        self.sender.connection.outbox.push(line);
        flushes.add(&self.sender.connection);
    }

    /// Answers the sender's request. Its id is free before the answer is out, so that it may
    /// be used again at once, and not before the answer is queued, so that a thread that sees
    /// that nothing is open can close the connection after it.
    fn answer(&self, line: &mut Line, flushes: &mut FlushSet<'_>) {
        let outbox = &self.sender.connection.outbox;
        self.sender
            .sends
            .close(&self.send, || outbox.push_from(line));
        flushes.add(&self.sender.connection);
    }
}

impl Assignment {
    /// The client that it was given to.
    pub(crate) fn to(&self) -> &Target {
        &self.command.targets[self.target]
    }

    /// [`Command::conclude`] for this target.
    pub(crate) fn conclude(
        &self,
        status: Status,
        details: &OutcomeDetails<'_>,
        flushes: &mut FlushSet<'_>,
    ) {
        self.command.conclude(self.to(), status, details, flushes);
    }
}
