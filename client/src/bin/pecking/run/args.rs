//! The options of `pecking run` and `pecking rerun`, and the command that they make.

use crate::failure::Failure;
use crate::output::args::ShowOptions;
use crate::output::report::{Problem, Sink};
use crate::output::save::SavedLines;
use crate::run::again::Again;
use crate::run::plan::{Plan, Share};
use crate::run::saved::SavedRun;
use crate::targets::{self, STANDARD_INPUT, read_list};
use clap::Args;
use client::{Command, SelectedTarget};
use common::limits::MAX_INPUT_WINDOW;
use common::terminal::args;
use common::terminal::escape::path_line;
use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const EXAMPLES: &str = "\
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
  pecking run --detach --to below -- backup         print a job, which goes on at the server
  pecking rerun --failed web.jsonl --save again.jsonl
                                                   again for those that failed or were skipped,
                                                   five at a time, too
  pecking run --stdin --to 'role=web' -- put-motd <motd
                                                   a file to many, if their policies take it

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
    to_file: Option<String>,

    #[command(flatten)]
    pub(crate) options: RunOptions,

    /// The program or command word, then its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "WORDS")]
    pub(crate) words: Vec<String>,
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
    /// At how many targets at once; all, if nothing is said.
    pub(crate) batch: Option<Share>,
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
    pub(crate) deadline: Option<Duration>,

    /// Run on so many targets at once, or on so many of a hundred (10%), by their ranks; the next
    /// batch starts when all of one have ended
    #[arg(long, value_name = "N", value_parser = batch, allow_hyphen_values = true, help_heading = "Batches")]
    batch: Option<Share>,

    /// With --batch: wait so long between two batches
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration, allow_hyphen_values = true,
          help_heading = "Batches")]
    pub(crate) pause: Option<Duration>,

    /// With --batch: start the next batch only while at most so many targets (or so many of a
    /// hundred) have failed, that is, did not end with 0 [default: 0]
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "Batches"
    )]
    max_fail: Option<Share>,

    #[command(flatten)]
    pub(crate) show: ShowOptions,

    /// Write what --json prints to a file as well, from which `pecking rerun` runs it again
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    save: Option<PathBuf>,

    /// Give standard input to the command at every target, no faster than the slowest takes it; a
    /// policy's entry takes input if it says stdin = true
    #[arg(long, conflicts_with = "batch")]
    pub(crate) stdin: bool,

    /// Print the id of the command and end: the command goes on at the server.
    /// `pecking job ID` shows what became of it
    #[arg(long, conflicts_with_all = ["batch", "stdin", "save", "gather", "output_dir", "exit_code"])]
    pub(crate) detach: bool,

    #[arg(long = "script", hide = true, value_name = "FILE", value_parser = no_script, allow_hyphen_values = true)]
    _script: Option<Infallible>,
}

impl Run {
    /// Reads the targets from the file that is to have them.
    pub(crate) fn read_targets(&mut self) -> Result<(), Failure> {
        if let Some(file) = &self.to_file {
            if self.options.stdin && file == STANDARD_INPUT {
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
            batch: self.options.batch,
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
        let options = &self.options;
        if saved.has_input && !options.stdin && !options.dry_run {
            return Err(Failure::Usage(format!(
                "--failed {}: the command had input, which the file does not have; give it again: \
                 --stdin < FILE",
                path_line(&self.failed)
            )));
        }
        // What was not to happen everywhere at once is not to do so now.
        let batch = options.batch.or(saved.batch.filter(|_| !options.stdin));
        if let (None, Some(option)) = (batch, options.between_batches()) {
            return Err(Failure::Usage(format!(
                "{option} is for batches, and what {} keeps was in none; add --batch, such as \
                 --batch 10%",
                path_line(&self.failed)
            )));
        }
        let pace = match (options.batch, batch) {
            (None, Some(Share::Count(count))) => format!(" (--batch {count}, as before)"),
            _ => String::new(),
        };
        Ok(Some(Task {
            command: options.command(&saved.words, Some(&to)),
            note: Some(saved.text() + &pace),
            batch,
            problem: saved.problem(),
        }))
    }
}

impl RunOptions {
    /// What shows and keeps the output.
    ///
    /// # Errors
    /// What the command line names for that cannot be used.
    pub(crate) fn sinks(&self) -> Result<Vec<Box<dyn Sink>>, Failure> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(file) = &self.save {
            sinks.push(Box::new(SavedLines::create(file)?));
        }
        sinks.append(&mut self.show.sinks()?);
        Ok(sinks)
    }

    /// Whether a progress line is wanted, at a terminal: not one at which input is typed, which stands
    /// on the same line.
    pub(crate) fn wants_progress(&self) -> bool {
        let is_typed = self.stdin && io::stdin().is_terminal();
        self.show.wants_progress() && !self.dry_run && !is_typed
    }

    /// The first option that says what is between two batches.
    fn between_batches(&self) -> Option<&'static str> {
        let max_fail = self.max_fail.map(|_| "--max-fail");
        max_fail.or(self.pause.map(|_| "--pause"))
    }

    /// Makes batches of the targets. If the command line does not ask for that, what is out of reach
    /// from the start is no reason not to begin.
    pub(crate) fn plan(&self, targets: Vec<SelectedTarget>, batch: Share) -> Plan {
        let mut plan = Plan::new(targets, batch, self.max_fail);
        if self.batch.is_none() {
            let unreached = u32::try_from(plan.unreached().len()).unwrap_or(u32::MAX);
            plan.most_failures = plan.most_failures.saturating_add(unreached);
        }
        plan
    }

    /// How those that failed are run again.
    pub(crate) fn again(&self) -> Again {
        Again {
            saved: self.save.clone(),
            has_input: self.stdin,
            is_told: !self.show.quiet && !self.show.json,
        }
    }

    fn command(&self, words: &[String], to: Option<&str>) -> Command {
        let mut command = Command::new(words);
        if !self.detach {
            command = command.window(WINDOW).progress();
        }
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
