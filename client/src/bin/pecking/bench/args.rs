//! The options of `pecking bench`.

use clap::Args;
use client::load::Plan;

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
    #[command(flatten)]
    pub(crate) plan: Plan,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
