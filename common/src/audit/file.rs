//! The file of a log: opened under the rules of trusted files, locked against a second writer,
//! opened anew when another one stands at its path, and rotated.

use super::chain::{self, Tail};
use crate::sys::resources::file_size_limit;
use crate::sys::trusted_file::{self, Distrust};
use crate::terminal::escape::path_line;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Digits of the number of a rotated file: with leading zeroes, so that a shell's `FILE.*` has
/// the files in their order.
const DIGITS: usize = 10;

/// How long after a rotation that failed the next one is tried.
const ROTATION_PAUSE: Duration = Duration::from_secs(60);

/// Why a file cannot be a log.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep an audit log in {}: {reason}", path_line(.file))]
pub struct AuditError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// What is wrong; named in the sentence, so it is no source of its own.
    pub reason: NoLog,
}

/// What is wrong with a log's file.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    /// Another user could have written it, or it cannot be opened.
    #[error("{0}")]
    Untrusted(#[from] Distrust),
    /// It has other lines, which nothing is appended to.
    #[error("it is no audit log; give a new file")]
    Other,
    /// It keeps nothing.
    #[error("it is no regular file; give a new file")]
    Special,
    /// Two writers would break the chain.
    #[error("another program writes its log there; give each a file of its own")]
    InUse,
    /// The system does not do what is needed.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// When a file is rotated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// Bytes from which on.
    pub(crate) size: u64,
    /// How many rotated files are kept.
    pub(crate) keep: usize,
}

/// The file that the log is written to.
#[derive(Debug)]
pub(crate) struct LogFile {
    /// As it was named.
    named: PathBuf,
    /// The same without links.
    path: PathBuf,
    /// `None` from when another file stands at the path until that one is open: a file that is
    /// deleted to make room takes its room until it is closed.
    file: Option<Arc<File>>,
    /// Which file that is; `None` for a device or a FIFO, which stay what they are.
    identity: Option<(u64, u64)>,
    size: u64,
    rotation: Rotation,
    no_rotation_until: Option<Instant>,
}

impl LogFile {
    /// Opens or makes it. Also returns where its chain ends: in the file, or, if that is empty,
    /// in the one that was rotated last.
    pub(crate) fn open(named: &Path, rotation: Rotation) -> Result<(LogFile, Tail), NoLog> {
        let named = std::path::absolute(named)?;
        let (file, path) = trusted_file::append(&named, trusted_file::user())?;
        let mut log = LogFile {
            named,
            path,
            identity: None,
            size: 0,
            rotation,
            no_rotation_until: None,
            file: None,
        };
        log.take(file)?;
        let tail = match log.identity {
            None => Tail::default(),
            Some(_) if log.size == 0 => match numbered(&log.path)?.last() {
                Some((_, last)) => chain::tail(&mut File::open(last)?)?,
                None => Tail::default(),
            },
            Some(_) => end_of_log(&log.path)?,
        };
        // What another file ends with needs no line end here.
        let lacks_line_end = tail.lacks_line_end && log.size > 0;
        Ok((
            log,
            Tail {
                lacks_line_end,
                ..tail
            },
        ))
    }

    /// Locks a file, and notes that it is the one.
    fn take(&mut self, file: File) -> Result<(), NoLog> {
        let found = file.metadata()?;
        let identity = found.is_file().then(|| identity(&found));
        if identity.is_some() {
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
            locked.map_err(|error| match error {
                rustix::io::Errno::WOULDBLOCK => NoLog::InUse,
                error => NoLog::System(error.into()),
            })?;
        }
        (self.identity, self.size) = (identity, found.len());
        self.file = Some(Arc::new(file));
        Ok(())
    }

