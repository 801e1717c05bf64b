//! One line about a send to several targets: their outcomes, and the names of those that failed.

use crate::output::node_set::fold;
use client::{Outcome, Status, Tally};
use common::terminal::escape::one_line;
use std::collections::BTreeMap;

/// Bytes of the names for each way to end: a few lines of a terminal.
const MOST_NAMES: usize = 1 << 10;

/// The server's count as one line, without names.
pub(crate) fn tally(tally: &Tally) -> String {
    let counts = Status::ALL.map(|status| (status, tally.of(status)));
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let parts = counts.map(|(status, count)| counted(*status, *count as usize));
    line(tally.targets(), &parts.collect::<Vec<_>>())
}

/// `3 timed out`
fn counted(status: Status, count: usize) -> String {
    format!("{count} {}", status.name().replace('_', " "))
}

fn line(targets: u32, parts: &[String]) -> String {
    let plural = if targets == 1 { "" } else { "s" };
    format!("{targets} target{plural}: {}", parts.join(", "))
}

/// Counts outcomes as they come.
#[derive(Default)]
pub(crate) struct Summary {
    done: u32,
    /// The names of the other targets, by how the command ended there.
    others: BTreeMap<Status, Vec<String>>,
}

impl Summary {
    /// Counts an outcome. A command that ran and did not end with 0 has failed.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let status = match outcome.status {
            Status::Done if outcome.succeeded() => {
                self.done += 1;
                return;
            }
            Status::Done => Status::Failed,
            status => status,
        };
        // As a selector names it: a rank is a number there.
        let name = match (&outcome.name, outcome.rank) {
            (None, Some(rank)) => rank.to_string(),
            _ => one_line(&outcome.target()).into_owned(),
        };
        self.others.entry(status).or_default().push(name);
    }

    fn ended(&self) -> u32 {
        let others: usize = self.others.values().map(Vec::len).sum();
        self.done + others as u32
    }

    /// The line for this many targets. Those without an outcome are lost, as none comes any more.
    pub(crate) fn line(&self, targets: u32) -> String {
        let missing = targets.saturating_sub(self.ended()) as usize;
        let mut others = self.others.clone();
        if missing > 0 {
            others.entry(Status::Lost).or_default();
        }
        let mut parts = Vec::new();
        if self.done > 0 {
            parts.push(counted(Status::Done, self.done as usize));
        }
        for (status, names) in others {
            let unknown = if status == Status::Lost { missing } else { 0 };
            let mut part = counted(status, names.len() + unknown);
            if !names.is_empty() {
                let folded = fold(names.iter().map(String::as_str), MOST_NAMES);
                let more = match unknown {
                    0 => String::new(),
                    _ => format!(" and {unknown} more"),
                };
                part += &format!(" ({folded}{more})");
            }
            parts.push(part);
        }
        line(targets, &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: Option<&str>, rank: u32, status: Status, exit_code: Option<i64>) -> Outcome {
        Outcome {
            member: name.map(|_| u64::from(rank) + 1),
            name: name.map(Into::into),
            rank: Some(rank),
            status,
            exit_code,
            signal: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            elapsed: None,
            leftovers: client::Leftovers::default(),
            truncated: false,
            message: None,
            started: None,
        }
    }

    #[test]
    fn targets_that_failed_are_named() {
        let mut summary = Summary::default();
        for rank in 1..=25 {
            let name = format!("web{rank}");
            let code = i64::from([3, 7, 19].contains(&rank));
            summary.add(&outcome(Some(&name), rank, Status::Done, Some(code)));
        }
        assert_eq!(
            summary.line(25),
            "25 targets: 22 done, 3 failed (web[3,7,19])"
        );
    }

    #[test]
    fn each_way_to_end_is_counted_by_its_name() {
        let mut summary = Summary::default();
        for (name, rank, status, code) in [
            (Some("web1"), 1, Status::Done, None),
            (Some("web2"), 2, Status::Failed, None),
            (Some("db\x1b"), 3, Status::NotFound, None),
            (Some("nope"), 4, Status::Absent, None),
            (None, 77, Status::Absent, None),
            (Some("a"), 5, Status::TimedOut, Some(0)),
            (Some("b"), 6, Status::Lost, None),
        ] {
            summary.add(&outcome(name, rank, status, code));
        }
        assert_eq!(
            summary.line(7),
            "7 targets: 1 not found (db\\x1b), 2 failed (web[1-2]), 2 absent (77,nope), \
             1 timed out (a), 1 lost (b)"
        );
        assert!(summary.line(9).ends_with(", 3 lost (b and 2 more)"));
        assert_eq!(Summary::default().line(2), "2 targets: 2 lost");
    }

    #[test]
    fn the_line_has_a_bound() {
        let mut summary = Summary::default();
        for status in Status::ALL {
            for rank in 0..3000 {
                let name = format!("{}{rank}", "a".repeat(rank as usize % 60));
                summary.add(&outcome(Some(&name), rank, status, None));
            }
        }
        let line = summary.line(summary.ended());
        assert!(line.len() < 12 << 10, "{}", line.len());
        assert!(line.contains(" more)"), "{line}");
    }

    #[test]
    fn a_tally_names_what_there_was() {
        let counts = [(Status::Done, 2), (Status::NotFound, 1)];
        let sum: Tally = counts.into_iter().collect();
        assert_eq!(tally(&sum), "3 targets: 2 done, 1 not found");
    }
}
