//! How a send to several targets went: counts, and the names of those that failed, by how it ended
//! there.

use crate::output::node_set::{A_FEW_LINES, fold};
use crate::output::render;
use crate::output::screen::Screen;
use client::{Outcome, SelectedTarget, Status, Tally};
use common::terminal::escape::one_line;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// How many of the slowest targets are named.
const SLOWEST: usize = 3;

/// How long the slowest target takes at least to be worth a line: a person begins to wonder.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// The server's count as one line, without names. Of those that are done for the server, so many did not end
/// with 0: they have failed.
pub(crate) fn tally(tally: &Tally, not_zero: u32) -> String {
    let parts = parts(|status| match status {
        Status::Done => tally.of(status).saturating_sub(not_zero),
        Status::Failed => tally.of(status) + not_zero,
        _ => tally.of(status),
    });
    line(tally.targets(), &parts.collect::<Vec<_>>())
}

/// What there is of each kind: `3 timed out`.
fn parts(count: impl Fn(Status) -> u32) -> impl Iterator<Item = String> {
    let counts = Status::ALL.map(|status| (status, count(status)));
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counts.map(|(status, count)| format!("{count} {}", words(status)))
}

fn words(status: Status) -> String {
    status.name().replace('_', " ")
}

fn line(targets: u32, parts: &[String]) -> String {
    let plural = if targets == 1 { "" } else { "s" };
    format!("{targets} target{plural}: {}", parts.join(", "))
}

/// What takes the place of a status where a rolling run stopped before a target.
pub(crate) const SKIPPED: &str = "skipped";

/// How a command ended at a target where it did not end with 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Exit(i64),
    Signal(String),
    Other(Status),
    /// A rolling run stopped before it was sent there.
    Skipped,
}

/// Counts outcomes as they come.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) targets: u32,
    /// Whether those without an outcome may still have one, though nothing more is told here.
    pub(crate) goes_on: bool,
    pub(crate) began: Instant,
    /// At how many targets it ended with 0.
    pub(crate) succeeded: u32,
    /// Those that ran to their end count as failed unless they ended with 0.
    counts: Tally,
    /// The names of the targets at which it did not end with 0, by how it ended.
    pub(crate) others: BTreeMap<End, Vec<String>>,
    /// The targets that took longest, the slowest first.
    pub(crate) slowest: Vec<(Duration, String)>,
}

impl Default for Summary {
    /// For a command that is sent now.
    fn default() -> Summary {
        Summary {
            targets: 0,
            goes_on: false,
            began: Instant::now(),
            succeeded: 0,
            counts: Tally::default(),
            others: BTreeMap::new(),
            slowest: Vec::new(),
        }
    }
}

impl Summary {
    /// Counts an outcome. A command that ran and did not end with 0 has failed.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        // As a selector names it: a rank is a number there.
        let name = match (&outcome.name, outcome.rank) {
            (None, Some(rank)) => rank.to_string(),
            _ => one_line(&outcome.target()).into_owned(),
        };
        if let Some(elapsed) = outcome.elapsed {
            self.clock(elapsed, &name);
        }
        if outcome.succeeded() {
            self.succeeded += 1;
            self.counts.count(Status::Done);
            return;
        }
        let status = match outcome.status {
            Status::Done => Status::Failed,
            status => status,
        };
        self.counts.count(status);
        self.others.entry(End::of(outcome)).or_default().push(name);
    }

    /// Counts a target to which the command was not sent.
    pub(crate) fn skip(&mut self, target: &SelectedTarget) {
        let name = target.name.as_deref().unwrap_or_default();
        let skipped = self.others.entry(End::Skipped).or_default();
        skipped.push(one_line(name).into_owned());
    }

    fn skipped(&self) -> u32 {
        self.others.get(&End::Skipped).map_or(0, Vec::len) as u32
    }

    fn clock(&mut self, elapsed: Duration, name: &str) {
        let at = self.slowest.partition_point(|(slow, _)| *slow >= elapsed);
        if at < SLOWEST {
            self.slowest.truncate(SLOWEST - 1);
            self.slowest.insert(at, (elapsed, name.to_owned()));
        }
    }

    /// At how many targets it has ended, and not with 0.
    pub(crate) fn failed(&self) -> u32 {
        self.counts.targets() - self.succeeded
    }

    /// How many targets have no outcome, and have none any more: they are lost.
    pub(crate) fn missing(&self) -> u32 {
        match self.goes_on {
            true => 0,
            false => self.untold(),
        }
    }

    /// At how many targets it goes on.
    pub(crate) fn open(&self) -> u32 {
        self.untold() - self.missing()
    }

    /// How many targets have no outcome so far.
    pub(crate) fn untold(&self) -> u32 {
        let told = self.counts.targets() + self.skipped();
        self.targets.saturating_sub(told)
    }

    /// Says it on standard error, if there were several targets.
    pub(crate) fn say(&self, screen: &mut Screen) -> io::Result<()> {
        if self.targets > 1 {
            screen.flush()?;
            screen.note(&self.text());
        }
        Ok(())
    }

    /// A line with the counts, one for each way in which it did not end with 0, and the slowest.
    fn text(&self) -> String {
        let missing = self.missing();
        let parts = parts(|status| match status {
            Status::Lost => self.counts.of(status) + missing,
            status => self.counts.of(status),
        });
        let skipped = self.skipped();
        let skipped = (skipped > 0).then(|| format!("{skipped} {SKIPPED}"));
        let open = (self.open() > 0).then(|| format!("{} open", self.open()));
        let parts: Vec<_> = parts.chain(skipped).chain(open).collect();
        let mut text = line(self.targets, &parts);
        for (end, names) in &self.others {
            let folded = fold(names.iter().map(String::as_str), A_FEW_LINES);
            text += &format!("\n  {}: {folded}", end.text());
        }
        let is_slow = |(slowest, _): &(Duration, String)| *slowest >= WORTH_A_LINE;
        if self.targets as usize > SLOWEST && self.slowest.first().is_some_and(is_slow) {
            let slowest = self.slowest.iter();
            let slowest = slowest.map(|(took, name)| format!("{name} {}", render::duration(*took)));
            text += &format!("\n  slowest: {}", slowest.collect::<Vec<_>>().join(", "));
        }
        text
    }
}

