//! The machines that ought to be here, as the operator of the server names them (`--expected`): a file
//! that is read again when it changes. They are told to those that may see them, and nothing else is
//! decided by them: the server takes any client, and no command waits for one.
//!
//! A file that cannot be read or is not right changes nothing: the names that were read before stay.

use crate::clock::wall_ms;
use common::expected::{Expected, MAX_FILE};
use common::sys::fault::Fault;
use common::sys::file_stamp::FileStamp;
use common::sys::position::Position;
use common::sys::sync::{Arc, Mutex, RwLock, lock, read, write};
use common::sys::trusted_file::{self, Distrust};
use common::terminal::escape::{one_line, path_line};
use std::path::{Path, PathBuf};

/// Why a file of expected machines was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    /// The file could not be read, or another user could have written it.
    #[error("{}", .reason.about(.file))]
    Untrusted {
        /// The file, as it was named.
        file: PathBuf,
        /// Why it was not taken; named in the sentence, so it is no source of its own.
        reason: Distrust,
    },
    /// The file does not say which machines are expected.
    #[error("{}{}: {message}", path_line(.file), .position.map_or(String::new(), |at| format!(":{at}")))]
    Invalid {
        /// The file, as it was named.
        file: PathBuf,
        /// Where, if it is one place.
        position: Option<Position>,
        /// What was found and what would be right.
        message: String,
    },
}

/// The machines that a server expects, and the file that they are read from again. Clones share them.
/// `Debug` shows the file, as there may be many.
#[derive(Clone, derive_more::Debug)]
#[debug("ExpectedMachines({:?})", _0.file)]
pub struct ExpectedMachines(Arc<Shared>);

struct Shared {
    file: PathBuf,
    known: RwLock<Arc<Known>>,
    /// What the file was when it was last read.
    seen: Mutex<Option<FileStamp>>,
}

/// What the file said.
pub(crate) struct Known {
    pub(crate) machines: Expected,
    /// When it was read, by the clock on the wall: another time says that they may be others.
    pub(crate) read_ms: u64,
}

impl ExpectedMachines {
    /// Reads a file of names and node sets (`names = ["web[01-20]", "db1"]`). A server reads it again
    /// when it changes.
    ///
    /// # Errors
    /// One sentence that names the file, the place in it, the value and what would be right.
    pub fn load(file: &Path) -> Result<ExpectedMachines, ExpectedError> {
        // Before it is read: what changes meanwhile is a change.
        let seen = FileStamp::of(file);
        let known = Known::load(file)?;
        Ok(ExpectedMachines(Arc::new(Shared {
            file: file.to_owned(),
            known: RwLock::new(Arc::new(known)),
            seen: Mutex::new(Some(seen)),
        })))
    }

    /// What the file said when it was right last.
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&read(&self.0.known))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0.file
    }

    /// Whether the file is not what it was when it was last read. One that could not be read counts as
    /// changed.
    pub(crate) fn has_changed(&self) -> bool {
        Some(FileStamp::of(&self.0.file)) != *lock(&self.0.seen)
    }

    /// Reads the file again, and goes by it if it is right.
    pub(crate) fn reload(&self) -> Result<(), ExpectedError> {
        let seen = FileStamp::of(&self.0.file);
        let known = Known::load(&self.0.file);
        let is_read = !known.as_ref().is_err_and(ExpectedError::is_unread);
        *lock(&self.0.seen) = is_read.then_some(seen);
        let before = std::mem::replace(&mut *write(&self.0.known), Arc::new(known?));
        drop(before);
        Ok(())
    }
}

impl Known {
    fn load(file: &Path) -> Result<Known, ExpectedError> {
        let bytes = trusted_file::read(file, trusted_file::user(), MAX_FILE);
        let bytes = bytes.map_err(|reason| ExpectedError::Untrusted {
            file: file.to_owned(),
            reason,
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let message = "found bytes that are not UTF-8, expected a TOML file in UTF-8";
            Fault::at(error.valid_up_to(), message)
        });
        let machines = text.and_then(Expected::parse).map_err(|fault| {
            let (position, message) = fault.located(&bytes);
            ExpectedError::Invalid {
                file: file.to_owned(),
                position,
                message: one_line(&message).into_owned(),
            }
        })?;
        Ok(Known {
            machines,
            read_ms: wall_ms(),
        })
    }
}

impl ExpectedError {
    /// Whether the file was not read, so that the same one may be taken a moment later.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self, ExpectedError::Untrusted { .. })
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::testing::put_file;

    fn names(expected: &ExpectedMachines) -> String {
        let known = expected.known();
        known.machines.names().collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_file_is_read_again_once_for_each_change_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("expected.toml");
        let replace = |text: &str| put_file(&file, text);
        replace("names = [\"web1\"]");
        let expected = ExpectedMachines::load(&file).expect("it is right");
        assert!(!expected.has_changed());
        replace("names = [\"web[1-2]\"]");
        assert!(expected.has_changed() && expected.reload().is_ok());
        assert_eq!(names(&expected), "web1,web2");
        assert!(!expected.has_changed());
        replace("names = [\"web*\"]");
        assert!(expected.has_changed());
        let error = expected.reload().expect_err("a pattern").to_string();
        assert!(
            error.contains("expected.toml:1:10: \"web*\" is neither"),
            "{error}"
        );
        assert!(!expected.has_changed(), "it is not read over and over");
        std::fs::remove_file(&file).expect("it is there");
        assert!(expected.has_changed() && expected.reload().is_err());
        assert!(expected.has_changed(), "it may be there a moment later");
        assert_eq!(names(&expected), "web1,web2");
        replace("names = []");
        assert!(expected.reload().is_ok() && !expected.has_changed());
        assert_eq!(names(&expected), "");
    }

    #[test]
    fn what_is_no_such_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("e.toml");
        let large = vec![b'#'; MAX_FILE + 1];
        for (bytes, why) in [
            (
                &b"names = [\"a\"]\n# \xff"[..],
                "e.toml:2:3: found bytes that are not UTF-8",
            ),
            (b"names = [\n3]", "e.toml:2:1: invalid type: integer `3`"),
            (b"\"\\u001b\" = 1", "e.toml:1:1: unknown field `\\x1b`"),
            (&large, "has more than 2097152 bytes"),
        ] {
            std::fs::write(&file, bytes).expect("a file");
            let error = ExpectedMachines::load(&file).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
        let error = ExpectedMachines::load(folder.path())
            .expect_err("a folder")
            .to_string();
        assert!(error.contains("is no regular file"), "{error}");
        let error = ExpectedMachines::load(&folder.path().join("none")).expect_err("none");
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
