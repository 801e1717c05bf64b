//! A rolling run (`--batch`): one batch of targets after the other, until all are through or too
//! many have failed.
//!
//! The thread that hears signals does the sending, so that it can cancel the batch under way, and
//! no batch starts once it has heard one.

use crate::exit_code::ExitCode;
use crate::output::queued::Queued;
use crate::output::report::{Batch, Problem, Report};
use crate::run::plan::{self, Plan};
use crate::run::reporter::Reporter;
use client::{Command, Outcome, Reach, RequestError, SelectedTarget, SendEvent, Status};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::time::{Duration, Instant};

/// What comes of a command that was to be sent.
pub(super) type Answer = Result<Receiver<SendEvent>, RequestError>;

/// A rolling run as the command line wants it.
pub(super) struct Rolling {
    pub(super) plan: Plan,
    /// How long to wait between two batches.
    pub(super) pause: Duration,
    /// How long all of it may take.
    pub(super) deadline: Option<Duration>,
    pub(super) sends: Sends,
}

/// Has commands sent by the other thread.
pub(super) struct Sends {
    asks: Sender<Command>,
    answers: Receiver<Answer>,
}

/// What the other thread is asked to send. When it drops `answers`, nothing more is sent.
pub(super) struct Asked {
    pub(super) asks: Receiver<Command>,
    pub(super) answers: Sender<Answer>,
}

/// Both ends of what is asked for; there is one command at a time.
pub(super) fn sends() -> (Sends, Asked) {
    let (asks, asked) = bounded(1);
    let (answer, answers) = bounded(1);
    let asked = Asked {
        asks: asked,
        answers: answer,
    };
    (Sends { asks, answers }, asked)
}

impl Sends {
    /// Sends a command; `None` after an interruption.
    fn send(&self, command: Command) -> Option<Answer> {
        self.asks.send(command).ok()?;
        self.answers.recv().ok()
    }

    /// Waits until then, or for an interruption; returns whether there was one.
    fn is_interrupted_before(&self, at: Instant) -> bool {
        matches!(
            self.answers.recv_deadline(at),
            Err(RecvTimeoutError::Disconnected)
        )
    }
}

impl Reporter {
    /// Sends to one batch after the other, and reports on all of them as on one run; returns the
    /// exit code.
    ///
    /// # Errors
    /// Standard output takes no more, although its reader is there.
    pub(super) fn roll(mut self, mut rolling: Rolling) -> io::Result<ExitCode> {
        self.names = Some(rolling.plan.names());
        let reported = match self.send_batches(&mut rolling) {
            Ok(error) => self.end_rolling(&rolling.plan, error),
            Err(e) => Err(e),
        };
        self.close(reported)
    }

