//! The options that a file may set, as the argument parser knows them.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// The option that names the file.
pub(super) const CONFIG: &str = "config";

/// Options that act at once, or say where the settings are: no settings themselves.
const NO_SETTINGS: [&str; 5] = [CONFIG, "check_config", "completions", "help", "version"];

/// The command whose options a file may set, with the options that it shares with others.
pub(super) fn own_command(command: &Command, subcommand: Option<&str>) -> Command {
    let mut all = command.clone();
    all.build();
    match subcommand {
        None => all,
        Some(name) => all.find_subcommand(name).cloned().unwrap_or(all),
    }
}

pub(super) fn own_matches<'a>(
    all: &'a ArgMatches,
    subcommand: Option<&str>,
) -> Option<&'a ArgMatches> {
    match subcommand {
        None => Some(all),
        Some(name) => all.subcommand_matches(name),
    }
}

/// The options that a file may set.
pub(super) fn settings_of(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && !NO_SETTINGS.iter().any(|id| arg.get_id().as_str() == *id)
    })
}

/// The key of an option, or of a value that stands alone.
pub(super) fn key_of(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Whether the error is that an option needs or excludes another one.
pub(super) fn is_between_options(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict
    )
}
