//! The files that a user keeps for this program, in the user's folder for settings (XDG Base
//! Directory Specification): groups of clients, and the machines that are expected.
//!
//! A user without such a folder, or without the file, has none of them, which is no error here.

use common::expected::MAX_FILE;
use common::sys::fault::Fault;
use common::terminal::escape::path_line;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Bytes of a file of names.
pub(crate) const MOST_BYTES: u64 = MAX_FILE as u64;

/// Where a file of settings is, if the user has a folder for such.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    Some(
        folder("XDG_CONFIG_HOME", ".config")?
            .join("pecking")
            .join(name),
    )
}

/// A folder of the user: the one that this variable of the environment names, else the one of this name
/// in the user's home. What is not absolute counts for nothing.
pub(crate) fn folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(in_home)))
}

/// Reads a file of settings, if it is there. The error names the file, and the line if the text is wrong.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    read_by(path, |text| {
        toml::from_str(text).map_err(|error| Fault::of_toml(&error, &[]))
    })
}

/// The same, with how its text is read.
pub(crate) fn read_by<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Fault>,
) -> Result<Option<T>, String> {
    let text = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.and_then(text),
    };
    let text = text.map_err(|e| format!("cannot read {}: {e}", path_line(path)))?;
    let settings = parse(&text).map_err(|fault| told(path, &text, fault))?;
    Ok(Some(settings))
}

/// The whole text of a file of names.
pub(crate) fn text(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        let why = format!("it has more than {MOST_BYTES} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

fn told(path: &Path, text: &str, fault: Fault) -> String {
    let path = path_line(path);
    match fault.located(text.as_bytes()) {
        (Some(position), why) => format!("{path}, line {}: {why}", position.line),
        (None, why) => format!("{path}: {why}"),
    }
}
