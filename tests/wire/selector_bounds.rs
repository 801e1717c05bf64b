//! Selectors at their bounds and past them: what is malformed, the most that is read, and what that costs.

use std::time::{Duration, Instant};

use crate::support::{Raw, Server, ranked};
use serde_json::json;

#[test]
fn a_malformed_selector_is_told_so() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let too_long = format!("worker,{}*", "w".repeat(64 << 10));
    let too_many = vec!["1"; 10_001].join(",");
    let too_many_patterns = ["worker", &vec!["!x*"; 17].join(",")].join(",");
    let too_long_a_pattern = format!("worker,!*{}", "x".repeat(128));
    let too_long_together = format!("worker,{}1", "1&".repeat(64));
    let too_many_together = vec!["1&2"; 17].join(",");
    let too_many_operands = format!("{},1&2", vec!["1"; 9_999].join(","));
    for selector in [
        &too_long_together,
        &too_many_together,
        &too_many_operands,
        "#17-#20",
        "#x",
        "#",
        "web[20-1]",
        "web[]",
        "web[1-]",
        "web[1[2]]",
        "web[01-100]",
        "web[1-3]*",
        "[1-3]",
        "web[1-10001]",
        "web[1-9999],!w[1-2]",
        "web[1-99999999999]x[1-99999999999]",
        "web[1",
        "role=",
        "Role=web",
        "a&",
        "a&!b",
        "a&all",
        "next:",
        "next:below",
        "next:next:web1",
        "least-loaded:all,web1",
        "web1,next:web1",
        "",
        ",",
        "worker,",
        ",worker",
        "worker,,1",
        "!",
        "worker,!",
        "!,worker",
        "1-",
        "-1",
        "-",
        "3-1",
        "worker,3-1",
        "!3-1",
        "4294967296",
        "0-4294967296",
        "4294967296-4294967297",
        "99999999999999999999999999",
        &too_long,
        &too_many,
        &too_many_patterns,
        &too_long_a_pattern,
    ] {
        let error = boss.error("send", &json!({"to": selector, "command": ["x"]}));
        assert_eq!(error["code"], -32602, "{selector:?}: {error}");
    }
    worker.expect_nothing("nothing was sent");
}

#[test]
fn a_selector_of_the_most_items_or_bytes_is_read() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let exclusions: Vec<String> = (2..=10_000).map(|rank| format!("!{rank}")).collect();
    let most_items = format!("worker,{}", exclusions.join(","));
    assert_eq!(most_items.split(',').count(), 10_000);
    let name = "n".repeat(62);
    let mut longest = format!("worker,{}", format!("!{name},").repeat(1023));
    longest += &format!("!{}", &name[..56]);
    assert_eq!(longest.len(), 64 << 10);
    for selector in [&most_items, &longest] {
        let id = boss.command(selector, &["x"]);
        worker.serve(1);
        assert_eq!(boss.result_of(&id), json!({"targets": 1, "done": 1}));
    }
    let id = boss.command(&format!("{longest}n"), &["x"]);
    assert_eq!(boss.error_of(&id)["code"], -32602);
    let patterns = [vec!["w*"; 15].join(","), format!("?*{}", "*".repeat(126))].join(",");
    let id = boss.command(&patterns, &["x"]);
    worker.serve(1);
    assert_eq!(boss.result_of(&id), json!({"targets": 1, "done": 1}));
}

#[test]
fn sixteen_hostile_patterns_among_many_members_take_no_longer_than_plain_ones() {
    const MEMBERS: usize = 300;
    let server = Server::start(MEMBERS + 1, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let crowd = (0..MEMBERS).map(|n| Raw::join(&server, &format!("{}{n:03}", "a".repeat(60)), 1));
    let _crowd: Vec<Raw> = crowd.collect();
    let mut ask = |pattern: &str| {
        let began = Instant::now();
        for _ in 0..10 {
            let id = boss.command(&vec![pattern; 16].join(","), &["x"]);
            assert_eq!(boss.error_of(&id)["code"], 7);
        }
        began.elapsed()
    };
    // A busy machine may spoil one try; a matcher that goes back takes fifty times as long.
    let is_quick = (0..3).any(|_| {
        let plain = ask(&format!("{}b", "a?".repeat(31)));
        let hostile = ask(&format!("*{}b", "a".repeat(30)));
        println!("{plain:?}, hostile {hostile:?}");
        hostile <= 4 * plain + Duration::from_millis(200)
    });
    assert!(is_quick, "hostile patterns take longer");
}

#[test]
fn ten_thousand_names_that_are_not_here_are_each_said_however_many_sends_name_them() {
    const SENDS: u64 = 20;
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("w7", 1)]);
    let names: Vec<String> = (0..10_000).map(|n| format!("w{n}")).collect();
    let names = names.join(",");
    // All at once: what they cause is more than may wait for a client.
    for _ in 0..SENDS {
        boss.command(&names, &["x"]);
    }
    worker.serve(SENDS as usize);
    for id in 2..SENDS + 2 {
        let tally = json!({"targets": 10_000, "done": 1, "absent": 9999});
        assert_eq!(boss.result_of(&json!(id)), tally);
    }
}
