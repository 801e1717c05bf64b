//! `pecking members`: shows the other clients, by the ranks that a `run` finds them at: it takes the
//! same place as the client that asks here, so that one's own rank is left out.

use crate::cli::Form;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{print, table};
use crate::settings::Settings;
use common::terminal::console::Console;

/// Prints the ranking in this form.
pub(crate) fn members(
    settings: &Settings,
    form: Form,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let (client, _signals) = settings.join(console)?;
    let mut ranking = client.all_members()?;
    let own = client.member();
    client.leave();
    ranking.members.retain(|member| member.member != own);
    ranking.total = ranking.total.saturating_sub(1);
    match form {
        Form::Json => {
            let json = serde_json::to_string_pretty(&ranking);
            print(&(json.expect("numbers and names always become JSON") + "\n"))
        }
        Form::Name => {
            let names = ranking.members.iter().map(|m| format!("{}\n", m.name));
            print(&names.collect::<String>())
        }
        _ if ranking.members.is_empty() => print("no other client is there\n"),
        Form::Wide => print(&table::wide_ranking(&ranking.members)),
        Form::Narrow => print(&table::ranking(&ranking.members, None)),
    }
}
