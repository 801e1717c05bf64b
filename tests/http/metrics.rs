//! `/metrics`, read by another project's reader of the format.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prometheus_parse::{Sample, Scrape, Value};
use serde_json::json;

use std::time::Instant;

use crate::support::held::Held;
use crate::support::{PATIENCE, ranked, tunnel};
use crate::visitor::Shown;

pub(crate) fn scrape(shown: &Shown) -> (Scrape, String) {
    let answer = shown.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let lines = answer.body.lines().map(|line| Ok(line.to_owned()));
    (
        Scrape::parse(lines).expect("the format of Prometheus"),
        answer.body,
    )
}

/// A value, by its name and its labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |sample: &&Sample| {
        let found: HashMap<&str, &str> = sample
            .labels
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        sample.metric == name && found == labels.iter().copied().collect()
    };
    let sample = scrape.samples.iter().find(has);
    match sample.map(|sample| &sample.value) {
        Some(Value::Counter(n) | Value::Gauge(n) | Value::Untyped(n)) => *n,
        other => panic!("{name} {labels:?}: {other:?}"),
    }
}

#[test]
fn expected_machines_that_are_not_here_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("expected.toml");
    std::fs::write(&file, "names = [\"web[1-3]\", \"db\"]").expect("a file");
    let shown = Shown::start(9, &["--expected", file.to_str().expect("UTF-8")]);
    let missing = || value(&scrape(&shown).0, "pecking_expected_missing", &[]);
    assert_eq!(missing(), 4.0);
    let _here = ranked(&shown.server, [("web2", 1), ("other", 1), ("db", 0)]);
    assert_eq!(missing(), 2.0);
    let plain = Shown::start(9, &[]);
    assert!(
        !scrape(&plain).1.contains("expected"),
        "only with the option"
    );
}

#[test]
fn metrics_are_what_happened() {
    let shown = Shown::start(9, &[]);
    let [mut boss, mut web, mut db] = ranked(&shown.server, [("boss", 0), ("web", 1), ("db", 2)]);
    let id = boss.command("all", &["x"]);
    web.serve(1);
    let waits = db.execute();
    boss.error("send", &json!({"command": ["x"], "to": "missing"}));
    let second = boss.command("db", &["y"]);
    db.execute();
    boss.command("db", &["z"]);
    boss.sync();
    let expected = [
        ("pecking_members", &[("tier", "5")][..], 3.0),
        ("pecking_slots", &[("tier", "5")], 3.0),
        ("pecking_running", &[("tier", "5")], 2.0),
        ("pecking_queued", &[("tier", "5")], 1.0),
        ("pecking_members_max", &[], 9.0),
        ("pecking_draining", &[], 0.0),
        ("pecking_joins_total", &[], 3.0),
        ("pecking_leaves_total", &[], 0.0),
        ("pecking_commands_total", &[], 3.0),
        ("pecking_outcomes_total", &[("status", "done")], 1.0),
        ("pecking_outcomes_total", &[("status", "lost")], 0.0),
        (
            "pecking_refusals_total",
            &[("method", "send"), ("reason", "no_target")],
            1.0,
        ),
        ("pecking_command_duration_seconds_count", &[], 1.0),
        ("pecking_slow_consumers_total", &[], 0.0),
    ];
    // A session adds what it counted at the end of a batch of input.
    let deadline = Instant::now() + PATIENCE;
    let scrape = loop {
        let (scrape, _) = scrape(&shown);
        let wrong = expected
            .iter()
            .find(|(name, labels, is)| value(&scrape, name, labels) != *is);
        match wrong {
            None => break scrape,
            Some(wrong) => assert!(Instant::now() < deadline, "{wrong:?}"),
        }
    };
    assert!(value(&scrape, "pecking_received_bytes_total", &[]) > 100.0);
    assert!(value(&scrape, "process_threads", &[]) >= 4.0);
    let cpu = value(&scrape, "process_cpu_seconds_total", &[]);
    assert!((0.0..3600.0).contains(&cpu), "{cpu}");
    let resident = value(&scrape, "process_resident_memory_bytes", &[]);
    assert!((1e6..1e9).contains(&resident), "{resident}");
    let [open, most] = ["process_open_fds", "process_max_fds"].map(|n| value(&scrape, n, &[]));
    assert!(open <= most, "{open} of {most}");
    assert!(value(&scrape, "process_open_fds", &[]) >= 4.0);
    let sent = || {
        value(
            &crate::metrics::scrape(&shown).0,
            "pecking_sent_bytes_total",
            &[],
        )
    };
    let before = sent();
    db.reply(
        &waits,
        &json!({"exit_code": 0, "stdout": "x".repeat(100_000)}),
    );
    boss.result_of(&id);
    // It is counted once it is written; what else is sent meanwhile is little.
    while !(100_000.0..110_000.0).contains(&(sent() - before)) {
        assert!(Instant::now() < deadline, "{before} and {}", sent());
    }
    drop(db);
    assert_eq!(boss.result_of(&second)["status"], "lost");
    for status in ["done", "lost"] {
        let is_two = || {
            let after = crate::metrics::scrape(&shown).0;
            value(&after, "pecking_outcomes_total", &[("status", status)]) == 2.0
        };
        while !is_two() {
            assert!(Instant::now() < deadline, "{status} is not 2");
        }
    }
}

