//! What a command that has ended leaves behind: it does not survive, and the outcome counts it.

use crate::executing::{
    Boss, JITTER, PATIENCE, Relay, Worker, anything, children, eventually, has_gone, pids,
    start_client,
};
use crate::support::is_mostly;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// What a command leaves behind that has ended by itself, and until when it may be waited
/// for.
#[test]
fn nothing_survives_a_command_that_has_ended() {
    let at_once = Duration::ZERO;
    let drained = Duration::from_secs(2);
    let holds = [
        ("holds the pipes", "sleep 1000 & echo pid $!; exit 7"),
        (
            "holds the pipes in a session of its own",
            "setsid sleep 1000 & echo pid $!; sleep 0.2; exit 7",
        ),
        (
            "writes on and on",
            "(trap '' TERM; while :; do echo x; sleep 0.05; done) & echo pid $!; exit 7",
        ),
    ];
    let is_quiet = [
        (
            "is silent",
            "sleep 1000 >/dev/null 2>&1 & echo pid $!; exit 7",
        ),
        (
            "is silent in a session of its own",
            "setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; sleep 0.2; exit 7",
        ),
        (
            "is a chain of sessions",
            "setsid sh -c 'echo pid $$; setsid sh -c \"echo pid \\$\\$; exec sleep 1000 >&- 2>&-\" & \
             exec sleep 1000 >&- 2>&-' & sleep 0.3; exit 7",
        ),
        (
            "is a crowd in sessions of their own",
            "i=0; while [ $i -lt 100 ]; do setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; \
             i=$((i+1)); done; sleep 0.4; exit 7",
        ),
        (
            "ignores everything",
            "(trap '' TERM HUP INT; setsid sleep 1000 >/dev/null 2>&1 & echo pid $!); sleep 0.2; exit 7",
        ),
        (
            "is stopped",
            "setsid sh -c 'kill -STOP $$' >/dev/null 2>&1 & echo pid $!; sleep 0.2; exit 7",
        ),
        (
            "is a daemon that shed its environment",
            "(env -i setsid sleep 1000 >/dev/null 2>&1 & echo pid $!); sleep 0.2; exit 7",
        ),
    ];
    // Each of the first at a client of its own, since to drain a pipe takes its time; beside the others.
    std::thread::scope(|scope| {
        for (what, script) in holds {
            scope.spawn(move || {
                let (_relay, mut boss, _worker) = anything(1);
                expect_no_survivor(&mut boss, what, script, drained);
            });
        }
        let (_relay, mut boss, _worker) = anything(1);
        for (what, script) in is_quiet {
            expect_no_survivor(&mut boss, what, script, at_once);
        }
    });
}

/// Checks that all processes of a script are gone when its outcome comes, which comes so long after its end
/// at most.
#[track_caller]
fn expect_no_survivor(boss: &mut Boss, what: &str, script: &str, wait: Duration) {
    // How long the script itself takes is up to the machine.
    let script = script.replace("exit 7", "date '+ended %s.%N'; exit 7");
    let is_quick = is_mostly(|| {
        let ran = boss.sh(&script);
        let took = since_it_ended(&ran.text());
        ran.exited(7);
        let pids = pids(&ran.text());
        assert!(!pids.is_empty(), "{what}: {:?}", ran.text());
        for pid in pids {
            assert!(has_gone(pid), "{what}: {pid} is there after the outcome");
        }
        took < wait + JITTER
    });
    assert!(is_quick, "{what}: more than {wait:?}");
}

/// How long ago a script ended, which has said when.
#[track_caller]
fn since_it_ended(printed: &str) -> Duration {
    let (_, ended) = printed.rsplit_once("ended ").expect("it says when");
    let ended = ended
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    let ended = ended.expect("a number");
    let now = UNIX_EPOCH.elapsed().expect("the clock is right");
    now.saturating_sub(Duration::from_secs_f64(ended))
}

