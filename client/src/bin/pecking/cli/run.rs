//! The options of `pecking run`, and the command that they make.

use crate::prompt::line::check_selector;
use clap::Args;
use client::Command;
use common::limits::MAX_INPUT_WINDOW;
use common::terminal::args;
use std::convert::Infallible;
use std::time::Duration;

/// How much of a command's output may be on its way to `run`: what a fast link holds in a few
/// milliseconds, and little memory.
const WINDOW: u64 = 4 << 20;

/// What `run` takes.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The targets of the command; without this the server decides
    #[arg(long, value_name = "SELECTOR", value_parser = check_selector, allow_hyphen_values = true)]
    to: Option<String>,

    /// Wait until so many clients that can execute rank below
    #[arg(long, value_name = "N", value_parser = wait_for, allow_hyphen_values = true)]
    pub(crate) wait_for: Option<u32>,

    /// Print the clients that it would reach, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// How long the command may run at each target; how long it waits there until it runs does
    /// not count
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,

    /// How long the command may take in all, waiting included
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,

    /// Give standard input to the command at every target, no faster than the slowest takes it; a
    /// policy's entry takes input if it says stdin = true
    #[arg(long)]
    pub(crate) stdin: bool,

    #[arg(long = "script", hide = true, value_name = "FILE", value_parser = no_script, allow_hyphen_values = true)]
    _script: Option<Infallible>,

    /// The program or command word, then its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "WORDS")]
    pub(super) words: Vec<String>,
}

impl Run {
    /// The targets of the command, if the command line has them.
    pub(crate) fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.words).window(WINDOW).progress();
        if let Some(to) = &self.to {
            command = command.to(to);
        }
        if let Some(timeout) = self.timeout {
            command = command.timeout(timeout);
        }
        if let Some(deadline) = self.deadline {
            command = command.deadline(deadline);
        }
        if self.stdin {
            // Across the world a round trip takes long, and one command is no burden.
            command = command.input_window(MAX_INPUT_WINDOW);
        }
        command
    }
}

/// What runs on a machine is for its policy to say, so no file of the sender's runs there as it is.
fn no_script(_: &str) -> Result<Infallible, String> {
    Err(
        "run executes no file of yours on other machines, only what their policies name; to send a \
         file, give it to an entry that takes input (stdin = true): \
         pecking run --stdin --to 'web*' -- put-config motd < FILE"
            .into(),
    )
}

fn wait_for(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "expected a whole number, such as 3".into())
}
