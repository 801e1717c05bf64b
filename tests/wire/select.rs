//! `select`: what a `send` would reach, by the letter of the protocol.

use crate::support::auth::{Auth, ROLES};
use crate::support::{Raw, Server};
use serde_json::{Value, json};

/// What the answer to `select` says, in short: its kind and each target with what becomes of it; or
/// the code of the error.
fn selected(client: &mut Raw, params: &Value) -> String {
    let id = client.request("select", params);
    let answer = client.answer(&id);
    if let Some(error) = answer.get("error") {
        return error["code"].to_string();
    }
    let result = &answer["result"];
    let targets = result["targets"].as_array().expect("an array");
    let shown = targets.iter().map(|target| {
        let word = |name: &str| match &target[name] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let [member, name, rank, tier] = ["member", "name", "rank", "tier"].map(word);
        format!("{member}/{name}@{rank}t{tier} {}", word("status"))
    });
    let shown: Vec<String> = shown.collect();
    format!(
        "{} of {} {}: {}",
        targets.len(),
        result["total"],
        result["kind"],
        shown.join(", ")
    )
}

#[test]
fn select_tells_what_a_send_would_reach_and_runs_nothing() {
    let server = Server::start(9, &["--dispatch", "web*"]);
    let mut cast = [
        ("top", 1, 5),
        ("me", 0, 5),
        ("web1", 1, 9),
        ("idle", 0, 9),
        ("web2", 2, 6),
    ]
    .map(|(name, slots, tier)| {
        let params = json!({
            "name": name, "slots": slots, "tier": tier, "rank_news": false,
            "tags": {"name": name},
        });
        Raw::join_with(&server, params)
    });
    const WEB1: &str = "3/web1@3t9 execute";
    const WEB2: &str = "5/web2@2t6 execute";
    const TOP: &str = "1/top@0t5 outranked";
    const IDLE: &str = "4/idle@4t9 absent";
    for (to, expected) in [
        (json!("next"), format!("1 of 1 \"one\": {WEB2}")),
        (json!("#3"), format!("1 of 1 \"one\": {WEB1}")),
        (json!("next:web1,idle"), format!("1 of 1 \"one\": {WEB1}")),
        (
            json!("all"),
            format!("3 of 3 \"many\": {TOP}, {WEB2}, {WEB1}"),
        ),
        (Value::Null, format!("2 of 2 \"many\": {WEB2}, {WEB1}")),
        (json!("name=*1"), format!("1 of 1 \"many\": {WEB1}")),
        (
            json!("idle,web[1-3],7,#99,top"),
            format!(
                "7 of 7 \"many\": {TOP}, {WEB2}, {WEB1}, {IDLE}, -/web3@-t- absent, 99/-@-t- absent, -/-@7t- absent"
            ),
        ),
        (json!("top"), "8".into()),
        (json!("nope"), "7".into()),
        (json!("idle"), "7".into()),
        (json!("me"), "7".into()),
        (json!("nope,!nope"), "7".into()),
        (json!("7-3"), "-32602".into()),
        (json!(5), "-32602".into()),
    ] {
        for command in [Value::Null, json!(["x"])] {
            let params = json!({"to": to, "command": command});
            assert_eq!(selected(&mut cast[1], &params), expected, "{to}");
        }
    }
    for params in [
        json!({"command": []}),
        json!({"command": "x"}),
        json!({"from": -1}),
        json!({"limit": "1"}),
        json!([]),
    ] {
        assert_eq!(selected(&mut cast[1], &params), "-32602", "{params}");
    }
    for client in &mut cast {
        client.expect_nothing("select tells no other client");
    }
}

#[test]
fn select_gives_its_targets_page_by_page() {
    let server = Server::start(9, &[]);
    let mut me = Raw::join(&server, "me", 0);
    let _others = ["a", "b", "c"].map(|name| Raw::join(&server, name, 1));
    for (from, limit, expected) in [
        (0, 2, "2 of 4 \"many\": 2/a@1t5 execute, 3/b@2t5 execute"),
        (2, 2, "2 of 4 \"many\": 4/c@3t5 execute, -/nope@-t- absent"),
        (3, 9, "1 of 4 \"many\": -/nope@-t- absent"),
        (4, 9, "0 of 4 \"many\": "),
        (1, 0, "0 of 4 \"many\": "),
        (u64::MAX, u64::MAX, "0 of 4 \"many\": "),
    ] {
        let params = json!({"to": "nope,1-9", "from": from, "limit": limit});
        assert_eq!(selected(&mut me, &params), expected, "{from} {limit}");
    }
}

