//! `pecking run --batch`: one batch of targets after the other.

use crate::support::Raw;
use crate::support::programs::{Ended, Process, Server, without_times};
use rustix::process::Signal;
use serde_json::{Value, json};

/// An executor of bare lines in the tier of services, with the tag `role=web`. It is told nothing of the
/// clients that come and go above it.
pub(crate) fn service(server: &Server, name: &str) -> Raw {
    let tags = json!({"role": "web"});
    let params = json!({"name": name, "slots": 1, "tier": 9, "rank_news": false, "tags": tags});
    server.raw_with(params)
}

/// Starts a rolling run over executors, which are there before it.
fn start<const N: usize>(server: &Server, words: &[&str], names: [&str; N]) -> (Process, [Raw; N]) {
    let executors = names.map(|name| service(server, name));
    let words = [&["run"], words].concat();
    (Process::start(&mut server.client(&words)), executors)
}

fn reply(executor: &mut Raw, code: i64) {
    let execute = executor.execute();
    executor.reply(&execute, &json!({"exit_code": code}));
}

fn lines(ended: &Ended) -> Vec<Value> {
    let lines = ended.text().lines();
    let read = |line| serde_json::from_str(line).expect("each line is JSON");
    lines.map(read).collect()
}

/// The statuses of outcomes, by name.
fn outcomes(lines: &[Value]) -> Vec<(&str, &str)> {
    let outcomes = lines.iter().filter(|line| line["type"] == "outcome");
    let told = outcomes.map(|line| (line["name"].as_str(), line["status"].as_str()));
    told.map(|(name, status)| (name.expect("a name"), status.expect("a status")))
        .collect()
}

#[test]
fn a_batch_starts_once_all_of_the_last_have_ended_and_too_many_failures_stop_it() {
    let server = Server::start(&["9"]);
    let names = ["web1", "web2", "web3", "web4", "web5", "web6"];
    let words = ["--batch", "2", "--max-fail", "1", "--to", "web*", "--", "x"];
    let (run, mut webs) = start(&server, &words, names);
    reply(&mut webs[0], 3);
    // The second batch waits for all of the first one.
    webs[2].sync();
    run.stderr.wait_for("[web1, rank 1] done, exit code 3");
    assert!(!run.stderr.text().contains("batch 2"));
    reply(&mut webs[1], 0);
    // One that joins meanwhile is no target.
    let _late = service(&server, "web7");
    reply(&mut webs[2], 0);
    reply(&mut webs[3], 4);
    let ended = run.end();
    ended.expect_code(1);
    assert_eq!(
        without_times(&ended.stderr),
        "batch 1 of 3: web[1-2]\n[web1, rank 1] done, exit code 3 (TIME)\n\
         batch 2 of 3: web[3-4]\n[web4, rank 4] done, exit code 4 (TIME)\n\
         stopped before batch 3 of 3: 2 failed, and --max-fail allows 1\n\
         6 targets: 2 done, 2 failed, 2 skipped\n  exit 3: web1\n  exit 4: web4\n  \
         skipped: web[5-6]\n"
    );
}

#[test]
fn a_target_that_left_meanwhile_is_absent_also_if_its_name_is_here_again() {
    let server = Server::start(&["9"]);
    let words = [
        "--batch",
        "1",
        "--max-fail",
        "50%",
        "--json",
        "--to",
        "web[1-3]",
        "--",
        "x",
    ];
    let (run, mut webs) = start(&server, &words, ["web1", "web2", "web3"]);
    let execute = webs[0].execute();
    let [web1, web2, mut web3] = webs;
    web2.leave();
    let _again = service(&server, "web2");
    web1.reply(&execute, &json!({"exit_code": 0}));
    reply(&mut web3, 0);
    let ended = run.end();
    ended.expect_code(4);
    let lines = lines(&ended);
    let told = [("web1", "done"), ("web2", "absent"), ("web3", "done")];
    assert_eq!(outcomes(&lines), told);
    let accepted: Vec<_> = lines.iter().filter(|it| it["type"] == "accepted").collect();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["targets"], 3);
}

#[test]
fn what_is_out_of_reach_from_the_start_counts_as_failed() {
    let server = Server::start(&["9"]);
    for (most, code, statuses) in [
        ("0", 4, ["absent", "skipped"]),
        ("1", 4, ["absent", "done"]),
    ] {
        let words = [
            "--batch",
            "1",
            "--max-fail",
            most,
            "--json",
            "--to",
            "web1,nope",
            "--",
            "x",
        ];
        let (run, [mut web1]) = start(&server, &words, ["web1"]);
        if most == "1" {
            reply(&mut web1, 0);
        }
        let ended = run.end();
        ended.expect_code(code);
        let told = [("nope", statuses[0]), ("web1", statuses[1])];
        assert_eq!(outcomes(&lines(&ended)), told);
        web1.leave();
    }
}

