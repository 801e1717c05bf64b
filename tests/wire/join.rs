//! `join` and what it refuses, by the letter of the protocol.

use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, Server, is_mostly, loosely, ranked, ranking, took_at_least};
use serde_json::{Value, json};

/// How long a connection may take to join.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The parameters of `join` that are right, with others laid over them; null leaves one out.
fn params(over: &Value) -> Value {
    let mut params = json!({"protocol": 1, "name": "right", "slots": 1});
    for (member, value) in over.as_object().expect("an object") {
        params[member] = value.clone();
    }
    let members = params.as_object_mut().expect("an object");
    members.retain(|_, value| !value.is_null());
    params
}

/// So many tags.
fn many_tags(count: usize) -> Value {
    let pairs = (0..count).map(|n| (format!("k{n}"), json!("v")));
    Value::Object(pairs.collect())
}

#[test]
fn join_answers_with_all_that_a_client_needs() {
    let by_default = Server::spawn(
        std::process::Command::new(env!("CARGO_BIN_EXE_pecking-server")).args([
            "--listen",
            "127.0.0.1:0",
            "--quiet",
        ]),
    );
    let told = Server::start(10, &["--heartbeat", "1s", "--max-line", "65536"]);
    for (server, heartbeat, max_line) in [(&by_default, 5000, 1 << 20), (&told, 1000, 65_536)] {
        for rank in 0..3_u64 {
            let mut client = Raw::connect(server);
            let mut joined = client.result("join", &params(&json!({"name": format!("n{rank}")})));
            joined.as_object_mut().expect("an object").remove("run");
            let member = joined["member"].as_u64().expect("a member number");
            let expected = json!({
                "member": member, "name": format!("n{rank}"), "rank": 0, "tier": 5,
                "members": 1, "heartbeat_ms": heartbeat, "max_line": max_line,
            });
            assert_eq!(joined, expected);
            client.leave();
        }
    }
}

