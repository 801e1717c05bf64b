//! How commands end, however stubborn they are: with their time, with a cancel, with an interrupt
//! of their sender, or with its end.

use crate::executing::{
    Boss, JITTER, PATIENCE, Ran, STUBBORN, anything, children, eventually, has_gone, pids,
    start_client, wait_until_gone,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What a command does that is to be ended, and how that shows.
struct Case {
    what: &'static str,
    /// It prints `pid N` of all that it starts, and `ready` last.
    script: &'static str,
    /// Its exit code or signal.
    end: Value,
    /// Whether it takes SIGKILL.
    is_stubborn: bool,
}

/// One of them writes on and on by this script.
fn cases(writes_on: &'static str) -> Vec<Case> {
    let case = |what, script, end, is_stubborn| Case {
        what,
        script,
        end,
        is_stubborn,
    };
    vec![
        case(
            "goes when it is asked",
            "echo pid $$; echo ready; exec sleep 1000",
            json!("SIGTERM"),
            false,
        ),
        case(
            "cleans up when it is asked",
            "trap 'echo bye; kill $!; exit 3' TERM; echo pid $$; echo ready; sleep 1000 & wait",
            json!(3),
            false,
        ),
        case(
            "leaves it to its child to hear",
            "trap : TERM; \
             sh -c 'trap \"exit 6\" TERM; echo pid $$; echo ready; while :; do sleep 0.05; done' & \
             while wait $!; how=$?; [ $how -gt 128 ]; do :; done; exit $how",
            json!(6),
            false,
        ),
        case(
            "ignores SIGTERM",
            "trap '' TERM; echo pid $$; echo ready; exec sleep 1000",
            json!("SIGKILL"),
            true,
        ),
        case(
            "stops itself",
            "echo pid $$; echo ready; kill -STOP $$; exec sleep 1000",
            json!("SIGTERM"),
            false,
        ),
        case(
            "stops itself and ignores SIGTERM",
            "trap '' TERM; echo pid $$; echo ready; while :; do kill -STOP $$; done",
            json!("SIGKILL"),
            true,
        ),
        case(
            "has 200 children that ignore SIGTERM",
            "trap '' TERM; echo pid $$; i=0; while [ $i -lt 200 ]; do \
             sleep 1000 & echo pid $!; i=$((i+1)); done; echo ready; wait",
            json!("SIGKILL"),
            true,
        ),
        case(
            "has a grandchild in a session of its own",
            "setsid sh -c 'trap \"\" TERM HUP; echo pid $$; echo ready; exec sleep 1000' & \
             echo pid $$; wait",
            json!("SIGTERM"),
            // Its output is drained for a while.
            true,
        ),
        case(
            "has closed what it writes to",
            "echo pid $$; echo ready; exec >&- 2>&-; sleep 1000",
            json!("SIGTERM"),
            false,
        ),
        case(
            "has closed what it writes to and ignores SIGTERM",
            "trap '' TERM; echo pid $$; echo ready; exec >&- 2>&-; exec sleep 1000",
            json!("SIGKILL"),
            true,
        ),
        case("never stops writing", writes_on, json!("SIGKILL"), true),
        case(
            "leaves one behind that ignores SIGTERM and holds its output",
            "(trap '' TERM; exec sleep 1000) & echo pid $!; echo pid $$; echo ready; \
             trap 'exit 4' TERM; while :; do sleep 0.05; done",
            json!(4),
            true,
        ),
    ]
}

/// Starts all cases at once, each told when it is ready; their ids and what they printed.
fn start_all(boss: &mut Boss, cases: &[Case], more: &Value) -> Vec<(Value, String)> {
    let ids: Vec<Value> = cases.iter().map(|c| boss.script(c.script, more)).collect();
    let wait = |id: Value| {
        let mut printed = String::new();
        while !printed.contains("ready") || !printed.contains("pid") {
            printed += &String::from_utf8_lossy(&boss.output(&id).1);
        }
        (id, printed)
    };
    ids.into_iter().map(wait).collect()
}

#[track_caller]
fn check(case: &Case, ran: &Ran, printed: &str, status: &str, took: Duration) {
    let what = case.what;
    assert_eq!(ran.status(), status, "{what}: {}", ran.outcome);
    let key = if case.end.is_string() {
        "signal"
    } else {
        "exit_code"
    };
    assert_eq!(ran.outcome[key], case.end, "{what}: {}", ran.outcome);
    // A second is for a machine that runs all of this at once. All of it is less than the 5 s after
    // which SIGKILL comes.
    let most = if case.is_stubborn {
        STUBBORN
    } else {
        Duration::from_secs(1)
    };
    assert!(took < most + JITTER * 2, "{what}: {took:?}");
    let all = format!("{printed}{}", ran.text());
    let pids = pids(&all);
    assert!(!pids.is_empty(), "{what}: {all:?}");
    // A machine may be too busy to end a process that was killed; the outcome says so then.
    if ran.outcome["leftovers"]["running"].as_u64() > Some(0) {
        return wait_until_gone(&pids, PATIENCE);
    }
    for pid in pids {
        assert!(has_gone(pid), "{what}: {pid} is there after the outcome");
    }
}

#[test]
fn a_cancel_ends_the_most_stubborn_in_time() {
    let cases = cases("trap '' TERM; echo pid $$; echo ready; while :; do echo y; done");
    let (_relay, mut boss, worker) = anything(32);
    let started = start_all(&mut boss, &cases, &json!({}));
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|n| cases[*n].is_stubborn);
    let since = Instant::now();
    for (id, _) in &started {
        boss.cancel(id);
    }
    for n in order {
        let ran = boss.finish(&started[n].0);
        check(&cases[n], &ran, &started[n].1, "cancelled", since.elapsed());
    }
    eventually("all are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn the_end_of_its_time_ends_the_most_stubborn_in_time() {
    // The next time is for a machine that is too slow for the one before.
    let is_quick_enough = [3_000, 10_000, 30_000].into_iter().any(time_out);
    assert!(is_quick_enough, "a machine that is too slow");
}

/// Gives all cases so many milliseconds; says whether all were ready by then, and checks their ends.
fn time_out(time: u64) -> bool {
    // Not as fast as it can, which takes the whole machine: what is cancelled does that.
    let writes_on = "trap '' TERM; echo pid $$; echo ready; while :; do echo y; sleep 0.05; done";
    let cases = cases(writes_on);
    let (_relay, mut boss, worker) = anything(32);
    let since = Instant::now();
    let started = start_all(&mut boss, &cases, &json!({"timeout_ms": time}));
    if since.elapsed() >= Duration::from_millis(time) {
        return false;
    }
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|n| cases[*n].is_stubborn);
    for n in order {
        let ran = boss.finish(&started[n].0);
        let took = since.elapsed().saturating_sub(Duration::from_millis(time));
        check(&cases[n], &ran, &started[n].1, "timed_out", took);
    }
    assert!(
        since.elapsed() >= Duration::from_millis(time + 5000),
        "SIGKILL comes 5 s later"
    );
    eventually("all are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
    true
}

#[test]
fn a_policys_timeout_is_one_too() {
    let run = "run = [\"/bin/sh\", \"-c\", \"echo pid $$; exec sleep 1000\"]";
    let policy = format!(
        "[commands.slow]\n{run}\ntimeout = \"300ms\"\n[commands.slower]\n{run}\ntimeout = \"1h\"\n"
    );
    let (_relay, mut boss, _worker, _folder) = crate::executing::by_policy(1, &policy);
    for (word, more) in [
        ("slow", json!({})),
        ("slow", json!({"timeout_ms": 60_000})),
        ("slow", json!({"window": 4096})),
        // Whichever is over first.
        ("slower", json!({"timeout_ms": 300})),
    ] {
        let id = boss.send_with(&[word], &more);
        let ran = boss.finish(&id);
        assert_eq!(ran.status(), "timed_out", "{}", ran.outcome);
        assert_eq!(ran.outcome["signal"], "SIGTERM");
        let elapsed = ran.outcome["elapsed_ms"].as_u64().expect("it ran");
        // SIGTERM is all it takes: SIGKILL would come 5 s later.
        assert!((300..5300).contains(&elapsed), "{}", ran.outcome);
        wait_until_gone(&pids(&ran.text()), JITTER);
    }
}

#[test]
fn a_sender_that_goes_takes_its_commands_along() {
    let (_relay, mut boss, worker) = anything(2);
    let id = boss.script("echo pid $$; exec sleep 1000", &json!({}));
    let pids = pids(&String::from_utf8_lossy(&boss.output(&id).1));
    drop(boss);
    wait_until_gone(&pids, PATIENCE);
    eventually("it is reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn a_cancelled_job_that_waits_never_starts() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = crate::executing::Folder::new();
    let canary = folder.word("canary");
    let running = boss.script("echo ready; exec sleep 1000", &json!({}));
    let waiting = boss.run_later(&format!("touch {canary}"));
    boss.output(&running);
    boss.cancel(&waiting);
    boss.cancel(&running);
    assert_eq!(boss.finish(&waiting).status(), "cancelled");
    assert_eq!(boss.finish(&running).status(), "cancelled");
    boss.sh("exit 0").exited(0);
    assert!(!std::path::Path::new(&canary).exists());
}

#[test]
fn the_second_interrupt_of_run_leaves_at_once() {
    let relay = crate::executing::Relay::start();
    let sender = start_client(
        &relay,
        &[
            "run",
            "--wait-for",
            "1",
            "--",
            "/bin/sh",
            "-c",
            "trap '' TERM; echo pid $$; exec sleep 1000",
        ],
    );
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = crate::executing::Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let printed = sender.stdout.wait_for("\n", PATIENCE);
    let mut sender = sender;
    sender.signal(Signal::INT);
    sender.stderr.wait_for("cancelling", PATIENCE);
    let since = Instant::now();
    sender.signal(Signal::INT);
    let status = sender.wait(PATIENCE).expect("it leaves");
    assert_eq!(status.code(), Some(130));
    assert!(since.elapsed() < JITTER, "{:?}", since.elapsed());
    wait_until_gone(&pids(&printed), STUBBORN + JITTER);
}

#[test]
fn the_first_interrupt_of_run_cancels() {
    let relay = crate::executing::Relay::start();
    let script = "trap 'echo got it; exit 5' TERM; sleep 1000 & echo pid $$ pid $!; wait";
    let sender = start_client(
        &relay,
        &["run", "--wait-for", "1", "--", "/bin/sh", "-c", script],
    );
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = crate::executing::Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let printed = sender.stdout.wait_for("\n", PATIENCE);
    sender.signal(Signal::INT);
    let ended = sender.finish(PATIENCE);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("got it"));
    assert!(
        ended.stderr.contains("cancelled, exit code 5"),
        "{}",
        ended.stderr
    );
    assert!(
        pids(&printed).iter().all(|pid| has_gone(*pid)),
        "the whole group"
    );
}

#[test]
fn an_interrupt_counts_whatever_the_command_says() {
    let relay = crate::executing::Relay::start();
    let sender = start_client(&relay, &["run", "--wait-for", "1", "--", "x"]);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let mut executor = relay.raw("stubborn", 1);
    let execute = executor.execute();
    sender.signal(Signal::INT);
    executor.wait_within(PATIENCE, "the cancel", |m| m["method"] == "cancel");
    // It came to its end before it could be cancelled.
    executor.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(sender.finish(PATIENCE).code, Some(130));
}
