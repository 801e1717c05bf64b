//! A command that was sent from a line and has not ended everywhere: what has come of it
//! so far, as text.

use crate::exit::Exit;
use crate::prefix::Prefixer;
use crate::render;
use crate::summary::Summary;
use client::{Client, Outcome, Output, OutputStream, RequestError, SendEvent, Sent};
use common::escape::one_line;
use common::message::clip;
use crossbeam_channel::{Receiver, TryRecvError};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Instant;

/// A command that was sent.
pub(crate) struct OpenCommand {
    sent: Sent,
    typed: String,
    to: Option<String>,
    since: Instant,
    /// How many targets it has, once that is known.
    targets: Option<u32>,
    /// How it has ended at some of them.
    summary: Summary,
    /// Unfinished lines of output, by member and by whether they are errors.
    partial: HashMap<(u64, bool), Prefixer>,
}

/// What one event changes.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// What to show, if anything.
    pub(crate) shown: String,
    /// What it counts as.
    pub(crate) exit: Exit,
    /// Whether the command has ended everywhere.
    pub(crate) is_last: bool,
}

impl OpenCommand {
    pub(crate) fn new(sent: Sent, typed: String, to: Option<String>) -> OpenCommand {
        OpenCommand {
            sent,
            typed,
            to,
            since: Instant::now(),
            targets: None,
            summary: Summary::default(),
            partial: HashMap::new(),
        }
    }

    /// Where its events come from.
    pub(crate) fn receiver(&self) -> &Receiver<SendEvent> {
        self.sent.receiver()
    }

    pub(crate) fn cancel(&self) {
        self.sent.cancel();
    }

    /// One line that says what it is.
    pub(crate) fn describe(&self) -> String {
        let mut line = format!("  {}  {}", self.sent.id(), one_line(&self.typed));
        if let Some(to) = &self.to {
            let _ = write!(line, " to {}", clip(to));
        }
        if let Some(targets) = self.targets {
            let _ = write!(line, " ({} of {targets} ended)", self.summary.ended());
        }
        line + &format!(", since {}\n", render::ago(self.since.elapsed()))
    }

    /// Takes the next event, if one has come.
    pub(crate) fn next_step(&mut self, client: &Client) -> Option<Step> {
        match self.sent.receiver().try_recv() {
            Ok(SendEvent::Accepted { targets }) => {
                self.targets = Some(targets);
                Some(Step::default())
            }
            Ok(SendEvent::Output(output)) => Some(Step {
                shown: self.output(&output),
                ..Step::default()
            }),
            Ok(SendEvent::Outcome(outcome)) => Some(Step {
                shown: self.outcome(&outcome),
                exit: Exit::of_outcome(&outcome),
                is_last: false,
            }),
            Ok(SendEvent::End(Ok(_))) => Some(self.end()),
            Ok(SendEvent::End(Err(error))) => Some(self.failed(&error, client)),
            Ok(_) => Some(Step::default()),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.failed(&RequestError::Lost, client)),
        }
    }

    /// The lines that are whole now of what a target writes while it runs.
    fn output(&mut self, output: &Output) -> String {
        let key = (output.member, output.stream == OutputStream::Stderr);
        let partial = self.partial.entry(key);
        let prefixer = partial.or_insert_with(|| Prefixer::new(&output.name));
        let mut lines = Vec::new();
        // Memory takes everything.
        let _ = prefixer.write(&output.bytes, &mut lines);
        render::output(&lines)
    }

    fn outcome(&mut self, outcome: &Outcome) -> String {
        self.summary.add(outcome);
        let mut rest = Vec::new();
        for is_stderr in [false, true] {
            let partial = outcome.member.map(|id| (id, is_stderr));
            if let Some(mut prefixer) = partial.and_then(|key| self.partial.remove(&key)) {
                let _ = prefixer.finish(&mut rest);
            }
        }
        let rest = render::output(&rest);
        let (stdout, stderr) = (&outcome.stdout, &outcome.stderr);
        let (stdout, stderr) = (render::output(stdout), render::output(stderr));
        format!("{rest}{}\n{stdout}{stderr}", render::outcome(outcome))
    }

    fn end(&self) -> Step {
        Step {
            shown: self.sum_up(),
            exit: Exit::Done,
            is_last: true,
        }
    }

    /// How it went at several targets, as a line.
    fn sum_up(&self) -> String {
        match self.targets {
            Some(targets @ 2..) => {
                let line = self.summary.line(targets);
                format!("{}: {line}\n", one_line(&self.typed))
            }
            _ => String::new(),
        }
    }

    fn failed(&self, error: &RequestError, client: &Client) -> Step {
        let why = render::refusal(error, client);
        Step {
            shown: format!("{}: {why}\n", one_line(&self.typed)) + &self.sum_up(),
            exit: Exit::of_error(error),
            is_last: true,
        }
    }
}
