//! The options of `pecking bench`.

use clap::Args;
use client::load::Plan;
use std::path::PathBuf;

pub(crate) const EXAMPLES: &str = "\
Examples:
  pecking bench                            one command at a time: the latency
  pecking bench --window 256               one pair at full speed: the throughput
  pecking bench --pairs 16 --window 16     many senders and executors
  pecking bench --fan-out 100              one to a hundred, and all outcomes back
  pecking bench --idle 5000 --to next      what five thousand idle clients cost
  pecking bench --count 100000 --json      a fixed number of sends, for programs
  pecking bench --fan-out 50 --run uptime  one to fifty that each really run a program
  pecking bench --save before.json         keep the run, and later
  pecking bench --against before.json      ... say what has changed since
  pecking bench --server tls://HOST:PORT --ca ca.pem
                                           the same over TLS

The server needs a place for each client (`pecking-server 5010`): two for a pair, one for each idle
client. Rates count commands that were done; latencies are from a send to its answer, with a
fan-out to the last outcome. Its clients are called bench-..., command only each other, and
refuse the commands of other clients. `--to next` and `--to rank` need a server without other
clients.

At a terminal, bars show how many sends took how long: each row counts those from its time up
to that of the next.

--json prints one object, and --save writes it: format (pecking-bench-1), version and commit
of this program; pairs, fan_out, window, payload, result, to, run, tls, idle, threads; sends,
open (sent and not answered), commands (outcomes), seconds, sends_per_s, commands_per_s,
megabytes_per_s; latency_us with min, mean, p50, p90, p99, p999, max; outcomes and errors,
each how many by its name; idle_joins_per_s; client_cpu (processor seconds in a second),
client_cpu_us (processor time for each command done), both of this process alone and not of
programs that --run starts; ended: done, interrupted or lost. With --against, --json has
against, too: before (the run of that file), ratio (now by before: commands_per_s, p50, p99,
p999), differs (the names of parameters that are not the same).

Exit codes: 0 everything was done, 2 usage, 3 the server or an outcome was lost, 5 refused or
busy, 130 interrupted, 255 no connection or not admitted.";

/// What `bench` takes.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) plan: Plan,

    /// Write the run to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,

    /// Compare the run with one that --save wrote: now by before
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
