//! A command that was sent from a line and has not ended everywhere: turns its events into text.

use crate::exit_code::ExitCode;
use crate::output::prefix::{NamedLines, Source, WholeLines};
use crate::output::render::{self, Style};
use crate::output::summary;
use client::{Client, Outcome, Output, OutputStream, RequestError, SendEvent, SendHandle, Tally};
use common::terminal::escape::one_line;
use common::wire::message::clip;
use crossbeam_channel::{Receiver, TryRecvError};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write;
use std::time::Instant;

pub(crate) struct SentCommand {
    sent: SendHandle,
    typed: String,
    to: Option<String>,
    since: Instant,
    /// How many targets it has, once that is known.
    targets: Option<u32>,
    ended: u32,
    is_cancelled: Cell<bool>,
}

/// What one event changes.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) shown: String,
    pub(crate) exit: ExitCode,
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
            is_cancelled: Cell::new(false),
        }
    }

    pub(crate) fn receiver(&self) -> &Receiver<SendEvent> {
        self.sent.receiver()
    }

    pub(crate) fn cancel(&self) {
        self.is_cancelled.set(true);
        self.sent.cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.get()
    }

    /// What the user typed, on one line.
    pub(crate) fn typed(&self) -> Cow<'_, str> {
        one_line(&self.typed)
    }

    /// The command on one line.
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

    /// Takes the next event, if any. Unfinished lines of output wait in `unfinished`. An outcome
    /// names its command if the command is one of several that are open.
    pub(crate) fn next_step(
        &mut self,
        client: &Client,
        unfinished: &mut NamedLines,
        style: Style,
        is_one_of_several: bool,
    ) -> Option<Step> {
        let mut step = Step::default();
        match self.sent.receiver().try_recv() {
            Ok(SendEvent::Accepted { targets }) => self.targets = Some(targets),
            Ok(SendEvent::Output(output)) => {
                step.shown = lines(&self.output(&output, unfinished), style);
            }
            Ok(SendEvent::Outcome(outcome)) => {
                step.shown = self.outcome(&outcome, unfinished, style, is_one_of_several);
                step.exit = ExitCode::of_outcome(&outcome);
            }
            Ok(SendEvent::End(Ok(tally))) => step = self.end(&tally),
            Ok(SendEvent::End(Err(error))) => step = self.failed(&error, client),
            Ok(_) => {}
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => step = self.failed(&RequestError::Lost, client),
        }
        if step.is_last {
            // After the loss of the server, lines are left that no outcome has ended.
            let rest = unfinished.finish(self.sent.id(), None);
            step.shown.insert_str(0, &lines(&rest, style));
        }
        Some(step)
    }

    /// The lines that are now whole of what a target writes while it runs.
    fn output(&self, output: &Output, unfinished: &mut NamedLines) -> WholeLines {
        let source = Source {
            send: self.sent.id(),
            member: output.member,
            is_stderr: output.stream == OutputStream::Stderr,
        };
        unfinished.add(source, &output.name, &output.bytes)
    }

    fn outcome(
        &mut self,
        outcome: &Outcome,
        unfinished: &mut NamedLines,
        style: Style,
        is_one_of_several: bool,
    ) -> String {
        self.ended += 1;
        let finish = |member| unfinished.finish(self.sent.id(), Some(member));
        let rest = lines(&outcome.member.map(finish).unwrap_or_default(), style);
        let named = match is_one_of_several {
            true => format!("{} (ID {}): ", one_line(&clip(&self.typed)), self.sent.id()),
            false => String::new(),
        };
        let ended = style.outcome(&named, outcome);
        let [stdout, stderr] =
            [&outcome.stdout, &outcome.stderr].map(|bytes| style.output_of_others(bytes));
        format!("{rest}{ended}\n{stdout}{stderr}")
    }

    fn end(&self, tally: &Tally) -> Step {
        let has_several = self.targets.is_some_and(|targets| targets > 1);
        Step {
            shown: match has_several {
                true => format!("{}: {}\n", one_line(&self.typed), summary::tally(tally)),
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

/// Lines of both streams, as the REPL shows them.
fn lines(whole: &WholeLines, style: Style) -> String {
    style.output_of_others(&whole.stdout) + &style.output_of_others(&whole.stderr)
}
