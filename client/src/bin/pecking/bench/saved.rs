//! `--save` and `--against`: a run in a file. An error in either is known before anything
//! runs.

use super::figures::{FORMAT, Figures};
use crate::failure::Failure;
use common::terminal::escape::{one_line, path_line};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a file that is read: a hundred times those of a run.
const MOST_BYTES: u64 = 128 << 10;

/// A file that a run is written to. What was there before stays if the run never comes, and what was
/// made goes.
pub(super) struct SaveFile {
    path: PathBuf,
    file: File,
    /// Nothing was there before, and nothing is written yet.
    is_left_over: bool,
}

impl SaveFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn create(path: &Path) -> Result<SaveFile, Failure> {
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).open(path);
        let (file, is_left_over) = match made {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path), false)
            }
            made => (made, true),
        };
        let file = file.map_err(|why| {
            let path = path_line(path);
            Failure::Usage(format!("--save: cannot write {path}: {why}"))
        })?;
        Ok(SaveFile {
            path: path.to_owned(),
            file,
            is_left_over,
        })
    }

    /// Writes a run in place of what was there.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(super) fn write(mut self, text: &str) -> Result<(), String> {
        self.is_left_over = false;
        let written = self.replace(text);
        written.map_err(|why| format!("--save: cannot write {}: {why}", path_line(&self.path)))
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        // A device or a pipe has nothing to be emptied.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for SaveFile {
    fn drop(&mut self) {
        if self.is_left_over {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads a run.
///
/// # Errors
/// It cannot be read, or is none.
pub(super) fn read(path: &Path) -> Result<Figures, Failure> {
    let wrong = |why: &str| {
        let path = path_line(path);
        Failure::Usage(format!("--against: {path}: {why}"))
    };
    let mut text = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
    file.map_err(|why| wrong(&format!("cannot read it: {why}")))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(wrong(&format!(
            "it has more than {MOST_BYTES} bytes; `pecking bench --save` writes fewer"
        )));
    }
    parse(&text).map_err(|why| wrong(&why))
}

fn parse(text: &[u8]) -> Result<Figures, String> {
    /// What is looked at before the rest.
    #[derive(serde::Deserialize)]
    struct Shape {
        format: Option<String>,
    }
    let told = |e: serde_json::Error| match e.is_eof() {
        true => "it is cut: the end of the JSON is missing".to_owned(),
        false => format!(
            "it is no run that `pecking bench --save` has written: {}",
            one_line(&e.to_string())
        ),
    };
    let shape: Shape = serde_json::from_slice(text).map_err(told)?;
    match shape.format.as_deref() {
        Some(FORMAT) => serde_json::from_slice(text).map_err(told),
        other => Err(format!(
            "its \"format\" is {}, and not \"{FORMAT}\" as `pecking bench --save` writes it",
            other.map_or("missing".into(), |other| format!("\"{}\"", one_line(other)))
        )),
    }
}
