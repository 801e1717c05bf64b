//! `pecking run` in scripts: its targets, its waiting, and how it ends.

use crate::support::programs::{Ended, Process, Server, client, without_times};
use crate::support::{PATIENCE, Raw};
use rustix::process::Signal;
use serde_json::json;

/// What `run --wait-for` says first.
pub(crate) fn waiting(wanted: usize) -> String {
    format!("waiting for clients below that execute: 0 of {wanted} are there\n")
}

#[track_caller]
pub(crate) fn expect_stderr(ended: &Ended, expected: &str) {
    assert_eq!(without_times(&ended.stderr), expected, "its standard error");
}

#[test]
fn run_is_executed_by_a_service() {
    let server = Server::start(&[]);
    let run = server.client(&[
        "run",
        "--wait-for",
        "2",
        "--to",
        "below",
        "--",
        "print",
        "it",
    ]);
    let run = Process::start(&mut { run });
    run.stderr.wait_for("waiting for");
    let (_web1, _web2) = (server.worker("web1"), server.worker("web2"));
    let ended = run.end();
    ended.expect_code(0);
    let mut lines: Vec<&str> = ended.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "web1: i am print iting watch me print it",
            "web2: i am print iting watch me print it"
        ]
    );
    expect_stderr(&ended, &(waiting(2) + "2 targets: 2 done\n"));
}

#[test]
fn a_run_to_several_ends_with_how_many_failed_and_which() {
    let server = Server::start(&["30"]);
    let run = server.client(&["run", "--wait-for", "25", "--to", "below", "--", "x"]);
    let run = Process::start(&mut { run });
    run.stderr.wait_for("waiting for");
    let webs = (1..=25).map(|n| server.raw(&format!("web{n}"), 1));
    for (n, web) in (1..).zip(&mut webs.collect::<Vec<_>>()) {
        let execute = web.execute();
        web.reply(
            &execute,
            &match n {
                3 => json!({"exit_code": 2}),
                7 => json!({"signal": "SIGSEGV"}),
                19 => json!({"exit_code": -1}),
                _ => json!({"exit_code": 0}),
            },
        );
    }
    let ended = run.end();
    ended.expect_code(1).expect_stdout("");
    let summary = "\n25 targets: 22 done, 3 failed\n  exit -1: web19\n  exit 2: web3\n  \
                   ended by SIGSEGV: web7\n";
    assert!(ended.stderr.ends_with(summary), "{}", ended.stderr);
}

#[test]
fn an_absent_name_of_a_list_is_reported_and_has_an_exit_code() {
    let server = Server::start(&[]);
    for (code, exit, counts, others) in [
        (0, 4, "1 done, 3 absent", ""),
        (7, 4, "1 failed, 3 absent", "  exit 7: web1\n"),
        (-20, 5, "1 refused, 3 absent", "  refused: web1\n"),
    ] {
        let mut command = server.client(&["run", "--wait-for", "1"]);
        let run = Process::start(command.args(["--to", "web1,idle,nope,9", "--", "x"]));
        run.stderr.wait_for("waiting for clients below");
        let idle = server.raw("idle", 0);
        let mut web1 = server.raw("web1", 1);
        let execute = web1.execute();
        match code {
            -20 => web1.reply_error(&execute, 20, "no"),
            _ => web1.reply(&execute, &json!({"exit_code": code})),
        }
        let ended = run.end();
        ended.expect_code(exit);
        for line in [
            "[idle, rank 1] absent: it has no slots: it never executes",
            "[nope] absent: no client here has the name \"nope\"",
            "[rank 9] absent: there is no rank 9; the lowest is 2",
        ] {
            assert!(
                ended.stderr.lines().any(|said| said == line),
                "{}",
                ended.stderr
            );
        }
        let summary = format!("\n4 targets: {counts}\n{others}  absent: 9,idle,nope\n");
        assert!(ended.stderr.ends_with(&summary), "{}", ended.stderr);
        idle.leave();
        web1.leave();
    }
    // A tally, if there are only absent ones; an error, if one is named alone.
    let ended = Ended::of(&mut server.client(&["run", "--to", "nope,nope2", "--", "x"]));
    ended.expect_code(4).expect_stdout("");
    let summary = "\n2 targets: 2 absent\n  absent: nope,nope2\n";
    assert!(ended.stderr.ends_with(summary), "{}", ended.stderr);
    Ended::of(&mut server.client(&["run", "--to", "nope", "--", "x"]))
        .expect_code(4)
        .expect_one_line(&["no target"]);
}

#[test]
fn a_run_to_several_that_loses_its_server_says_how_many_are_lost() {
    let server = Server::start(&[]);
    let words = ["--to", "below", "--", "x"];
    let (run, mut webs) = server.run(&words, [("web1", 1), ("web2", 1), ("web3", 1)]);
    let executes = webs.each_mut().map(Raw::execute);
    webs[1].reply(&executes[1], &json!({"exit_code": 0, "stdout": "so far\n"}));
    run.stdout.wait_for("web2: so far\n");
    server.process.signal(Signal::KILL);
    let ended = run.end();
    ended.expect_code(3);
    let last = ended.stderr.lines().last();
    assert_eq!(last, Some("3 targets: 1 done, 2 lost"));
}

