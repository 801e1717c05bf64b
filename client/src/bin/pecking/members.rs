//! `pecking members`: shows the other clients, by the ranks that a `run` finds them at: it takes the
//! same place as the client that asks here, so that one's own rank is left out.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{print, table};
use crate::settings::Settings;
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
