//! Reads what `run --save` wrote: which command it was, and at which targets it did not end with 0.
//!
//! The file may be cut, because the run was killed or the disk was full: what it says of a target
//! counts, and one that was started and has no outcome has failed. Several files of one command,
//! one behind the other, are one file, in which the last word on a target counts.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::node_set::{A_FEW_LINES, fold};
use crate::output::report::Problem;
use crate::run::plan::{Share, list_of};
use common::limits::{MAX_SELECTOR, OUTBOX_BYTES};
use common::terminal::escape::{one_line, path_line};
use common::wire::name::check_name;
use common::wire::text::clip;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes of a line at most: output of the longest line that a server may take, each byte of which may
/// be escaped as six. The summary of a million targets is shorter.
const LONGEST_LINE: u64 = 6 * OUTBOX_BYTES as u64 / 4;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SavedRun {
    pub(crate) words: Vec<String>,
    /// Whether the command had input, which the file does not have.
    pub(crate) has_input: bool,
    /// Of a rolling run: how many targets its batches have.
    pub(crate) batch: Option<Share>,
    /// By name, how it ended there.
    targets: BTreeMap<String, Ended>,
    /// Failed targets that the file does not name.
    unnamed: u32,
}

/// How it ended at a target, as far as the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    WithZero,
    Otherwise,
    /// The file has no outcome: it may have run, or run still.
    Unknown,
}

/// A line, as far as it matters here; `client/JSON.md` describes all of it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Accepted {
        command: Vec<String>,
        targets: u32,
        #[serde(default)]
        stdin: bool,
    },
    Batch {
        targets: u32,
    },
    Started {
        member: u64,
        name: Option<String>,
    },
    Target {
        member: Option<u64>,
        name: Option<String>,
    },
    Outcome {
        member: Option<u64>,
        name: Option<String>,
        status: String,
        exit_code: Option<i64>,
    },
    #[serde(other)]
    Other,
}

impl SavedRun {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is none that `--save` wrote.
    pub(crate) fn read(path: &Path) -> Result<SavedRun, Failure> {
        let read = File::open(path).map_err(|why| format!("cannot read it: {why}"));
        let saved = read.and_then(|file| SavedRun::of(BufReader::new(file), LONGEST_LINE));
        saved.map_err(|why| Failure::Usage(format!("--failed {}: {why}", path_line(path))))
    }

    fn of(mut file: impl BufRead, longest: u64) -> Result<SavedRun, String> {
        let mut reading = Reading::default();
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = (&mut file).take(longest).read_until(b'\n', &mut line);
            if read.map_err(|why: io::Error| format!("cannot read it: {why}"))? == 0 {
                break;
            }
            let has_end = line.last() == Some(&b'\n');
            if line.len() as u64 == longest && !has_end {
                return Err(format!("line {number} has more than {longest} bytes"));
            }
            match serde_json::from_slice(&line) {
                Ok(line) => reading
                    .take(line)
                    .map_err(|why| format!("line {number}: {why}"))?,
                // It is cut there.
                Err(_) if number > 1 && !has_end => break,
                Err(_) => {
                    let line = String::from_utf8_lossy(line.trim_ascii_end());
                    let line = clip(&line);
                    return Err(format!(
                        "line {number} is none that `pecking run --save` writes: {}",
                        one_line(&line)
                    ));
                }
            }
        }
        reading.finish()
    }

    /// The targets at which it did not end with 0, by name; none if there are none.
    ///
    /// # Errors
    /// Their names do not fit into a selector.
    pub(crate) fn selector(&self) -> Result<Option<String>, Failure> {
        let failed: Vec<&str> = self.failed().collect();
        if failed.is_empty() {
            return match self.unnamed {
                0 => Ok(None),
                _ => Err(Failure::Usage(format!("--failed: {}", self.unnamed_text()))),
            };
        }
        let list = list_of(failed.iter().map(ToString::to_string));
        if list.len() <= MAX_SELECTOR {
            return Ok(Some(list));
        }
        let folded = fold(failed.iter().copied(), usize::MAX);
        match folded.len() <= MAX_SELECTOR {
            true => Ok(Some(folded)),
            false => Err(Failure::Usage(format!(
                "--failed: the names of {} targets are too long for one selector of {MAX_SELECTOR} \
                 bytes",
                failed.len()
            ))),
        }
    }

    /// Says which they are, and what they get.
    pub(crate) fn text(&self) -> String {
        let failed: Vec<&str> = self.failed().collect();
        let folded = fold(failed.iter().copied(), A_FEW_LINES);
        let (all, words) = (self.targets.len(), quoted(&self.words));
        let unknown = self.targets.values().filter(|it| **it == Ended::Unknown);
        let unknown = match unknown.count() {
            0 => String::new(),
            count => format!(" (the file has no outcome of {count}: it may have run there)"),
        };
        format!(
            "again on {} of {all} targets: {folded}: {words}{unknown}",
            failed.len()
        )
    }

    /// What is missing in the file.
    pub(crate) fn problem(&self) -> Option<Problem> {
        (self.unnamed > 0).then(|| Problem {
            error: "incomplete_file",
            message: self.unnamed_text(),
            exit: ExitCode::Failed,
        })
    }

    fn unnamed_text(&self) -> String {
        let (count, plural, again) = match self.unnamed {
            1 => (1, "", "it is"),
            count => (count, "s", "they are"),
        };
        format!(
            "the file does not name {count} target{plural} at which it did not end with 0: {again} \
             not run again"
        )
    }

    fn add_unnamed(&mut self, targets: u32) {
        self.unnamed = self.unnamed.saturating_add(targets);
    }

    fn failed(&self) -> impl Iterator<Item = &str> {
        let failed = self.targets.iter();
        let failed = failed.filter(|(_, ended)| **ended != Ended::WithZero);
        failed.map(|(name, _)| name.as_str())
    }
}