#[test]
fn run_says_why_no_client_executes_and_what_would_help() {
    let server = Server::start(&[]);
    let mut above = server.raw("above", 1);
    for (words, code, parts) in [
        (
            &["--", "x"][..],
            4,
            &[
                "no target",
                "you rank lowest",
                "executors here (above) rank above this client",
                "`pecking work` takes 9",
            ][..],
        ),
        (&["--to", "web*", "--", "x"], 4, &["no target"]),
        (&["--to", "9", "--", "x"], 4, &["no target"]),
        (&["--to", "above", "--", "x"], 5, &["outranked", "above"]),
        (&["--to", "0", "--", "x"], 5, &["outranked"]),
        (
            &["--to", "all", "--", "x"],
            5,
            &["[above, rank 0] outranked"],
        ),
    ] {
        let mut command = server.client(&["run"]);
        Ended::of(command.args(words))
            .expect_code(code)
            .expect_stdout("")
            .expect_one_line(parts);
    }
    let refused = above.notification("refused");
    assert_eq!(refused["command"], json!(["x"]));
    above.expect_nothing("only what was meant for many is told");
}

#[test]
fn a_run_that_waits_below_its_executors_says_what_to_do_and_that_works() {
    let server = Server::start(&[]);
    // Without any executor, waiting is what helps.
    Ended::of(&mut server.client(&["run", "--", "x"]))
        .expect_code(4)
        .expect_one_line(&["no target", "--wait-for N waits until N"]);
    let _above = server.raw("above", 1);
    let run = Process::start(&mut server.client(&["run", "--wait-for", "1", "--", "print"]));
    run.stderr
        .wait_for("executors here (above) rank above this client; those of a larger tier");
    let _web1 = server.worker("web1");
    run.end()
        .expect_code(0)
        .expect_stdout("i am printing watch me print\n");
    // An executor below that was not meant is no reason to wait.
    let ended = Ended::of(&mut server.client(&["run", "--to", "web9", "--", "x"]));
    ended.expect_code(4);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("web9") && !last.contains("--wait-for"),
        "{last}"
    );
}

#[test]
fn the_first_example_of_run_works_with_a_service_that_was_there_before() {
    let help = Ended::of(&mut client(&["--help"]));
    let example = help.text().lines().find_map(|line| {
        let (words, _) = line.strip_prefix("  pecking run ")?.split_once("  ")?;
        Some(format!("run {words}"))
    });
    let example = example.expect("there is an example of run");
    let server = Server::start(&[]);
    let _web1 = server.worker("web1");
    let words: Vec<&str> = example.split(' ').collect();
    Ended::of(&mut server.client(&words))
        .expect_code(0)
        .expect_stdout("i am printing watch me print\n");
}

#[test]
fn a_tier_above_ones_own_is_forbidden_and_one_below_ranks_below() {
    let server = Server::start(&[]);
    Ended::of(&mut server.client(&["run", "--tier", "4", "--", "x"]))
        .expect_code(255)
        .expect_one_line(&["tier 4 is higher than yours", "5 to 9"]);
    let mut low = server.client(&["--tier", "6", "--name", "low"]);
    let mut low = Process::start_fed(&mut low);
    low.stdout.wait_for("Assigned rank: 0");
    // A prompt that comes later ranks above: its tier is the higher one.
    let [mut boss] = [server.raw("boss", 0)];
    assert_eq!(boss.joined["rank"], 0);
    let id = boss.command("low", &["print"]);
    assert_eq!(boss.result_of(&id)["status"], "done");
    low.feed_no_more();
    low.end().expect_code(0);
}

