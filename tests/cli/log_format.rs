//! The log as JSON: an object a line, with anything that a peer says, and with all that is said there besides.

use crate::support::dialled::nowhere;
use crate::support::programs::{Ended, Process, Server, client, server};
use rustix::process::Signal;
use serde_json::Value;

/// The objects of a log; each has the four members, as text, and nothing in it steers a terminal.
#[track_caller]
fn objects(log: &str) -> Vec<Value> {
    let object = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{line:?} is no object: {error}"));
        let members = object.as_object().expect("an object");
        let keys: Vec<&str> = members.keys().map(String::as_str).collect();
        assert_eq!(keys, ["level", "message", "target", "time"], "{line}");
        for text in members.values().map(|value| value.as_str().expect("text")) {
            let is_plain = !text.contains(|c: char| c.is_control() || c == '\u{202e}');
            assert!(is_plain && !text.is_empty(), "{line}");
        }
        object
    };
    log.lines().map(object).collect()
}

#[track_caller]
fn expect(objects: &[Value], level: &str, part: &str) {
    let is_it = |object: &&Value| {
        let message = object["message"].as_str().unwrap_or_default();
        object["level"] == level && message.contains(part)
    };
    let found = objects.iter().find(is_it);
    assert!(found.is_some(), "no {level} {part:?} in {objects:#?}");
}

#[test]
fn the_server_logs_objects_and_the_limit_of_lines_about_a_client_holds() {
    let server = Server::spawn(&mut server(&["--log-format", "json"]));
    let mut a = server.raw("a", 0);
    a.send_line("no\u{1b}[2J json \u{202e}");
    a.next("an error");
    // More than are shown about one client in a second, however slow the machine is.
    for _ in 0..2000 {
        let id = a.command("b\u{1b}", &["x"]);
        a.error_of(&id);
    }
    server.process.stderr.wait_for("are not shown here");
    server.process.signal(Signal::TERM);
    let ended = server.process.end();
    ended.expect_code(0);
    let objects = objects(&ended.stderr);
    expect(&objects, "info", "listening on 127.0.0.1");
    expect(&objects, "warn", "lines of a are not shown here");
    assert!(objects.len() < 1500, "{} lines", objects.len());
    let listening = objects
        .iter()
        .find(|object| object["target"] == "server::server");
    assert!(listening.is_some(), "{objects:#?}");
}

#[test]
fn an_error_that_ends_a_program_is_an_object() {
    let elsewhere = nowhere();
    for (mut command, code, part) in [
        (
            server(&["--log-format", "json", "--token-file", "/nosuch"]),
            2,
            "/nosuch",
        ),
        (
            server(&["--log-format", "json", "--listen", "203.0.113.1:0"]),
            1,
            "cannot listen",
        ),
        (
            client(&["--log-format", "json", "--server", &elsewhere, "members"]),
            255,
            &elsewhere,
        ),
    ] {
        let ended = Ended::of(&mut command);
        ended.expect_code(code);
        expect(&objects(&ended.stderr), "error", part);
    }
}

#[test]
fn an_agent_logs_objects_also_of_what_it_waits_for() {
    let server = Server::start(&["1"]);
    let first = server.raw("first", 0);
    let words = ["--log-format", "json", "work", "--wait", "--name", "web1"];
    let agent = Process::start(&mut server.client(&words));
    agent.stderr.wait_for("waiting for a place");
    first.leave();
    agent.stderr.wait_for("joined as web1");
    agent.signal(Signal::TERM);
    let ended = agent.end();
    ended.expect_code(0);
    let objects = objects(&ended.stderr);
    expect(&objects, "info", "waiting for a place");
    expect(&objects, "info", "joined as web1, rank 0");
    expect(&objects, "info", "leaving");
}