#[test]
fn each_start_of_a_server_is_a_run_of_its_own_and_send_may_ask_for_one() {
    let [one, other] = [(); 2].map(|()| Server::start(5, &[]));
    let mut boss = Raw::join(&one, "boss", 0);
    let mut worker = Raw::join(&one, "worker", 1);
    let mut elsewhere = Raw::join(&other, "boss", 0);
    let run = |client: &Raw| client.joined["run"].as_str().unwrap_or_default().to_owned();
    let (own, others) = (run(&boss), run(&elsewhere));
    let is_run = |run: &str| {
        run.len() == 32
            && run
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    assert!(is_run(&own) && is_run(&others), "{own} {others}");
    assert_eq!(own, run(&worker));
    assert_ne!(own, others);
    for wrong in [
        json!(others),
        json!(""),
        json!(own[1..]),
        json!(7),
        json!([]),
    ] {
        let params = json!({"to": "#2", "command": ["x"], "run": wrong});
        assert_eq!(boss.error("send", &params)["code"], -32602, "{wrong}");
    }
    for right in [json!(own), json!(null)] {
        let id = boss.request("send", &json!({"to": "#2", "command": ["x"], "run": right}));
        worker.serve(1);
        assert_eq!(boss.result_of(&id)["status"], "done", "{right}");
    }
    elsewhere.expect_nothing("its server was asked nothing");
}

#[test]
fn a_client_that_asks_for_no_name_is_given_one() {
    let server = Server::start(5, &[]);
    let _first = Raw::join(&server, "first", 1);
    for over in [json!({"name": null}), json!({"name": null, "slots": null})] {
        let mut client = Raw::connect(&server);
        let joined = client.result("join", &params(&over));
        assert_eq!(joined["name"], format!("client-{}", joined["member"]));
    }
}

#[test]
fn what_join_accepts() {
    let server = Server::start(5, &[]);
    let longest = format!("N{}", "-".repeat(63));
    for over in [
        json!({"name": "a"}),
        json!({"name": "Z9._-"}),
        json!({"name": longest}),
        json!({"name": "client-x"}),
        json!({"name": "client"}),
        json!({"name": "client-"}),
        json!({"name": "all2"}),
        json!({"name": "1st"}),
        json!({"name": "10.0.0.7"}),
        json!({"name": "3com-sw1"}),
        json!({"name": "7a3f9c01b2d4"}),
        json!({"name": "1-2-3"}),
        json!({"name": "client-1x"}),
        json!({"slots": 0}),
        json!({"slots": 1024}),
        json!({"slots": null}),
        json!({"token": "a token that is not asked for"}),
        json!({"future": [1, 2, 3]}),
        json!({"tags": {}}),
        json!({"tags": null}),
        json!({"tags": {"role": "web", "dc.1_x-y": "fra/1:a@b+c-d.e_F"}}),
        json!({"tags": many_tags(16)}),
        json!({"tags": {"k".repeat(32): "v".repeat(64)}}),
    ] {
        let mut client = Raw::connect(&server);
        let joined = client.result("join", &params(&over));
        assert_eq!(joined["name"], params(&over)["name"], "{over}");
        let members = client.result("members", &json!({}));
        let slots = over["slots"].as_u64().unwrap_or(1);
        assert_eq!(members["members"][0]["slots"], slots, "{over}");
        let tags = over["tags"].as_object().filter(|tags| !tags.is_empty());
        let shown = members["members"][0]["tags"].as_object();
        assert_eq!(shown, tags, "{over}");
        client.leave();
    }
}

#[test]
fn what_join_refuses_and_then_another_try_is_welcome() {
    let server = Server::start(5, &[]);
    let too_long = "n".repeat(65);
    for over in [
        json!({"name": ""}),
        json!({"name": "1"}),
        json!({"name": "007"}),
        json!({"name": "3-"}),
        json!({"name": "3-7"}),
        json!({"name": "7-3"}),
        json!({"name": "-3"}),
        json!({"name": "-dash"}),
        json!({"name": "_under"}),
        json!({"name": ".dot"}),
        json!({"name": "two words"}),
        json!({"name": "zoë"}),
        json!({"name": "a\n"}),
        json!({"name": "a\u{1b}[31m"}),
        json!({"name": "a,b"}),
        json!({"name": "web*"}),
        json!({"name": "web?"}),
        json!({"name": "!a"}),
        json!({"name": too_long}),
        json!({"name": "client-1"}),
        json!({"name": "client-4711"}),
        json!({"name": "next"}),
        json!({"name": "all"}),
        json!({"name": "below"}),
        json!({"name": "least-loaded"}),
        json!({"name": "All"}),
        json!({"name": "LEAST-loaded"}),
        json!({"name": "Client-1"}),
        json!({"name": 5}),
        json!({"name": ["a"]}),
        json!({"slots": -1}),
        json!({"slots": 1025}),
        json!({"slots": 1.5}),
        json!({"slots": "1"}),
        json!({"slots": u64::MAX}),
        json!({"token": 5}),
        json!({"tags": many_tags(17)}),
        json!({"tags": {"k".repeat(33): "v"}}),
        json!({"tags": {"k": "v".repeat(65)}}),
        json!({"tags": {"": "v"}}),
        json!({"tags": {"k": ""}}),
        json!({"tags": {"Role": "web"}}),
        json!({"tags": {"1k": "web"}}),
        json!({"tags": {"k": "a b"}}),
        json!({"tags": {"k": "a=b"}}),
        json!({"tags": {"k": "zoë"}}),
        json!({"tags": {"k": 1}}),
        json!({"tags": {"k": null}}),
        json!({"tags": ["role=web"]}),
        json!({"tags": "role=web"}),
    ] {
        let mut client = Raw::connect(&server);
        let error = client.error("join", &params(&over));
        assert_eq!(error["code"], -32602, "{over}: {error}");
        client.join_as("right", 1);
        client.leave();
    }
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"join","params":[1]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1,"protocol":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1,"name":"a","name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1,"slots":1,"slots":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1,"tags":{"a":"b","a":"b"}}}"#,
    ] {
        let mut client = Raw::connect(&server);
        client.send_line(line);
        assert_eq!(client.error_of(&json!(1))["code"], -32602, "{line}");
    }
}

