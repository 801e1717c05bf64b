//! A server that was stopped for a while, and goes on, blames no client for its own pause.

use std::time::{Duration, Instant};

use crate::support::{IS_RELEASE, PATIENCE, Raw, Server, Still, loosely, ranking};
use rustix::process::Signal;
use serde_json::{Value, json};

/// More than two heartbeats, after which a silent client is gone, and than the ten seconds that a slow reader has.
const PAUSE: Duration = Duration::from_secs(if IS_RELEASE { 20 } else { 12 });

/// The word of a command, and the buffer of a client that has to read it in pieces.
const LONG: usize = 900 << 10;
const NARROW: usize = 64 << 10;

/// Long commands for a client that reads nothing, of which some have to wait at the server: several
/// more than the system keeps for one connection, 4 MiB unless it is told otherwise (tcp(7)), and not
/// more than may wait.
fn more_than_the_system_keeps() -> usize {
    const MAY_WAIT: usize = 64 << 20;
    let bounds = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").unwrap_or_default();
    let most = bounds.split_whitespace().last();
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(4 << 20);
    ((most + 2 * NARROW) / LONG + 4).min(MAY_WAIT / LONG - 1)
}

/// Whether a line is a ping, which is shorter than any command here.
fn is_ping(line: &[u8]) -> bool {
    line.len() < 100
}

#[test]
fn a_server_that_was_stopped_blames_no_client_for_its_own_pause() {
    let server = Server::start(10, &["--heartbeat", "5s"]);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 64);
    // More waits for it at the server than its socket takes.
    let count = more_than_the_system_keeps();
    let mut late = Still::join_narrow(&server, "late", count as u32, NARROW);
    let long = "x".repeat(LONG);
    let running = boss.command("worker", &["x"]);
    let execute = worker.execute();
    let for_late: Vec<Value> = (0..count).map(|_| boss.command("late", &[&long])).collect();
    let send = json!({"to": "worker", "command": ["y"], "timeout_ms": 1000});
    let timed = boss.request("send", &send);
    let timed_execute = worker.execute();
    boss.sync();
    let mut unjoined = Raw::connect(&server);
    server.stop();
    // It takes what comes, so it is only the server that does not go on.
    let paused = Instant::now();
    let mut taken = Vec::new();
    while paused.elapsed() < PAUSE {
        taken.extend(late.read_there());
        std::thread::sleep(Duration::from_millis(50));
    }
    // What comes during the pause counts.
    worker.reply(&timed_execute, &json!({"exit_code": 3}));
    let executes = |taken: &[u8]| {
        let lines = taken.split_inclusive(|byte| *byte == b'\n');
        lines
            .filter(|line| line.ends_with(b"\n") && !is_ping(line))
            .count()
    };
    assert!(
        executes(&taken) < for_late.len(),
        "the server still has some"
    );
    server.signal(Signal::CONT);
    unjoined.join_as("unjoined", 1);
    let deadline = Instant::now() + PATIENCE;
    while executes(&taken) < for_late.len() {
        assert!(Instant::now() < deadline, "the rest comes");
        taken.extend(late.read_there());
        std::thread::sleep(Duration::from_millis(5));
    }
    // On a slow machine a heartbeat was over before the pause began.
    let lines = taken.split_inclusive(|byte| *byte == b'\n');
    for line in lines.filter(|line| !is_ping(line)) {
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
    assert_eq!(ranking["total"], 4, "all are still here");
}

/// The heartbeat of a server that is stopped while pings are under way, how long it is
/// stopped, which is more than two of them, and what a loaded machine may add to a time.
const HEARTBEAT: Duration = Duration::from_secs(3);
const LONGER: Duration = Duration::from_secs(7);
const BESIDES: Duration = Duration::from_secs(1);

/// Waits for the server's next ping that has no answer.
#[track_caller]
fn ping(client: &mut Raw) -> Value {
    client.wait_for("a ping", |message| message["method"] == "ping")
}

/// Takes the pings of a client that does not answer by itself, and answers them, one
/// heartbeat after another.
#[track_caller]
fn answer_for(client: &mut Raw, heartbeats: u32) {
    for _ in 0..heartbeats {
        let asked = ping(client);
        client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {}}));
    }
}

#[test]
fn a_client_that_owes_an_answer_when_the_server_is_stopped_is_asked_again() {
    let heartbeat = format!("{}s", HEARTBEAT.as_secs());
    let server = Server::start(10, &["--heartbeat", &heartbeat]);
    let mut boss = Raw::join(&server, "boss", 0);
    let worker = Raw::join(&server, "worker", 1);
    let joined = |name| {
        let mut client = Raw::mute(&server);
        client.join_as(name, 1);
        client
    };
    let mut late = ["late-1", "late-2", "late-3"].map(joined);
    let mut mute = ["mute-1", "mute-2"].map(joined);
    for one in late.iter_mut().chain(&mut mute) {
        ping(one);
    }
    let all = [
        "boss", "worker", "late-1", "late-2", "late-3", "mute-1", "mute-2",
    ];
    // Were it not for the pause, they would have less than a heartbeat from here.
    server.stop();
    std::thread::sleep(LONGER);
    let pings = [boss.pings(), worker.pings()];
    let continued = Instant::now();
    server.signal(Signal::CONT);
    // A client that were gone by now would get none.
    for one in &mut mute {
        ping(one);
    }
    std::thread::scope(|scope| {
        for one in &mut late {
            scope.spawn(move || answer_for(one, 3));
        }
        let silent = mute.each_mut().map(|one| {
            scope.spawn(move || {
                one.wait_end("the end of one that is silent");
                continued.elapsed()
            })
        });
        while boss.pings() == pings[0] || worker.pings() == pings[1] {
            let most = HEARTBEAT + loosely(BESIDES);
            assert!(continued.elapsed() < most, "all are asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(ranking(&mut boss), all, "all were asked first");
        for gone in silent {
            let gone = gone.join().expect("it ends");
            let most = HEARTBEAT * 2 + loosely(BESIDES);
            assert!((HEARTBEAT..=most).contains(&gone), "gone after {gone:?}");
        }
    });
    // Two heartbeats after all were asked.
    assert!(continued.elapsed() >= HEARTBEAT * 3);
    assert_eq!(
        ranking(&mut boss),
        all[..5],
        "those that answered are still here"
    );
}
