//! What several targets write, gathered until all have ended, so that equal outputs stand once.
//!
//! What has ended is kept once for each distinct output. All that is held has a bound: past it, the
//! longest output of a target that runs is passed on, and so is what still comes of that target.
//! Nothing is lost.

use crate::output::node_set::fold;
use crate::output::render;
use crate::output::report::Piece;
use client::{Outcome, OutputStream};
use common::terminal::escape::one_line;
use std::collections::{BTreeMap, HashMap, HashSet};

const STREAMS: [OutputStream; 2] = [OutputStream::Stdout, OutputStream::Stderr];

/// Gathers what the targets of one command write.
pub(crate) struct Gathering {
    most: usize,
    held: usize,
    /// By number, the targets that have not ended.
    running: HashMap<u64, Gathered>,
    /// Of each stream.
    groups: [Groups; 2],
    /// By how it ended, the names.
    endings: BTreeMap<String, Vec<String>>,
    passed_on: HashSet<u64>,
}

/// What a target has written so far.
struct Gathered {
    name: String,
    rank: u32,
    /// To each stream.
    written: [Vec<u8>; 2],
}

/// The names of the targets, by what they wrote.
#[derive(Default)]
struct Groups(HashMap<Vec<u8>, Vec<String>>);

/// A distinct output, and the targets that wrote it.
pub(crate) struct Group {
    pub(crate) output: Vec<u8>,
    pub(crate) folded: String,
    count: usize,
}

/// All that was gathered.
pub(crate) struct AllGathered {
    /// Of each stream, the distinct outputs, the most frequent one first.
    pub(crate) streams: [(OutputStream, Vec<Group>); 2],
    /// What was noted of ends, a line for each.
    pub(crate) endings: Vec<String>,
}

impl Gathering {
    /// Gathers this many bytes at most.
    pub(crate) fn holding(most: usize) -> Gathering {
        Gathering {
            most,
            held: 0,
            running: HashMap::new(),
            groups: Default::default(),
            endings: BTreeMap::new(),
            passed_on: HashSet::new(),
        }
    }

    /// Takes output; `pass_on` is given what is not gathered.
    pub(crate) fn add<E>(
        &mut self,
        piece: &Piece<'_>,
        mut pass_on: impl FnMut(&Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.passed_on.contains(&piece.member) {
            return pass_on(piece);
        }
        let gathered = self.running.entry(piece.member);
        let gathered = gathered.or_insert_with(|| Gathered {
            name: piece.name.to_owned(),
            rank: piece.rank,
            written: Default::default(),
        });
        gathered.written[piece.stream as usize].extend_from_slice(piece.bytes);
        self.held += piece.bytes.len();
        while self.held > self.most
            && let Some((member, gathered)) = self.take_longest()
        {
            for (stream, bytes) in STREAMS.into_iter().zip(&gathered.written) {
                pass_on(&Piece {
                    member,
                    name: &gathered.name,
                    rank: gathered.rank,
                    stream,
                    bytes,
                })?;
            }
        }
        Ok(())
    }

    /// Takes out the longest output of a target that runs, which is gathered no more.
    fn take_longest(&mut self) -> Option<(u64, Gathered)> {
        let longest = self.running.iter().max_by_key(|(_, it)| it.bytes());
        let (member, _) = longest.filter(|(_, it)| it.bytes() > 0)?;
        let member = *member;
        let gathered = self.running.remove(&member)?;
        self.held -= gathered.bytes();
        self.passed_on.insert(member);
        Some((member, gathered))
    }

    /// A target has ended; returns whether its output is gathered.
    pub(crate) fn end(&mut self, member: u64) -> bool {
        let gathered = self.running.remove(&member);
        let is_gathered = gathered.is_some();
        gathered.into_iter().for_each(|it| self.put(it));
        is_gathered
    }

    /// Notes how it ended at a target.
    pub(crate) fn remark(&mut self, outcome: &Outcome) {
        let names = self.endings.entry(render::ending(outcome)).or_default();
        names.push(one_line(&outcome.target()).into_owned());
    }

    /// All that was gathered; from now on there is nothing.
    pub(crate) fn finish(&mut self) -> AllGathered {
        // After the loss of the server, output is left that no outcome has ended.
        for gathered in std::mem::take(&mut self.running).into_values() {
            self.put(gathered);
        }
        self.held = 0;
        let endings = std::mem::take(&mut self.endings).into_iter();
        let endings = endings.map(|(how, names)| {
            let folded = fold(names.iter().map(String::as_str), usize::MAX);
            format!("{folded}: {how}")
        });
        AllGathered {
            streams: STREAMS.map(|stream| {
                let groups = std::mem::take(&mut self.groups[stream as usize]);
                (stream, groups.sorted())
            }),
            endings: endings.collect(),
        }
    }

    /// Adds what a target wrote to the groups.
    fn put(&mut self, gathered: Gathered) {
        let (all, name) = (gathered.bytes(), one_line(&gathered.name));
        let streams = self.groups.iter_mut().zip(gathered.written);
        let new: usize = streams
            .map(|(groups, written)| groups.put(written, &name))
            .sum();
        self.held -= all - new;
    }
}

impl Gathered {
    fn bytes(&self) -> usize {
        self.written.iter().map(Vec::len).sum()
    }
}

impl Group {
    /// What stands over it: the targets, how many these are, and what they wrote it to.
    pub(crate) fn header(&self, stream: OutputStream) -> String {
        let of_stderr = match stream {
            OutputStream::Stdout => "",
            OutputStream::Stderr => ", standard error",
        };
        format!("{} ({}){of_stderr}", self.folded, self.count)
    }
}

impl Groups {
    /// Adds a target; returns how many bytes are kept for it.
    fn put(&mut self, mut output: Vec<u8>, name: &str) -> usize {
        if output.is_empty() {
            return 0;
        }
        if let Some(names) = self.0.get_mut(&output) {
            names.push(name.to_owned());
            return 0;
        }
        output.shrink_to_fit();
        let bytes = output.len();
        self.0.insert(output, vec![name.to_owned()]);
        bytes
    }

