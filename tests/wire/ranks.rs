//! Ranks, what is told of them, and `members`, by the letter of the protocol.

use crate::support::{Raw, Server, Still, Way, ranked, ranking};
use serde_json::{Value, json};

#[test]
fn ranks_are_in_the_order_of_joining() {
    let server = Server::start(5, &[]);
    // They connect the other way round.
    let mut clients = [0, 1, 2, 3].map(|_| Raw::connect(&server));
    for (rank, client) in clients.iter_mut().rev().enumerate() {
        client.join_as(&format!("n{rank}"), 1);
        assert_eq!(client.joined["rank"], rank);
        assert_eq!(client.joined["members"], rank + 1);
    }
    for client in &mut clients {
        client.expect_nothing("no client's own rank changed");
    }
    assert_eq!(ranking(&mut clients[0]), ["n0", "n1", "n2", "n3"]);
}

#[test]
fn a_client_whose_rank_changes_is_told() {
    let server = Server::start(5, &[]);
    let [mut a, b, mut c, d] = ranked(&server, [("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    b.leave();
    assert_eq!(c.notification("rank"), json!({"rank": 1, "members": 3}));
    d.leave();
    a.expect_nothing("its rank is what it was");
    c.expect_nothing("its rank is what it was");
    let e = Raw::join(&server, "e", 1);
    assert_eq!(e.joined["rank"], 2, "a newcomer ranks below all");
    c.expect_nothing("a client joined below it");
    a.leave();
    assert_eq!(c.notification("rank"), json!({"rank": 0, "members": 2}));
}

#[test]
fn any_way_to_leave_moves_the_others_up() {
    let server = Server::start(5, &[]);
    let [_boss, mut last] = ranked(&server, [("boss", 0), ("early", 1)]);
    let ways: [Way; 3] = [
        ("closed", Still::close),
        ("reset", Still::reset),
        ("left", |mut client| {
            client.send(&json!({"jsonrpc": "2.0", "method": "leave"}));
            // That an earlier one has left may have been told before that.
            let told = String::from_utf8(client.read_to_end()).expect("UTF-8");
            let is_rank = |line: &str| line.contains("\"method\":\"rank\"");
            assert!(told.lines().all(is_rank), "{told}");
        }),
    ];
    for (way, go) in ways {
        let client = Still::join(&server, "goes", 1);
        let lower = Raw::join(&server, way, 1);
        assert_eq!(lower.joined["rank"], 3, "{way}");
        last.leave();
        go(client);
        last = lower;
        // It moves up by two; the two steps may be told as one.
        let done = json!({"rank": 1, "members": 2});
        let is_it = |message: &Value| message["method"] == "rank" && message["params"] == done;
        last.wait_for(&format!("the last rank ({way})"), is_it);
        last.fence();
    }
}

#[test]
fn changes_of_rank_that_come_together_are_told_with_the_last_state() {
    const CROWD: usize = 40;
    let server = Server::start(CROWD + 1, &[]);
    let crowd: Vec<Raw> = (0..CROWD)
        .map(|n| Raw::join(&server, &format!("n{n}"), 1))
        .collect();
    let mut last = Raw::join(&server, "last", 1);
    for client in &crowd {
        client.notify("leave", &json!({}));
    }
    let mut rank = CROWD as u64;
    while rank > 0 {
        let told = last.notification("rank");
        let now = told["rank"].as_u64().expect("a rank");
        assert!(now < rank, "told {told} after {rank}");
        assert_eq!(told["members"], now + 1, "none is below: {told}");
        rank = now;
    }
    last.expect_nothing("the last state was told once");
    assert_eq!(ranking(&mut last), ["last"]);
}

#[test]
fn ranks_have_no_gaps_at_any_moment() {
    let server = Server::start(50, &[]);
    let mut observer = Raw::join(&server, "observer", 0);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..10 {
                    let client = Raw::join(server, &format!("n{n}-{round}"), 1);
                    client.leave();
                }
            });
        }
        for _ in 0..100 {
            assert_eq!(ranking(&mut observer)[0], "observer");
        }
    });
    assert_eq!(ranking(&mut observer), ["observer"]);
}

