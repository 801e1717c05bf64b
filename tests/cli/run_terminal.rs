//! `pecking run` at a terminal: its progress line, which stands in the way of nothing, and its
//! question before a command goes to many.

use crate::support::Raw;
use crate::support::programs::Server;
use crate::support::terminal::Terminal;
use serde_json::json;

fn start(server: &Server, words: &[&str]) -> Terminal {
    let mut command = server.client(&["run"]);
    command.env_remove("NO_COLOR").args(words);
    Terminal::start(command)
}

#[test]
fn progress_at_a_terminal_is_below_the_output_and_gone_at_the_end() {
    let server = Server::start(&[]);
    let mut webs = ["web1", "web2", "web3"].map(|name| server.low(name));
    let mut run = start(&server, &["--to", "below", "--", "x"]);
    let executes = webs.each_mut().map(Raw::execute);
    run.wait_for("0/3 done, 3 running, ");
    webs[0].output(&executes[0], "stdout", "one\n");
    run.wait_for("web1: one");
    webs[1].reply(&executes[1], &json!({"exit_code": 3, "stdout": "two\n"}));
    run.wait_for("0/3 done, 1 failed, 2 running");
    // Named once a person begins to wonder.
    run.wait_for(": web[1,3]");
    let shown = run.shown();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..2], ["web1: one", "web2: two"], "{shown}");
    assert!(lines[2].starts_with("[web2, rank "), "{shown}");
    assert!(
        lines.len() == 4 && lines[3].starts_with("[======"),
        "{shown}"
    );
    for n in [0, 2] {
        webs[n].reply(&executes[n], &json!({"exit_code": 0}));
    }
    run.expect_end(1);
    let shown = run.shown();
    let rest = shown.lines().skip(3).take(2).collect::<Vec<_>>();
    assert_eq!(
        rest,
        ["3 targets: 2 done, 1 failed", "  exit 3: web2"],
        "{shown}"
    );
}

#[test]
fn a_way_to_run_it_again_is_told_at_a_terminal_if_it_helps() {
    let server = Server::start(&[]);
    let mut webs = ["web1", "web2"].map(|name| server.low(name));
    for (codes, is_told) in [([0, 3], true), ([0, 0], false), ([3, 3], false)] {
        let mut run = start(&server, &["--to", "below", "--", "x"]);
        for (web, code) in webs.iter_mut().zip(codes) {
            let execute = web.execute();
            web.reply(&execute, &json!({"exit_code": code}));
        }
        run.expect_end(i32::from(codes != [0, 0]));
        let shown = run.shown();
        assert_eq!(shown.contains("pecking rerun --failed"), is_told, "{shown}");
    }
    let mut dry = start(
        &server,
        &["--dry-run", "--batch", "1", "--to", "below", "--", "x"],
    );
    dry.expect_end(0);
    let shown = dry.shown();
    assert!(
        shown.ends_with("2 of 2 targets in 2 batches: web[1-2]"),
        "{shown}"
    );
}

#[test]
fn progress_waits_for_the_end_of_a_line_and_is_off_when_not_wanted() {
    let server = Server::start(&[]);
    let mut web1 = server.low("web1");
    for (option, is_there) in [
        ("--no-reconnect", true),
        ("--no-progress", false),
        ("--quiet", false),
    ] {
        let mut run = start(&server, &[option, "--", "x"]);
        let execute = web1.execute();
        web1.output(&execute, "stdout", "half");
        run.wait_shown("half");
        web1.output(&execute, "stdout", " of it\n");
        match is_there {
            true => run.wait_for("half of it\n0/1 done, 1 running"),
            false => run.wait_shown("half of it"),
        }
        web1.reply(&execute, &json!({"exit_code": 0}));
        run.expect_end(0);
        assert_eq!(run.shown(), "half of it");
    }
}

#[test]
fn a_command_to_more_targets_than_asked_for_is_confirmed_first() {
    let server = Server::start(&[]);
    let mut webs = ["web1", "web2"].map(|name| server.low(name));
    let words = [
        "--no-progress",
        "--confirm-over",
        "1",
        "--to",
        "below",
        "--",
        "reboot",
        "now",
    ];
    let question = "run reboot now on 2 targets (web[1-2])? [y/N] ";
    for answer in ["n\r", "\r", "\u{4}", "\u{3}"] {
        let mut run = start(&server, &words);
        run.wait_for(question.trim_end());
        run.keys(answer);
        run.expect_end(130);
    }
    for web in &mut webs {
        web.expect_nothing("it was not confirmed");
    }
    let mut run = start(&server, &words);
    run.wait_for(question.trim_end());
    run.keys("y\r");
    for web in &mut webs {
        let execute = web.execute();
        web.reply(&execute, &json!({"exit_code": 0}));
    }
    run.expect_end(0);
    assert!(
        run.shown().ends_with("2 targets: 2 done"),
        "{}",
        run.shown()
    );

    // Input that is no terminal has no answer in it.
    let client = server.client(&["run"]);
    let mut fed = std::process::Command::new("sh");
    fed.args(["-c", "echo y | \"$0\" \"$@\""]);
    fed.arg(client.get_program()).args(client.get_args());
    fed.envs(
        client
            .get_envs()
            .filter_map(|(name, set)| Some((name, set?))),
    );
    fed.args(words);
    let mut run = Terminal::start(fed);
    run.wait_for(question.trim_end());
    run.keys("n\r");
    run.expect_end(130);
    for web in &mut webs {
        web.expect_nothing("it was not confirmed");
    }

    // As many as that are not asked about.
    let mut run = start(
        &server,
        &["--confirm-over", "2", "--to", "below", "--", "x"],
    );
    for web in &mut webs {
        let execute = web.execute();
        web.reply(&execute, &json!({"exit_code": 0}));
    }
    run.expect_end(0);
}
