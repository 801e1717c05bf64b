//! The command line of the client: which commands there are, the options that all of them take, and
//! what these become. The options of one command lie with it, but for single words (`groups`, `cancel`,
//! ...) and for `policy`, which reads a tier as `--tier` does. No command imports this.

mod encrypting;
mod help;
mod joining;
mod policy;

pub(crate) use encrypting::SERVER_VARIABLE;
use help::{EXAMPLES, WITHOUT_OPTIONS};
use joining::Joining;
pub(crate) use policy::LookAtPolicy;

use crate::bench::{self, Bench};
use crate::dial::Wait;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::jobs::{Job, Listed};
use crate::members::Shown;
use crate::output::args::ShowOptions;
use crate::run::{self, Rerun, Run, RunOptions};
use crate::settings::{Executes, Settings};
use crate::top::TopOptions;
use crate::work::Work;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use client::{CONNECT_TIMEOUT, Config, JobId, Token};
use common::logging::format::LogFormat;
use common::terminal::config_file::{self, ConfigError};
use common::wire::Tier;
use std::path::PathBuf;

/// Joins a server, commands the clients that rank below, and executes for the clients above.
///
/// The client of the highest tier that joins first has rank 0, the highest. Without a command, and at a terminal,
/// this is a prompt: each line is a command for other clients, and their commands are executed
/// here. Lines from a pipe are run one after another.
#[derive(Debug, Parser)]
#[command(name = "pecking", version = VERSION, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    joining: Joining,

    #[command(flatten)]
    executing: Executing,

    /// Show the text of other clients as it is, with its control characters
    #[arg(long, global = true, help_heading = "Joining")]
    raw: bool,

    /// How the log, and what else is said on standard error, is written: text, or json, an object a
    /// line; a prompt has none
    #[arg(
        long,
        global = true,
        help_heading = "Joining",
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Option<Action>,
}

/// The version of the package, and the commit that the program was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PECKING_COMMIT"), ")");

/// What to execute for other clients. Without any of this it is the originals' simulation, which
/// starts nothing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Executing")]
struct Executing {
    /// Run the real programs that this file names (`pecking policy --help`), and nothing else; it is
    /// read at the start. Without this and --allow-any no program runs: each command gets a made-up
    /// text and exit code 0
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "allow_any")]
    policy: Option<PathBuf>,

    /// Run any program with any arguments: every higher-ranked client has this machine
    #[arg(long, global = true)]
    allow_any: bool,

    /// Let --allow-any run programs as root
    #[arg(long, global = true, requires = "allow_any")]
    allow_root: bool,
}

/// What to do instead of a prompt.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Send one command, print what it writes, and end with a code that says how it went
    ///
    /// Every `pecking work` ranks below and executes it, whichever came first. Of the clients of
    /// its own tier only those that joined later do; --wait-for waits for them.
    #[command(after_help = run::EXAMPLES)]
    // `rerun` may have them without it, if what was saved was in batches.
    #[command(mut_arg("pause", |arg| arg.requires("batch")))]
    #[command(mut_arg("max_fail", |arg| arg.requires("batch")))]
    Run(Run),
    /// Run a command again for the targets at which it did not end with 0
    ///
    /// The file of --failed says which those are, and which command it was: `run --save` writes it.
    /// They are targets by their names; those that are not here are told as absent. To look first:
    /// --dry-run. A run in batches is run again in such batches, unless --batch says otherwise.
    Rerun(Rerun),
    /// Only execute, until a signal comes
    Work(Work),
    /// Show the detached commands that the server keeps (`run --detach`), the newest first
    Jobs(Listed),
    /// Show what became of a detached command, as `run` does
    ///
    /// Without --follow that is what has happened so far, and the exit code is that of the targets that
    /// have ended. To interrupt this does not end the command: `pecking cancel` does.
    Job(Job),
    /// End a detached command early
    Cancel {
        /// The job, as `run --detach` and `jobs` print it
        #[arg(value_name = "JOB")]
        job: JobId,
    },
    /// Measure how fast the server relays commands
    #[command(after_help = bench::EXAMPLES)]
    Bench(Bench),
    /// Show every client, by rank
    Members(Shown),
    /// Watch the server at a terminal: the ranking, the load, and commands as they run
    ///
    /// It ranks as the last of the lowest tier, unless --tier says otherwise, so no client that is
    /// there before it moves. ? shows its keys.
    Top(TopOptions),
    /// List your groups of clients (~/.config/pecking/groups.toml), or the items of one
    #[command(help_template = WITHOUT_OPTIONS)]
    Groups {
        /// The group; without one, all of them
        name: Option<String>,
    },
    /// Look at a policy file without running anything
    #[command(subcommand_required = true, arg_required_else_help = false, help_template = WITHOUT_OPTIONS, after_help = policy::EXAMPLE,
              override_usage = "pecking policy <COMMAND>")]
    Policy {
        #[command(subcommand)]
        look: LookAtPolicy,
    },
    /// Write man pages, completion scripts, and a file with every option of work as a comment
    #[command(hide = true, help_template = WITHOUT_OPTIONS)]
    PackageFiles {
        /// The folder, which is made
        dir: PathBuf,
    },
    /// Print a completion script for a shell
    #[command(help_template = WITHOUT_OPTIONS)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// The subcommand whose options a file can give.
