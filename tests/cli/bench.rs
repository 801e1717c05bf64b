//! `pecking bench` as its users meet it: what it measures, which clients it commands, and how it ends.

use std::fs;
use std::time::Instant;

use crate::support::programs::{Ended, Process, Server};
use crate::support::{PATIENCE, Raw};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Every member of the object that `--json` prints.
const FIELDS: [&str; 27] = [
    "format",
    "version",
    "commit",
    "pairs",
    "fan_out",
    "window",
    "payload",
    "result",
    "to",
    "run",
    "tls",
    "idle",
    "threads",
    "sends",
    "open",
    "commands",
    "seconds",
    "sends_per_s",
    "commands_per_s",
    "megabytes_per_s",
    "latency_us",
    "outcomes",
    "errors",
    "idle_joins_per_s",
    "client_cpu",
    "client_cpu_us",
    "ended",
];

/// The command line of a bench of which everything counts.
pub(crate) fn words<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [&["bench", "--warm-up", "0s"], options].concat()
}

/// A bench that goes on for longer than any test, and is sending.
#[track_caller]
fn sending(server: &Server, observer: &mut Raw, options: &[&str]) -> Process {
    let bench = Process::start(&mut server.client(&words(
        &[&["--duration", "1h", "--window", "64"], options].concat(),
    )));
    eventually("its executor executes", || {
        members(observer).iter().any(|m| m["running"] != 0)
    });
    bench
}

#[track_caller]
pub(crate) fn members(observer: &mut Raw) -> Vec<Value> {
    let result = observer.result("members", &json!({}));
    result["members"].as_array().expect("a list").clone()
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
    }
}

/// What a bench printed with `--json`, and that it is whole.
#[track_caller]
pub(crate) fn object(ended: &Ended) -> Value {
    let json: Value = serde_json::from_slice(&ended.stdout).expect("it prints JSON");
    let object = json.as_object().expect("an object");
    let fields: Vec<&String> = object.keys().collect();
    assert_eq!(fields.len(), FIELDS.len(), "{fields:?}");
    for field in FIELDS {
        assert!(object.contains_key(field), "{field} in {json}");
    }
    let sum: u64 = object["outcomes"]
        .as_object()
        .expect("an object")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(json["commands"], sum, "{json}");
    json
}

