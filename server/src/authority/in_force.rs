//! The rules in force, and the file that they are read from again when it has changed.
//!
//! A file that cannot be read or is not right changes nothing: the rules that are in force stay. One that
//! could not be read counts as changed, as what was revoked in it must not be lost.
//! A rename puts a whole file in the place of another one, so half of one is read only if an
//! editor writes in place; then it is not right, or read again, as its time of change is newer.

use super::{AuthError, Rules};
use common::sys::file_stamp::FileStamp;
use common::sys::sync::{Arc, Mutex, RwLock, lock, read, write};
use std::path::{Path, PathBuf};

/// The rules that a server goes by. Clones share them. `Debug` shows where they are from, as they
/// may be long.
#[derive(Clone, derive_more::Debug)]
#[debug("Authority({:?})", _0.file)]
pub struct Authority(Arc<Shared>);

struct Shared {
    rules: RwLock<Arc<Rules>>,
    file: Option<PathBuf>,
    /// What the file was when it was last read.
    seen: Mutex<Option<FileStamp>>,
}

impl Authority {
    /// Takes the rules from an auth file. A server reads it again when it changes.
    ///
    /// # Errors
    /// As for [`Rules::load`].
    pub fn load(file: &Path) -> Result<Authority, AuthError> {
        // Before it is read: what changes meanwhile is a change.
        let seen = FileStamp::of(file);
        let rules = Rules::load(file)?;
        Ok(Authority(Arc::new(Shared {
            rules: RwLock::new(Arc::new(rules)),
            file: Some(file.to_owned()),
            seen: Mutex::new(Some(seen)),
        })))
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&read(&self.0.rules))
    }

    /// The file, if the rules came from one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Whether the file is not what it was when it was last read.
    pub(crate) fn has_changed(&self) -> bool {
        let file = self.0.file.as_deref();
        file.is_some_and(|file| Some(FileStamp::of(file)) != *lock(&self.0.seen))
    }

    /// Reads the file again, and has its rules in force if they are right. Then calls `apply` with
    /// what was wrong with it. The file counts as changed until that has returned; if it was not even
    /// read, until it is.
    pub(crate) fn reload(&self, apply: impl FnOnce(Option<&AuthError>)) {
        self.reload_by(Rules::load, apply);
    }

    fn reload_by(
        &self,
        load: impl FnOnce(&Path) -> Result<Rules, AuthError>,
        apply: impl FnOnce(Option<&AuthError>),
    ) {
        let Some(file) = &self.0.file else {
            return;
        };
        let seen = FileStamp::of(file);
        *lock(&self.0.seen) = None;
        let error = load(file).map(|rules| self.put(rules)).err();
        apply(error.as_ref());
        if !error.as_ref().is_some_and(AuthError::is_unread) {
            *lock(&self.0.seen) = Some(seen);
        }
    }

    /// Has these rules in force.
    pub(crate) fn put(&self, rules: Rules) {
        let before = std::mem::replace(&mut *write(&self.0.rules), Arc::new(rules));
        drop(before);
    }
}

/// Rules that no file changes.
impl From<Rules> for Authority {
    fn from(rules: Rules) -> Authority {
        Authority(Arc::new(Shared {
            rules: RwLock::new(Arc::new(rules)),
            file: None,
            seen: Mutex::new(None),
        }))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::testing::put_file;
    use common::sys::trusted_file::Distrust;
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const RIGHT: &str = "version = 1\n[roles.a]\n";

    /// What was wrong with the file.
    fn reload(authority: &Authority) -> Option<String> {
        let mut wrong = None;
        authority.reload(|error| wrong = error.map(ToString::to_string));
        wrong
    }

    #[test]
    fn a_file_is_read_again_once_for_each_change_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("auth.toml");
        let replace = |text: &str| put_file(&file, text);
        replace(RIGHT);
        let authority = Authority::load(&file).expect("it is right");
        assert!(!authority.has_changed());
        replace("version = 1\n[roles.b]\n");
        assert!(authority.has_changed());
        assert_eq!(reload(&authority), None);
        assert_eq!(authority.rules().role_names(), "b");
        assert!(!authority.has_changed());
        replace("version = 1\n[roles.");
        assert!(authority.has_changed() && reload(&authority).is_some());
        assert!(!authority.has_changed(), "it is not read over and over");
        std::fs::remove_file(&file).expect("it is there");
        assert!(authority.has_changed() && reload(&authority).is_some());
        assert_eq!(authority.rules().role_names(), "b");
        replace(RIGHT);
        assert!(authority.has_changed() && reload(&authority).is_none());
        assert_eq!(authority.rules().role_names(), "a");
    }

    fn unread(file: &Path, number: i32) -> AuthError {
        let reason = Distrust::Unreadable {
            path: file.to_owned(),
            error: io::Error::from_raw_os_error(number),
        };
        let file = file.to_owned();
        AuthError::Untrusted { file, reason }
    }

    #[test]
    fn a_file_that_could_not_be_read_or_applied_counts_as_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("auth.toml");
        std::fs::write(&file, "version = 1\n[roles.old]\n").expect("a file");
        let authority = Authority::load(&file).expect("it is right");
        std::fs::write(&file, RIGHT).expect("a file");
        // EMFILE, EIO and ESTALE of Linux.
        for number in [24, 5, 116] {
            authority.reload_by(|file| Err(unread(file, number)), |_| {});
            assert!(authority.has_changed(), "{number}");
        }
        let panics = |reload: &dyn Fn()| {
            assert!(catch_unwind(AssertUnwindSafe(reload)).is_err());
            assert!(authority.has_changed());
        };
        panics(&|| authority.reload_by(|_| panic!("a test asked for this panic"), |_| {}));
        assert_eq!(authority.rules().role_names(), "old");
        panics(&|| authority.reload(|_| panic!("a test asked for this panic")));
        assert_eq!(reload(&authority), None);
        assert_eq!(authority.rules().role_names(), "a");
        assert!(!authority.has_changed());
    }
}
