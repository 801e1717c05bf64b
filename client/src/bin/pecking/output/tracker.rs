//! Counts how far a run is, for its progress line.

use crate::output::node_set::fold;
use crate::output::progress::Part;
use crate::output::render;
use crate::output::report::Report;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// As many targets as are left when they are named: their names fit on a line.
const FEW: usize = 5;

/// How long a run takes before those that are left are named: a person begins to wonder.
const A_WHILE: Duration = Duration::from_secs(1);

/// Bytes of names, which end the line.
const MOST_NAMES: usize = 200;

/// What is known of each target.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    targets: u32,
    done: u32,
    /// Targets with an outcome that is not `done` with 0.
    failed: u32,
    skipped: u32,
    running: HashSet<u64>,
    ended: HashSet<u64>,
}

impl Tracker {
    pub(crate) fn hear(&mut self, report: &Report<'_>) {
        match report {
            Report::Accepted(accepted) => self.targets += accepted.targets,
            Report::Started { member, .. } => drop(self.running.insert(*member)),
            Report::Output(piece) => drop(self.running.insert(piece.member)),
            Report::Outcome(outcome) => {
                match outcome.succeeded() {
                    true => self.done += 1,
                    false => self.failed += 1,
                }
                if let Some(member) = outcome.member {
                    self.running.remove(&member);
                    self.ended.insert(member);
                }
            }
            Report::Skipped(_) => self.skipped += 1,
            Report::Error(_) | Report::Target(_) | Report::Batch(_) | Report::Summary(..) => {}
        }
    }

    pub(crate) fn part(&self) -> Part {
        Part {
            ended: self.done + self.failed + self.skipped,
            of: self.targets,
        }
    }

    /// Whether the names of those that are left are worth asking for.
    pub(crate) fn names_rest(&self, elapsed: Duration) -> bool {
        let part = self.part();
        let left = part.of.saturating_sub(part.ended) as usize;
        (1..=FEW).contains(&left) && elapsed >= A_WHILE
    }

    /// The text of the line, the most important first; with the names of all targets it says which
    /// are left.
    pub(crate) fn text(&self, elapsed: Duration, names: Option<&BTreeMap<u64, String>>) -> String {
        let elapsed = render::ago(elapsed);
        if self.targets == 0 {
            return format!("sent, {elapsed}");
        }
        let queued = self
            .targets
            .saturating_sub(self.part().ended + self.running.len() as u32);
        let counts = [
            (self.failed, "failed"),
            (self.running.len() as u32, "running"),
            (queued, "queued"),
        ];
        let mut text = format!("{}/{} done", self.done, self.targets);
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            text += &format!(", {count} {what}");
        }
        text += &format!(", {elapsed}");
        let rest = names.map(|names| self.rest(names)).unwrap_or_default();
        match rest.is_empty() {
            true => text,
            false => format!("{text}: {rest}"),
        }
    }

    fn rest(&self, names: &BTreeMap<u64, String>) -> String {
        // A single target may be another one than the server would choose now.
        let is_open = |member: &u64| match self.targets {
            1 => self.running.contains(member),
            _ => !self.ended.contains(member),
        };
        let open = names.iter().filter(|(member, _)| is_open(member));
        fold(open.map(|(_, name)| name.as_str()), MOST_NAMES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::report::Accepted;
    use crate::output::testing::outcome;
    use client::Status;

    #[test]
    fn the_line_counts_and_names_those_that_are_left() {
        let mut tracker = Tracker::default();
        let second = Duration::from_secs(1);
        assert_eq!(tracker.text(second, None), "sent, 1 s");
        tracker.hear(&Report::Accepted(Accepted {
            words: &[],
            to: None,
            has_input: false,
            run: None,
            targets: 8,
        }));
        assert_eq!(tracker.text(second, None), "0/8 done, 8 queued, 1 s");
        for member in 1..=6 {
            tracker.hear(&Report::Started { member, name: None });
        }
        for (member, code) in [(1, 0), (2, 3), (3, 0)] {
            let mut ended = outcome("x", Status::Done, Some(code));
            ended.member = Some(member);
            tracker.hear(&Report::Outcome(&ended));
        }
        assert_eq!(tracker.part(), Part { ended: 3, of: 8 });
        assert!(tracker.names_rest(second));
        assert!(!tracker.names_rest(second / 2));
        let names = (1..=8).map(|n| (n, format!("web{n}"))).collect();
        assert_eq!(
            tracker.text(90 * second, Some(&names)),
            "2/8 done, 1 failed, 3 running, 2 queued, 90 s: web[4-8]"
        );
        for member in [4, 5, 6, 7, 8] {
            let mut ended = outcome("x", Status::Lost, None);
            ended.member = Some(member);
            tracker.hear(&Report::Outcome(&ended));
        }
        assert!(!tracker.names_rest(second));
    }
}
