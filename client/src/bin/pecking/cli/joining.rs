//! The options that say how to join, for every command.

use super::encrypting::{Encrypting, SERVER_VARIABLE, ServerAddress};
use clap::Args;
use common::limits::{DEFAULT_ADDRESS, MAX_SLOTS};
use common::terminal::args;
use common::wire::name::check_name;
use common::wire::{Tags, Tier};
use std::path::PathBuf;
use std::time::Duration;

/// How to join, for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Joining")]
pub(super) struct Joining {
    /// The server: HOST:PORT, or tls://HOST:PORT, with #sha256:HEX behind it to pin a key
    #[arg(long, global = true, value_name = "ADDRESS", env = SERVER_VARIABLE,
          default_value = DEFAULT_ADDRESS, allow_hyphen_values = true)]
    pub(super) server: ServerAddress,

    /// The name to join with; without one the server gives one
    #[arg(long, global = true, value_parser = name, allow_hyphen_values = true)]
    pub(super) name: Option<String>,

    /// How many commands to execute at once, 0 to 1024 [default: 1, at a prompt 0 if the credential
    /// does not let it execute; 0 for run, members and top]
    #[arg(long, global = true, value_name = "N", value_parser = args::number(0..=MAX_SLOTS), allow_hyphen_values = true)]
    pub(super) slots: Option<u32>,

    /// The tier to rank in, 0 (the highest) to 9: every client of a smaller number ranks above.
    /// Without a credential for more, 5 to 9 [default: 9 for work and top, else what the server gives: 5
    /// without a credential]
    #[arg(long, global = true, value_name = "N", value_parser = tier, allow_hyphen_values = true)]
    pub(super) tier: Option<Tier>,

    /// What selectors such as role=web find this client by; up to 16 times
    #[arg(long = "tag", global = true, value_name = "KEY=VALUE", value_parser = tag, allow_hyphen_values = true)]
    pub(super) tags: Vec<(String, String)>,

    /// How long connecting and joining may take [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true)]
    pub(super) connect_timeout: Option<Duration>,

    /// Wait for a place and for the name; with work, also for the server
    #[arg(long, global = true)]
    pub(super) wait: bool,

    /// End when the connection is lost; without this, a prompt and work come back to their rank, or
    /// join again, ranked below all of their tier that are here by then; top joins again
    #[arg(long, global = true)]
    pub(super) no_reconnect: bool,

    /// The file with the server's token in its first line; only its owner may be able to
    /// read or write it
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) encrypting: Encrypting,
}

impl Joining {
    /// What selectors find this client by.
    pub(super) fn tags(&self) -> Result<Tags, String> {
        let mut tags = Tags::default();
        for (key, value) in &self.tags {
            tags.add(key, value)
                .map_err(|why| format!("--tag: {why}"))?;
        }
        Ok(tags)
    }
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// Reads a tier.
pub(super) fn tier(text: &str) -> Result<Tier, String> {
    text.parse()
        .map_err(|_: String| "expected a whole number from 0 (the highest) to 9".into())
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as role=web")?;
    Tags::default().add(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}
