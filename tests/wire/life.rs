//! How connections live and end, by the letter of the protocol: heartbeats, leaving, and
//! clients that do not keep up.

use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, Server, Still, loosely, ranked};
use serde_json::{Value, json};

/// The heartbeat of the tests that are about it.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What a loaded machine may add to or take from a time that the server keeps.
const SLACK: Duration = Duration::from_millis(150);

/// Whether a message is a ping of the server, in the right form.
fn is_ping(message: &Value) -> bool {
    let id = &message["id"];
    message["method"] == "ping" && (id.is_i64() || id.is_string())
}

#[test]
fn a_silent_client_is_asked_and_then_gone() {
    let server = Server::start(5, &["--heartbeat", "1s"]);
    let mut boss = Raw::join(&server, "boss", 0);
    let started = Instant::now();
    let mut mute = Raw::mute(&server);
    mute.join_as("mute", 1);
    let mut last = Raw::join(&server, "last", 1);
    assert_eq!(mute.joined["heartbeat_ms"], 1000);
    let running = boss.command("mute", &["running"]);
    let waiting = boss.command("mute", &["waiting"]);
    mute.execute();
    let ping = mute.next("a ping");
    assert!(is_ping(&ping), "{ping}");
    let asked = started.elapsed();
    assert!(
        (HEARTBEAT - SLACK..HEARTBEAT + loosely(HEARTBEAT)).contains(&asked),
        "asked after {asked:?}"
    );
    let rest = mute.wait_end("the end of the silent one");
    let gone = started.elapsed();
    assert!(
        (HEARTBEAT * 2 - SLACK..HEARTBEAT * 2 + loosely(HEARTBEAT)).contains(&gone),
        "gone after {gone:?}"
    );
    assert!(
        rest.iter().all(|m| m["method"] != "ping"),
        "asked once: {rest:?}"
    );
    assert_eq!(last.notification("rank"), json!({"rank": 1, "members": 2}));
    for (id, started) in [(running, true), (waiting, false)] {
        let outcome = boss.result_of(&id);
        assert_eq!(outcome["status"], "lost", "{outcome}");
        assert_eq!(outcome["started"], started, "{outcome}");
    }
}

#[test]
fn a_client_that_answers_pings_stays() {
    let server = Server::start(5, &["--heartbeat", "1s"]);
    let mut client = Raw::join(&server, "idle", 1);
    let deadline = Instant::now() + PATIENCE;
    while client.pings() < 3 {
        assert!(
            Instant::now() < deadline,
            "waited for pings, got {}",
            client.pings()
        );
        let came = client.comes_within(Duration::from_millis(50));
        assert!(
            !came,
            "an answered ping is followed by nothing: {:?}",
            client.fence()
        );
    }
    client.expect_nothing("it is still here");
}

#[test]
fn any_line_is_a_sign_of_life() {
    let server = Server::start(5, &["--heartbeat", "1s"]);
    let mut mute = Raw::mute(&server);
    mute.join_as("mute", 1);
    let started = Instant::now();
    // It answers no ping; what it says instead is neither asked for nor answered.
    while started.elapsed() < HEARTBEAT * 3 {
        mute.notify("still_here", &json!({}));
        let paced = Instant::now();
        while paced.elapsed() < HEARTBEAT / 4 && mute.comes_within(HEARTBEAT / 4) {
            let came = mute.next("a ping");
            assert!(is_ping(&came), "{came}");
        }
    }
    assert!(mute.fence().iter().all(is_ping));
}

#[test]
fn a_ping_is_answered_with_nothing_in_it() {
    let server = Server::start(5, &[]);
    let mut client = Raw::join(&server, "one", 1);
    for line in [
        r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":"p","method":"ping","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":"p","method":"ping","params":{"x":1}}"#,
    ] {
        client.send_line(line);
        let answer = client.next("the answer to ping");
        assert_eq!(
            answer,
            json!({"jsonrpc": "2.0", "id": "p", "result": {}}),
            "{line}"
        );
    }
}

#[test]
fn leave_closes_after_what_is_queued() {
    const ASKED: usize = 2000;
    let server = Server::start(50, &[]);
    let crowd: Vec<Still> = (0..40)
        .map(|n| Still::join(&server, &format!("n{n}"), 1))
        .collect();
    let mut client = Still::join(&server, "leaves", 0);
    // Far more than sockets hold, before the first byte of it is read.
    for id in 0..ASKED {
        client.send(&json!({"jsonrpc": "2.0", "id": id, "method": "members"}));
    }
    client.send(&json!({"jsonrpc": "2.0", "method": "leave"}));
    let all = client.read_to_end();
    let lines: Vec<Value> = String::from_utf8(all)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("whole lines"))
        .collect();
    assert_eq!(lines.len(), ASKED);
    for (id, line) in lines.iter().enumerate() {
        assert_eq!(line["id"], id);
        assert_eq!(line["result"]["total"], crowd.len() + 1);
    }
}

