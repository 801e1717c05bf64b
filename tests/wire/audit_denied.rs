//! What is not allowed is on record, and so is what was only named.

use crate::audit::{Log, of_type, plain};
use crate::support::auth::{Auth, ROLES, token};
use crate::support::pki::{Pki, Says};
use crate::support::{Raw, Server, dial_plain, tunnel};
use crate::tls::{ALPN, encrypted, said_after, showing};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

#[test]
fn clients_that_are_only_named_are_in_the_counts_and_not_singly_on_record() {
    let auth = Auth::new(ROLES)
        .with("dan", "deployer", "names = [\"dan\"]")
        .with("web1", "agent", "names = [\"web1\"]");
    for (options, outcomes) in [(&[][..], 0), (&["--audit-outcomes", "all"], 11)] {
        let log = Log::new();
        let path = log.path();
        let audit = ["--audit", path.to_str().expect("text")];
        let server = auth.server(9, &[&audit, options].concat());
        let mut dan = auth.join(&server, "dan", json!({"name": "dan"}));
        // Nine that its role does not cover, and two that are not here.
        let id = dan.command("n[1-9],web[8-9]", &["deploy"]);
        assert_eq!(dan.result_of(&id)["forbidden"], 9);
        let records = log.records(|last| last["type"] == "end");
        assert_eq!(of_type(&records, "outcome").len(), outcomes);
        assert_eq!(of_type(&records, "send")[0]["to"], "n[1-9],web[8-9]");
        let mut end = plain(of_type(&records, "end")[0]);
        end["cmd"].take();
        assert_eq!(
            end,
            json!({"type": "end", "cmd": null, "targets": 11, "forbidden": 9, "absent": 2})
        );
    }
}

/// A server with identities that takes encrypted connections of clients with certificates only.
fn server_for_certificates(log: &Log, pki: &Pki, auth: &Auth) -> Server {
    let (path, pair) = (log.path(), pki.server("server"));
    let options = ["--client-cert", "required", "--client-ca", &pki.ca()];
    let files = ["--cert", &pair.cert, "--key", &pair.key];
    let audit = ["--audit", path.to_str().expect("text")];
    auth.server(9, &[&options[..], &files, &audit].concat())
}

#[test]
fn whatever_is_answered_forbidden_or_unauthorized_is_on_record() {
    let pki = Pki::new();
    let auth = Auth::new(ROLES)
        .with("dan", "deployer", "names = [\"dan\"]")
        .with("web1", "agent", "names = [\"web1\"]");
    let log = Log::new();
    let server = server_for_certificates(&log, &pki, &auth);
    let dial = |names: &[&str]| {
        let socket = dial_plain(server.address()).expect("the server accepts");
        let shown = showing(&pki, &pki.client("client", names));
        Raw::over(
            tunnel::through_with(socket, Arc::new(shown)).expect("a tunnel"),
            true,
        )
    };
    for names in [&[][..], &["pecking:a", "pecking:b"]] {
        assert_eq!(
            dial(names).next("an error")["error"]["code"],
            2,
            "{names:?}"
        );
    }
    let join = |name: &str| {
        let mut client = dial(&["pecking:x"]);
        client.join_by(json!({"name": name, "token": token(name)}));
        client
    };
    let (mut dan, mut web1) = (join("dan"), join("web1"));
    for (name, method, params) in [
        ("web1", "send", json!({"to": 5})),
        ("web1", "select", json!({"to": 5})),
        ("web1", "select", json!({"to": "dan"})),
        (
            "dan",
            "select",
            json!({"to": "web1", "command": ["rm", "x"]}),
        ),
        ("dan", "send", json!({"to": "web1", "command": ["rm", "x"]})),
    ] {
        let client = if name == "dan" { &mut dan } else { &mut web1 };
        assert_eq!(
            client.error(method, &params)["code"],
            11,
            "{method} {params}"
        );
    }
    let records = log.records(|last| {
        last["type"] == "denied" && last["method"] == "send" && last["to"] == "web1"
    });
    let denied = |record: &&Value| {
        let (who, to) = (&record["who"]["name"], &record["to"]);
        json!([
            record["method"],
            record["reason"],
            who,
            to,
            record["words"],
            record["rule"]
        ])
    };
    let denied: Vec<Value> = of_type(&records, "denied").iter().map(denied).collect();
    let none = Value::Null;
    assert_eq!(
        denied,
        [
            json!(["join", "unauthorized", none, none, none, none]),
            json!(["join", "unauthorized", none, none, none, none]),
            json!(["send", "forbidden", "web1", none, none, "agent.may.send"]),
            json!(["select", "forbidden", "web1", none, none, "agent.may.send"]),
            json!(["select", "forbidden", "web1", "dan", none, "agent.may.send"]),
            json!([
                "select",
                "forbidden",
                "dan",
                "web1",
                ["rm", "x"],
                "deployer.allow"
            ]),
            json!([
                "send",
                "forbidden",
                "dan",
                "web1",
                ["rm", "x"],
                "deployer.allow"
            ]),
        ]
    );
}

