//! What `pecking run` says while it waits: of a queue, and of input that it does not read.

use std::fs::File;
use std::io::{PipeReader, Read, Seek, SeekFrom, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::run::waiting;
use crate::support::held::Held;
use crate::support::programs::{Process, Server};
use crate::support::{PATIENCE, tunnel};
use rustix::process::Signal;
use serde_json::json;

/// What `run` says of standard input that it does not read.
const NOT_READ: &str = "note: run does not pass its standard input on to the command (--stdin does; </dev/null ends this note)\n";

#[test]
fn input_that_run_does_not_read_is_said_and_left_where_it_is() {
    let server = Server::start(&[]);
    let _boss = server.raw("boss", 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("input");
    std::fs::write(&path, "one\ntwo\n").expect("a file");
    let open = || File::open(&path).expect("the file is there");
    let run = |stdin: Stdio| {
        let mut command = server.client(&["run", "--to", "web1", "--", "cat"]);
        Process::start_reading(&mut command, stdin).end().stderr
    };
    let pipe = |content: &str| {
        let (reader, mut writer) = std::io::pipe().expect("the system has pipes");
        writer.write_all(content.as_bytes()).expect("it has room");
        (reader, writer)
    };
    let clone = |file: &PipeReader| file.try_clone().expect("a descriptor");

    let (mut reader, writer) = pipe("hi\n");
    let said = run(clone(&reader).into());
    assert_eq!(said.matches(NOT_READ).count(), 1, "a pipe: {said}");
    drop(writer);
    let said = run(clone(&reader).into());
    assert!(said.contains(NOT_READ), "a pipe that was closed: {said}");
    let mut left = String::new();
    reader.read_to_string(&mut left).expect("a pipe");
    assert_eq!(left, "hi\n");

    let mut file = open();
    let said = run(file.try_clone().expect("a descriptor").into());
    assert!(said.contains(NOT_READ), "a file: {said}");
    assert_eq!(file.stream_position().expect("a place"), 0);
    file.seek(SeekFrom::End(0)).expect("an end");
    let said = run(file.into());
    assert!(!said.contains("note"), "a file at its end: {said}");

    let (reader, writer) = pipe("");
    let said = run(clone(&reader).into());
    assert!(!said.contains("note"), "an empty pipe: {said}");
    drop(writer);
    let said = run(reader.into());
    assert!(!said.contains("note"), "an empty pipe at its end: {said}");
    let said = run(Stdio::null());
    assert!(!said.contains("note"), "nothing: {said}");
}

#[test]
fn input_that_comes_late_is_said_at_the_end() {
    let server = Server::start(&[]);
    let mut command = server.client(&["run", "--wait-for", "1", "--", "cat"]);
    let mut run = Process::start_fed(&mut command);
    run.stderr.wait_for("waiting for");
    let mut web1 = server.raw("web1", 1);
    let execute = web1.execute();
    run.feed("hi\n");
    web1.reply(&execute, &json!({"exit_code": 0}));
    let ended = run.end();
    assert_eq!(ended.expect_code(0).stderr, waiting(1) + NOT_READ);
}

#[test]
fn a_command_that_waits_for_a_slot_says_where_and_behind_how_many() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    for (to, timeout) in [("web1", "2s"), ("next", "1m"), ("2", "1m"), ("", "1m")] {
        let mut command = server.client(&["run", "--wait-for", "2", "--timeout", timeout]);
        if !to.is_empty() {
            command.args(["--to", to]);
        }
        let run = Process::start(command.args(["--", "x"]));
        run.stderr.wait_for("waiting for");
        let mut web1 = server.raw("web1", 1);
        let fills = [boss.command("web1", &["a"]), boss.command("web1", &["b"])];
        boss.sync();
        let first = web1.execute();
        let web2 = server.raw("web2", 1);
        run.stderr.wait_for("queued at web1 behind 2\n");
        web1.reply(&first, &json!({"exit_code": 0}));
        for _ in ["b", "x"] {
            let execute = web1.execute();
            web1.reply(&execute, &json!({"exit_code": 0}));
        }
        for fill in fills {
            boss.result_of(&fill);
        }
        let ended = run.end();
        ended.expect_code(0);
        assert_eq!(
            ended.stderr,
            waiting(2) + "queued at web1 behind 2\n",
            "{to}"
        );
        web1.leave();
        web2.leave();
    }
}

#[test]
fn the_queues_of_several_targets_are_said_on_one_line() {
    let server = Server::start(&["9"]);
    let mut boss = server.raw("boss", 0);
    let words = ["run", "--wait-for", "6", "--to", "web*,!web6", "--", "x"];
    let run = Process::start(&mut server.client(&words));
    run.stderr.wait_for("waiting for");
    let mut webs = ["web1", "web2", "web3", "web4", "web5"].map(|name| server.raw(name, 1));
    for name in ["web1", "web2", "web2", "web3", "web4"] {
        boss.command(name, &["fills"]);
    }
    boss.sync();
    let _web6 = server.raw("web6", 1);
    let free = webs[4].execute();
    run.stderr
        .wait_for("queued at web1 behind 1, web2 behind 2, web3 behind 1 and 1 more\n");
    webs[4].reply(&free, &json!({"exit_code": 0}));
    run.signal(Signal::INT);
    for web in &mut webs[..4] {
        web.execute();
    }
    run.end().expect_code(130);
}

#[test]
fn a_command_that_runs_in_silence_is_not_said_to_be_queued() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    let (run, [mut web1]) = server.run(&["--to", "web1", "--", "x"], [("web1", 1)]);
    let execute = web1.execute();
    // What comes behind it is nothing to wait for; the first of it comes late enough that the
    // sender has seen its own command run.
    assert!(!web1.comes_within(Duration::from_millis(600)));
    let behind = boss.command("web1", &["behind"]);
    assert!(!web1.comes_within(Duration::from_millis(900)));
    web1.reply(&execute, &json!({"exit_code": 0}));
    let execute = web1.execute();
    web1.reply(&execute, &json!({"exit_code": 0}));
    boss.result_of(&behind);
    assert_eq!(run.end().expect_code(0).stderr, waiting(1));
}

#[test]
fn an_executor_that_is_away_is_waited_for() {
    if tunnel::is_carrier() {
        return;
    }
    let server = Server::start(&["9"]);
    let mut worker = Held::join_with(server.address(), json!({"name": "worker", "tier": 9}));
    worker.confirm();
    worker.reset();
    let mut observer = server.raw("observer", 0);
    let deadline = Instant::now() + PATIENCE;
    while observer.result("members", &json!({}))["members"][1]["away_ms"].is_null() {
        assert!(Instant::now() < deadline, "it is not away");
    }
    let run = Process::start(&mut server.client(&["run", "--wait-for", "1", "--", "x"]));
    run.stderr.wait_for("0 of 1 are there");
    worker.come_back();
    let (execute, _) = worker.execute();
    worker.reply(&execute);
    run.end().expect_code(0);
}
