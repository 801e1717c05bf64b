//! Outcomes, refusals and commands as text. Text of other clients is escaped here.

use crate::output::margin;
use client::{
    Client, Code, Disconnect, ExecutionResult, Job, Leftovers, Outcome, RequestError, Resumed,
    Status, StopReason,
};
use common::terminal::escape::{Keep, escape, one_line};
use std::fmt::Write;
use std::time::Duration;

/// How long something took, short enough for the end of a line.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms @ 1000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => ago(duration),
    }
}

/// How long ago something was, in its largest unit.
pub(crate) fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Bytes of a command's words that are shown: a few lines of a terminal.
const LONGEST_WORDS: usize = 1 << 10;

/// The words of a command on one line, with an ellipsis if some are left out.
pub(crate) fn words(words: &[String]) -> String {
    let joined = words.join(" ");
    let start = &joined[..joined.floor_char_boundary(LONGEST_WORDS + 1)];
    let mut shown = one_line(start).into_owned();
    if shown.len() > LONGEST_WORDS || start.len() < joined.len() {
        shown.truncate(shown.floor_char_boundary(LONGEST_WORDS));
        shown.push('…');
    }
    shown
}

/// One line that says how a command ended at one target.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let mut line = format!("[{}] ", one_line(&outcome.label()));
    line += &status(outcome);
    line += &leftovers(outcome.leftovers);
    if let Some(elapsed) = outcome.elapsed {
        let _ = write!(line, " ({})", duration(elapsed));
    }
    if outcome.truncated {
        line += ", its output was cut";
    }
    line
}

/// How a command ended, without at which target and how long it took.
pub(crate) fn ending(outcome: &Outcome) -> String {
    let cut = match outcome.truncated {
        true => ", its output was cut",
        false => "",
    };
    status(outcome) + &leftovers(outcome.leftovers) + cut
}

/// What a command left behind, as the end of its outcome; empty if it left nothing.
pub(crate) fn leftovers(leftovers: Leftovers) -> String {
    let processes = |count, one: &str, more: &str| match count {
        0 => String::new(),
        1 => format!(", 1 process {one}"),
        _ => format!(", {count} processes {more}"),
    };
    let ended = processes(
        leftovers.ended,
        "it left behind was ended",
        "it left behind were ended",
    );
    let running = processes(
        leftovers.running,
        "of it cannot be ended and still runs",
        "of it cannot be ended and still run",
    );
    ended + &running
}

fn status(outcome: &Outcome) -> String {
    let how = match (outcome.exit_code, &outcome.signal) {
        (Some(code), _) => format!(", exit code {code}"),
        (None, Some(signal)) => format!(", ended by {}", one_line(signal)),
        (None, None) => String::new(),
    };
    let why = |fallback: &str| match &outcome.message {
        Some(message) => one_line(message).into_owned(),
        None => fallback.to_owned(),
    };
    match outcome.status {
        Status::Done => format!("done{how}"),
        Status::Refused => format!("refused: {}", why("its policy does not run this")),
        Status::NotFound => format!("not found: {}", why("it has no such command")),
        Status::Failed => format!("failed: {}", why("it could not be started")),
        Status::Outranked => "outranked: it ranks above you, and takes no commands of yours".into(),
        Status::Absent => format!("absent: {}", why("it is not here, or has no slots")),
        Status::Forbidden => format!("forbidden: {}", why("your role does not let it run this")),
        Status::Busy => format!("busy: {}; try again later", why("its queue is full")),
        // One that has started tells for how long it ran.
        Status::TimedOut if outcome.elapsed.is_none() => "timed out: it never started".into(),
        Status::TimedOut => format!("timed out{how}"),
        Status::Cancelled => format!("cancelled{how}"),
        Status::Lost => {
            let when = match outcome.started {
                Some(false) => "the command was sent to it",
                _ => "it answered; the command may have run",
            };
            format!("lost: it left or the server stopped before {when}")
        }
    }
}

/// How the REPL shows what programs wrote.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Whether control characters are shown as they are.
    pub(crate) raw: bool,
    /// The width of the terminal, if a user looks at one: rows of other clients have a margin.
    pub(crate) columns: Option<usize>,
}

