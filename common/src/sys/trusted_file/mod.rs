//! Which users could have written a file. A policy decides what this machine runs, and a token
//! which clients a server admits, so only two users may have a say in them: the user that runs
//! the program, and root.
//!
//! The path is walked from `/`, link by link. Each step is an entry of a folder that was
//! found safe before it, so nobody untrusted can change what the next step finds: that is
//! why plain paths do here, and why the file that is opened in the end is the one that
//! the walk has found. The file itself is checked as it is open, and read from there.
//!
//! It looks at owners and modes alone. A POSIX access list that lets others write shows
//! in the group's bits (`acl(5)`: they are its mask), and is refused with them; the lists
//! of NFSv4 and macOS show nowhere in a mode, and are not looked at. Nor can a mode take
//! back a descriptor that somebody opened for writing while they still could.

use crate::terminal::escape::one_line;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links followed on the way to one file, as many as Linux itself follows.
const MAX_LINKS: usize = 40;

/// The superuser: who may write everything has a say in any case.
pub const ROOT: u32 = 0;

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Why a file is not trusted, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Somebody else could have written it, or put something else in its place.
    #[error(
        "the {kind} {} belongs to uid {owner}; it must belong to {}",
        shown(.path),
        who(*.user)
    )]
    Owner {
        /// What it is.
        kind: Kind,
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it may be, besides root's.
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
        /// Where it is.
        path: PathBuf,
        /// Its mode, without the type.
        mode: u32,
    },
    /// It is something else than what belongs there.
    #[error("{} is no {expected}", shown(.path))]
    Kind {
        /// Where it is.
        path: PathBuf,
        /// What belongs there.
        expected: Kind,
    },
    /// There are more links than anybody needs.
    #[error("it takes more than {MAX_LINKS} symbolic links to reach it; name the file itself")]
    Links,
    /// It is larger than any file of its kind.
    #[error("{} has more than {most} bytes, the most that are read", shown(.path))]
    TooLarge {
        /// Where it is.
        path: PathBuf,
        /// How many bytes it may have.
        most: usize,
    },
    /// The system does not let us.
    #[error("{} cannot be read: {error}", shown(.path))]
    Unreadable {
        /// Where it stopped.
        path: PathBuf,
        /// What the system says; named in the sentence, so it is no source of its own.
        error: io::Error,
    },
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder on the way.
    Folder,
    /// A symbolic link on the way.
    Link,
    /// The file.
    File,
    /// A device, a FIFO or a socket.
    Special,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Folder => "folder",
            Kind::Link => "symbolic link",
            Kind::File => "regular file",
            Kind::Special => "special file",
        })
    }
}

/// The user that this process acts as.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Reads a file of at most so many bytes that only `user` and root could have written. Its
/// bytes are in one place: nothing is copied on the way.
///
/// # Errors
/// Which other user has a say in it, or why it cannot be read.
pub fn read(path: &Path, user: u32, most: usize) -> Result<Vec<u8>, Distrust> {
    let path = Walk::new(user).to(path)?;
    let unreadable = |error| Distrust::Unreadable {
        path: path.clone(),
        error,
    };
    // Without NONBLOCK, a FIFO would hold us until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(&path, flags | OFlags::NOCTTY, Mode::empty());
    let file = File::from(file.map_err(|error| unreadable(error.into()))?);
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        let expected = Kind::File;
        return Err(Distrust::Kind { path, expected });
    }
    check(Kind::File, &path, &found, user)?;
    let mut bytes = Vec::with_capacity(most + 1);
    let mut bounded = file.take(most as u64 + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > most {
        return Err(Distrust::TooLarge { path, most });
    }
    Ok(bytes)
}

/// What a path is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finds {
    /// What it leads to.
    ThePath,
    /// What is in the folder that it leads to, by names that others choose; or what may be put
    /// there later. So no other user may add anything, and a sticky folder is none to search.
    WhatIsIn,
}

/// Looks whether only `user` and root can change what a path leads to.
///
/// # Errors
/// Which other user can, or why that cannot be told.
pub fn look(path: &Path, user: u32, finds: Finds) -> Result<(), Distrust> {
    let walk = Walk::new(user).to(path);
    let (path, found) = match walk.map(|path| (path.metadata(), path)) {
        Ok((Ok(found), path)) => (path, found),
        Ok((Err(error), path)) => return Err(Distrust::Unreadable { path, error }),
        Err(Distrust::Unreadable { path, error }) if error.kind() == io::ErrorKind::NotFound => {
            return addition(path, user, error, finds);
        }
        Err(error) => return Err(error),
    };
    match (found.is_dir(), found.is_file()) {
        (true, _) if finds == Finds::WhatIsIn => check_searched(&path, &found, user),
        (true, _) => check(Kind::Folder, &path, &found, user),
        (_, true) => check(Kind::File, &path, &found, user),
        _ => check(Kind::Special, &path, &found, user),
    }
}

