//! Which users could have written a file. A policy decides what this machine runs, and a token
//! which clients a server admits, so only two users may have a say in them: the user that runs
//! the program, and root.
//!
//! The path is walked from `/`, link by link. Each step is an entry of a folder that was
//! found safe before it, so no untrusted user can change what the next step finds: that is
//! why plain paths do here, and why the file that is opened in the end is the one that
//! the walk has found. The file itself is checked as it is open, and read from there.
//!
//! It looks at owners and modes alone. A POSIX access list that lets others write shows
//! in the group's bits (`acl(5)`: they are its mask), and is refused with them; the lists
//! of NFSv4 and macOS show nowhere in a mode, and are not looked at. Nor can a mode take
//! back a descriptor that another user opened for writing before.
//!
//! The crate `fs-mistrust` does not replace it: that reads no file with a bound, gives no
//! command that mends a mode, and brings half a dozen crates with it.

use crate::terminal::escape::path_line as shown;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links followed on the way to one file, as many as Linux itself follows.
const MAX_LINKS: usize = 40;

/// The superuser, which may write everything.
pub const ROOT: u32 = 0;

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;

/// Why a file is not trusted, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Another user could have written it, or put something else in its place.
    #[error(
        "the {kind} {} belongs to uid {owner}; it must belong to {}",
        shown(.path),
        owners(*.user)
    )]
    Owner {
        /// What it is.
        kind: Kind,
        /// Its path.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that may own it, besides root.
        user: u32,
    },
    /// More than its owner may write it.
    #[error(
        "the {kind} {0} has mode {mode:04o}, so that {1} may write it; only its owner may (chmod {2} {0})",
        shown(.path),
        writers(*.mode).0,
        writers(*.mode).1
    )]
    Writable {
        /// What it is.
        kind: Kind,
        /// Its path.
        path: PathBuf,
        /// Its mode, without the type.
        mode: u32,
    },
    /// It has a secret, and every user of this machine can read it.
    #[error(
        "the file {0} has mode {mode:04o}, so that every user can read it; what is in it is a \
         secret (chmod o-r {0})",
        shown(.path)
    )]
    Readable {
        /// Its path.
        path: PathBuf,
        /// Its mode, without the type.
        mode: u32,
    },
    /// It is something else than what belongs there.
    #[error("{} is no {expected}", shown(.path))]
    Kind {
        /// Its path.
        path: PathBuf,
        /// What belongs there.
        expected: Kind,
    },
    /// There are more links than any path needs.
    #[error("it takes more than {MAX_LINKS} symbolic links to reach it; name the file itself")]
    Links,
    /// It is larger than any file of its kind.
    #[error("{} has more than {most} bytes, the most that are read", shown(.path))]
    TooLarge {
        /// Its path.
        path: PathBuf,
        /// How many bytes it may have.
        most: usize,
    },
    /// The system does not let this process append to it.
    #[error("{} cannot be written: {error}", shown(.path))]
    Unwritable {
        /// The path that the walk had reached.
        path: PathBuf,
        /// What the system says; named in the sentence, so it is no source of its own.
        error: io::Error,
    },
    /// The system does not let this process read it.
    #[error("{} cannot be read: {error}", shown(.path))]
    Unreadable {
        /// The path that the walk had reached.
        path: PathBuf,
        /// What the system says; named in the sentence, so it is no source of its own.
        error: io::Error,
    },
}

