//! A command that was sent from a line and has not ended everywhere: what has come of it
//! so far, as text.

use crate::exit_code::ExitCode;
use crate::output::prefix::{NamedLines, Source};
use crate::output::render;
use client::{Client, Outcome, Output, OutputStream, RequestError, SendEvent, SendHandle, Tally};
use common::terminal::escape::one_line;
use common::wire::message::clip;
use crossbeam_channel::{Receiver, TryRecvError};
use std::fmt::Write;
use std::time::Instant;

/// A command that was sent.
pub(crate) struct SentCommand {
    sent: SendHandle,
    typed: String,
    to: Option<String>,
    since: Instant,
    /// How many targets it has, once that is known.
    targets: Option<u32>,
    /// At how many of them it has ended.
    ended: u32,
}

/// Where the output of all commands goes.
pub(crate) struct Shown<'a> {
    /// Lines that have not ended yet.
    pub(crate) lines: &'a mut NamedLines,
    /// How wide the terminal is, if it is one.
    pub(crate) columns: Option<usize>,
}

/// What one event changes.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// What to show, if anything.
    pub(crate) shown: String,
    /// What it counts as.
    pub(crate) exit: ExitCode,
    /// Whether the command has ended everywhere.
    pub(crate) is_last: bool,
}

impl SentCommand {
    pub(crate) fn new(sent: SendHandle, typed: String, to: Option<String>) -> SentCommand {
        SentCommand {
            sent,
            typed,
            to,
            since: Instant::now(),
            targets: None,
            ended: 0,
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
            let _ = write!(line, " ({} of {targets} ended)", self.ended);
        }
        line + &format!(", since {}\n", render::ago(self.since.elapsed()))
    }

    /// Takes the next event, if one has come.
    pub(crate) fn next_step(&mut self, client: &Client, shown: &mut Shown<'_>) -> Option<Step> {
        let mut step = match self.sent.receiver().try_recv() {
            Ok(SendEvent::Accepted { targets }) => {
                self.targets = Some(targets);
                Step::default()
            }
            Ok(SendEvent::Output(output)) => Step {
                shown: self.output(&output, shown),
                ..Step::default()
            },
            Ok(SendEvent::Outcome(outcome)) => Step {
                shown: self.outcome(&outcome, shown),
                exit: ExitCode::of_outcome(&outcome),
                is_last: false,
            },
            Ok(SendEvent::End(Ok(tally))) => self.end(&tally),
            Ok(SendEvent::End(Err(error))) => self.failed(&error, client),
            Ok(_) => Step::default(),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => self.failed(&RequestError::Lost, client),
        };
        if step.is_last {
            // Where the server went, lines are left that no outcome has ended.
            step.shown.insert_str(0, &self.rest(shown));
        }
        Some(step)
    }

    fn source(&self, member: u64, is_stderr: bool) -> Source {
        Source {
            send: self.sent.id(),
            member,
            is_stderr,
        }
    }

    /// The lines that are whole now of what a target writes while it runs.
    fn output(&self, output: &Output, shown: &mut Shown<'_>) -> String {
        let source = self.source(output.member, output.stream == OutputStream::Stderr);
        let mut lines = Vec::new();
        let add = |_, line: &[u8]| {
            lines.extend_from_slice(line);
            Ok(())
        };
        // Memory takes everything.
        let _ = shown.lines.add(source, &output.name, &output.bytes, add);
        render::output_of_others(&lines, shown.columns)
    }

    fn outcome(&mut self, outcome: &Outcome, shown: &mut Shown<'_>) -> String {
        self.ended += 1;
        let mut rest = Vec::new();
        let member = outcome.member.into_iter();
        for (member, is_stderr) in member.flat_map(|id| [(id, false), (id, true)]) {
            let source = self.source(member, is_stderr);
            let _ = shown.lines.finish(source, |_, line| {
                rest.extend_from_slice(line);
                Ok(())
            });
        }
        let columns = shown.columns;
        let [rest, stdout, stderr] = [&rest, &outcome.stdout, &outcome.stderr]
            .map(|bytes| render::output_of_others(bytes, columns));
        let ended = render::outcome_at(outcome, columns);
        format!("{rest}{ended}\n{stdout}{stderr}")
    }

    /// What is left of lines that will not be finished.
    fn rest(&self, shown: &mut Shown<'_>) -> String {
        let mut rest = Vec::new();
        let _ = shown.lines.finish_all(self.sent.id(), |_, line| {
            rest.extend_from_slice(line);
            Ok(())
        });
        render::output_of_others(&rest, shown.columns)
    }

    fn end(&self, tally: &Tally) -> Step {
        let is_worth_a_line = self.targets.is_some_and(|targets| targets > 1);
        Step {
            shown: match is_worth_a_line {
                true => format!("{}: {}\n", one_line(&self.typed), render::tally(tally)),
                false => String::new(),
            },
            exit: ExitCode::Done,
            is_last: true,
        }
    }

    fn failed(&self, error: &RequestError, client: &Client) -> Step {
        let why = render::refusal(error, client);
        Step {
            shown: format!("{}: {why}\n", one_line(&self.typed)),
            exit: ExitCode::of_error(error),
            is_last: true,
        }
    }
}
