//! What a role lets its clients command and see, by the letter of the protocol.

use crate::support::Raw;
use crate::support::auth::{Auth, ROLES};
use serde_json::{Value, json};

/// A server with an operator on top, two senders of tier 3, and agents; the sender of one role.
struct Lab {
    _auth: Auth,
    _server: crate::support::Server,
    _others: Vec<Raw>,
    sender: Raw,
}

/// Ranks: 0 alice-1, 1 web0 (an operator's client that has slots), 2 the sender, 3 web1, 4 db1,
/// 5 web2, 6 webidle (without slots).
fn lab(role: &str) -> Lab {
    let roles = ROLES.replace(
        "may = [\"send\", \"list\"]\nallow = [{ to = \"*\"",
        "may = [\"send\", \"list\", \"execute\"]\nallow = [{ to = \"*\"",
    );
    let auth = Auth::new(&roles)
        .with("alice", "operator", "names = [\"alice-*\", \"web0\"]")
        .with("me", role, "names = [\"me\"]")
        .with(
            "fleet",
            "agent",
            "names = [\"web1\", \"web2\", \"webidle\", \"db1\"]",
        );
    let server = auth.server(20, &[]);
    let mut others = vec![
        auth.join(&server, "alice", json!({"name": "alice-1"})),
        auth.join(&server, "alice", json!({"name": "web0", "slots": 1})),
    ];
    let sender = auth.join(&server, "me", json!({"name": "me"}));
    for (name, slots) in [("web1", 1), ("db1", 1), ("web2", 2), ("webidle", 0)] {
        others.push(auth.join(&server, "fleet", json!({"name": name, "slots": slots})));
    }
    Lab {
        _auth: auth,
        _server: server,
        _others: others,
        sender,
    }
}

/// What becomes of a send, in short: the code of an error; else, for each target that is told
/// at once, what it is called and its status. Targets that execute are left open.
fn found(sender: &mut Raw, to: &str, word: &str) -> String {
    let id = sender.command(to, &[word]);
    sender.sync();
    let mut told: Vec<String> = Vec::new();
    let mut targets = None;
    for message in sender.fence() {
        let params = &message["params"];
        match message["method"].as_str() {
            Some("accepted") if params["send"] == id => targets = params["targets"].as_u64(),
            Some("outcome") if params["send"] == id => told.push(outcome(params)),
            None if message["id"] == id => match message.get("error") {
                Some(error) => {
                    let rule = error["data"]["rule"].as_str().unwrap_or_default();
                    return format!("{} {rule}", error["code"]).trim_end().to_owned();
                }
                None => {
                    let tally = message["result"].get("targets");
                    assert_eq!(tally.and_then(Value::as_u64), targets, "{message}");
                }
            },
            _ => {}
        }
    }
    let open = targets.map_or(1, |all| all - told.len() as u64);
    if open > 0 {
        told.push(format!("{open} open"));
    }
    sender.notify("cancel", &json!({"send": id}));
    told.join(", ")
}

fn outcome(params: &Value) -> String {
    let status = params["status"].as_str().unwrap_or_default();
    match (
        params["name"].as_str(),
        params["rank"].as_u64(),
        params["member"].as_u64(),
    ) {
        (Some(name), Some(rank), Some(_)) => format!("{name}@{rank} {status}"),
        (Some(name), None, None) => format!("({name}) {status}"),
        (None, Some(rank), None) => format!("(rank {rank}) {status}"),
        (None, None, Some(member)) => format!("(#{member}) {status}"),
        _ => panic!("{params}"),
    }
}