/// Whether only `user` and root can put something where nothing is; what is above it was found
/// safe.
fn addition(path: PathBuf, user: u32, error: io::Error, finds: Finds) -> Result<(), Distrust> {
    let parent = path.parent().map(|parent| (parent, parent.metadata()));
    match parent {
        Some((parent, Ok(found))) if finds == Finds::WhatIsIn => {
            check_searched(parent, &found, user)
        }
        _ => Err(Distrust::Unreadable { path, error }),
    }
}

/// [`check`] for a folder to which no other user may add anything.
fn check_searched(path: &Path, found: &Metadata, user: u32) -> Result<(), Distrust> {
    check(Kind::Folder, path, found, user)?;
    let mode = found.mode() & 0o7777;
    match mode & (GROUP_WRITES | OTHERS_WRITE) {
        0 => Ok(()),
        _ => Err(Distrust::Writable {
            kind: Kind::Folder,
            path: path.to_owned(),
            mode,
        }),
    }
}

/// A way through the file system that no untrusted person can bend.
struct Walk {
    user: u32,
    /// Where it is: absolute and free of links, so that `..` is the folder above.
    at: PathBuf,
    /// What is still to be walked, the next step last.
    ahead: Vec<Step>,
    links: usize,
}

enum Step {
    Root,
    Up,
    Into(OsString),
}

impl Walk {
    fn new(user: u32) -> Walk {
        Walk {
            user,
            at: PathBuf::from("/"),
            ahead: Vec::new(),
            links: 0,
        }
    }

    /// Walks to a file; returns its path without links.
    fn to(mut self, path: &Path) -> Result<PathBuf, Distrust> {
        let absolute = std::path::absolute(path).map_err(|error| Distrust::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        self.put_ahead(&absolute);
        while let Some(step) = self.ahead.pop() {
            match step {
                Step::Root => self.at = PathBuf::from("/"),
                Step::Up => drop(self.at.pop()),
                Step::Into(name) => self.at.push(name),
            }
            self.look()?;
        }
        Ok(self.at)
    }

    /// Looks at where it has come to, and follows it if it is a link.
    fn look(&mut self) -> Result<(), Distrust> {
        let unreadable = |error| Distrust::Unreadable {
            path: self.at.clone(),
            error,
        };
        let found = self.at.symlink_metadata().map_err(unreadable)?;
        if found.is_symlink() {
            check(Kind::Link, &self.at, &found, self.user)?;
            let target = std::fs::read_link(&self.at).map_err(unreadable)?;
            return self.follow(&target);
        }
        if found.is_dir() {
            return check(Kind::Folder, &self.at, &found, self.user);
        }
        match self.ahead.is_empty() {
            // The file: it is checked once it is open.
            true => Ok(()),
            false => Err(Distrust::Kind {
                path: self.at.clone(),
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
        let steps = path.components().rev().filter_map(|part| match part {
            Component::RootDir => Some(Step::Root),
            Component::ParentDir => Some(Step::Up),
            Component::Normal(name) => Some(Step::Into(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(steps);
    }
}

/// Whether only `user` and root can change what stands at a path.
fn check(kind: Kind, path: &Path, found: &Metadata, user: u32) -> Result<(), Distrust> {
    let path = || path.to_owned();
    // Whose a thing is matters even where its mode is strict: its owner may change that.
    // For a link, and for what lies in a sticky folder, it is all that matters.
    let owner = found.uid();
    if owner != user && owner != ROOT {
        return Err(Distrust::Owner {
            kind,
            path: path(),
            owner,
            user,
        });
    }
    let mode = found.mode() & 0o7777;
    let open_to_others = mode & (GROUP_WRITES | OTHERS_WRITE) != 0;
    let is_safe = match kind {
        // Its mode says nothing; the folder it lies in decides. To write to a device is no change
        // of it.
        Kind::Link | Kind::Special => true,
        // In a sticky folder everybody may add what is new, but only its owner, the
        // entry's own and root may take away or replace what is there.
        Kind::Folder => !open_to_others || mode & STICKY != 0,
        Kind::File => !open_to_others,
    };
    match is_safe {
        true => Ok(()),
        false => Err(Distrust::Writable {
            kind,
            path: path(),
            mode,
        }),
    }
}

/// Who besides the owner may write, and what takes that away.
fn writers(mode: u32) -> (&'static str, &'static str) {
    match (mode & GROUP_WRITES != 0, mode & OTHERS_WRITE != 0) {
        (true, false) => ("its group", "g-w"),
        (false, _) => ("everybody", "o-w"),
        (true, true) => ("everybody", "go-w"),
    }
}

fn who(user: u32) -> String {
    match user {
        ROOT => "root, which runs this program".into(),
        user => format!("uid {user}, which runs this program, or to root"),
    }
}

/// A path on one line, whatever is in it.
fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

#[cfg(all(test, not(shuttle)))]
mod tests;
