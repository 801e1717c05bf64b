//! `pecking run --save`, and `pecking rerun --failed`.

use crate::run_rolling::service;
use crate::support::programs::{Ended, Process, Server, client};
use serde_json::json;
use std::path::Path;

fn path(file: &Path) -> &str {
    file.to_str().expect("UTF-8")
}

#[test]
fn a_saved_run_is_run_again_where_it_did_not_end_with_0() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, again) = (folder.path().join("a.jsonl"), folder.path().join("b.jsonl"));
    std::fs::write(&file, "older, and longer than nothing\n").expect("a file");
    let server = Server::start(&[]);
    let [mut web1, mut web2, web3] = ["web1", "web2", "web3"].map(|name| service(&server, name));
    let words = [
        "run",
        "--save",
        path(&file),
        "--json",
        "--batch",
        "2",
        "--to",
        "web*",
        "--",
    ];
    let run = Process::start(&mut server.client(&[&words[..], &["x", "y z"]].concat()));
    for (web, code) in [(&mut web1, 0), (&mut web2, 3)] {
        let execute = web.execute();
        web.reply(&execute, &json!({"exit_code": code, "stdout": "out\n"}));
    }
    let ended = run.end();
    ended.expect_code(1);
    let saved = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(saved, ended.text(), "it has what --json writes");

    // What left is absent, and what ended well is left alone.
    web3.leave();
    let words = ["rerun", "--failed", path(&file), "--save", path(&again)];
    let rerun = Process::start(&mut server.client(&words));
    let execute = web2.execute();
    assert_eq!(execute.command, ["x", "y z"]);
    web2.reply(&execute, &json!({"exit_code": 0}));
    let ended = rerun.end();
    ended.expect_code(4);
    let said = "again on 2 of 3 targets: web[2-3]: x 'y z' (--batch 2, as before)\n";
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("  absent: web3\n"),
        "{}",
        ended.stderr
    );

    let web3 = service(&server, "web3");
    let mut web3 = web3;
    let words = [
        "rerun",
        "--quiet",
        "--failed",
        path(&again),
        "--save",
        path(&again),
    ];
    let rerun = Process::start(&mut server.client(&words));
    let execute = web3.execute();
    web3.reply(&execute, &json!({"exit_code": 0}));
    let ended = rerun.end();
    ended.expect_code(0);
    assert_eq!(ended.stderr, "");
    // Without a server there is no need to join one.
    let done = Ended::of(&mut client(&["rerun", "--failed", path(&again)]));
    done.expect_code(0);
    assert!(done.stderr.contains("nothing to run again"));
}

#[test]
fn a_saved_file_stays_if_the_run_never_begins_and_a_full_disk_is_said_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.jsonl");
    std::fs::write(&file, "older\n").expect("a file");
    let server = Server::start(&[]);
    for rolling in [&[][..], &["--batch", "1"]] {
        let words = [
            &["run", "--save", path(&file), "--to", "nope*"],
            rolling,
            &["--", "x"],
        ];
        Ended::of(&mut server.client(&words.concat())).expect_code(4);
        assert_eq!(
            std::fs::read_to_string(&file).ok().as_deref(),
            Some("older\n"),
            "{rolling:?}"
        );
    }

    let mut web1 = service(&server, "web1");
    let run = Process::start(&mut server.client(&["run", "--save", "/dev/full", "--", "x"]));
    let execute = web1.execute();
    web1.reply(&execute, &json!({"exit_code": 0, "stdout": "out\n"}));
    let ended = run.end();
    ended.expect_code(1).expect_stdout("out\n");
    assert!(
        ended.stderr.contains("cannot write to /dev/full"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_was_in_batches_and_what_had_input_is_run_again_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a b.jsonl");
    let server = Server::start(&[]);
    let [mut web1, mut web2] = ["web1", "web2"].map(|name| service(&server, name));
    let words = ["run", "--save", path(&file), "--batch", "1", "--to", "web*"];
    let run = Process::start(&mut server.client(&[&words[..], &["--", "x"]].concat()));
    let execute = web1.execute();
    web1.reply(&execute, &json!({"exit_code": 3}));
    let ended = run.end();
    ended.expect_code(1);
    let again = format!(
        "\nagain for those: pecking rerun --failed '{}'\n",
        path(&file)
    );
    assert!(ended.stderr.ends_with(&again), "{}", ended.stderr);

    let words = ["rerun", "--failed", path(&file), "--max-fail", "1"];
    let rerun = Process::start(&mut server.client(&words));
    let execute = web1.execute();
    web2.expect_nothing("it is not its turn");
    web1.reply(&execute, &json!({"exit_code": 4}));
    let execute = web2.execute();
    web2.reply(&execute, &json!({"exit_code": 0}));
    let ended = rerun.end();
    ended.expect_code(1);
    let said = "again on 2 of 2 targets: web[1-2]: x (--batch 1, as before)\nbatch 1 of 2: web1\n";
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);

    let words = [
        "run",
        "--save",
        path(&file),
        "--stdin",
        "--to",
        "web*",
        "--",
        "put",
    ];
    let ended = Ended::of(&mut server.client(&words));
    ended.expect_code(1);
    let input = format!("--failed '{}' --stdin < FILE\n", path(&file));
    assert!(ended.stderr.ends_with(&input), "{}", ended.stderr);
    let words = [
        "rerun",
        "--failed",
        path(&file),
        "--stdin",
        "--max-fail",
        "1",
    ];
    Ended::of(&mut client(&words))
        .expect_code(2)
        .expect_one_line(&["--max-fail is for batches", "a b.jsonl", "add --batch"]);
    let words = ["rerun", "--failed", path(&file)];
    Ended::of(&mut client(&words))
        .expect_code(2)
        .expect_one_line(&["the command had input", "--stdin < FILE"]);
    let looked = Ended::of(&mut server.client(&[&words[..], &["--dry-run"]].concat()));
    looked.expect_code(0);
    let ended = Ended::of(&mut server.client(&[&words[..], &["--stdin"]].concat()));
    ended.expect_code(1);
    assert!(
        ended.stderr.contains("2 targets: 2 failed"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_is_no_saved_run_is_told_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.jsonl");
    std::fs::write(&file, "web1: done\n").expect("a file");
    let missing = folder.path().join("missing");
    for (words, expected) in [
        (&["rerun"][..], "--failed <FILE>"),
        (&["rerun", "--failed", path(&missing)], "cannot read it"),
        (
            &["rerun", "--failed", path(folder.path())],
            "cannot read it",
        ),
        (
            &["rerun", "--failed", path(&file)],
            "line 1 is none that `pecking run --save` writes",
        ),
        (&["rerun", "--failed", path(&file), "--to", "web1"], "--to"),
        (
            &["run", "--save", path(&missing.join("x")), "--", "x"],
            "--save: cannot write",
        ),
    ] {
        Ended::of(&mut client(words))
            .expect_code(2)
            .expect_one_line(&[expected]);
    }
}
