//! The options of `pecking run`, and the command that they make.

use crate::exit_code::ExitCode;
use crate::expected::Unreached;
use crate::failure::Failure;
use crate::output::folder::OutputFolder;
use crate::output::grouped::Grouped;
use crate::output::json::JsonLines;
use crate::output::live::Live;
use crate::output::report::{Problem, Sink};
use crate::output::save::SavedLines;
use crate::output::screen::ScreenOptions;
use crate::run::plan::{Plan, Share};
use crate::run::saved::SavedRun;
use crate::targets::{self, ListFile, read_list};
use clap::{Args, ColorChoice};
use client::{Command, SelectedTarget};
use common::limits::MAX_INPUT_WINDOW;
use common::terminal::args;
use std::convert::Infallible;
use std::io::{self, IsTerminal};
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
  pecking run --batch 5 --max-fail 1 --pause 30s --save web.jsonl --to 'role=web' -- restart
                                                   five at a time, until a second one fails
  pecking rerun --failed web.jsonl --save again.jsonl
                                                   again for those that failed or were skipped

The targets (--to) and the exit codes: pecking --help";

/// How much of a command's output may be on its way to `run`: what a fast link holds in a few
/// milliseconds, and little memory.
const WINDOW: u64 = 4 << 20;

/// What `run` takes.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The targets of the command; without this the server decides
    #[arg(long, value_name = "SELECTOR", value_parser = targets::selector, allow_hyphen_values = true)]
    to: Option<String>,

    /// The same from a file with an item a line (- for standard input); # and a blank begin a comment
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "to",
        allow_hyphen_values = true
    )]
    to_file: Option<ListFile>,

    #[command(flatten)]
    pub(crate) options: RunOptions,

    /// The program or command word, then its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "WORDS")]
    pub(super) words: Vec<String>,
}

/// What `rerun` takes.
#[derive(Debug, Args)]
pub(crate) struct Rerun {
    /// The file that `run --save` (or `rerun --save`) wrote: its command is run again, by name, for
    /// those at which it did not end with 0
    #[arg(long, value_name = "FILE", required = true)]
    failed: PathBuf,

    #[command(flatten)]
    pub(crate) options: RunOptions,
}

/// What to send, and what to say before that.
pub(crate) struct Task {
    pub(crate) command: Command,
    pub(crate) note: Option<String>,
    /// What is amiss without being in the way.
    pub(crate) problem: Option<Problem>,
}

/// How to send, to show and to keep: what `run` and `rerun` share.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Wait until so many clients that can execute rank below
    #[arg(long, value_name = "N", value_parser = whole_number, allow_hyphen_values = true)]
    pub(crate) wait_for: Option<u32>,

    /// Print the clients that it would reach, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// At a terminal, ask before a command goes to more targets than this
    #[arg(long, value_name = "N", value_parser = whole_number, allow_hyphen_values = true)]
    pub(crate) confirm_over: Option<u32>,

    /// Come back if the connection breaks and go on, as a prompt and work do, for as long as the
    /// server holds the place
    #[arg(long)]
    pub(crate) hold: bool,

    /// How long the command may run at each target; how long it waits there until it runs does
    /// not count
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,

    /// How long the command may take in all, waiting included
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,

    /// Run on so many targets at once, or on so many of a hundred (10%); the next batch starts when
    /// all of one have ended
    #[arg(long, value_name = "N", value_parser = batch, allow_hyphen_values = true, help_heading = "Batches")]
    batch: Option<Share>,

    /// With --batch: wait so long between two batches
    #[arg(long, value_name = "DURATION", requires = "batch", value_parser = args::positive_duration,
          allow_hyphen_values = true, help_heading = "Batches")]
    pause: Option<Duration>,

    /// With --batch: start the next batch only while at most so many targets (or so many of a
    /// hundred) have failed, that is, did not end with 0 [default: 0]
    #[arg(
        long,
        value_name = "N",
        requires = "batch",
        allow_hyphen_values = true,
        help_heading = "Batches"
    )]
    max_fail: Option<Share>,

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

    /// Write what --json prints to a file as well, from which `pecking rerun` runs it again
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    save: Option<PathBuf>,

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

    /// Give standard input to the command at every target, no faster than the slowest takes it; a
    /// policy's entry takes input if it says stdin = true
    #[arg(long, conflicts_with = "batch")]
    pub(crate) stdin: bool,

    #[arg(long = "script", hide = true, value_name = "FILE", value_parser = no_script, allow_hyphen_values = true)]
    _script: Option<Infallible>,
}

