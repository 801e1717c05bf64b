//! Who comes and goes leaves nothing behind at the server, however it goes.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{Raw, Server, Still, Vitals};

/// Who comes and goes in one round.
const VISITORS: usize = 10_000;

/// How long what they left may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// What a round may need more than the one before.
const MORE: usize = 1 << 20;

/// Rounds at most. Usually the second is the last; but the allocator has a heap for each of so
/// many threads, and how far these have grown after the first is chance. A leak shows each time.
const ROUNDS: usize = 4;

/// A third each goes by a reset, in the middle of its handshake, and in the middle of a
/// command.
fn visit(server: &Server, boss: &mut Raw, n: usize) {
    match n % 3 {
        0 => Still::join(server, &format!("visitor-{n}"), 1).reset(),
        1 => {
            let half = Raw::connect(server);
            half.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\",\"par");
        }
        _ => {
            let name = format!("visitor-{n}");
            let mut visitor = Still::join(server, &name, 1);
            let id = boss.command(&name, &["x"]);
            // Its rank may have changed first.
            while !visitor.read_line_quickly().contains("\"execute\"") {}
            visitor.close();
            let outcome = boss.result_of(&id);
            assert_eq!(
                [&outcome["status"], &outcome["started"]],
                [&json!("lost"), &json!(true)]
            );
        }
    }
}

#[test]
fn who_comes_and_goes_leaves_nothing_behind() {
    let server = Server::start(100, &[]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let before = (vitals.descriptors(), vitals.threads());
    let mut resident: Vec<usize> = Vec::new();
    let has_grown = |resident: &[usize]| match resident {
        [.., before, last] => *last > before + MORE,
        _ => true,
    };
    while has_grown(&resident) {
        assert!(resident.len() < ROUNDS, "{resident:?} bytes");
        for n in 0..VISITORS {
            visit(&server, &mut boss, n);
        }
        let deadline = Instant::now() + GONE_WITHIN;
        while (vitals.descriptors(), vitals.threads()) != before {
            let now = (vitals.descriptors(), vitals.threads());
            assert!(
                Instant::now() < deadline,
                "{now:?} descriptors and threads, {before:?} before"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        resident.push(vitals.resident());
    }
    println!("resident after each round: {resident:?}");
    assert_eq!(boss.result("members", &json!({}))["total"], 1);
}