#[test]
fn rates_and_latencies_are_printed() {
    let server = Server::start(&[]);
    let ended = Ended::of(&mut server.client(&words(&["--count", "200"])));
    ended.expect_code(0);
    assert_eq!(ended.stderr, "", "no progress without a terminal");
    let text = String::from_utf8(ended.stdout).expect("UTF-8");
    for part in [
        "1 pair, 1 open, 32 bytes out and 16 back, by name\n",
        "\nrate      ",
        " commands/s, ",
        " MB/s: 200 in ",
        "\nlatency   p50 ",
        ", p99 ",
        ", p99.9 ",
        ", max ",
        "\noutcomes  200 done\n",
        "\nclient    ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn programs_get_every_figure_and_the_counts_are_exact() {
    let server = Server::start(&["10"]);
    let options = [
        "--json",
        "--pairs",
        "3",
        "--window",
        "4",
        "--count",
        "100",
        "--payload",
        "1KiB",
        "--result",
        "0",
        "--idle",
        "2",
    ];
    let ended = Ended::of(&mut server.client(&words(&options)));
    let json = object(ended.expect_code(0));
    for (field, expected) in [
        ("pairs", json!(3)),
        ("fan_out", json!(0)),
        ("window", json!(4)),
        ("payload", json!(1024)),
        ("result", json!(0)),
        ("to", json!("name")),
        ("run", json!(null)),
        ("tls", json!(false)),
        ("idle", json!(2)),
        ("sends", json!(100)),
        ("open", json!(0)),
        ("commands", json!(100)),
        ("outcomes", json!({"done": 100})),
        ("errors", json!({})),
        ("ended", json!("done")),
    ] {
        assert_eq!(json[field], expected, "{field} in {json}");
    }
    let positive = |value: &Value| assert!(value.as_f64().is_some_and(|n| n > 0.0), "{json}");
    for field in [
        "seconds",
        "sends_per_s",
        "commands_per_s",
        "megabytes_per_s",
        "idle_joins_per_s",
        "client_cpu",
        "client_cpu_us",
    ] {
        positive(&json[field]);
    }
    let quantiles = ["min", "p50", "p90", "p99", "p999", "max"];
    let quantiles = quantiles.map(|name| json["latency_us"][name].as_f64().expect("a number"));
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{json}");
    positive(&json["latency_us"]["mean"]);
}

#[test]
fn a_fan_out_reaches_every_executor_each_time() {
    let server = Server::start(&["40"]);
    for window in ["1", "3"] {
        let options = [
            "--json",
            "--fan-out",
            "30",
            "--count",
            "20",
            "--window",
            window,
        ];
        let ended = Ended::of(&mut server.client(&words(&options)));
        let json = object(ended.expect_code(0));
        assert_eq!(json["sends"], 20, "{json}");
        assert_eq!(json["outcomes"], json!({"done": 600}), "{json}");
        assert_eq!(
            json["errors"],
            json!({}),
            "an outcome was told for each: {json}"
        );
    }
}

#[test]
fn executors_start_a_real_program_for_each_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = folder.path().join("started");
    let program = format!("sh -c 'echo x >> {}; exit 3'", started.display());
    let server = Server::start(&["9"]);
    let mut observer = server.raw("observer", 0);
    for (options, each) in [
        (&["--fan-out", "3", "--window", "2"][..], 3),
        (&["--pairs", "2", "--to", "name"], 1),
    ] {
        let options = [options, &["--run", &program, "--count", "4", "--json"]].concat();
        let ended = Ended::of(&mut server.client(&words(&options)));
        let json = object(ended.expect_code(1));
        let all = 4 * each;
        assert_eq!(json["outcomes"], json!({ "done": all }), "{json}");
        assert_eq!(json["errors"], json!({ "exit_code": all }), "{json}");
        assert_eq!(json["run"], program.as_str());
        let lines = fs::read_to_string(&started).expect("it was started");
        assert_eq!(lines.lines().count(), all);
        fs::remove_file(&started).expect("it is there");
        assert_eq!(members(&mut observer).len(), 1, "they have left");
    }
    let options = ["--fan-out", "3", "--run", "true", "--count", "1"];
    let ended = Ended::of(&mut server.client(&words(&options)));
    let text = String::from_utf8_lossy(&ended.expect_code(0).stdout).into_owned();
    let head = "1 sender to 3 executors, 1 open, each command runs `true`, by name\n";
    assert!(text.starts_with(head), "{text}");
}

#[test]
fn executors_of_programs_run_nothing_for_others_and_end_what_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = folder.path().join("started");
    let started = started.to_str().expect("UTF-8");
    let server = Server::start(&["9"]);
    let mut boss = server.raw("boss", 0);
    // Each has a slot to spare.
    let options = ["--fan-out", "2", "--window", "2", "--count", "1"];
    let options = [&options[..], &["--run", "sleep 3600"]].concat();
    let bench = Process::start(&mut server.client(&words(&options)));
    eventually("both execute", || {
        let running = members(&mut boss);
        running.iter().filter(|m| m["running"] == 1).count() == 2
    });
    for words in [&["touch", started][..], &["sleep", "3600"]] {
        let id = boss.command("bench-*-e*", words);
        assert_eq!(boss.result_of(&id), json!({"targets": 2, "refused": 2}));
    }
    bench.signal(Signal::INT);
    bench.end().expect_code(130);
    assert!(!std::path::Path::new(started).exists());
}

