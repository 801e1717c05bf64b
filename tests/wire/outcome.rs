//! What becomes of a command, by the letter of the protocol: exactly one outcome per
//! target, with any answer of the executor, and if either client goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Raw, Server, Still, Way, outcome, pair, ranked, without_time};
use serde_json::{Value, json};

#[test]
fn what_an_executor_answers_is_what_the_sender_gets() {
    let (_server, mut boss, mut worker) = pair(1);
    for (result, expected) in [
        (json!({"exit_code": 0}), json!({"exit_code": 0})),
        (json!({"exit_code": 255}), json!({"exit_code": 255})),
        (json!({"exit_code": -1}), json!({"exit_code": -1})),
        (json!({"signal": "SIGKILL"}), json!({"signal": "SIGKILL"})),
        (
            json!({"exit_code": 3, "stdout": "out\n", "stderr": "err\u{0}\n"}),
            json!({"exit_code": 3, "stdout": "out\n", "stderr": "err\u{0}\n"}),
        ),
        (
            json!({"exit_code": 0, "stdout": "", "stderr": ""}),
            json!({"exit_code": 0}),
        ),
        (
            json!({"exit_code": 0, "stdout_base64": "//4=", "stderr_base64": "gA=="}),
            json!({"exit_code": 0, "stdout_base64": "//4=", "stderr_base64": "gA=="}),
        ),
        (
            json!({"exit_code": 0, "stdout": "text", "stderr_base64": "gA=="}),
            json!({"exit_code": 0, "stdout": "text", "stderr_base64": "gA=="}),
        ),
        (
            json!({"exit_code": 1, "stdout": "cut", "truncated": true}),
            json!({"exit_code": 1, "stdout": "cut", "truncated": true}),
        ),
        (
            json!({"signal": "SIGTERM", "timed_out": true, "stdout": "so far"}),
            json!({"status": "timed_out", "signal": "SIGTERM", "stdout": "so far"}),
        ),
        (
            json!({"exit_code": 143, "cancelled": true}),
            json!({"status": "cancelled", "exit_code": 143}),
        ),
        (
            json!({"exit_code": 0, "timed_out": false, "cancelled": false, "truncated": false}),
            json!({"exit_code": 0}),
        ),
        (
            json!({"exit_code": 0, "leftovers": {"ended": 2, "running": 0}}),
            json!({"exit_code": 0, "leftovers": {"ended": 2, "running": 0}}),
        ),
        (
            json!({"timed_out": true, "leftovers": {"running": 1, "more": "x"}, "more": 1}),
            json!({"status": "timed_out", "leftovers": {"ended": 0, "running": 1}}),
        ),
        (
            json!({"cancelled": true, "leftovers": {"ended": 4_294_967_295_u32, "running": null}}),
            json!({"status": "cancelled", "leftovers": {"ended": 4_294_967_295_u32, "running": 0}}),
        ),
        // Nothing is said of none.
        (
            json!({"exit_code": 0, "leftovers": {"ended": 0, "running": 0}}),
            json!({"exit_code": 0}),
        ),
        (
            json!({"exit_code": 0, "leftovers": {}}),
            json!({"exit_code": 0}),
        ),
        (
            json!({"exit_code": 0, "leftovers": null}),
            json!({"exit_code": 0}),
        ),
        // An answer never says which client it is from, or what its outcome is.
        (
            json!({"exit_code": 0, "status": "lost", "member": 77, "name": "x", "rank": 0, "send": 5}),
            json!({"exit_code": 0}),
        ),
    ] {
        let id = boss.command("worker", &["x"]);
        let execute = worker.execute();
        worker.reply(&execute, &result);
        let got = boss.result_of(&id);
        assert!(got["elapsed_ms"].is_u64(), "{result}: {got}");
        let mut expected = outcome(&worker, 1, &expected);
        if expected.get("status").is_none() {
            expected["status"] = json!("done");
        }
        assert_eq!(without_time(got), expected, "{result}");
    }
}

#[test]
fn what_an_executor_refuses_or_cannot_start_is_an_outcome_with_its_message() {
    let (_server, mut boss, mut worker) = pair(1);
    for (code, status) in [
        (20, "refused"),
        (21, "not_found"),
        (22, "failed"),
        (23, "failed"),
        (0, "failed"),
        (1, "failed"),
        (8, "failed"),
        (-32601, "failed"),
        (-32603, "failed"),
    ] {
        let id = boss.command("worker", &["x"]);
        let execute = worker.execute();
        worker.reply_error(&execute, code, "because of é");
        let mut got = without_time(boss.result_of(&id));
        let message = got["message"].take();
        let said = message.as_str().is_some_and(|m| m.contains("because of é"));
        assert!(said, "{code}: {message}");
        let expected = outcome(&worker, 1, &json!({"status": status, "message": null}));
        assert_eq!(got, expected, "{code}");
    }
}

