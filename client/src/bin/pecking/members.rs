//! `pecking members`: shows the other clients. This client itself is left out, so the ranks are those
//! at which a `run` finds them, which takes the same place. With `--missing` it shows the expected
//! machines that are not among them.

use crate::exit_code::ExitCode;
use crate::expected;
use crate::failure::Failure;
use crate::output::{print, table};
use crate::settings::Settings;
use clap::{Args, ValueEnum};
use client::{Client, Right};
use common::terminal::console::Console;
use std::collections::BTreeSet;

/// How `members` shows them.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// wide: with number, tags, identity and role; json; name: one name a line
    #[arg(long = "output", short, value_name = "FORM")]
    output: Option<Form>,

    /// The same as -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,

    /// Only the expected machines that are not here (of ~/.config/pecking/expected.toml or, without it,
    /// of the server's --expected); exit code 4 if there are any
    #[arg(long)]
    pub(crate) missing: bool,
}

/// The forms in which `members` shows clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A table with the columns that most people want
    #[value(skip)]
    Narrow,
    /// A table with every column
    Wide,
    /// JSON, as the server tells it
    Json,
    /// One name a line
    Name,
}

impl Shown {
    pub(crate) fn form(&self) -> Form {
        match self.json {
            true => Form::Json,
            false => self.output.unwrap_or(Form::Narrow),
        }
    }
}

/// Prints the ranking in this form.
pub(crate) fn members(
    settings: &Settings,
    form: Form,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let (client, _signals) = settings.join(console)?;
    let mut ranking = client.all_members()?;
    let (own, sees_all) = (client.member(), sees_all(&client));
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
        _ if ranking.members.is_empty() => print(match sees_all {
            true => "no other client is there\n",
            false => "no other client is there that this client's role lets it see\n",
        }),
        Form::Wide => print(&table::wide_ranking(&ranking.members)),
        Form::Narrow => print(&table::ranking(&ranking.members, None)),
    }
}

/// Prints the expected machines that are not here, a line each.
pub(crate) fn missing(
    settings: &Settings,
    form: Form,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let own = expected::own().map_err(Failure::Usage)?;
    let (client, _signals) = settings.join(console)?;
    let expected = match own {
        Some(own) => own,
        None => expected::of_server(&client)?.ok_or_else(expected::none)?,
    };
    let members = client.all_members()?.members;
    if !sees_all(&client) {
        console.say("this client's role shows it some of the clients; others may be here as well");
    }
    client.leave();
    let here: BTreeSet<&str> = members.iter().map(|member| &*member.name).collect();
    let missing = expected.missing(&here);
    let exit = match missing.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::NoTarget,
    };
    if form == Form::Json {
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

fn sees_all(client: &Client) -> bool {
    let joined = client.joined();
    let may = joined.may.as_ref();
    may.is_none_or(|may| may.contains(&Right::List))
}