#[test]
fn the_next_and_a_rank_are_other_ways_to_name_an_executor() {
    let server = Server::start(&["10"]);
    for to in ["next", "rank"] {
        let options = ["--json", "--to", to, "--pairs", "2", "--count", "50"];
        let ended = Ended::of(&mut server.client(&words(&options)));
        let json = object(ended.expect_code(0));
        assert_eq!(
            (&json["to"], &json["outcomes"]["done"]),
            (&json!(to), &json!(50))
        );
    }
    let mut boss = server.raw("boss", 0);
    for to in ["next", "rank"] {
        let ended = Ended::of(&mut server.client(&words(&["--to", to, "--count", "1"])));
        ended
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&["another client is here", "--to name"]);
    }
    boss.expect_nothing("no client sends upwards");
}

#[test]
fn a_bench_and_other_clients_do_not_command_each_other() {
    let server = Server::start(&["10"]);
    let mut boss = server.raw("boss", 0);
    let mut before = server.raw("before", 1);
    let bench = sending(&server, &mut boss, &["--idle", "3"]);
    let mut after = server.raw("after", 1);
    let id = boss.command("bench-*", &["print"]);
    let tally = boss.result_of(&id);
    assert_eq!(
        tally,
        json!({"targets": 4, "refused": 4}),
        "it has slots for itself alone"
    );
    bench.signal(Signal::INT);
    bench.end().expect_code(130);
    before.expect_nothing("the bench has its own executors");
    let told = after.fence();
    assert!(told.iter().all(|line| line["method"] == "rank"), "{told:?}");
}

#[test]
fn idle_clients_are_there_until_the_end() {
    let server = Server::start(&["60"]);
    let mut observer = server.raw("observer", 0);
    let bench = sending(&server, &mut observer, &["--idle", "50"]);
    let there = members(&mut observer);
    assert_eq!(there.len(), 53, "{there:?}");
    let is_its_own = |m: &&Value| m["name"].as_str().is_some_and(|n| n.starts_with("bench-"));
    assert_eq!(there.iter().filter(is_its_own).count(), 52);
    bench.signal(Signal::INT);
    let ended = bench.end();
    let text = String::from_utf8_lossy(&ended.expect_code(130).stdout).into_owned();
    assert!(text.contains("idle      50 joined in "), "{text}");
    let left: Vec<Value> = members(&mut observer);
    assert_eq!(
        left.len(),
        1,
        "it ends once the server has let them go: {left:?}"
    );
}

#[test]
fn interrupted_it_prints_what_was_measured_so_far() {
    let server = Server::start(&[]);
    let mut observer = server.raw("observer", 0);
    for (options, part) in [
        (&[][..], "\ninterrupted\n"),
        (&["--json"], "\"ended\": \"interrupted\""),
    ] {
        let bench = sending(&server, &mut observer, options);
        bench.signal(Signal::INT);
        let ended = bench.end();
        let text = String::from_utf8_lossy(&ended.expect_code(130).stdout).into_owned();
        assert!(text.contains(part) && text.contains("outcomes"), "{text}");
        eventually("it has left", || members(&mut observer).len() == 1);
    }
    let options = ["bench", "--warm-up", "1h"];
    let bench = Process::start(&mut server.client(&options));
    eventually("it warms up", || {
        members(&mut observer).iter().any(|m| m["running"] != 0)
    });
    bench.signal(Signal::INT);
    bench
        .end()
        .expect_code(130)
        .expect_stdout("")
        .expect_one_line(&["interrupted before anything was measured"]);
}

#[test]
fn a_server_that_goes_during_a_bench_is_reported() {
    for (signal, why) in [
        (Signal::KILL, "the server went in the middle: "),
        (Signal::TERM, "shutting down"),
    ] {
        let server = Server::start(&[]);
        let mut observer = server.raw("observer", 0);
        let bench = sending(&server, &mut observer, &["--json"]);
        server.process.signal(signal);
        let ended = bench.end();
        ended.expect_code(3).expect_one_line(&[why]);
        let json = object(&ended);
        assert_eq!(json["ended"], "lost");
        let outcomes = json["commands"].as_u64().zip(json["open"].as_u64());
        assert!(
            outcomes
                .is_some_and(|(ended, open)| ended + open <= json["sends"].as_u64().unwrap_or(0))
        );
    }
}

