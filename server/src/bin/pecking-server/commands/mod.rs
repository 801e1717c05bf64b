//! What the program does besides serving.

mod audit;

use clap::Subcommand;
use common::terminal::console::complain;
use common::terminal::escape::one_line;
use std::process::ExitCode;

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read what was put on record: check that nothing was changed, or show it
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// How a subcommand ended.
pub(crate) type Ended = anyhow::Result<ExitCode>;

impl Command {
    /// Does it, and says what went wrong.
    pub(crate) fn run(self) -> ExitCode {
        let ended = match self {
            Command::Audit(audit) => audit.run(),
        };
        ended.unwrap_or_else(|error| {
            complain(&format!("error: {}", one_line(&format!("{error:#}"))));
            ExitCode::from(crate::USAGE)
        })
    }
}
