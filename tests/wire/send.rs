//! `send` and `execute`: what a target is given, in what order, and what the queues hold,
//! by the letter of the protocol.

use crate::support::{Execute, Raw, Server, ranked};
use serde_json::{Value, json};

#[test]
fn malformed_parameters_of_send_are_told_so() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    for params in [
        json!({}),
        json!([["x"]]),
        json!({"to": "worker"}),
        json!({"command": []}),
        json!({"command": "x"}),
        json!({"command": [1]}),
        json!({"command": ["x", null]}),
        json!({"command": [["x"]]}),
        json!({"command": {"0": "x"}}),
        json!({"command": ["x"], "to": 1}),
        json!({"command": ["x"], "to": ["worker"]}),
        json!({"command": ["x"], "timeout_ms": 0}),
        json!({"command": ["x"], "timeout_ms": -1}),
        json!({"command": ["x"], "timeout_ms": 1.5}),
        json!({"command": ["x"], "timeout_ms": "5"}),
        json!({"command": ["x"], "window": 0}),
        json!({"command": ["x"], "window": -1}),
        json!({"command": ["x"], "window": (16 << 20) + 1}),
        json!({"command": ["x"], "window": "1"}),
    ] {
        let error = boss.error("send", &params);
        assert_eq!(error["code"], -32602, "{params}: {error}");
    }
    boss.send_line(r#"{"jsonrpc":"2.0","id":"bare","method":"send"}"#);
    assert_eq!(boss.error_of(&json!("bare"))["code"], -32602);
    worker.expect_nothing("nothing was sent");
}

#[test]
fn execute_has_exactly_what_the_target_needs() {
    let server = Server::start(5, &[]);
    let [_top, mut boss, mut worker] = ranked(&server, [("top", 0), ("boss", 0), ("worker", 9)]);
    let words = [
        "two words",
        "",
        "é😀\u{2028}",
        "\"'\\\n\t\u{0}\u{1b}[31m",
        "-x",
    ];
    let mut ids = Vec::new();
    for extra in [
        json!({}),
        json!({"timeout_ms": 1}),
        json!({"timeout_ms": 9_007_199_254_740_991_u64}),
        json!({"window": 1024}),
        json!({"window": 16 << 20, "timeout_ms": 60_000}),
    ] {
        let mut params = extra.clone();
        params["to"] = json!("worker");
        params["command"] = json!(words);
        boss.request("send", &params);
        let mut expected = extra;
        expected["from"] = boss.origin(1);
        expected["command"] = json!(words);
        let execute = worker.next("an execute");
        let id = execute["id"].clone();
        assert!(id.is_i64() && !ids.contains(&id), "{id} after {ids:?}");
        let whole = json!({"jsonrpc": "2.0", "id": id, "method": "execute", "params": expected});
        assert_eq!(execute, whole);
        ids.push(id);
    }
}

#[test]
fn all_targets_of_a_command_get_the_same_id() {
    let server = Server::start(5, &[]);
    let [mut boss, mut one, mut two] = ranked(&server, [("boss", 0), ("one", 4), ("two", 4)]);
    let mut before = Value::Null;
    for _ in 0..3 {
        boss.command("below", &["x"]);
        let ids = [one.execute().id, two.execute().id];
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0], before, "and it is never used again");
        before = ids[0].clone();
    }
}

#[test]
fn no_more_than_slots_are_open_at_a_target() {
    let server = Server::start(5, &[]);
    let [mut boss, mut other, mut worker] =
        ranked(&server, [("boss", 0), ("other", 0), ("worker", 2)]);
    for n in ["1", "2", "3", "4"] {
        boss.command("worker", &[n]);
        boss.fence();
    }
    other.command("worker", &["5"]);
    other.fence();
    let mut open = vec![worker.execute(), worker.execute()];
    let mut came: Vec<String> = open.iter().map(|e| e.command[0].clone()).collect();
    for _ in 0..3 {
        worker.expect_nothing("both of its slots are in use");
        // The later one ends first: slots are not taken in turns.
        let ended = open.pop().expect("two are open");
        worker.reply(&ended, &json!({"exit_code": 0}));
        let next = worker.execute();
        came.push(next.command[0].clone());
        open.push(next);
    }
    assert_eq!(came, ["1", "2", "3", "4", "5"]);
}

#[test]
fn the_least_loaded_has_the_smallest_share_in_use() {
    let server = Server::start(5, &[]);
    let [mut boss, _zero, one, four] =
        ranked(&server, [("boss", 9), ("zero", 0), ("one", 1), ("four", 4)]);
    let mut load = [0_u64; 2];
    for (n, expected) in [2, 3, 3, 3, 3, 2, 3, 3, 3, 3, 2].into_iter().enumerate() {
        boss.command("least-loaded", &["x"]);
        let result = boss.result("members", &json!({}));
        let of = |rank: usize| {
            let member = &result["members"][rank];
            member["running"].as_u64().expect("a count")
                + member["queued"].as_u64().expect("a count")
        };
        load[expected - 2] += 1;
        assert_eq!([of(2), of(3)], load, "command {n}: {result}");
    }
    drop((one, four));
}

