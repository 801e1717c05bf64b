//! `:gather on`: what several targets wrote alike is shown once, under their names, when all have ended.
//!
//! All that is held has a bound. Past it the longest output of a target that runs is shown at once, and so
//! is what still comes of it: nothing is lost.

use crate::output::grouped::Groups;
use crate::output::live::is_remarkable;
use crate::output::node_set::fold;
use crate::output::render::{self, Style};
use crate::output::report::Piece;
use client::{Outcome, OutputStream};
use common::terminal::escape::one_line;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Bytes that are gathered of one command: 16 KiB of each of 1,000 targets, more than a user reads.
const MOST: usize = 16 << 20;

/// Bytes that are shown in one piece: a piece waits until there is room for it.
const PIECE: usize = 16 << 10;

/// Gathers what comes of one command.
#[derive(Default)]
pub(super) struct Gather {
    held: usize,
    /// By number, the targets that have not ended.
    running: HashMap<u64, Gathered>,
    stdout: Groups,
    stderr: Groups,
    /// The names, by how the command ended there, if there is more to say than the tally does.
    endings: BTreeMap<String, Vec<String>>,
    passed_on: HashSet<u64>,
}

/// What a target has written so far.
#[derive(Default)]
struct Gathered {
    name: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Output that is not gathered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) member: u64,
    pub(super) name: String,
    pub(super) stream: OutputStream,
    pub(super) bytes: Vec<u8>,
}

impl Gather {
    /// Takes output; returns what is to be shown at once.
    pub(super) fn output(&mut self, piece: &Piece<'_>) -> Vec<Passed> {
        self.output_within(piece, MOST)
    }

    fn output_within(&mut self, piece: &Piece<'_>, most: usize) -> Vec<Passed> {
        let name = one_line(piece.name).into_owned();
        if self.passed_on.contains(&piece.member) {
            return vec![Passed {
                member: piece.member,
                name,
                stream: piece.stream,
                bytes: piece.bytes.to_vec(),
            }];
        }
        let gathered = self.running.entry(piece.member).or_default();
        gathered.name = name;
        match piece.stream {
            OutputStream::Stdout => gathered.stdout.extend_from_slice(piece.bytes),
            OutputStream::Stderr => gathered.stderr.extend_from_slice(piece.bytes),
        }
        self.held += piece.bytes.len();
        let mut passed = Vec::new();
        while self.held > most && self.pass_on(&mut passed) {}
        passed
    }

    /// Gives up the longest output of a target that runs; returns whether there was any.
    fn pass_on(&mut self, passed: &mut Vec<Passed>) -> bool {
        let longest = self.running.iter().max_by_key(|(_, it)| it.bytes());
        let Some((&member, _)) = longest else {
            return false;
        };
        let gathered = self.running.remove(&member).unwrap_or_default();
        self.held -= gathered.bytes();
        self.passed_on.insert(member);
        let streams = [
            (OutputStream::Stdout, gathered.stdout),
            (OutputStream::Stderr, gathered.stderr),
        ];
        passed.extend(streams.map(|(stream, bytes)| Passed {
            member,
            name: gathered.name.clone(),
            stream,
            bytes,
        }));
        true
    }

    /// A target has ended.
    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        let name = one_line(&outcome.target()).into_owned();
        let mut gathered = match outcome.member {
            Some(member) => self.running.remove(&member).unwrap_or_default(),
            None => Gathered::default(),
        };
        self.held -= gathered.bytes();
        gathered.stdout.extend_from_slice(&outcome.stdout);
        gathered.stderr.extend_from_slice(&outcome.stderr);
        self.put(gathered, &name);
        if is_remarkable(outcome) {
            let names = self.endings.entry(render::ending(outcome)).or_default();
            names.push(name);
        }
    }

    fn put(&mut self, gathered: Gathered, name: &str) {
        self.held += self.stdout.put(gathered.stdout, name);
        self.held += self.stderr.put(gathered.stderr, name);
    }

    /// What is to be shown at the end, piece by piece. `command` stands in front of each header, if the
    /// command is to be named.
    pub(super) fn finish(mut self, command: &str, style: Style) -> Vec<String> {
        // After the loss of the server, output is left that no outcome has ended.
        for gathered in std::mem::take(&mut self.running).into_values() {
            let name = gathered.name.clone();
            self.put(gathered, &name);
        }
        let mut pieces = Vec::new();
        let streams = [(self.stdout, ""), (self.stderr, ", standard error")];
        for (groups, stream) in streams {
            for group in groups.sorted() {
                let header = format!("{command}{} ({}){stream}:", group.folded, group.count);
                pieces.push(style.line(&header));
                pieces.extend(in_pieces(&style.output_of_others(&group.output)));
            }
        }
        for (how, names) in self.endings {
            let folded = fold(names.iter().map(String::as_str), usize::MAX);
            pieces.push(style.line(&format!("{command}{folded}: {how}")));
        }
        pieces
    }
}

impl Gathered {
    fn bytes(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }
}

/// The text in pieces of whole lines.
fn in_pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match pieces.last_mut() {
            Some(piece) if piece.len() + line.len() <= PIECE => piece.push_str(line),
            _ => pieces.push(line.to_owned()),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing;
    use client::Status;

    fn piece<'a>(member: u64, name: &'a str, text: &'a str) -> Piece<'a> {
        Piece {
            member,
            name,
            rank: 1,
            stream: OutputStream::Stdout,
            bytes: text.as_bytes(),
        }
    }

    fn end(gather: &mut Gather, member: u64, name: &str, exit_code: i64) {
        let mut outcome = testing::outcome(name, Status::Done, Some(exit_code));
        outcome.member = Some(member);
        gather.outcome(&outcome);
    }

    #[test]
    fn equal_outputs_are_shown_once_and_the_most_frequent_one_first() {
        let mut gather = Gather::default();
        let names = ["web1", "web2", "web3", "web4"];
        for (member, (name, text)) in (1..).zip(names.into_iter().zip(["b\n", "a", "a", ""])) {
            assert_eq!(gather.output(&piece(member, name, text)), []);
        }
        for (member, name) in (1..).zip(names) {
            end(&mut gather, member, name, i64::from(name == "web4"));
        }
        assert_eq!(gather.held, 3);
        let shown = gather.finish("x: ", Style::default()).concat();
        let expected = "x: web[2-3] (2):\na\nx: web1 (1):\nb\nx: web4: done, exit code 1\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn past_what_is_held_the_longest_output_comes_at_once() {
        let mut gather = Gather::default();
        let mut output = |member, text| gather.output_within(&piece(member, "web1", text), 10);
        assert_eq!(output(1, "12345678"), []);
        let passed = output(2, "abc");
        let first = passed.iter().find(|it| !it.bytes.is_empty()).expect("some");
        assert_eq!((first.member, &*first.bytes), (1, &b"12345678"[..]));
        // What still comes of it is not gathered.
        assert_eq!(output(1, "9")[0].bytes, b"9");
        assert_eq!(gather.held, 3);
        end(&mut gather, 1, "web1", 0);
        end(&mut gather, 2, "web2", 0);
        assert_eq!(
            gather.finish("", Style::default()).concat(),
            "web2 (1):\nabc\n"
        );
    }

    #[test]
    fn long_outputs_come_in_pieces_of_whole_lines() {
        let text = "0123456789\n".repeat(10_000);
        let pieces = in_pieces(&text);
        assert_eq!(pieces.concat(), text);
        let is_whole = |piece: &String| piece.ends_with('\n') && piece.len() <= PIECE;
        assert!(pieces.len() == 7 && pieces.iter().all(is_whole));
    }
}