impl Style {
    /// What a command wrote here: safe, and with a newline at its end.
    fn output(self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let mut shown = match self.raw {
            true => text.into_owned(),
            false => escape(&text, Keep::Layout).into_owned(),
        };
        if !shown.is_empty() && !shown.ends_with('\n') {
            shown.push('\n');
        }
        shown
    }

    fn margin(self) -> Option<usize> {
        self.columns.filter(|_| !self.raw)
    }

    /// What a command wrote at another client.
    pub(crate) fn output_of_others(self, bytes: &[u8]) -> String {
        let shown = self.output(bytes);
        match self.margin() {
            Some(columns) => margin::set_off(&shown, columns),
            None => shown,
        }
    }

    /// A line of this client that repeats text of others, which is escaped already.
    pub(crate) fn line(self, line: &str) -> String {
        let line = match self.margin() {
            Some(columns) => margin::set_off_rest(line, columns),
            None => line.into(),
        };
        line + "\n"
    }

    /// What is shown when a command has ended that another client sent.
    pub(crate) fn executed(self, job: &Job, answer: &ExecutionResult) -> String {
        let ended = match answer {
            ExecutionResult::Ended(ended) => ended,
            ExecutionResult::Refused(why) => return format!("[Refused] {}\n", one_line(why)),
            ExecutionResult::NotFound(why) => return format!("[Not found] {}\n", one_line(why)),
            ExecutionResult::Failed(why) => return format!("[Failed] {}\n", one_line(why)),
        };
        let shown = self.output(&ended.stdout) + &self.output(&ended.stderr);
        let executing = if shown.is_empty() { "" } else { "[Executing] " };
        let how = match (job.stop_reason(), ended.exit_code, &ended.signal) {
            (Some(StopReason::TimedOut), ..) => "timed out".into(),
            (Some(_), ..) => "cancelled".into(),
            (None, None, Some(signal)) => format!("ended by {}", one_line(signal)),
            (None, Some(code), _) if code != 0 => format!("Executed, exit code {code}"),
            _ => "Executed".into(),
        };
        let left = leftovers(ended.leftovers);
        format!("{executing}{shown}\nCommand {how}{left}.\n")
    }
}

/// That the connection broke, and that the place is held.
pub(crate) fn away(reason: &Disconnect, rank: u32, left: Duration) -> String {
    let (seconds, told) = (seconds(left), reason.to_string());
    if matches!(reason, Disconnect::Bye { .. }) {
        return format!(
            "the server stops and holds rank {rank} for its next start; trying for {seconds} s"
        );
    }
    let reason = one_line(&told);
    format!("connection lost, holding rank {rank} for {seconds} s ({reason})")
}

