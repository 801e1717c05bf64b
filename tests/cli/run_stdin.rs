//! `pecking run --stdin` as a target sees it: its pace, its terminal, and what a target that takes no
//! input makes of it.

use crate::support::programs::{Ended, Process, Server, client};
use crate::support::proxy::Proxy;
use crate::support::terminal::Terminal;
use crate::support::{Execute, Raw};
use serde_json::json;
use std::process::Stdio;

/// How much input of `run` is under way at the most.
const WINDOW: u64 = 1 << 20;

/// An executor that takes input.
fn taker(server: &Server, name: &str) -> Raw {
    server.raw_with(json!({"name": name, "tier": 9, "stdin": true, "rank_news": false}))
}

/// Takes input until there was so much, or its end, and returns how much there was.
#[track_caller]
fn take(raw: &mut Raw, until: u64) -> u64 {
    let mut taken = 0;
    while taken < until {
        let piece = raw.notification("input");
        taken += piece["text"].as_str().map_or(0, |text| text.len() as u64);
        if piece["end"] == true {
            break;
        }
    }
    taken
}

fn consumed(raw: &Raw, execute: &Execute, bytes: u64) {
    raw.notify("input_consumed", &json!({"id": execute.id, "bytes": bytes}));
}

#[test]
fn input_goes_on_after_a_connection_that_broke() {
    let server = Server::start(&["9"]);
    let network = Proxy::to(server.address());
    let mut target = taker(&server, "target");
    // More than a window, so it breaks on the way.
    let mut source = std::process::Command::new("seq")
        .arg("300000")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is there");
    let lines = source.stdout.take().expect("a pipe");
    let dialled = network.address().to_string();
    let words = ["run", "--hold", "--stdin", "--to", "target", "--", "read"];
    let mut command = client(&["--server", &dialled]);
    let run = Process::start_reading(command.args(words), lines.into());
    let execute = target.execute();
    let (mut taken, mut has_broken) = (String::new(), false);
    loop {
        let piece = target.notification("input");
        let text = piece["text"].as_str().unwrap_or_default();
        taken += text;
        if !std::mem::replace(&mut has_broken, true) {
            network.reset();
        }
        consumed(&target, &execute, text.len() as u64);
        if piece["end"] == true {
            break;
        }
    }
    let all: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    assert!(taken == all, "{} of {} bytes", taken.len(), all.len());
    target.reply(&execute, &json!({"exit_code": 0}));
    let ended = run.end();
    ended.expect_code(0);
    assert!(
        ended.stderr.contains(", nothing lost\n"),
        "{}",
        ended.stderr
    );
    let _ = source.wait();
}

#[test]
fn the_slowest_target_decides_the_pace() {
    let server = Server::start(&["9"]);
    let [mut fast, mut slow] = ["fast", "slow"].map(|name| taker(&server, name));
    let mut yes = std::process::Command::new("yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is there");
    let endless = yes.stdout.take().expect("a pipe");
    let mut command = server.client(&["run", "--stdin", "--to", "below", "--", "read"]);
    let run = Process::start_reading(&mut command, endless.into());
    let executes = [&mut fast, &mut slow].map(Raw::execute);
    for execute in &executes {
        assert_eq!(execute.params["stdin"], true);
    }
    for raw in [&mut fast, &mut slow] {
        assert_eq!(take(raw, WINDOW), WINDOW);
    }
    consumed(&fast, &executes[0], WINDOW);
    fast.expect_nothing("the other one has consumed nothing");
    let mut more = WINDOW / 4;
    consumed(&slow, &executes[1], more);
    for raw in [&mut fast, &mut slow] {
        assert_eq!(take(raw, more), more);
    }
    fast.expect_nothing("the other one has consumed no more");
    // One that has ended is waited for no longer.
    slow.reply(&executes[1], &json!({"exit_code": 0}));
    more = WINDOW - more;
    assert_eq!(take(&mut fast, more), more);
    fast.reply(&executes[0], &json!({"exit_code": 0}));
    run.end().expect_code(0);
    let _ = yes.kill();
    let _ = yes.wait();
}

