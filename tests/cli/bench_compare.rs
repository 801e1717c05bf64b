//! `pecking bench --save` and `--against`: one shape, and what is wrong with a file is told before
//! anything runs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bench::{object, words};
use crate::support::dialled::nowhere;
use crate::support::pki::Pki;
use crate::support::programs::{Ended, Server, client};

/// A server that is not there: what is told of anything else was told before it was dialled.
fn without_a_server(options: &[&str]) -> Ended {
    let nowhere = nowhere();
    Ended::of(client(&["--server", &nowhere]).args(words(options)))
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn a_run_is_kept_and_a_later_one_stands_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.json");
    let path = file.to_str().expect("UTF-8");
    let server = Server::start(&["9"]);
    let run = |options: &[&str]| {
        let ended = Ended::of(&mut server.client(&words(&[&["--count", "40"], options].concat())));
        ended.expect_code(0);
        ended
    };
    fs::write(&file, "x".repeat(100_000)).expect("a file");
    let printed = object(&run(&["--json", "--save", path]));
    assert_eq!(read(&file), printed, "what was there before is gone");
    assert_eq!(printed["format"], "pecking-bench-1");

    let ended = run(&["--against", path]);
    assert_eq!(ended.stderr, "", "they are alike");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let table: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("against"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(table[0], ["against", "before", "now", "ratio"], "{text}");
    let names: Vec<&str> = table.iter().skip(1).map(|row| row[0]).collect();
    assert_eq!(names, ["commands/s", "p50", "p99", "p99.9", "before"]);
    let rate = printed["commands_per_s"].as_f64().expect("a number");
    assert_eq!(table[1][1], format!("{rate:.0}"));
    assert!(
        table[1][3].parse::<f64>().is_ok_and(|ratio| ratio > 0.0),
        "{text}"
    );

    let options = [
        "--json",
        "--against",
        path,
        "--save",
        path,
        "--window",
        "7",
        "--payload",
        "5",
    ];
    let ended = run(&options);
    let warning = "window was 1 and is 7";
    ended.expect_one_line(&["warning: ", "payload was 32 and is 5", warning]);
    let json: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    let against = &json["against"];
    assert_eq!(against["before"], printed);
    assert_eq!(against["differs"], json!(["payload", "window"]));
    let [before, now, ratio] = [&printed, &json, &against["ratio"]]
        .map(|of| of["commands_per_s"].as_f64().expect("a number"));
    assert!((now / before / ratio - 1.0).abs() < 1e-9, "{json}");
    let quotient = |of: &str| {
        json["latency_us"][of]
            .as_f64()
            .zip(printed["latency_us"][of].as_f64())
    };
    for of in ["p50", "p99", "p999"] {
        let (now, before) = quotient(of).expect("numbers");
        let ratio = against["ratio"][of].as_f64().expect("a number");
        assert!((now / before / ratio - 1.0).abs() < 1e-9, "{of}: {json}");
    }
    let saved = read(&file);
    assert_eq!((&saved["window"], saved.get("against")), (&json!(7), None));
}

#[test]
fn a_file_that_is_no_run_is_named_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.json");
    let path = file.to_str().expect("UTF-8");
    let server = Server::start(&[]);
    Ended::of(&mut server.client(&words(&["--count", "1", "--save", path]))).expect_code(0);
    let run = fs::read_to_string(&file).expect("a run");
    let other = run.replace("pecking-bench-1", "pecking-bench-\u{1b}9");
    for (text, why) in [
        (&run[..run.len() / 2], "it is cut"),
        ("", "it is cut"),
        ("[1, 2]", "it is no run"),
        ("PK\u{3}\u{4}", "it is no run"),
        ("{}", "\"format\" is missing"),
        ("{\"format\": \"pecking-bench-1\"}", "missing field"),
        (
            &other.replace('\u{1b}', "\\u001b"),
            "\\x1b9\", and not \"pecking-bench-1\"",
        ),
        (
            &run.replace("\"done\",", "1,")
                .replace("\"ended\": \"done\"", "\"ended\": 7"),
            "it is no run",
        ),
        (&" ".repeat(200_000), "more than 131072 bytes"),
    ] {
        fs::write(&file, text).expect("a file");
        let ended = without_a_server(&["--against", path]);
        ended
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(&["--against: ", path, why]);
    }
    let absent = folder.path().join("absent").display().to_string();
    let inside = folder.path().display().to_string();
    for (option, path, why) in [
        ("--against", &absent, "cannot read it: No such file"),
        ("--against", &inside, "cannot read it: Is a directory"),
        ("--save", &inside, "Is a directory"),
        ("--save", &format!("{absent}/x"), "No such file"),
    ] {
        let ended = without_a_server(&[option, path]);
        ended
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(&[option, path, why]);
    }
}

#[test]
fn a_bench_that_never_begins_leaves_its_file_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
    fs::write(&old, "before").expect("a file");
    for file in [&old, &new] {
        let ended = without_a_server(&["--save", file.to_str().expect("UTF-8")]);
        ended.expect_code(255);
    }
    assert_eq!(fs::read(&old).expect("a file"), b"before");
    assert!(!new.exists());
    if Path::new("/dev/full").exists() {
        let server = Server::start(&[]);
        let options = words(&["--count", "1", "--save", "/dev/full"]);
        let ended = Ended::of(&mut server.client(&options));
        ended
            .expect_code(1)
            .expect_one_line(&["--save", "/dev/full"]);
        assert!(
            ended.stdout.starts_with(b"1 pair"),
            "it is shown all the same"
        );
    }
}

#[test]
fn a_run_over_tls_says_so_and_is_not_like_one_in_the_clear() {
    let pki = Pki::new();
    let pair = pki.server("server");
    let server = Server::start(&["--cert", &pair.cert, "--key", &pair.key, "9"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.json");
    let path = file.to_str().expect("UTF-8");
    let run = |options: &[&str]| {
        let address = server.address().to_string();
        let mut command = client(&["--server", &address, "--tls", "--ca", &pki.ca()]);
        command.args(words(options));
        Ended::of(&mut command)
    };
    let ended = run(&[
        "--count",
        "20",
        "--fan-out",
        "3",
        "--run",
        "true",
        "--save",
        path,
    ]);
    let text = String::from_utf8_lossy(&ended.expect_code(0).stdout).into_owned();
    assert!(text.contains(", by name, over TLS\n"), "{text}");
    let saved = fs::read_to_string(&file).expect("a run");
    fs::write(&file, saved.replace("\"tls\": true", "\"tls\": false")).expect("a file");
    let options = [
        "--count",
        "2",
        "--fan-out",
        "3",
        "--run",
        "true",
        "--against",
        path,
    ];
    run(&options)
        .expect_code(0)
        .expect_one_line(&["warning: ", "tls was false and is true"]);
}
