//! The state file: opened under the rules of trusted files, locked against a second server, read as far
//! as it can be read, appended to, and now and then written anew as a whole.
//!
//! A whole file is written beside the one that it replaces and then renamed, so one that is there is
//! never half of one. What is appended may be cut by a power failure; then the last line is no line.

use super::record::{Line, MAX_LINE, Replay, VERSION, first_line};
use common::sys::resources::file_size_limit;
use common::sys::trusted_file::{self, Distrust, Finds};
use common::terminal::escape::path_line;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How often a file is opened that another server replaces in the same moment.
const MOST_TRIES: usize = 10;

/// A file that is shorter is not worth to be written anew.
const SHORT: u64 = 64 << 10;

/// A longer one is written anew once it is so many times as long as it then would be: so each byte
/// is written little more than once.
const GROWS_TO: u64 = 4;

const OTHERS_READ: u32 = 0o004;

/// Why a file cannot have the state of a server.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the state of this server in {}: {reason}", path_line(.file))]
pub struct StateError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// What is wrong; named in the sentence, so it is no source of its own.
    pub reason: NoState,
}

/// What is wrong with a state file.
#[derive(Debug, thiserror::Error)]
pub enum NoState {
    /// Another user could have written it or can read it, or it cannot be opened.
    #[error("{0}")]
    Untrusted(#[from] Distrust),
    /// It has something else in it.
    #[error("it is no state file of pecking-server; give one, or a file that is not there yet")]
    Foreign,
    /// A later version of this program has written it.
    #[error(
        "it is of version {0} of state files, from a newer pecking-server; this one knows version \
         {VERSION}"
    )]
    Newer(u64),
    /// It keeps nothing.
    #[error("it is no regular file; give a file that is not there yet")]
    Special,
    /// Two servers would mix up their places.
    #[error("another server has its state there; give each a file of its own")]
    InUse,
    /// A new file cannot be put in its place.
    #[error("its folder must be writable, as it is replaced there now and then: {0}")]
    Folder(io::Error),
    /// The system does not do what is needed.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl NoState {
    pub(super) fn of(self, file: &Path) -> StateError {
        StateError {
            file: file.to_owned(),
            reason: self,
        }
    }
}

/// The file of a server that runs.
#[derive(Debug)]
pub(super) struct StateFile {
    /// Without links.
    path: PathBuf,
    /// It has the lock.
    file: File,
    /// Bytes of whole lines; behind them there may be a part of one that did not fit.
    length: u64,
    has_rest: bool,
    /// Bytes that it had when it was written anew.
    whole: u64,
}

/// Checks that a server could keep its state in a file, as far as that can be told without a change.
///
/// # Errors
/// What is wrong with the file.
pub fn check(named: &Path) -> Result<(), StateError> {
    look(named).map_err(|reason| reason.of(named))
}

fn look(named: &Path) -> Result<(), NoState> {
    match fs::metadata(named) {
        // A new one is made.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        _ => trusted_file::look(named, trusted_file::user(), Finds::ThePath)?,
    }
    let found = fs::metadata(named)?;
    check_mode(named, &found)?;
    Replay::read(BufReader::new(File::open(named)?))?;
    Ok(())
}

fn check_mode(path: &Path, found: &Metadata) -> Result<(), NoState> {
    let (path, mode) = (path.to_owned(), found.mode() & 0o7777);
    match mode & OTHERS_READ {
        _ if !found.is_file() => Err(NoState::Special),
        0 => Ok(()),
        _ => Err(Distrust::Readable { path, mode }.into()),
    }
}

impl StateFile {
    /// Opens it, or makes it for its owner alone, and reads it. Nothing in it is changed.
    pub(super) fn open(named: &Path) -> Result<(StateFile, Replay), NoState> {
        for _ in 0..MOST_TRIES {
            let (file, path) = trusted_file::append(named, trusted_file::user())?;
            let found = file.metadata()?;
            check_mode(&path, &found)?;
            lock(&file)?;
            // Else another server has replaced it before it gave up the lock.
            if is_there(&path, &found)? != Some(true) {
                continue;
            }
            let replay = Replay::read(BufReader::new(File::open(&path)?))?;
            let file = StateFile {
                path,
                file,
                length: found.len(),
                has_rest: replay.is_cut,
                whole: 0,
            };
            return Ok((file, replay));
        }
        Err(NoState::InUse)
    }