#[test]
fn commands_to_a_target_arrive_in_the_order_they_were_sent() {
    const EACH: usize = 60;
    let server = Server::start(5, &[]);
    let [mut boss, mut vice, mut one, mut two] =
        ranked(&server, [("boss", 0), ("vice", 0), ("one", 1), ("two", 3)]);
    let selectors = ["one", "below", "next", "2", "all", "one,two", "!two"];
    for n in 0..EACH {
        let selector = selectors[n % selectors.len()];
        boss.command(selector, &["boss", &n.to_string()]);
        vice.command(selector, &["vice", &n.to_string()]);
    }
    let came = one.serve(2 * EACH);
    for sender in ["boss", "vice"] {
        let of_sender: Vec<&String> = came.iter().filter(|c| c.starts_with(sender)).collect();
        let sent: Vec<String> = (0..EACH).map(|n| format!("{sender} {n}")).collect();
        assert_eq!(of_sender, sent.iter().collect::<Vec<_>>());
    }
    // `two` is not among the targets of four in seven.
    let reached = |n: &usize| ["below", "all", "one,two"].contains(&selectors[n % selectors.len()]);
    let count = (0..EACH).filter(reached).count();
    assert_eq!(two.serve(2 * count).len(), 2 * count);
    two.expect_nothing("each came once");
}

#[test]
fn a_burst_in_one_write_arrives_whole_in_order_and_once_each() {
    const BURST: usize = 500;
    let server = Server::start(5, &[]);
    for slots in [1, 7, 1024] {
        let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", slots)]);
        let burst: String = (0..BURST)
            .map(|n| {
                let params = json!({"to": "next", "command": ["print", n.to_string()]});
                let id = format!("b{n}");
                let send = json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": params});
                format!("{send}\n")
            })
            .collect();
        boss.send_bytes(burst.as_bytes());
        let sent: Vec<String> = (0..BURST).map(|n| format!("print {n}")).collect();
        assert_eq!(worker.serve(BURST), sent, "{slots} slots");
        for (n, words) in sent.iter().enumerate() {
            let outcome = boss.result_of(&json!(format!("b{n}")));
            assert_eq!(outcome["stdout"], *words, "{slots} slots");
        }
        boss.expect_nothing("one outcome each");
        worker.expect_nothing("each came once");
        worker.leave();
        boss.leave();
    }
}

#[test]
fn ranks_told_are_those_of_when_the_command_was_taken() {
    let server = Server::start(5, &[]);
    let [mut boss, vice, mut worker] = ranked(&server, [("boss", 0), ("vice", 1), ("worker", 1)]);
    let first = boss.command("2", &["first"]);
    let second = boss.command("2", &["second"]);
    boss.fence();
    vice.leave();
    assert_eq!(
        worker.notification("rank"),
        json!({"rank": 1, "members": 2})
    );
    assert_eq!(worker.serve(2), ["first", "second"]);
    for id in [first, second] {
        assert_eq!(boss.result_of(&id)["rank"], 2, "{id}");
    }
    let third = boss.command("worker", &["third"]);
    worker.serve(1);
    assert_eq!(boss.result_of(&third)["rank"], 1);
}

/// Sends this many, without waiting.
#[track_caller]
fn send_many(client: &mut Raw, to: &str, count: usize) -> Vec<Value> {
    let send = |n: usize| client.command(to, &[&n.to_string()]);
    (0..count).map(send).collect()
}

