//! Grouped output: what several targets wrote alike is printed once, under their names, when all have
//! ended. Output past the bound of what is gathered comes at once, as [`Live`] has it.

use crate::output::colour;
use crate::output::diff;
use crate::output::gathering::{Gathering, Group};
use crate::output::live::{Live, is_remarkable};
use crate::output::report::{Piece, Report, Sink};
use crate::output::screen::Screen;
use crate::output::stream::Look;
use anstyle::AnsiColor;
use client::{Leftovers, Outcome, OutputStream, Status};
use std::io;

/// Bytes that are gathered: 50 KiB of each of 5,000 targets, and little beside what else runs where
/// an operator sits. The help names it.
const MOST_GATHERED: usize = 256 << 20;

/// What stands above and below the names, as `clush` and `dshbak` have it.
const RULE: &str = "---------------";

/// Prints what was gathered of all targets, when all have ended.
pub(crate) struct Grouped {
    /// Whether outputs are shown as what differs from the most frequent one.
    is_diff: bool,
    gathering: Gathering,
    targets: u32,
    /// For the targets with more output than is gathered.
    live: Live,
}

impl Sink for Grouped {
    fn take(&mut self, report: &Report<'_>, screen: &mut Screen) -> io::Result<()> {
        match report {
            Report::Accepted(accepted) => {
                self.targets += accepted.targets;
                self.live.name_lines(screen);
            }
            Report::Started { .. } | Report::Target(_) | Report::Skipped(_) => {}
            Report::Batch(batch) => screen.note(&batch.text()),
            Report::Output(piece) => {
                let live = &mut self.live;
                let pass_on = |piece: &Piece<'_>| live.write(piece, screen);
                self.gathering.add(piece, pass_on)?;
            }
            Report::Outcome(outcome) => self.end(outcome, screen)?,
            Report::Error(problem) => screen.say(&problem.message),
            Report::Summary(summary, ..) => {
                self.print(screen)?;
                summary.say(screen)?;
            }
        }
        Ok(())
    }
}

impl Grouped {
    pub(crate) fn new(is_diff: bool) -> Grouped {
        Grouped::holding(MOST_GATHERED, is_diff)
    }

    /// Gathers this many bytes at most.
    fn holding(most: usize, is_diff: bool) -> Grouped {
        Grouped {
            is_diff,
            gathering: Gathering::holding(most),
            targets: 0,
            live: Live::default(),
        }
    }

    fn end(&mut self, outcome: &Outcome, screen: &mut Screen) -> io::Result<()> {
        if let Some(member) = outcome.member
            && !self.gathering.end(member)
        {
            self.live.finish(Some(member), screen)?;
        }
        let is_told = self.targets > 1 && !screen.is_quiet && is_in_summary(outcome);
        if is_remarkable(outcome) && !is_told {
            self.gathering.remark(outcome);
        }
        Ok(())
    }

    fn print(&mut self, screen: &mut Screen) -> io::Result<()> {
        self.live.finish(None, screen)?;
        let gathered = self.gathering.finish();
        for (stream, groups) in &gathered.streams {
            self.print_stream(*stream, groups, screen)?;
            screen.flush()?;
        }
        for line in &gathered.endings {
            screen.say(line);
        }
        Ok(())
    }

    fn print_stream(
        &self,
        stream: OutputStream,
        groups: &[Group],
        screen: &mut Screen,
    ) -> io::Result<()> {
        for (at, group) in groups.iter().enumerate() {
            let (on, off) = header_codes(screen.looks()[stream as usize]);
            let header = group.header(stream);
            let header = format!("{on}{RULE}\n{header}\n{RULE}{off}\n");
            screen.write_own(stream, header.as_bytes())?;
            match at > 0 && self.is_diff {
                true => {
                    let most_frequent = (&*groups[0].folded, &*groups[0].output);
                    let text = diff::unified(most_frequent, (&group.folded, &group.output));
                    diff::write(&text, stream, screen)?;
                }
                false => screen.write(stream, &group.output)?,
            }
            screen.end_line(stream)?;
        }
        Ok(())
    }
}

/// What tells a header from output that looks like one: output is escaped where there are colours.
fn header_codes(look: Look) -> (String, String) {
    match look.is_coloured {
        true => colour::codes(AnsiColor::Cyan),
        false => Default::default(),
    }
}