#[test]
fn a_malformed_answer_is_a_failure() {
    let (_server, mut boss, mut worker) = pair(1);
    for rest in [
        r#""result":null"#,
        r#""result":5"#,
        r#""result":"done""#,
        r#""result":[0]"#,
        r#""result":{}"#,
        r#""result":{"exit_code":"0"}"#,
        r#""result":{"exit_code":0.5}"#,
        r#""result":{"exit_code":0,"stdout":5}"#,
        r#""result":{"exit_code":0,"stderr":["x"]}"#,
        r#""result":{"exit_code":0,"truncated":"yes"}"#,
        r#""result":{"exit_code":0,"leftovers":2}"#,
        r#""result":{"exit_code":0,"leftovers":[2,0]}"#,
        r#""result":{"exit_code":0,"leftovers":{"ended":-1,"running":0}}"#,
        r#""result":{"exit_code":0,"leftovers":{"ended":4294967296,"running":0}}"#,
        r#""result":{"exit_code":0,"leftovers":{"ended":1.0}}"#,
        r#""result":{"exit_code":0,"leftovers":{"running":"1"}}"#,
        r#""result":{"exit_code":0,"leftovers":{"ended":1,"ended":1}}"#,
        r#""result":{"exit_code":0,"leftovers":{"ended":1},"leftovers":{"ended":1}}"#,
        r#""result":{"signal":9}"#,
        r#""result":{"stdout":"no end"}"#,
        r#""error":null"#,
        r#""error":20"#,
        r#""error":"refused""#,
        r#""error":{}"#,
        r#""error":{"code":"20","message":"x"}"#,
        r#""error":{"message":"x"}"#,
        r#""result":{"exit_code":0,"exit_code":1}"#,
        r#""result":{"exit_code":0,"stdout_base64":"***"}"#,
        r#""result":{"exit_code":0},"error":{"code":20,"message":"x"}"#,
    ] {
        let id = boss.command("worker", &["x"]);
        let execute = worker.execute();
        worker.send_line(&format!(
            r#"{{"jsonrpc":"2.0","id":{},{rest}}}"#,
            execute.id
        ));
        let mut got = without_time(boss.result_of(&id));
        let message = got["message"].take();
        assert!(
            message.as_str().is_some_and(|m| !m.is_empty()),
            "{rest}: {message}"
        );
        let expected = outcome(&worker, 1, &json!({"status": "failed", "message": null}));
        assert_eq!(got, expected, "{rest}");
        worker.expect_nothing("an answer is never answered");
    }
}

#[test]
fn only_the_target_can_answer_and_only_once() {
    let server = Server::start(9, &[]);
    let [mut boss, mut one, mut two, mut spy] =
        ranked(&server, [("boss", 0), ("one", 1), ("two", 1), ("spy", 1)]);
    let id = boss.command("one,two", &["x"]);
    let [of_one, of_two] = [one.execute(), two.execute()];
    let spoofed = json!({"exit_code": 66, "stdout": "spoofed"});
    let id_as_text = json!(of_one.id.to_string());
    let number = of_one.id.as_i64().expect("an integer");
    for id in [
        &of_one.id,
        &json!(number + 1),
        &id_as_text,
        &json!(0),
        &json!(-1),
        &json!(null),
    ] {
        spy.send(&json!({"jsonrpc": "2.0", "id": id, "result": spoofed}));
        spy.notify(
            "output",
            &json!({"id": id, "stream": "stdout", "text": "spoofed"}),
        );
    }
    spy.fence();
    for id in [
        json!(number + 1),
        id_as_text,
        json!(0),
        json!(u64::MAX),
        json!(null),
    ] {
        one.send(&json!({"jsonrpc": "2.0", "id": id, "result": spoofed}));
        one.notify(
            "output",
            &json!({"id": id, "stream": "stdout", "text": "spoofed"}),
        );
    }
    one.fence();
    boss.next("accepted");
    boss.expect_nothing("none of those was an answer");
    // The same id stands for both targets: one of them cannot answer for the other.
    for _ in 0..3 {
        one.reply(&of_one, &json!({"exit_code": 1}));
    }
    one.output(&of_one, "stdout", "too late");
    one.fence();
    assert_eq!(boss.notification("outcome")["name"], "one");
    boss.expect_nothing("one answered once, and two has not");
    two.reply(&of_two, &json!({"exit_code": 2}));
    assert_eq!(boss.notification("outcome")["exit_code"], 2);
    assert_eq!(boss.result_of(&id), json!({"targets": 2, "done": 2}));
    // All of them stay until the last was asked: a client that leaves changes ranks.
    for client in &mut [boss, one, two, spy] {
        client.expect_nothing("nothing of it reached a client");
    }
}

