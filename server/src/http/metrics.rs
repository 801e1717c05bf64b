//! `/metrics`: the text format of Prometheus (version 0.0.4). It is a page of lines, and its values
//! are this server's own numbers, so it is made here; what reads it in the tests is not.

use super::running::Shared;
use crate::telemetry::counters::{BOUNDS_MS, Totals};
use crate::version;
use common::sys::resources::{
    descriptor_count, descriptor_limit, open_descriptors, processor_time, resident_memory, threads,
};
use common::wire::Status;
use common::wire::tier::Tier;
use std::fmt::{Display, Write};

/// The lines of all metrics.
pub(super) fn text(shared: &Shared) -> String {
    let mut text = Text::default();
    let totals = shared.telemetry.counters.totals();
    build(&mut text);
    members(&mut text, shared, &totals);
    commands(&mut text, &totals);
    traffic(&mut text, shared, &totals);
    process(&mut text, shared);
    text.0
}

/// A page of metrics in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A value. Labels are names of this server's own, which need no escape.
    fn value(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, is)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{is}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A metric with one value.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.value(name, &[], value);
    }
}

fn build(text: &mut Text) {
    let name = "pecking_build_info";
    text.metric(name, "gauge", "The version and the commit; always 1.");
    let labels: [(&str, &dyn Display); 2] =
        [("version", &version::VERSION), ("commit", &version::COMMIT)];
    text.value(name, &labels, 1);
}

/// What the members of a tier do.
#[derive(Clone, Copy, Default)]
struct OfTier {
    members: u64,
    slots: u64,
    running: u64,
    queued: u64,
}

fn members(text: &mut Text, shared: &Shared, totals: &Totals) {
    let hub = &shared.hub;
    let mut tiers = [OfTier::default(); Tier::LOWEST.number() as usize + 1];
    let mut waiting = 0;
    hub.roster.look(|view| {
        for place in view.ranked() {
            let member = &place.member;
            let tier = &mut tiers[usize::from(member.tier.number())];
            tier.members += 1;
            tier.slots += u64::from(member.slots);
            tier.running += u64::from(member.queue.running());
            tier.queued += u64::from(member.queue.queued());
            waiting += member.connection.outbox.waiting_bytes();
        }
    });
    for (name, help, of) in [
        ("pecking_members", "Members, by tier.", &|tier: &OfTier| {
            tier.members
        }),
        (
            "pecking_slots",
            "Slots of the members, by tier.",
            &|tier: &OfTier| tier.slots,
        ),
        (
            "pecking_running",
            "Commands that members execute, by their tier.",
            &|tier: &OfTier| tier.running,
        ),
        (
            "pecking_queued",
            "Commands that wait for members, by their tier.",
            &|tier: &OfTier| tier.queued,
        ),
    ] as [(&str, &str, &dyn Fn(&OfTier) -> u64); 4]
    {
        text.metric(name, "gauge", help);
        for (number, tier) in tiers.iter().enumerate() {
            text.value(name, &[("tier", &number)], of(tier));
        }
    }
    text.one(
        "pecking_members_max",
        "gauge",
        "The most members that are taken.",
        hub.config.max_clients,
    );
    text.one(
        "pecking_draining",
        "gauge",
        "Whether the server is about to stop.",
        u8::from(hub.is_draining()),
    );
    text.one(
        "pecking_outbox_waiting_bytes",
        "gauge",
        "Bytes that wait to be sent to members.",
        waiting,
    );
    text.one(
        "pecking_memory_kept_bytes",
        "gauge",
        "Bytes that are kept for all clients.",
        hub.budget.all.kept(),
    );
    text.one(
        "pecking_memory_max_bytes",
        "gauge",
        "The most that are kept (--max-memory).",
        hub.config.max_memory,
    );
    text.one(
        "pecking_joins_total",
        "counter",
        "Clients that joined.",
        totals.joined,
    );
    text.one(
        "pecking_leaves_total",
        "counter",
        "Members that left.",
        totals.left,
    );
    text.one(
        "pecking_slow_consumers_total",
        "counter",
        "Members that were disconnected as they did not read.",
        totals.slow,
    );
    refusals(text, shared);
}