#[test]
fn at_a_terminal_lines_go_out_as_they_are_typed_until_ctrl_d() {
    let server = Server::start(&["9"]);
    let mut web1 = taker(&server, "web1");
    let mut terminal = Terminal::start(server.client(&["run", "--stdin", "--", "read"]));
    let execute = web1.execute();
    for line in ["one\n", "zwei ä\n"] {
        terminal.keys(line);
        assert_eq!(web1.notification("input")["text"], *line);
        consumed(&web1, &execute, line.len() as u64);
    }
    terminal.keys("\u{4}");
    assert_eq!(
        web1.notification("input"),
        json!({"id": execute.id, "end": true})
    );
    web1.reply(&execute, &json!({"exit_code": 0, "stdout": "read\n"}));
    terminal.expect_code(0);
    // No progress line stood where the lines were typed.
    terminal.wait_shown("one\nzwei ä\nread");
}

#[test]
fn a_target_that_takes_no_input_fails_and_a_busy_one_is_busy() {
    let server = Server::start(&["9"]);
    let mut full = taker(&server, "full");
    // The one slot of `full` is taken.
    let mut boss = server.raw("boss", 0);
    boss.command("full", &["x"]);
    full.execute();
    let run = |to: &str| {
        let words = ["run", "--stdin", "--tier", "5", "--to", to, "--", "read"];
        Ended::of(&mut server.client(&words))
    };
    let busy = run("full");
    busy.expect_code(5);
    assert!(busy.stderr.contains("does not wait"), "{}", busy.stderr);
    run("full,#99").expect_code(5);
    let mut deaf = server.low("deaf");
    let failed = run("deaf");
    failed.expect_code(1);
    assert!(
        failed.stderr.contains("takes no input"),
        "{}",
        failed.stderr
    );
    deaf.expect_nothing("it was given none");
}

#[test]
fn piped_lines_take_what_lines_of_the_prompt_take() {
    let server = Server::start(&["9"]);
    let mut piped = Process::start_fed(&mut server.client(&["--slots", "0"]));
    piped.stdout.wait_for("Assigned rank: 0");
    let mut executors: Vec<Raw> = ["web1", "web2", "db1"]
        .map(|name| server.raw(name, 1))
        .into();
    let mut hear = |expected: &[(&str, &[&str])]| {
        for (name, words) in expected {
            let raw = executors
                .iter_mut()
                .find(|raw| raw.joined["name"] == **name);
            let raw = raw.expect("it has joined");
            let execute = raw.execute();
            assert_eq!(execute.command, *words, "{name}");
            raw.reply(&execute, &json!({"exit_code": 0}));
        }
    };
    for (line, expected) in [
        (
            "print",
            &[("web1", &["print"] as &[&str])] as &[(&str, &[&str])],
        ),
        (
            "@web* uptime -p",
            &[("web1", &["uptime", "-p"]), ("web2", &["uptime", "-p"])],
        ),
        (
            "@!web1 'two words'",
            &[("web2", &["two words"]), ("db1", &["two words"])],
        ),
        (":to db1\nprint it", &[("db1", &["print", "it"])]),
        ("@web[1-2] x # y", &[("web1", &["x"]), ("web2", &["x"])]),
        (":to\nprint", &[("web1", &["print"])]),
    ] {
        piped.feed(&format!("{line}\n"));
        hear(expected);
    }
    piped.feed("# a comment\n\n:jobs\n:whoami\nexit\n");
    piped.end().expect_code(0);
}

#[test]
fn a_script_is_refused_with_the_sentence_that_says_how() {
    let refused = Ended::of(&mut client(&["run", "--script", "deploy.sh", "--", "x"]));
    refused.expect_code(2);
    for part in ["deploy.sh", "--stdin", "stdin = true", "put-config"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
}
