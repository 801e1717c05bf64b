//! The messages that the lines carry, by the letter of the protocol: batches, and
//! everything that is no message at all. The client shares no code with the project.

use crate::support::{Raw, Server, ranked};
use serde_json::{Value, json};

/// What the id of an error answer may be.
#[derive(Clone, Debug)]
enum Id {
    Null,
    Is(Value),
    /// The id could be read or not, as one takes the line.
    NullOr(Value),
}

/// A server and one client that has joined.
pub(crate) fn one() -> (Server, Raw) {
    let server = Server::start(100, &[]);
    let client = Raw::join(&server, "one", 1);
    (server, client)
}

/// Sends one line and checks the error it is answered with, and that the line stays in
/// step.
#[track_caller]
fn expect_error(client: &mut Raw, what: &str, line: &[u8], codes: &[i64], id: &Id) {
    client.send_bytes(line);
    client.send_bytes(b"\n");
    let answer = client.next(what);
    let code = answer["error"]["code"].as_i64();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{what}: expected one of {codes:?}, got {answer}"
    );
    let got = answer.get("id").cloned().expect("an answer has an id");
    let right = match id {
        Id::Null => got.is_null(),
        Id::Is(id) => got == *id,
        Id::NullOr(id) => got.is_null() || got == *id,
    };
    assert!(right, "{what}: expected id {id:?}, got {answer}");
    client.expect_nothing(what);
}

#[test]
fn what_is_no_message_is_told_so_and_the_line_goes_on() {
    let (server, _first) = one();
    let nested_open = "[".repeat(30_000);
    let not_json: &[(&str, &[u8])] = &[
        ("words", b"not json"),
        (
            "a space",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} x",
        ),
        (
            "cut short",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi",
        ),
        (
            "no closing brace",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"",
        ),
        (
            "two on a line",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}{}",
        ),
        (
            "NaN",
            b"{\"jsonrpc\":\"2.0\",\"id\":NaN,\"method\":\"ping\"}",
        ),
        ("single quotes", b"{'jsonrpc':'2.0','id':1,'method':'ping'}"),
        (
            "a comma at the end",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}",
        ),
        (
            "a raw tab in a string",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\t\",\"method\":\"ping\"}",
        ),
        ("zeros", &[0; 40]),
        (
            "binary",
            &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0x80, 0xff],
        ),
        (
            "not UTF-8",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
        ),
        (
            "not UTF-8 in the id",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\x28\",\"method\":\"ping\"}",
        ),
        (
            "not UTF-8 in an unknown member",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xed\xa0\x80\"}",
        ),
        (
            "a UTF-8 character cut short",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\xe2\x82",
        ),
        ("UTF-16", b"\xff\xfe{\0}\0"),
        ("arrays that are never closed", nested_open.as_bytes()),
        ("HTTP", b"GET / HTTP/1.1"),
    ];
    for (what, line) in not_json {
        let mut client = Raw::join(&server, "case", 1);
        expect_error(&mut client, what, line, &[-32700], &Id::Null);
        client.leave();
    }
}

#[test]
fn what_is_json_and_no_request_is_told_so_and_the_line_goes_on() {
    let (server, _first) = one();
    let long = "i".repeat(129);
    let long_in_bytes = "é".repeat(65);
    let with_id = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    let one = Id::NullOr(json!(1));
    let invalid: &[(&str, String, Id)] = &[
        ("an empty batch", "[]".into(), Id::Null),
        ("a batch of one", format!("[{}]", with_id("1")), Id::Null),
        (
            "a batch of three is one error",
            format!("[{},{},{}]", with_id("1"), with_id("2"), with_id("3")),
            Id::Null,
        ),
        ("a batch of garbage", "[1,\"x\",null]".into(), Id::Null),
        ("a number", "1".into(), Id::Null),
        ("a string", "\"ping\"".into(), Id::Null),
        ("null", "null".into(), Id::Null),
        ("true", "true".into(), Id::Null),
        ("an empty object", "{}".into(), Id::Null),
        (
            "only an id",
            r#"{"jsonrpc":"2.0","id":1}"#.into(),
            one.clone(),
        ),
        (
            "no version",
            r#"{"id":1,"method":"ping"}"#.into(),
            one.clone(),
        ),
        (
            "another version",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.into(),
            one.clone(),
        ),
        (
            "the version as a number",
            r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#.into(),
            one.clone(),
        ),
        (
            "a method that is no string",
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#.into(),
            one.clone(),
        ),
        ("id null", with_id("null"), Id::Null),
        ("id 1.5", with_id("1.5"), Id::Null),
        ("id true", with_id("true"), Id::Null),
        ("id {}", with_id("{}"), Id::Null),
        ("id []", with_id("[1]"), Id::Null),
        (
            "an id beyond 64 bits",
            with_id("18446744073709551616"),
            Id::Null,
        ),
        (
            "an id below 64 bits",
            with_id("-9223372036854775809"),
            Id::Null,
        ),
        (
            "an id of 129 bytes",
            with_id(&format!("{long:?}")),
            Id::Null,
        ),
        (
            "an id of 65 characters and 130 bytes",
            with_id(&format!("{long_in_bytes:?}")),
            Id::Null,
        ),
        (
            "two ids",
            r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#.into(),
            one.clone(),
        ),
        (
            "two methods",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}"#.into(),
            one.clone(),
        ),
        (
            "two versions",
            r#"{"jsonrpc":"2.0","id":1,"jsonrpc":"2.0","method":"ping"}"#.into(),
            one.clone(),
        ),
        (
            "two params",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}"#.into(),
            one,
        ),
    ];
    for (what, line, id) in invalid {
        let mut client = Raw::join(&server, "case", 1);
        expect_error(&mut client, what, line.as_bytes(), &[-32600], id);
        client.leave();
    }
}

