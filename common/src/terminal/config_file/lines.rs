//! Options as lines of a file: those in force, and a file with all of them.

use super::{Settings, is_list, is_switch, key_of, own_command, own_matches, settings_of};
use crate::terminal::escape::{one_line, path_line};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

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

/// How the file would say an option: with its default, or the name of its value.
pub(super) fn example(arg: &Arg) -> String {
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