    /// Whether it has grown so long that it is to be written anew.
    pub(super) fn is_long(&self) -> bool {
        self.length > SHORT.max(self.whole.saturating_mul(GROWS_TO))
    }

    /// Appends lines. If that fails, none of them is in it.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.check_place()?;
        if self.has_rest {
            self.file.set_len(self.length)?;
            self.has_rest = false;
        }
        fits(self.length, lines)?;
        self.has_rest = true;
        self.file.write_all(lines)?;
        self.has_rest = false;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Has the system write it to its disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Puts a whole one in its place; when this returns, the disk has it.
    pub(super) fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        match self.check_place() {
            // It was deleted.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            checked => checked?,
        }
        fits(0, text)?;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let replaced = self.write_beside(&beside, text);
        if replaced.is_err() {
            let _ = fs::remove_file(&beside);
        }
        replaced
    }

    fn write_beside(&mut self, beside: &Path, text: &[u8]) -> io::Result<()> {
        // What a server left that was killed here.
        match fs::remove_file(beside) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        let mut file = options.open(beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        // Before it has its place, so that no other server finds it without.
        file.try_lock()?;
        fs::rename(beside, &self.path)?;
        self.file = file;
        self.length = text.len() as u64;
        self.whole = self.length;
        self.has_rest = false;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// Checks that it still is what stands at its path.
    fn check_place(&self) -> io::Result<()> {
        match is_there(&self.path, &self.file.metadata()?)? {
            Some(true) => Ok(()),
            None => Err(ErrorKind::NotFound.into()),
            Some(false) => Err(io::Error::other("another file stands in its place")),
        }
    }
}

impl Replay {
    /// Reads a file, as far as it can be read.
    pub(super) fn read(mut from: impl BufRead) -> Result<Replay, NoState> {
        let mut replay = Replay::default();
        let mut line = Vec::new();
        if !replay.next_line(&mut from, &mut line)? {
            return Ok(replay);
        }
        if !replay.is_cut || !first_line().starts_with(&line) {
            match Line::read(&line) {
                Some(Line::Version(VERSION)) => {}
                Some(Line::Version(version)) if version > VERSION => {
                    return Err(NoState::Newer(version));
                }
                _ => return Err(NoState::Foreign),
            }
        }
        while replay.next_line(&mut from, &mut line)? {
            match Line::read(&line) {
                // The end may lack some digits.
                Some(known) if !replay.is_cut => replay.take(known),
                _ => replay.unreadable += u64::from(!replay.is_cut),
            }
        }
        Ok(replay)
    }

    /// The next line, or as much of it as is more than any line has. `false`: there is none.
    fn next_line(&mut self, from: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, NoState> {
        line.clear();
        let mut bounded = from.by_ref().take(MAX_LINE as u64 + 1);
        let read = bounded.read_until(b'\n', line)?;
        let has_end = line.pop_if(|last| *last == b'\n').is_some();
        if !has_end && read > MAX_LINE {
            let skipped = from.skip_until(b'\n')?;
            self.is_cut = skipped == 0;
            return Ok(true);
        }
        if read > 0 {
            self.is_cut = !has_end;
        }
        Ok(read > 0)
    }
}

/// Whether a file is what stands at a path; `None`: nothing is.
fn is_there(path: &Path, file: &Metadata) -> io::Result<Option<bool>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()) == (file.dev(), file.ino()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn lock(file: &File) -> Result<(), NoState> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => NoState::InUse,
        TryLockError::Error(error) => NoState::System(error),
    })
}

/// Checks that the system lets a file of this length grow by a text: it ends a program that tries to
/// write more.
fn fits(length: u64, text: &[u8]) -> io::Result<()> {
    match file_size_limit() {
        Some(limit) if length.saturating_add(text.len() as u64) > limit => {
            let message = format!("the system allows a file {limit} bytes (ulimit -f)");
            Err(io::Error::new(ErrorKind::FileTooLarge, message))
        }
        _ => Ok(()),
    }
}