    /// The groups, the most frequent output first, and then by names.
    fn sorted(self) -> Vec<Group> {
        let groups = self.0.into_iter().map(|(output, names)| Group {
            output,
            folded: fold(names.iter().map(String::as_str), usize::MAX),
            count: names.len(),
        });
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.folded.cmp(&b.folded)));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Adds output of a target, and returns what was passed on.
    fn add(gathering: &mut Gathering, member: u64, text: &str) -> Vec<(u64, String)> {
        let mut passed = Vec::new();
        let piece = Piece {
            member,
            name: &format!("web{member}"),
            rank: 1,
            stream: OutputStream::Stdout,
            bytes: text.as_bytes(),
        };
        let Ok(()) = gathering.add(&piece, |piece| {
            if !piece.bytes.is_empty() {
                let text = String::from_utf8_lossy(piece.bytes);
                passed.push((piece.member, text.into_owned()));
            }
            Ok::<_, Infallible>(())
        });
        passed
    }

    fn outputs(gathering: &mut Gathering) -> Vec<(String, String)> {
        let [(_, stdout), _] = gathering.finish().streams;
        let text = |group: &Group| String::from_utf8_lossy(&group.output).into_owned();
        let outputs = stdout.iter().map(|it| (it.folded.clone(), text(it)));
        outputs.collect()
    }

    #[test]
    fn what_has_ended_is_kept_once() {
        let mut gathering = Gathering::holding(25);
        for member in 0..100 {
            assert_eq!(add(&mut gathering, member, "0123456789"), []);
            assert!(gathering.end(member));
            assert_eq!(gathering.held, 10);
        }
        assert_eq!(
            outputs(&mut gathering),
            [("web[0-99]".to_owned(), "0123456789".to_owned())]
        );
    }

    #[test]
    fn past_what_is_held_the_longest_output_of_a_target_that_runs_is_passed_on() {
        let mut gathering = Gathering::holding(10);
        assert_eq!(add(&mut gathering, 1, "12345678"), []);
        assert_eq!(add(&mut gathering, 2, "abc"), [(1, "12345678".to_owned())]);
        // What still comes of it is not gathered.
        assert_eq!(add(&mut gathering, 1, "9"), [(1, "9".to_owned())]);
        assert!(!gathering.end(1) && gathering.end(2));
        assert_eq!(gathering.held, 3);
        // What has ended stays, and leaves less for the others.
        assert_eq!(
            add(&mut gathering, 3, "01234567"),
            [(3, "01234567".to_owned())]
        );
        assert_eq!(
            outputs(&mut gathering),
            [("web2".to_owned(), "abc".to_owned())]
        );
    }
}
