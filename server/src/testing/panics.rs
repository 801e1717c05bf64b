//! A panic in one session, or in what the timer thread does for one, removes that session only,
//! wherever it happens. These tests are inside, since no other build has a way to make it panic.

use crate::authority::Authority;
use crate::authority::grant::Proof;
use crate::config::Config;
use crate::server::{Running, Server};
use crate::testing::{Trip, due, find, tripping};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a session panics at each place.
const TIMES: usize = 100;

/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that speaks in bare lines.
struct Raw {
    stream: TcpStream,
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Raw {
    fn connect(server: &Running) -> Raw {
        let stream = TcpStream::connect(server.address()).expect("loopback");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let reader = stream.try_clone().expect("a socket");
        Raw {
            stream,
            lines: BufReader::new(reader).lines(),
        }
    }

    fn join(server: &Running, name: &str) -> Raw {
        Raw::join_with(server, &json!({"protocol": 1, "name": name}))
    }

    fn join_with(server: &Running, params: &Value) -> Raw {
        let mut raw = Raw::connect(server);
        raw.ask(0, "join", params);
        let answer = raw.until(|m| m["id"] == 0);
        assert!(answer["result"].is_object(), "{answer}");
        raw
    }

    fn ask(&mut self, id: u64, method: &str, params: &Value) {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(&line);
    }

    fn say(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stream.write_all(line.as_bytes()).expect("it is taken");
    }

    /// The first message that fulfils a condition.
    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let lines = self.lines.by_ref().map(|line| line.expect("it comes"));
        let mut messages = lines.map(|line| serde_json::from_str(&line).expect("JSON"));
        messages.find(is_it).expect("it comes before the end")
    }

    /// Waits for the end.
    fn ended(mut self) {
        while self.lines.next().is_some_and(|line| line.is_ok()) {}
    }
}

fn server() -> Running {
    serving(Config::default())
}

fn serving(config: Config) -> Running {
    let config = Config {
        listen: "127.0.0.1:0".into(),
        ..config
    };
    Server::bind(config)
        .and_then(Server::spawn)
        .expect("loopback")
}

