//! The report of a bench as text.

use super::figures::{Figures, statuses};
use client::load::{Counts, End, Plan, Report};

pub(super) fn text(plan: &Plan, report: &Report, figures: &Figures) -> String {
    let mut lines = vec![measured(plan, figures)];
    if let Some(rate) = figures.idle_joins_per_s {
        let (idle, seconds) = (plan.idle, report.idle_joining.as_secs_f64());
        lines.push(format!(
            "idle      {idle} joined in {seconds:.2} s: {rate:.0} joins/s"
        ));
    }
    let sends = match plan.targets() {
        1 => String::new(),
        _ => format!(", {:.0} sends/s", figures.sends_per_s),
    };
    let bytes = match plan.run {
        Some(_) => String::new(),
        None => format!(", {:.2} MB/s", figures.megabytes_per_s),
    };
    lines.push(format!(
        "rate      {:.0} commands/s{sends}{bytes}: {} in {:.3} s",
        figures.commands_per_s,
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

/// What was measured.
fn measured(plan: &Plan, figures: &Figures) -> String {
    let clients = match (plan.fan_out, plan.pairs) {
        (Some(executors), _) => format!("1 sender to {executors} executors"),
        (None, 1) => "1 pair".into(),
        (None, pairs) => format!("{pairs} pairs"),
    };
    let what = match &plan.run {
        Some(run) => format!("each command runs `{run}`"),
        None => format!("{} bytes out and {} back", plan.payload, plan.result),
    };
    let parameters = &figures.parameters;
    let tls = if parameters.tls { ", over TLS" } else { "" };
    format!(
        "{clients}, {} open, {what}, by {}{tls}",
        plan.window, parameters.to
    )
}

/// Microseconds in a unit that shows three digits of them.
pub(super) fn three_digits(us: f64) -> String {
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
    let named = statuses(counts).map(|(status, count)| (status.name(), count));
    let named = named.chain(errors).chain(open);
    let named: Vec<_> = named
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match named.is_empty() {
        true => "none".into(),
        false => named.join(", "),
    }
}
