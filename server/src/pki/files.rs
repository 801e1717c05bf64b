//! Files of a folder of certificates: new ones overwrite nothing, and go again if a later one cannot
//! be written; a renewed one takes the place of the old one by a rename, so no reader sees half.

use super::error::PkiError;
use common::sys::replace_file::replace_file;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What only the folder's owner may read.
pub(super) const SECRET: u32 = 0o600;

/// What every client is shown anyway.
pub(super) const PUBLIC: u32 = 0o644;

/// Files that belong together: they are removed when this is dropped, unless all were written.
#[derive(Default)]
pub(super) struct Written {
    files: Vec<PathBuf>,
    folder: Option<PathBuf>,
}

impl Written {
    /// Makes a folder that only its owner may look into, unless there is one.
    pub(super) fn folder(&mut self, folder: &Path) -> Result<(), PkiError> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => self.folder = Some(folder.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !folder.is_dir() {
                    return Err(PkiError::NoFolder(folder.to_owned()));
                }
            }
            Err(error) => return Err(unwritable(folder, error)),
        }
        Ok(())
    }

    /// Writes a file that was not there.
    pub(super) fn file(&mut self, file: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
        let mut new = OpenOptions::new();
        let new = new.write(true).create_new(true).mode(mode).open(file);
        let mut new = new.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => PkiError::Exists(file.to_owned()),
            _ => unwritable(file, error),
        })?;
        self.note(file);
        let written = new.write_all(text.as_bytes()).and_then(|()| new.sync_all());
        written.map_err(|error| unwritable(file, error))
    }

    /// Notes a file that was written elsewhere.
    pub(super) fn note(&mut self, file: &Path) {
        self.files.push(file.to_owned());
    }

    /// All were written.
    pub(super) fn keep(mut self) {
        self.files.clear();
        self.folder = None;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Whether something has this path, a link that leads nowhere included.
pub(super) fn exists(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

/// Puts a certificate in the place of another one, with the owner and the mode that it had.
pub(super) fn replace(file: &Path, text: &str) -> Result<(), PkiError> {
    replace_file(file, text.as_bytes()).map_err(|error| unwritable(file, error))
}

fn unwritable(file: &Path, error: io::Error) -> PkiError {
    let file = file.to_owned();
    PkiError::Unwritable { file, error }
}