#[test]
fn with_the_right_to_list_every_client_is_found_and_those_beyond_allow_are_forbidden() {
    let mut lab = lab("viewer");
    for (to, word, expected) in [
        ("web1", "deploy", "1 open"),
        ("web1", "rm", "11 viewer.allow"),
        ("db1", "deploy", "11 viewer.allow"),
        ("4", "deploy", "11 viewer.allow"),
        // After rank, and after what is not here at all.
        ("alice-1", "deploy", "8"),
        ("web0", "rm", "8"),
        ("nope", "deploy", "7"),
        ("99", "deploy", "7"),
        ("me", "deploy", "7"),
        ("webidle", "deploy", "7"),
        (
            "all",
            "deploy",
            "alice-1@0 outranked, web0@1 outranked, db1@4 forbidden, 2 open",
        ),
        ("below", "deploy", "db1@4 forbidden, 2 open"),
        (
            "below",
            "rm",
            "web1@3 forbidden, db1@4 forbidden, web2@5 forbidden",
        ),
        ("db*", "deploy", "db1@4 forbidden"),
        (
            "db1,web1,nope,webidle",
            "deploy",
            "webidle@6 absent, (nope) absent, db1@4 forbidden, 1 open",
        ),
        ("db1,!db*", "deploy", "7"),
        ("#4", "deploy", "1 open"),
        ("#5", "deploy", "11 viewer.allow"),
        ("#1", "deploy", "8"),
        ("#99", "deploy", "7"),
        (
            "#5,#4,#99,web[2-3]",
            "deploy",
            "(#99) absent, (web3) absent, db1@4 forbidden, 2 open",
        ),
        ("next:db1,web2", "deploy", "1 open"),
        ("next:db1", "deploy", "7"),
        ("next", "deploy", "1 open"),
        ("next", "rm", "7"),
        ("least-loaded", "deploy", "1 open"),
        ("least-loaded", "rm", "7"),
    ] {
        assert_eq!(found(&mut lab.sender, to, word), expected, "{to}: {word}");
    }
}

#[test]
fn without_the_right_to_list_no_client_beyond_allow_is_found_or_told() {
    let mut lab = lab("deployer");
    for (to, word, expected) in [
        ("web1", "deploy", "1 open"),
        ("web1", "rm", "11 deployer.allow"),
        // Before rank, and whether such a client is here or not.
        ("alice-1", "deploy", "11 deployer.allow"),
        ("db1", "deploy", "11 deployer.allow"),
        ("nope", "deploy", "11 deployer.allow"),
        ("0", "deploy", "11 deployer.allow"),
        ("4", "deploy", "11 deployer.allow"),
        ("99", "deploy", "11 deployer.allow"),
        ("web0", "deploy", "8"),
        ("1", "deploy", "8"),
        ("web9", "deploy", "7"),
        ("me", "deploy", "7"),
        ("2", "deploy", "7"),
        ("webidle", "deploy", "7"),
        ("all", "deploy", "web0@1 outranked, 2 open"),
        ("below", "deploy", "2 open"),
        ("below", "rm", "7"),
        ("db*", "deploy", "7"),
        ("0-99", "deploy", "web0@1 outranked, 2 open"),
        (
            "db1,web1,nope,web9,webidle,me",
            "deploy",
            "webidle@6 absent, (db1) forbidden, (nope) forbidden, (web9) absent, 1 open",
        ),
        (
            "0,4,99,3",
            "deploy",
            "(rank 0) forbidden, (rank 4) forbidden, (rank 99) forbidden, 1 open",
        ),
        ("alice-1,web1,!alice-1", "deploy", "1 open"),
        // `#1` to `#7` are members in the order of their ranks.
        ("#4", "deploy", "1 open"),
        ("#4", "rm", "11 deployer.allow"),
        ("#1", "deploy", "11 deployer.allow"),
        ("#5", "deploy", "11 deployer.allow"),
        ("#99", "deploy", "11 deployer.allow"),
        ("#2", "deploy", "8"),
        ("#3", "deploy", "7"),
        ("#7", "deploy", "7"),
        (
            "#1,#5,#99,#4",
            "deploy",
            "(#1) forbidden, (#5) forbidden, (#99) forbidden, 1 open",
        ),
        (
            "db[1-2],web[2-3]",
            "deploy",
            "(db1) forbidden, (db2) forbidden, (web3) absent, 1 open",
        ),
        ("db[1-2],!db*", "deploy", "7"),
        ("next:db1,web2", "deploy", "1 open"),
        ("least-loaded:db1,alice-1", "deploy", "7"),
        ("db1,!db*", "deploy", "7"),
        ("!web1", "deploy", "1 open"),
        ("next", "deploy", "1 open"),
        ("next", "rm", "7"),
        ("least-loaded", "deploy", "1 open"),
    ] {
        assert_eq!(found(&mut lab.sender, to, word), expected, "{to}: {word}");
    }
}

