//! Turns what the server tells of a command into reports, and gives each to everything that shows or
//! keeps it.

use crate::exit_code::{ExitCode, Exits};
use crate::failure::refusal_word;
use crate::output::progress::Part;
use crate::output::queued::Queued;
use crate::output::render;
use crate::output::report::{Accepted, Piece, Problem, Report, Sink};
use crate::output::screen::Screen;
use crate::output::summary::Summary;
use crate::output::tracker::Tracker;
use crate::run::again::Again;
use crate::run::executors::Executors;
use client::{Client, Code, Command, Outcome, RequestError, SelectedTarget, SendEvent};
use common::sys::sync::Arc;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What reports are made of, and where they go.
pub(crate) struct Reports {
    pub(crate) client: Arc<Client>,
    pub(crate) command: Command,
    pub(crate) screen: Screen,
    pub(crate) sinks: Vec<Box<dyn Sink>>,
    /// Says in which queue the command waits, if that is to be said.
    pub(crate) queued: Option<Queued>,
    /// What is amiss before anything is sent.
    pub(crate) problem: Option<Problem>,
    pub(crate) again: Again,
    /// Whether it goes on when nothing more is told of it.
    pub(crate) goes_on: Box<dyn Fn() -> bool + Send>,
    /// Whether the exit codes of the commands themselves count.
    pub(crate) is_of_commands: bool,
    pub(crate) is_interrupted: Arc<AtomicBool>,
}

/// Reports on one command until it has ended.
pub(crate) struct Reporter {
    pub(super) to: Reports,
    /// The names of the targets by their numbers, looked up once, when the first is asked for: the
    /// server tells a start by the number alone.
    pub(super) names: Option<BTreeMap<u64, String>>,
    tracker: Tracker,
    pub(super) summary: Summary,
    exits: Exits,
    is_accepted: bool,
    /// When the next batch starts, during a pause.
    pub(super) pause_until: Option<Instant>,
}

/// What came of one send.
pub(crate) struct Heard {
    /// Whether the server took it.
    pub(crate) is_taken: bool,
    /// Why outcomes of it are missing, if they are.
    pub(crate) error: Option<RequestError>,
}

impl Reporter {
    /// For a command that is sent now.
    pub(crate) fn new(to: Reports) -> Reporter {
        Reporter {
            to,
            names: None,
            tracker: Tracker::default(),
            summary: Summary::default(),
            exits: Exits::default(),
            is_accepted: false,
            pause_until: None,
        }
    }

    /// Reports what comes of a send until its end, and then on all of it; returns the exit code.
    ///
    /// # Errors
    /// Standard output takes no more, although its reader is there.
    pub(crate) fn follow(mut self, events: &Receiver<SendEvent>) -> io::Result<ExitCode> {
        let reported = match self.hear_send(events) {
            Ok(heard) => self.end(heard.error),
            Err(e) => Err(e),
        };
        self.close(reported)
    }

    /// The exit code of what was reported. A reader that has gone is no error.
    pub(crate) fn close(mut self, reported: io::Result<()>) -> io::Result<ExitCode> {
        match reported {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => self.exits.fail(ExitCode::Unread),
            reported => reported?,
        }
        Ok(self.exit())
    }

    /// Reports what comes of one send.
    pub(crate) fn hear_send(&mut self, events: &Receiver<SendEvent>) -> io::Result<Heard> {
        let mut is_taken = false;
        loop {
            match self.next(events)? {
                SendEvent::End(end) => {
                    return Ok(Heard {
                        is_taken,
                        error: end.err(),
                    });
                }
                SendEvent::Accepted { targets } => self.accept(targets)?,
                event => {
                    // One that is for a single target is not said to be taken.
                    self.accept(1)?;
                    self.hear(&event)?;
                }
            }
            is_taken = true;
            if events.is_empty() {
                self.to.screen.flush()?;
            }
        }
    }