#[test]
fn an_interrupt_cancels_the_batch_under_way_or_ends_the_pause() {
    let server = Server::start(&["9"]);
    for (is_paused, statuses) in [
        (false, ["cancelled", "skipped"]),
        (true, ["done", "skipped"]),
    ] {
        let words = [
            "--batch", "1", "--pause", "10m", "--json", "--to", "web[1-2]", "--", "x",
        ];
        let (run, [mut web1, web2]) = start(&server, &words, ["web1", "web2"]);
        let execute = web1.execute();
        if is_paused {
            web1.reply(&execute, &json!({"exit_code": 0}));
            run.stdout.wait_for("\"outcome\"");
        }
        run.signal(Signal::INT);
        if !is_paused {
            web1.notification("cancel");
            web1.reply(&execute, &json!({"cancelled": true, "signal": "SIGTERM"}));
        }
        let ended = run.end();
        ended.expect_code(130);
        let told = [("web1", statuses[0]), ("web2", statuses[1])];
        assert_eq!(outcomes(&lines(&ended)), told);
        web1.leave();
        web2.leave();
    }
}

#[test]
fn a_deadline_is_over_all_batches_and_pauses() {
    let server = Server::start(&["9"]);
    let words = [
        "--batch",
        "1",
        "--pause",
        "10m",
        "--deadline",
        "5m",
        "--to",
        "web[1-2]",
        "--",
        "x",
    ];
    let (run, [mut web1, _web2]) = start(&server, &words, ["web1", "web2"]);
    let execute = web1.execute();
    let timeout = execute.params["timeout_ms"].as_u64();
    assert!(timeout.is_some_and(|ms| ms <= 300_000), "{timeout:?}");
    web1.reply(&execute, &json!({"exit_code": 0}));
    let ended = run.end();
    ended.expect_code(124);
    assert!(
        ended
            .stderr
            .contains("stopped before batch 2 of 2: the deadline")
    );
    assert!(ended.stderr.contains("1 done, 1 skipped"));
}

#[test]
fn a_loss_of_the_server_skips_what_has_not_begun() {
    let mut server = Server::start(&["9"]);
    let words = ["--batch", "1", "--json", "--to", "web[1-2]", "--", "x"];
    let (run, [mut web1, _web2]) = start(&server, &words, ["web1", "web2"]);
    let _execute = web1.execute();
    run.stdout.wait_for("\"started\"");
    server.kill();
    let ended = run.end();
    ended.expect_code(3);
    let lines = lines(&ended);
    assert_eq!(outcomes(&lines), [("web2", "skipped")]);
    assert_eq!(lines.last().expect("a summary")["missing"], 1);
}

#[test]
fn nonsense_for_batches_is_told_in_one_line() {
    for (words, expected) in [
        (&["--batch", "0"][..], "'0' for '--batch <N>'"),
        (&["--batch", "0%"], "'0%' for '--batch <N>'"),
        (&["--batch", "x"], "such as 10%"),
        (
            &["--batch", "2", "--max-fail", "101%"],
            "'101%' for '--max-fail <N>'",
        ),
        (
            &["--batch", "2", "--pause", "0"],
            "'0' for '--pause <DURATION>'",
        ),
        (&["--pause", "3s"], "--batch <N>"),
        (&["--max-fail", "3"], "--batch <N>"),
    ] {
        let words = [&["run"], words, &["--", "x"]].concat();
        let ended = Ended::of(&mut crate::support::programs::client(&words));
        ended.expect_code(2).expect_one_line(&[expected]);
    }
}

/// What the README types in its section, and what that prints on standard error.
fn of_readme() -> Vec<(Vec<String>, String)> {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## A rolling restart\n").nth(1);
    let section = section.and_then(|rest| rest.split("\n## ").next());
    let lines = section.expect("the section").lines();
    let mut typed: Vec<(Vec<String>, String)> = Vec::new();
    for line in lines.filter_map(|line| line.strip_prefix("    ")) {
        match (line.strip_prefix("$ pecking "), typed.last_mut()) {
            (Some(words), _) => {
                let words = words
                    .split(' ')
                    .map(|word| word.trim_matches('\'').to_owned());
                typed.push((words.collect(), String::new()));
            }
            (None, Some((_, said))) => *said += &format!("{line}\n"),
            (None, None) => panic!("{line} is no output of a command"),
        }
    }
    typed
}

#[test]
fn the_rolling_restart_of_the_readme_goes_as_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&["9"]);
    let names = ["web1", "web2", "web3", "web4", "web5", "web6"];
    let mut webs = names.map(|name| service(&server, name));
    let typed = of_readme();
    let codes: [&[(usize, i64)]; 2] = [
        &[(0, 0), (1, 3), (2, 3), (3, 0)],
        &[(1, 0), (2, 0), (4, 0), (5, 0)],
    ];
    assert_eq!(typed.len(), codes.len());
    for ((words, said), codes) in typed.iter().zip(codes) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let run = Process::start(server.client(&words).current_dir(folder.path()));
        for (web, code) in codes {
            let execute = webs[*web].execute();
            assert_eq!(execute.command, ["restart", "nginx"]);
            webs[*web].reply(&execute, &json!({"exit_code": code}));
        }
        let ended = run.end();
        assert_eq!(
            without_times(&ended.stderr),
            without_times(said),
            "{words:?}"
        );
    }
}
