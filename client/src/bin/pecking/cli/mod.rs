//! The command line of the client: raw arguments, and what they become.

mod job;
mod members;
mod policy;
mod run;
mod show;

pub(crate) use job::{Job, ListForm, Listed};
pub(crate) use members::{Form, Shown};
pub(crate) use policy::LookAtPolicy;
use run::{Rerun, Run};
pub(crate) use run::{RunOptions, Task};
pub(crate) use show::ShowOptions;

use crate::bench::{self, Bench};
use crate::dial::Wait;
use crate::encrypting::{Encrypting, ServerAddress};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::settings::{Executes, Settings};
use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use client::{CONNECT_TIMEOUT, Config, JobId, Token};
use common::audit::AuditOptions;
use common::limits::{DEFAULT_ADDRESS, MAX_SLOTS};
use common::logging::format::LogFormat;
use common::terminal::args;
use common::terminal::config_file::{self, ConfigError};
use common::wire::name::check_name;
use common::wire::{Tags, Tier};
use std::path::PathBuf;
use std::time::Duration;

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

/// The variable of the environment that counts if `--server` is left out.
pub(crate) const SERVER_VARIABLE: &str = "PECKING_SERVER";

const EXAMPLES: &str = "\
Examples:
  pecking                                  a prompt; :help explains its lines
  pecking run -- print                     let the nearest client below execute `print`
  pecking run --to below --wait-for 3 -- print
                                           wait until three have, then send to all of them
  echo '@web* print' | pecking             run lines from a pipe
  pecking work --name web1 --slots 4 --policy policy.toml
                                           only execute, four commands of that file at once
  pecking members                          every client, by rank
  pecking top                              the same as it changes, with what runs
  pecking run --detach --to below -- backup
                                           go on without this program; `pecking jobs` lists
                                           such commands, `pecking job ID` shows one
  pecking bench --window 256               how fast the server is

Clients are ranked by tier (--tier), and within a tier the first to come ranks first. `work`
takes the lowest tier, 9, so it executes what prompts and run (tier 5) send, whichever came
first.

The targets of a command (--to, or @ in front of a line): next, least-loaded, below, all, or
a list of ranks (2), ranges (3-7), member numbers ('#17'), names (web1), node sets
('web[1-20]'), patterns ('web*') and tags ('role=web'); & joins items that must all hold
('role=web&dc=fra'), !web3 leaves one out, @prod is a group (`pecking groups`). next:LIST and
least-loaded:LIST take one of a list.

Exit codes of run and of piped lines, of several the worst: 0 all done with 0 and no output
cut, 1 a command ended with another code, could not be started or was skipped, 2 usage, 3 lost, 4 no
target or an absent one, 5 refused, outranked or busy, 6 all done with 0 but output was cut,
124 timed out, 130 interrupted or cancelled, 141 no reader for its output, 255 no connection
or not admitted.";

/// The help of a command that joins no server.
const WITHOUT_OPTIONS: &str = "\
{about-with-newline}
{usage-heading} {usage}

{positionals}{subcommands}{after-help}";

/// How to join, for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Joining")]
struct Joining {
    /// The server: HOST:PORT, or tls://HOST:PORT, with #sha256:HEX behind it to pin a key
    #[arg(long, global = true, value_name = "ADDRESS", env = SERVER_VARIABLE,
          default_value = DEFAULT_ADDRESS, allow_hyphen_values = true)]
    server: ServerAddress,

    /// The name to join with; without one the server gives one
    #[arg(long, global = true, value_parser = name, allow_hyphen_values = true)]
    name: Option<String>,

    /// How many commands to execute at once, 0 to 1024 [default: 1, at a prompt 0 if the credential
    /// does not let it execute; 0 for run, members and top]
    #[arg(long, global = true, value_name = "N", value_parser = args::number(0..=MAX_SLOTS), allow_hyphen_values = true)]
    slots: Option<u32>,

    /// The tier to rank in, 0 (the highest) to 9: every client of a smaller number ranks above.
    /// Without a credential for more, 5 to 9 [default: 9 for work and top, else what the server gives: 5
    /// without a credential]
    #[arg(long, global = true, value_name = "N", value_parser = tier, allow_hyphen_values = true)]
    tier: Option<Tier>,

    /// What selectors such as role=web find this client by; up to 16 times
    #[arg(long = "tag", global = true, value_name = "KEY=VALUE", value_parser = tag, allow_hyphen_values = true)]
    tags: Vec<(String, String)>,

    /// How long connecting and joining may take [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true)]
    connect_timeout: Option<Duration>,

    /// Wait for a place and for the name; with work, also for the server
    #[arg(long, global = true)]
    wait: bool,

    /// End when the connection is lost; without this, a prompt and work come back to their rank, or
    /// join again, ranked below all of their tier that are here by then; top joins again
    #[arg(long, global = true)]
    no_reconnect: bool,

    /// The file with the server's token in its first line; only its owner may be able to
    /// read or write it
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    encrypting: Encrypting,
}

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

/// What `work` takes.
#[derive(Debug, Args)]
pub(crate) struct Work {
    #[command(flatten)]
    pub(crate) audit: AuditOptions,

    /// Take options from this file, too: its keys are the names of options (`slots = 4`). The
    /// command line wins over it, and the environment as well
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print every option with its value and where that is from, and end
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// How `top` looks.
#[derive(Debug, Args)]
pub(crate) struct TopOptions {
    /// Colours: unless NO_COLOR is set, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

impl TopOptions {
    /// Whether there are colours.
    pub(crate) fn has_colours(&self) -> bool {
        show::colours(self.color).unwrap_or(true)
    }
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn tier(text: &str) -> Result<Tier, String> {
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

impl Joining {
    fn tags(&self) -> Result<Tags, String> {
        let mut tags = Tags::default();
        for (key, value) in &self.tags {
            tags.add(key, value)
                .map_err(|why| format!("--tag: {why}"))?;
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests;
