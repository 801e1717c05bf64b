//! What `pecking policy` looks at, and its help: what a policy is.

use super::help::WITHOUT_OPTIONS;
use super::joining::tier;
use clap::Subcommand;
use client::{Identity, Name};
use common::wire::Tier;
use std::path::PathBuf;

/// What a policy is, by an example.
pub(super) const EXAMPLE: &str = "\
A file names commands, each with its program and the words that may follow:
  [commands.uptime]
  run = [\"/usr/bin/uptime\"]           # the program, by its absolute path

  [commands.logs]
  run = [\"/usr/bin/journalctl\", \"-u\"]
  args = [\"[a-z-]+\"]                  # a pattern for each further word
  timeout = \"30s\"

  [commands.put-motd]
  run = [\"/usr/local/bin/put-motd\"]
  stdin = true                        # it takes its input from the sender (run --stdin)

Further keys of an entry: rest, max_output, cwd, env, slots, memory, cpu_seconds, open_files,
from, user, groups, umask, setuid. `pecking work --policy FILE` reads it at its start.";

/// The help of `policy try`, with the options that are its own.
const HELP_OF_TRY: &str = "\
{about-with-newline}
{usage-heading} {usage}

{positionals}

The sender, as the server would tell it; what is left out, the server does not tell:
      --as <IDENTITY>  The identity that it has proven
      --role <ROLE>    Its role
      --tier <N>       Its tier, 0 (the highest) to 9";

/// What to look at in a policy file.
#[derive(Debug, Subcommand)]
pub(crate) enum LookAtPolicy {
    /// Say whether the file is right, and what it allows; `pecking policy --help` shows one
    #[command(help_template = WITHOUT_OPTIONS, override_usage = "pecking policy check <FILE>")]
    Check {
        /// The policy file
        file: PathBuf,
    },
    /// Print what would be run for a command, as which user and by which rule, or why it is refused
    #[command(help_template = HELP_OF_TRY,
              override_usage = "pecking policy try [OPTIONS] <FILE> <WORDS>...")]
    Try {
        /// The policy file
        file: PathBuf,
        /// The identity that the sender has proven
        #[arg(long = "as", value_name = "IDENTITY", value_parser = identity)]
        identity: Option<Identity<'static>>,
        /// The sender's role
        #[arg(long, value_parser = role, allow_hyphen_values = true)]
        role: Option<Name<'static>>,
        /// The sender's tier, and not this client's, which joins no server here
        #[arg(long, value_name = "N", value_parser = tier, allow_hyphen_values = true)]
        tier: Option<Tier>,
        /// The command word, then its arguments
        #[arg(required = true, trailing_var_arg = true, value_name = "WORDS")]
        words: Vec<String>,
    },
}

fn identity(text: &str) -> Result<Identity<'static>, String> {
    Identity::new(text.to_owned())
}

fn role(text: &str) -> Result<Name<'static>, String> {
    Name::told(text.to_owned())
}