#[test]
fn without_the_right_to_list_no_message_names_another_client() {
    let mut lab = lab("deployer");
    for to in [
        "alice-1",
        "db1",
        "nope",
        "DB1",
        "ALICE-1",
        "4",
        "0-3,db1",
        "Web1,db1",
        "next",
        "all",
        "!web*",
        "99",
        "#1",
        "#5",
        "#1,#5,web1",
        "next:db*",
        "*&0-4",
    ] {
        for word in ["deploy", "rm"] {
            let id = lab.sender.command(to, &[word]);
            lab.sender.sync();
            lab.sender.notify("cancel", &json!({"send": id}));
            lab.sender.sync();
            for message in lab.sender.fence() {
                let text = message.to_string();
                let named = |name: &str| text.contains(name) && !to.contains(name);
                assert!(!named("alice-1") && !named("db1"), "{to}: {text}");
            }
        }
    }
}

#[test]
fn next_and_least_loaded_pick_among_those_that_allow_covers() {
    let roles = format!(
        "{ROLES}[roles.dba]\ntier = 3\nmay = [\"send\"]\nallow = [{{ to = \"db*\", commands = [\"*\"] }}]\n"
    );
    let auth = Auth::new(&roles)
        .with("dba", "dba", "")
        .with("fleet", "agent", "names = [\"*\"]");
    let server = auth.server(9, &[]);
    let mut dba = auth.join(&server, "dba", json!({}));
    let mut agents: Vec<Raw> = ["web1", "db1", "web2", "db2"]
        .map(|name| auth.join(&server, "fleet", json!({"name": name})))
        .into();
    // web1 is nearer, and web2 has as little to do.
    for (to, at) in [("next", 1), ("least-loaded", 3)] {
        dba.command(to, &["x"]);
        assert_eq!(agents[at].execute().command, ["x"], "{to}");
    }
}

#[test]
fn members_shows_a_client_without_the_right_to_list_what_it_may_command() {
    let mut lab = lab("deployer");
    let all = lab.sender.result("members", &json!({}));
    let shown: Vec<(String, u64)> = all["members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| {
            (
                m["name"].as_str().unwrap_or_default().to_owned(),
                m["rank"].as_u64().unwrap_or(99),
            )
        })
        .collect();
    let expected = [
        ("web0", 1),
        ("me", 2),
        ("web1", 3),
        ("web2", 5),
        ("webidle", 6),
    ];
    assert_eq!(shown, expected.map(|(name, rank)| (name.to_owned(), rank)));
    assert_eq!(all["total"], 5);
    for member in all["members"].as_array().into_iter().flatten() {
        for hidden in ["address", "identity", "role"] {
            assert!(member.get(hidden).is_none(), "{member}");
        }
    }
    let page = lab
        .sender
        .result("members", &json!({"from": 3, "limit": 1}));
    assert_eq!(
        (&page["members"][0]["name"], &page["total"]),
        (&json!("web2"), &json!(5))
    );
    let past = lab.sender.result("members", &json!({"from": 5}));
    assert_eq!((&past["members"], &past["total"]), (&json!([]), &json!(5)));

    let mut lab = self::lab("viewer");
    let all = lab.sender.result("members", &json!({}));
    assert_eq!(all["total"], 7);
    let first = &all["members"][0];
    assert_eq!(
        (&first["identity"], &first["role"]),
        (&json!("alice"), &json!("operator"))
    );
    assert!(first["address"].is_string());
}

#[test]
fn a_client_without_the_right_to_send_sends_nothing() {
    let mut lab = lab("agent");
    for (params, what) in [
        (json!({"to": "web1", "command": ["x"]}), "one"),
        (json!({"to": "all", "command": ["x"]}), "many"),
        (json!({"to": "nope", "command": ["x"]}), "none"),
        (json!({"command": ["x"], "window": 0}), "a wrong number"),
        (json!({"command": []}), "no words"),
        (json!([]), "no parameters"),
    ] {
        let error = lab.sender.error("send", &params);
        let data = json!({"reason": "forbidden", "rule": "agent.may.send"});
        assert_eq!(
            (&error["code"], &error["data"]),
            (&json!(11), &data),
            "{what}: {error}"
        );
    }
}
