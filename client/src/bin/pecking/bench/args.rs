//! The options of `pecking bench`, and the plan that they become.

use crate::failure::Failure;
use clap::Args;
use client::load::{Amount, MOST_AHEAD, Plan, Shape, To};
use common::limits::{MAX_LINE, MAX_SLOTS};
use common::terminal::args;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

/// The most clients of a kind: one machine has fewer ports to dial from.
const MOST_CLIENTS: u32 = 100_000;

/// Bytes of a command or result: as many as the longest line of a server can hold.
const SIZES: RangeInclusive<usize> = 0..=16 * MAX_LINE;

/// How long it sends by default.
const DURATION: Duration = Duration::from_secs(5);

pub(crate) const EXAMPLES: &str = "\
Examples:
  pecking bench                            one command at a time: the latency
  pecking bench --window 256               one pair at full speed: the throughput
  pecking bench --pairs 16 --window 16     many senders and executors
  pecking bench --fan-out 100              one to a hundred, and all outcomes back
  pecking bench --idle 5000 --to next      what five thousand idle clients cost
  pecking bench --count 100000 --json      a fixed number of sends, for programs

The server needs a place for each client (`pecking-server 5010`): two for a pair, one for each idle
client. Rates count commands that were done; latencies are from a send to its answer, with a
fan-out to the last outcome. Its clients are called bench-..., command only each other, and
refuse the commands of other clients. `--to next` and `--to rank` need a server without other
clients.

--json prints one object: pairs, fan_out, window, payload, result, to, idle, threads; sends,
open (sent and not answered), commands (outcomes), seconds, sends_per_s, commands_per_s,
megabytes_per_s; latency_us with min, mean, p50, p90, p99, p999, max; outcomes and errors,
each how many by its name; idle_joins_per_s; client_cpu (processor seconds in a second),
client_cpu_us (processor time for each command done); ended: done, interrupted or lost.

Exit codes: 0 everything was done, 2 usage, 3 the server or an outcome was lost, 5 refused or
busy, 130 interrupted, 255 no connection or not admitted.";

/// What `bench` takes.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The number of senders, each with an executor of its own [default: 1]
    #[arg(long, value_name = "N", value_parser = some_clients, conflicts_with = "fan_out")]
    pairs: Option<u32>,

    /// One sender, and this many executors that each execute all that it sends
    #[arg(long, value_name = "N", value_parser = some_clients)]
    fan_out: Option<u32>,

    /// How many sends each sender has open, 1 to 1024
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = window)]
    window: u32,

    /// How a sender names its executor
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    to: To,

    /// Bytes of each command
    #[arg(long, value_name = "SIZE", default_value = "32", value_parser = size)]
    payload: usize,

    /// Bytes of each result
    #[arg(long, value_name = "SIZE", default_value = "16", value_parser = size)]
    result: usize,

    /// How many sends, of all senders together
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "duration")]
    count: Option<u64>,

    /// How long to send [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = args::positive_duration)]
    duration: Option<Duration>,

    /// How long to send before anything counts
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = args::duration)]
    warm_up: Duration,

    /// How many clients join besides, and do nothing
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clients)]
    idle: u32,

    /// Threads for the senders and executors [default: one for every four cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn clients(text: &str) -> Result<u32, String> {
    number(text, 0..=MOST_CLIENTS)
}

fn some_clients(text: &str) -> Result<u32, String> {
    number(text, 1..=MOST_CLIENTS)
}

fn window(text: &str) -> Result<u32, String> {
    number(text, 1..=MAX_SLOTS)
}

fn threads(text: &str) -> Result<usize, String> {
    number(text, 1..=256)
}

fn number<N: FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<N>,
) -> Result<N, String> {
    let number = text.parse().ok().filter(|n| range.contains(n));
    let (first, last) = (range.start(), range.end());
    number.ok_or_else(|| format!("expected a whole number from {first} to {last}"))
}

fn count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| "expected a whole number above zero, such as 100000".into())
}

fn size(text: &str) -> Result<usize, String> {
    args::size(text, SIZES)
}

impl Bench {
    /// The plan, if the options make sense together.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let shape = match self.fan_out {
            Some(executors) => Shape::FanOut(executors),
            None => Shape::Pairs(self.pairs.unwrap_or(1)),
        };
        let plan = Plan {
            shape,
            to: self.to,
            window: self.window,
            payload: self.payload,
            result: self.result,
            amount: match self.count {
                Some(count) => Amount::Sends(count),
                None => Amount::Time(self.duration.unwrap_or(DURATION)),
            },
            warm_up: self.warm_up,
            idle: self.idle,
            threads: self.threads(shape),
        };
        check(&plan).map(|()| plan)
    }

    /// For each command, the bench needs at most a fifth of the server's processor time, and the
    /// cores that it leaves to the server improve the figures.
    fn threads(&self, shape: Shape) -> usize {
        let cores = available_parallelism().map_or(1, usize::from);
        let busy = shape.senders().max(shape.targets()) as usize;
        self.threads.unwrap_or((cores / 4).clamp(1, busy))
    }
}

fn check(plan: &Plan) -> Result<(), Failure> {
    let wrong = |why: String| Err(Failure::Usage(why));
    if matches!(plan.shape, Shape::FanOut(_)) && plan.to != To::Name {
        return wrong("--fan-out sends to all of its executors by name: leave --to out".into());
    }
    let ahead = plan.window as usize * (plan.payload + plan.result);
    if ahead > MOST_AHEAD {
        return wrong(format!(
            "--window {} has {ahead} bytes of commands and results under way; at most \
             {MOST_AHEAD} are possible",
            plan.window
        ));
    }
    let longest = plan.longest_result();
    if plan.result as u64 > longest {
        return wrong(format!(
            "--result {}: a server cuts results of {} targets after {longest} bytes",
            plan.result,
            plan.shape.targets()
        ));
    }
    Ok(())
}
