//! `pecking members`: shows the other clients, with the ranks that they have without the client
//! that asks.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{print, table};
use crate::settings::Settings;
use client::Members;
use common::terminal::console::Console;

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
    leave_out(own, &mut ranking);
    if as_json {
        let json = serde_json::to_string_pretty(&ranking);
        return print(&(json.expect("numbers and names always become JSON") + "\n"));
    }
    match ranking.members.is_empty() {
        true => print("no other client is there\n"),
        false => print(&table::ranking(&ranking.members, None)),
    }
}

/// Takes a client out; those below it move up.
fn leave_out(own: u64, ranking: &mut Members) {
    let Some(at) = ranking.members.iter().position(|m| m.member == own) else {
        return;
    };
    ranking.members.remove(at);
    for below in &mut ranking.members[at..] {
        below.rank = below.rank.saturating_sub(1);
    }
    ranking.total = ranking.total.saturating_sub(1);
}