/// That the connection is back.
pub(crate) fn resumed(kept: Resumed, rank: u32, after: Duration) -> String {
    let seconds = seconds(after);
    match kept {
        Resumed::Lines => format!("back after {seconds} s, nothing lost"),
        Resumed::Rank => format!("back after {seconds} s at rank {rank}, what was open is lost"),
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().round() as u64
}

/// Why a command was sent to no target, and what would work. Asks the server whether this client
/// ranks lowest, if that may be the reason.
pub(crate) fn refusal(error: &RequestError, client: &Client) -> String {
    let said = error.to_string();
    let said = one_line(&said);
    match error.code() {
        Some(Code::NoTarget) if is_lowest(client) => {
            "no target: you rank lowest: no client is below you to execute it".into()
        }
        Some(Code::NoTarget) => format!("no target: {said}"),
        Some(Code::Outranked) => format!("outranked: {said}"),
        Some(Code::Forbidden) => format!("forbidden: {said}"),
        Some(Code::Busy) => format!("busy: {said}; try again later"),
        Some(Code::AuditUnavailable) => format!("not taken: {said}; try again later"),
        Some(Code::ShuttingDown) => format!("not taken: {said}"),
        _ if matches!(error, RequestError::Lost) => {
            "lost: the server went before it answered; the command may have run".into()
        }
        _ => format!("not sent: {said}"),
    }
}

fn is_lowest(client: &Client) -> bool {
    // It may not be told its rank when that changes.
    let lowest = client
        .members(0, 1)
        .and_then(|page| client.members(page.total.saturating_sub(1), 1));
    lowest.is_ok_and(|page| page.members.iter().any(|m| m.member == client.member()))
}

/// What is shown when a command arrives to be executed here.
pub(crate) fn received(job: &Job) -> String {
    format!(
        "\n[Processing]......\n[Received] received command {} from server:\n",
        words(job.words())
    )
}

/// One line of what runs here.
pub(crate) fn job(job: &Job) -> String {
    let origin = job.origin();
    format!(
        "  {} from {} (rank {}), since {}\n",
        words(job.words()),
        one_line(&origin.name),
        origin.rank,
        ago(job.received().elapsed())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(status: Status) -> Outcome {
        crate::output::testing::outcome("web1", status, None)
    }

    #[test]
    fn outcomes_on_one_line() {
        let done = Outcome {
            exit_code: Some(0),
            elapsed: Some(Duration::from_millis(3)),
            ..sample(Status::Done)
        };
        assert_eq!(outcome(&done), "[web1, rank 1] done, exit code 0 (3 ms)");
        let left = |ended, running| {
            outcome(&Outcome {
                leftovers: Leftovers { ended, running },
                ..done.clone()
            })
        };
        assert_eq!(
            left(1, 0),
            "[web1, rank 1] done, exit code 0, 1 process it left behind was ended (3 ms)"
        );
        assert_eq!(
            left(2, 1),
            "[web1, rank 1] done, exit code 0, 2 processes it left behind were ended, \
             1 process of it cannot be ended and still runs (3 ms)"
        );
        let killed = Outcome {
            signal: Some("SIGKILL".into()),
            elapsed: Some(Duration::from_secs(5)),
            truncated: true,
            ..sample(Status::TimedOut)
        };
        assert_eq!(
            outcome(&killed),
            "[web1, rank 1] timed out, ended by SIGKILL (5.0 s), its output was cut"
        );
        assert_eq!(
            outcome(&sample(Status::TimedOut)),
            "[web1, rank 1] timed out: it never started"
        );
        let unknown = Outcome {
            member: None,
            rank: None,
            message: Some("no client here has this name".into()),
            ..sample(Status::Absent)
        };
        let line = "[web1] absent: no client here has this name";
        assert_eq!(outcome(&unknown), line);
        let unknown = Outcome {
            rank: Some(7),
            name: None,
            ..unknown
        };
        assert!(outcome(&unknown).starts_with("[rank 7] absent: "));
        for status in Status::ALL {
            let line = outcome(&sample(status));
            let word = status.name().replace('_', " ");
            assert!(
                line.starts_with(&format!("[web1, rank 1] {word}")),
                "{line}"
            );
        }
    }

    #[test]
    fn text_of_other_clients_cannot_steer_the_terminal() {
        let hostile = Outcome {
            name: Some("a\x1b[2J".into()),
            message: Some("x\r\ny\x1b]0;t\x07".into()),
            ..sample(Status::Refused)
        };
        assert_eq!(
            outcome(&hostile),
            "[a\\x1b[2J, rank 1] refused: x\\r\\ny\\x1b]0;t\\x07"
        );
        assert_eq!(Style::default().output(b"a\x1b[2Jb\nc"), "a\\x1b[2Jb\nc\n");
        assert_eq!(words(&["a\nb".into(), "c".into()]), "a\\nb c");
    }

    #[test]
    fn many_words_are_shown_in_part() {
        let shown =
            |list: &[&str]| words(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        let exactly = "x".repeat(LONGEST_WORDS);
        assert_eq!(shown(&[&exactly]), exactly);
        assert_eq!(shown(&["", "a", ""]), " a ");
        for long in [
            &["a"; 100_000][..],
            &[&"\u{e4}".repeat(100_000)],
            &["a", &exactly, "b"],
            &["\n"; 400],
            &[&exactly, ""],
        ] {
            let shown = shown(long);
            assert!(shown.ends_with('…'), "{shown}");
            assert!((LONGEST_WORDS..LONGEST_WORDS + 4).contains(&shown.len()));
        }
    }

    #[test]
    fn durations_are_short() {
        for (ms, shown) in [
            (3, "3 ms"),
            (1500, "1.5 s"),
            (59_000, "59 s"),
            (600_000, "10 min"),
            (10_800_000, "3 h"),
            (259_200_000, "3 d"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), shown);
        }
    }
}