/// Those that there were: a metric without a value says nothing.
fn refusals(text: &mut Text, shared: &Shared) {
    let refusals = shared.telemetry.refusals();
    if refusals.is_empty() {
        return;
    }
    let name = "pecking_refusals_total";
    text.metric(
        name,
        "counter",
        "Joins and sends that were not taken, by the reason on the wire.",
    );
    for ((what, reason), count) in refusals {
        text.value(name, &[("method", &what), ("reason", &reason)], count);
    }
}

fn commands(text: &mut Text, totals: &Totals) {
    text.one(
        "pecking_commands_total",
        "counter",
        "Commands that were taken.",
        totals.taken,
    );
    let name = "pecking_outcomes_total";
    text.metric(
        name,
        "counter",
        "Outcomes of commands at their targets, by status.",
    );
    for (status, count) in Status::ALL.iter().zip(totals.outcomes) {
        text.value(name, &[("status", &status.name())], count);
    }
    let name = "pecking_command_duration_seconds";
    text.metric(
        name,
        "histogram",
        "How long targets took, from when they were given a command.",
    );
    let bucket = format!("{name}_bucket");
    let mut all = 0;
    for (at, count) in totals.durations.iter().enumerate() {
        all += count;
        match BOUNDS_MS.get(at) {
            Some(bound) => text.value(&bucket, &[("le", &(*bound as f64 / 1000.0))], all),
            None => text.value(&bucket, &[("le", &"+Inf")], all),
        }
    }
    text.value(
        &format!("{name}_sum"),
        &[],
        totals.duration_ms as f64 / 1000.0,
    );
    text.value(&format!("{name}_count"), &[], all);
}

fn traffic(text: &mut Text, shared: &Shared, totals: &Totals) {
    text.one(
        "pecking_received_bytes_total",
        "counter",
        "Bytes that clients sent.",
        totals.received,
    );
    text.one(
        "pecking_sent_bytes_total",
        "counter",
        "Bytes that were sent to clients.",
        totals.written,
    );
    text.one(
        "pecking_output_bytes_total",
        "counter",
        "Bytes of output that went to senders.",
        totals.output,
    );
    if let Some(audit) = &shared.hub.config.audit {
        text.one(
            "pecking_audit_waiting_records",
            "gauge",
            "Records that wait to be written to the audit log.",
            audit.waiting(),
        );
        text.one(
            "pecking_audit_crowded",
            "gauge",
            "Whether the audit log has much to write.",
            u8::from(audit.is_crowded()),
        );
        text.one(
            "pecking_audit_failing",
            "gauge",
            "Whether the audit log could not be written.",
            u8::from(audit.is_failing()),
        );
    }
    let (open, events) = shared.connections.count();
    text.one(
        "pecking_http_connections",
        "gauge",
        "Connections over HTTP.",
        open,
    );
    text.one(
        "pecking_http_event_streams",
        "gauge",
        "Of these, streams of events.",
        events,
    );
}

fn process(text: &mut Text, shared: &Shared) {
    let started = shared.telemetry.started_ms as f64 / 1000.0;
    text.one(
        "process_start_time_seconds",
        "gauge",
        "When the server started, since 1970.",
        started,
    );
    let open = descriptor_count().or_else(|| Some(open_descriptors().ok()?.len() as u64));
    if let Some(open) = open {
        text.one("process_open_fds", "gauge", "Open descriptors.", open);
    }
    if let Some(most) = descriptor_limit() {
        text.one("process_max_fds", "gauge", "The most of these.", most);
    }
    if let Some(bytes) = resident_memory() {
        let help = "Bytes of memory that are resident.";
        text.one("process_resident_memory_bytes", "gauge", help, bytes);
    }
    text.one(
        "process_cpu_seconds_total",
        "counter",
        "Processor time of all threads.",
        processor_time().as_secs_f64(),
    );
    if let Some(threads) = threads() {
        text.one("process_threads", "gauge", "Threads.", threads);
    }
}