/// Whether the summary says all that there is to say of an outcome.
fn is_in_summary(outcome: &Outcome) -> bool {
    let has_own_end = match outcome.status {
        Status::Done | Status::TimedOut | Status::Cancelled => true,
        // One that is here has a reason of its own.
        Status::Absent => outcome.member.is_none(),
        _ => false,
    };
    has_own_end && !outcome.truncated && outcome.leftovers == Leftovers::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::output::report::Accepted;
    use crate::output::screen::testing::TestScreen;
    use crate::output::summary::Summary;
    use crate::output::testing::outcome;
    use std::time::{Duration, Instant};

    /// What targets write, in the order in which they write and then end: their names end with
    /// their numbers.
    fn printed(mut grouped: Grouped, pieces: &[(u64, &str)], ends: &[Outcome]) -> TestScreen {
        let mut test = TestScreen::new(Look::default());
        let mut take = |report: &Report<'_>| {
            let taken = grouped.take(report, &mut test.screen);
            taken.expect("memory");
        };
        take(&Report::Accepted(Accepted {
            words: &[],
            to: None,
            has_input: false,
            run: None,
            targets: 9,
        }));
        for (member, text) in pieces {
            let (text, stream) = match text.strip_prefix("E:") {
                Some(text) => (text, OutputStream::Stderr),
                None => (*text, OutputStream::Stdout),
            };
            take(&Report::Output(Piece {
                member: *member,
                name: &format!("web{member}"),
                rank: 1,
                stream,
                bytes: text.as_bytes(),
            }));
        }
        for end in ends {
            take(&Report::Outcome(end));
        }
        take(&Report::Summary(
            &Summary::default(),
            ExitCode::Done,
            Duration::ZERO,
        ));
        test
    }

    fn ended(member: u64, status: Status, code: Option<i64>) -> Outcome {
        Outcome {
            member: Some(member),
            ..outcome(&format!("web{member}"), status, code)
        }
    }

    fn done(members: &[u64]) -> Vec<Outcome> {
        let ends = members.iter().map(|it| ended(*it, Status::Done, Some(0)));
        ends.collect()
    }

    fn text(test: &TestScreen) -> String {
        String::from_utf8(test.stdout()).expect("text")
    }

    #[test]
    fn equal_outputs_stand_once_the_most_frequent_first() {
        let pieces = [
            (9, "b\n"),
            (1, "a"),
            (2, "a\nb"),
            (3, "a\nb"),
            (7, "a\nb"),
            (1, "\nb"),
            (4, "b\n"),
            (5, "E:no\n"),
            (6, ""),
        ];
        let test = printed(Grouped::new(false), &pieces, &done(&[1, 2, 3, 4, 5, 6, 7]));
        let rule = RULE;
        assert_eq!(
            text(&test),
            format!("{rule}\nweb[1-3,7] (4)\n{rule}\na\nb\n{rule}\nweb[4,9] (2)\n{rule}\nb\n")
        );
        let stderr = format!("{rule}\nweb5 (1), standard error\n{rule}\nno\n");
        assert_eq!(test.stderr(), stderr);
    }

    #[test]
    fn a_diff_is_against_the_most_frequent_output() {
        let pieces = [(1, "a\nb\nc\n"), (2, "a\nb\nc\n"), (3, "a\nx\nc\n")];
        let test = printed(Grouped::new(true), &pieces, &done(&[1, 2, 3]));
        let (first, other) = text(&test).split_once("web3 (1)").map_or_else(
            || panic!("{}", text(&test)),
            |(first, other)| (first.to_owned(), other.to_owned()),
        );
        assert!(first.contains("a\nb\nc\n"));
        let expected = "--- web[1-2]\n+++ web3\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n";
        assert!(other.ends_with(expected), "{other}");
    }

    #[test]
    fn what_the_summary_does_not_say_is_said_once_for_all() {
        let mut refused = [1, 2].map(|member| ended(member, Status::Refused, None));
        for outcome in &mut refused {
            outcome.message = Some("only print".into());
        }
        let mut ends = refused.to_vec();
        ends.push(ended(3, Status::Done, Some(3)));
        ends.push(Outcome {
            truncated: true,
            ..ended(4, Status::Done, Some(0))
        });
        // That no client has a name is all that there is to say.
        ends.push(Outcome {
            member: None,
            message: Some("no client here has the name \"web5\"".into()),
            ..outcome("web5", Status::Absent, None)
        });
        ends.push(Outcome {
            message: Some("it has no slots".into()),
            ..ended(6, Status::Absent, None)
        });
        let test = printed(Grouped::new(false), &[], &ends);
        assert_eq!(
            test.stderr(),
            "web6: absent: it has no slots\nweb4: done, exit code 0, its output was cut\n\
             web[1-2]: refused: only print\n"
        );
    }

    #[test]
    fn past_the_bound_the_longest_output_comes_at_once_and_nothing_is_lost() {
        let pieces = [
            (1, "1234\n"),
            (2, "1234567\n"),
            (3, "1\n"),
            (2, "8\n"),
            (4, "12345678901234567890"),
        ];
        let test = printed(Grouped::holding(14, false), &pieces, &done(&[1, 2, 3, 4]));
        let rule = RULE;
        assert_eq!(
            text(&test),
            format!(
                "web2: 1234567\nweb2: 8\nweb4: 12345678901234567890\n\
                 {rule}\nweb1 (1)\n{rule}\n1234\n{rule}\nweb3 (1)\n{rule}\n1\n"
            )
        );
    }

    /// How long a sink takes for 10 KiB of each of a thousand targets, at best.
    fn fastest(sink: impl Fn() -> Box<dyn Sink>) -> Duration {
        let line = [&[b'x'; 79][..], b"\n"].concat();
        let output = line.repeat(128);
        let names: Vec<String> = (0..1000).map(|n| format!("web{n}")).collect();
        let run = || {
            let (mut sink, mut test) = (sink(), TestScreen::new(Look::default()));
            let started = Instant::now();
            let mut take = |report: &Report<'_>| {
                sink.take(report, &mut test.screen).expect("memory");
            };
            take(&Report::Accepted(Accepted {
                words: &[],
                to: None,
                has_input: false,
                run: None,
                targets: 1000,
            }));
            for (member, name) in names.iter().enumerate() {
                let ended = Outcome {
                    member: Some(member as u64),
                    ..outcome(name, Status::Done, Some(0))
                };
                take(&Report::Output(Piece {
                    member: member as u64,
                    name,
                    rank: 1,
                    stream: OutputStream::Stdout,
                    bytes: &output,
                }));
                take(&Report::Outcome(&ended));
            }
            take(&Report::Summary(
                &Summary::default(),
                ExitCode::Done,
                Duration::ZERO,
            ));
            started.elapsed()
        };
        (0..5).map(|_| run()).min().unwrap_or_default()
    }

    #[test]
    fn grouped_output_of_a_thousand_takes_little_more_time_than_live_output() {
        let live = fastest(|| Box::new(Live::default()));
        let grouped = fastest(|| Box::new(Grouped::new(false)));
        assert!(10 * grouped <= 13 * live, "{grouped:?} and {live:?}");
    }
}
