//! How far a run is at each target, for its progress line and for what is said of its queues.

use crate::output::node_set::{END_OF_A_LINE, fold};
use crate::output::render;
use crate::output::report::Report;
use crate::output::summary::Summary;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// As many targets as are left when they are named: their names fit on a line.
const FEW: usize = 5;

/// How long a run takes before those that are left are named: a person begins to wonder.
const A_WHILE: Duration = Duration::from_secs(1);

/// What is known of each target; the summary has the counts.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    running: HashSet<u64>,
    ended: HashSet<u64>,
}

impl Tracker {
    pub(crate) fn hear(&mut self, report: &Report<'_>) {
        match report {
            Report::Started { member, .. } => drop(self.running.insert(*member)),
            Report::Output(piece) => drop(self.running.insert(piece.member)),
            Report::Outcome(outcome) => {
                if let Some(member) = outcome.member {
                    self.running.remove(&member);
                    self.ended.insert(member);
                }
            }
            _ => {}
        }
    }

    /// Whether a target was given the command, has written something, or ended it.
    pub(crate) fn has_heard(&self, member: u64) -> bool {
        self.running.contains(&member) || self.ended.contains(&member)
    }

    /// Whether the names of those that are left are worth asking for.
    pub(crate) fn names_rest(summary: &Summary, elapsed: Duration) -> bool {
        let left = summary.untold() as usize;
        (1..=FEW).contains(&left) && elapsed >= A_WHILE
    }

    /// The text of the line, the most important first; with the names of all targets it says which
    /// are left.
    pub(crate) fn text(
        &self,
        summary: &Summary,
        elapsed: Duration,
        names: Option<&BTreeMap<u64, String>>,
    ) -> String {
        let elapsed = render::ago(elapsed);
        if summary.targets == 0 {
            return format!("sent, {elapsed}");
        }
        let running = self.running.len() as u32;
        let queued = summary.untold().saturating_sub(running);
        let counts = [
            (summary.failed(), "failed"),
            (running, "running"),
            (queued, "queued"),
        ];
        let mut text = format!("{}/{} done", summary.succeeded, summary.targets);
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            text += &format!(", {count} {what}");
        }
        text += &format!(", {elapsed}");
        let rest = names
            .map(|names| self.rest(summary.targets, names))
            .unwrap_or_default();
        match rest.is_empty() {
            true => text,
            false => format!("{text}: {rest}"),
        }
    }

    fn rest(&self, targets: u32, names: &BTreeMap<u64, String>) -> String {
        // A single target may be another one than the server would choose now.
        let is_open = |member: &u64| match targets {
            1 => self.running.contains(member),
            _ => !self.ended.contains(member),
        };
        let open = names.iter().filter(|(member, _)| is_open(member));
        fold(open.map(|(_, name)| name.as_str()), END_OF_A_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::outcome;
    use client::Status;

    #[test]
    fn the_line_counts_and_names_those_that_are_left() {
        let (mut tracker, mut summary) = (Tracker::default(), Summary::default());
        let second = Duration::from_secs(1);
        assert_eq!(tracker.text(&summary, second, None), "sent, 1 s");
        summary.targets = 8;
        let text = tracker.text(&summary, second, None);
        assert_eq!(text, "0/8 done, 8 queued, 1 s");
        for member in 1..=6 {
            tracker.hear(&Report::Started { member, name: None });
        }
        for (member, code) in [(1, 0), (2, 3), (3, 0)] {
            let mut ended = outcome("x", Status::Done, Some(code));
            ended.member = Some(member);
            summary.add(&ended);
            tracker.hear(&Report::Outcome(&ended));
        }
        assert!(Tracker::names_rest(&summary, second));
        assert!(!Tracker::names_rest(&summary, second / 2));
        let names = (1..=8).map(|n| (n, format!("web{n}"))).collect();
        assert_eq!(
            tracker.text(&summary, 90 * second, Some(&names)),
            "2/8 done, 1 failed, 3 running, 2 queued, 90 s: web[4-8]"
        );
        for member in [4, 5, 6, 7, 8] {
            let mut ended = outcome("x", Status::Lost, None);
            ended.member = Some(member);
            summary.add(&ended);
            tracker.hear(&Report::Outcome(&ended));
        }
        assert!(!Tracker::names_rest(&summary, second));
    }
}
