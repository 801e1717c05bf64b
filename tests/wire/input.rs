//! The input of commands, by the letter of the protocol: which targets take it, its windows, and
//! what is told of it.

use crate::support::{Execute, Raw, Server};
use serde_json::{Value, json};

const STEP: u64 = 16 << 10;

/// A server, a sender, and executors of these names that take input.
fn fleet(names: &[&str]) -> (Server, Raw, Vec<Raw>) {
    let server = Server::start(99, &[]);
    let boss = Raw::join_with(&server, json!({"name": "boss", "slots": 0}));
    let join = |name: &&str| {
        let params = json!({"name": name, "slots": 2, "stdin": true, "rank_news": false});
        Raw::join_with(&server, params)
    };
    let executors = names.iter().map(join).collect();
    (server, boss, executors)
}

/// Sends a command with input to all below; its id, and what the executors are given.
#[track_caller]
fn send(boss: &mut Raw, to: &str, stdin: &Value, executors: &mut [Raw]) -> (Value, Vec<Execute>) {
    let params = json!({"to": to, "command": ["cat"], "stdin": stdin});
    let id = boss.request("send", &params);
    let executes: Vec<Execute> = executors.iter_mut().map(Raw::execute).collect();
    for execute in &executes {
        assert_eq!(execute.params["stdin"], true, "{execute:?}");
    }
    (id, executes)
}

/// A piece of input of so many bytes.
fn piece(boss: &Raw, id: &Value, bytes: u64) {
    let text = "i".repeat(usize::try_from(bytes).expect("a short one"));
    boss.notify("input", &json!({"send": id, "text": text}));
}

fn consumed(executor: &mut Raw, execute: &Execute, bytes: u64) {
    executor.notify("input_consumed", &json!({"id": execute.id, "bytes": bytes}));
    executor.sync();
}

/// How much the sender is told was consumed, by all that has come.
#[track_caller]
fn told(boss: &mut Raw, id: &Value) -> Vec<u64> {
    let told = |message: &Value| {
        assert_eq!(message["method"], "input_consumed", "{message}");
        assert_eq!(message["params"]["send"], *id);
        message["params"]["consumed"].as_u64().expect("a number")
    };
    boss.fence().iter().map(told).collect()
}

#[test]
fn what_a_send_says_of_its_input_is_true_or_a_window() {
    let (_server, mut boss, mut executors) = fleet(&["a"]);
    for (stdin, is_right) in [
        (json!(true), true),
        (json!(1), true),
        (json!(1 << 20), true),
        (json!(0), false),
        (json!((1 << 20) + 1), false),
        (json!(-1), false),
        (json!(1.5), false),
        (json!("true"), false),
        (json!([true]), false),
    ] {
        let params = json!({"to": "a", "command": ["cat"], "stdin": stdin});
        if is_right {
            let (id, executes) = send(&mut boss, "a", &stdin, &mut executors);
            executors[0].reply(&executes[0], &json!({"exit_code": 0}));
            assert_eq!(boss.result_of(&id)["status"], "done", "{stdin}");
        } else {
            let error = boss.error("send", &params);
            assert_eq!(error["code"], -32602, "{stdin}: {error}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("params.stdin"), "{stdin}: {message}");
        }
    }
    for none in [json!(false), Value::Null] {
        let id = boss.request("send", &json!({"to": "a", "command": ["x"], "stdin": none}));
        let execute = executors[0].execute();
        assert_eq!(execute.params.get("stdin"), None, "{none}");
        piece(&boss, &id, 1);
        boss.sync();
        executors[0].expect_nothing("the command has no input");
        executors[0].reply(&execute, &json!({"exit_code": 0}));
        boss.result_of(&id);
    }
}

#[test]
fn a_target_without_input_is_failed_and_one_without_a_free_slot_busy() {
    let (server, mut boss, mut executors) = fleet(&["a"]);
    let mut deaf = Raw::join_with(&server, json!({"name": "deaf", "rank_news": false}));
    let alone = json!({"to": "deaf", "command": ["cat"], "stdin": true});
    let outcome = boss.result("send", &alone);
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(
        outcome["message"]
            .as_str()
            .is_some_and(|m| m.contains("input"))
    );
    let (first, _) = send(&mut boss, "a", &json!(true), &mut executors);
    let (second, executes) = send(&mut boss, "a", &json!(true), &mut executors);
    let third = json!({"to": "a", "command": ["cat"], "stdin": true});
    let error = boss.error("send", &third);
    assert_eq!(error["code"], 9, "{error}");
    let tally = boss.result(
        "send",
        &json!({"to": "a,deaf", "command": ["cat"], "stdin": true}),
    );
    assert_eq!(tally, json!({"targets": 2, "busy": 1, "failed": 1}));
    boss.fence();
    deaf.expect_nothing("it was never started there");
    executors[0].reply(&executes[0], &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&second)["status"], "done");
    boss.notify("cancel", &json!({"send": first}));
    let cancel = executors[0].notification("cancel");
    executors[0]
        .send(&json!({"jsonrpc": "2.0", "id": cancel["id"], "result": {"cancelled": true}}));
    assert_eq!(boss.result_of(&first)["status"], "cancelled");
}