#[test]
fn an_outcome_says_how_many_processes_a_command_left_behind() {
    let (_relay, mut boss, worker) = anything(1);
    let silent = ">/dev/null 2>&1";
    for (what, script, ended) in [
        ("nothing", "sleep 0; exit 7".to_owned(), 0),
        (
            "a daemon",
            format!("setsid sleep 1000 {silent} & sleep 0.2; exit 7"),
            1,
        ),
        (
            "a child in its own group",
            format!("sleep 1000 {silent} & exit 7"),
            1,
        ),
        (
            "a child that holds its output",
            "sleep 1000 & exit 7".to_owned(),
            1,
        ),
        (
            "a child that ends by itself in time",
            "(sleep 0.3; :) & exit 7".to_owned(),
            0,
        ),
        (
            "a daemon with two children, one of them in another session",
            format!(
                "setsid sh -c 'sleep 1000 & setsid sleep 1000 & wait' {silent} & sleep 0.4; exit 7"
            ),
            3,
        ),
        (
            "a crowd",
            format!(
                "i=0; while [ $i -lt 50 ]; do setsid sleep 1000 {silent} & sleep 1000 {silent} & \
                 i=$((i+1)); done; sleep 0.4; exit 7"
            ),
            100,
        ),
        (
            "daemons without their environment and without their limits",
            format!(
                "(env -i setsid sleep 1000 {silent} &); (prlimit --rttime=unlimited setsid \
                 sleep 1000 {silent} &); sleep 0.3; exit 7"
            ),
            2,
        ),
    ] {
        let ran = boss.sh(&script);
        ran.exited(7);
        let expected = match ended {
            0 => Value::Null,
            _ => json!({"ended": ended, "running": 0}),
        };
        assert_eq!(
            ran.outcome["leftovers"], expected,
            "{what}: {}",
            ran.outcome
        );
    }
    eventually("all are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn orphans_of_another_command_are_no_leftovers_and_take_no_time() {
    const COMMANDS: usize = 10;
    let (_relay, mut boss, _worker) = anything(2);
    // So many that no look at them is short, of which one ends every few milliseconds.
    let leave = "exec 3>&1 >/dev/null 2>&1; i=0; while [ $i -lt 400 ]; do \
                 (sleep $((i / 100)).$((i / 10 % 10))$((i % 10)) & sleep 1000 &); \
                 i=$((i + 1)); done; echo ready >&3; sleep 1000 3>&-";
    let other = boss.script(leave, &json!({}));
    boss.output(&other);
    let mut late = 0;
    for _ in 0..COMMANDS {
        let ran = boss.sh("date '+ended %s.%N'; exit 7");
        late += usize::from(since_it_ended(&ran.text()) > JITTER);
        ran.exited(7);
        assert_eq!(ran.outcome["leftovers"], Value::Null, "{}", ran.outcome);
    }
    assert!(late < COMMANDS / 2, "{late} took more than {JITTER:?}");
    boss.cancel(&other);
    assert_eq!(boss.finish(&other).status(), "cancelled");
}

/// As many programs do: they flush and close their output, and then end.
#[test]
fn a_child_that_closes_its_output_just_before_it_ends_is_not_left_behind() {
    let (_relay, mut boss, _worker) = anything(1);
    // A busy machine may keep the child from its end for longer than the client waits.
    let none_is_left = (0..20).any(|_| {
        let ran = boss.sh("(sleep 0.1; exec >&- 2>&-; sleep 0.01) & exit 7");
        ran.exited(7);
        ran.outcome["leftovers"].is_null()
    });
    assert!(none_is_left, "a child that was about to end was ended");
}

#[test]
fn a_process_that_the_same_signal_ends_is_not_left_behind() {
    let (_relay, mut boss, _worker) = anything(1);
    for (what, script, ended) in [
        (
            "children that hear SIGTERM",
            "i=0; while [ $i -lt 50 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done; \
             echo ready; wait",
            0,
        ),
        (
            "a child that ignores SIGTERM",
            "(trap '' TERM; echo ready; exec sleep 1000 >/dev/null 2>&1) & wait",
            1,
        ),
        (
            "a daemon",
            "setsid sh -c 'echo ready; exec sleep 1000 >/dev/null 2>&1' & wait",
            1,
        ),
    ] {
        for _ in 0..8 {
            let id = boss.script(script, &json!({}));
            boss.output(&id);
            boss.cancel(&id);
            let ran = boss.finish(&id);
            assert_eq!(ran.status(), "cancelled", "{what}: {}", ran.outcome);
            let expected = match ended {
                0 => Value::Null,
                _ => json!({"ended": ended, "running": 0}),
            };
            assert_eq!(
                ran.outcome["leftovers"], expected,
                "{what}: {}",
                ran.outcome
            );
        }
    }
}

#[test]
fn run_says_what_a_command_left_behind_and_ends_with_its_exit_code() {
    let relay = Relay::start();
    let script =
        "setsid sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 & sleep 0.3";
    let words = ["run", "--wait-for", "1", "--", "/bin/sh", "-c", script];
    let sender = start_client(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let worker = Worker::start(&relay, &["--allow-any", "--allow-root", "--name", "web1"]);
    let ended = sender.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = "[web1, rank 1] done, exit code 0, 2 processes it left behind were ended (";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let logged = ": exit code 0, 2 processes it left behind were ended (";
    worker.0.stderr.wait_for(logged, PATIENCE);
}
