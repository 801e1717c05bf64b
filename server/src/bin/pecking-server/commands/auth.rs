//! `pecking-server auth`: changes, checks and tries an auth file.

use super::names::{identity, name};
use crate::ended::{Ended, print};
use clap::{ArgGroup, Args, Subcommand};
use common::terminal::args;
use common::terminal::console::complain;
use common::terminal::escape::one_line;
use common::terminal::table::{Align, columns};
use common::wire::Identity;
use common::wire::name::Name;
use server::authority::{self, NewCredential, Rules};
use server::{KNOWN_WITHIN, MOST_CLIENTS};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What is done with an auth file.
#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Add a credential with a new token, or with a certificate
    ///
    /// A server that runs with the file takes the change within seconds.
    Add(Add),
    /// Print the credentials
    List(List),
    /// Take a credential away; a running server ends its clients within seconds
    Revoke(Revoke),
    /// Check a file as the server does at its start, and print what may not be meant
    Check(List),
    /// Say whether a credential may have a client execute a command, and by which rule
    ///
    /// Rank, and the policy of the machine that executes it, are looked at elsewhere.
    /// Exit codes: 0 it may, 1 it may not, 2 usage.
    Try(Try),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("proof").required(true).args(["out", "cert"])))]
pub(crate) struct Add {
    /// The auth file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The identity: what logs and executors show
    #[arg(long, value_name = "ID", value_parser = identity)]
    id: Identity<'static>,
    /// One of the roles of the file
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// A name that its clients may take, or a pattern such as alice-*; may be repeated
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// The one URI of its certificate, or dns: and its DNS name, instead of a token
    #[arg(long, value_name = "NAME")]
    cert: Option<String>,
    /// A network that it may be used from, such as 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "NETWORK")]
    from: Vec<String>,
    /// For how long it counts, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = expires, allow_hyphen_values = true)]
    expires: Option<Duration>,
    /// The most clients at a time that join with it
    #[arg(long, value_name = "N", value_parser = args::number(0..=MOST_CLIENTS), allow_hyphen_values = true)]
    connections: Option<u32>,
    /// A new client ends the old one, rather than being refused
    #[arg(long)]
    replace: bool,
    /// The file that its token is written to; it must not exist, and only its owner can read it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The auth file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The auth file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The identity
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Try {
    /// The auth file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The identity that sends
    #[arg(long, value_name = "ID")]
    id: String,
    /// The name of the client that is to execute it
    #[arg(long, value_name = "NAME", value_parser = name, allow_hyphen_values = true)]
    to: Name<'static>,
    /// The command and its arguments, of which no rule looks at the arguments
    #[arg(value_name = "WORDS", required = true, last = true)]
    words: Vec<String>,
}

fn expires(text: &str) -> Result<Duration, String> {
    if let Some(number) = text.parse::<u64>().ok().filter(|number| *number > 0) {
        // Elsewhere that is seconds, and few mean that here.
        return Err(format!(
            "it has no unit; expected {number}d for days, or {number}h for hours"
        ));
    }
    args::positive_duration(text).map_err(|_| {
        let days = args::LONGEST.as_secs() / (24 * 60 * 60);
        format!("expected for how long it counts, such as 90d, and at most {days}d")
    })
}

impl Auth {
    pub(crate) fn run(self) -> Ended {
        match self {
            Auth::Add(add) => add.run(),
            Auth::List(List { file }) => {
                let rules = Rules::load(&file)?;
                print(&table(rules.list()))
            }
            Auth::Revoke(Revoke { file, id }) => {
                let warning = authority::revoke(&file, &id)?;
                let within = KNOWN_WITHIN.as_secs();
                print(&format!(
                    "{} revoked; a running server ends its clients within {within} s\n",
                    one_line(&id)
                ))?;
                if let Some(warning) = warning {
                    complain(&format!("warning: {}", one_line(&warning)));
                }
                Ok(ExitCode::SUCCESS)
            }
            Auth::Check(List { file }) => {
                let rules = Rules::load(&file)?;
                let warnings = rules.warnings(server::wall_clock());
                let lines = warnings
                    .iter()
                    .map(|warning| format!("warning: {warning}\n"));
                print(&lines.collect::<String>())
            }
            Auth::Try(tried) => tried.run(),
        }
    }
}

impl Add {
    fn run(self) -> Ended {
        let new = NewCredential {
            id: self.id.to_string(),
            role: self.role,
            names: self.names,
            certificate: self.cert,
            from: self.from,
            expires_in: self.expires,
            connections: self.connections,
            replace: self.replace,
        };
        let expires = new.add_to(&self.file, self.out.as_deref())?;
        let until = expires.map_or_else(String::new, |at| {
            format!(" until {}", humantime::format_rfc3339_seconds(at))
        });
        let within = KNOWN_WITHIN.as_secs();
        print(&format!(
            "{} added{until}; a running server knows it within {within} s\n",
            self.id
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Try {
    fn run(self) -> Ended {
        let word = self.words.first().map_or("", String::as_str);
        let decision =
            Rules::load(&self.file)?.decide(&self.id, &self.to, word, server::wall_clock())?;
        let answer = if decision.is_allowed {
            "allowed"
        } else {
            "forbidden"
        };
        let line = format!("{answer}: {} ({})", decision.message, decision.rule);
        print(&format!("{}\n", one_line(&line)))?;
        Ok(match decision.is_allowed {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// Credentials in columns, under a heading.
fn table(lines: Vec<[String; 7]>) -> String {
    let head = [
        "ID",
        "ROLE",
        "PROOF",
        "NAMES",
        "FROM",
        "EXPIRES",
        "CONNECTIONS",
    ];
    let rows = lines.into_iter();
    let rows = rows.map(|line| line.map(|cell| one_line(&cell).into_owned()));
    columns(head.map(|title| (title, Align::Left)), rows)
}
