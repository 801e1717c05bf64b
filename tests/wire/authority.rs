//! Identities, roles and rights, by the letter of the protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::auth::{Auth, ROLES, token};
use crate::support::pki::Pki;
use crate::support::{Raw, Server, dial_plain, ranking, took_at_least, tunnel};
use crate::tls::showing;
use serde_json::{Value, json};

/// A server of an operator, two agents, and what a test adds.
fn auth() -> Auth {
    Auth::new(ROLES)
        .with("alice", "operator", "names = [\"alice-*\"]")
        .with("web1", "agent", "names = [\"web1\"]")
        .with("web2", "agent", "names = [\"web2\"]")
}

/// Asks to join with a credential and these parameters; the error.
fn refused(client: &mut Raw, id: &str, mut params: Value) -> Value {
    params["token"] = json!(token(id));
    params["protocol"] = json!(1);
    client.error("join", &params)
}

#[test]
fn a_client_is_what_its_credential_says() {
    let auth = auth();
    let server = auth.server(9, &[]);
    for (id, params, tier, name, role, may) in [
        (
            "web1",
            json!({"name": "web1"}),
            9,
            "web1",
            "agent",
            json!(["execute"]),
        ),
        (
            "alice",
            json!({"name": "alice-1"}),
            0,
            "alice-1",
            "operator",
            json!(["send", "list"]),
        ),
        (
            "alice",
            json!({"tier": 7}),
            7,
            "client-3",
            "operator",
            json!(["send", "list"]),
        ),
        // What it says of itself counts for nothing.
        (
            "web2",
            json!({"identity": "alice", "role": "operator", "may": ["send"], "from": {"identity": "alice"}}),
            9,
            "client-4",
            "agent",
            json!(["execute"]),
        ),
    ] {
        let client = auth.join(&server, id, params);
        let joined = &client.joined;
        assert_eq!(
            [&joined["identity"], &joined["role"], &joined["name"]],
            [id, role, name],
            "{joined}"
        );
        assert_eq!(
            (&joined["tier"], &joined["may"]),
            (&json!(tier), &may),
            "{joined}"
        );
    }
}

#[test]
fn without_an_auth_file_there_is_no_identity() {
    let server = Server::start(9, &[]);
    let (mut boss, mut worker) = (
        Raw::join(&server, "boss", 0),
        Raw::join(&server, "worker", 1),
    );
    for key in ["identity", "role", "may"] {
        assert!(boss.joined.get(key).is_none(), "{key}");
    }
    boss.command("next", &["x"]);
    let from = worker.execute().params["from"].clone();
    assert_eq!(from, boss.origin(0));
    let members = boss.result("members", &json!({}));
    assert!(members["members"][0].get("identity").is_none(), "{members}");
}

#[test]
fn a_client_that_proves_nothing_is_answered_a_second_later_and_closed() {
    let auth = auth()
        .with("late", "agent", "expires = 2001-01-01T00:00:00Z")
        .with("far", "agent", "from = [\"10.0.0.0/8\"]");
    let server = auth.server(9, &[]);
    let began = Instant::now();
    let tries = [
        json!(null),
        json!("wrong"),
        json!(token("late")),
        json!(token("far")),
        json!(token("missing")),
    ];
    let clients: Vec<_> = tries
        .iter()
        .map(|shown| {
            let mut client = Raw::connect(&server);
            let id = client.request("join", &json!({"protocol": 1, "token": shown}));
            (client, id)
        })
        .collect();
    for (mut client, id) in clients {
        let error = client.error_of(&id);
        assert!(took_at_least(began.elapsed(), Duration::from_secs(1)));
        assert_eq!(
            (&error["code"], &error["data"]["reason"]),
            (&json!(2), &json!("unauthorized"))
        );
        assert!(error["data"]["retry_ms"].as_u64() >= Some(1000), "{error}");
        client.expect_eof("the end after unauthorized");
    }
}

