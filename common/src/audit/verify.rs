//! Whether the lines of a log are those that were written: each links to the one before.

use super::chain::{Head, Link, begins_a_log};
use super::hash::Hash;
use crate::terminal::escape::{one_line, path_line};
use rustix::fs::{Mode, OFlags};
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a line that is read: four times the longest that a server takes.
const LONGEST: u64 = 64 << 20;

/// What stands in files that hold together.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many records.
    pub records: u64,
    /// The number of the first one; what came before it is not in these files.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// The hash of the last one: to be noted elsewhere by a reader that wants to know later that
    /// nothing up to there was changed.
    pub hash: Hash,
    /// How many records follow the one with the hash that was noted, if there is one.
    pub following: Option<u64>,
    /// Lines that were left unfinished, as their program was killed.
    pub unfinished: Vec<Place>,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.to_string_lossy();
        write!(f, "{}:{}", one_line(&file), self.line)
    }
}

/// Why files do not hold together, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The first line that does not fit.
    #[error("{place}: {what}")]
    Broken {
        /// The line.
        place: Place,
        /// What does not fit.
        what: Misfit,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", path_line(.file))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A folder, a device or a FIFO.
    #[error("{} is no regular file", path_line(.0))]
    NoFile(PathBuf),
    /// A file has lines, and none of them is a record or the beginning of one.
    #[error("{} is no audit log: it has no record", path_line(.0))]
    NoLog(PathBuf),
    /// A file is given again, perhaps by another path.
    #[error("{} is given twice; name each file of the log once", path_line(.0))]
    Twice(PathBuf),
}

/// What does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The link.
    #[error(
        "its prev does not fit the line before it: one of the two was changed, or a line between \
         them is missing or was moved"
    )]
    Prev,
    /// The number.
    #[error("its seq is {found}, and {expected} would follow")]
    Seq {
        /// That of the line.
        found: u64,
        /// That of a line that follows.
        expected: u64,
    },
    /// Another log begins.
    #[error(
        "another log begins here (seq 1), of this program or of another one: name the files of one \
         log at a time"
    )]
    OtherLog,
    /// The line itself.
    #[error("it is no record of an audit log")]
    NoRecord,
}

/// Looks at files of one log, in the order of their records, and whether a record with a hash that
/// was noted earlier is among them.
///
/// # Errors
/// The first line that does not fit, or a file that cannot be read.
pub fn verify(files: &[PathBuf], noted: Option<Hash>) -> Result<Verified, VerifyError> {
    let mut chain = Chain {
        noted,
        ..Chain::default()
    };
    for file in in_order(files)? {
        chain.file(&file)?;
    }
    chain.end()
}

/// The files in the order of their first records, each of which is a log.
pub(super) fn in_order(files: &[PathBuf]) -> Result<Vec<PathBuf>, VerifyError> {
    let mut known = HashSet::new();
    let with_number = |file: &PathBuf| {
        let mut lines = Lines::of(file)?;
        if !known.insert(lines.identity) {
            return Err(VerifyError::Twice(file.clone()));
        }
        let number = lines.first_number()?;
        Ok((number, file.clone()))
    };
    let mut files = files
        .iter()
        .map(with_number)
        .collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(|(number, _)| *number);
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

fn without_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// The lines of a file.
pub(super) struct Lines {
    file: PathBuf,
    /// Which file that is.
    identity: (u64, u64),
    reader: BufReader<File>,
}

impl Lines {
    pub(super) fn of(file: &Path) -> Result<Lines, VerifyError> {
        // Without NONBLOCK, a FIFO would hold the thread until another process writes to it; and
        // each file is read twice.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = rustix::fs::open(file, flags, Mode::empty());
        let opened = File::from(opened.map_err(|error| unreadable(file, error.into()))?);
        let found = opened.metadata().map_err(|error| unreadable(file, error))?;
        if !found.is_file() {
            return Err(VerifyError::NoFile(file.to_owned()));
        }
        Ok(Lines {
            file: file.to_owned(),
            identity: (found.dev(), found.ino()),
            reader: BufReader::with_capacity(1 << 20, opened),
        })
    }

    /// The number of the record that the file begins with, or the largest one if it begins with
    /// none.
    fn first_number(&mut self) -> Result<u64, VerifyError> {
        let mut line = Vec::new();
        self.next(&mut line)?;
        let mut is_log = begins_a_log(&line);
        let first = Link::of(without_line_end(&line)).map_or(u64::MAX, |link| link.seq);
        while !is_log && self.next(&mut line)? {
            is_log = Link::of(without_line_end(&line)).is_some();
        }
        match is_log {
            true => Ok(first),
            false => Err(VerifyError::NoLog(self.file.clone())),
        }
    }

    /// Reads the next line with its line end; says whether there was one.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, VerifyError> {
        line.clear();
        let mut bounded = self.reader.by_ref().take(LONGEST);
        let read = bounded.read_until(b'\n', line);
        read.map(|read| read > 0)
            .map_err(|error| unreadable(&self.file, error))
    }
}

