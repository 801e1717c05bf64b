//! What is to be measured: the options of `pecking bench`.

use super::programs;
use common::limits::{MAX_LINE, MAX_OUTPUT, MAX_OUTPUT_SHARE, MAX_SLOTS, MIN_OUTPUT_SHARE};
use common::terminal::args;
use std::fmt;
use std::ops::RangeInclusive;
use std::thread::available_parallelism;
use std::time::Duration;

/// Bytes of commands and results that one pair may have under way: dozens of the largest lines.
const MOST_AHEAD: usize = 64 << 20;

/// Descriptors that a running program takes: both ends of three pipes while it starts, and the process.
const OF_A_PROGRAM: u64 = 7;

/// The most clients of a kind: one machine has fewer ports to dial from.
const MOST_CLIENTS: u32 = 100_000;

/// Bytes of a command or result: as many as the longest line of a server can hold.
const SIZES: RangeInclusive<usize> = 0..=16 * MAX_LINE;

/// What is to be measured.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Plan {
    /// The number of senders, each with an executor of its own
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "fan_out",
          value_parser = args::number(1..=MOST_CLIENTS), allow_hyphen_values = true)]
    pub pairs: u32,

    /// One sender, and this many executors that each execute all that it sends
    #[arg(long, value_name = "N", value_parser = args::number(1..=MOST_CLIENTS), allow_hyphen_values = true)]
    pub fan_out: Option<u32>,

    /// How many sends each sender has open, 1 to 1024
    #[arg(long, value_name = "W", default_value_t = 1,
          value_parser = args::number(1..=MAX_SLOTS), allow_hyphen_values = true)]
    pub window: u32,

    /// How a sender names its executor
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        default_value_t,
        allow_hyphen_values = true
    )]
    pub to: To,

    /// Bytes of each command
    #[arg(long, value_name = "SIZE", default_value = "32", value_parser = args::size(SIZES), allow_hyphen_values = true)]
    pub payload: usize,

    /// Bytes of each result
    #[arg(long, value_name = "SIZE", default_value = "16", value_parser = args::size(SIZES), allow_hyphen_values = true)]
    pub result: usize,

    /// Executors really start this program for each command, as `pecking work` does: its words as
    /// in a shell
    #[arg(long, value_name = "COMMAND", value_parser = words, conflicts_with_all = ["payload", "result"],
          allow_hyphen_values = true)]
    pub run: Option<Words>,

    /// How many sends, of all senders together
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "duration", allow_hyphen_values = true)]
    pub count: Option<u64>,

    /// How long to send
    #[arg(long, value_name = "DURATION", default_value = "5s",
          value_parser = args::positive_duration, allow_hyphen_values = true)]
    pub duration: Duration,

    /// How long to send before anything counts
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = args::duration, allow_hyphen_values = true)]
    pub warm_up: Duration,

    /// How many clients join besides, and do nothing
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = args::number(0..=MOST_CLIENTS), allow_hyphen_values = true)]
    pub idle: u32,

    /// Threads for the senders and executors [default: one for every four cores]
    #[arg(long, value_name = "N", value_parser = args::number(1..=256), allow_hyphen_values = true)]
    pub threads: Option<usize>,
}

/// How a sender names its executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum To {
    /// By its name; all of a fan-out by a pattern
    #[default]
    Name,
    /// As the next below
    Next,
    /// By its rank
    Rank,
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub(super) Vec<String>);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = shlex::try_join(self.0.iter().map(String::as_str));
        // No word with a zero byte can stand on a command line.
        f.write_str(&joined.unwrap_or_default())
    }
}

fn words(text: &str) -> Result<Words, String> {
    let words = shlex::split(text).filter(|words| !words.is_empty());
    let words = words.ok_or("expected a program and its arguments, such as 'sleep 0.1'")?;
    Ok(Words(words))
}

fn count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| "expected a whole number above zero, such as 100000".into())
}

impl Plan {
    /// How many clients send.
    pub fn senders(&self) -> u32 {
        self.fan_out.map_or(self.pairs, |_| 1)
    }

    /// How many clients execute each send.
    pub fn targets(&self) -> u32 {
        self.fan_out.unwrap_or(1)
    }

    /// How many clients it needs a place for.
    pub fn clients(&self) -> u64 {
        let senders = u64::from(self.senders());
        senders + senders * u64::from(self.targets()) + u64::from(self.idle)
    }

    /// For each command, the bench needs at most a fifth of the server's processor time, and the
    /// cores that it leaves to the server improve the figures.
    pub fn threads(&self) -> usize {
        let cores = available_parallelism().map_or(1, usize::from);
        let busy = self.senders().max(self.targets()) as usize;
        self.threads.unwrap_or((cores / 4).clamp(1, busy))
    }

    /// How many descriptors its clients need: a connection each, and the pipes and the process of each
    /// program that runs.
    pub(super) fn descriptors(&self) -> u64 {
        let programs = match self.run {
            Some(_) => {
                u64::from(self.senders()) * u64::from(self.targets()) * u64::from(self.window)
            }
            None => 0,
        };
        self.clients() + OF_A_PROGRAM * programs
    }

    /// The plan, if its options make sense together. What a program is told and writes is its own.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub fn checked(mut self) -> Result<Plan, String> {
        if let Some(words) = &self.run {
            programs::check(&words.0).map_err(|why| format!("--run: {why}"))?;
            (self.payload, self.result) = (0, 0);
        }
        self.check().map(|()| self)
    }

    fn check(&self) -> Result<(), String> {
        if self.fan_out.is_some() && self.to != To::Name {
            return Err("--fan-out sends to all of its executors by name: leave --to out".into());
        }
        let (window, result, targets) = (self.window, self.result, self.targets());
        let ahead = window as usize * (self.payload + result);
        if ahead > MOST_AHEAD {
            return Err(format!(
                "--window {window} has {ahead} bytes of commands and results under way; at most \
                 {MOST_AHEAD} are possible"
            ));
        }
        let share = MAX_OUTPUT / u64::from(targets);
        let longest = share.clamp(MIN_OUTPUT_SHARE, MAX_OUTPUT_SHARE);
        if result as u64 > longest {
            return Err(format!(
                "--result {result}: a server cuts results of {targets} targets after {longest} bytes"
            ));
        }
        Ok(())
    }
}
