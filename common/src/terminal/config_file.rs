//! A configuration file for the options of a command line: its keys are the names of the long
//! options, so no option is listed twice.
//!
//! What the file says becomes words of the command line, unless the command line or the environment
//! says the same: so the argument parser checks all of it, and knows which options exclude or need each
//! other. The file is held to the rules of [`trusted_file`]. A switch that the file sets cannot be
//! taken back by a flag, as there is none that does.

use crate::sys::fault::Fault;
use crate::sys::position::Position;
use crate::sys::trusted_file;
use crate::terminal::args::short_error;
use crate::terminal::escape::{one_line, path_line};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// The option that names the file.
const CONFIG: &str = "config";

/// Options that act at once, or say where the settings are: no settings themselves.
const NO_SETTINGS: [&str; 5] = [CONFIG, "check_config", "completions", "help", "version"];

/// The most bytes of a file: many times all options with long values.
const MAX_FILE: usize = 256 << 10;

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

/// A key of the file that is in force.
#[derive(Debug)]
struct Entry {
    id: String,
    key: String,
    at: Position,
    words: Vec<OsString>,
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
    let matches = matches.map_err(|error| blame(error, path, &entries))?;
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
fn blame(error: clap::Error, path: &Path, entries: &[Entry]) -> ConfigError {
    if !is_between_options(&error) {
        return ConfigError::Usage(error);
    }
    // With the usage, which names those that are given.
    let text = error.to_string();
    let is_named = |entry: &&Entry| {
        let option = format!("--{}", entry.key);
        let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.any(|word| word == option)
    };
    let said: Vec<String> = entries
        .iter()
        .filter(is_named)
        .map(|entry| format!("{}:{} says {}", path_line(path), entry.at, entry.key))
        .collect();
    match said.is_empty() {
        true => ConfigError::Usage(error),
        false => ConfigError::File(format!("{} ({})", short_error(&text), said.join(", "))),
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

fn load(
    command: &Command,
    subcommand: Option<&'static str>,
    path: &Path,
) -> Result<Vec<Entry>, ConfigError> {
    let read = trusted_file::read(path, trusted_file::user(), MAX_FILE);
    let bytes = read.map_err(|why| ConfigError::File(format!("{}: {why}", path_line(path))))?;
    parse(command, subcommand, &bytes).map_err(|fault| {
        let (at, message) = fault.located(&bytes);
        let at = at.map_or_else(String::new, |at| format!(":{at}"));
        ConfigError::File(format!("{}{at}: {}", path_line(path), one_line(&message)))
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

/// How the file would say an option: with its default, or the name of its value.
fn example(arg: &Arg) -> String {
    let key = key_of(arg);
    if is_switch(arg) {
        return format!("{key} = true");
    }
    let default = arg.get_default_values().first();
    let named = arg.get_value_names().and_then(<[_]>::first);
    let value = match default {
        Some(default) => default.to_string_lossy().into_owned(),
        None => named.map_or_else(String::new, ToString::to_string),
    };
    match is_list(arg) {
        true => format!("{key} = [{}]", quoted(&value)),
        false => format!("{key} = {}", quoted(&value)),
    }
}

/// A value as TOML has it: a number as it is, else a string.
fn quoted(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(_) => value.to_owned(),
        // What JSON escapes, TOML escapes in the same way.
        Err(_) => serde_json::Value::from(value).to_string(),
    }
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
        Err(error) if !is_between_options(&error) => {
            Err(Fault::at(at, short_error(&error.to_string())))
        }
        _ => Ok(()),
    }
}

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

/// Columns before the comments of [`Settings::in_force`]; a longer setting pushes only its own.
const SETTING_WIDTH: usize = 28;

/// An option with its value; a comment if it has none.
fn setting(arg: &Arg, matches: &ArgMatches) -> String {
    let (key, id) = (key_of(arg), arg.get_id().as_str());
    if is_switch(arg) {
        return format!("{key} = {}", matches.get_flag(id));
    }
    let values = matches.get_raw(id).into_iter().flatten();
    let values: Vec<String> = values
        .map(|value| quoted(&one_line(&value.to_string_lossy())))
        .collect();
    match values.as_slice() {
        [] => format!("# {key} is not set"),
        [value] if !is_list(arg) => format!("{key} = {value}"),
        values => format!("{key} = [{}]", values.join(", ")),
    }
}

/// A file with every option as a comment, below what it does.
pub fn template(command: &Command, subcommand: Option<&'static str>) -> String {
    let own = own_command(command, subcommand);
    let options = settings_of(&own).map(|arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let lines = wrapped(&help.split_whitespace().collect::<Vec<_>>().join(" "));
        format!("\n{lines}#{}\n", example(arg))
    });
    options.collect()
}

/// Columns of a comment in a template.
const TEMPLATE_WIDTH: usize = 96;

fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > TEMPLATE_WIDTH {
            lines += &format!("{line}\n");
            line = "#".to_owned();
        }
        line += &format!(" {word}");
    }
    lines + &format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::args;
    use clap::value_parser;

    /// A command with an option of each kind, and the same as a subcommand.
    fn commands() -> [(Command, Option<&'static str>); 2] {
        let options = |command: Command| {
            command
                .arg(Arg::new("clients").value_parser(args::number(1..=9_u32)))
                .arg(
                    Arg::new("config")
                        .long("config")
                        .value_parser(value_parser!(PathBuf)),
                )
                .arg(
                    Arg::new("max_line")
                        .long("max-line")
                        .default_value("5")
                        .help("The longest"),
                )
                .arg(Arg::new("cert").long("cert").requires("key"))
                .arg(Arg::new("key").long("key").requires("cert"))
                .arg(
                    Arg::new("tags")
                        .long("tag")
                        .value_name("TAG")
                        .action(ArgAction::Append),
                )
                .arg(
                    Arg::new("plain")
                        .long("plain")
                        .action(ArgAction::SetTrue)
                        .conflicts_with("cert"),
                )
                .arg(Arg::new("secret").long("secret").hide(true))
        };
        let work = options(Command::new("work"));
        [
            (options(Command::new("program")), None),
            (Command::new("program").subcommand(work), Some("work")),
        ]
    }

    /// What a file and a command line come to, for each of the commands.
    fn outcomes(file: &str, words: &[&str]) -> [Result<String, String>; 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.toml");
        std::fs::write(&path, file).expect("it can be written");
        let shown = path_line(&path);
        commands().map(|(command, subcommand)| {
            let before = ["program"].into_iter().chain(subcommand);
            let config = ["--config", path.to_str().expect("it is text")];
            let words = before.chain(words.iter().copied()).chain(config);
            let words: Vec<OsString> = words.map(OsString::from).collect();
            let settings = read(&command, &words, subcommand);
            let said = settings.map(|settings| settings.in_force(&command));
            let said = said.map_err(|error| match error {
                ConfigError::Usage(error) => error.to_string(),
                ConfigError::File(error) => error,
            });
            let short = |text: String| text.replace(&shown, "a.toml");
            said.map(short).map_err(short)
        })
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
        let file = "clients = 4\n\ntag = [\"a\", 'b\"']\nmax-line = 7\nplain = true";
        for said in outcomes(file, &["--max-line", "8"]) {
            let said = said.expect("it is right");
            let lines: Vec<String> = said
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            let expected = [
                "clients = 4 # a.toml:1",
                "max-line = 8 # command line",
                "# cert is not set",
                "# key is not set",
                "tag = [\"a\", \"b\\\"\"] # a.toml:3",
                "plain = true # a.toml:5",
            ];
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_what_would_be_right() {
        for (file, words, expected) in [
            (
                "\nmax-lin = 3",
                &[][..],
                "a.toml:2:1: found the key \"max-lin\", expected \"max-line\"",
            ),
            (
                "zz = 3",
                &[],
                "a.toml:1:1: found the key \"zz\", expected one of clients, max-line, cert,",
            ),
            ("secret = 3", &[], "found the key \"secret\""),
            ("config = 3", &[], "found the key \"config\""),
            (
                " clients = 10",
                &[],
                "a.toml:1:12: invalid value '10' for '[clients]': expected a whole number from 1 to 9",
            ),
            (
                "clients = '--plain'",
                &[],
                "a.toml:1:11: found a string, expected clients = ",
            ),
            (
                "plain = 'yes'",
                &[],
                "a.toml:1:9: found a string, expected plain = true",
            ),
            (
                "max-line = true",
                &[],
                "a.toml:1:12: found a boolean, expected max-line = 5",
            ),
            (
                "max-line = [1]",
                &[],
                "a.toml:1:12: found an array, expected max-line = 5",
            ),
            (
                "tag = [1.5]",
                &[],
                "a.toml:1:8: found a float, expected tag = [\"TAG\"]",
            ),
            (
                "plain = true\nplain = true",
                &[],
                "a.toml:2:1: duplicate key",
            ),
            ("cert = 'c'", &[], "--key <key> (a.toml:1:1 says cert)"),
            (
                "cert = 'c'",
                &["--key", "k", "--plain"],
                "cannot be used with",
            ),
            (
                "cert = 'c'\nplain = true",
                &["--key", "k"],
                "a.toml:2:1 says plain",
            ),
            (
                "plain = true",
                &["--bogus"],
                "unexpected argument '--bogus' found\n",
            ),
        ] {
            for said in outcomes(file, words) {
                let error = said.expect_err(file);
                assert!(error.contains(expected), "{file}: {error}");
            }
        }
    }

    #[test]
    fn a_template_is_a_file_that_changes_nothing_and_whose_lines_are_right() {
        let [(command, _), _] = commands();
        let template = template(&command, None);
        assert!(
            template.contains("# The longest\n#max-line = 5\n"),
            "{template}"
        );
        for said in outcomes(&template, &[]) {
            assert!(!said.expect("all of it is comments").contains("a.toml"));
        }
        let lines = template.lines().filter_map(|line| line.strip_prefix('#'));
        let keys: Vec<&str> = lines
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(keys, ["clients", "max-line", "cert", "key", "tag", "plain"]);
    }
}