    /// Sends the batches as far as it may go; returns why outcomes are missing, if they are.
    fn send_batches(&mut self, rolling: &mut Rolling) -> io::Result<Option<RequestError>> {
        self.begin(&rolling.plan)?;
        let began = Instant::now();
        let until = rolling.deadline.and_then(|all| began.checked_add(all));
        while let Some(batch) = rolling.plan.batches.front() {
            if self.is_interrupted() {
                return Ok(None);
            }
            let pause = match batch.number {
                1 => Duration::ZERO,
                _ => rolling.pause,
            };
            if let Some(problem) = self.obstacle(batch, rolling.plan.most_failures, pause, until) {
                self.fail(&problem)?;
                return Ok(None);
            }
            if self.pause(pause, &rolling.sends)? {
                return Ok(None);
            }
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            let command = self.command_for(batch, left);
            match rolling.sends.send(command) {
                None => return Ok(None),
                Some(Err(error)) => return Ok(Some(error)),
                Some(Ok(events)) => {
                    if let Some(error) = self.hear_batch(&mut rolling.plan, &events)? {
                        return Ok(Some(error));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Says what there is to do, and which targets are out of reach.
    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.accept(u32::try_from(plan.targets.len()).unwrap_or(u32::MAX))?;
        for target in &plan.targets {
            self.report(&Report::Target(target))?;
        }
        for target in plan.unreached() {
            self.outcome(&unreached(&target))?;
        }
        Ok(())
    }

    /// Why the batch may not start, if it may not.
    fn obstacle(
        &self,
        batch: &Batch,
        most: u32,
        pause: Duration,
        until: Option<Instant>,
    ) -> Option<Problem> {
        let failed = self.summary.failed();
        let before = format!("stopped before batch {} of {}", batch.number, batch.of);
        if failed > most {
            return Some(Problem {
                error: "max_fail",
                message: format!("{before}: {failed} failed, and --max-fail allows {most}"),
                exit: ExitCode::Failed,
            });
        }
        let start = Instant::now().checked_add(pause);
        until
            .is_some_and(|until| start.is_none_or(|start| start >= until))
            .then(|| Problem {
                error: "deadline",
                message: format!("{before}: the deadline does not leave time for it"),
                exit: ExitCode::TimedOut,
            })
    }

    /// Waits between two batches; returns whether that was interrupted.
    fn pause(&mut self, pause: Duration, sends: &Sends) -> io::Result<bool> {
        let now = Instant::now();
        let Some(until) = now.checked_add(pause).filter(|until| *until > now) else {
            return Ok(false);
        };
        self.to.screen.flush()?;
        self.pause_until = Some(until);
        let mut is_interrupted = false;
        while !is_interrupted && Instant::now() < until {
            self.draw()?;
            let due = self.to.screen.progress.due();
            let due = due.map_or(until, |due| due.min(until));
            is_interrupted = sends.is_interrupted_before(due);
        }
        self.pause_until = None;
        Ok(is_interrupted)
    }

    fn command_for(&mut self, batch: &Batch, left: Option<Duration>) -> Command {
        let selector = plan::selector(batch);
        let mut command = self.to.command.clone().to(selector.as_str());
        // Which run of the server the numbers of the members are of.
        if let Some(run) = self.to.client.joined().run.as_deref() {
            command = command.run(run);
        }
        if let Some(left) = left {
            command = command.deadline(left);
        }
        let is_quiet = self.to.screen.is_quiet;
        self.to.queued = (!is_quiet).then(|| Queued::new(Some(&selector)));
        command
    }

    /// Hears the batch that was sent. If the server did not take it, it stays in the plan.
    fn hear_batch(
        &mut self,
        plan: &mut Plan,
        events: &Receiver<SendEvent>,
    ) -> io::Result<Option<RequestError>> {
        let Some(batch) = plan.batches.front() else {
            return Ok(None);
        };
        self.report(&Report::Batch(batch))?;
        let heard = self.hear_send(events)?;
        if heard.is_taken {
            plan.batches.pop_front();
        }
        Ok(heard.error)
    }

    fn end_rolling(&mut self, plan: &Plan, error: Option<RequestError>) -> io::Result<()> {
        let mut left = plan.batches.iter().flat_map(|batch| &batch.targets);
        left.try_for_each(|target| self.skip(target))?;
        self.end(error)
    }
}

/// What becomes of a target that no command reaches.
fn unreached(target: &SelectedTarget) -> Outcome {
    let (status, message) = match target.status {
        Reach::Outranked => (Status::Outranked, "ranks above"),
        Reach::Forbidden => (Status::Forbidden, "not covered by what this client may do"),
        Reach::Absent | Reach::Execute => (Status::Absent, "not here when the run began"),
    };
    Outcome {
        member: target.member,
        name: target.name.as_deref().map(str::to_owned),
        rank: target.rank,
        status,
        message: Some(message.to_owned()),
        exit_code: None,
        signal: None,
        stdout: Vec::new(),
        stderr: Vec::new(),
        elapsed: None,
        truncated: false,
        leftovers: Default::default(),
        started: None,
    }
}