/// Waits until so many have joined and left.
fn wait_for_totals(shown: &Shown, joins: f64, leaves: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (scrape, text) = scrape(shown);
        let total = |name| value(&scrape, name, &[]);
        let totals = (total("pecking_joins_total"), total("pecking_leaves_total"));
        if totals == (joins, leaves) {
            return;
        }
        assert!(Instant::now() < deadline, "{totals:?}\n{text}");
    }
}

#[test]
fn a_place_that_no_client_comes_back_to_is_left() {
    if tunnel::is_carrier() {
        return;
    }
    let shown = Shown::start(9, &["--hold", "300ms", "--heartbeat", "200ms"]);
    let worker = Held::join(shown.server.address(), "worker", 1);
    wait_for_totals(&shown, 1.0, 0.0);
    worker.reset();
    wait_for_totals(&shown, 1.0, 1.0);
    // One whose lines cannot go on is another one in the same place.
    let mut other = Held::join(shown.server.address(), "other", 1);
    other.reset();
    let answer = other.try_to_come_back(&other.token(), other.received + 100);
    assert_eq!(answer["result"]["resumed"], "rank", "{answer}");
    wait_for_totals(&shown, 3.0, 3.0);
}

#[test]
fn the_text_keeps_the_conventions() {
    let shown = Shown::start(9, &[]);
    let [mut boss, mut web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    let id = boss.command("web", &["x"]);
    web.serve(1);
    boss.result_of(&id);
    let (scrape, text) = scrape(&shown);
    let mut kinds = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a kind");
        assert!(kinds.insert(name, kind).is_none(), "{name} twice");
    }
    for (name, kind) in &kinds {
        let is_total = name.ends_with("_total");
        assert_eq!(*kind == "counter", is_total, "{name} is a {kind}");
        assert!(
            name.starts_with("pecking_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
        assert!(text.contains(&format!("\n{name}")), "{name} has no value");
    }
    let histograms: Vec<_> = scrape
        .samples
        .iter()
        .filter_map(|sample| match &sample.value {
            Value::Histogram(buckets) => Some((&sample.metric, buckets)),
            _ => None,
        })
        .collect();
    let [(name, buckets)] = &histograms[..] else {
        panic!("{histograms:?}");
    };
    assert_eq!(*name, "pecking_command_duration_seconds");
    assert!(buckets.is_sorted_by(|a, b| a.less_than < b.less_than && a.count <= b.count));
    let last = buckets.last().expect("buckets");
    assert_eq!((last.less_than, last.count), (f64::INFINITY, 1.0));
    // No two lines are of the same name and labels.
    let series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a value").0)
        .collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len());
}
