//! Changes of an auth file: a credential is added or taken away, and everything else stays as it
//! was written, comments included. The new text is read as the server would read it before it
//! takes the old one's place by a rename, so a running server never sees half a file.

use super::error::AuthError;
use super::rules::Rules;
use super::token::{self, TokenHash, key_id};
use super::{read_file, values, wall_clock};
use common::sys::replace_file::replace_file;
use common::token::Secret;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, Item, Table, value};

/// A credential to be added.
#[derive(Clone, Debug, Default)]
pub struct NewCredential {
    /// The identity that it proves.
    pub id: String,
    /// The name of its role.
    pub role: String,
    /// The names that its clients may take, and patterns of such.
    pub names: Vec<String>,
    /// The name of its certificate; without one it has a token.
    pub certificate: Option<String>,
    /// The networks that it may be used from.
    pub from: Vec<String>,
    /// How long it counts.
    pub expires_in: Option<Duration>,
    /// How many clients may have joined with it at a time.
    pub connections: Option<u32>,
    /// Whether a new client ends the old one.
    pub replace: bool,
}

impl NewCredential {
    /// Adds it to an auth file. Its token is made, and written to `out`, a file that only its
    /// owner can read; with a certificate there is none. Returns when it ends, if it does.
    ///
    /// # Errors
    /// The auth file would not be right with it, or a file cannot be written; then neither is.
    pub fn add_to(&self, file: &Path, out: Option<&Path>) -> Result<Option<SystemTime>, AuthError> {
        let ends = self
            .expires_in
            .and_then(|left| wall_clock().checked_add(left));
        let expires = self.expires(ends)?;
        let token = match self.certificate {
            Some(_) => None,
            None => Some(token::generate().map_err(|error| {
                AuthError::Change(format!("the system gives no random bytes: {error}"))
            })?),
        };
        let change = Change::begin(file)?;
        let changed = change.with(|credentials| {
            credentials.push(self.table(token.as_ref(), expires));
            Ok(())
        })?;
        let Some((token, out)) = token.zip(out) else {
            return change.commit(&changed).map(|()| ends);
        };
        // First, as without its file a credential cannot be used by any client.
        write_secret(out, &token).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => AuthError::Exists(out.to_owned()),
            _ => unwritable(out, error),
        })?;
        let committed = change.commit(&changed);
        if committed.is_err() {
            let _ = std::fs::remove_file(out);
        }
        committed.map(|()| ends)
    }

    /// The date from which on it does not count.
    fn expires(&self, ends: Option<SystemTime>) -> Result<Option<Datetime>, AuthError> {
        let Some(left) = self.expires_in else {
            return Ok(None);
        };
        let date = ends.and_then(values::date);
        date.map(Some).ok_or_else(|| {
            let (days, range) = (left.as_secs() / (24 * 60 * 60), values::MOMENTS_TEXT);
            AuthError::Change(format!(
                "no date is {days} days from now; expected an end {range}"
            ))
        })
    }

    fn table(&self, token: Option<&Secret>, expires: Option<Datetime>) -> Table {
        let texts = |texts: &[String]| value(texts.iter().collect::<Array>());
        let mut table = Table::new();
        table.decor_mut().set_prefix("\n");
        table["id"] = value(&self.id);
        table["role"] = value(&self.role);
        if let Some(token) = token {
            let token = token.reveal();
            let mut hash = toml_edit::Value::from(TokenHash::of(token).to_string());
            let key = key_id(token).unwrap_or_default();
            hash.decor_mut().set_suffix(format!(" # key id {key}"));
            table["token"] = Item::Value(hash);
        }
        if let Some(certificate) = &self.certificate {
            table["cert"] = value(certificate);
        }
        if !self.names.is_empty() {
            table["names"] = texts(&self.names);
        }
        if !self.from.is_empty() {
            table["from"] = texts(&self.from);
        }
        if let Some(expires) = expires {
            table["expires"] = value(expires);
        }
        if let Some(connections) = self.connections {
            table["connections"] = value(i64::from(connections));
        }
        if self.replace {
            table["replace"] = value(true);
        }
        table
    }
}

