//! A command that was sent from a line and has not ended everywhere: turns its events into text.

use crate::exit_code::ExitCode;
use crate::output::gathering::Gathering;
use crate::output::live::is_remarkable;
use crate::output::prefix::{NamedLines, Source, WholeLines};
use crate::output::render::{self, Style};
use crate::output::report::Piece;
use crate::output::summary;
use client::{
    Client, JobHandle, JobId, Outcome, RequestError, SendEvent, SendHandle, Status, Tally,
};
use common::terminal::escape::one_line;
use common::wire::text::clip;
use crossbeam_channel::{Receiver, TryRecvError};
use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write;
use std::time::Instant;

/// Bytes that are shown in one step: the next one waits until there is room for it.
const STEP: usize = 16 << 10;

/// Bytes that are gathered of one command: 16 KiB of each of 1,000 targets, more than a user reads.
const MOST_GATHERED: usize = 16 << 20;

pub(crate) struct SentCommand {
    id: u64,
    pub(crate) events: Receiver<SendEvent>,
    sent: Sent,
    pub(crate) typed: String,
    to: Option<String>,
    since: Instant,
    /// How many targets it has, once that is known.
    targets: Option<u32>,
    ended: u32,
    /// Of these, how many ran to their end, and not with 0.
    not_zero: u32,
    pub(crate) is_cancelled: Cell<bool>,
    /// What is gathered, if outputs are shown together.
    gather: Option<Gathering>,
    /// What waits until there is room to show it, without another event.
    pub(crate) pending: VecDeque<Step>,
}

/// What was sent, and is followed.
enum Sent {
    Here(SendHandle),
    /// It is detached: that it is followed no longer does not end it.
    Detached(JobHandle),
}

/// What one event changes.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) shown: String,
    pub(crate) exit: ExitCode,
    pub(crate) is_last: bool,
}

impl SentCommand {
    /// A command that was sent now. `gathers`: what several targets write is shown together, when all
    /// have ended.
    pub(crate) fn new(
        sent: SendHandle,
        typed: String,
        to: Option<String>,
        gathers: bool,
    ) -> SentCommand {
        let (id, events) = (sent.id(), sent.receiver().clone());
        SentCommand {
            gather: gathers.then(|| Gathering::holding(MOST_GATHERED)),
            ..SentCommand::of(Sent::Here(sent), id, events, typed, to)
        }
    }

    /// A detached command that is followed, and how many targets it has if these are several.
    pub(crate) fn following(job: JobHandle, typed: String, targets: Option<u32>) -> SentCommand {
        let (id, events) = (job.id(), job.receiver().clone());
        SentCommand {
            targets,
            ..SentCommand::of(Sent::Detached(job), id, events, typed, None)
        }
    }

    fn of(
        sent: Sent,
        id: u64,
        events: Receiver<SendEvent>,
        typed: String,
        to: Option<String>,
    ) -> SentCommand {
        SentCommand {
            id,
            events,
            sent,
            typed,
            to,
            since: Instant::now(),
            targets: None,
            ended: 0,
            not_zero: 0,
            is_cancelled: Cell::new(false),
            gather: None,
            pending: VecDeque::new(),
        }
    }

    /// Which detached command it is, if it is one: that goes on when this client leaves.
    pub(crate) fn job(&self) -> Option<JobId> {
        match &self.sent {
            Sent::Here(_) => None,
            Sent::Detached(job) => Some(job.job()),
        }
    }

    pub(crate) fn cancel(&self) {
        self.is_cancelled.set(true);
        match &self.sent {
            Sent::Here(sent) => sent.cancel(),
            Sent::Detached(job) => job.cancel(),
        }
    }

    /// The command on one line.
    pub(crate) fn describe(&self) -> String {
        let mut line = format!("  {}  {}", self.id, one_line(&self.typed));
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
        if let Some(step) = self.pending.pop_front() {
            return Some(step);
        }
        let mut step = Step::default();
        match self.events.try_recv() {
            Ok(SendEvent::Accepted { targets }) => self.targets = Some(targets),
            Ok(SendEvent::Output(output)) => {
                step.shown = lines(&self.output(&Piece::of(&output), unfinished), style);
            }
            Ok(SendEvent::Outcome(outcome)) if self.gathers() => {
                step.exit = self.count(&outcome);
                step.shown = self.gather_outcome(&outcome, unfinished, style);
            }
            Ok(SendEvent::Outcome(outcome)) => {
                step.exit = self.count(&outcome);
                step.shown = self.outcome(&outcome, unfinished, style, is_one_of_several);
            }
            Ok(SendEvent::End(Ok(tally))) => step = self.end(&tally),
            Ok(SendEvent::End(Err(error))) => step = self.failed(&error, client),
            Ok(_) => {}
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => step = self.failed(&RequestError::Lost, client),
        }
        if step.is_last {
            // After the loss of the server, lines are left that no outcome has ended.
            let rest = unfinished.finish(self.id, None);
            step.shown.insert_str(0, &lines(&rest, style));
            self.show_gathered(style, is_one_of_several);
        }
        self.pending.extend(in_steps(step));
        self.pending.pop_front()
    }

    fn count(&mut self, outcome: &Outcome) -> ExitCode {
        self.ended += 1;
        self.not_zero += u32::from(outcome.status == Status::Done && !outcome.succeeded());
        ExitCode::of_outcome(outcome)
    }