#[test]
fn what_a_credential_does_not_give_is_forbidden_and_can_be_asked_for_again() {
    let auth = auth().with("guest", "deployer", "names = [\"*\"]");
    let server = auth.server(9, &[]);
    let mut client = Raw::connect(&server);
    for (id, params, rule) in [
        ("web1", json!({"tier": 8}), "agent.tier"),
        ("web1", json!({"name": "web2"}), "web1.names"),
        ("web1", json!({"name": "WEB1"}), "web1.names"),
        ("web1", json!({"name": "other"}), "web1.names"),
        ("alice", json!({"name": "alice"}), "alice.names"),
        ("alice", json!({"slots": 1}), "operator.may.execute"),
        // A name that belongs to another credential, and its look-alikes, also if none is here.
        ("guest", json!({"name": "web1"}), "guest.names"),
        ("guest", json!({"name": "Web1"}), "guest.names"),
        ("guest", json!({"name": "Alice_7"}), "guest.names"),
        ("guest", json!({"name": "alice.7"}), "guest.names"),
    ] {
        let error = refused(&mut client, id, params.clone());
        assert_eq!(error["code"], 11, "{params}: {error}");
        assert_eq!(
            error["data"],
            json!({"reason": "forbidden", "rule": rule}),
            "{params}"
        );
        let other = if id == "guest" { "web1\"" } else { "alice\"" };
        let names_another = error["message"].as_str().is_some_and(|m| m.contains(other));
        assert!(
            id == "alice" || !names_another || params["name"] == "web1",
            "{error}"
        );
    }
    let params = json!({"protocol": 1, "token": token("guest"), "name": "web3", "slots": 0});
    assert_eq!(client.result("join", &params)["name"], "web3");
}

#[test]
fn the_checks_of_join_have_their_order() {
    let auth = auth();
    let server = auth.server(1, &[]);
    let _only = auth.join(&server, "web1", json!({"name": "web1"}));
    for (params, code) in [
        (
            json!({"protocol": 2, "slots": -1, "token": "x", "tier": 0}),
            6,
        ),
        (
            json!({"protocol": 1, "slots": -1, "token": "x", "tier": 0}),
            -32602,
        ),
        (json!({"protocol": 1, "token": "x", "tier": 0}), 2),
        (
            json!({"protocol": 1, "token": token("web1"), "tier": 0, "name": "web1"}),
            11,
        ),
        (
            json!({"protocol": 1, "token": token("web1"), "name": "web1"}),
            1,
        ),
    ] {
        let error = Raw::connect(&server).error("join", &params);
        assert_eq!(error["code"], code, "{params}: {error}");
    }
}

#[test]
fn an_executor_and_a_superior_are_told_the_identity_that_was_proven() {
    let auth = auth().with("bob", "deployer", "");
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let mut bob = auth.join(&server, "bob", json!({}));
    let mut web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    // What a sender says of itself counts for nothing.
    let params = json!({
        "to": "all", "command": ["deploy"], "identity": "alice", "role": "operator", "tier": 0,
        "from": {"identity": "alice", "role": "operator", "member": 1, "rank": 0, "tier": 0},
    });
    bob.request("send", &params);
    let mut origin = bob.origin(1);
    origin["identity"] = json!("bob");
    origin["role"] = json!("deployer");
    assert_eq!(web1.execute().params["from"], origin);
    // The operator is no target that a deployer's `allow` covers, so it hears nothing.
    alice.sync();
    alice.expect_nothing("bob may not even know of it");
    let mut other = auth.join(&server, "alice", json!({"tier": 9}));
    other.command("all", &["x"]);
    let refused = alice.notification("refused");
    assert_eq!(
        (&refused["from"]["identity"], &refused["from"]["role"]),
        (&json!("alice"), &json!("operator"))
    );
}

#[test]
fn no_more_clients_join_with_a_credential_than_may() {
    let auth = auth()
        .with("two", "agent", "connections = 2\nnames = [\"n*\"]")
        .with("none", "agent", "connections = 0")
        .with(
            "one",
            "agent",
            "connections = 1\nreplace = true\nnames = [\"one\"]",
        )
        .with(
            "pair",
            "agent",
            "connections = 2\nreplace = true\nnames = [\"p*\"]",
        );
    let server = auth.server(20, &[]);
    let first = auth.join(&server, "two", json!({"name": "n1"}));
    let _second = auth.join(&server, "two", json!({}));
    let mut third = Raw::connect(&server);
    for (id, rule, is_worth_while) in [
        ("two", "two.connections", true),
        ("none", "none.connections", false),
    ] {
        let error = refused(&mut third, id, json!({}));
        assert_eq!(
            (&error["code"], &error["data"]["rule"]),
            (&json!(11), &json!(rule))
        );
        assert_eq!(
            error["data"]["retry_ms"].is_u64(),
            is_worth_while,
            "{error}"
        );
    }
    first.leave();
    let params = json!({"protocol": 1, "token": token("two"), "name": "n2"});
    assert_eq!(third.result("join", &params)["name"], "n2");

    // A new client ends the one that has its name, or the oldest one beyond the number.
    let mut old = auth.join(&server, "one", json!({"name": "one"}));
    let mut alice = auth.join(&server, "alice", json!({}));
    let running = alice.command("one", &["x"]);
    old.execute();
    let _new = auth.join(&server, "one", json!({"name": "one"}));
    old.expect_bye_after_ranks("replaced");
    assert_eq!(alice.result_of(&running)["status"], "lost");
    let [mut p1, mut p2] =
        ["p1", "p2"].map(|name| auth.join(&server, "pair", json!({"name": name})));
    let mut p3 = auth.join(&server, "pair", json!({"name": "p2"}));
    p2.expect_bye_after_ranks("replaced");
    let _p4 = auth.join(&server, "pair", json!({"name": "p4"}));
    p1.expect_bye_after_ranks("replaced");
    p3.sync();
    let names = ranking(&mut alice);
    for (name, count) in [("one", 1), ("p1", 0), ("p2", 1), ("p4", 1)] {
        assert_eq!(
            names.iter().filter(|n| *n == name).count(),
            count,
            "{names:?}"
        );
    }
}