#[test]
fn sixty_four_commands_with_input_are_open_at_one_target() {
    let server = Server::start(9, &[]);
    let mut boss = Raw::join_with(&server, json!({"name": "boss", "slots": 0}));
    let mut target = [Raw::join_with(
        &server,
        json!({"name": "a", "slots": 70, "stdin": true}),
    )];
    let open: Vec<_> = (0..64)
        .map(|_| send(&mut boss, "a", &json!(true), &mut target))
        .collect();
    let one_more = json!({"to": "a", "command": ["cat"], "stdin": true});
    assert_eq!(boss.error("send", &one_more)["code"], 9);
    let without = boss.command("a", &["x"]);
    let execute = target[0].execute();
    target[0].reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(
        boss.result_of(&without)["status"],
        "done",
        "others have slots"
    );
    target[0].reply(&open[0].1[0], &json!({"exit_code": 0}));
    boss.result_of(&open[0].0);
    send(&mut boss, "a", &json!(true), &mut target);
}

#[test]
fn pieces_reach_each_open_target_as_they_were_said() {
    let (_server, mut boss, mut executors) = fleet(&["a", "b"]);
    let (id, executes) = send(&mut boss, "below", &json!(true), &mut executors);
    boss.notification("accepted");
    let passed = [
        (json!({"text": "ä\n\"\u{7}"}), json!({"text": "ä\n\"\u{7}"})),
        (json!({"base64": "/wA="}), json!({"base64": "/wA="})),
        (
            json!({"text": "\0".repeat(300)}),
            json!({"base64": "AAAA".repeat(100)}),
        ),
        (
            json!({"base64": "/w==", "text": null, "end": false}),
            json!({"base64": "/w=="}),
        ),
        (
            json!({"text": "last", "end": true}),
            json!({"text": "last", "end": true}),
        ),
    ];
    let ignored = [
        json!({"text": ""}),
        json!({"base64": ""}),
        json!({}),
        json!({"text": "a", "base64": "YQ=="}),
        json!({"base64": "?"}),
        json!({"text": 7}),
    ];
    for said in ignored.iter().chain(passed.iter().map(|(said, _)| said)) {
        let mut params = said.clone();
        params["send"] = id.clone();
        boss.notify("input", &params);
    }
    piece(&boss, &id, 1);
    boss.notify("input", &json!({"send": id, "end": true}));
    for (executor, execute) in executors.iter_mut().zip(&executes) {
        for (_, expected) in &passed {
            let mut expected = expected.clone();
            expected["id"] = execute.id.clone();
            assert_eq!(executor.notification("input"), expected);
        }
    }
    boss.sync();
    for (executor, execute) in executors.iter_mut().zip(&executes) {
        executor.expect_nothing("nothing follows the end");
        executor.reply(execute, &json!({"exit_code": 0}));
    }
    assert_eq!(boss.result_of(&id)["done"], 2);
    boss.notify("input", &json!({"send": id, "text": "late"}));
    boss.sync();
    executors[0].expect_nothing("the command has ended");
}

#[test]
fn an_end_alone_ends_the_input() {
    let (_server, mut boss, mut executors) = fleet(&["a"]);
    let (id, executes) = send(&mut boss, "a", &json!(true), &mut executors);
    boss.notify("input", &json!({"send": id, "end": true}));
    let expected = json!({"id": executes[0].id, "end": true});
    assert_eq!(executors[0].notification("input"), expected);
    boss.expect_nothing("nothing was consumed");
}

