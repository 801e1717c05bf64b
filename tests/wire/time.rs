//! Deadlines, and the news that a target has started, by the letter of the protocol.

use crate::support::{Raw, Server, ranked, took_at_least};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Sends a command with these further parameters.
fn send(client: &mut Raw, to: &str, word: &str, more: Value) -> Value {
    let mut params = more;
    params["to"] = json!(to);
    params["command"] = json!([word]);
    client.request("send", &params)
}

#[test]
fn an_execute_has_the_smaller_of_both_times() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    for (more, expected) in [
        (json!({}), Value::Null),
        (json!({"timeout_ms": 5000}), json!(5000)),
        (json!({"deadline_ms": 4000}), json!(4000)),
        (
            json!({"timeout_ms": 5000, "deadline_ms": 60_000}),
            json!(5000),
        ),
        (
            json!({"timeout_ms": 9000, "deadline_ms": 4000, "window": 4096}),
            json!(4000),
        ),
        (
            json!({"timeout_ms": null, "deadline_ms": null}),
            Value::Null,
        ),
    ] {
        for to in ["worker", "below"] {
            let id = send(&mut boss, to, "x", more.clone());
            let execute = worker.execute();
            assert_eq!(execute.params["timeout_ms"], expected, "{more}");
            worker.reply(&execute, &json!({"exit_code": 0}));
            boss.result_of(&id);
            boss.fence();
        }
    }
    for wrong in [json!(0), json!(-1), json!(1.5), json!("1s"), json!([])] {
        let params = json!({"to": "worker", "command": ["x"], "deadline_ms": wrong});
        assert_eq!(boss.error("send", &params)["code"], -32602, "{wrong}");
    }
    worker.expect_nothing("all that is wrong was turned down");
}

#[test]
fn what_waits_until_its_deadline_ends_without_having_started() {
    let server = Server::start(5, &[]);
    let [mut boss, mut busy, mut free] = ranked(&server, [("boss", 0), ("busy", 1), ("free", 1)]);
    let first = send(&mut boss, "busy", "first", json!({}));
    let running = busy.execute();
    let started = Instant::now();
    let one = send(&mut boss, "busy", "one", json!({"deadline_ms": 150}));
    let many = send(
        &mut boss,
        "below",
        "many",
        json!({"deadline_ms": 200, "timeout_ms": 90_000}),
    );
    let last = send(
        &mut boss,
        "busy",
        "last",
        json!({"deadline_ms": 60_000, "timeout_ms": 59_999}),
    );
    assert_eq!(free.serve(1), ["many"]);
    let mut outcome = busy.identity(1);
    outcome["status"] = json!("timed_out");
    assert_eq!(boss.result_of(&one), outcome);
    assert!(took_at_least(started.elapsed(), Duration::from_millis(150)));
    let tally = boss.result_of(&many);
    assert_eq!(tally, json!({"targets": 2, "done": 1, "timed_out": 1}));
    assert!(took_at_least(started.elapsed(), Duration::from_millis(200)));
    let late = boss
        .fence()
        .into_iter()
        .find(|m| m["params"]["status"] == "timed_out");
    outcome["send"] = many;
    assert_eq!(late.map(|m| m["params"].clone()), Some(outcome));
    // The command behind them goes on, with what is left of its time.
    busy.reply(&running, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&first)["status"], "done");
    let execute = busy.execute();
    assert_eq!(execute.command, ["last"]);
    let left = execute.params["timeout_ms"].as_u64().expect("a number");
    assert!((1..=59_850).contains(&left), "{left} ms");
    busy.reply(&execute, &json!({"timed_out": true, "signal": "SIGTERM"}));
    let outcome = boss.result_of(&last);
    assert_eq!(outcome["status"], "timed_out");
    assert!(outcome["elapsed_ms"].is_u64(), "{outcome}");
    busy.expect_nothing("what had waited too long never starts");
}

/// What the sender is told of one send, in short and in order.
fn told(sender: &mut Raw, id: &Value) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let message = sender.next("what a send leads to");
        let params = &message["params"];
        match message["method"].as_str() {
            None if message["id"] == *id => {
                told.push("answer".into());
                return told;
            }
            Some("started") => {
                assert_eq!(*params, json!({"send": id, "member": params["member"]}));
                told.push(format!("started {}", params["member"]));
            }
            Some(method) if params["send"] == *id => match params["member"].as_u64() {
                Some(member) => told.push(format!("{method} {member}")),
                None => told.push(method.to_owned()),
            },
            _ => {}
        }
    }
}

#[test]
fn a_sender_that_wants_to_know_is_told_of_each_start_in_order() {
    let server = Server::start(5, &[]);
    let [mut boss, mut a, mut b] = ranked(&server, [("boss", 0), ("a", 1), ("b", 1)]);
    let serve = |worker: &mut Raw| {
        let execute = worker.execute();
        worker.output(&execute, "stdout", "x");
        worker.reply(&execute, &json!({"exit_code": 0}));
        worker.sync();
    };
    let id = send(
        &mut boss,
        "a",
        "x",
        json!({"progress": true, "window": 4096}),
    );
    serve(&mut a);
    assert_eq!(told(&mut boss, &id), ["started 2", "output 2", "answer"]);

    let id = send(
        &mut boss,
        "a,b,nope",
        "x",
        json!({"progress": true, "window": 4096}),
    );
    for worker in [&mut a, &mut b] {
        serve(worker);
    }
    let told_of = told(&mut boss, &id);
    let ends = [told_of.first(), told_of.last()].map(|told| told.map(String::as_str));
    assert_eq!(ends, [Some("accepted"), Some("answer")], "{told_of:?}");
    for member in [2, 3] {
        let of = |what: &str| {
            told_of
                .iter()
                .position(|told| *told == format!("{what} {member}"))
        };
        assert!(
            of("started") < of("output") && of("output") < of("outcome"),
            "{told_of:?}"
        );
        assert!(of("started").is_some(), "{told_of:?}");
    }

    // What waits has not started.
    let first = send(&mut boss, "a", "x", json!({"progress": true}));
    let running = a.execute();
    boss.notification("started");
    let second = send(&mut boss, "a", "x", json!({"progress": true}));
    boss.sync();
    let early = boss.fence();
    assert!(early.iter().all(|m| m["method"] != "started"), "{early:?}");
    a.reply(&running, &json!({"exit_code": 0}));
    boss.result_of(&first);
    assert_eq!(
        boss.notification("started"),
        json!({"send": second, "member": 2})
    );
    serve(&mut a);
    boss.result_of(&second);

    // No other sender hears of it, and a command that never starts tells nothing.
    for more in [
        json!({}),
        json!({"progress": false}),
        json!({"progress": null}),
    ] {
        let id = send(&mut boss, "a", "x", more.clone());
        serve(&mut a);
        let told_of = told(&mut boss, &id);
        assert!(
            !told_of.iter().any(|told| told.starts_with("started")),
            "{more}: {told_of:?}"
        );
    }
    let id = send(&mut b, "all", "x", json!({"progress": true}));
    let told_of = told(&mut b, &id);
    assert_eq!(told_of, ["accepted", "outcome 1", "outcome 2", "answer"]);
    for wrong in [json!(1), json!("true"), json!({})] {
        let params = json!({"to": "a", "command": ["x"], "progress": wrong});
        assert_eq!(boss.error("send", &params)["code"], -32602, "{wrong}");
    }
}
