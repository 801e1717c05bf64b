//! The options of how what comes of a command is shown: what `run`, `rerun` and `job` share.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::folder::OutputFolder;
use crate::output::grouped::Grouped;
use crate::output::json::JsonLines;
use crate::output::live::Live;
use crate::output::progress::Progress;
use crate::output::report::Sink;
use crate::output::screen::Screen;
use clap::{Args, ColorChoice};
use std::path::PathBuf;

/// How what comes of a command is shown.
#[derive(Debug, Args)]
pub(crate) struct ShowOptions {
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
}

impl ShowOptions {
    /// What shows the output.
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
        !self.quiet && !self.no_progress
    }

    /// Where it is shown. `raw`: control characters of other clients reach a terminal.
    ///
    /// # Errors
    /// The streams of this process cannot be used.
    pub(crate) fn screen(&self, raw: bool, progress: Progress) -> Result<Screen, Failure> {
        Screen::own(colours(self.color), raw, self.quiet, progress).map_err(Failure::Output)
    }

    /// The exit code of the program when there are no commands that it could be of.
    pub(crate) fn exit_of(&self, exit: ExitCode) -> ExitCode {
        match self.exit_code {
            true => ExitCode::ours(),
            false => exit,
        }
    }
}

/// Whether there are colours; `None`: at a terminal.
pub(crate) fn colours(choice: ColorChoice) -> Option<bool> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let may_be =
        || !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    match choice {
        ColorChoice::Auto if may_be() => None,
        ColorChoice::Always => Some(true),
        _ => Some(false),
    }
}