#[test]
fn a_client_without_slots_ends_no_executor_of_its_credential() {
    let auth = auth()
        .with(
            "one",
            "agent",
            "connections = 1\nreplace = true\nnames = [\"one\"]",
        )
        .with("free", "agent", "replace = true\nnames = [\"free\"]");
    let server = auth.server(20, &[]);
    let mut one = auth.join(&server, "one", json!({"name": "one"}));
    let mut free = auth.join(&server, "free", json!({"name": "free"}));
    let mut visitor = Raw::connect(&server);
    for (id, params, code) in [
        ("one", json!({"slots": 0}), 11),
        ("one", json!({"name": "one", "slots": 0}), 11),
        ("free", json!({"name": "free", "slots": 0}), 5),
    ] {
        let error = refused(&mut visitor, id, params.clone());
        assert_eq!(error["code"], code, "{params}: {error}");
    }
    one.sync();
    free.sync();
    // Of two without slots the newer one stays, and an executor ends it as well.
    one.leave();
    let mut first = auth.join(&server, "one", json!({"slots": 0}));
    let mut second = auth.join(&server, "one", json!({"slots": 0}));
    first.expect_bye_after_ranks("replaced");
    let _executor = auth.join(&server, "one", json!({"name": "one"}));
    second.expect_bye_after_ranks("replaced");
}

