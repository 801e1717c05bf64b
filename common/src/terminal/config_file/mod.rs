//! A configuration file for the options of a command line: its keys are the names of the long
//! options, so no option is listed twice.
//!
//! What the file says becomes words of the command line, unless the command line or the environment
//! says the same: so the argument parser checks all of it, and knows which options exclude or need each
//! other. The file is held to the rules of [`trusted_file`](crate::sys::trusted_file). A switch that the file sets cannot be
//! taken back by a flag, as there is none that does.

mod entries;
mod lines;
#[cfg(test)]
mod tests;

pub use lines::template;

use crate::terminal::args::short_error;
use crate::terminal::escape::path_line;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use entries::{Entry, load};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The option that names the file.
const CONFIG: &str = "config";

/// Options that act at once, or say where the settings are: no settings themselves.
const NO_SETTINGS: [&str; 5] = [CONFIG, "check_config", "completions", "help", "version"];

/// Why there are no settings.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line is wrong, or is a wish for help.
    Usage(clap::Error),
    /// The file is: a sentence for a person, with the place in the file.
    File(String),
}

/// A command line, and the file that it names.
#[derive(Debug)]
pub struct Settings {
    /// What the argument parser made of both.
    pub matches: ArgMatches,
    subcommand: Option<&'static str>,
    file: Option<(PathBuf, Vec<Entry>)>,
}

/// Reads a command line, and the file that its `--config` names. The option, and those that the file
/// knows, are the command's own, or those of a subcommand.
///
/// # Errors
/// What is wrong with which of the two.
pub fn read(
    command: &Command,
    words: &[OsString],
    subcommand: Option<&'static str>,
) -> Result<Settings, ConfigError> {
    let settings = |matches, file| Settings {
        matches,
        subcommand,
        file,
    };
    // What the options need of each other may stand in the file.
    let lenient = command.clone().ignore_errors(true);
    let given = lenient
        .try_get_matches_from(words)
        .map_err(ConfigError::Usage)?;
    let own = own_matches(&given, subcommand);
    // Options of one command are for no other one, and its error says so.
    let own = own.filter(|own| own.subcommand().is_none());
    let named = own.and_then(|own| Some((own, own.get_one::<PathBuf>(CONFIG)?)));
    let Some((own, path)) = named else {
        let matches = command.clone().try_get_matches_from(words);
        return Ok(settings(matches.map_err(ConfigError::Usage)?, None));
    };
    let mut entries = load(command, subcommand, path)?;
    let is_told = |id: &str| {
        let source = own.value_source(id);
        matches!(
            source,
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
    };
    entries.retain(|entry| !is_told(&entry.id));
    let all = with_entries(words, subcommand, &entries);
    let matches = command.clone().try_get_matches_from(all);
    let matches = matches.map_err(|error| blame(command, subcommand, error, path, &entries))?;
    Ok(settings(matches, Some((path.clone(), entries))))
}

fn own_matches<'a>(all: &'a ArgMatches, subcommand: Option<&str>) -> Option<&'a ArgMatches> {
    match subcommand {
        None => Some(all),
        Some(name) => all.subcommand_matches(name),
    }
}

/// The command line with what the file says: before what a user typed, which may end with `--`, or
/// behind the subcommand.
fn with_entries(words: &[OsString], subcommand: Option<&str>, entries: &[Entry]) -> Vec<OsString> {
    let of_file = entries.iter().flat_map(|entry| entry.words.iter().cloned());
    let program = words.len().min(1);
    let mut all = words.to_vec();
    let at = match subcommand {
        None => program,
        Some(_) => words.len(),
    };
    all.splice(at..at, of_file);
    all
}

/// What is wrong with the two together, and what of it the file says.
fn blame(
    command: &Command,
    subcommand: Option<&str>,
    error: clap::Error,
    path: &Path,
    entries: &[Entry],
) -> ConfigError {
    if !is_between_options(&error) {
        return ConfigError::Usage(error);
    }
    let (text, lacking) = (error.to_string(), lacking(&error));
    let is_named = |entry: &Entry| {
        let option = format!("--{}", entry.key);
        let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.any(|word| word == option)
    };
    let is_to_blame = |entry: &&Entry| match error.kind() {
        // The usage behind the sentence names every option that is given.
        ErrorKind::MissingRequiredArgument => needs(command, subcommand, entry)
            .iter()
            .any(|need| lacking.contains(need)),
        _ => is_named(entry),
    };
    let said: Vec<String> = entries
        .iter()
        .filter(is_to_blame)
        .map(|entry| format!("{}:{} says {}", path_line(path), entry.at, entry.key))
        .collect();
    match said.is_empty() {
        true => ConfigError::Usage(error),
        false => ConfigError::File(format!("{} ({})", short_error(&text), said.join(", "))),
    }
}

/// What an option needs that is not there if it stands alone.
fn needs(command: &Command, subcommand: Option<&str>, entry: &Entry) -> Vec<String> {
    let words = [Some(command.get_name()), subcommand];
    let words: Vec<OsString> = words.into_iter().flatten().map(OsString::from).collect();
    let words = with_entries(&words, subcommand, std::slice::from_ref(entry));
    let alone = command.clone().try_get_matches_from(words);
    alone.map_or_else(|error| lacking(&error), |_| Vec::new())
}

/// The options that are required and not there.
fn lacking(error: &clap::Error) -> Vec<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.clone(),
        _ => Vec::new(),
    }
}

/// Whether the error is that an option needs or excludes another one.
fn is_between_options(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict
    )
}

/// The command whose options a file may set, with the options that it shares with others.
fn own_command(command: &Command, subcommand: Option<&str>) -> Command {
    let mut all = command.clone();
    all.build();
    match subcommand {
        None => all,
        Some(name) => all.find_subcommand(name).cloned().unwrap_or(all),
    }
}

/// The options that a file may set.
fn settings_of(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && !NO_SETTINGS.iter().any(|id| arg.get_id().as_str() == *id)
    })
}

/// The key of an option, or of a value that stands alone.
fn key_of(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}
