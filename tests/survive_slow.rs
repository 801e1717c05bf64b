//! A client that stops reading: nobody else notices, it costs memory up to its bound, and it
//! goes.

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{IS_RELEASE, Pairs, Raw, Server, Still, Vitals, loosely};

/// Of some 50 clients these are in pairs; another one aims at the one that does not read.
const PAIRS: usize = 24;

/// What is aimed at it, and the commands of which each is a part.
const AIMED: usize = if IS_RELEASE { 200 << 20 } else { 80 << 20 };
const COMMAND: usize = 512 << 10;

/// What may wait for one client, and what the server may need besides.
const BOUND: usize = 64 << 20;
const BESIDES: usize = 16 << 20;

/// When it has to be gone after it stopped.
const GONE_WITHIN: Duration = Duration::from_secs(12);

#[test]
fn one_of_fifty_that_stops_reading_costs_the_others_nothing() {
    let server = Server::start(2 * PAIRS + 3, &[]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let pairs = Pairs::start(server.address(), PAIRS);
    let _slow = Still::join(&server, "slow", 1024);
    let mut last = Raw::join(&server, "last", 0);
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(3));
    let before = vitals.resident();
    let stopped = Instant::now();
    // Whoever ranks below it is told of its end.
    let end = std::thread::spawn(move || {
        let is_rank = |message: &Value| message["method"] == "rank";
        last.wait_within(GONE_WITHIN * 5, "the end of the slow one", is_rank);
        (Instant::now(), last)
    });
    let mut most = before;
    let words = "x".repeat(COMMAND);
    // What it takes no more waits in the server; past the bound it is `busy`.
    for n in 0..AIMED / COMMAND {
        boss.send_line(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"s{n}\",\"method\":\"send\",\
             \"params\":{{\"to\":\"slow\",\"command\":[\"{words}\"]}}}}"
        ));
        most = most.max(vitals.resident());
    }
    let (mut ended, mut lost) = (0, 0);
    while ended < AIMED / COMMAND {
        let answer = boss.wait_within(GONE_WITHIN * 5, "every send's end", |m| m["id"].is_string());
        most = most.max(vitals.resident());
        ended += 1;
        match answer["result"]["status"].as_str() {
            Some("lost") => lost += 1,
            None => {
                // Full, or, from the moment at which it is gone, nobody.
                let reason = answer["error"]["data"]["reason"].as_str();
                assert!(matches!(reason, Some("busy" | "no_target")), "{answer}");
            }
            Some(_) => panic!("{answer}"),
        }
    }
    let (end, _last) = end.join().expect("it is told");
    let gone = end - stopped;
    assert!(lost > 0, "some were given to it");
    assert!(gone <= loosely(GONE_WITHIN), "gone after {gone:?}");
    assert!(
        most <= before + BOUND + BESIDES,
        "{} MiB more",
        (most - before) >> 20
    );
    let (quiet, with_it) = (
        pairs.p99(began, stopped),
        pairs.p99(stopped, Instant::now()),
    );
    println!(
        "p99 {quiet:?}, with the slow one {with_it:?}; {} MiB more",
        (most - before) >> 20
    );
    // The figure itself is for a machine that does nothing else.
    let allowed = if IS_RELEASE {
        quiet * 3 / 2
    } else {
        quiet * 10 + Duration::from_millis(100)
    };
    assert!(with_it <= allowed, "{with_it:?} instead of {quiet:?}");
    pairs.stop();
}