#[test]
fn a_client_that_proves_no_identity_is_on_record_with_what_it_showed() {
    let (pki, others) = (Pki::new(), Pki::new());
    let auth = Auth::new(ROLES).with("dan", "deployer", "names = [\"dan\"]");
    let log = Log::new();
    let server = server_for_certificates(&log, &pki, &auth);
    let names: &[&str] = &["pecking:x"];
    let known = pki.client("known", names);
    let expired = Says {
        names,
        for_clients: true,
        from: -9,
        until: -1,
        ..Says::default()
    };
    let expired = pki.issue("expired", &expired);
    let of_others = others.client("of-others", names);
    let join = |token: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "join", "params": {"protocol": 1, "token": token}}).to_string()
    };
    let guess = token("guess");
    for (config, line) in [
        (tunnel::config(&pki.ca(), &[ALPN]), join(Value::Null)),
        (showing(&pki, &expired), join(Value::Null)),
        (showing(&pki, &of_others), join(Value::Null)),
        (showing(&pki, &known), join(Value::Null)),
        (showing(&pki, &known), join(json!(guess))),
    ] {
        said_after(encrypted(&server, config), &line);
    }
    let unknown = "the token is not one of this server's";
    let records = log.records(|last| last["message"] == unknown);
    let denied = of_type(&records, "denied");
    let denied = denied.iter().map(|record| {
        assert_eq!(
            (&record["method"], &record["reason"]),
            (&json!("join"), &json!("unauthorized"))
        );
        assert!(
            record["address"].is_string() && record.get("who").is_none(),
            "{record}"
        );
        let text = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
        (text("message"), text("showed"))
    });
    let denied: Vec<_> = denied.collect();
    let certificate = "the certificate \"pecking:x\"";
    for (at, (message, showed)) in [
        ("it shows no certificate", ""),
        ("its certificate: ", ""),
        (
            "its certificate is signed by no authority of --client-ca",
            "",
        ),
        (
            "no credential of this server has your certificate",
            certificate,
        ),
        (unknown, "the token with the key id testkey1"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(denied[at].0.starts_with(message), "{at}: {denied:?}");
        assert!(denied[at].1.starts_with(showed), "{at}: {denied:?}");
    }
    assert_eq!(denied.len(), 5);
    let text = fs::read_to_string(log.path()).expect("text");
    assert!(!text.contains(&guess) && !text.contains("canary"), "{text}");
}

#[test]
fn a_selection_that_a_role_leaves_nothing_of_is_denied_on_record() {
    let auth = Auth::new(ROLES)
        .with("bob", "deployer", "names = [\"bob\"]")
        .with("fleet", "agent", "names = [\"web*\", \"db1\"]");
    let log = Log::new();
    let path = log.path();
    let server = auth.server(9, &["--audit", path.to_str().expect("text")]);
    let mut bob = auth.join(&server, "bob", json!({"name": "bob"}));
    let _fleet = ["web1", "db1"].map(|name| auth.join(&server, "fleet", json!({"name": name})));
    // A list is named in front of the message.
    let forbidden = [
        ("\"web*\": ", json!({"to": "web*", "command": ["uptime"]})),
        ("", json!({"to": "below", "command": ["uptime", "-p"]})),
        ("", json!({"command": ["uptime"]})),
        ("", json!({"to": "all", "command": ["reboot"]})),
        (
            "\"least-loaded:db1,web1\": ",
            json!({"to": "least-loaded:db1,web1", "command": ["reboot"]}),
        ),
        ("\"db*\": ", json!({"to": "db*", "command": ["deploy"]})),
    ];
    for (list, params) in &forbidden {
        let error = bob.error("send", params);
        let message = "no client below you executes this, of those that your role lets execute it";
        assert_eq!(error["code"], 7, "{params}");
        assert_eq!(error["message"], format!("{list}{message}"), "{params}");
    }
    // No client of this name is here, with any role.
    let params = json!({"to": "mail*", "command": ["deploy"]});
    assert_eq!(bob.error("send", &params)["code"], 7);
    let params = json!({"to": "below", "command": ["uptime"]});
    assert_eq!(bob.error("select", &params)["code"], 7);
    let records = log.records(|last| last["method"] == "select");
    let denied = of_type(&records, "denied");
    assert_eq!(denied.len(), forbidden.len() + 1);
    for (record, (_, params)) in denied.iter().zip(&forbidden) {
        assert_eq!(
            (&record["reason"], &record["rule"], &record["who"]["name"]),
            (&json!("forbidden"), &json!("deployer.allow"), &json!("bob"))
        );
        assert_eq!(record["words"], params["command"]);
        assert_eq!(record.get("to"), params.get("to"));
    }
}
