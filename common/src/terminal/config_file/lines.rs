//! Options as lines of a file: each that is in force, and a file with all of them.

use super::options::{is_list, is_switch, key_of, own_command, settings_of};
use crate::terminal::escape::one_line;
use clap::{Arg, ArgMatches, Command};

/// An option with its value; a comment if it has none.
pub(super) fn setting(arg: &Arg, matches: &ArgMatches) -> String {
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
