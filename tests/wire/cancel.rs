//! `cancel` and time-outs, by the letter of the protocol: what waits never starts, what
//! runs is told, and a client that does not listen loses the outcome.

use std::time::{Duration, Instant};

use crate::support::{Server, outcome, pair, ranked, without_time};
use serde_json::{Value, json};

/// How long the server waits for an executor that was told to end a command.
const GRACE: Duration = Duration::from_secs(8);

#[test]
fn cancel_keeps_what_waits_from_starting() {
    let (_server, mut boss, mut worker) = pair(1);
    let running = boss.command("worker", &["running"]);
    let open = worker.execute();
    let waiting = boss.command("worker", &["waiting"]);
    let last = boss.command("worker", &["last"]);
    boss.notify("cancel", &json!({"send": waiting}));
    let expected = outcome(&worker, 1, &json!({"status": "cancelled"}));
    assert_eq!(without_time(boss.result_of(&waiting)), expected);
    worker.reply(&open, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&running)["status"], "done");
    assert_eq!(worker.serve(1), ["last"]);
    assert_eq!(boss.result_of(&last)["status"], "done");
    let rest = worker.fence();
    assert!(
        rest.iter().all(|message| message["method"] != "execute"),
        "{rest:?}"
    );
}

#[test]
fn cancel_reaches_what_is_running() {
    let (_server, mut boss, mut worker) = pair(1);
    let id = json!("to be cancelled");
    boss.request_as(&id, "send", &json!({"command": ["x"]}));
    let execute = worker.execute();
    boss.notify("cancel", &json!({"send": id}));
    assert_eq!(
        worker.next("a cancel"),
        json!({"jsonrpc": "2.0", "method": "cancel", "params": {"id": execute.id}})
    );
    boss.expect_nothing("the executor has not answered yet");
    let ended = json!({"signal": "SIGTERM", "cancelled": true, "stdout": "so far"});
    worker.reply(&execute, &ended);
    let expected = json!({"status": "cancelled", "signal": "SIGTERM", "stdout": "so far"});
    assert_eq!(
        without_time(boss.result_of(&id)),
        outcome(&worker, 1, &expected)
    );
}

#[test]
fn cancel_of_many_reaches_each_as_it_stands() {
    let server = Server::start(9, &[]);
    let [mut boss, mut blocked, mut running, mut ended] = ranked(
        &server,
        [("boss", 0), ("blocked", 1), ("running", 1), ("ended", 1)],
    );
    boss.command("blocked", &["blocker"]);
    blocked.execute();
    let id = boss.command("below", &["x"]);
    let open = running.execute();
    ended.serve(1);
    assert_eq!(boss.notification("outcome")["name"], "ended");
    boss.notify("cancel", &json!({"send": id}));
    assert_eq!(running.notification("cancel"), json!({"id": open.id}));
    let waiting = boss.notification("outcome");
    assert_eq!(
        [&waiting["name"], &waiting["status"]],
        ["blocked", "cancelled"]
    );
    running.reply(&open, &json!({"exit_code": 1, "cancelled": true}));
    assert_eq!(
        boss.result_of(&id),
        json!({"targets": 3, "done": 1, "cancelled": 2})
    );
    ended.expect_nothing("there was nothing to cancel any more");
    blocked.expect_nothing("what it runs was not cancelled");
}

#[test]
fn only_its_sender_cancels_a_command() {
    let server = Server::start(9, &[]);
    let [mut boss, mut vice, mut worker] =
        ranked(&server, [("boss", 0), ("vice", 0), ("worker", 1)]);
    let id = json!(7);
    boss.request_as(&id, "send", &json!({"command": ["x"]}));
    let execute = worker.execute();
    for client in [&vice, &worker] {
        client.notify("cancel", &json!({"send": id}));
        client.notify("cancel", &json!({"send": execute.id}));
    }
    for send in [
        json!("7"),
        json!(8),
        json!(null),
        json!(7.5),
        execute.id.clone(),
    ] {
        if send != id {
            boss.notify("cancel", &json!({"send": send}));
        }
    }
    for client in [&mut boss, &mut vice, &mut worker] {
        client.expect_nothing("unknown ids are ignored");
    }
    worker.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&id)["status"], "done");
    boss.notify("cancel", &json!({"send": id}));
    boss.expect_nothing("nor has what has ended anything to cancel");
    worker.expect_nothing("nor has what has ended anything to cancel");
}

#[test]
fn an_executor_that_ends_nothing_loses_the_outcome_and_not_its_slot() {
    let server = Server::start(9, &[]);
    let [mut boss, mut deaf, mut slow] = ranked(&server, [("boss", 0), ("deaf", 1), ("slow", 1)]);
    let to_cancel = boss.command("deaf", &["x"]);
    let of_deaf = deaf.execute();
    let params = json!({"to": "slow", "command": ["x"], "timeout_ms": 300});
    let to_time_out = boss.request("send", &params);
    let of_slow = slow.execute();
    boss.notify("cancel", &json!({"send": to_cancel}));
    let started = Instant::now();
    // These wait meanwhile: the time of a command begins when its target gets it.
    let next = ["deaf", "slow"].map(|name| {
        let params = json!({"to": name, "command": ["next"], "timeout_ms": 1});
        boss.request("send", &params)
    });
    for (id, target, rank, status) in [
        (&to_cancel, &deaf, 1, "cancelled"),
        (&to_time_out, &slow, 2, "timed_out"),
    ] {
        let is_it = |message: &Value| message["id"] == *id;
        let answer = boss.wait_within(GRACE * 2, status, is_it);
        let elapsed = started.elapsed();
        assert!((GRACE - Duration::from_millis(500)..GRACE * 3 / 2).contains(&elapsed));
        let got = &answer["result"];
        let expected = target.identity(rank);
        for member in ["member", "name", "rank"] {
            assert_eq!(got[member], expected[member], "{status}: {got}");
        }
        assert_eq!(got["status"], status, "{got}");
        assert_eq!(got.get("exit_code").or(got.get("signal")), None, "{got}");
    }
    let members = boss.result("members", &json!({}));
    for rank in [1, 2] {
        assert_eq!(members["members"][rank]["running"], 1, "{members}");
        assert_eq!(members["members"][rank]["queued"], 1, "{members}");
    }
    for (client, execute, next) in [
        (&mut deaf, of_deaf, &next[0]),
        (&mut slow, of_slow, &next[1]),
    ] {
        let came = client.fence();
        assert!(
            came.iter().all(|message| message["method"] == "cancel"),
            "{came:?}"
        );
        client.output(&execute, "stdout", "too late");
        client.reply(&execute, &json!({"exit_code": 0}));
        assert_eq!(client.serve(1), ["next"]);
        assert_eq!(boss.result_of(next)["stdout"], "next");
    }
    boss.expect_nothing("the late answers went nowhere");
}
