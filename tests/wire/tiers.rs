//! Tiers and rank news, by the letter of the protocol.

use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, Server, Still, ranking, took_at_least};
use serde_json::{Value, json};

/// How long after a join those below are told of it.
const JOIN_NEWS_AFTER: Duration = Duration::from_secs(1);

fn join(server: &Server, name: &str, tier: u64) -> Raw {
    Raw::join_with(server, json!({"name": name, "tier": tier}))
}

#[test]
fn ranks_are_by_tier_and_then_by_arrival() {
    let server = Server::start(9, &[]);
    let mut joined = Vec::new();
    for (name, tier, rank) in [
        ("a", json!(9), 0),
        ("b", Value::Null, 0),
        ("c", json!(9), 2),
        ("d", json!(5), 1),
        ("e", json!(7), 2),
        ("f", json!(6), 2),
        ("g", json!(9), 6),
    ] {
        let client = Raw::join_with(&server, json!({"name": name, "tier": tier}));
        assert_eq!(client.joined["rank"], rank, "{name}");
        let own = if tier.is_null() { json!(5) } else { tier };
        assert_eq!(client.joined["tier"], own, "{name}");
        let client_count = client.joined["members"].clone();
        joined.push(client);
        assert_eq!(client_count, joined.len(), "{name}");
    }
    let observer = &mut joined[0];
    assert_eq!(ranking(observer), ["b", "d", "f", "e", "a", "c", "g"]);
    let members = observer.result("members", &json!({}))["members"].clone();
    let tiers: Vec<_> = members.as_array().into_iter().flatten().collect();
    let tiers: Vec<_> = tiers.iter().filter_map(|m| m["tier"].as_u64()).collect();
    assert_eq!(tiers, [5, 5, 6, 7, 9, 9, 9]);
}

#[test]
fn a_tier_that_is_none_or_too_high_can_be_asked_for_again() {
    let server = Server::start(9, &[]);
    let mut client = Raw::connect(&server);
    for tier in [
        json!(10),
        json!(-1),
        json!(5.0),
        json!("5"),
        json!([5]),
        json!(true),
    ] {
        let error = client.error("join", &json!({"protocol": 1, "tier": tier}));
        assert_eq!(error["code"], -32602, "{tier}: {error}");
    }
    for tier in 0..5 {
        let error = client.error("join", &json!({"protocol": 1, "tier": tier}));
        assert_eq!(error["code"], 11, "{tier}: {error}");
        assert_eq!(
            error["data"],
            json!({"reason": "forbidden", "rule": "tier"}),
            "{tier}"
        );
    }
    for news in [json!(0), json!("no"), json!([])] {
        let error = client.error("join", &json!({"protocol": 1, "rank_news": news}));
        assert_eq!(error["code"], -32602, "{news}: {error}");
    }
    let params = json!({"protocol": 1, "tier": null, "rank_news": null});
    assert_eq!(client.result("join", &params)["tier"], 5);
}

#[test]
fn forbidden_comes_after_unauthorized_and_before_full_and_name_taken() {
    let server = Server::start(1, &[]);
    let _only = Raw::join(&server, "only", 1);
    let mut late = Raw::connect(&server);
    let asks = |tier| json!({"protocol": 1, "name": "only", "tier": tier});
    assert_eq!(late.error("join", &asks(4))["code"], 11);
    assert_eq!(late.error("join", &asks(5))["code"], 1);
}