#[test]
fn a_sender_is_told_what_the_slowest_open_target_has_consumed() {
    let (_server, mut boss, mut executors) = fleet(&["a", "b", "c"]);
    let (id, executes) = send(&mut boss, "below", &json!(4 * STEP), &mut executors);
    boss.notification("accepted");
    piece(&boss, &id, 2 * STEP);
    piece(&boss, &id, 2 * STEP);
    boss.sync();
    for (target, bytes, expected) in [
        (0, 4 * STEP, vec![]),
        (1, STEP, vec![]),
        (2, STEP - 1, vec![]),
        (2, 1, vec![STEP]),
        (2, 3 * STEP + 9, vec![]),
        (1, 2 * STEP - 1, vec![3 * STEP - 1]),
        (1, 1, vec![]),
    ] {
        consumed(&mut executors[target], &executes[target], bytes);
        assert_eq!(told(&mut boss, &id), expected, "{target} {bytes}");
    }
    // One that has ended consumes everything.
    executors[1].reply(&executes[1], &json!({"exit_code": 0}));
    boss.notification("outcome");
    assert_eq!(told(&mut boss, &id), [4 * STEP]);
    // The whole window is free again.
    piece(&boss, &id, 4 * STEP);
    boss.sync();
    for (target, execute) in [(0, &executes[0]), (2, &executes[2])] {
        consumed(&mut executors[target], execute, 4 * STEP);
    }
    assert_eq!(told(&mut boss, &id), [8 * STEP]);
    // Of others' commands, of none, and of what has ended nothing is heard.
    executors[1].notify("input_consumed", &json!({"id": executes[1].id, "bytes": 1}));
    executors[1].notify("input_consumed", &json!({"id": 999_999, "bytes": 1}));
    executors[1].notify("input_consumed", &json!({"id": "x", "bytes": -1}));
    executors[1].sync();
    boss.expect_nothing("no target has consumed more");
}

#[test]
fn less_than_a_step_is_told_when_it_is_all() {
    let (_server, mut boss, mut executors) = fleet(&["a"]);
    let (id, executes) = send(&mut boss, "a", &json!(10), &mut executors);
    for total in [3, 6, 16] {
        let bytes = if total == 16 { 10 } else { 3 };
        piece(&boss, &id, bytes);
        boss.sync();
        consumed(&mut executors[0], &executes[0], bytes);
        assert_eq!(told(&mut boss, &id), [total]);
    }
}

/// What ends a command as past its window.
#[test]
fn more_input_than_the_window_ends_the_command_at_every_open_target() {
    for (window, pieces) in [
        (json!(true), vec![(64 << 10) + 1]),
        (json!(true), vec![64 << 10, 1]),
        (json!(1 << 20), vec![1; 257]),
        (json!(1), vec![1, 1]),
    ] {
        let (_server, mut boss, mut executors) = fleet(&["a", "b", "c"]);
        let (id, executes) = send(&mut boss, "below", &window, &mut executors);
        boss.notification("accepted");
        executors[2].reply(&executes[2], &json!({"exit_code": 7}));
        assert_eq!(boss.notification("outcome")["exit_code"], 7);
        for bytes in pieces {
            piece(&boss, &id, bytes);
        }
        for _ in 0..2 {
            let outcome = boss.notification("outcome");
            assert_eq!(outcome["status"], "failed", "{outcome}");
            assert_eq!(outcome["message"], "more input than the window");
        }
        assert_eq!(
            boss.result_of(&id),
            json!({"targets": 3, "done": 1, "failed": 2})
        );
        for (executor, execute) in executors.iter_mut().zip(&executes).take(2) {
            assert_eq!(executor.notification("cancel"), json!({"id": execute.id}));
            executor.reply(execute, &json!({"cancelled": true}));
            executor.sync();
        }
        boss.expect_nothing("each had its outcome");
    }
}

#[test]
fn in_kind_one_the_outcome_is_the_answer_and_the_slot_stays_in_use_until_the_executor_answers() {
    let (_server, mut boss, mut executors) = fleet(&["a"]);
    let (id, executes) = send(&mut boss, "a", &json!(1), &mut executors);
    piece(&boss, &id, 2);
    let outcome = boss.result_of(&id);
    assert_eq!(outcome["status"], "failed");
    assert_eq!(outcome["message"], "more input than the window");
    assert_eq!(
        executors[0].notification("cancel"),
        json!({"id": executes[0].id})
    );
    let running =
        |boss: &mut Raw| boss.result("members", &json!({}))["members"][1]["running"].clone();
    assert_eq!(running(&mut boss), 1);
    executors[0].reply(&executes[0], &json!({"cancelled": true}));
    executors[0].sync();
    assert_eq!(running(&mut boss), 0);
}

