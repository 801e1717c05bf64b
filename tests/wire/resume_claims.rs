//! Clients that come back with what is not theirs or not so, by the letter of the protocol: tokens, counts and
//! credentials.

use crate::resume::{NOT_RESUMABLE, server, wait_until_away};
use crate::support::auth;
use crate::support::held::{Held, ask, reset, resume};
use crate::support::{PATIENCE, Raw, Server, ranking, tunnel};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn tokens_that_are_wrong_used_or_foreign_bring_no_client_back() {
    // So that the server soon says what it has received.
    let Some(server) = server(5, &["--heartbeat", "1s"]) else {
        return;
    };
    let mut held = Held::join(server.address(), "held", 1);
    let first = held.token();
    held.reset();
    // Nothing has arrived after the answer that carried the second: the first is good once more.
    let params = resume(&first, held.received);
    let (unused, answer) = ask(server.address(), &params).expect("an answer");
    assert_eq!(answer["result"]["resumed"], "lines");
    let lost = answer["result"]["resume"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    crate::support::held::reset(unused.get_ref());
    held.come_back();
    held.command("missing", &["x"]);
    held.wait_for_ack();
    let unknown = "0".repeat(32);
    for (token, code) in [
        (&*first, NOT_RESUMABLE),
        (&*lost, NOT_RESUMABLE),
        (&*unknown, NOT_RESUMABLE),
        ("", -32602),
        ("xyz", -32602),
        (&"g".repeat(32), -32602),
        (&"0".repeat(33), -32602),
    ] {
        let answer = ask(server.address(), &resume(token, 0))
            .expect("an answer")
            .1;
        assert_eq!(answer["error"]["code"], code, "{token}");
    }
    for malformed in [
        json!(7),
        json!({}),
        json!({"token": 7, "received": 0}),
        json!({"token": unknown}),
        json!({"token": unknown, "received": -1}),
        json!({"token": unknown, "received": "0"}),
        json!([unknown, 0]),
    ] {
        let params = json!({"protocol": 1, "resume": malformed});
        let answer = ask(server.address(), &params).expect("an answer").1;
        assert_eq!(answer["error"]["code"], -32602, "{malformed}");
    }
    held.reset();
    held.come_back();
    assert!(
        !server
            .stderr_lines()
            .iter()
            .any(|line| line.contains(&first)),
        "it is not logged"
    );
}

#[test]
fn a_connection_that_brought_no_place_may_join_anew() {
    let Some(server) = server(5, &[]) else { return };
    let mut client = Raw::connect(&server);
    let error = client.error("join", &resume(&"0".repeat(32), 0));
    assert_eq!(error["code"], NOT_RESUMABLE);
    client.join_as("anew", 1);
    assert_eq!(client.joined["resumed"], Value::Null);
}

#[test]
fn counts_that_cannot_be_keep_the_rank_alone() {
    for back in [false, true] {
        let Some(server) = server(5, &["--heartbeat", "1s"]) else {
            return;
        };
        let mut worker = Held::join(server.address(), "worker", 2);
        let mut boss = Raw::join(&server, "boss", 1);
        // Of the same tier, so it is below.
        let sent = worker.command("boss", &["x"]);
        let execute = boss.execute();
        worker.acknowledge();
        worker.wait_for_ack();
        let received = match back {
            true => {
                let id = worker.request("ping", &json!({}));
                worker.answer(&id);
                worker.acknowledge();
                let id = worker.request("ping", &json!({}));
                worker.answer(&id);
                worker.received - 2
            }
            false => worker.received + 1,
        };
        worker.reset();
        let (member, token) = (worker.member(), worker.token());
        let answer = worker.try_to_come_back(&token, received);
        let result = &answer["result"];
        assert_eq!(result["resumed"], "rank", "{answer}");
        assert_eq!(
            (&result["rank"], &result["name"]),
            (&json!(0), &json!("worker"))
        );
        assert_eq!(worker.member(), member);
        boss.fence();
        boss.reply(&execute, &json!({"exit_code": 0}));
        // Its id is free, and nothing earlier is answered.
        worker.send(&json!({"jsonrpc": "2.0", "id": sent, "method": "ping"}));
        let answer = worker.answer(&sent);
        assert_eq!(answer["result"], json!({}));
        assert_eq!(ranking(&mut boss), ["worker", "boss"]);
        worker.reset();
        worker.come_back();
    }
}

#[test]
fn acknowledgements_that_lie_are_ignored() {
    let Some(server) = server(5, &[]) else { return };
    let mut held = Held::join(server.address(), "held", 1);
    for lie in [2, 1000, u64::MAX, 0] {
        held.say_received(lie);
    }
    for malformed in [r#"{"received":-1}"#, r#"{"received":"1"}"#, "{}", "[]"] {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"ack\",\"params\":{malformed}}}\n");
        held.send_bytes(line.as_bytes(), 0);
    }
    // Malformed lines count, and empty ones do not.
    held.send_bytes(b"{]\n\n\r\n[]\n", 2);
    let id = held.request("ping", &json!({}));
    held.answer(&id);
    held.reset();
    let received = held.received;
    held.come_back();
    assert_eq!(held.joined["received"], held.sent);
    let id = held.request("ping", &json!({}));
    held.answer(&id);
    assert_eq!(held.received, received + 1, "nothing came twice");
}

/// Shows a token to come back, with a credential.
pub(crate) fn come_back_as(server: &Server, id: &str, token: &str) -> Value {
    let mut params = resume(token, 0);
    params["token"] = auth::token(id).into();
    let (stream, answer) = ask(server.address(), &params).expect("an answer");
    // Not by a FIN, which is a leave.
    reset(stream.get_ref());
    answer
}

#[test]
fn a_place_is_its_credentials_own() {
    if tunnel::is_carrier() {
        return;
    }
    let auth = auth::Auth::new(auth::ROLES)
        .with("alice", "operator", "")
        .with("web1", "agent", "names = [\"web1\"]")
        .with("web2", "agent", "names = [\"web2\"]")
        .with("dz", "agent", "names = [\"dz*\"]\nconnections = 1");
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let join = |id: &str, name: &str| {
        let params = json!({"name": name, "token": auth::token(id)});
        let mut held = Held::join_with(server.address(), params);
        held.confirm();
        held
    };
    let web1 = join("web1", "web1");
    web1.reset();
    wait_until_away(&mut alice, "web1", true);
    for other in ["web2", "alice"] {
        let answer = come_back_as(&server, other, &web1.token());
        assert_eq!(answer["error"]["code"], NOT_RESUMABLE, "{other}");
    }
    // Nothing is used up.
    let answer = come_back_as(&server, "web1", &web1.token());
    assert_eq!(answer["result"]["resumed"], "lines", "{answer}");
    wait_until_away(&mut alice, "web1", true);
    // Another connection of the credential may have the name of the one that is away, but one that
    // executes nothing ends no executor.
    let looks = json!({"protocol": 1, "name": "web1", "slots": 0, "token": auth::token("web1")});
    let error = Raw::connect(&server).error("join", &looks);
    assert_eq!(error["data"]["reason"], "name_taken", "{error}");
    let again = join("web1", "web1");
    assert_ne!(again.member(), web1.member());
    let token = answer["result"]["resume"]["token"]
        .as_str()
        .expect("a token");
    let answer = come_back_as(&server, "web1", token);
    assert_eq!(answer["error"]["code"], NOT_RESUMABLE, "{answer}");
    // By another name nothing goes for it: it counts as one that is here.
    let dz = join("dz", "dz1");
    dz.reset();
    wait_until_away(&mut alice, "dz1", true);
    let other = json!({"protocol": 1, "name": "dz2", "slots": 1, "token": auth::token("dz")});
    let error = Raw::connect(&server).error("join", &other);
    assert_eq!(error["data"]["reason"], "forbidden", "{error}");
    let answer = come_back_as(&server, "dz", &dz.token());
    assert_eq!(answer["result"]["resumed"], "lines", "{answer}");
    // A revoked credential's tokens are dead.
    let web2 = join("web2", "web2");
    web2.reset();
    wait_until_away(&mut alice, "web2", true);
    auth.without("web2");
    let deadline = Instant::now() + PATIENCE;
    while ranking(&mut alice).contains(&"web2".to_owned()) {
        assert!(Instant::now() < deadline, "it is gone");
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = come_back_as(&server, "web2", &web2.token());
    assert_eq!(answer["error"]["code"], 2, "{answer}");
}