/// A file as far as it was read.
#[derive(Default)]
struct Reading {
    saved: SavedRun,
    is_begun: bool,
    /// Targets that the run at hand has, and outcomes that it told.
    expected: u32,
    told: u32,
    /// The names of targets without an outcome so far, by number.
    open: HashMap<u64, String>,
}

impl Reading {
    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Accepted {
                command,
                targets,
                stdin,
            } => {
                self.saved.has_input = stdin;
                self.begin(command, targets)?;
            }
            Line::Batch { targets } => {
                // The last one may be smaller.
                self.saved.batch.get_or_insert(Share::Count(targets.max(1)));
            }
            Line::Started { member, name } => self.open(Some(member), name)?,
            Line::Target { member, name } => self.open(member, name)?,
            Line::Outcome {
                member,
                name,
                status,
                exit_code,
            } => {
                if let Some(member) = member {
                    self.open.remove(&member);
                }
                self.told = self.told.saturating_add(1);
                let is_done = status == "done" && exit_code == Some(0);
                match name {
                    Some(name) if is_done => self.end(name, Ended::WithZero)?,
                    Some(name) => self.end(name, Ended::Otherwise)?,
                    None => self.saved.add_unnamed(u32::from(!is_done)),
                }
            }
            Line::Other => {}
        }
        Ok(())
    }

    fn begin(&mut self, words: Vec<String>, targets: u32) -> Result<(), String> {
        self.end_run()?;
        if self.is_begun && self.saved.words != words {
            let [first, second] = [&self.saved.words, &words].map(|words| quoted(words));
            return Err(format!(
                "it has runs of several commands, `{first}` and `{second}`; give one of them"
            ));
        }
        self.is_begun = true;
        self.saved.words = words;
        self.expected = targets;
        Ok(())
    }

    fn open(&mut self, member: Option<u64>, name: Option<String>) -> Result<(), String> {
        if let (Some(member), Some(name)) = (member, name) {
            checked(&name)?;
            self.open.insert(member, name);
        }
        Ok(())
    }

    fn end(&mut self, name: String, ended: Ended) -> Result<(), String> {
        checked(&name)?;
        self.saved.targets.insert(name, ended);
        Ok(())
    }

    /// What has no outcome by now gets none.
    fn end_run(&mut self) -> Result<(), String> {
        let open = std::mem::take(&mut self.open);
        let named = self
            .told
            .saturating_add(u32::try_from(open.len()).unwrap_or(u32::MAX));
        self.saved.add_unnamed(self.expected.saturating_sub(named));
        (self.expected, self.told) = (0, 0);
        open.into_values()
            .try_for_each(|name| self.end(name, Ended::Unknown))
    }

    fn finish(mut self) -> Result<SavedRun, String> {
        self.end_run()?;
        match self.is_begun {
            true => Ok(self.saved),
            false => Err(
                "no server took a command in it, so nothing can be run again; \
                          `pecking run --save FILE` writes such files"
                    .into(),
            ),
        }
    }
}

/// Words as a shell takes them.
fn quoted(words: &[String]) -> String {
    let joined = shlex::try_join(words.iter().map(String::as_str));
    // No word with a zero byte was ever sent.
    one_line(&joined.unwrap_or_default()).into_owned()
}