#[test]
fn a_known_member_that_stands_twice_in_params_is_invalid() {
    let (_server, mut client) = one();
    for (what, method, params) in [
        (
            "command twice",
            "send",
            r#"{"command":["x"],"command":["y"]}"#,
        ),
        (
            "to twice",
            "send",
            r#"{"to":"next","command":["x"],"to":"next"}"#,
        ),
        (
            "timeout twice",
            "send",
            r#"{"command":["x"],"timeout_ms":5,"timeout_ms":5}"#,
        ),
        (
            "window twice",
            "send",
            r#"{"command":["x"],"window":5,"window":5}"#,
        ),
        ("from twice", "members", r#"{"from":0,"from":0}"#),
        ("limit twice", "members", r#"{"limit":1,"limit":1}"#),
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"{method}","params":{params}}}"#);
        expect_error(
            &mut client,
            what,
            line.as_bytes(),
            &[-32602],
            &Id::Is(json!(9)),
        );
    }
}

#[test]
fn an_unknown_method_is_told_so_as_often_as_it_comes() {
    let (_server, mut client) = one();
    for method in ["", "pong", "PING", "rpc.ping", "execute", "bye", "rank"].repeat(5) {
        let line = json!({"jsonrpc": "2.0", "id": "m", "method": method}).to_string();
        expect_error(
            &mut client,
            method,
            line.as_bytes(),
            &[-32601],
            &Id::Is(json!("m")),
        );
    }
}

#[test]
fn deep_nesting_harms_no_client() {
    let (_server, mut client) = one();
    let (open, close) = ("[".repeat(20_000), "]".repeat(20_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for (what, line) in [
        ("a deep array", format!("{open}{close}")),
        ("a deep object", objects.clone()),
        (
            "deep params",
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{open}{close}}}"#),
        ),
        (
            "a deep unknown member",
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","x":{objects}}}"#),
        ),
        (
            "a deep unknown parameter",
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"members","params":{{"x":{objects}}}}}"#),
        ),
    ] {
        client.send_line(&line);
        let answer = client.next(what);
        // Whether so deep a value is still JSON is the reader's own bound.
        let code = answer["error"]["code"].as_i64();
        assert!(
            matches!(code, None | Some(-32700 | -32600 | -32602)),
            "{what}: {answer}"
        );
        client.expect_nothing(what);
    }
}

#[test]
fn notifications_and_stray_answers_are_never_answered() {
    let server = Server::start(5, &[]);
    let mut joined = Raw::join(&server, "one", 1);
    let mut unjoined = Raw::connect(&server);
    let long_id = "i".repeat(500);
    for message in [
        json!({"jsonrpc": "2.0", "method": "no_such_thing"}),
        json!({"jsonrpc": "2.0", "method": "no_such_thing", "params": [1, 2]}),
        json!({"jsonrpc": "2.0", "method": "ping"}),
        json!({"jsonrpc": "2.0", "method": "members", "params": {"from": -1}}),
        json!({"jsonrpc": "2.0", "method": "cancel"}),
        json!({"jsonrpc": "2.0", "method": "cancel", "params": {"send": 77}}),
        json!({"jsonrpc": "2.0", "method": "cancel", "params": {"send": {"x": 1}}}),
        json!({"jsonrpc": "2.0", "method": "consumed", "params": {"send": 1}}),
        json!({"jsonrpc": "2.0", "method": "consumed",
               "params": {"send": 1, "member": 1, "bytes": -5}}),
        json!({"jsonrpc": "2.0", "method": "output", "params": {"id": 3}}),
        json!({"jsonrpc": "2.0", "method": "output",
               "params": {"id": 3, "stream": "stdout", "text": "x"}}),
        json!({"jsonrpc": "2.0", "method": "execute", "params": {"command": ["x"]}}),
        json!({"jsonrpc": "2.0", "method": "bye", "params": {"reason": "x", "message": "y"}}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"exit_code": 0}}),
        json!({"jsonrpc": "2.0", "id": "1", "result": {"exit_code": 0}}),
        json!({"jsonrpc": "2.0", "id": 9_000_000_000_000_000_000_u64, "result": "x"}),
        json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "what?"}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 20, "message": "no"}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": "no"}),
        json!({"jsonrpc": "2.0", "id": long_id, "result": {}}),
    ] {
        // More than once: nor do they count as wrong lines.
        for _ in 0..3 {
            joined.send(&message);
            unjoined.send(&message);
        }
        joined.expect_nothing(&message.to_string());
        let id = unjoined.request("ping", &json!({}));
        let next = unjoined.next("the answer to ping");
        assert_eq!(next["id"], id, "{message}: {next}");
    }
}

