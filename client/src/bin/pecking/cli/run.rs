//! The options of `pecking run`, and the command that they make.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::folder::OutputFolder;
use crate::output::grouped::Grouped;
use crate::output::json::JsonLines;
use crate::output::live::Live;
use crate::output::report::Sink;
use crate::output::screen::ScreenOptions;
use crate::prompt::line::check_selector;
use clap::{Args, ColorChoice};
use client::Command;
use common::terminal::args;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  pecking run --to below -- uptime                 on all that execute, live, each line with its name
  pecking run -b --to 'role=web' -- uname -r       equal outputs once, under the names
  pecking run --dry-run --to 'web[1-20],!web7' -- reboot
                                                   which would it reach?
  pecking run --exit-code --to web1 -- test -e /etc/motd
                                                   end with the exit code of the command
  pecking run --output-dir logs --quiet --to below -- dmesg >/dev/null
                                                   a file for each target and stream
  pecking run --json --to below -- df | jq         JSON lines, for programs

The targets (--to) and the exit codes: pecking --help";

/// How much of a command's output may be on its way to `run`: what a fast link holds in a few
/// milliseconds, and little memory.
const WINDOW: u64 = 4 << 20;

/// What `run` takes.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The targets of the command; without this the server decides
    #[arg(long, value_name = "SELECTOR", value_parser = check_selector)]
    to: Option<String>,

    /// Wait until so many clients that can execute rank below
    #[arg(long, value_name = "N", value_parser = whole_number)]
    pub(crate) wait_for: Option<u32>,

    /// Print the clients that it would reach, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// At a terminal, ask before a command goes to more targets than this
    #[arg(long, value_name = "N", value_parser = whole_number)]
    pub(crate) confirm_over: Option<u32>,

    /// How long the command may run at each target; how long it waits there until it runs does
    /// not count
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration)]
    timeout: Option<Duration>,

    /// How long the command may take in all, waiting included
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration)]
    deadline: Option<Duration>,

    /// End with the highest exit code of the commands themselves (with one target: its code), and
    /// with 255 for everything else
    #[arg(long)]
    pub(crate) exit_code: bool,

    /// Say only what went wrong: no progress, no notes and no summary
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print equal outputs once, under the names of their targets, when all have ended; past 256
    /// MiB of output, the longest of what still runs comes at once, line by line with its name
    #[arg(long, short = 'b', conflicts_with = "json", help_heading = "Output")]
    gather: bool,

    /// With -b: print of each output how it differs from the most frequent one
    #[arg(long, requires = "gather", help_heading = "Output")]
    diff: bool,

    /// Print everything as JSON lines, errors and the summary too, with its kind in `type`
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Write what each target prints to files of its own as well: DIR/NAME.stdout and
    /// DIR/NAME.stderr
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Show no progress line, which there is only at a terminal anyway
    #[arg(long, help_heading = "Output")]
    no_progress: bool,

    /// Colours for the names of targets: at a terminal unless NO_COLOR is set, always, or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    color: ColorChoice,

    /// The program or command word, then its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "WORDS")]
    pub(super) words: Vec<String>,
}

impl Run {
    /// What shows and keeps the output.
    ///
    /// # Errors
    /// What the command line names for that cannot be used.
    pub(crate) fn sinks(&self) -> Result<Vec<Box<dyn Sink>>, Failure> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(folder) = &self.output_dir {
            sinks.push(Box::new(OutputFolder::create(folder)?));
        }
        sinks.push(match (self.json, self.gather) {
            (true, _) => Box::new(JsonLines),
            (_, true) => Box::new(Grouped::new(self.diff)),
            _ => Box::new(Live::default()),
        });
        Ok(sinks)
    }

    /// Whether a progress line is wanted, at a terminal.
    pub(crate) fn wants_progress(&self) -> bool {
        !self.quiet && !self.no_progress && !self.dry_run
    }

    /// How the output looks.
    pub(crate) fn screen(&self, raw: bool) -> ScreenOptions {
        let has_colours = || {
            let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        };
        ScreenOptions {
            raw,
            colours: match self.color {
                ColorChoice::Auto if has_colours() => None,
                ColorChoice::Always => Some(true),
                _ => Some(false),
            },
            is_quiet: self.quiet,
        }
    }

    /// The exit code of the program when there are no commands that it could be of.
    pub(crate) fn exit_of(&self, exit: ExitCode) -> ExitCode {
        match self.exit_code {
            true => ExitCode::ours(),
            false => exit,
        }
    }

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
        command
    }
}

fn whole_number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "expected a whole number, such as 3".into())
}