fn unreadable(file: &Path, error: io::Error) -> VerifyError {
    let file = file.to_owned();
    VerifyError::Unreadable { file, error }
}

/// A chain as far as it was looked at.
#[derive(Default)]
struct Chain {
    last: Option<Head>,
    /// The hash of a record that is looked for.
    noted: Option<Hash>,
    found: Verified,
    /// Lines behind the last record that are none.
    open: Option<Unfinished>,
}

struct Unfinished {
    /// The first of them.
    place: Place,
    /// The hash of the last of them.
    hash: Hash,
    /// It is the end of a file, without a line end: what it should have become may stand at the
    /// beginning of the next file.
    ends_file: bool,
}

impl Chain {
    fn file(&mut self, file: &Path) -> Result<(), VerifyError> {
        let mut lines = Lines::of(file)?;
        let mut line = Vec::new();
        let mut number = 0;
        while lines.next(&mut line)? {
            number += 1;
            let place = Place {
                file: file.to_owned(),
                line: number,
            };
            self.line(&line, place)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], place: Place) -> Result<(), VerifyError> {
        let text = without_line_end(line);
        let ends_file = text.len() == line.len();
        let link = Link::of(text).filter(|_| !ends_file);
        let Some(link) = link else {
            let first = self.open.take().map_or(place, |open| open.place);
            self.open = Some(Unfinished {
                place: first,
                hash: Hash::of(text),
                ends_file,
            });
            return Ok(());
        };
        match self.open.take() {
            Some(open) => self.check_closed_off(&link, open)?,
            None => self.check(&link, &place)?,
        }
        self.found.records += 1;
        if self.last.is_none() {
            self.found.first = link.seq;
        }
        let hash = Hash::of(text);
        self.found.following = match self.found.following {
            Some(following) => Some(following + 1),
            None => (self.noted == Some(hash)).then_some(0),
        };
        self.last = Some(Head {
            seq: link.seq,
            hash,
        });
        Ok(())
    }

    fn check(&self, link: &Link, place: &Place) -> Result<(), VerifyError> {
        let Some(last) = self.last else {
            return Ok(());
        };
        if link.seq == 1 && place.line == 1 && link.prev == Hash::default() {
            return Err(broken(place.clone(), Misfit::OtherLog));
        }
        if link.prev != last.hash {
            return Err(broken(place.clone(), Misfit::Prev));
        }
        if link.seq != last.seq + 1 {
            let what = Misfit::Seq {
                found: link.seq,
                expected: last.seq + 1,
            };
            return Err(broken(place.clone(), what));
        }
        Ok(())
    }

    /// A record behind lines that are none.
    fn check_closed_off(&mut self, link: &Link, open: Unfinished) -> Result<(), VerifyError> {
        let last = self.last.unwrap_or_default();
        let says_so = link.closes_off() && link.prev == open.hash && link.whole == Some(last.hash);
        let goes_on = open.ends_file && link.prev == last.hash;
        let follows = self.last.is_none() || link.seq == last.seq + 1;
        if !((says_so || goes_on) && follows) {
            return Err(broken(open.place, Misfit::NoRecord));
        }
        self.found.unfinished.push(open.place);
        Ok(())
    }

    fn end(mut self) -> Result<Verified, VerifyError> {
        match self.open.take() {
            // It is being written, or its program was killed.
            Some(open) if open.ends_file => self.found.unfinished.push(open.place),
            Some(open) => return Err(broken(open.place, Misfit::NoRecord)),
            None => {}
        }
        let last = self.last.unwrap_or_default();
        (self.found.last, self.found.hash) = (last.seq, last.hash);
        Ok(self.found)
    }
}

