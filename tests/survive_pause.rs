//! A server that was stopped for a while, and goes on, blames nobody for its own pause.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{PATIENCE, Raw, Server, Still};

/// Four heartbeats, and twice what a slow reader has.
const PAUSE: Duration = Duration::from_secs(20);

#[test]
fn a_server_that_was_stopped_blames_nobody_for_its_own_pause() {
    let server = Server::start(10, &["--heartbeat", "5s"]);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 64);
    // More waits for it at the server than its socket takes.
    let mut late = Still::join(&server, "late", 64);
    let long = "x".repeat(900 << 10);
    let running = boss.command("worker", &["x"]);
    let execute = worker.execute();
    let for_late: Vec<Value> = (0..16).map(|_| boss.command("late", &[&long])).collect();
    let send = json!({"to": "worker", "command": ["y"], "timeout_ms": 1000});
    let timed = boss.request("send", &send);
    let timed_execute = worker.execute();
    boss.sync();
    let mut stranger = Raw::connect(&server);
    server.signal(Signal::STOP);
    // It takes what comes, so it is only the server that does not go on.
    let paused = Instant::now();
    let mut taken = Vec::new();
    while paused.elapsed() < PAUSE {
        taken.extend(late.read_there());
        std::thread::sleep(Duration::from_millis(50));
    }
    // What comes while nobody looks counts.
    worker.reply(&timed_execute, &json!({"exit_code": 3}));
    server.signal(Signal::CONT);
    stranger.join_as("stranger", 1);
    let deadline = Instant::now() + PATIENCE;
    let lines = |taken: &[u8]| taken.iter().filter(|byte| **byte == b'\n').count();
    while lines(&taken) < for_late.len() {
        assert!(Instant::now() < deadline, "the rest comes");
        taken.extend(late.read_there());
        std::thread::sleep(Duration::from_millis(5));
    }
    for line in taken.split_inclusive(|byte| *byte == b'\n') {
        let execute: Value = serde_json::from_slice(line).expect("JSON");
        assert_eq!(execute["method"], "execute", "{execute}");
        late.send(&json!({"jsonrpc": "2.0", "id": execute["id"], "result": {"exit_code": 0}}));
    }
    for id in &for_late {
        assert_eq!(boss.result_of(id)["status"], "done");
    }
    assert_eq!(boss.result_of(&timed)["exit_code"], 3);
    worker.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&running)["status"], "done");
    let ranking = boss.result("members", &json!({}));
    assert_eq!(ranking["total"], 4, "everybody is still here");
}
