//! Turns what the server tells of a command into reports, and gives each to everything that shows or
//! keeps it.

use crate::executors::Executors;
use crate::exit_code::{ExitCode, Exits};
use crate::output::render;
use crate::output::report::{Accepted, Piece, Problem, Report, Sink};
use crate::output::screen::Screen;
use crate::output::summary::Summary;
use crate::output::tracker::Tracker;
use crate::prompt::queued::Queued;
use crate::run::names::Names;
use client::{Client, Code, Command, Outcome, OutputStream, RequestError, SendEvent};
use common::sys::sync::Arc;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What reports are made of, and where they go.
pub(super) struct Reports {
    pub(super) client: Arc<Client>,
    pub(super) command: Command,
    pub(super) screen: Screen,
    pub(super) sinks: Vec<Box<dyn Sink>>,
    /// Says in which queue the command waits, if that is to be said.
    pub(super) queued: Option<Queued>,
    /// Whether the exit codes of the commands themselves count.
    pub(super) is_of_commands: bool,
    pub(super) is_interrupted: Arc<AtomicBool>,
}

/// Reports on one command until it has ended.
pub(super) struct Reporter {
    to: Reports,
    names: Names,
    tracker: Tracker,
    summary: Summary,
    exits: Exits,
}

impl Reporter {
    /// For a command that is sent now.
    pub(super) fn new(to: Reports) -> Reporter {
        Reporter {
            to,
            names: Names::default(),
            tracker: Tracker::default(),
            summary: Summary::default(),
            exits: Exits::default(),
        }
    }

    /// Reports what comes of a send until its end, and then on all of it; returns the exit code.
    ///
    /// # Errors
    /// Standard output takes no more, although its reader is there.
    pub(super) fn follow(mut self, events: &Receiver<SendEvent>) -> io::Result<ExitCode> {
        let reported = match self.hear_send(events) {
            Ok(error) => self.end(error),
            Err(e) => Err(e),
        };
        match reported {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => self.exits.fail(ExitCode::Unread),
            reported => reported?,
        }
        Ok(self.exit())
    }

    /// Reports what comes of one send; returns why outcomes of it are missing, if they are.
    fn hear_send(&mut self, events: &Receiver<SendEvent>) -> io::Result<Option<RequestError>> {
        let mut is_accepted = false;
        loop {
            let event = self.next(events)?;
            if let Some(queued) = &mut self.to.queued {
                queued.hear(&event);
            }
            match event {
                SendEvent::End(end) => return Ok(end.err()),
                SendEvent::Accepted { targets } => self.accept(targets)?,
                event => {
                    // One that is for a single target is not said to be taken.
                    if !is_accepted {
                        self.accept(1)?;
                    }
                    self.hear(&event)?;
                }
            }
            is_accepted = true;
            if events.is_empty() {
                self.to.screen.flush()?;
            }
        }
    }

    /// The next event; until it comes, says what there is to say, and draws the progress line.
    fn next(&mut self, events: &Receiver<SendEvent>) -> io::Result<SendEvent> {
        loop {
            self.draw()?;
            let queued = self.to.queued.as_mut();
            if let Some(note) = queued.and_then(|queued| queued.look(&self.to.client)) {
                self.to.screen.note(&note);
            }
            let due = self.to.queued.as_ref().and_then(Queued::due);
            let event = match due.into_iter().chain(self.to.screen.progress_due()).min() {
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
    fn draw(&mut self) -> io::Result<()> {
        let due = self.to.screen.progress_due();
        if due.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        let elapsed = self.to.screen.elapsed();
        let names = self.tracker.names_rest(elapsed).then(|| {
            let (client, command) = (&self.to.client, &self.to.command);
            self.names.of_targets(client, command)
        });
        let text = self.tracker.text(elapsed, names);
        self.to.screen.draw(self.tracker.part(), text)
    }

    fn hear(&mut self, event: &SendEvent) -> io::Result<()> {
        match event {
            SendEvent::Started { member } => self.start(*member),
            SendEvent::Output(output) => self.report(&Report::Output(Piece::of(output))),
            SendEvent::Outcome(outcome) => self.outcome(outcome),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, targets: u32) -> io::Result<()> {
        self.summary.expect(targets);
        let joined = self.to.client.joined();
        let command = self.to.command.clone();
        self.report(&Report::Accepted(Accepted {
            words: command.words(),
            to: command.selector(),
            run: joined.run.as_deref(),
            targets,
        }))
    }

    fn start(&mut self, member: u64) -> io::Result<()> {
        let wants_name = self.to.sinks.iter().any(|sink| sink.wants_names());
        let name = wants_name.then(|| {
            let names = self.names.of_targets(&self.to.client, &self.to.command);
            names.get(&member).cloned()
        });
        let name = name.flatten();
        self.report(&Report::Started {
            member,
            name: name.as_deref(),
        })
    }

    /// What an outcome has of output is output as any other.
    fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            if let Some(piece) = Piece::last(outcome, stream) {
                self.report(&Report::Output(piece))?;
            }
        }
        self.summary.add(outcome);
        self.exits.add(outcome);
        self.report(&Report::Outcome(outcome))
    }

    fn end(&mut self, error: Option<RequestError>) -> io::Result<()> {
        if let Some(error) = error {
            let problem = self.problem(&error);
            self.fail(&problem)?;
        }
        let mut faults = self.to.sinks.iter_mut().filter_map(|sink| sink.fault());
        let faults: Vec<Problem> = faults.by_ref().collect();
        for problem in &faults {
            self.fail(problem)?;
        }
        if self.summary.targets() > 0 {
            let (summary, exit) = (std::mem::take(&mut self.summary), self.exit());
            self.report(&Report::Summary(&summary, exit))?;
        }
        self.to.screen.finish()?;
        self.to.screen.flush()
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
            error: render::refusal_word(error),
            message: format!("{}{hint}", render::refusal(error, client)),
            exit: ExitCode::of_error(error),
        }
    }

    fn fail(&mut self, problem: &Problem) -> io::Result<()> {
        self.exits.fail(problem.exit);
        self.report(&Report::Error(problem))
    }

    /// The exit code as far as it has come.
    fn exit(&self) -> ExitCode {
        let is_of_commands = self.to.is_of_commands;
        match self.to.is_interrupted.load(Ordering::Relaxed) {
            true if is_of_commands => ExitCode::ours(),
            true => ExitCode::Interrupted,
            false => self.exits.exit(is_of_commands),
        }
    }

    fn report(&mut self, report: &Report<'_>) -> io::Result<()> {
        self.tracker.hear(report);
        let Reports { sinks, screen, .. } = &mut self.to;
        sinks
            .iter_mut()
            .try_for_each(|sink| sink.take(report, screen))
    }
}