#[test]
fn a_server_without_places_for_all_clients_is_reported() {
    let server = Server::start(&["5"]);
    let ended = Ended::of(&mut server.client(&words(&["--idle", "10", "--count", "1"])));
    ended.expect_code(255).expect_stdout("").expect_one_line(&[
        "as many clients as it accepts (5, the N of `pecking-server N`)",
        "5 of the 12 clients",
        "`pecking-server 12`",
    ]);
    let mut observer = server.raw("observer", 0);
    assert_eq!(
        members(&mut observer).len(),
        1,
        "those that had joined have left"
    );
}

#[test]
fn a_token_is_shown_by_every_client() {
    let folder = tempfile::tempdir().expect("a folder for a file");
    let token = folder.path().join("token");
    crate::support::write_secret(&token, "secret\n");
    let token = token.to_str().expect("its name is UTF-8");
    let server = Server::start(&["--token-file", token]);
    let options = words(&["--count", "1", "--idle", "1"]);
    Ended::of(&mut server.client(&options))
        .expect_code(255)
        .expect_one_line(&["asks for a token", "--token-file"]);
    let options = [&options[..], &["--token-file", token]].concat();
    Ended::of(&mut server.client(&options)).expect_code(0);
}

#[test]
fn contradictory_options_are_named() {
    let server = Server::start(&[]);
    for (options, parts) in [
        (&["--window", "0"][..], &["'0'", "from 1 to 1024"][..]),
        (&["--fan-out", "2", "--pairs", "2"], &["--fan-out"]),
        (&["--fan-out", "2", "--to", "next"], &["by name"]),
        (&["--name", "x"], &["--name is not for bench"]),
        (&["--slots", "2"], &["--slots is not for bench"]),
        (&["--wait"], &["--wait is not for bench"]),
        (&["--allow-any"], &["--allow-any is not for bench"]),
        (&["--window", "1024", "--payload", "1MiB"], &["under way"]),
        (&["--run", ""], &["--run", "'sleep 0.1'"]),
        (&["--run", "nothing-of-this-name"], &["--run", "no program"]),
        (&["--run", "/nothing/of/it x"], &["--run", "no program"]),
        (&["--run", "true", "--result", "5"], &["--run", "--result"]),
        (&["--result", "2MiB"], &["after 1048576 bytes"]),
        (&["--fan-out", "4", "--result", "5MiB"], &["of 4 targets"]),
        (
            &["--payload", "1MiB"],
            &["a command would have", "at most 1048576"],
        ),
    ] {
        let ended = Ended::of(&mut server.client(&words(options)));
        ended
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(parts);
    }
}

#[test]
fn at_full_speed_every_command_is_on_record_or_was_not_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("audit.log");
    let server = Server::start(&["20", "--audit", log.to_str().expect("text")]);
    let options = ["--json", "--window", "256", "--duration", "1s"];
    let ended = Ended::of(&mut server.client(&words(&options)));
    let figures = object(ended.expect_code(0));
    server.process.signal(Signal::TERM);
    server.process.end().expect_code(0);
    let text = fs::read_to_string(&log).expect("a log");
    let records = |kind: &str| text.lines().filter(|l| l.contains(kind)).count() as u64;
    let count = |of: &Value| {
        of.as_object()
            .expect("an object")
            .values()
            .filter_map(Value::as_u64)
            .sum::<u64>()
    };
    let answered = count(&figures["outcomes"]);
    assert_eq!(
        answered + count(&figures["errors"]),
        figures["sends"].as_u64().expect("a count")
    );
    assert!(records(r#""type":"send""#) >= answered && answered > 0);
    assert!(records(r#""type":"outcome""#) >= answered);
    assert_eq!(records(r#""type":"gap""#), 0);
}
