//! `pecking members`: shows the other clients, by the ranks that a `run` finds them at: it takes the
//! same place as the client that asks here, so that one's own rank is left out. With `--missing` it shows the
//! expected machines that are not among them.

use crate::exit_code::ExitCode;
use crate::expected::Expected;
use crate::failure::Failure;
use crate::output::{print, table};
use crate::settings::Settings;
use client::{Client, Member, Right};
use common::terminal::console::Console;
use std::collections::BTreeSet;

/// Prints the ranking as a table or as JSON.
pub(crate) fn members(
    settings: &Settings,
    as_json: bool,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let (client, _signals) = settings.join(console)?;
    let mut ranking = client.all_members()?;
    let own = client.member();
    client.leave();
    ranking.members.retain(|member| member.member != own);
    ranking.total = ranking.total.saturating_sub(1);
    if as_json {
        let json = serde_json::to_string_pretty(&ranking);
        return print(&(json.expect("numbers and names always become JSON") + "\n"));
    }
    match ranking.members.is_empty() {
        true => print("no other client is there\n"),
        false => print(&table::ranking(&ranking.members, None)),
    }
}

/// Prints the expected machines that are not here, a line each.
pub(crate) fn missing(
    settings: &Settings,
    as_json: bool,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let expected = Expected::needed()?;
    let (client, _signals) = settings.join(console)?;
    let members = client.all_members()?.members;
    if !sees_all(&client) {
        console.say("this client's role shows it some of the clients; others may be here as well");
    }
    client.leave();
    let here: BTreeSet<&str> = members.iter().map(name).collect();
    let missing = expected.missing(&here);
    let exit = match missing.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::NoTarget,
    };
    if as_json {
        let json = serde_json::json!({"expected": expected.len(), "missing": missing});
        return print(&format!("{json:#}\n")).map(|_| exit);
    }
    let lines = missing.iter().map(|name| format!("{name}\n"));
    let (lines, count) = (lines.collect::<String>(), missing.len());
    print(&lines)?;
    console.say(&format!(
        "{count} of {} expected machines are missing",
        expected.len()
    ));
    Ok(exit)
}

fn name(member: &Member) -> &str {
    &member.name
}

fn sees_all(client: &Client) -> bool {
    let joined = client.joined();
    joined
        .may
        .as_ref()
        .is_none_or(|may| may.contains(&Right::List))
}
