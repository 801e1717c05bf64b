//! The report of a bench, as text and as JSON.

use clap::ValueEnum;
use client::Status;
use client::load::{Counts, End, Plan, Report};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn report(plan: &Plan, report: &Report, as_json: bool) -> String {
    let figures = Figures::new(plan, report);
    match as_json {
        false => text(plan, report, &figures),
        true => {
            let json = serde_json::to_string_pretty(&figures);
            json.expect("numbers and names always become JSON") + "\n"
        }
    }
}

/// The rate in a second; 0 if no time passed.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    match time.is_zero() {
        true => 0.0,
        false => count as f64 / time.as_secs_f64(),
    }
}

fn text(plan: &Plan, report: &Report, figures: &Figures<'_>) -> String {
    let clients = match (plan.fan_out, plan.pairs) {
        (Some(executors), _) => format!("1 sender to {executors} executors"),
        (None, 1) => "1 pair".into(),
        (None, pairs) => format!("{pairs} pairs"),
    };
    let to = plan.to.to_possible_value();
    let mut lines = vec![format!(
        "{clients}, {} open, {} bytes out and {} back, by {}",
        plan.window,
        plan.payload,
        plan.result,
        to.as_ref().map_or("", |to| to.get_name())
    )];
    if let Some(rate) = figures.idle_joins_per_s {
        let (idle, seconds) = (plan.idle, report.idle_joining.as_secs_f64());
        lines.push(format!(
            "idle      {idle} joined in {seconds:.2} s: {rate:.0} joins/s"
        ));
    }
    let sends = match plan.targets() {
        1 => String::new(),
        _ => format!("{:.0} sends/s, ", figures.sends_per_s),
    };
    lines.push(format!(
        "rate      {:.0} commands/s, {sends}{:.2} MB/s: {} in {:.3} s",
        figures.commands_per_s,
        figures.megabytes_per_s,
        report.counts.done(),
        figures.seconds
    ));
    let latency = &figures.latency_us;
    let [p50, p99, p999, max] =
        [latency.p50, latency.p99, latency.p999, latency.max].map(three_digits);
    lines.push(format!(
        "latency   p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}"
    ));
    lines.push(format!("outcomes  {}", outcomes(&report.counts)));
    lines.push(format!(
        "client    {:.0} % of a core, {:.2} µs a command",
        100.0 * figures.client_cpu,
        figures.client_cpu_us
    ));
    if report.end == End::Interrupted {
        lines.push("interrupted".into());
    }
    lines.join("\n") + "\n"
}

/// Microseconds in a unit that shows three digits of them.
fn three_digits(us: f64) -> String {
    match us {
        ..100.0 => format!("{us:.1} µs"),
        ..1000.0 => format!("{us:.0} µs"),
        ..100_000.0 => format!("{:.2} ms", us / 1000.0),
        _ => format!("{:.0} ms", us / 1000.0),
    }
}

fn outcomes(counts: &Counts) -> String {
    let errors = counts
        .errors
        .iter()
        .map(|(reason, count)| (*reason, *count));
    let open = (counts.open > 0).then_some(("not answered", counts.open));
    let named = statuses(counts).chain(errors).chain(open);
    let named: Vec<_> = named
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match named.is_empty() {
        true => "none".into(),
        false => named.join(", "),
    }
}

/// How many outcomes of each kind there were, if any.
fn statuses(counts: &Counts) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = Status::ALL.into_iter().zip(counts.outcomes);
    let counts = counts.filter(|(_, count)| *count > 0);
    counts.map(|(status, count)| (status.name(), count))
}

/// The object that programs read. The help of the command lists its members.
#[derive(Serialize)]
struct Figures<'a> {
    pairs: u32,
    fan_out: u32,
    #[serde(flatten)]
    plan: &'a Plan,
    threads: usize,
    sends: u64,
    open: u64,
    commands: u64,
    seconds: f64,
    sends_per_s: f64,
    commands_per_s: f64,
    megabytes_per_s: f64,
    latency_us: Latency,
    outcomes: BTreeMap<&'static str, u64>,
    errors: &'a BTreeMap<&'static str, u64>,
    idle_joins_per_s: Option<f64>,
    client_cpu: f64,
    client_cpu_us: f64,
    ended: &'static str,
}

#[derive(Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl<'a> Figures<'a> {
    fn new(plan: &'a Plan, report: &'a Report) -> Figures<'a> {
        let (pairs, fan_out) = plan
            .fan_out
            .map_or((plan.pairs, 0), |executors| (0, executors));
        let counts = &report.counts;
        let commands_per_s = per_second(counts.done(), report.elapsed);
        let bytes = (plan.payload + plan.result) as f64;
        let cpu = report.cpu.as_secs_f64();
        let idle_joins = || per_second(plan.idle.into(), report.idle_joining);
        Figures {
            pairs,
            fan_out,
            plan,
            threads: plan.threads(),
            sends: counts.sent,
            open: counts.open,
            commands: counts.outcomes.iter().sum(),
            seconds: report.elapsed.as_secs_f64(),
            sends_per_s: per_second(counts.latency.len(), report.elapsed),
            commands_per_s,
            megabytes_per_s: commands_per_s * bytes / 1e6,
            latency_us: Latency::new(counts),
            outcomes: statuses(counts).collect(),
            errors: &counts.errors,
            idle_joins_per_s: (plan.idle > 0).then(idle_joins),
            client_cpu: per_second(1, report.elapsed) * cpu,
            client_cpu_us: match counts.done() {
                0 => 0.0,
                done => 1e6 * cpu / done as f64,
            },
            ended: match report.end {
                End::Whole => "done",
                End::Interrupted => "interrupted",
                End::Lost(_) => "lost",
            },
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