    /// One target has no other to be shown with.
    fn gathers(&self) -> bool {
        self.gather.is_some() && self.targets.is_some()
    }

    /// Has all that was gathered shown.
    fn show_gathered(&mut self, style: Style, is_one_of_several: bool) {
        let named = self.named(is_one_of_several);
        let Some(mut gathering) = self.gather.take() else {
            return;
        };
        let gathered = gathering.finish();
        let mut shown = Vec::new();
        for (stream, groups) in &gathered.streams {
            for group in groups {
                shown.push(style.line(&format!("{named}{}:", group.header(*stream))));
                shown.push(style.output_of_others(&group.output));
            }
        }
        let endings = gathered.endings.iter();
        shown.extend(endings.map(|ending| style.line(&format!("{named}{ending}"))));
        let steps = shown.into_iter().map(|shown| Step {
            shown,
            ..Step::default()
        });
        self.pending.extend(steps.flat_map(in_steps));
    }

    /// The lines that are now whole of what a target writes, if they are not gathered.
    fn output(&mut self, piece: &Piece<'_>, unfinished: &mut NamedLines) -> WholeLines {
        let (send, gathers) = (self.id, self.gathers());
        let mut whole = WholeLines::default();
        let mut show = |piece: &Piece<'_>| {
            let source = Source::of(send, piece);
            whole.extend(&unfinished.add(source, piece.name, piece.bytes));
            Ok::<_, Infallible>(())
        };
        let Ok(()) = match self.gather.as_mut().filter(|_| gathers) {
            Some(gathering) => gathering.add(piece, show),
            None => show(piece),
        };
        whole
    }

    fn gather_outcome(
        &mut self,
        outcome: &Outcome,
        unfinished: &mut NamedLines,
        style: Style,
    ) -> String {
        let mut whole = WholeLines::default();
        for piece in Piece::rest(outcome) {
            whole.extend(&self.output(&piece, unfinished));
        }
        if let Some(member) = outcome.member {
            self.gather.as_mut().map(|gathering| gathering.end(member));
            whole.extend(&unfinished.finish(self.id, Some(member)));
        }
        if let Some(gathering) = self.gather.as_mut().filter(|_| is_remarkable(outcome)) {
            gathering.remark(outcome);
        }
        lines(&whole, style)
    }

    /// What names the command in front of a line about it, if it is to be named.
    fn named(&self, is_one_of_several: bool) -> String {
        match is_one_of_several {
            true => format!("{} (ID {}): ", one_line(&clip(&self.typed)), self.id),
            false => String::new(),
        }
    }

    fn outcome(
        &mut self,
        outcome: &Outcome,
        unfinished: &mut NamedLines,
        style: Style,
        is_one_of_several: bool,
    ) -> String {
        let finish = |member| unfinished.finish(self.id, Some(member));
        let rest = lines(&outcome.member.map(finish).unwrap_or_default(), style);
        let (command, ended) = (self.named(is_one_of_several), render::outcome(outcome));
        let ended = style.line(&format!("{command}{ended}"));
        let [stdout, stderr] =
            [&outcome.stdout, &outcome.stderr].map(|bytes| style.output_of_others(bytes));
        format!("{rest}{ended}{stdout}{stderr}")
    }

    fn end(&self, tally: &Tally) -> Step {
        let has_several = self.targets.is_some_and(|targets| targets > 1);
        let counts = summary::tally(tally, self.not_zero);
        Step {
            shown: match has_several {
                true => format!("{}: {counts}\n", one_line(&self.typed)),
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
pub(super) fn lines(whole: &WholeLines, style: Style) -> String {
    style.output_of_others(&whole.stdout) + &style.output_of_others(&whole.stderr)
}

/// A step in as many as are shown one by one, each of whole lines: a screen takes no text of any
/// length.
fn in_steps(mut step: Step) -> impl Iterator<Item = Step> {
    let mut texts: Vec<String> = Vec::new();
    if step.shown.len() > STEP {
        for line in step.shown.split_inclusive('\n') {
            match texts.last_mut() {
                Some(text) if text.len() + line.len() <= STEP => text.push_str(line),
                _ => texts.push(line.to_owned()),
            }
        }
        step.shown = texts.pop().unwrap_or_default();
    }
    let before = texts.into_iter().map(|shown| Step {
        shown,
        ..Step::default()
    });
    before.chain(std::iter::once(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_step_comes_in_steps_of_whole_lines_and_the_last_has_its_end() {
        for lines in [0, 1, 100, 10_000] {
            let shown = "0123456789\n".repeat(lines);
            let step = Step {
                shown: shown.clone(),
                exit: ExitCode::Failed,
                is_last: true,
            };
            let steps: Vec<Step> = in_steps(step).collect();
            assert_eq!(steps.len(), lines.div_ceil(STEP / 11).max(1));
            let texts = steps.iter().map(|step| step.shown.as_str());
            assert_eq!(texts.collect::<String>(), shown);
            let (last, others) = steps.split_last().expect("at least one");
            assert!(last.is_last && last.exit == ExitCode::Failed);
            let is_part = |step: &Step| step.shown.ends_with('\n') && step.shown.len() <= STEP;
            assert!(others.iter().all(is_part));
            assert!(
                others
                    .iter()
                    .all(|it| !it.is_last && it.exit == ExitCode::Done)
            );
        }
    }
}
