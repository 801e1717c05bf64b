//! The report of a bench, as text and as JSON.

use client::Status;
use client::load::{End, Plan, Report, Shape, To};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

pub(super) fn report(plan: &Plan, report: &Report, as_json: bool) -> String {
    match as_json {
        false => text(plan, report),
        true => {
            let json = serde_json::to_string_pretty(&Json::new(plan, report));
            json.expect("numbers and names always become JSON") + "\n"
        }
    }
}

/// How often in a second; 0 if no time passed.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    match time.is_zero() {
        true => 0.0,
        false => count as f64 / time.as_secs_f64(),
    }
}

fn text(plan: &Plan, report: &Report) -> String {
    let json = Json::new(plan, report);
    let (payload, result, window) = (plan.payload, plan.result, plan.window);
    let mut lines = vec![format!(
        "{}, {window} open, {payload} bytes out and {result} back, by {}",
        who(plan),
        json.to
    )];
    if let Some(rate) = json.idle_joins_per_s {
        let (idle, seconds) = (plan.idle, report.idle_joining.as_secs_f64());
        lines.push(format!(
            "idle      {idle} joined in {seconds:.2} s: {rate:.0} joins/s"
        ));
    }
    let sends = match plan.shape.targets() {
        1 => String::new(),
        _ => format!("{:.0} sends/s, ", json.sends_per_s),
    };
    lines.push(format!(
        "rate      {:.0} commands/s, {sends}{:.2} MB/s: {} in {:.3} s",
        json.commands_per_s,
        json.megabytes_per_s,
        report.counts.done(),
        json.seconds
    ));
    let [p50, p99, p999, max] =
        [0.5, 0.99, 0.999, 1.0].map(|share| micros(report.counts.quantile(share)));
    lines.push(format!(
        "latency   p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}"
    ));
    lines.push(format!("outcomes  {}", outcomes(report)));
    lines.push(format!(
        "client    {:.0} % of a core, {:.2} µs a command",
        100.0 * json.client_cpu,
        json.client_cpu_us
    ));
    if report.end == End::Interrupted {
        lines.push("interrupted".into());
    }
    lines.join("\n") + "\n"
}

fn who(plan: &Plan) -> String {
    match plan.shape {
        Shape::Pairs(1) => "1 pair".into(),
        Shape::Pairs(pairs) => format!("{pairs} pairs"),
        Shape::FanOut(executors) => format!("1 sender to {executors} executors"),
    }
}

/// A time in a unit that shows three digits of it.
fn micros(time: Duration) -> String {
    let us = time.as_nanos() as f64 / 1000.0;
    match us {
        ..100.0 => format!("{us:.1} µs"),
        ..1000.0 => format!("{us:.0} µs"),
        ..100_000.0 => format!("{:.2} ms", us / 1000.0),
        _ => format!("{:.0} ms", us / 1000.0),
    }
}

fn outcomes(report: &Report) -> String {
    let all = statuses(report).chain(errors(report));
    let all = all.chain([("not answered", report.counts.open)]);
    let named = all.filter(|(_, count)| *count > 0);
    let named: Vec<String> = named
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match named.is_empty() {
        true => "none".into(),
        false => named.join(", "),
    }
}

fn statuses(report: &Report) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = Status::ALL.into_iter().zip(report.counts.outcomes);
    counts.map(|(status, count)| (status.name(), count))
}

fn errors(report: &Report) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = report.counts.errors.iter();
    counts.map(|(reason, count)| (*reason, *count))
}

/// The object that programs read. The help of the command lists its members.
#[derive(Serialize)]
struct Json {
    pairs: u32,
    fan_out: u32,
    window: u32,
    payload: usize,
    result: usize,
    to: &'static str,
    idle: u32,
    threads: usize,
    sends: u64,
    open: u64,
    commands: u64,
    seconds: f64,
    sends_per_s: f64,
    commands_per_s: f64,
    megabytes_per_s: f64,
    latency_us: Latency,
    outcomes: Map<String, Value>,
    errors: Map<String, Value>,
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

impl Json {
    fn new(plan: &Plan, report: &Report) -> Json {
        let (pairs, fan_out) = match plan.shape {
            Shape::Pairs(pairs) => (pairs, 0),
            Shape::FanOut(executors) => (0, executors),
        };
        let commands_per_s = per_second(report.counts.done(), report.elapsed);
        let bytes = (plan.payload + plan.result) as f64;
        let cpu = report.cpu.as_secs_f64();
        Json {
            pairs,
            fan_out,
            window: plan.window,
            payload: plan.payload,
            result: plan.result,
            to: match plan.to {
                To::Name => "name",
                To::Next => "next",
                To::Rank => "rank",
            },
            idle: plan.idle,
            threads: plan.threads,
            sends: report.counts.sent,
            open: report.counts.open,
            commands: report.counts.outcomes.iter().sum(),
            seconds: report.elapsed.as_secs_f64(),
            sends_per_s: per_second(report.counts.latency.len(), report.elapsed),
            commands_per_s,
            megabytes_per_s: commands_per_s * bytes / 1e6,
            latency_us: Latency::new(report),
            outcomes: named(statuses(report)),
            errors: named(errors(report)),
            idle_joins_per_s: (plan.idle > 0)
                .then(|| per_second(plan.idle.into(), report.idle_joining)),
            client_cpu: per_second(1, report.elapsed) * cpu,
            client_cpu_us: match report.counts.done() {
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

/// The counts above zero, by their names.
fn named(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    let counts = counts.filter(|(_, count)| *count > 0);
    counts
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect()
}

impl Latency {
    fn new(report: &Report) -> Latency {
        let us = |share| report.counts.quantile(share).as_nanos() as f64 / 1000.0;
        Latency {
            min: report.counts.latency.min() as f64 / 1000.0,
            mean: report.counts.latency.mean() / 1000.0,
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: us(1.0),
        }
    }
}