impl Distrust {
    /// The sentence, behind the file as it was named unless the sentence names it.
    pub fn about(&self, file: &Path) -> String {
        let (file, reason) = (shown(file), self.to_string());
        match reason.contains(&file) {
            true => reason,
            false => format!("{file}: {reason}"),
        }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Kind {
    /// A folder on the way.
    #[strum(to_string = "folder")]
    Folder,
    /// A symbolic link on the way.
    #[strum(to_string = "symbolic link")]
    Link,
    /// The file.
    #[strum(to_string = "regular file")]
    File,
    /// A device, a FIFO or a socket.
    #[strum(to_string = "special file")]
    Special,
}

/// The user that this process acts as.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Reads a file of at most so many bytes that only `user` and root could have written. Its
/// bytes are in one place: nothing is copied on the way.
///
/// # Errors
/// Which other user could have written it, or why it cannot be read.
pub fn read(path: &Path, user: u32, most: usize) -> Result<Vec<u8>, Distrust> {
    read_checked(path, user, most, |_, _| Ok(()))
}

/// [`read`], of a file that not every user of this machine may read either.
///
/// # Errors
/// As for `read`, and that every user can read it.
pub fn read_secret(path: &Path, user: u32, most: usize) -> Result<Vec<u8>, Distrust> {
    read_checked(path, user, most, |path, found| {
        let mode = found.mode() & 0o7777;
        match mode & OTHERS_READ {
            0 => Ok(()),
            _ => Err(Distrust::Readable {
                path: path.to_owned(),
                mode,
            }),
        }
    })
}

fn read_checked(
    path: &Path,
    user: u32,
    most: usize,
    check_too: impl FnOnce(&Path, &Metadata) -> Result<(), Distrust>,
) -> Result<Vec<u8>, Distrust> {
    let path = Walk::new(user).to(path)?;
    // Without NONBLOCK, a FIFO would hold the thread until another process writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(&path, flags | OFlags::NOCTTY, Mode::empty());
    let file = File::from(file.map_err(|error| unreadable(&path, error.into()))?);
    let found = file.metadata().map_err(|error| unreadable(&path, error))?;
    if !found.is_file() {
        let expected = Kind::File;
        return Err(Distrust::Kind { path, expected });
    }
    check(Kind::File, &path, &found, user)?;
    check_too(&path, &found)?;
    let mut bytes = Vec::with_capacity(most + 1);
    let mut bounded = file.take(most as u64 + 1);
    let read = bounded.read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&path, error))?;
    match bytes.len() > most {
        true => Err(Distrust::TooLarge { path, most }),
        false => Ok(bytes),
    }
}

/// Opens a file to append to that only `user` and root can write, and creates it, for its owner
/// alone, if it is missing. Returns its path without links as well. A FIFO needs a reader.
///
/// # Errors
/// Which other user could write it, or why it cannot be opened.
pub fn append(path: &Path, user: u32) -> Result<(File, PathBuf), Distrust> {
    let path = Walk::new(user).walk(path, true)?;
    let unwritable = |error| {
        let path = path.clone();
        Distrust::Unwritable { path, error }
    };
    // Without NONBLOCK, a FIFO without a reader would hold the thread.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|error| unwritable(error.into()))?);
    let found = file.metadata().map_err(unwritable)?;
    let kind = match found.is_file() {
        true => Kind::File,
        false => Kind::Special,
    };
    check(kind, &path, &found, user)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND).map_err(|e| unwritable(e.into()))?;
    Ok((file, path))
}

/// What a path is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finds {
    /// What it leads to.
    ThePath,
    /// What is in the folder that it leads to, by names that others choose; or what may be put
    /// there later. So no other user may add anything, not even to a sticky folder.
    WhatIsIn,
}

/// Checks that only `user` and root can change what a path leads to.
///
/// # Errors
/// Which other user can, or why that cannot be told.
pub fn look(path: &Path, user: u32, finds: Finds) -> Result<(), Distrust> {
    let is_searched = finds == Finds::WhatIsIn;
    let (found, path) = match Walk::new(user).to(path) {
        Ok(path) => (path.metadata(), path),
        // Nothing is there, and what is above it was found safe: the folder decides what may be.
        Err(Distrust::Unreadable { path, error })
            if is_searched && error.kind() == io::ErrorKind::NotFound =>
        {
            match path.parent().map(|parent| (parent, parent.metadata())) {
                Some((parent, Ok(found))) => (Ok(found), parent.to_owned()),
                _ => (Err(error), path),
            }
        }
        Err(error) => return Err(error),
    };
    let found = found.map_err(|error| unreadable(&path, error))?;
    let kind = match () {
        () if found.is_dir() => Kind::Folder,
        () if found.is_file() => Kind::File,
        () => Kind::Special,
    };
    check(kind, &path, &found, user)?;
    match kind == Kind::Folder && is_searched {
        true => check_closed(kind, &path, &found),
        false => Ok(()),
    }
}

/// A walk along a path that no untrusted user can redirect.
#[derive(Default)]
struct Walk {
    user: u32,
    /// The place that it has reached: absolute and free of links, so that `..` is the folder above.
    at: PathBuf,
    /// What is still to be walked, the next step last.
    ahead: Vec<OsString>,
    links: usize,
}

