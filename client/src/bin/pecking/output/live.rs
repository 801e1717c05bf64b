//! Output as it comes: the bytes of one target, or the lines of several with their names. What is
//! said about a target goes to standard error.

use crate::exit_code::ExitCode;
use crate::output::prefix::{LONGEST_LINE, NamedLines, Source, WholeLines};
use crate::output::render;
use crate::output::report::{Piece, Report, Sink};
use crate::output::screen::Screen;
use client::{Leftovers, Outcome, OutputStream};
use std::io;

/// Output of a run is told apart by its targets alone.
const SEND: u64 = 0;

/// Prints output as it comes.
#[derive(Default)]
pub(crate) struct Live {
    /// The lines of several targets, if there are several.
    lines: Option<NamedLines>,
}

impl Sink for Live {
    fn take(&mut self, report: &Report<'_>, screen: &mut Screen) -> io::Result<()> {
        match report {
            Report::Accepted(accepted) if accepted.targets > 1 => self.name_lines(screen),
            Report::Accepted(_)
            | Report::Started { .. }
            | Report::Target(_)
            | Report::Skipped(_) => {}
            Report::Batch(batch) => {
                screen.flush()?;
                screen.note(&batch.text());
            }
            Report::Output(piece) => self.write(piece, screen)?,
            Report::Outcome(outcome) => {
                self.finish(outcome.member, screen)?;
                // Unless it is as it should be.
                if is_remarkable(outcome) {
                    screen.flush()?;
                    screen.say(&render::outcome(outcome));
                }
            }
            Report::Error(problem) => {
                self.finish(None, screen)?;
                screen.say(&problem.message);
            }
            // After the loss of the server, lines are left that no outcome has ended.
            Report::Summary(summary, ..) => {
                self.finish(None, screen)?;
                summary.say(screen)?;
            }
        }
        Ok(())
    }
}

impl Live {
    /// From now on each line has the name of its target in front.
    pub(crate) fn name_lines(&mut self, screen: &Screen) {
        let lines = || NamedLines::new(LONGEST_LINE, screen.looks());
        self.lines.get_or_insert_with(lines);
    }

    /// Ends the unfinished lines of a target, or of all.
    pub(crate) fn finish(&mut self, member: Option<u64>, screen: &mut Screen) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            let whole = lines.finish(SEND, member);
            write_whole(&whole, screen)?;
        }
        screen.finish()
    }

    pub(crate) fn write(&mut self, piece: &Piece<'_>, screen: &mut Screen) -> io::Result<()> {
        let Some(lines) = &mut self.lines else {
            return screen.write(piece.stream, piece.bytes);
        };
        let whole = lines.add(Source::of(SEND, piece), piece.name, piece.bytes);
        write_whole(&whole, screen)
    }
}

/// Whether there is more to say of an outcome than that all went well.
pub(crate) fn is_remarkable(outcome: &Outcome) -> bool {
    let has_left = outcome.leftovers != Leftovers::default();
    ExitCode::of_outcome(outcome) != ExitCode::Done || outcome.truncated || has_left
}

fn write_whole(whole: &WholeLines, screen: &mut Screen) -> io::Result<()> {
    screen.write_own(OutputStream::Stderr, &whole.stderr)?;
    screen.write_own(OutputStream::Stdout, &whole.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::report::Accepted;
    use crate::output::screen::testing::TestScreen;
    use crate::output::stream::Look;
    use crate::output::testing::outcome;
    use client::Status;

    /// What one run to so many targets prints of these outputs and exit codes.
    fn printed(targets: u32, ends: &[(&str, &[u8], i64)], is_terminal: bool) -> TestScreen {
        let mut test = TestScreen::new(Look {
            is_escaped: is_terminal,
            is_coloured: false,
        });
        let mut live = Live::default();
        let mut take = |report: Report<'_>| {
            let taken = live.take(&report, &mut test.screen);
            taken.expect("memory");
        };
        take(Report::Accepted(Accepted {
            words: &[],
            to: None,
            has_input: false,
            run: None,
            targets,
        }));
        for (name, stdout, code) in ends {
            let mut ended = outcome(name, Status::Done, Some(*code));
            ended.member = Some(name.len() as u64);
            ended.stdout = stdout.to_vec();
            ended.stderr = b"e\n".to_vec();
            for piece in Piece::rest(&ended) {
                take(Report::Output(piece));
            }
            take(Report::Outcome(&ended));
        }
        test
    }

    #[test]
    fn one_targets_bytes_pass_exactly() {
        let test = printed(1, &[("a", b"\xff\x00 no newline", 0)], false);
        assert_eq!(test.stdout(), b"\xff\x00 no newline");
        assert_eq!(test.stderr(), "e\n");
    }

    #[test]
    fn several_targets_lines_are_named() {
        let test = printed(2, &[("a", b"x\ny", 0), ("bb", b"z\n", 3)], false);
        assert_eq!(test.stdout(), b"a: x\na: y\nbb: z\n");
        let said = "a: e\nbb: e\n[bb, rank 1] done, exit code 3\n";
        assert_eq!(test.stderr(), said);
    }

    #[test]
    fn a_terminal_gets_whole_characters_and_no_controls() {
        let mut test = TestScreen::new(Look {
            is_escaped: true,
            is_coloured: false,
        });
        for piece in [&b"a\x1b[2J\xc3"[..], b"\xa4\xff\xe6\x97", b"\xa5\n\xe6"] {
            let written = test.screen.write(OutputStream::Stdout, piece);
            written.expect("memory");
        }
        test.screen.finish().expect("memory");
        let shown = String::from_utf8(test.stdout()).expect("text");
        assert_eq!(shown, "a\\x1b[2Jä\u{fffd}日\n\u{fffd}");
    }
}