#[test]
fn a_full_queue_is_a_refusal() {
    let server = Server::start(&["--max-queue", "1"]);
    let mut boss = server.raw("boss", 0);
    let (run, [mut web1]) = {
        let run = server.client(&["run", "--wait-for", "2", "--to", "web1", "--", "x"]);
        let run = Process::start(&mut { run });
        run.stderr.wait_for("waiting for");
        (run, [server.raw("web1", 1)])
    };
    for _ in 0..2 {
        boss.command("web1", &["fills"]);
    }
    boss.sync();
    web1.execute();
    let _web2 = server.raw("web2", 1);
    let ended = run.end();
    ended.expect_code(5).expect_stdout("");
    assert!(ended.stderr.contains("busy: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("try again later"), "{}", ended.stderr);
}

#[test]
fn a_time_limit_goes_along() {
    let server = Server::start(&[]);
    let words = ["--timeout", "150ms", "--", "x"];
    let (run, [mut web1]) = server.run(&words, [("web1", 1)]);
    let execute = web1.execute();
    assert_eq!(execute.params["timeout_ms"], 150);
    web1.reply(&execute, &json!({"timed_out": true}));
    run.end().expect_code(124);
}

#[test]
fn the_first_interrupt_cancels_and_the_second_one_leaves() {
    let server = Server::start(&[]);
    for signal in [Signal::INT, Signal::TERM] {
        let (run, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
        let execute = web1.execute();
        run.signal(signal);
        assert_eq!(web1.notification("cancel"), json!({"id": execute.id}));
        run.stderr.wait_for("interrupt again to leave at once");
        web1.reply(&execute, &json!({"cancelled": true, "stdout": "so far"}));
        let ended = run.end();
        ended.expect_code(130).expect_stdout("so far");
        web1.leave();
    }
    // An executor that does not answer does not hold up a second interrupt.
    let (run, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
    web1.execute();
    run.signal(Signal::INT);
    run.stderr.wait_for("interrupt again");
    run.signal(Signal::INT);
    run.end_within(PATIENCE / 2).expect_code(130);
}

#[test]
fn a_server_that_goes_is_told_apart_by_whether_the_command_was_sent() {
    let server = Server::start(&[]);
    let before = Process::start(&mut server.client(&["run", "--wait-for", "9", "--", "x"]));
    before.stderr.wait_for("waiting for");
    let (after, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
    let execute = web1.execute();
    web1.output(&execute, "stdout", "so far");
    after.stdout.wait_for("so far");
    server.process.signal(Signal::KILL);
    let before = before.end();
    before.expect_code(255).expect_stdout("");
    let lines: Vec<&str> = before.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("error: "), "{lines:?}");
    let after = after.end();
    after.expect_code(3).expect_stdout("so far");
    assert!(after.stderr.contains("lost: "), "{}", after.stderr);
}

#[test]
fn a_reader_that_stops_ends_run_without_a_complaint() {
    let server = Server::start(&[]);
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    let mut command = server.client(&["run", "--wait-for", "1", "--", "yes"]);
    let run = Process::start_printing(&mut command, writer.into());
    drop(command);
    drop(reader);
    run.stderr.wait_for("waiting for");
    let mut web1 = server.raw("web1", 1);
    let execute = web1.execute();
    web1.output(&execute, "stdout", "y\n");
    // Leaving takes the command along.
    assert_eq!(web1.notification("cancel"), json!({"id": execute.id}));
    let ended = run.end();
    ended.expect_code(141);
    assert_eq!(ended.stderr, waiting(1));
}

#[test]
fn a_dry_run_prints_what_a_command_would_reach_and_runs_nothing() {
    let server = Server::start(&["9"]);
    let mut top = server.raw("top", 1);
    let tagged = |name: &str, slots: u32| {
        let tags = json!({"role": "web"});
        let params =
            json!({"name": name, "slots": slots, "tier": 9, "rank_news": false, "tags": tags});
        server.raw_with(params)
    };
    let mut below = [tagged("web1", 1), tagged("web2", 1), tagged("idle", 0)];
    for (to, code, expected) in [
        (
            "role=web",
            0,
            "RANK  TIER  NAME  STATUS\n   2     9  web1  execute\n   3     9  web2  execute\n",
        ),
        (
            "web[2-3],#1,#99,idle",
            5,
            "RANK  TIER  NAME  STATUS\n   0     5  top   outranked\n   3     9  web2  execute\n   \
             4     9  idle  absent\n   -     -  web3  absent\n   -     -  #99   absent\n",
        ),
        ("role=web&!web2", 2, ""),
        (
            "next:role=web&*2",
            0,
            "RANK  TIER  NAME  STATUS\n   3     9  web2  execute\n",
        ),
        ("role=db", 4, ""),
        ("top", 5, ""),
    ] {
        let words = ["run", "--dry-run", "--to", to, "--", "x"];
        let ended = Ended::of(&mut server.client(&words));
        ended.expect_code(code).expect_stdout(expected);
        assert_eq!(
            ended.stderr.lines().count(),
            usize::from(expected.is_empty()),
            "{to}"
        );
    }
    top.expect_nothing("a dry run tells no other client");
    for client in &mut below {
        client.expect_nothing("a dry run tells no other client");
    }
}

#[test]
fn a_deadline_counts_the_time_that_a_command_waits() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    let mut low = server.low("low");
    let hold = boss.command("low", &["holds"]);
    let held = low.execute();
    let run = |deadline| {
        let words = ["run", "--to", "low", "--deadline", deadline, "--", "x"];
        Process::start(&mut server.client(&words))
    };
    run("200ms").end().expect_code(124);
    low.reply(&held, &json!({"exit_code": 0}));
    boss.result_of(&hold);
    low.expect_nothing("what has waited too long never starts");
    // What is sent at once starts before the deadline of a busy machine, too.
    let run = run("20s");
    let execute = low.execute();
    let left = execute.params["timeout_ms"].as_u64();
    assert!(
        left.is_some_and(|ms| (1..=20_000).contains(&ms)),
        "{left:?}"
    );
    low.reply(&execute, &json!({"exit_code": 0}));
    run.end().expect_code(0);
}