impl Walk {
    fn new(user: u32) -> Walk {
        Walk {
            user,
            ..Walk::default()
        }
    }

    /// Walks to a file; returns its path without links.
    fn to(self, path: &Path) -> Result<PathBuf, Distrust> {
        self.walk(path, false)
    }

    /// [`to`](Self::to), or to the place for a file that may be missing.
    fn walk(mut self, path: &Path, may_be_missing: bool) -> Result<PathBuf, Distrust> {
        let absolute = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
        self.put_ahead(&absolute);
        while let Some(step) = self.ahead.pop() {
            match step.as_bytes() {
                b".." => drop(self.at.pop()),
                // The root takes the place of all before it.
                _ => self.at.push(step),
            }
            match self.look() {
                Err(Distrust::Unreadable { error, .. })
                    if may_be_missing
                        && self.ahead.is_empty()
                        && error.kind() == io::ErrorKind::NotFound =>
                {
                    return Ok(self.at);
                }
                looked => looked?,
            }
        }
        Ok(self.at)
    }

    /// Checks the place that it has reached, and follows it if it is a link.
    fn look(&mut self) -> Result<(), Distrust> {
        let at = &self.at;
        let found = at.symlink_metadata().map_err(|e| unreadable(at, e))?;
        if found.is_symlink() {
            check(Kind::Link, at, &found, self.user)?;
            let target = std::fs::read_link(at).map_err(|e| unreadable(at, e))?;
            return self.follow(&target);
        }
        if found.is_dir() {
            return check(Kind::Folder, at, &found, self.user);
        }
        match self.ahead.is_empty() {
            // The file: it is checked once it is open.
            true => Ok(()),
            false => Err(Distrust::Kind {
                path: at.clone(),
                expected: Kind::Folder,
            }),
        }
    }

    fn follow(&mut self, target: &Path) -> Result<(), Distrust> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Distrust::Links);
        }
        self.at.pop();
        self.put_ahead(target);
        Ok(())
    }

    fn put_ahead(&mut self, path: &Path) {
        let steps = path.components().rev();
        let steps = steps.filter(|step| *step != Component::CurDir);
        self.ahead
            .extend(steps.map(|step| step.as_os_str().to_owned()));
    }
}

/// Checks that only `user` and root can change what stands at a path.
fn check(kind: Kind, path: &Path, found: &Metadata, user: u32) -> Result<(), Distrust> {
    // The owner counts even if the mode is strict, as it may be changed by its owner. For a link,
    // and for what lies in a sticky folder, nothing else counts.
    let owner = found.uid();
    if owner != user && owner != ROOT {
        return Err(Distrust::Owner {
            kind,
            path: path.to_owned(),
            owner,
            user,
        });
    }
    match kind {
        // Its mode says nothing: the folder decides. To write to a device is no change of it.
        Kind::Link | Kind::Special => Ok(()),
        // In a sticky folder every user may add an entry, but only the folder's owner, the
        // entry's own and root may remove or replace one.
        Kind::Folder if found.mode() & STICKY != 0 => Ok(()),
        Kind::Folder | Kind::File => check_closed(kind, path, found),
    }
}

/// Checks that only the owner may write.
fn check_closed(kind: Kind, path: &Path, found: &Metadata) -> Result<(), Distrust> {
    let mode = found.mode() & 0o7777;
    match mode & (GROUP_WRITES | OTHERS_WRITE) {
        0 => Ok(()),
        _ => Err(Distrust::Writable {
            kind,
            path: path.to_owned(),
            mode,
        }),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Distrust {
    let path = path.to_owned();
    Distrust::Unreadable { path, error }
}

/// The users that may write besides the owner, and the change of mode that takes that away.
fn writers(mode: u32) -> (&'static str, &'static str) {
    match (mode & GROUP_WRITES != 0, mode & OTHERS_WRITE != 0) {
        (true, false) => ("its group", "g-w"),
        (false, _) => ("every user", "o-w"),
        (true, true) => ("every user", "go-w"),
    }
}

fn owners(user: u32) -> String {
    match user {
        ROOT => "root, which runs this program".into(),
        user => format!("uid {user}, which runs this program, or to root"),
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