/// A name goes into a selector, where other texts mean more than one target.
fn checked(name: &str) -> Result<(), String> {
    let quoted = || one_line(name).into_owned();
    check_name(name).map_err(|why| format!("\"{}\" is no name of a target: {why}", quoted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = r#"{"type":"accepted","command":["x","y z"],"targets":4}"#;

    fn outcome(name: &str, status: &str, code: i64) -> String {
        format!(
            r#"{{"type":"outcome","name":"{name}","status":"{status}","exit_code":{code},"new":1}}"#
        )
    }

    fn read(lines: &[&str]) -> Result<SavedRun, String> {
        SavedRun::of(lines.join("\n").as_bytes(), LONGEST_LINE)
    }

    #[test]
    fn targets_that_did_not_end_with_0_are_run_again() {
        let lines = [
            ACCEPTED.to_owned(),
            r#"{"type":"new"}"#.into(),
            outcome("web1", "done", 0),
            outcome("web2", "done", 3),
            outcome("web3", "timed_out", 0),
            r#"{"type":"outcome","name":"web4","status":"skipped","truncated":false}"#.into(),
            r#"{"type":"summary","targets":4}"#.into(),
        ];
        let saved = read(&lines.each_ref().map(String::as_str)).expect("a file");
        assert_eq!(
            saved.selector().ok().flatten().as_deref(),
            Some("web2,web3,web4")
        );
        assert_eq!(saved.text(), "again on 3 of 4 targets: web[2-4]: x 'y z'");
        assert!(saved.problem().is_none());
        // The last word counts.
        let again = [
            &lines[..],
            &[ACCEPTED.replace('4', "1"), outcome("web2", "done", 0)],
        ]
        .concat();
        let again: Vec<&str> = again.iter().map(String::as_str).collect();
        let saved = read(&again).expect("a file");
        assert_eq!(
            saved.selector().ok().flatten().as_deref(),
            Some("web3,web4")
        );
    }

    #[test]
    fn a_file_that_is_cut_names_what_has_no_outcome() {
        let started = r#"{"type":"started","member":7,"name":"web7"}"#;
        let target = r#"{"type":"target","member":8,"name":"web8","status":"execute"}"#;
        let cut = r#"{"type":"outcome","mem"#;
        let done = outcome("web1", "done", 0);
        let saved = read(&[ACCEPTED, started, target, &done, cut]).expect("a file");
        assert_eq!(
            saved.text(),
            "again on 2 of 3 targets: web[7-8]: x 'y z' (the file has no outcome of 2: it may have \
             run there)"
        );
        assert_eq!(
            saved.selector().ok().flatten().as_deref(),
            Some("web7,web8")
        );
        assert!(
            saved
                .problem()
                .is_some_and(|it| it.message.contains("does not name 1 target at which")
                    && it.message.ends_with("0: it is not run again"))
        );
        let saved = read(&[ACCEPTED, &done]).expect("a file");
        assert!(matches!(saved.selector(), Err(Failure::Usage(why)) if why.contains("3 targets")));
        let one = ACCEPTED.replace('4', "1");
        let saved = read(&[&one, &outcome("web1", "lost", 1)]).expect("a file");
        assert_eq!(
            saved.selector().ok().flatten().as_deref(),
            Some("web1,web1")
        );
    }

    #[test]
    fn a_file_says_whether_the_run_was_in_batches_and_had_input() {
        let batch = |targets| format!(r#"{{"type":"batch","batch":1,"of":2,"targets":{targets}}}"#);
        let saved = read(&[ACCEPTED, &batch(3), &batch(1)]).expect("a file");
        assert_eq!(
            (saved.batch, saved.has_input),
            (Some(Share::Count(3)), false)
        );
        let with_input = ACCEPTED.replace('}', r#","stdin":true}"#);
        let saved = read(&[&with_input]).expect("a file");
        assert_eq!((saved.batch, saved.has_input), (None, true));
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        let other = ACCEPTED.replace("y z", "w");
        for (lines, expected) in [
            (&[][..], "no server took a command"),
            (
                &[r#"{"type":"error","message":"x"}"#],
                "no server took a command",
            ),
            (
                &["web1: x", ""],
                "line 1 is none that `pecking run --save` writes: web1: x",
            ),
            (&["{}"], "line 1 is none"),
            (&[ACCEPTED, "x", ""], "line 2 is none"),
            (&[ACCEPTED, &other], "several commands, `x 'y z'` and `x w`"),
            (
                &[ACCEPTED, &outcome("web*", "lost", 1)],
                "line 2: \"web*\" is no name",
            ),
            (
                &[ACCEPTED, &outcome("below", "lost", 1)],
                "line 2: \"below\" is no name",
            ),
        ] {
            let error = read(lines).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn counts_and_lines_of_any_length_are_told() {
        let most = ACCEPTED.replace('4', &u32::MAX.to_string());
        let unnamed = r#"{"type":"outcome","status":"absent"}"#;
        let saved = read(&[&most, &most, unnamed]).expect("a file");
        assert_eq!(saved.unnamed, u32::MAX);
        let long = format!(r#"{{"type":"output","text":"{}"}}"#, "x".repeat(100));
        let file = [ACCEPTED, &long, &outcome("web1", "done", 0)].join("\n");
        let error = SavedRun::of(file.as_bytes(), 100).expect_err("too long");
        assert!(error.contains("line 2 has more than 100 bytes"), "{error}");
    }

    #[test]
    fn more_names_than_a_selector_holds_are_folded_or_told() {
        let saved = |name: &dyn Fn(usize) -> String| SavedRun {
            targets: (0..2000).map(|n| (name(n), Ended::Otherwise)).collect(),
            ..SavedRun::default()
        };
        let long = "a".repeat(50);
        let folded = saved(&|n| format!("{long}{n}")).selector().ok().flatten();
        assert_eq!(folded, Some(format!("{long}[0-1999]")));
        let apart = saved(&|n| format!("{}{long}", n.to_string().replace('0', "x").repeat(2)));
        assert!(
            matches!(apart.selector(), Err(Failure::Usage(why)) if why.contains("2000 targets"))
        );
    }
}