#[test]
fn select_tells_what_a_role_covers() {
    let auth = Auth::new(ROLES)
        .with("alice", "operator", "")
        .with("me", "viewer", "")
        .with("you", "deployer", "")
        .with("fleet", "agent", "names = [\"web*\", \"db*\"]");
    let server = auth.server(9, &[]);
    let _alice = auth.join(&server, "alice", json!({}));
    let mut viewer = auth.join(&server, "me", json!({}));
    let mut deployer = auth.join(&server, "you", json!({}));
    let mut agents = ["web1", "db1"].map(|name| auth.join(&server, "fleet", json!({"name": name})));
    let statuses = |client: &mut Raw, to: &str, command: Value| {
        let shown = selected(client, &json!({"to": to, "command": command}));
        let targets = shown
            .split_once(": ")
            .map_or(shown.as_str(), |(_, targets)| targets);
        let words = targets.split(", ").map(|target| {
            let (who, status) = target.split_once(' ').unwrap_or((target, ""));
            let name = who.split('/').next_back().unwrap_or_default();
            format!("{} {status}", name.split('@').next().unwrap_or_default())
        });
        words.collect::<Vec<_>>().join(", ").trim_end().to_owned()
    };
    for (to, command, expected) in [
        ("below", json!(["deploy"]), "web1 execute, db1 forbidden"),
        ("below", json!(["rm"]), "web1 forbidden, db1 forbidden"),
        // Without a command only what no rule covers at all is forbidden.
        ("below", Value::Null, "web1 execute, db1 forbidden"),
        ("db1", Value::Null, "11"),
        ("web1", json!(["rm"]), "11"),
    ] {
        let shown = statuses(&mut viewer, to, command.clone());
        assert_eq!(shown, expected, "{to} {command}");
    }
    for (to, command, expected) in [
        ("below", json!(["deploy"]), "web1 execute"),
        ("below", Value::Null, "web1 execute"),
        ("below", json!(["rm"]), "7"),
        ("db1", Value::Null, "11"),
        ("#99", Value::Null, "11"),
        (
            "db1,web1,#99",
            Value::Null,
            "web1 execute, db1 forbidden, 99 forbidden",
        ),
    ] {
        let shown = statuses(&mut deployer, to, command.clone());
        let shown = shown.replace("- forbidden", "99 forbidden");
        assert_eq!(shown, expected, "{to} {command}");
    }
    for agent in &mut agents {
        let refused = agent.error("select", &json!({"limit": "x"}));
        assert_eq!(refused["data"]["rule"], "agent.may.send", "{refused}");
        agent.expect_nothing("select tells no other client");
    }
}

#[test]
fn answers_to_members_end_at_half_a_line_and_the_rest_can_be_asked_for() {
    const CLIENTS: usize = 330;
    const MOST: usize = 512 << 10;
    let server = Server::start(CLIENTS + 1, &[]);
    let pairs = (0..16).map(|n| (format!("{n:k>32}"), json!("v".repeat(64))));
    let tags = Value::Object(pairs.collect());
    let mut crowd: Vec<Raw> = (0..CLIENTS)
        .map(|_| Raw::join_with(&server, json!({"tags": tags, "rank_news": false})))
        .collect();
    let mut told = Vec::new();
    let mut pages = 0;
    while told.len() < CLIENTS {
        let id = crowd[0].request("members", &json!({"from": told.len()}));
        let answer = crowd[0].answer(&id);
        let length = answer.to_string().len();
        assert!(length <= MOST, "{length} bytes");
        let members = answer["result"]["members"].as_array().expect("an array");
        assert!(!members.is_empty() && answer["result"]["total"] == CLIENTS);
        told.extend(members.iter().map(|member| member["rank"].clone()));
        pages += 1;
    }
    assert!((2..4).contains(&pages), "{pages} pages");
    let ranks: Vec<Value> = (0..CLIENTS).map(Value::from).collect();
    assert_eq!(told, ranks);
}