/// Takes a credential out of an auth file. A running server ends its clients within seconds. Returns
/// a warning if clients of other credentials can take its names from now on.
///
/// # Errors
/// There is none with this id, or the file cannot be read or written.
pub fn revoke(file: &Path, id: &str) -> Result<Option<String>, AuthError> {
    let change = Change::begin(file)?;
    let changed = change.with(|credentials| {
        let has_id = |table: &Table| table.get("id").and_then(Item::as_str) == Some(id);
        let Some(at) = credentials.iter().position(has_id) else {
            return Err(no_credential(id, &change.rules));
        };
        let kept = credentials
            .get(at)
            .and_then(remark_before)
            .unwrap_or_default();
        credentials.remove(at);
        if let Some(next) = credentials.get_mut(at) {
            let own = prefix(next).to_owned();
            next.decor_mut().set_prefix(format!("{kept}{own}"));
        }
        Ok(())
    })?;
    change.commit(&changed)?;
    Ok(change.rules.heirs(id))
}

/// What an error says of an id that no credential has.
pub(super) fn no_credential(id: &str, rules: &Rules) -> AuthError {
    let known = some_of(rules.credentials.iter().map(|c| c.id.clone()));
    let known = known.unwrap_or_else(|| "none".to_owned());
    let id = common::wire::text::clip(id);
    AuthError::Change(format!("there is no credential {id:?}; there are {known}"))
}

/// Names in a sentence, a screen's width of them; `None` if there is none.
pub(super) fn some_of(names: impl ExactSizeIterator<Item = String>) -> Option<String> {
    const NAMED: usize = 8;
    let count = names.len();
    let named = names.take(NAMED).collect::<Vec<_>>().join(", ");
    match count {
        0 => None,
        1..=NAMED => Some(named),
        _ => Some(format!("{named} and {} more", count - NAMED)),
    }
}

fn prefix(table: &Table) -> &str {
    table
        .decor()
        .prefix()
        .and_then(|prefix| prefix.as_str())
        .unwrap_or_default()
}

/// What stands before an entry and is apart from it by an empty line: it is about more than that
/// entry.
fn remark_before(table: &Table) -> Option<String> {
    let prefix = prefix(table);
    let end = prefix.trim_end_matches('\n').rfind("\n\n")?;
    let remark = &prefix[..end];
    remark.contains('#').then(|| format!("{remark}\n"))
}

/// A change of one auth file, which no other process changes meanwhile.
struct Change {
    /// As it was named, for errors.
    named: PathBuf,
    /// Where it is.
    path: PathBuf,
    document: DocumentMut,
    rules: Rules,
    _lock: File,
}

impl Change {
    fn begin(named: &Path) -> Result<Change, AuthError> {
        // A file that is reached by a link is replaced where it is.
        let path = match std::fs::canonicalize(named) {
            Ok(path) => path,
            // A file that is missing is told as every other command tells it.
            Err(_) => read_file(named).map(|_| named.to_owned())?,
        };
        let lock = lock_folder(&path).map_err(|error| unwritable(named, error))?;
        let bytes = read_file(named)?;
        let rules = Rules::read(&bytes, named)?;
        let text = String::from_utf8_lossy(&bytes);
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            AuthError::Change(token::redact(error.message()).into_owned())
        })?;
        Ok(Change {
            named: named.to_owned(),
            path,
            document,
            rules,
            _lock: lock,
        })
    }

    /// The text with changed credentials, which an auth file may have.
    fn with(
        &self,
        change: impl FnOnce(&mut ArrayOfTables) -> Result<(), AuthError>,
    ) -> Result<String, AuthError> {
        let mut document = self.document.clone();
        let credentials = document
            .entry("credentials")
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let Some(credentials) = credentials.as_array_of_tables_mut() else {
            let message = "only a file that has its credentials as [[credentials]] can be changed";
            return Err(AuthError::Change(message.into()));
        };
        change(credentials)?;
        let text = document.to_string();
        // The file is right, so what is wrong stands in lines that are not written yet.
        match Rules::read(text.as_bytes(), &self.named) {
            Ok(_) => Ok(text),
            Err(AuthError::Invalid { file, message, .. }) => {
                Err(AuthError::Unfit { file, message })
            }
            Err(other) => Err(other),
        }
    }

    /// Puts a text in the place of the file, with the owner and the mode that it had.
    fn commit(&self, text: &str) -> Result<(), AuthError> {
        replace_file(&self.path, text.as_bytes()).map_err(|error| unwritable(&self.named, error))
    }
}

/// Two changes at a time would lose one of them.
fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    folder.lock()?;
    Ok(folder)
}

fn write_secret(path: &Path, token: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(token.reveal().as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

fn unwritable(file: &Path, error: io::Error) -> AuthError {
    let file = file.to_owned();
    AuthError::Unwritable { file, error }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
