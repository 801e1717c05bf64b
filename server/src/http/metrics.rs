//! `/metrics`: the text format of Prometheus (version 0.0.4). It is a page of lines, and its values
//! are this server's own numbers, so it is made here; what reads it in the tests is not.

use super::connections::Connections;
use crate::hub::Hub;
use crate::telemetry::counters::{BOUNDS_MS, Totals};
use crate::version;
use common::expected::Expected;
use common::sys::resources::{
    descriptor_count, descriptor_limit, open_descriptors, processor_time, resident_memory, threads,
};
use common::wire::Status;
use common::wire::tier::Tier;
use std::fmt::{Display, Write};

/// The lines of all metrics.
pub(super) fn text(hub: &Hub, connections: &Connections) -> String {
    let mut text = Text::default();
    let totals = hub.telemetry.counters.totals();
    build(&mut text);
    members(&mut text, hub, &totals);
    commands(&mut text, &totals);
    traffic(&mut text, hub, &totals);
    visits(&mut text, connections);
    process(&mut text, hub);
    text.0
}

/// The name, the kind and what it says, of every metric.
const METRICS: &str = "\
pecking_build_info gauge The version and the commit; always 1.
pecking_members gauge Members, by tier.
pecking_slots gauge Slots of the members, by tier.
pecking_running gauge Commands that members execute, by their tier.
pecking_queued gauge Commands that wait for members, by their tier.
pecking_members_max gauge The most members that are taken.
pecking_expected_missing gauge Expected machines that are not here.
pecking_draining gauge Whether the server is about to stop.
pecking_outbox_waiting_bytes gauge Bytes that wait to be sent to members.
pecking_memory_kept_bytes gauge Bytes that are kept for all clients.
pecking_memory_max_bytes gauge The most that are kept (--max-memory).
pecking_joins_total counter Clients that joined.
pecking_leaves_total counter Members that left.
pecking_slow_consumers_total counter Members that were disconnected as they did not read.
pecking_refusals_total counter Joins and sends that were not taken, by the reason on the wire.
pecking_commands_total counter Commands that were taken.
pecking_outcomes_total counter Outcomes of commands at their targets, by status.
pecking_command_duration_seconds histogram How long targets took, from when they were given a command.
pecking_received_bytes_total counter Bytes that clients sent.
pecking_sent_bytes_total counter Bytes that were sent to clients.
pecking_output_bytes_total counter Bytes of output that went to senders.
pecking_audit_waiting_records gauge Records that wait to be written to the audit log.
pecking_audit_crowded gauge Whether the audit log has much to write.
pecking_audit_failing gauge Whether the audit log could not be written.
pecking_http_connections gauge Connections over HTTP.
pecking_http_event_streams gauge Of these, streams of events.
process_start_time_seconds gauge When the server started, since 1970.
process_open_fds gauge Open descriptors.
process_max_fds gauge The most of these.
process_resident_memory_bytes gauge Bytes of memory that are resident.
process_cpu_seconds_total counter Processor time of all threads.
process_threads gauge Threads.
";

/// A page of metrics in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a metric of the table.
    fn metric(&mut self, name: &str) {
        let mut all = METRICS.lines().filter_map(|line| line.split_once(' '));
        let about = all.find(|(known, _)| *known == name);
        let (kind, help) = about
            .and_then(|(_, about)| about.split_once(' '))
            .unwrap_or_default();
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
    fn one(&mut self, name: &str, value: impl Display) {
        self.metric(name);
        self.value(name, &[], value);
    }
}

fn build(text: &mut Text) {
    let name = "pecking_build_info";
    text.metric(name);
    let labels: [(&str, &dyn Display); 2] =
        [("version", &version::VERSION), ("commit", &version::COMMIT)];
    text.value(name, &labels, 1);
}

/// What the members of a tier do: how many they are, their slots, and what runs and waits there.
const OF_TIER: [&str; 4] = [
    "pecking_members",
    "pecking_slots",
    "pecking_running",
    "pecking_queued",
];