impl End {
    fn of(outcome: &Outcome) -> End {
        match (outcome.status, outcome.exit_code, &outcome.signal) {
            (Status::Done, Some(code), _) => End::Exit(code),
            (Status::Done, None, Some(signal)) => End::Signal(one_line(signal).into_owned()),
            (Status::Done, ..) => End::Other(Status::Failed),
            (status, ..) => End::Other(status),
        }
    }

    /// In front of names.
    fn text(&self) -> String {
        match self {
            End::Exit(code) => format!("exit {code}"),
            End::Signal(signal) => format!("ended by {signal}"),
            End::Other(status) => words(*status),
            End::Skipped => SKIPPED.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::outcome;

    fn summary(targets: u32, outcomes: impl IntoIterator<Item = Outcome>) -> Summary {
        let mut summary = Summary {
            targets,
            ..Summary::default()
        };
        for outcome in outcomes {
            summary.add(&outcome);
        }
        summary
    }

    #[test]
    fn targets_that_failed_are_named_by_their_exit_codes() {
        let outcomes = (1..=25).map(|n| {
            let code = match n {
                3 | 19 => Some(3),
                7 => Some(-1),
                9 => None,
                _ => Some(0),
            };
            let mut outcome = outcome(&format!("web{n}"), Status::Done, code);
            outcome.signal = (n == 9).then(|| "SIGKILL".to_owned());
            outcome
        });
        assert_eq!(
            summary(25, outcomes).text(),
            "25 targets: 21 done, 4 failed\n  exit -1: web7\n  exit 3: web[3,19]\n  \
             ended by SIGKILL: web9"
        );
    }

    #[test]
    fn each_way_to_end_is_counted_by_its_name() {
        let absent = |rank| Outcome {
            name: None,
            rank,
            ..outcome("", Status::Absent, None)
        };
        let outcomes = [
            outcome("web1", Status::Done, None),
            outcome("web2", Status::Failed, None),
            outcome("db\x1b", Status::NotFound, None),
            outcome("nope", Status::Absent, None),
            absent(Some(77)),
            absent(None),
            outcome("a", Status::TimedOut, Some(0)),
            outcome("b", Status::Lost, None),
        ];
        let lines = "\n  not found: db\\x1b\n  failed: web[1-2]\n  absent: #1,77,nope\n  \
                     timed out: a\n  lost: b";
        let counts = "1 not found, 2 failed, 3 absent, 1 timed out";
        for (targets, lost) in [(8, 1), (10, 3)] {
            assert_eq!(
                summary(targets, outcomes.clone()).text(),
                format!("{targets} targets: {counts}, {lost} lost{lines}")
            );
        }
        assert_eq!(summary(2, []).text(), "2 targets: 2 lost");
    }

    #[test]
    fn the_slowest_of_many_are_named_if_they_took_a_while() {
        let took = |ms: &[u64]| {
            let outcomes = ms.iter().enumerate().map(|(n, ms)| Outcome {
                elapsed: Some(Duration::from_millis(*ms)),
                ..outcome(&format!("w{n}"), Status::Done, Some(0))
            });
            summary(ms.len() as u32, outcomes).text()
        };
        assert_eq!(
            took(&[1000, 3, 1500, 1200, 12_000]),
            "5 targets: 5 done\n  slowest: w4 12 s, w2 1.5 s, w3 1.2 s"
        );
        assert_eq!(took(&[1, 2, 3, 999]), "4 targets: 4 done");
        assert_eq!(took(&[1000, 2000]), "2 targets: 2 done");
    }

    #[test]
    fn each_line_has_a_bound() {
        let outcomes = Status::ALL.into_iter().flat_map(|status| {
            (0..3000).map(move |n| outcome(&format!("{}{n}", "a".repeat(n % 60)), status, None))
        });
        let text = summary(33_000, outcomes).text();
        assert!(text.lines().all(|line| line.len() < 1100), "{text}");
        assert!(text.contains(" more\n"), "{text}");
    }

    #[test]
    fn a_tally_names_what_there_was() {
        let counts = [(Status::Done, 2), (Status::NotFound, 1)];
        let sum: Tally = counts.into_iter().collect();
        assert_eq!(tally(&sum, 0), "3 targets: 2 done, 1 not found");
        assert_eq!(tally(&sum, 1), "3 targets: 1 done, 1 not found, 1 failed");
    }
}
