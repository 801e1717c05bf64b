//! `pecking run --dry-run`: prints the clients that a command would reach.

use crate::exit_code::ExitCode;
use crate::expected::Unreached;
use crate::failure::Failure;
use crate::output::node_set::{A_FEW_LINES, fold};
use crate::output::{json, print, render, table};
use crate::run::plan::{Plan, Share};
use client::{Client, Command, Reach, Selected, SelectedTarget};
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use std::io::{self, IsTerminal};

/// Asks what the command would reach, and prints that. The exit code is that of a run of which every
/// command ends well.
pub(crate) fn run(
    client: &Client,
    command: &Command,
    batch: Option<Share>,
    as_json: bool,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let mut unreached = Unreached::of(client, command.selector());
    match client.select(command) {
        Ok(selected) => {
            let exit = show(&selected, as_json)?;
            if !as_json && selected.targets.len() > 1 && io::stderr().is_terminal() {
                console.say(&counts(&selected.targets, batch));
            }
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

fn show(selected: &Selected, as_json: bool) -> Result<ExitCode, Failure> {
    let targets = selected.targets.iter();
    match as_json {
        true => print(&targets.map(json::target_line).collect::<String>())?,
        false => print(&table::targets(selected))?,
    };
    let exits = selected.targets.iter().map(|target| match target.status {
        Reach::Execute => ExitCode::Done,
        Reach::Outranked | Reach::Forbidden => ExitCode::Refused,
        Reach::Absent => ExitCode::NoTarget,
    });
    Ok(exits.max().unwrap_or_default())
}

/// How many there are: the rows of many are on no screen.
fn counts(targets: &[SelectedTarget], batch: Option<Share>) -> String {
    let reached = targets.iter().filter(|it| it.status == Reach::Execute);
    let names = reached.clone().filter_map(|it| it.name.as_deref());
    let names: Vec<_> = names.map(one_line).collect();
    let folded = fold(names.iter().map(AsRef::as_ref), A_FEW_LINES);
    let batches = batch.map_or(String::new(), |batch| {
        let plan = Plan::new(targets.to_vec(), batch, None);
        format!(" in {} batches", plan.batches.len())
    });
    let (all, reached) = (targets.len(), reached.count());
    format!("{reached} of {all} targets{batches}: {folded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Name;

    #[test]
    fn many_are_counted_and_folded() {
        let target = |(number, status)| SelectedTarget {
            member: Some(number),
            name: Name::told(format!("web{number}")).ok(),
            rank: None,
            tier: None,
            status,
        };
        let reached = (1..=40).map(|number| (number, Reach::Execute));
        let targets: Vec<_> = reached.chain([(41, Reach::Absent)]).map(target).collect();
        assert_eq!(counts(&targets, None), "40 of 41 targets: web[1-40]");
        assert_eq!(
            counts(&targets, Some(Share::Count(15))),
            "40 of 41 targets in 3 batches: web[1-40]"
        );
    }
}