#[test]
fn a_protocol_that_is_no_version_is_refused() {
    let server = Server::start(5, &[]);
    // Whether it is malformed or unsupported is open; it must be one of the two.
    for over in [
        json!({"protocol": null}),
        json!({"protocol": "1"}),
        json!({"protocol": 1.5}),
        json!({"protocol": -1}),
        json!({"protocol": []}),
    ] {
        let mut client = Raw::connect(&server);
        let error = client.error("join", &params(&over));
        let code = error["code"].as_i64();
        assert!(matches!(code, Some(-32602 | 6)), "{over}: {error}");
    }
    let mut client = Raw::connect(&server);
    client.send_line(r#"{"jsonrpc":"2.0","id":1,"method":"join"}"#);
    let error = client.error_of(&json!(1));
    assert!(
        matches!(error["code"].as_i64(), Some(-32602 | 6)),
        "{error}"
    );
}

#[test]
fn another_version_of_the_protocol_is_told_which_would_be_right() {
    let server = Server::start(5, &[]);
    for over in [
        json!({"protocol": 2}),
        json!({"protocol": 0}),
        json!({"protocol": u64::MAX}),
        // A later version may well have other parameters.
        json!({"protocol": 2, "name": 5, "slots": "many"}),
    ] {
        let mut client = Raw::connect(&server);
        let error = client.error("join", &params(&over));
        assert_eq!(error["code"], 6, "{over}: {error}");
        assert_eq!(error["data"]["supported"], json!([1]), "{over}: {error}");
        client.expect_eof("closed");
    }
}

#[test]
fn before_join_there_is_nothing_else() {
    let server = Server::start(7, &[]);
    for method in [
        "ping",
        "members",
        "send",
        "no_such_thing",
        "execute",
        "leave",
        "",
    ] {
        let mut client = Raw::connect(&server);
        for params in [json!({}), json!({"to": 5}), json!([1])] {
            let error = client.error(method, &params);
            assert_eq!(error["code"], 3, "{method} {params}: {error}");
        }
        client.join_as("late", 1);
        assert_eq!(client.fence().len(), 0);
        client.leave();
    }
}

#[test]
fn a_member_cannot_join_again() {
    let server = Server::start(5, &[]);
    let mut client = Raw::join(&server, "once", 2);
    for name in ["once", "twice"] {
        let error = client.error("join", &params(&json!({"name": name})));
        assert_eq!(error["code"], 4, "{error}");
    }
    assert_eq!(ranking(&mut client), ["once"]);
}

#[test]
fn a_name_is_there_once_and_free_again_afterwards() {
    let server = Server::start(5, &[]);
    let [mut boss, holder] = ranked(&server, [("boss", 0), ("web1", 1)]);
    let mut client = Raw::connect(&server);
    for _ in 0..3 {
        let error = client.error("join", &params(&json!({"name": "web1"})));
        assert_eq!(error["code"], 5, "{error}");
    }
    holder.leave();
    client.join_as("web1", 1);
    assert_eq!(client.joined["rank"], 1);
    assert_eq!(ranking(&mut boss), ["boss", "web1"]);
}

#[test]
fn names_that_differ_in_case_only_are_one_name_for_join_and_two_for_selectors() {
    let server = Server::start(5, &[]);
    let [mut boss, mut holder] = ranked(&server, [("boss", 0), ("Web1", 1)]);
    let mut client = Raw::connect(&server);
    for name in ["web1", "WEB1", "BOSS"] {
        let error = client.error("join", &params(&json!({"name": name})));
        assert_eq!(error["code"], 5, "{error}");
        let message = error["message"].as_str().expect("a sentence");
        let spelled = if name == "BOSS" { "boss" } else { "Web1" };
        assert!(message.contains(&format!("{spelled:?}")), "{message}");
    }
    let id = boss.command("web1", &["x"]);
    let error = boss.error_of(&id);
    assert_eq!(error["code"], 7, "{error}");
    let message = error["message"].as_str().expect("a sentence");
    assert!(message.contains("\"Web1\""), "{message}");
    let id = boss.command("Web1", &["x"]);
    holder.serve(1);
    assert_eq!(boss.result_of(&id)["name"], "Web1");
    holder.leave();
    client.join_as("web1", 1);
    assert_eq!(ranking(&mut boss), ["boss", "web1"]);
}

#[test]
fn a_full_server_says_so_and_closes() {
    let server = Server::start(2, &[]);
    // A connection that has not joined is no client.
    let _unjoined = Raw::connect(&server);
    let [mut boss, second] = ranked(&server, [("boss", 0), ("second", 1)]);
    for _ in 0..3 {
        let mut client = Raw::connect(&server);
        let error = client.error("join", &params(&json!({"name": "third"})));
        assert_eq!(error["code"], 1, "{error}");
        client.expect_eof("closed");
    }
    boss.expect_nothing("no member notices");
    second.leave();
    let third = Raw::join(&server, "third", 1);
    assert_eq!(third.joined["rank"], 1);
}

#[test]
fn of_several_wrong_things_the_first_in_order_is_told() {
    let server = Server::start(1, &[]);
    let _boss = Raw::join(&server, "boss", 0);
    for (code, over) in [
        (6, json!({"protocol": 2, "name": "1"})),
        (6, json!({"protocol": 2, "name": "boss"})),
        (-32602, json!({"name": "boss", "slots": -1})),
        (-32602, json!({"name": "1-2"})),
        (1, json!({"name": "boss"})),
    ] {
        let mut client = Raw::connect(&server);
        let error = client.error("join", &params(&over));
        assert_eq!(error["code"], code, "{over}: {error}");
    }
}

#[test]
fn a_connection_that_does_not_join_in_time_is_closed() {
    let server = Server::start(5, &[]);
    let started = Instant::now();
    let mut silent = Raw::connect(&server);
    let mut trickles = Raw::connect(&server);
    let mut asks = Raw::connect(&server);
    let mut half = Raw::connect(&server);
    let mut joined = Raw::join(&server, "joined", 1);
    half.send_bytes(b"{\"jsonrpc\":");
    let mut bytes = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\""
        .iter()
        .cycle();
    // Waiting for the end is what paces the trickle.
    while !trickles.comes_within(Duration::from_millis(100)) {
        assert!(
            started.elapsed() < HANDSHAKE + PATIENCE,
            "bytes put the end off"
        );
        let byte = bytes.next().expect("a cycle has no end");
        // It may be closed between the look and the write.
        let _ = trickles.try_send(&[*byte]);
        let _ = asks.try_send(b"{\"jsonrpc\":\"2.0\",\"id\":\"?\",\"method\":\"ping\"}\n");
    }
    let elapsed = started.elapsed();
    let right = HANDSHAKE.saturating_sub(Duration::from_millis(100))..HANDSHAKE * 2;
    assert!(right.contains(&elapsed), "closed after {elapsed:?}");
    for client in [&mut silent, &mut trickles, &mut half] {
        client.expect_bye("idle_handshake");
    }
    let bye = asks.notification("bye");
    assert_eq!(bye["reason"], "idle_handshake");
    asks.wait_end("closed");
    joined.expect_nothing("a member may be as idle as it likes");
}

/// A server that asks for the token "secret"; the file goes with the folder.
fn with_token(options: &[&str]) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    crate::support::write_secret(&file, "secret\n");
    let file = file.to_str().expect("a plain path");
    let options = [&["--token-file", file], options].concat();
    (Server::start(9, &options), folder)
}