impl Run {
    /// Reads the targets from the file that is to have them.
    pub(crate) fn read_targets(&mut self) -> Result<(), Failure> {
        if let Some(file) = &self.to_file {
            if self.options.stdin && *file == ListFile::StandardInput {
                let twice = "--to-file - and --stdin both read standard input; name a file for one";
                return Err(Failure::Usage(twice.into()));
            }
            self.to = Some(read_list(file)?);
        }
        Ok(())
    }

    /// What to send.
    pub(crate) fn task(&self) -> Task {
        Task {
            command: self.options.command(&self.words, self.to.as_deref()),
            note: None,
            problem: None,
        }
    }
}

impl Rerun {
    /// What to send; nothing if it ended with 0 everywhere.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn task(&self) -> Result<Option<Task>, Failure> {
        let saved = SavedRun::read(&self.failed)?;
        let Some(to) = saved.selector()? else {
            return Ok(None);
        };
        Ok(Some(Task {
            command: self.options.command(&saved.words, Some(&to)),
            note: Some(saved.text()),
            problem: saved.problem(),
        }))
    }
}

impl RunOptions {
    /// What shows and keeps the output.
    ///
    /// # Errors
    /// What the command line names for that cannot be used.
    pub(crate) fn sinks(&self, to: Option<&str>) -> Result<Vec<Box<dyn Sink>>, Failure> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(file) = &self.save {
            sinks.push(Box::new(SavedLines::create(file)?));
        }
        if let Some(folder) = &self.output_dir {
            sinks.push(Box::new(OutputFolder::create(folder)?));
        }
        sinks.push(match (self.json, self.gather) {
            (true, _) => Box::new(JsonLines),
            (_, true) => Box::new(Grouped::new(self.diff)),
            _ => Box::new(Live::default()),
        });
        sinks.push(Box::new(Unreached::of(to)));
        Ok(sinks)
    }

    /// Whether a progress line is wanted, at a terminal: not one at which input is typed, which stands
    /// on the same line.
    pub(crate) fn wants_progress(&self) -> bool {
        let is_typed = self.stdin && io::stdin().is_terminal();
        !self.quiet && !self.no_progress && !self.dry_run && !is_typed
    }

    /// How the output looks.
    pub(crate) fn screen(&self, raw: bool) -> ScreenOptions {
        ScreenOptions {
            raw,
            colours: colours(self.color),
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

    /// How long all of it may take.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// How long to wait between two batches.
    pub(crate) fn pause(&self) -> Duration {
        self.pause.unwrap_or_default()
    }

    /// Makes batches of the targets, if there are to be batches.
    pub(crate) fn plan(&self, targets: impl FnOnce() -> Vec<SelectedTarget>) -> Option<Plan> {
        let batch = self.batch?;
        Some(Plan::new(targets(), batch, self.max_fail))
    }

    /// Whether the command goes to one batch of targets after the other.
    pub(crate) fn is_rolling(&self) -> bool {
        self.batch.is_some()
    }

    fn command(&self, words: &[String], to: Option<&str>) -> Command {
        let mut command = Command::new(words).window(WINDOW).progress();
        if let Some(to) = to {
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

fn whole_number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "expected a whole number, such as 3".into())
}

fn batch(text: &str) -> Result<Share, String> {
    match text.parse()? {
        Share::Count(0) | Share::Percent(0) => {
            Err("expected at least one target, such as 10, or a share, such as 10%".into())
        }
        share => Ok(share),
    }
}
/// Whether there are colours; `None`: at a terminal.
pub(super) fn colours(choice: ColorChoice) -> Option<bool> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let may_be =
        || !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    match choice {
        ColorChoice::Auto if may_be() => None,
        ColorChoice::Always => Some(true),
        _ => Some(false),
    }
}