fn broken(place: Place, what: Misfit) -> VerifyError {
    VerifyError::Broken { place, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of five records, as lines.
    fn lines() -> Vec<String> {
        let (mut head, mut out) = (Head::default(), Vec::new());
        for n in 0..5 {
            let body = format!(r#"{{"type":"stop","why":"it {n}"}}"#);
            let stamp = "1970-01-01T00:00:00.000Z";
            head.seal(&mut out, stamp, body.as_bytes());
        }
        let text = String::from_utf8(out).expect("text");
        text.split_inclusive('\n').map(ToOwned::to_owned).collect()
    }

    /// What becomes of files with these contents, given in the other order.
    fn verified(contents: &[&str]) -> Result<(u64, usize), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |at: usize| folder.path().join(at.to_string());
        for (at, content) in contents.iter().enumerate() {
            std::fs::write(file(at), content).expect("a file");
        }
        let files: Vec<PathBuf> = (0..contents.len()).rev().map(file).collect();
        let prefix = format!("{}/", folder.path().display());
        verify(&files, None)
            .map(|found| (found.records, found.unfinished.len()))
            .map_err(|e| e.to_string().replace(&prefix, ""))
    }

    #[test]
    fn whole_logs_hold_together_in_several_files_and_from_the_middle() {
        let lines = lines();
        let all = lines.concat();
        assert_eq!(verified(&[&all]), Ok((5, 0)));
        assert_eq!(verified(&[""]), Ok((0, 0)));
        let (one, two) = (lines[..2].concat(), lines[2..].concat());
        assert_eq!(verified(&[&one, &two]), Ok((5, 0)));
        assert_eq!(verified(&[&two]), Ok((3, 0)));
        // A line that is being written.
        assert_eq!(verified(&[&all[..all.len() - 1]]), Ok((4, 1)));
        // One that was begun here and is whole in the next file.
        let begun = one.clone() + &lines[2][..20];
        assert_eq!(verified(&[&begun, &two]), Ok((5, 1)));
    }

    #[test]
    fn a_record_that_was_noted_is_found_with_how_many_follow_it() {
        let lines = lines();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("log");
        std::fs::write(&file, lines.concat()).expect("a file");
        let following = |noted| {
            let found = verify(std::slice::from_ref(&file), noted).expect("it is whole");
            found.following
        };
        for (at, line) in lines.iter().enumerate() {
            let noted = Hash::of(line.trim_end().as_bytes());
            assert_eq!(following(Some(noted)), Some(4 - at as u64));
            assert_eq!(noted.to_string().parse(), Ok(noted));
        }
        assert_eq!(following(Some(Hash::of(b"another line"))), None);
        assert_eq!(following(None), None);
    }

    #[test]
    fn two_logs_in_one_check_are_told_as_such() {
        let lines = lines();
        let error = verified(&[&lines.concat(), &lines[..2].concat()]).expect_err("two logs");
        assert!(
            error.contains(":1: another log begins here (seq 1)"),
            "{error}"
        );
    }

    #[test]
    fn a_file_counts_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let [log, linked] = ["log", "linked"].map(|name| folder.path().join(name));
        std::fs::write(&log, lines().concat()).expect("a file");
        std::fs::hard_link(&log, &linked).expect("a link");
        for second in [&log, &linked, &folder.path().join("./log")] {
            let error = verify(&[log.clone(), second.clone()], None).expect_err("twice");
            assert!(error.to_string().contains("is given twice"), "{error}");
        }
    }

    #[test]
    fn any_flipped_bit_moved_or_missing_line_is_named() {
        let lines = lines();
        let last = lines[..4].concat().len();
        let all = lines.concat();
        for (at, bit) in (0..last).map(|at| (at, at % 8)) {
            let mut flipped = all.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("log");
            std::fs::write(&file, &flipped).expect("a file");
            let Err(VerifyError::Broken { place, .. }) = verify(&[file], None) else {
                panic!("bit {bit} of byte {at} is not noticed");
            };
            let line = all[..at].matches('\n').count() as u64 + 1;
            assert!((line..=line + 1).contains(&place.line), "{at}: {place}");
        }
        let order = |order: &[usize]| order.iter().map(|at| &*lines[*at]).collect::<String>();
        for (changed, line) in [
            (order(&[0, 2, 1, 3, 4]), 2),
            (order(&[0, 1, 3, 4]), 3),
            (order(&[0, 1, 1, 2, 3, 4]), 3),
            (order(&[0, 1, 2, 4, 3]), 4),
        ] {
            let error = verified(&[&changed]).expect_err("it is changed");
            assert!(error.starts_with(&format!("0:{line}: its prev")), "{error}");
        }
        let half = order(&[0, 1]) + &lines[2][..20] + "\n" + &order(&[3, 4]);
        assert_eq!(
            verified(&[&half]),
            Err("0:3: it is no record of an audit log".into())
        );
        for no_log in ["buy milk\n", "buy milk", "\n", "buy\nmilk\n"] {
            let error = verified(&[no_log]).expect_err(no_log);
            assert!(
                error.ends_with("is no audit log: it has no record"),
                "{error}"
            );
        }
        let error = verified(&[&order(&[0, 1]), &order(&[3, 4])]).expect_err("a line is missing");
        assert!(error.starts_with("1:1: its prev"), "{error}");
    }
}