#[test]
fn a_wrong_token_is_answered_after_a_second_and_the_right_one_at_once() {
    /// How long a wrong one waits for its answer.
    const DELAY: Duration = Duration::from_secs(1);
    let (server, _folder) = with_token(&[]);
    let mut boss = Raw::connect(&server);
    boss.result("join", &params(&json!({"name": "boss", "token": "secret"})));
    let wrong = [json!("secre"), json!("secret "), json!(""), Value::Null];
    let began = Instant::now();
    let mut asked: Vec<(Raw, Value, bool)> = Vec::new();
    for token in &wrong {
        for closes_its_half in [false, true] {
            let mut client = Raw::connect(&server);
            let id = client.request("join", &params(&json!({"token": token})));
            // Nothing behind it is looked at any more.
            client.request("join", &params(&json!({"token": "secret"})));
            if closes_its_half {
                client.close_sending();
            }
            asked.push((client, id, closes_its_half));
        }
    }
    let asked_after = began.elapsed();
    // Meanwhile the right one does not wait, from the same address.
    let retried = Instant::now();
    let mut joined = Vec::new();
    let mut names = vec!["boss".to_owned()];
    let is_quick = is_mostly(|| {
        let name = format!("right-{}", names.len());
        let right = Instant::now();
        let mut client = Raw::connect(&server);
        client.result("join", &params(&json!({"name": name, "token": "secret"})));
        let took = right.elapsed();
        joined.push(client);
        names.push(name);
        took <= DELAY / 2
    });
    assert!(is_quick, "{} took {:?}", joined.len(), retried.elapsed());
    let retried = retried.elapsed();
    for (client, id, _) in &mut asked {
        let error = client.error_of(id);
        assert_eq!(error["code"], 2, "{error}");
        let retry = error["data"]["retry_ms"].as_u64();
        assert!(
            retry.is_some_and(|ms| (1..=60_000).contains(&ms)),
            "{error}"
        );
        let took = began.elapsed();
        assert!(took_at_least(took, DELAY), "{took:?}");
        assert!(
            took <= DELAY + asked_after + retried + loosely(DELAY * 2),
            "{took:?}"
        );
        client.expect_eof("closed");
    }
    assert_eq!(ranking(&mut boss), names);
}

#[test]
fn other_errors_are_answered_at_once_whatever_the_token() {
    let (server, _folder) = with_token(&[]);
    let mut client = Raw::connect(&server);
    let is_quick = is_mostly(|| {
        let began = Instant::now();
        let wrong = json!({"name": "-", "token": "wrong"});
        assert_eq!(client.error("join", &params(&wrong))["code"], -32602);
        began.elapsed() < Duration::from_millis(900)
    });
    assert!(is_quick, "it is delayed as a wrong token is");
    let version = json!({"protocol": 2, "token": "wrong"});
    assert_eq!(client.error("join", &params(&version))["code"], 6);
}

#[test]
fn a_wrong_token_that_waits_for_its_answer_is_told_of_the_drain() {
    let (mut server, _folder) = with_token(&["--drain", "0s"]);
    let mut client = Raw::connect(&server);
    client.request("join", &params(&json!({"token": "wrong"})));
    server.wait_stderr("the refusal", |line| line.contains("may not join"));
    server.terminate();
    client.expect_bye("shutting_down");
    assert!(server.wait_exit(PATIENCE).success());
}