#[test]
fn unknown_members_are_ignored() {
    let server = Server::start(5, &[]);
    let mut boss = Raw::connect(&server);
    boss.send_line(
        r#"{"x":1,"jsonrpc":"2.0","id":1,"y":[{}],"method":"join",
            "params":{"protocol":1,"name":"boss","colour":"red","colour":"blue"},"x":2}"#
            .replace('\n', " ")
            .as_str(),
    );
    boss.joined = boss.result_of(&json!(1));
    let mut worker = Raw::join(&server, "worker", 1);
    boss.request_as(
        &json!(2),
        "send",
        &json!({"to": "worker", "command": ["x"], "priority": {"high": true}, "": null}),
    );
    let execute = worker.execute();
    assert_eq!(
        execute.params.get("priority"),
        None,
        "nor are they passed on"
    );
    worker.send(&json!({
        "jsonrpc": "2.0", "id": execute.id, "took": 5,
        "result": {"exit_code": 0, "stdout": "x", "mood": "good"},
    }));
    assert_eq!(boss.result_of(&json!(2))["stdout"], "x");
}

#[test]
fn a_carriage_return_between_the_tokens_of_a_message_is_taken_and_never_passed_on() {
    /// A message with `\r` wherever JSON allows a blank, or in some of those places.
    fn with_returns(message: &str, places: impl Fn(char) -> bool) -> String {
        let (mut text, mut is_in_string, mut is_escaped) = (String::new(), false, false);
        for c in message.chars() {
            match !is_in_string && places(c) {
                true => text.extend(['\r', c, '\r']),
                false => text.push(c),
            }
            is_in_string ^= c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
        }
        text
    }
    let server = Server::start(9, &[]);
    let [mut top, mut boss, mut worker] = ranked(&server, [("top", 1), ("boss", 0), ("worker", 1)]);
    // Everywhere; and only within the words, in the form that is read at once.
    let everywhere = |c: char| "{}[],:".contains(c);
    let in_words = |c: char| "[]".contains(c);
    let pairs: [(&dyn Fn(char) -> bool, &str); 2] = [(&everywhere, "a\rb"), (&in_words, "7")];
    for (places, id) in pairs {
        let id = id.parse::<u64>().map_or(json!(id), |id| json!(id));
        let send = json!({"jsonrpc": "2.0", "id": id, "method": "send",
                          "params": {"command": ["x", "\r\n", ""], "to": "all", "window": 9000}});
        boss.send_line(&with_returns(&send.to_string(), places));
        let execute = worker.execute();
        assert_eq!(execute.command, ["x", "\r\n", ""]);
        let words = &execute.params["command"];
        assert_eq!(&top.notification("refused")["command"], words);
        let output = json!({"jsonrpc": "2.0", "method": "output",
                            "params": {"id": execute.id, "stream": "stdout", "text": "\r"}});
        worker.send_line(&with_returns(&output.to_string(), places));
        let result = json!({"jsonrpc": "2.0", "id": execute.id,
                            "result": {"exit_code": 0, "stdout": "a\rb", "signal": "SIGHUP"}});
        worker.send_line(&with_returns(&result.to_string(), places));
        assert_eq!(boss.notification("output")["text"], "\r");
        let outcome = boss.wait_for("the worker's outcome", |message| {
            message["params"]["name"] == "worker" && message["method"] == "outcome"
        });
        assert_eq!(outcome["params"]["stdout"], "a\rb");
        assert_eq!(outcome["params"]["send"], id);
        assert_eq!(boss.result_of(&id)["targets"], 2);
        let error = json!({"jsonrpc": "2.0", "id": 1, "method": "a\rb", "params": {"x": 1}});
        boss.send_line(&with_returns(&error.to_string(), places));
        assert_eq!(boss.error_of(&json!(1))["code"], -32601);
        let wrong = r#"{"jsonrpc":"2.0","id":2,"method":"send","params":{"command":[1,{}]}}"#;
        boss.send_line(&with_returns(wrong, places));
        assert_eq!(boss.error_of(&json!(2))["code"], -32602);
        boss.send_line(&with_returns(r#"[{"a":[]}]"#, places));
        assert_eq!(boss.error_of(&Value::Null)["code"], -32600);
    }
}
