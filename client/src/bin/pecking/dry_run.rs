//! `pecking run --dry-run`: prints the clients that a command would reach.

use crate::exit_code::ExitCode;
use crate::expected::Unreached;
use crate::failure::Failure;
use crate::output::{json, print, render};
use client::{Client, Command, Reach, Selected, SelectedTarget};
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use common::terminal::table::{Align, columns};

const HEAD: [(&str, Align); 4] = [
    ("RANK", Align::Right),
    ("TIER", Align::Right),
    ("NAME", Align::Left),
    ("STATUS", Align::Left),
];

/// Asks what the command would reach, and prints that. The exit code is that of a run of which every
/// command ends well.
pub(crate) fn run(
    client: &Client,
    command: &Command,
    as_json: bool,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let mut unreached = Unreached::of(command.selector());
    match client.select(command) {
        Ok(selected) => {
            let exit = show(&selected, as_json)?;
            let names = selected
                .targets
                .iter()
                .filter(|t| t.status != Reach::Absent);
            names
                .flat_map(|target| &target.name)
                .for_each(|name| unreached.reached(name));
            if let Some(note) = unreached.note() {
                console.say(&note);
            }
            Ok(exit)
        }
        Err(error) if as_json => Err(error.into()),
        Err(error) => {
            console.say(&render::refusal(&error, client));
            Ok(ExitCode::of_error(&error))
        }
    }
}

/// The clients that a command would reach, as a table.
pub(crate) fn table(selected: &Selected) -> String {
    columns(HEAD, selected.targets.iter().map(row))
}

fn show(selected: &Selected, as_json: bool) -> Result<ExitCode, Failure> {
    let targets = selected.targets.iter();
    match as_json {
        true => print(&targets.map(json::target_line).collect::<String>())?,
        false => print(&table(selected))?,
    };
    let exits = selected.targets.iter().map(|target| match target.status {
        Reach::Execute => ExitCode::Done,
        Reach::Outranked | Reach::Forbidden => ExitCode::Refused,
        Reach::Absent => ExitCode::NoTarget,
    });
    Ok(exits.max().unwrap_or_default())
}

fn row(target: &SelectedTarget) -> [String; 4] {
    let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
    let name = match (&target.name, target.member, target.rank) {
        (Some(name), ..) => one_line(name).into_owned(),
        (None, Some(member), None) => format!("#{member}"),
        _ => "-".into(),
    };
    [
        number(target.rank.map(u64::from)),
        number(target.tier.map(|tier| u64::from(tier.number()))),
        name,
        target.status.name().into(),
    ]
}