#[test]
fn a_late_sender_commands_those_of_a_lower_tier_and_says_its_own() {
    let server = Server::start(9, &[]);
    let [mut web1, mut web2] = [join(&server, "web1", 9), join(&server, "web2", 9)];
    let mut boss = Raw::join(&server, "boss", 0);
    let id = boss.command("below", &["x"]);
    for web in [&mut web1, &mut web2] {
        let execute = web.execute();
        assert_eq!(execute.params["from"], boss.origin(0));
        assert_eq!(execute.params["from"]["tier"], 5);
        web.reply(&execute, &json!({"exit_code": 0}));
    }
    assert_eq!(boss.result_of(&id), json!({"targets": 2, "done": 2}));
    // Upwards nothing goes, however early the lower one came.
    let id = web1.command("all", &["x"]);
    let refused = boss.notification("refused");
    assert_eq!(refused["from"], web1.origin(1));
    let execute = web2.execute();
    assert_eq!(execute.params["from"]["tier"], 9);
    web2.reply(&execute, &json!({"exit_code": 0}));
    let tally = json!({"targets": 2, "done": 1, "outranked": 1});
    assert_eq!(web1.result_of(&id), tally);
    assert_eq!(
        web1.error("send", &json!({"to": "boss", "command": ["x"]}))["code"],
        8
    );
}

#[test]
fn output_is_consumed_at_targets_whose_numbers_are_not_in_the_order_of_ranks() {
    let server = Server::start(9, &[]);
    let mut low = join(&server, "low", 9);
    let mut middle = join(&server, "middle", 7);
    let mut boss = Raw::join(&server, "boss", 0);
    let params = json!({"to": "below", "command": ["x"], "window": 1 << 20});
    let id = boss.request("send", &params);
    for web in [&mut middle, &mut low] {
        let execute = web.execute();
        web.output(&execute, "stdout", "12345");
        let consumed = json!({"send": id, "member": web.member(), "bytes": 5});
        boss.wait_for("its output", |m| m["method"] == "output");
        boss.notify("consumed", &consumed);
        assert_eq!(web.notification("consumed")["bytes"], 5);
        web.reply(&execute, &json!({"exit_code": 0}));
    }
    assert_eq!(boss.result_of(&id), json!({"targets": 2, "done": 2}));
}

#[test]
fn those_below_a_newcomer_are_told_after_a_second() {
    let server = Server::start(9, &[]);
    let mut low = join(&server, "low", 9);
    let mut deaf = Raw::join_with(
        &server,
        json!({"name": "deaf", "tier": 9, "rank_news": false}),
    );
    let mut other = Raw::join(&server, "other", 1);
    assert_eq!(low.notification("rank"), json!({"rank": 1, "members": 3}));
    let began = Instant::now();
    let boss = Raw::join_with(&server, json!({"name": "boss", "tier": 5}));
    assert_eq!(low.notification("rank"), json!({"rank": 2, "members": 4}));
    let took = began.elapsed();
    assert!(took_at_least(took, JOIN_NEWS_AFTER), "{took:?}");
    other.expect_nothing("it ranks above");
    // News of a leaver do not wait.
    boss.leave();
    assert_eq!(low.notification("rank"), json!({"rank": 1, "members": 3}));
    deaf.expect_nothing("it wants no news");
}

#[test]
fn a_short_visit_above_many_is_told_to_none() {
    const CROWD: usize = 300;
    const SHORT_VISITS: usize = 3;
    let server = Server::start(CROWD + 2, &[]);
    let mut crowd: Vec<Still> = (0..CROWD)
        .map(|n| Still::join_with(&server, json!({"name": format!("n{n}"), "tier": 9})))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    let mut short = 0;
    while short < SHORT_VISITS {
        assert!(
            Instant::now() < deadline,
            "the machine has time for short visits"
        );
        let began = Instant::now();
        let boss = Raw::join(&server, "boss", 0);
        std::thread::sleep(JOIN_NEWS_AFTER / 5);
        boss.leave();
        let is_short = began.elapsed() < JOIN_NEWS_AFTER;
        short += usize::from(is_short);
        // Until what it might have caused would have been told.
        std::thread::sleep(JOIN_NEWS_AFTER * 3 / 2);
        let told = crowd.iter_mut().filter_map(|client| {
            let told = client.read_there();
            (!told.is_empty()).then_some(told)
        });
        let told = told.count();
        assert!(told == 0 || !is_short, "{told} were told of it");
    }
}
