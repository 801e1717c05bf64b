//! What a run hears, in the one small form that everything takes which shows or keeps it: the lines
//! at the terminal, grouped output, JSON lines, files, the progress line.

use crate::exit_code::ExitCode;
use crate::output::node_set::{TWO_ROWS, fold};
use crate::output::screen::Screen;
use crate::output::summary::Summary;
use client::{Outcome, Output, OutputStream, SelectedTarget};
use common::terminal::escape::one_line;
use serde::Serialize;
use std::io;
use std::time::Duration;

/// One thing that a run hears.
pub(crate) enum Report<'a> {
    /// The server has taken the command.
    Accepted(Accepted<'a>),
    /// A target was given it.
    Started {
        member: u64,
        name: Option<&'a str>,
    },
    Output(Piece<'a>),
    /// A rolling run: one of the targets that it has, as of its start.
    Target(&'a SelectedTarget),
    /// A rolling run: the next batch has been sent.
    Batch(&'a Batch),
    /// A rolling run has stopped before this target.
    Skipped(&'a SelectedTarget),
    /// It has ended at a target. What it wrote was reported before, all of it.
    Outcome(&'a Outcome),
    Error(&'a Problem),
    /// The last report of a run that had targets, and how long that took.
    Summary(&'a Summary, ExitCode, Duration),
}

/// What the server has taken.
#[derive(Serialize)]
pub(crate) struct Accepted<'a> {
    #[serde(rename = "command")]
    pub(crate) words: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<&'a str>,
    /// Which run of the server it is: member numbers mean others in another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<&'a str>,
    pub(crate) targets: u32,
    #[serde(rename = "stdin", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_input: bool,
}

/// Some of the targets of a rolling run, which get the command at once.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Counted from 1.
    pub(crate) number: usize,
    /// How many batches there are.
    pub(crate) of: usize,
    pub(crate) targets: Vec<SelectedTarget>,
}

impl Batch {
    /// What is said when it starts.
    pub(crate) fn text(&self) -> String {
        let names = self.targets.iter().filter_map(|it| it.name.as_deref());
        let names: Vec<_> = names.map(one_line).collect();
        let folded = fold(names.iter().map(AsRef::as_ref), TWO_ROWS);
        format!("batch {} of {}: {folded}", self.number, self.of)
    }
}

/// A piece of output of one target.
pub(crate) struct Piece<'a> {
    pub(crate) member: u64,
    pub(crate) name: &'a str,
    pub(crate) rank: u32,
    pub(crate) stream: OutputStream,
    pub(crate) bytes: &'a [u8],
}

/// Why the command was not sent, why outcomes are missing, or what could not be kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    /// For programs.
    pub(crate) error: &'static str,
    /// For people, on one line.
    pub(crate) message: String,
    #[serde(rename = "exit_code")]
    pub(crate) exit: ExitCode,
}

impl Problem {
    /// What came could not be written to a file, and why.
    pub(crate) fn not_kept(error: &'static str, file: &str, why: &io::Error) -> Problem {
        Problem {
            error,
            message: format!("cannot write to {file}; what came is not all there: {why}"),
            exit: ExitCode::Failed,
        }
    }
}

/// Shows or keeps reports.
pub(crate) trait Sink: Send {
    /// Takes the next report.
    ///
    /// # Errors
    /// Standard output takes no more. Other faults wait for [`fault`](Self::fault).
    fn take(&mut self, report: &Report<'_>, screen: &mut Screen) -> io::Result<()>;

    /// Whether it shows the names of targets that have started.
    fn wants_names(&self) -> bool {
        false
    }

    /// What went wrong while the command went on, once it has ended.
    fn fault(&mut self) -> Option<Problem> {
        None
    }
}

impl<'a> Piece<'a> {
    pub(crate) fn of(output: &'a Output) -> Piece<'a> {
        Piece {
            member: output.member,
            name: &output.name,
            rank: output.rank,
            stream: output.stream,
            bytes: &output.bytes,
        }
    }

    /// What an outcome has of output.
    pub(crate) fn rest(outcome: &'a Outcome) -> impl Iterator<Item = Piece<'a>> {
        let streams = [
            (OutputStream::Stdout, &*outcome.stdout),
            (OutputStream::Stderr, &*outcome.stderr),
        ];
        let written = streams.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        written.filter_map(|(stream, bytes)| {
            Some(Piece {
                member: outcome.member?,
                name: outcome.name.as_deref()?,
                rank: outcome.rank?,
                stream,
                bytes,
            })
        })
    }
}