    /// The next event; until it comes, says what there is to say, and draws the progress line.
    fn next(&mut self, events: &Receiver<SendEvent>) -> io::Result<SendEvent> {
        loop {
            self.draw()?;
            let (tracker, is_for_many) = (&self.tracker, self.summary.targets > 1);
            let queued = self.to.queued.as_mut();
            let look = |queued: &mut Queued| queued.look(&self.to.client, tracker, is_for_many);
            if let Some(note) = queued.and_then(look) {
                self.to.screen.note(&note);
            }
            let due = self.to.queued.as_ref().and_then(|queued| queued.due);
            let event = match due.into_iter().chain(self.to.screen.progress.due()).min() {
                Some(at) => events.recv_deadline(at),
                None => events.recv().map_err(RecvTimeoutError::from),
            };
            match event {
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(SendEvent::End(Err(RequestError::Lost)));
                }
            }
        }
    }

    /// Draws the progress line, if it is time.
    pub(crate) fn draw(&mut self) -> io::Result<()> {
        let due = self.to.screen.progress.due();
        if due.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        let elapsed = self.to.screen.progress.began.elapsed();
        let names = Tracker::names_rest(&self.summary, elapsed);
        let names = names.then(|| of_targets(&mut self.names, &self.to));
        let mut text = self.tracker.text(&self.summary, elapsed, names);
        if let Some(until) = self.pause_until {
            let left = until.saturating_duration_since(Instant::now());
            text += &format!(", the next batch starts in {}", render::ago(left));
        }
        let part = Part {
            ended: self.summary.targets - self.summary.untold(),
            of: self.summary.targets,
        };
        self.to.screen.draw(part, text)
    }

    fn hear(&mut self, event: &SendEvent) -> io::Result<()> {
        match event {
            SendEvent::Started { member } => self.start(*member),
            SendEvent::Output(output) => self.report(&Report::Output(Piece::of(output))),
            SendEvent::Outcome(outcome) => {
                let names = self.names.as_ref();
                let name = outcome.member.and_then(|member| names?.get(&member));
                match (&outcome.name, name) {
                    // The server names by number what was named so and is absent.
                    (None, Some(name)) => self.outcome(&Outcome {
                        name: Some(name.clone()),
                        ..(**outcome).clone()
                    }),
                    _ => self.outcome(outcome),
                }
            }
            _ => Ok(()),
        }
    }

    /// The command is taken, for this many targets; only the first time counts.
    pub(crate) fn accept(&mut self, targets: u32) -> io::Result<()> {
        if std::mem::replace(&mut self.is_accepted, true) {
            return Ok(());
        }
        self.summary.targets = targets;
        let joined = self.to.client.joined();
        let command = self.to.command.clone();
        self.report(&Report::Accepted(Accepted {
            words: command.words(),
            to: command.selector(),
            has_input: command.has_input(),
            run: joined.run.as_deref(),
            targets,
        }))?;
        match self.to.problem.take() {
            Some(problem) => self.fail(&problem),
            None => Ok(()),
        }
    }

    fn start(&mut self, member: u64) -> io::Result<()> {
        let wants_name = self.to.sinks.iter().any(|sink| sink.wants_names());
        let names = wants_name.then(|| of_targets(&mut self.names, &self.to));
        let name = names.and_then(|names| names.get(&member).cloned());
        self.report(&Report::Started {
            member,
            name: name.as_deref(),
        })
    }

    /// What an outcome has of output is output as any other.
    pub(crate) fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        for piece in Piece::rest(outcome) {
            self.report(&Report::Output(piece))?;
        }
        self.summary.add(outcome);
        self.exits.add(outcome);
        self.report(&Report::Outcome(outcome))
    }

    /// Reports the end, and why outcomes are missing, if they are.
    pub(crate) fn end(&mut self, error: Option<RequestError>) -> io::Result<()> {
        if let Some(error) = error {
            let problem = self.problem(&error);
            self.fail(&problem)?;
        }
        for problem in self.faults() {
            self.fail(&problem)?;
            self.to.again.forget_file();
        }
        let mut again = None;
        if self.summary.targets > 0 {
            if (self.to.goes_on)() {
                self.summary.goes_on = true;
            }
            let (summary, exit) = (std::mem::take(&mut self.summary), self.exit());
            // Once, so that all that keep it say the same.
            let took = summary.began.elapsed();
            self.report(&Report::Summary(&summary, exit, took))?;
            again = self.to.again.text(&summary);
        }
        // What could not keep the summary itself.
        for problem in self.faults() {
            self.exits.fail(problem.exit);
            self.to.screen.say(&problem.message);
            again = None;
        }
        if let Some(again) = again {
            self.to.screen.note(&again);
        }
        self.to.screen.finish()?;
        self.to.screen.flush()
    }

    fn faults(&mut self) -> Vec<Problem> {
        let faults = self.to.sinks.iter_mut().filter_map(|sink| sink.fault());
        faults.collect()
    }

    fn problem(&self, error: &RequestError) -> Problem {
        let client = &self.to.client;
        let hint = match error.code() {
            // Without an answer there is nothing to add.
            Some(Code::NoTarget) => Executors::of(client).ok().and_then(|them| them.hint()),
            _ => None,
        };
        let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
        Problem {
            error: refusal_word(error),
            message: format!("{}{hint}", render::refusal(error, client)),
            exit: ExitCode::of_error(error),
        }
    }

    pub(crate) fn fail(&mut self, problem: &Problem) -> io::Result<()> {
        self.exits.fail(problem.exit);
        self.report(&Report::Error(problem))
    }

    /// Reports that a rolling run has stopped before a target.
    pub(crate) fn skip(&mut self, target: &SelectedTarget) -> io::Result<()> {
        self.summary.skip(target);
        self.exits.fail(ExitCode::Failed);
        self.report(&Report::Skipped(target))
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.to.is_interrupted.load(Ordering::Relaxed)
    }

    /// The exit code as far as it has come.
    fn exit(&self) -> ExitCode {
        let is_of_commands = self.to.is_of_commands;
        match self.is_interrupted() {
            true if is_of_commands => ExitCode::ours(),
            true => ExitCode::Interrupted,
            false => self.exits.exit(is_of_commands),
        }
    }

    pub(crate) fn report(&mut self, report: &Report<'_>) -> io::Result<()> {
        self.tracker.hear(report);
        let Reports { sinks, screen, .. } = &mut self.to;
        sinks
            .iter_mut()
            .try_for_each(|sink| sink.take(report, screen))
    }
}

/// The names of the clients that the command reaches now, which are those that it reached unless some
/// have come or left since.
fn of_targets<'a>(
    known: &'a mut Option<BTreeMap<u64, String>>,
    to: &Reports,
) -> &'a BTreeMap<u64, String> {
    known.get_or_insert_with(|| {
        let targets = to.client.select(&to.command);
        let targets = targets.map_or_else(|_| Vec::new(), |selected| selected.targets);
        let named = targets.into_iter();
        let named = named.filter_map(|t| Some((t.member?, t.name?.into_string())));
        named.collect()
    })
}