fn members(text: &mut Text, hub: &Hub, totals: &Totals) {
    let mut tiers = [[0; OF_TIER.len()]; Tier::LOWEST.number() as usize + 1];
    let mut waiting = 0;
    hub.roster.look(|view| {
        for place in view.ranked() {
            let member = &place.member;
            let counts = [
                1,
                member.slots,
                member.queue.running(),
                member.queue.queued(),
            ];
            let tier = &mut tiers[usize::from(member.tier.number())];
            for (sum, count) in tier.iter_mut().zip(counts) {
                *sum += u64::from(count);
            }
            waiting += member.connection.outbox.waiting_bytes();
        }
    });
    for (at, name) in OF_TIER.into_iter().enumerate() {
        text.metric(name);
        for (number, tier) in tiers.iter().enumerate() {
            text.value(name, &[("tier", &number)], tier[at]);
        }
    }
    text.one("pecking_members_max", hub.config.max_clients);
    if let Some(expected) = &hub.config.expected {
        let missing = missing(hub, &expected.known().machines);
        text.one("pecking_expected_missing", missing);
    }
    text.one("pecking_draining", u8::from(hub.is_draining()));
    text.one("pecking_outbox_waiting_bytes", waiting);
    text.one("pecking_memory_kept_bytes", hub.budget.all.kept());
    text.one("pecking_memory_max_bytes", hub.config.max_memory);
    text.one("pecking_joins_total", totals.joined);
    text.one("pecking_leaves_total", totals.left);
    text.one("pecking_slow_consumers_total", totals.slow);
    refusals(text, hub);
}

/// How many of these machines are not here.
fn missing(hub: &Hub, expected: &Expected) -> usize {
    let places = hub.roster.look(|view| view.ranked().to_vec());
    let here = places.iter().map(|place| &*place.member.name).collect();
    expected.missing(&here).len()
}

/// Those that there were: a metric without a value says nothing.
fn refusals(text: &mut Text, hub: &Hub) {
    let refusals = hub.telemetry.refusals();
    if refusals.is_empty() {
        return;
    }
    let name = "pecking_refusals_total";
    text.metric(name);
    for ((what, reason), count) in refusals {
        text.value(name, &[("method", &what), ("reason", &reason)], count);
    }
}

fn commands(text: &mut Text, totals: &Totals) {
    text.one("pecking_commands_total", totals.taken);
    let name = "pecking_outcomes_total";
    text.metric(name);
    for (status, count) in Status::ALL.iter().zip(totals.outcomes) {
        text.value(name, &[("status", &status.name())], count);
    }
    let name = "pecking_command_duration_seconds";
    text.metric(name);
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

fn traffic(text: &mut Text, hub: &Hub, totals: &Totals) {
    text.one("pecking_received_bytes_total", totals.received);
    text.one("pecking_sent_bytes_total", totals.written);
    text.one("pecking_output_bytes_total", totals.output);
    if let Some(audit) = &hub.config.audit {
        text.one("pecking_audit_waiting_records", audit.waiting());
        text.one("pecking_audit_crowded", u8::from(audit.is_crowded()));
        text.one("pecking_audit_failing", u8::from(audit.is_failing()));
    }
}

fn visits(text: &mut Text, connections: &Connections) {
    let (open, events) = connections.count();
    text.one("pecking_http_connections", open);
    text.one("pecking_http_event_streams", events);
}

fn process(text: &mut Text, hub: &Hub) {
    let started = hub.telemetry.started_ms as f64 / 1000.0;
    text.one("process_start_time_seconds", started);
    let open = descriptor_count().or_else(|| Some(open_descriptors().ok()?.len() as u64));
    if let Some(open) = open {
        text.one("process_open_fds", open);
    }
    if let Some(most) = descriptor_limit() {
        text.one("process_max_fds", most);
    }
    if let Some(bytes) = resident_memory() {
        text.one("process_resident_memory_bytes", bytes);
    }
    text.one("process_cpu_seconds_total", processor_time().as_secs_f64());
    if let Some(threads) = threads() {
        text.one("process_threads", threads);
    }
}