/// Waits until a server has `members` and nothing else: ranks without gaps, and no other
/// connection.
fn expect_whole(server: &Running, asking: &mut Raw, members: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        asking.ask(99, "members", &json!({}));
        let answer = asking.until(|m| m["id"] == 99);
        let listed = answer["result"]["members"].as_array().cloned();
        let listed: Vec<Value> = listed.expect("a list");
        let is_whole = listed.len() == members.len()
            && listed
                .iter()
                .zip(members)
                .zip(0..)
                .all(|((member, name), rank)| {
                    member["name"] == **name && member["rank"] == rank && member["running"] == 0
                });
        if is_whole && server.handle().connections() == members.len() {
            return;
        }
        assert!(Instant::now() < deadline, "{listed:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Schedules the timer at which the timer thread panics for the client whose name asks for that.
fn have_looked_at(server: &Running, trip: Trip) {
    let handle = server.handle();
    let hub = handle.hub();
    let member = find(hub, &tripping(trip)).expect("it joined");
    let due = due(trip, &member).expect("something that the timer thread does");
    hub.timers.schedule(hub.timers.now(), due);
}

#[test]
fn a_panic_at_any_place_ends_one_session_a_hundred_times() {
    const PLACES: [Trip; 7] = [
        Trip::Joining,
        Trip::Leaving,
        Trip::Sending,
        Trip::Writing,
        Trip::Looking,
        Trip::Overdue,
        Trip::Flushing,
    ];
    std::thread::scope(|scope| {
        for trip in PLACES {
            scope.spawn(move || panic_a_hundred_times(trip));
        }
    });
}

/// Has sessions panic at this place, one after another, at a server that goes on.
fn panic_a_hundred_times(trip: Trip) {
    let server = server();
    let mut boss = Raw::join(&server, "boss");
    let mut other = Raw::join(&server, "other");
    let name = tripping(trip);
    for n in 0..TIMES {
        let mut victim = Raw::connect(&server);
        victim.ask(0, "join", &json!({"protocol": 1, "name": name}));
        let mut last = None;
        if !matches!(trip, Trip::Joining) {
            victim.until(|m| m["id"] == 0);
            // The last member is told that one above it left.
            last = Some(Raw::join(&server, "last"));
            boss.ask(1, "send", &json!({"to": name, "command": ["x"]}));
            let execute = victim.until(|m| m["method"] == "execute");
            match trip {
                Trip::Sending => victim.ask(2, "send", &json!({"command": ["x"]})),
                Trip::Writing => victim.say(&json!({
                    "jsonrpc": "2.0", "method": "output",
                    "params": {"id": execute["id"], "stream": "stdout", "text": "x"},
                })),
                Trip::Leaving => {
                    victim.say(&json!({"jsonrpc": "2.0", "method": "leave"}));
                }
                _ => have_looked_at(&server, trip),
            }
        }
        victim.ended();
        if let Some(mut last) = last {
            let outcome = boss.until(|m| m["id"] == 1);
            assert_eq!(
                outcome["result"]["status"], "lost",
                "{trip:?} {n}: {outcome}"
            );
            let rank = last.until(|m| m["method"] == "rank");
            assert_eq!(rank["params"], json!({"rank": 2, "members": 3}), "{trip:?}");
        }
        expect_whole(&server, &mut boss, &["boss", "other"]);
        boss.ask(3, "send", &json!({"to": "other", "command": ["x"]}));
        let execute = other.until(|m| m["method"] == "execute");
        other.say(&json!({"jsonrpc": "2.0", "id": execute["id"], "result": {"exit_code": 0}}));
        let outcome = boss.until(|m| m["id"] == 3);
        assert_eq!(
            outcome["result"]["status"], "done",
            "{trip:?} {n}: {outcome}"
        );
    }
    drop((boss, other));
    assert!(server.stop().is_ok(), "no panic passed a session's bounds");
}

#[test]
fn a_panic_while_ranks_are_told_ends_one_session() {
    let server = server();
    let mut boss = Raw::join(&server, "boss");
    for _ in 0..TIMES {
        let first = Raw::join(&server, "first");
        let victim = Raw::join(&server, &tripping(Trip::Telling));
        let mut last = Raw::join(&server, "last");
        drop(first);
        victim.ended();
        // Both departures are told, in one piece of news or in two.
        let is_last = |m: &Value| m["params"] == json!({"rank": 1, "members": 2});
        last.until(is_last);
        expect_whole(&server, &mut boss, &["boss", "last"]);
        drop(last);
        expect_whole(&server, &mut boss, &["boss"]);
    }
}

const ROLE: &str = r#"version = 1
[roles.a]
may = ["execute", "list", "send"]
allow = [{ to = "*", commands = ["*"] }]
"#;

/// A token, and the lines of a credential that it proves.
fn credential(id: char) -> (String, String) {
    let token = format!("po1_testkey{id}_{}", "x".repeat(43));
    let Some(Proof::Token(hash)) = Proof::of(Some(&token), None) else {
        panic!("it is a token");
    };
    let lines = format!(
        "[[credentials]]\nid = \"{id}\"\nrole = \"a\"\ntoken = \"{hash}\"\nnames = [\"*\"]\n"
    );
    (token, lines)
}

/// A server that goes by an auth file.
fn knowing(file: &Path) -> Running {
    serving(Config {
        authority: Some(Authority::load(file).expect("it is right")),
        ..Config::default()
    })
}

#[test]
fn a_panic_while_one_is_held_to_new_rules_leaves_no_other_with_the_old_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auth.toml");
    let (token, lines) = credential('1');
    std::fs::write(&file, format!("{ROLE}{lines}")).expect("a file");
    let server = knowing(&file);
    let [victim, mut other] = [tripping(Trip::Leaving), "other".to_owned()].map(|name| {
        let params = json!({"protocol": 1, "name": name, "token": token});
        Raw::join_with(&server, &params)
    });
    std::fs::write(&file, ROLE).expect("a file");
    let bye = other.until(|m| m["method"] == "bye");
    assert_eq!(bye["params"]["reason"], "revoked");
    victim.ended();
}

#[test]
fn a_panic_while_one_that_is_away_is_ended_keeps_no_sender_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auth.toml");
    let ((token, stays), (victims_token, goes)) = (credential('1'), credential('2'));
    std::fs::write(&file, format!("{ROLE}{stays}{goes}")).expect("a file");
    let server = knowing(&file);
    let boss = json!({"protocol": 1, "name": "boss", "token": token});
    let mut boss = Raw::join_with(&server, &boss);
    let name = tripping(Trip::Leaving);
    let victim = json!({"protocol": 1, "name": name, "token": victims_token, "hold": true});
    let mut victim = Raw::join_with(&server, &victim);
    // A place is held once something has come after the answer to `join`.
    victim.ask(1, "members", &json!({}));
    victim.until(|m| m["id"] == 1);
    boss.ask(1, "send", &json!({"to": name, "command": ["x"]}));
    victim.until(|m| m["method"] == "execute");
    let member = find(server.handle().hub(), &name).expect("it joined");
    let deadline = Instant::now() + PATIENCE;
    while !member.connection.is_away() {
        assert!(Instant::now() < deadline, "it is not away");
        member.connection.lose();
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(&file, format!("{ROLE}{stays}")).expect("a file");
    let outcome = boss.until(|m| m["id"] == 1);
    assert_eq!(outcome["result"]["status"], "lost", "{outcome}");
    expect_whole(&server, &mut boss, &["boss"]);
    drop(victim);
}