#[test]
fn a_full_queue_is_told_at_once() {
    let server = Server::start(9, &["--max-queue", "16"]);
    let [mut a, mut b, mut c, mut worker, mut free] = ranked(
        &server,
        [("a", 0), ("b", 0), ("c", 0), ("worker", 1), ("free", 1)],
    );
    let blocker = a.command("worker", &["blocker"]);
    let open = worker.execute();
    // Half of the queue is the most for one sender.
    let of_a = send_many(&mut a, "worker", 8);
    let too_many = a.command("worker", &["too many"]);
    assert_eq!(a.error_of(&too_many)["code"], 9);
    a.expect_nothing("the rest waits");
    // The other half is there for another one, and then it is full for all.
    let of_b = send_many(&mut b, "worker", 8);
    b.expect_nothing("they wait");
    for client in [&mut b, &mut c] {
        let too_many = client.command("worker", &["too many"]);
        assert_eq!(client.error_of(&too_many)["code"], 9);
    }
    // To many, it is an outcome; the others are not held up by it.
    let many = c.command("worker,free", &["many"]);
    free.serve(1);
    let mut outcomes = [c.notification("outcome"), c.notification("outcome")];
    outcomes.sort_by_key(|outcome| outcome["rank"].as_u64());
    let mut busy = worker.identity(3);
    busy["status"] = json!("busy");
    busy["send"] = many.clone();
    assert_eq!(outcomes[0], busy);
    assert_eq!(outcomes[1]["status"], "done");
    assert_eq!(
        c.result_of(&many),
        json!({"targets": 2, "done": 1, "busy": 1})
    );
    // What was taken arrives, and then there is room again.
    worker.reply(&open, &json!({"exit_code": 0}));
    worker.serve(16);
    for id in of_a.iter().chain([&blocker]) {
        assert_eq!(a.result_of(id)["status"], "done");
    }
    for id in &of_b {
        assert_eq!(b.result_of(id)["status"], "done");
    }
    let again = a.command("worker", &["again"]);
    worker.serve(1);
    assert_eq!(a.result_of(&again)["status"], "done");
    worker.expect_nothing("nothing else was kept");
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    const BOUND: usize = 16 << 20;
    const SIZE: usize = 900 << 10;
    let server = Server::start(5, &[]);
    let cast = [("a", 0), ("b", 0), ("c", 0), ("worker", 1), ("other", 1)];
    let [mut a, mut b, mut c, mut worker, mut other] = ranked(&server, cast);
    let blocker = a.command("worker", &["blocker"]);
    let execute = worker.execute();
    let long = "x".repeat(SIZE);
    let mut taken = Vec::new();
    for sender in [&mut a, &mut b] {
        let mut ids: Vec<Value> = (0..12)
            .map(|_| sender.command("worker", &[&long]))
            .collect();
        for answer in sender.fence() {
            assert_eq!(answer["error"]["code"], 9, "{answer}");
            ids.retain(|id| *id != answer["id"]);
        }
        // Half of the bound; how much the server counts beside the words is its own affair.
        let size = ids.len() * SIZE;
        let half = BOUND / 2 - SIZE..=BOUND / 2;
        assert!(half.contains(&size), "{size} bytes were taken");
        taken.push(ids);
    }
    // The whole is used up but for less than one of them, for any sender.
    let left = c.command("worker", &[&long]);
    assert_eq!(
        c.error_of(&left)["code"],
        9,
        "it has a share, and there is no room"
    );
    let elsewhere = c.command("other", &[&long]);
    other.serve(1);
    assert_eq!(c.result_of(&elsewhere)["status"], "done");
    // All that was taken is still done, and there is room again then.
    worker.reply(&execute, &json!({"exit_code": 0}));
    worker.serve(taken.iter().map(Vec::len).sum());
    assert_eq!(a.result_of(&blocker)["status"], "done");
    for (sender, ids) in [&mut a, &mut b].into_iter().zip(&taken) {
        for id in ids {
            assert_eq!(sender.result_of(id)["status"], "done");
        }
    }
    let again = c.command("worker", &[&long]);
    worker.serve(1);
    assert_eq!(c.result_of(&again)["status"], "done");
}

#[test]
fn no_more_than_4096_sends_are_open_at_one_sender() {
    let server = Server::start(9, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut workers: Vec<Raw> = (0..5)
        .map(|n| Raw::join(&server, &format!("w{n}"), 1024))
        .collect();
    let mut first: Option<(Value, Execute)> = None;
    for (n, worker) in workers.iter_mut().take(4).enumerate() {
        let ids = send_many(&mut boss, &format!("w{n}"), 1024);
        for id in ids {
            let execute = worker.execute();
            first.get_or_insert((id, execute));
        }
    }
    boss.expect_nothing("all are running");
    for selector in ["w4", "w0"] {
        let id = boss.command(selector, &["too many"]);
        assert_eq!(boss.error_of(&id)["code"], 9, "{selector}");
    }
    // One to many is `busy` as a whole, or at each of its targets.
    let id = boss.command("below", &["too many"]);
    let answer = boss.answer(&id);
    let tally = json!({"targets": 5, "busy": 5});
    assert!(
        answer["error"]["code"] == 9 || answer["result"] == tally,
        "{answer}"
    );
    let rest = boss.fence();
    assert!(
        rest.iter()
            .all(|message| message["method"] != "outcome" || message["params"]["status"] == "busy"),
        "{rest:?}"
    );
    boss.expect_nothing("it may still ask for other things");
    let (id, execute) = first.expect("one is running");
    workers[0].reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&id)["status"], "done");
    boss.command("w4", &["one more"]);
    assert_eq!(workers[4].execute().command, ["one more"]);
}
