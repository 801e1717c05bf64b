//! Reports as JSON lines, for programs: `client/JSON.md` describes each.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::report::{Accepted, Piece, Problem, Report, Sink};
use crate::output::screen::Screen;
use crate::output::summary::{End, SKIPPED, Summary};
use client::{Detached, Leftovers, Outcome, OutputStream, SelectedTarget};
use common::terminal::escape::one_line;
use common::wire::{Text, encode_output};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Prints reports as JSON lines.
pub(crate) struct JsonLines;

impl Sink for JsonLines {
    fn take(&mut self, report: &Report<'_>, screen: &mut Screen) -> io::Result<()> {
        screen.write_own(OutputStream::Stdout, line(report).as_bytes())
    }

    fn wants_names(&self) -> bool {
        true
    }
}

/// A report as a line.
pub(crate) fn line(report: &Report<'_>) -> String {
    let line = match report {
        Report::Accepted(accepted) => Line::Accepted(accepted),
        Report::Started { member, name } => Line::Started {
            member: *member,
            name: *name,
        },
        Report::Output(piece) => Line::output(piece),
        Report::Target(target) => Line::Target(target),
        Report::Batch(batch) => Line::Batch {
            batch: batch.number,
            of: batch.of,
            targets: batch.targets.len(),
        },
        Report::Skipped(target) => Line::skipped(target),
        Report::Outcome(outcome) => Line::outcome(outcome),
        Report::Error(problem) => Line::Error(problem),
        Report::Summary(summary, exit, took) => Line::summary(summary, *exit, *took),
    };
    line.encode()
}

/// What ended a run before there were reports, as a line.
pub(crate) fn failure_line(failure: &Failure, exit: ExitCode) -> String {
    let message = failure.to_string();
    let problem = Problem {
        error: failure.word(),
        message: one_line(&message).into_owned(),
        exit,
    };
    Line::Error(&problem).encode()
}

/// A command that was detached, as a line.
pub(crate) fn detached_line(detached: &Detached) -> String {
    Line::Detached(*detached).encode()
}

/// A client that a command would reach, as a line.
pub(crate) fn target_line(target: &SelectedTarget) -> String {
    Line::Target(target).encode()
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Accepted(&'a Accepted<'a>),
    Started {
        member: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    Output {
        member: u64,
        name: &'a str,
        rank: u32,
        stream: OutputStream,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Text<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<Text<'a>>,
    },
    Outcome(Ended<'a>),
    Batch {
        batch: usize,
        of: usize,
        targets: usize,
    },
    Error(&'a Problem),
    Summary(Counts<'a>),
    Target(&'a SelectedTarget),
    Detached(Detached),
}

#[derive(Default, Serialize)]
struct Ended<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u32>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<u64>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    leftovers: Option<Leftovers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<bool>,
}

#[derive(Serialize)]
struct Counts<'a> {
    targets: u32,
    succeeded: u32,
    /// By exit code, the names.
    exit_codes: BTreeMap<i64, &'a [String]>,
    /// By signal, the names.
    signals: BTreeMap<&'a str, &'a [String]>,
    /// By status, the names of those that did not run to their end.
    statuses: BTreeMap<&'a str, &'a [String]>,
    missing: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<u32>,
    slowest: Vec<Slow<'a>>,
    elapsed_ms: u64,
    exit_code: ExitCode,
}

#[derive(Serialize)]
struct Slow<'a> {
    name: &'a str,
    elapsed_ms: u64,
}

impl<'a> Line<'a> {
    fn encode(&self) -> String {
        let json = serde_json::to_string(self);
        json.expect("texts and numbers always become JSON") + "\n"
    }

    fn output(piece: &Piece<'a>) -> Line<'a> {
        let (text, base64) = encode_output(piece.bytes);
        Line::Output {
            member: piece.member,
            name: piece.name,
            rank: piece.rank,
            stream: piece.stream,
            text,
            base64,
        }
    }

    fn outcome(outcome: &'a Outcome) -> Line<'a> {
        let has_left = outcome.leftovers != Leftovers::default();
        Line::Outcome(Ended {
            member: outcome.member,
            name: outcome.name.as_deref(),
            rank: outcome.rank,
            status: outcome.status.name(),
            exit_code: outcome.exit_code,
            signal: outcome.signal.as_deref(),
            elapsed_ms: outcome.elapsed.map(ms),
            truncated: outcome.truncated,
            leftovers: has_left.then_some(outcome.leftovers),
            message: outcome.message.as_deref(),
            started: outcome.started,
        })
    }

    fn skipped(target: &'a SelectedTarget) -> Line<'a> {
        Line::Outcome(Ended {
            member: target.member,
            name: target.name.as_deref(),
            rank: target.rank,
            status: SKIPPED,
            ..Ended::default()
        })
    }

    fn summary(summary: &'a Summary, exit: ExitCode, took: Duration) -> Line<'a> {
        let (mut exit_codes, mut signals) = (BTreeMap::new(), BTreeMap::new());
        let mut statuses = BTreeMap::new();
        for (end, names) in &summary.others {
            let names = names.as_slice();
            match end {
                End::Exit(code) => drop(exit_codes.insert(*code, names)),
                End::Signal(signal) => drop(signals.insert(signal.as_str(), names)),
                End::Other(status) => drop(statuses.insert(status.name(), names)),
                End::Skipped => drop(statuses.insert(SKIPPED, names)),
            }
        }
        let slowest = summary.slowest.iter().map(|(took, name)| Slow {
            name,
            elapsed_ms: ms(*took),
        });
        Line::Summary(Counts {
            targets: summary.targets,
            succeeded: summary.succeeded,
            exit_codes,
            signals,
            statuses,
            missing: summary.missing(),
            open: Some(summary.open()).filter(|open| *open > 0),
            slowest: slowest.collect(),
            elapsed_ms: ms(took),
            exit_code: exit,
        })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