#[test]
fn a_window_that_targets_give_back_lets_pieces_go_on() {
    let (_server, mut boss, mut executors) = fleet(&["a"]);
    let (id, executes) = send(&mut boss, "a", &json!(1 << 20), &mut executors);
    for _ in 0..3 {
        for _ in 0..256 {
            piece(&boss, &id, 1);
        }
        boss.sync();
        consumed(&mut executors[0], &executes[0], 256);
    }
    assert_eq!(told(&mut boss, &id).last(), Some(&768));
    executors[0].reply(&executes[0], &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&id)["status"], "done");
}

#[test]
fn a_target_that_leaves_no_longer_holds_the_others_up() {
    let (_server, mut boss, mut executors) = fleet(&["a", "b"]);
    let (id, executes) = send(&mut boss, "below", &json!(true), &mut executors);
    boss.notification("accepted");
    piece(&boss, &id, STEP);
    boss.sync();
    consumed(&mut executors[0], &executes[0], STEP);
    assert_eq!(told(&mut boss, &id), [] as [u64; 0]);
    executors.pop().expect("b").leave();
    assert_eq!(boss.notification("outcome")["status"], "lost");
    assert_eq!(told(&mut boss, &id), [STEP]);
}

#[test]
fn the_memory_of_windows_is_that_of_commands_that_wait() {
    let server = Server::start(9, &["--max-memory", "16MiB"]);
    let mut boss = Raw::join_with(&server, json!({"name": "boss", "slots": 0}));
    let mut target = [Raw::join_with(
        &server,
        json!({"name": "a", "slots": 64, "stdin": true}),
    )];
    let largest = json!({"to": "a", "command": ["cat"], "stdin": 1 << 20});
    // Half of the memory, by windows of a megabyte with an escape for each byte.
    let mut taken = 0;
    let error = loop {
        let id = boss.request("send", &largest);
        // A refusal comes before what was asked later is answered.
        let mut came = boss.fence().into_iter();
        if let Some(refusal) = came.find(|message| message["id"] == id) {
            break refusal["error"].clone();
        }
        target[0].execute();
        taken += 1;
        assert!(taken < 5, "half of the memory is full");
    };
    assert_eq!(error["code"], 9, "{error}");
    assert!(taken > 1, "{taken}");
    assert_eq!(boss.result("ping", &json!({})), json!({}));
}

#[test]
fn a_target_for_which_half_an_outbox_waits_gets_no_more_and_is_no_slow_consumer() {
    const WINDOW: usize = 1 << 20;
    // Half of an outbox, and what the systems' buffers hold.
    const COMMANDS: usize = 50;
    let _alone = crate::support::alone();
    let server = Server::start(9, &[]);
    let mut boss = Raw::join_with(&server, json!({"name": "boss", "slots": 0}));
    let mut target =
        crate::support::Still::join_with(&server, json!({"name": "a", "slots": 64, "stdin": true}));
    let params = json!({"to": "a", "command": ["cat"], "stdin": WINDOW});
    let ids: Vec<Value> = (0..COMMANDS)
        .map(|_| boss.request("send", &params))
        .collect();
    boss.sync();
    // Written by hand, as the target is a slow consumer if this takes ten seconds.
    let text = "i".repeat(WINDOW - 200);
    for id in &ids {
        boss.send_line(&format!(
            r#"{{"jsonrpc":"2.0","method":"input","params":{{"send":{id},"text":"{text}"}}}}"#
        ));
    }
    boss.sync();
    let failed = boss.fence();
    let is_failed = |message: &Value| message["result"]["status"] == "failed";
    let is_right = !failed.is_empty() && failed.iter().all(is_failed);
    assert!(is_right, "{failed:.2000?}");
    target.send(&json!({"jsonrpc": "2.0", "id": "last", "method": "ping"}));
    let lines = target.read_lines(|line| line.contains(r#""id":"last","result""#));
    let count = |method: &str| {
        let method = format!(r#""method":"{method}""#);
        lines.iter().filter(|line| line.contains(&method)).count()
    };
    assert_eq!(
        count("execute"),
        COMMANDS,
        "it is here, and was given all of them"
    );
    let failed = count("cancel");
    assert!(failed > 0, "those that have failed are cancelled");
    assert_eq!(
        count("input"),
        COMMANDS - failed,
        "the others have their input"
    );
}
