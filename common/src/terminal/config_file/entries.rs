//! What a file says, key by key, as words of a command line.

use super::lines::example;
use super::options::{is_between_options, is_list, is_switch, key_of, own_command, settings_of};
use crate::sys::fault::Fault;
use crate::sys::position::Position;
use crate::sys::trusted_file;
use crate::terminal::args::short_error;
use crate::terminal::escape::{one_line, path_line};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};
use std::ffi::OsString;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// The most bytes of a file: many times all options with long values.
const MAX_FILE: usize = 256 << 10;

/// A key of the file that is in force.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) words: Vec<OsString>,
}

/// What the file at a path says; or what is wrong with it, with the place.
pub(super) fn load(
    command: &Command,
    subcommand: Option<&'static str>,
    path: &Path,
) -> Result<Vec<Entry>, String> {
    let read = trusted_file::read(path, trusted_file::user(), MAX_FILE);
    let bytes = read.map_err(|why| why.about(path))?;
    parse(command, subcommand, &bytes).map_err(|fault| {
        let (at, message) = fault.located(&bytes);
        let at = at.map_or_else(String::new, |at| format!(":{at}"));
        format!("{}{at}: {}", path_line(path), one_line(&message))
    })
}

fn parse(
    command: &Command,
    subcommand: Option<&'static str>,
    bytes: &[u8],
) -> Result<Vec<Entry>, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::at(error.valid_up_to(), "it is no text in UTF-8"))?;
    let table = DeTable::parse(text).map_err(|error| Fault::of_toml(&error, &[]))?;
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let own = own_command(command, subcommand);
    let entries = entries.into_iter().map(|(key, value)| {
        let entry = entry(&own, &key, &value, bytes)?;
        check(command, subcommand, &entry, value.span().start)?;
        Ok(entry)
    });
    entries.collect()
}

fn entry(
    own: &Command,
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    text: &[u8],
) -> Result<Entry, Fault> {
    let name: &str = key.get_ref();
    let arg = settings_of(own).find(|arg| key_of(arg) == name);
    let arg = arg.ok_or_else(|| Fault::at(key.span().start, unknown(own, name)))?;
    Ok(Entry {
        id: arg.get_id().to_string(),
        key: name.to_owned(),
        at: Position::of(text, key.span().start),
        words: words(arg, value)?,
    })
}

/// What is said of a key that is no option's name, with the one that it is most like.
fn unknown(own: &Command, key: &str) -> String {
    let known: Vec<&str> = settings_of(own).map(key_of).collect();
    // The argument parser knows which names are alike.
    let error = own
        .clone()
        .try_get_matches_from([own.get_name(), &format!("--{key}")]);
    let similar = error.err().and_then(|error| {
        let text = short_error(&error.to_string());
        let (_, similar) = text.split_once("'--")?.1.split_once("'--")?;
        let similar = similar.trim_end_matches('\'').to_owned();
        known.contains(&similar.as_str()).then_some(similar)
    });
    match similar {
        Some(similar) => format!("found the key {key:?}, expected {similar:?}"),
        None => format!(
            "found the key {key:?}, expected one of {}",
            known.join(", ")
        ),
    }
}

/// The words of a command line that say what the file says of an option.
fn words(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Fault> {
    if is_switch(arg) {
        let DeValue::Boolean(is_set) = value.get_ref() else {
            return Err(wrong(arg, value));
        };
        let word = format!("--{}", key_of(arg));
        return Ok(is_set.then(|| word.into()).into_iter().collect());
    }
    match value.get_ref() {
        DeValue::Array(items) if is_list(arg) => items.iter().map(|item| word(arg, item)).collect(),
        _ => Ok(vec![word(arg, value)?]),
    }
}

fn word(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<OsString, Fault> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        _ => return Err(wrong(arg, value)),
    };
    match arg.get_long() {
        Some(long) => Ok(format!("--{long}={text}").into()),
        None if text.starts_with("--") => Err(wrong(arg, value)),
        None => Ok(text.into()),
    }
}

/// The fault of a value that is none of its option's type.
fn wrong(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Fault {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let message = format!("found {found}, expected {}", example(arg));
    Fault::at(value.span().start, message)
}

/// Has the argument parser look at one value alone, so that an error has its place. What the option
/// needs or excludes is looked at later, with all of them.
fn check(
    command: &Command,
    subcommand: Option<&str>,
    entry: &Entry,
    at: usize,
) -> Result<(), Fault> {
    let program = std::iter::once(command.get_name()).chain(subcommand);
    let words: Vec<OsString> = program.map(OsString::from).collect();
    let words = words.into_iter().chain(entry.words.iter().cloned());
    match command.clone().try_get_matches_from(words) {
        Err(error) if !is_between_options(&error) => Err(Fault::at(at, wrong_value(entry, &error))),
        _ => Ok(()),
    }
}

/// What is wrong with a value. An argument without an option has its key as its name here.
fn wrong_value(entry: &Entry, error: &clap::Error) -> String {
    let text = short_error(&error.to_string());
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) if name.starts_with('[') => text.replacen(
            &format!(" for '{name}'"),
            &format!(" for '{}'", entry.key),
            1,
        ),
        _ => text,
    }
}
