//! A command as `top` knows it.

use crate::output::render;
use client::WatchedCommand;
use common::terminal::escape::one_line;

/// A command, with what became of it so far.
pub(crate) struct Command {
    pub(crate) at_ms: u64,
    pub(crate) from: String,
    pub(crate) from_rank: u32,
    pub(crate) words: String,
    pub(crate) progress: Progress,
    pub(crate) ended_ms: Option<u64>,
}

/// What became of a command so far, or of a detached one.
pub(crate) struct Progress {
    pub(crate) is_open: bool,
    pub(crate) targets: u32,
    /// By the name of the status; those that there are.
    pub(crate) outcomes: Vec<(String, u32)>,
    pub(crate) not_zero: u32,
}

impl Command {
    pub(crate) fn of(told: &WatchedCommand<'_>) -> Command {
        let words: Vec<String> = serde_json::from_str(told.command.get()).unwrap_or_default();
        let outcomes = told.outcomes.iter();
        let outcomes = outcomes.map(|(status, count)| (one_line(status).replace('_', " "), *count));
        Command {
            at_ms: told.at_ms,
            from: one_line(&told.from.name).into_owned(),
            from_rank: told.from.rank,
            words: render::words(&words),
            progress: Progress {
                is_open: told.ended_ms.is_none(),
                targets: told.targets,
                outcomes: outcomes.collect(),
                not_zero: told.not_zero,
            },
            ended_ms: told.ended_ms,
        }
    }
}

impl Progress {
    /// How many of the outcomes have come. A server may say any counts, so the sum has an end.
    pub(crate) fn ended(&self) -> u32 {
        let counts = self.outcomes.iter().map(|(_, count)| *count);
        counts.fold(0, u32::saturating_add)
    }

    /// How many did not do it, or not with exit code 0.
    pub(crate) fn failed(&self) -> u32 {
        let done = self.outcomes.iter().find(|(status, _)| status == "done");
        let done = done.map_or(0, |(_, count)| *count);
        self.ended()
            .saturating_sub(done)
            .saturating_add(self.not_zero)
    }

    /// What has become of it, in a word or two.
    pub(crate) fn status(&self) -> String {
        let bad = self.outcomes.iter().filter(|(status, _)| status != "done");
        let worst = bad.max_by_key(|(_, count)| *count);
        match (self.is_open, worst) {
            (true, _) => "runs".into(),
            (false, Some((status, _))) => status.clone(),
            (false, None) if self.not_zero > 0 => "exit code".into(),
            (false, None) => "done".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_command_says_what_became_of_it() {
        let command = |outcomes: Value, not_zero: u32, ended: Option<u64>| {
            let told = json!({"id": 7, "at_ms": 1, "from": {"member": 1, "name": "boss", "rank": 0},
                "command": ["a", "b\tc"], "targets": 3, "outcomes": outcomes, "not_zero": not_zero,
                "ended_ms": ended});
            let told = serde_json::from_value(told);
            Command::of(&told.expect("what a server tells"))
        };
        for (outcomes, not_zero, ended, status, failed) in [
            (json!({"done": 1}), 0, None, "runs", 0),
            (json!({"done": 3}), 0, Some(2), "done", 0),
            (json!({"done": 3}), 2, Some(2), "exit code", 2),
            (
                json!({"done": 1, "timed_out": 2}),
                0,
                Some(2),
                "timed out",
                2,
            ),
            (
                json!({"done": u32::MAX, "lost": u32::MAX}),
                u32::MAX,
                None,
                "runs",
                u32::MAX,
            ),
        ] {
            let shown = command(outcomes, not_zero, ended);
            let progress = &shown.progress;
            assert_eq!((&*progress.status(), progress.failed()), (status, failed));
            assert_eq!(shown.words, "a b\\tc");
        }
    }
}