pub(crate) const WORK: &str = "work";

impl Cli {
    /// Reads the command line, and the file that it names. The error says what is wrong, or is the
    /// help that was asked for.
    pub(crate) fn read() -> Result<(Cli, config_file::Settings), ConfigError> {
        let words: Vec<_> = std::env::args_os().collect();
        let settings = config_file::read(&Cli::command(), &words, Some(WORK))?;
        let cli = Cli::from_arg_matches(&settings.matches).map_err(ConfigError::Usage)?;
        Ok((cli, settings))
    }

    pub(crate) fn completions(shell: clap_complete::Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "pecking", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }

    /// Reads the files that the command line names for targets.
    pub(crate) fn read_targets(&mut self) -> Result<(), Failure> {
        match &mut self.command {
            Some(Action::Run(run)) => run.read_targets(),
            _ => Ok(()),
        }
    }

    /// What the options mean for the command that they stand with.
    pub(crate) fn settings(&self, is_terminal: bool) -> Result<Settings, Failure> {
        if matches!(self.command, Some(Action::Bench(_)))
            && let Some(option) = self.wrong_for_bench()
        {
            return Err(Failure::Usage(format!(
                "{option} is not for bench, which sets up its many clients itself; leave \
                 it out"
            )));
        }
        let (joining, executing) = (&self.joining, &self.executing);
        // Services rank below the people that command them, whichever came first, and what only
        // looks moves none that is here and needs no place that is held. A client that reconnects
        // ranks lower than before: the commands of `run` or of a pipe would then reach other clients
        // than meant, or none.
        let (slots, tier, reconnects, holds, waits) = match &self.command {
            Some(Action::Work(_)) => (Some(1), Some(Tier::LOWEST), true, true, Wait::ForServer),
            Some(Action::Top(_)) => (Some(0), Some(Tier::LOWEST), true, false, Wait::ForPlace),
            None => (None, None, is_terminal, is_terminal, Wait::ForPlace),
            Some(_) => (Some(0), None, false, false, Wait::ForPlace),
        };
        let wants_hold = match &self.command {
            Some(Action::Job(job)) => job.hold,
            _ => self.run_options().is_some_and(|run| run.hold),
        };
        let executes = match &executing.policy {
            Some(path) => Executes::Policy(path.clone()),
            None if executing.allow_any => Executes::Anything {
                even_as_root: executing.allow_root,
            },
            None => Executes::Simulation,
        };
        let encrypting = &joining.encrypting;
        Ok(Settings {
            config: Config {
                server: joining.server.host_and_port.clone(),
                name: joining.name.clone(),
                slots: joining.slots.or(slots),
                tier: joining.tier.or(tier),
                tags: joining.tags().map_err(Failure::Usage)?,
                // Only a prompt shows them.
                rank_news: self.command.is_none(),
                takes_input: false,
                token: joining.token_file.clone().map(Token::File),
                tls: encrypting.tls(&joining.server).map_err(Failure::Usage)?,
                plain: encrypting.plain(&executes),
                connect_timeout: joining.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
                reconnect: reconnects && !joining.no_reconnect,
                hold: holds && !joining.no_reconnect || wants_hold,
                job_events: true,
            },
            wait: if joining.wait { waits } else { Wait::No },
            executes,
            raw: self.raw,
            audit: None,
        })
    }

    /// Whether everything is told as JSON lines.
    pub(crate) fn wants_json_lines(&self) -> bool {
        self.show_options().is_some_and(|options| options.json)
    }

    /// The options of a run, if it is one.
    fn run_options(&self) -> Option<&RunOptions> {
        match &self.command {
            Some(Action::Run(run)) => Some(&run.options),
            Some(Action::Rerun(rerun)) => Some(&rerun.options),
            _ => None,
        }
    }

    /// How what comes of a command is shown, if that is to be shown.
    fn show_options(&self) -> Option<&ShowOptions> {
        match &self.command {
            Some(Action::Job(job)) => Some(&job.show),
            _ => self.run_options().map(|options| &options.show),
        }
    }

    /// The exit code of a failure of the command.
    pub(crate) fn exit_of(&self, failure: &Failure) -> ExitCode {
        match self.show_options() {
            Some(options) => options.exit_of(failure.exit_code()),
            None => failure.exit_code(),
        }
    }

    /// The first option that is about one client.
    fn wrong_for_bench(&self) -> Option<&'static str> {
        let options = [
            (self.joining.name.is_some(), "--name"),
            (self.joining.slots.is_some(), "--slots"),
            (!self.joining.tags.is_empty(), "--tag"),
            (self.joining.wait, "--wait"),
            (self.executing.policy.is_some(), "--policy"),
            (self.executing.allow_any, "--allow-any"),
        ];
        let given = options.iter().find(|(is_given, _)| *is_given);
        given.map(|(_, option)| *option)
    }
}

#[cfg(test)]
mod tests;