#[test]
fn a_second_answer_frees_no_slot() {
    let (_server, mut boss, mut worker) = pair(2);
    for n in ["1", "2", "3", "4", "5"] {
        boss.command("worker", &[n]);
    }
    let [first, _second] = [worker.execute(), worker.execute()];
    for _ in 0..5 {
        worker.reply(&first, &json!({"exit_code": 0}));
    }
    assert_eq!(worker.execute().command, ["3"]);
    worker.expect_nothing("two are open again");
}

#[test]
fn a_target_that_goes_has_lost_what_it_had() {
    let server = Server::start(9, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let ways: [Way; 4] = [
        ("closed", Still::close),
        ("reset", Still::reset),
        ("leave", |mut target| {
            target.send(&json!({"jsonrpc": "2.0", "method": "leave"}));
            target.read_to_end();
        }),
        ("too-long", |mut target| {
            target.send(&json!("x".repeat(1 << 20)));
            target.read_to_end();
        }),
    ];
    for (way, go) in ways {
        let mut target = Still::join(&server, way, 1);
        let mut other = Raw::join(&server, &format!("other-{way}"), 1);
        let running = boss.command(way, &["running"]);
        target.read_line();
        let waiting = boss.command(way, &["waiting"]);
        let many = boss.command("below", &["many"]);
        other.serve(1);
        boss.sync();
        let member = target.joined["member"].clone();
        go(target);
        for (id, started) in [(running, true), (waiting, false)] {
            let expected = json!({
                "member": member, "name": way, "rank": 1, "status": "lost", "started": started,
            });
            assert_eq!(without_time(boss.result_of(&id)), expected, "{way}");
        }
        assert_eq!(
            boss.result_of(&many),
            json!({"targets": 2, "done": 1, "lost": 1}),
            "{way}"
        );
        let outcomes = [boss.notification("outcome"), boss.notification("outcome")];
        let lost = outcomes.iter().find(|outcome| outcome["name"] == way);
        assert_eq!(
            lost.map(|outcome| &outcome["started"]),
            Some(&json!(false)),
            "{way}"
        );
        assert_eq!(boss.notification("accepted")["targets"], 2, "{way}");
        other.leave();
        boss.expect_nothing(way);
    }
}

#[test]
fn a_sender_that_goes_takes_its_commands_along() {
    let server = Server::start(9, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let ways: [Way; 3] = [
        ("closed", Still::close),
        ("reset", Still::reset),
        ("leave", |mut sender| {
            sender.send(&json!({"jsonrpc": "2.0", "method": "leave"}));
            sender.read_to_end();
        }),
    ];
    for (way, go) in ways {
        let mut sender = Still::join(&server, "sender", 0);
        let mut worker = Raw::join(&server, "worker", 1);
        for words in ["running", "waiting"] {
            let params = json!({"to": "worker", "command": [words]});
            sender
                .send(&json!({"jsonrpc": "2.0", "id": words, "method": "send", "params": params}));
        }
        let running = worker.execute();
        wait_queued(&mut boss, 2, 1);
        let of_boss = boss.command("worker", &["of boss"]);
        go(sender);
        assert_eq!(
            worker.notification("cancel"),
            json!({"id": running.id}),
            "{way}"
        );
        worker.notification("rank");
        worker.expect_nothing(&format!("its slot is in use until it answers ({way})"));
        worker.reply(&running, &json!({"exit_code": 1, "cancelled": true}));
        assert_eq!(worker.serve(1), ["of boss"], "{way}");
        assert_eq!(boss.result_of(&of_boss)["status"], "done", "{way}");
        worker.leave();
        boss.expect_nothing("it hears of its own commands only");
    }
}

/// Waits until this many commands wait for a client, as `members` tells it.
#[track_caller]
fn wait_queued(observer: &mut Raw, rank: usize, queued: u64) {
    let deadline = Instant::now() + crate::support::PATIENCE;
    loop {
        let members = observer.result("members", &json!({}));
        if members["members"][rank]["queued"] == queued {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited for {queued} in {members}"
        );
    }
}

/// Comes and goes in the middle of commands, until all were sent: answers two of three.
fn come_and_go(server: &Server, name: &str, over: &AtomicBool) {
    for round in 0.. {
        let mut worker = Raw::join(server, &format!("{name}-{round}"), 2);
        for n in 0..6 {
            let Some(execute) = worker.execute_within(Duration::from_millis(50)) else {
                break;
            };
            if n % 3 != 2 {
                worker.reply(&execute, &json!({"exit_code": 0}));
            }
        }
        if over.load(Ordering::SeqCst) {
            return;
        }
    }
}

#[test]
fn every_command_ends_in_exactly_one_outcome() {
    const SENDS: usize = 300;
    let server = Server::start(20, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let over = AtomicBool::new(false);
    let ids: Vec<Value> = std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let (server, over) = (&server, &over);
            scope.spawn(move || come_and_go(server, name, over));
        }
        let selectors = ["next", "below", "least-loaded", "all", "a*,b*"];
        let send = |n: usize| {
            let id = boss.command(selectors[n % selectors.len()], &[&n.to_string()]);
            boss.sync();
            if n.is_multiple_of(7) {
                boss.notify("cancel", &json!({"send": id}));
            }
            id
        };
        let ids = (0..SENDS).map(send).collect();
        over.store(true, Ordering::SeqCst);
        ids
    });
    let mut reached = 0;
    for id in &ids {
        let answer = boss.answer(id);
        let Some(targets) = answer["result"]["targets"].as_u64() else {
            let status = &answer["result"]["status"];
            let known = ["done", "lost", "cancelled"].contains(&status.as_str().unwrap_or(""));
            assert!(known || answer["error"]["code"] == 7, "{answer}");
            continue;
        };
        let tally = answer["result"].as_object().expect("a tally").iter();
        let counts = tally.filter(|(name, _)| *name != "targets");
        let counted: u64 = counts.filter_map(|(_, count)| count.as_u64()).sum();
        assert_eq!(counted, targets, "{answer}");
        let of_it = |method: &'static str| {
            move |m: &Value| m["method"] == method && m["params"]["send"] == *id
        };
        let accepted = boss.wait_for("accepted", of_it("accepted"));
        assert_eq!(accepted["params"]["targets"], targets);
        for _ in 0..targets {
            boss.wait_for("an outcome", of_it("outcome"));
        }
        reached += targets;
    }
    assert!(reached > 0, "a target was there at some time");
    boss.expect_nothing("one outcome for each target");
}

