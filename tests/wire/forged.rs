//! What a client says about itself, or about others, in every field that it writes: what counts is
//! what its connection proved.

use crate::support::auth::{Auth, ROLES};
use crate::support::{PATIENCE, Raw, without_time};
use serde_json::{Value, json};

/// The identity of the operator, in every member that any message has.
fn claims() -> Value {
    let who = json!({"member": 1, "name": "alice", "rank": 0, "tier": 0, "identity": "alice",
                     "role": "operator", "address": "10.0.0.1:1", "may": ["send", "list"]});
    let mut claims = who.clone();
    for key in ["from", "who", "by", "sender", "client"] {
        claims[key] = who.clone();
    }
    claims
}

/// Parameters with all the claims that do not change what they ask for.
fn forged(params: &Value) -> Value {
    let mut all = claims();
    for (key, value) in params.as_object().expect("an object") {
        all[key] = value.clone();
    }
    all
}

#[test]
fn nothing_that_a_client_says_of_itself_or_of_others_counts() {
    let auth = Auth::new(ROLES)
        .with("alice", "operator", "names = [\"alice\"]")
        .with("bob", "deployer", "names = [\"bob\"]")
        .with("web1", "agent", "names = [\"web1\"]")
        .with("web2", "agent", "names = [\"web2\"]");
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("audit.log");
    let mut server = auth.server(9, &["--audit", log.to_str().expect("a plain path")]);
    let join = |id: &str, tier: u64| {
        // A name and a tier are asked for, and nothing else.
        auth.join(&server, id, forged(&json!({"name": id, "tier": tier})))
    };
    let mut alice = join("alice", 0);
    let mut bob = join("bob", 3);
    let mut web1 = join("web1", 9);
    let mut web2 = join("web2", 9);
    for (client, id, rank) in [(&alice, "alice", 0), (&bob, "bob", 1), (&web1, "web1", 2)] {
        let joined = &client.joined;
        assert_eq!(
            (&joined["identity"], &joined["name"]),
            (&json!(id), &json!(id))
        );
        assert_eq!(joined["rank"], rank, "{joined}");
    }

    // A sender.
    let sent = bob.request(
        "send",
        &forged(&json!({"to": "web1", "command": ["deploy"]})),
    );
    let execute = web1.execute();
    let mut origin = bob.origin(1);
    (origin["identity"], origin["role"]) = (json!("bob"), json!("deployer"));
    assert_eq!(execute.params["from"], origin);

    // One that is neither sender nor executor of it.
    for (method, params) in [
        ("cancel", json!({"send": sent})),
        ("cancel", json!({"send": sent, "member": bob.member()})),
        (
            "consumed",
            json!({"send": sent, "member": web1.member(), "bytes": 1u64 << 40}),
        ),
        (
            "output",
            json!({"id": execute.id, "stream": "stdout", "text": "forged"}),
        ),
    ] {
        web2.notify(method, &forged(&params));
        alice.notify(method, &forged(&params));
    }
    for other in [&web2, &alice] {
        other.reply(
            &execute,
            &forged(&json!({"exit_code": 7, "stdout": "forged"})),
        );
        other.reply_error(&execute, -32000, "forged");
    }
    for client in [&mut web2, &mut alice, &mut web1, &mut bob] {
        client.expect_nothing("it was said by no client that may say it");
    }

    // The executor.
    web1.notify(
        "output",
        &forged(&json!({"id": execute.id, "stream": "stdout", "text": "x", "send": 99})),
    );
    let output = bob.notification("output");
    let mut expected = web1.identity(2);
    (expected["send"], expected["stream"], expected["text"]) =
        (sent.clone(), json!("stdout"), json!("x"));
    assert_eq!(output, expected);
    let result = json!({"exit_code": 0, "status": "lost", "send": 99, "targets": 99});
    web1.reply(&execute, &forged(&result));
    let outcome = without_time(bob.result_of(&sent));
    let mut expected = web1.identity(2);
    (expected["status"], expected["exit_code"]) = (json!("done"), json!(0));
    assert_eq!(outcome, expected);

    // What each may see and do stays what it was.
    for method in ["members", "select"] {
        // To `members`, `from` is a rank.
        let params = forged(&json!({"to": "web*", "command": ["deploy"], "from": 0}));
        let said = bob.result(method, &params).to_string();
        assert!(!said.contains("alice"), "{method}: {said}");
    }
    let error = bob.error(
        "send",
        &forged(&json!({"to": "web1", "command": ["reboot"]})),
    );
    assert_eq!(error["code"], 11, "{error}");
    let error = web1.error(
        "send",
        &forged(&json!({"to": "web2", "command": ["deploy"]})),
    );
    assert_eq!(error["data"]["rule"], "agent.may.send", "{error}");
    // Its log is whole then.
    server.terminate();
    server.wait_exit(PATIENCE);
    expect_on_record(&log, &bob, &web1);
}

/// What the audit log says of it.
fn expect_on_record(log: &std::path::Path, bob: &Raw, web1: &Raw) {
    let text = std::fs::read_to_string(log).expect("a log");
    let records = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = records.collect();
    let of = |kind: &'static str| {
        records
            .iter()
            .filter(move |one: &&Value| one["type"] == kind)
    };
    let senders: Vec<_> = of("send")
        .map(|one| (&one["who"]["identity"], &one["who"]["member"]))
        .collect();
    assert_eq!(senders, [(&json!("bob"), &json!(bob.member()))], "{text}");
    let executors: Vec<_> = of("outcome")
        .map(|one| (&one["name"], &one["member"]))
        .collect();
    assert_eq!(
        executors,
        [(&json!("web1"), &json!(web1.member()))],
        "{text}"
    );
    let denied: Vec<_> = of("denied").map(|one| &one["who"]["identity"]).collect();
    assert_eq!(denied, ["bob", "web1"], "{text}");
}