    /// Sees to it that what is written next goes to the file that stands at the path, and not
    /// beyond its size. Says whether that is another file than before.
    pub(crate) fn make_ready(&mut self, may_rotate: bool) -> io::Result<bool> {
        let Some(identity_before) = self.identity else {
            return Ok(false);
        };
        if self.file.is_none() {
            return self.reopen().map(|()| true);
        }
        // As it was named, so that another end of a link counts as well.
        match fs::metadata(&self.named) {
            Ok(found) if identity(&found) == identity_before => self.size = found.len(),
            Ok(_) => return self.reopen().map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.reopen().map(|()| true),
            Err(e) => return Err(e),
        }
        let may_rotate = may_rotate
            && self.size >= self.rotation.size
            && self.no_rotation_until.is_none_or(|at| at <= Instant::now());
        if may_rotate && self.move_away() {
            return self.reopen().map(|()| true);
        }
        Ok(false)
    }

    /// Closes the file, and opens what stands at the path now, or makes it.
    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let (file, path) =
            trusted_file::append(&self.named, trusted_file::user()).map_err(io::Error::other)?;
        self.path = path;
        self.take(file).map_err(io::Error::other)?;
        let mut is_cut = false;
        if self.identity.is_some() && self.size > 0 {
            // What was put there meanwhile may be anything, as at the start.
            let tail = end_of_log(&self.path).inspect_err(|_| self.file = None);
            is_cut = tail.map_err(io::Error::other)?.lacks_line_end;
        }
        log::info!(
            "the audit log goes on in a new file at {}",
            path_line(&self.named)
        );
        if is_cut {
            self.write(b"\n")?;
        }
        Ok(())
    }

    /// Gives the file the next number, and deletes those that are too many. A log that cannot be
    /// rotated goes on as it is.
    fn move_away(&mut self) -> bool {
        match self.try_to_move_away() {
            Ok(()) => true,
            Err(e) => {
                self.no_rotation_until = Some(Instant::now() + ROTATION_PAUSE);
                log::warn!(
                    "the audit log {} cannot be rotated: {e}",
                    path_line(&self.named)
                );
                false
            }
        }
    }

    fn try_to_move_away(&mut self) -> io::Result<()> {
        let earlier = numbered(&self.path)?;
        let number = earlier.last().map_or(1, |(number, _)| number + 1);
        fs::rename(&self.path, with_number(&self.path, number))?;
        let kept_of_these = self.rotation.keep.saturating_sub(1);
        let too_many = earlier.len().saturating_sub(kept_of_these);
        for (_, file) in &earlier[..too_many] {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// Writes some of these lines; says how many bytes.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let lines = match self.identity {
            Some(_) => self.those_that_fit(lines)?,
            None => lines,
        };
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match (&**file).write(lines) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                self.size += written as u64;
                Ok(written)
            }
            Err(e) => Err(e),
        }
    }

    /// The lines that the file may still take: the system ends a program that writes beyond the
    /// size that it allows a file (`RLIMIT_FSIZE`).
    fn those_that_fit<'a>(&self, lines: &'a [u8]) -> io::Result<&'a [u8]> {
        let Some(limit) = file_size_limit() else {
            return Ok(lines);
        };
        let room = usize::try_from(limit.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return Ok(lines);
        }
        match memchr::memrchr(b'\n', &lines[..room]) {
            Some(end) => Ok(&lines[..=end]),
            None => {
                let message = format!("the system allows a file {limit} bytes (ulimit -f)");
                Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
            }
        }
    }

    /// What is to be written to a disk; a device or a FIFO has none.
    pub(crate) fn on_disk(&self) -> Option<&Arc<File>> {
        self.file.as_ref().filter(|_| self.identity.is_some())
    }

    /// Its path, as it was named, for people.
    pub(crate) fn shown(&self) -> String {
        path_line(&self.named)
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The end of a log that is not empty.
fn end_of_log(path: &Path) -> Result<Tail, NoLog> {
    let mut file = File::open(path)?;
    let tail = chain::tail(&mut file)?;
    let mut begin = [0; 64];
    let read = file.read_at(&mut begin, 0)?;
    match tail.is_of_log() || chain::begins_a_log(&begin[..read]) {
        true => Ok(tail),
        false => Err(NoLog::Other),
    }
}

fn with_number(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:0DIGITS$}"));
    name.into()
}

/// The rotated files beside a log, the oldest first, with their numbers.
fn numbered(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let bytes = file_name.as_encoded_bytes();
        let number = bytes
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."))
            .filter(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_digit))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort();
    Ok(found)
}