#[test]
fn a_member_number_is_never_used_again() {
    let server = Server::start(2, &[]);
    let mut seen = Vec::new();
    for _ in 0..10 {
        let client = Raw::join(&server, "same", 1);
        assert!(!seen.contains(&client.member()), "{seen:?}");
        seen.push(client.member());
        client.leave();
    }
}

#[test]
fn members_tells_what_each_is_and_does() {
    let server = Server::start(7, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 2)]);
    for n in ["1", "2", "3", "4", "5"] {
        boss.command("worker", &[n]);
    }
    worker.execute();
    let mut result = boss.result("members", &json!({}));
    for member in result["members"].as_array_mut().expect("a list") {
        let joined = member["joined_ms"].take();
        assert!(joined.as_u64().is_some_and(|ms| ms < 60_000), "{joined}");
    }
    let expected = json!({
        "members": [
            {"member": boss.member(), "name": "boss", "rank": 0, "tier": 5, "slots": 0, "running": 0,
             "queued": 0, "address": boss.address().to_string(), "joined_ms": null},
            {"member": worker.member(), "name": "worker", "rank": 1, "tier": 5, "slots": 2, "running": 2,
             "queued": 3, "address": worker.address().to_string(), "joined_ms": null},
        ],
        "total": 2,
        "max": 7,
    });
    assert_eq!(result, expected);
}

#[test]
fn members_comes_in_pages() {
    let server = Server::start(10, &[]);
    let mut all: Vec<Raw> = (0..5)
        .map(|n| Raw::join(&server, &format!("n{n}"), 1))
        .collect();
    let observer = &mut all[4];
    for (params, ranks) in [
        (json!({}), 0..5),
        (json!({"from": 0, "limit": 2}), 0..2),
        (json!({"from": 1, "limit": 2}), 1..3),
        (json!({"from": 3, "limit": 1000}), 3..5),
        (json!({"from": 4}), 4..5),
        (json!({"limit": 1}), 0..1),
        (json!({"limit": 5000}), 0..5),
        (json!({"from": 5}), 5..5),
        (json!({"from": 4_000_000_000_u64}), 0..0),
        (json!({"page": 7}), 0..5),
    ] {
        let result = observer.result("members", &params);
        let listed = result["members"].as_array().expect("a list");
        let got: Vec<u64> = listed.iter().filter_map(|m| m["rank"].as_u64()).collect();
        assert_eq!(got, ranks.collect::<Vec<u64>>(), "{params}: {result}");
        assert_eq!(result["total"], 5, "{params}: {result}");
        assert_eq!(result["max"], 10, "{params}: {result}");
    }
    observer.send_line(r#"{"jsonrpc":"2.0","id":"bare","method":"members"}"#);
    assert_eq!(observer.result_of(&json!("bare"))["total"], 5);
    for params in [
        json!({"from": -1}),
        json!({"from": "0"}),
        json!({"from": 0.5}),
        json!({"limit": -1}),
        json!({"limit": "all"}),
        json!({"limit": [1]}),
    ] {
        assert_eq!(
            observer.error("members", &params)["code"],
            -32602,
            "{params}"
        );
    }
}

#[test]
fn no_more_than_a_thousand_members_come_in_a_page() {
    const CROWD: usize = 1003;
    crate::support::allow_many_sockets();
    let server = Server::start(CROWD, &[]);
    // These have no threads of their own in this process.
    let crowd: Vec<Still> = (1..CROWD)
        .map(|n| Still::join(&server, &format!("n{n}"), 1))
        .collect();
    let mut observer = Raw::join(&server, "observer", 0);
    for (params, count) in [
        (json!({}), 1000),
        (json!({"limit": 5000}), 1000),
        (json!({"from": 500, "limit": 5000}), CROWD - 500),
        (json!({"from": 1000}), CROWD - 1000),
    ] {
        let result = observer.result("members", &params);
        let listed = result["members"].as_array().map(Vec::len);
        assert_eq!(listed, Some(count), "{params}");
        assert_eq!(result["total"], CROWD, "{params}");
    }
    drop(crowd);
}
