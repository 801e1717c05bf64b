//! The ids of requests, by the letter of the protocol: they come back as they came, and one that is
//! open is not taken twice.

use crate::carrier::one;
use crate::support::{Server, ranked};
use serde_json::{Value, json};

#[test]
fn an_id_comes_back_as_it_came() {
    let (_server, mut client) = one();
    let (longest, in_bytes) = ("i".repeat(128), "é".repeat(64));
    for id in [
        json!(0),
        json!(1),
        json!("1"),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(""),
        json!("a \"quoted\" \\ \n \u{0} é 😀 id"),
        json!("null"),
        json!(longest),
        json!(in_bytes),
    ] {
        client.request_as(&id, "ping", &json!({}));
        let answer = client.next("an answer");
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {}}));
    }
}

#[test]
fn a_second_request_with_an_open_id_leaves_the_first_alone() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 4)]);
    let first = json!({"to": "worker", "command": ["first"]});
    for id in [json!(5), json!("5")] {
        boss.request_as(&id, "send", &first);
    }
    let open = [worker.execute(), worker.execute()];
    for (method, params) in [
        ("send", &first),
        ("ping", &json!({})),
        ("members", &json!({})),
    ] {
        for id in [json!(5), json!("5")] {
            boss.request_as(&id, method, params);
            let answer = boss.next("an error");
            assert_eq!(answer["id"], Value::Null, "{answer}");
            assert_eq!(answer["error"]["code"], -32600, "{answer}");
            assert_eq!(answer["error"]["data"]["id"], id, "{answer}");
        }
    }
    boss.expect_nothing("each was answered once");
    worker.expect_nothing("only the first of each id was sent");
    for (execute, id) in open.iter().zip([json!(5), json!("5")]) {
        worker.reply(execute, &json!({"exit_code": 0}));
        assert_eq!(boss.result_of(&id)["status"], "done");
    }
    boss.request_as(&json!(5), "send", &first);
    worker.serve(1);
    assert_eq!(
        boss.result_of(&json!(5))["status"],
        "done",
        "an id that is free again"
    );
}

#[test]
fn an_id_is_open_until_the_tally() {
    let server = Server::start(5, &[]);
    let [mut boss, mut one, mut two] = ranked(&server, [("boss", 0), ("one", 1), ("two", 1)]);
    let id = boss.command("below", &["x"]);
    one.serve(1);
    boss.notification("outcome");
    boss.request_as(&id, "ping", &json!({}));
    let answer = boss.wait_for("an error", |message| message.get("error").is_some());
    assert_eq!(answer["error"]["data"]["id"], id);
    two.serve(1);
    assert_eq!(boss.result_of(&id), json!({"targets": 2, "done": 2}));
    boss.request_as(&id, "ping", &json!({}));
    assert_eq!(boss.result_of(&id), json!({}));
}

#[test]
fn ids_of_the_two_ends_do_not_clash() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let id = boss.command("worker", &["x"]);
    let execute = worker.execute();
    worker.request_as(&execute.id, "ping", &json!({}));
    assert_eq!(worker.result_of(&execute.id), json!({}));
    worker.request_as(&execute.id, "pong", &json!({}));
    assert_eq!(worker.error_of(&execute.id)["code"], -32601);
    boss.expect_nothing("the command is still running");
    worker.reply(&execute, &json!({"exit_code": 4}));
    assert_eq!(boss.result_of(&id)["exit_code"], 4);
}