#[test]
fn what_follows_leave_is_not_read() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    boss.send_bytes(
        b"{\"jsonrpc\":\"2.0\",\"id\":\"before\",\"method\":\"ping\"}\n\
          {\"jsonrpc\":\"2.0\",\"method\":\"leave\"}\n\
          {\"jsonrpc\":\"2.0\",\"id\":\"after\",\"method\":\"send\",\"params\":{\"command\":[\"x\"]}}\n",
    );
    assert_eq!(boss.result_of(&json!("before")), json!({}));
    boss.expect_eof("nothing was taken after leave");
    assert_eq!(
        worker.notification("rank"),
        json!({"rank": 0, "members": 1})
    );
    worker.expect_nothing("nothing was sent after leave");
}

/// When a client goes that reads nothing of what waits for it.
const EVICTED_AFTER: Duration = Duration::from_secs(10);

/// Checks what a sender is told of a command to a client that reads nothing, if it took so long to
/// send all of them: on a busy machine that client is gone before the last.
#[track_caller]
fn expect_lost(answer: &Value, sent: Duration) {
    let is_gone = answer["error"]["code"] == 7 && sent >= EVICTED_AFTER * 3 / 4;
    let is_lost = answer["result"]["status"] == "lost";
    assert!(is_lost || is_gone, "{answer}");
}

#[test]
fn a_slow_client_delays_no_other() {
    const ROUNDS: usize = 30;
    let server = Server::start(5, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let slow = Still::join(&server, "slow", 1024);
    let mut quick = Raw::join(&server, "quick", 1);
    let began = Instant::now();
    // Many times what the sockets between them hold; it reads none of it.
    let long = "x".repeat(900 << 10);
    let to_slow: Vec<Value> = (0..20).map(|_| boss.command("slow", &[&long])).collect();
    boss.sync();
    let sent = began.elapsed();
    for n in 0..ROUNDS {
        let started = Instant::now();
        let selector = ["quick", "quick,missing"][n % 2];
        let id = boss.command(selector, &["x"]);
        quick.serve(1);
        boss.result_of(&id);
        let took = started.elapsed();
        assert!(took < EVICTED_AFTER * 3 / 4, "a command took {took:?}");
    }
    // The slow client goes; what it was given is lost, each once, started or not.
    slow.reset();
    for id in to_slow {
        let answer = boss.answer(&id);
        expect_lost(&answer, sent);
    }
    assert_eq!(quick.notification("rank")["rank"], 1);
}

#[test]
fn a_client_that_takes_nothing_is_gone_after_a_while() {
    // When is the server's affair, as long as it is not never.
    const AT_LAST: Duration = Duration::from_secs(30);
    let server = Server::start(5, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let _slow = Still::join(&server, "slow", 1024);
    let mut last = Raw::join(&server, "last", 1);
    let long = "x".repeat(900 << 10);
    let began = Instant::now();
    for _ in 0..20 {
        boss.command("slow", &[&long]);
    }
    boss.sync();
    let sent = began.elapsed();
    last.wait_within(AT_LAST, "the end of the slow one", |message| {
        message["method"] == "rank" && message["params"]["rank"] == 1
    });
    for _ in 0..20 {
        let answer = boss.next("an outcome");
        expect_lost(&answer, sent);
    }
    boss.expect_nothing("one outcome each");
}

#[test]
fn the_slowest_of_many_delays_only_the_tally() {
    let server = Server::start(5, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let slow = Still::join(&server, "slow", 1024);
    let mut quick = Raw::join(&server, "quick", 1024);
    let long = "x".repeat(900 << 10);
    for _ in 0..20 {
        let started = Instant::now();
        let id = boss.command("below", &[&long]);
        quick.serve(1);
        boss.wait_for("the outcome at the quick one", |message| {
            let outcome = &message["params"];
            [&outcome["send"], &outcome["name"]] == [&id, &json!("quick")]
        });
        let took = started.elapsed();
        assert!(took < EVICTED_AFTER * 3 / 4, "an outcome took {took:?}");
    }
    slow.close();
}