#[test]
fn outcomes_that_come_together_do_not_wait_for_one_that_does_not() {
    let server = Server::start(9, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut workers: Vec<Raw> = (0..4)
        .map(|n| Raw::join(&server, &format!("w{n}"), 1))
        .collect();
    for _ in 0..20 {
        let many = boss.command("below", &["x"]);
        boss.notification("accepted");
        let executes: Vec<_> = workers.iter_mut().map(Raw::execute).collect();
        let (late, others) = executes.split_last().expect("four");
        let (slow, fast) = workers.split_last().expect("four");
        for (worker, execute) in fast.iter().zip(others) {
            worker.reply(execute, &json!({"exit_code": 0}));
        }
        for _ in fast {
            assert_ne!(boss.notification("outcome")["name"], "w3");
        }
        slow.reply(late, &json!({"exit_code": 0}));
        assert_eq!(boss.notification("outcome")["name"], "w3");
        assert_eq!(boss.result_of(&many), json!({"targets": 4, "done": 4}));
    }
}

#[test]
fn outcomes_that_come_together_come_while_others_are_open_however_long_they_are() {
    let server = Server::start(9, &[]);
    let [mut boss, mut first, mut second, mut third] = ranked(
        &server,
        [("boss", 0), ("first", 1), ("second", 1), ("third", 1)],
    );
    let long = "x".repeat(10_000);
    for _ in 0..20 {
        let id = boss.command("below", &["print"]);
        let asked = [first.execute(), second.execute()];
        first.reply(&asked[0], &json!({"exit_code": 0, "stdout": long}));
        second.reply(&asked[1], &json!({"exit_code": 0, "stdout": long}));
        for _ in 0..2 {
            assert_eq!(boss.notification("outcome")["stdout"], json!(long));
        }
        third.serve(1);
        assert_eq!(boss.notification("outcome")["name"], "third");
        assert_eq!(boss.result_of(&id)["done"], 3);
    }
}
