//! A configuration file for the options of a command line: its keys are the names of the long
//! options, so no option is listed twice.
//!
//! What the file says becomes words of the command line, unless the command line or the environment
//! says the same: so the argument parser checks all of it, and knows which options exclude or need each
//! other. The file is held to the rules of [`trusted_file`](crate::sys::trusted_file). A switch that the file sets cannot be
//! taken back by a flag, as there is none that does.
//!
//! What is in force of all three is said in the form of such a file.

mod entries;
mod lines;
mod options;
#[cfg(test)]
mod tests;

pub use lines::template;

use crate::terminal::args::short_error;
use crate::terminal::escape::path_line;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use entries::{Entry, load};
use lines::setting;
use options::{CONFIG, is_between_options, own_command, own_matches, settings_of};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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

/// Columns before the comments of [`Settings::in_force`]; a longer setting pushes only its own.
const SETTING_WIDTH: usize = 28;

impl Settings {
    /// Each option that is in force, as a line of a configuration file, with where it is from.
    pub fn in_force(&self, command: &Command) -> String {
        let own = own_command(command, self.subcommand);
        let Some(matches) = own_matches(&self.matches, self.subcommand) else {
            return String::new();
        };
        let lines: Vec<_> = settings_of(&own)
            .map(|arg| (setting(arg, matches), self.source(arg, matches)))
            .collect();
        let lines = lines.iter().map(|(setting, source)| match source {
            Some(source) => format!("{setting:SETTING_WIDTH$}  # {source}\n"),
            None => format!("{setting}\n"),
        });
        lines.collect()
    }

    /// Where an option's value is from, if it has one.
    fn source(&self, arg: &Arg, matches: &ArgMatches) -> Option<String> {
        let of_file = self.file.iter().find_map(|(path, entries)| {
            let entry = entries.iter().find(|entry| arg.get_id() == &entry.id)?;
            Some(format!("{}:{}", path_line(path), entry.at.line))
        });
        match matches.value_source(arg.get_id().as_str()) {
            _ if of_file.is_some() => of_file,
            Some(ValueSource::CommandLine) => Some("command line".into()),
            Some(ValueSource::EnvVariable) => {
                let variable = arg.get_env().unwrap_or_default();
                Some(format!("environment, {}", variable.to_string_lossy()))
            }
            source => source.map(|_| "default".into()),
        }
    }
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
    let mut entries = load(command, subcommand, path).map_err(ConfigError::File)?;
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