#[test]
fn a_new_client_takes_the_place_of_its_own_at_a_full_server() {
    let auth = auth().with(
        "one",
        "agent",
        "connections = 1\nreplace = true\nnames = [\"one\"]",
    );
    let server = auth.server(2, &[]);
    let mut old = auth.join(&server, "one", json!({"name": "one"}));
    let mut web1 = auth.join(&server, "web1", json!({}));
    let new = auth.join(&server, "one", json!({"name": "one"}));
    old.expect_bye_after_ranks("replaced");
    assert_eq!(
        (&new.joined["rank"], &new.joined["members"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(web1.notification("rank")["rank"], 0);
}

#[test]
fn seats_are_kept_for_high_tiers() {
    let roles = format!("{ROLES}[limits]\nreserve = {{ tier = 2, seats = 2 }}\n");
    let auth = Auth::new(&roles)
        .with("alice", "operator", "")
        .with("web", "agent", "")
        .with("d", "deployer", "");
    let server = auth.server(4, &[]);
    let agents: Vec<Raw> = (0..2)
        .map(|_| auth.join(&server, "web", json!({})))
        .collect();
    for id in ["web", "d"] {
        assert_eq!(
            refused(&mut Raw::connect(&server), id, json!({}))["code"],
            1,
            "{id}"
        );
    }
    let first = auth.join(&server, "alice", json!({}));
    // What an operator has taken is not kept a second time.
    assert_eq!(
        refused(&mut Raw::connect(&server), "web", json!({}))["code"],
        1
    );
    let _second = auth.join(&server, "alice", json!({}));
    assert_eq!(
        refused(&mut Raw::connect(&server), "alice", json!({}))["code"],
        1
    );
    first.leave();
    assert_eq!(
        refused(&mut Raw::connect(&server), "web", json!({}))["code"],
        1
    );
    agents.into_iter().for_each(Raw::leave);
    let _agent = auth.join(&server, "web", json!({}));
}

#[test]
fn a_client_that_comes_back_in_a_low_tier_does_not_take_the_seat_that_it_had_in_a_high_one() {
    let roles = format!("{ROLES}[limits]\nreserve = {{ tier = 2, seats = 1 }}\n");
    let auth = Auth::new(&roles)
        .with("alice", "operator", "connections = 1\nreplace = true")
        .with("web", "agent", "");
    let server = auth.server(2, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let _web = auth.join(&server, "web", json!({}));
    let low = json!({"tier": 5});
    let refused = refused(&mut Raw::connect(&server), "alice", low);
    assert_eq!(refused["code"], 1, "{refused}");
    alice.sync();
    auth.join(&server, "alice", json!({}));
    alice.expect_bye("replaced");
}

#[test]
fn a_taken_name_in_another_spelling_is_told_only_with_the_right_to_list() {
    for (role, is_told) in [("operator", true), ("agent", false)] {
        let auth = Auth::new(ROLES).with("x", role, "names = [\"n*\", \"N*\"]");
        let server = auth.server(3, &[]);
        let _other = auth.join(&server, "x", json!({"name": "NodE"}));
        let error = refused(&mut Raw::connect(&server), "x", json!({"name": "node"}));
        assert_eq!(error["code"], 5, "{error}");
        let message = error["message"].as_str().expect("text");
        assert_eq!(message.contains("NodE"), is_told, "{role}: {message}");
    }
}

#[test]
fn a_role_bounds_the_sends_of_each_of_its_clients() {
    let roles = ROLES.replace(
        "may = [\"send\", \"list\"]\nallow = [{ to = \"*\"",
        "may = [\"send\", \"list\"]\nmax_sends = 2\nallow = [{ to = \"*\"",
    );
    let auth = Auth::new(&roles)
        .with("alice", "operator", "")
        .with("web", "agent", "");
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let _web = auth.join(&server, "web", json!({}));
    let _open: Vec<Value> = (0..2).map(|_| alice.command("next", &["x"])).collect();
    let third = alice.command("next", &["x"]);
    let error = alice.error_of(&third);
    assert_eq!(error["code"], 9, "{error}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("2 sends")),
        "{error}"
    );
}

#[test]
fn a_certificate_proves_the_credential_that_has_its_name() {
    let pki = Pki::new();
    let text = format!(
        "{ROLES}[[credentials]]\nid = \"db1\"\nrole = \"agent\"\ncert = \"pecking:db1\"\nnames = [\"db1\"]\n\
         [[credentials]]\nid = \"fleet\"\nrole = \"agent\"\ncert = \"spiffe://corp/agent/*\"\nnames = [\"{{1}}\"]\n\
         [[credentials]]\nid = \"out\"\nrole = \"agent\"\ncert = \"spiffe://corp/agent/web7\"\nconnections = 0\n\
         [[credentials]]\nid = \"hosts\"\nrole = \"agent\"\ncert = \"dns:*.corp.example\"\nnames = [\"{{1}}\"]\n"
    );
    let auth = Auth::new(&text).with("alice", "operator", "");
    let server_pair = pki.server("server");
    let server = auth.server(
        9,
        &[
            "--cert",
            &server_pair.cert,
            "--key",
            &server_pair.key,
            "--client-ca",
            &pki.ca(),
        ],
    );
    for (number, (certificate, params, expected)) in [
        ("pecking:db1", json!({"name": "db1"}), Ok("db1")),
        ("pecking:db2", json!({}), Err(2)),
        (
            "spiffe://corp/agent/web1",
            json!({"name": "web1"}),
            Ok("fleet"),
        ),
        ("spiffe://corp/agent/web2", json!({"name": "web1"}), Err(11)),
        (
            "spiffe://corp/agent/web2",
            json!({"name": "web2"}),
            Ok("fleet"),
        ),
        ("spiffe://corp/agent/db1", json!({"name": "db1"}), Err(11)),
        ("spiffe://corp/agent/web7", json!({"name": "web7"}), Err(11)),
        ("spiffe://corp/other/web1", json!({}), Err(2)),
        ("web3.CORP.example", json!({"name": "web3"}), Ok("hosts")),
        ("web4.corp.example", json!({"name": "web3"}), Err(11)),
        // A token counts before the certificate, and is not made good by it.
        ("pecking:db1", json!({"token": token("alice")}), Ok("alice")),
        ("pecking:db1", json!({"token": "wrong"}), Err(2)),
    ]
    .into_iter()
    .enumerate()
    {
        let pair = pki.client(&format!("client{number}"), &[certificate]);
        let socket = dial_plain(server.address()).expect("the server accepts");
        let near = tunnel::through_with(socket, Arc::new(showing(&pki, &pair)));
        let mut client = Raw::over(near.expect("a tunnel"), true);
        let mut params = params;
        params["protocol"] = json!(1);
        let id = client.request("join", &params);
        let answer = client.answer(&id);
        let found = match answer["error"]["code"].as_i64() {
            Some(code) => Err(code),
            None => Ok(answer["result"]["identity"].as_str().unwrap_or_default()),
        };
        assert_eq!(found, expected, "{certificate} {params}: {answer}");
        if expected.is_ok() {
            client.leave();
        }
    }
}
