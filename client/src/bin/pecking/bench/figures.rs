//! The figures of a bench, in the one shape that `--json` prints, `--save` writes and `--against` reads.
//! The help of the command lists their members.

use clap::ValueEnum;
use client::Status;
use client::load::{Counts, End, Plan, Report};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the shape is called. Another meaning of a member makes it another one.
pub(super) const FORMAT: &str = "pecking-bench-1";

/// What was measured, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    format: String,
    /// Those of this program, not of the server, which says nothing of its own.
    pub(super) version: String,
    pub(super) commit: String,
    #[serde(flatten)]
    pub(super) parameters: Parameters,
    sends: u64,
    open: u64,
    commands: u64,
    pub(super) seconds: f64,
    pub(super) sends_per_s: f64,
    pub(super) commands_per_s: f64,
    pub(super) megabytes_per_s: f64,
    pub(super) latency_us: Latency,
    outcomes: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    pub(super) idle_joins_per_s: Option<f64>,
    pub(super) client_cpu: f64,
    pub(super) client_cpu_us: f64,
    pub(super) ended: Ended,
}

/// What has to be the same for two runs to say something of each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Parameters {
    pairs: u32,
    fan_out: u32,
    window: u32,
    payload: usize,
    result: usize,
    pub(super) to: String,
    run: Option<String>,
    pub(super) tls: bool,
    idle: u32,
    threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ended {
    Done,
    Interrupted,
    Lost,
}

/// Microseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Latency {
    min: f64,
    mean: f64,
    pub(super) p50: f64,
    p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// The rate in a second; 0 if no time passed.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    match time.is_zero() {
        true => 0.0,
        false => count as f64 / time.as_secs_f64(),
    }
}

/// How many outcomes of each kind there were, if any.
pub(super) fn statuses(counts: &Counts) -> impl Iterator<Item = (Status, u64)> {
    let counts = Status::ALL.into_iter().zip(counts.outcomes);
    counts.filter(|(_, count)| *count > 0)
}

impl Figures {
    pub(super) fn new(plan: &Plan, parameters: Parameters, report: &Report) -> Figures {
        let counts = &report.counts;
        let commands_per_s = per_second(counts.done(), report.elapsed);
        let bytes = (plan.payload + plan.result) as f64;
        let cpu = report.cpu.as_secs_f64();
        let idle_joins = || per_second(plan.idle.into(), report.idle_joining);
        let outcomes = statuses(counts).map(|(status, count)| (status.name().to_owned(), count));
        let errors = counts.errors.iter();
        Figures {
            format: FORMAT.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("PECKING_COMMIT").into(),
            parameters,
            sends: counts.sent,
            open: counts.open,
            commands: counts.outcomes.iter().sum(),
            seconds: report.elapsed.as_secs_f64(),
            sends_per_s: per_second(counts.latency.len(), report.elapsed),
            commands_per_s,
            megabytes_per_s: commands_per_s * bytes / 1e6,
            latency_us: Latency::new(counts),
            outcomes: outcomes.collect(),
            errors: errors
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            idle_joins_per_s: (plan.idle > 0).then(idle_joins),
            client_cpu: per_second(1, report.elapsed) * cpu,
            client_cpu_us: match counts.done() {
                0 => 0.0,
                done => 1e6 * cpu / done as f64,
            },
            ended: match report.end {
                End::Whole => Ended::Done,
                End::Interrupted => Ended::Interrupted,
                End::Lost(_) => Ended::Lost,
            },
        }
    }
}

impl Parameters {
    pub(super) fn new(plan: &Plan, tls: bool) -> Parameters {
        let (pairs, fan_out) = plan
            .fan_out
            .map_or((plan.pairs, 0), |executors| (0, executors));
        let to = plan.to.to_possible_value();
        Parameters {
            pairs,
            fan_out,
            window: plan.window,
            payload: plan.payload,
            result: plan.result,
            to: to.map_or_else(String::new, |to| to.get_name().to_owned()),
            run: plan.run.as_ref().map(ToString::to_string),
            tls,
            idle: plan.idle,
            threads: plan.threads(),
        }
    }
}

impl Latency {
    fn new(counts: &Counts) -> Latency {
        let latency = &counts.latency;
        let us = |share| latency.value_at_quantile(share) as f64 / 1000.0;
        Latency {
            min: latency.min() as f64 / 1000.0,
            mean: latency.mean() / 1000.0,
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: us(1.0),
        }
    }
}
