//! Wrong tokens, as fast as they go: they keep out neither the right one nor connections that say
//! nothing yet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::handshakes::{JOINS_WITHIN, OF_ONE, dial, has_loopback_network};
use crate::support::auth::{Auth, ROLES, token};
use crate::support::{PATIENCE, Raw, Server, dial_from, loosely};

use serde_json::json;

/// Tries at an address with wrong tokens until then: each connects, asks to join, and reads
/// to the end. How many were answered `unauthorized`, and how many tries there were.
fn guess(server: &Server, from: u8, until: Instant) -> (usize, usize) {
    let join = json!({"jsonrpc": "2.0", "id": 1, "method": "join",
                      "params": {"protocol": 1, "token": "wrong"}});
    let join = format!("{join}\n");
    let (mut answered, mut tried) = (0, 0);
    while Instant::now() < until {
        tried += 1;
        let Ok(mut stream) = dial_from(from, server.address()) else {
            continue;
        };
        let _ = stream.write_all(join.as_bytes());
        let (mut text, _) = (String::new(), stream.set_read_timeout(Some(PATIENCE)));
        let _ = stream.read_to_string(&mut text);
        answered += usize::from(text.contains("\"unauthorized\""));
    }
    (answered, tried)
}

/// Joins with a token; how long that took, and the answer.
fn show(server: &Server, from: u8, token: &str) -> (Raw, Duration, serde_json::Value) {
    let began = Instant::now();
    let mut client = Raw::over(dial(server, from), true);
    let id = client.request("join", &json!({"protocol": 1, "token": token}));
    let answer = client.wait_within(PATIENCE, "an answer or bye", |message| {
        message["id"] == id || message["method"] == "bye"
    });
    (client, began.elapsed(), answer)
}

#[test]
fn a_flood_of_wrong_tokens_is_answered_16_times_a_second_and_the_right_one_joins_meanwhile() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    crate::support::write_secret(&file, "secret\n");
    flood_with_wrong_tokens("--token-file", &file, "secret");
}

#[test]
fn a_flood_of_wrong_tokens_is_no_worse_at_a_server_with_an_auth_file() {
    let auth = Auth::new(ROLES).with("web1", "agent", "");
    flood_with_wrong_tokens("--auth", &auth.path(), &token("web1"));
}

fn flood_with_wrong_tokens(option: &str, file: &Path, right: &str) {
    const LASTS: Duration = Duration::from_secs(4);
    /// Addresses that guess, and how many at a time.
    const GUESSING: [u8; 2] = [2, 3];
    const AT_ONCE: usize = 32;
    if !has_loopback_network() {
        return;
    }
    let server = Server::start(50, &[option, file.to_str().expect("a plain path")]);
    // A member comes from one of the two.
    let (_member, _, answer) = show(&server, GUESSING[0], right);
    assert!(answer["result"].is_object(), "{answer}");
    let (logged, began) = (server.stderr_lines().len(), Instant::now());
    let (guessed, joins) = std::thread::scope(|scope| {
        let (server, until) = (&server, began + LASTS);
        let guessing = GUESSING.map(|from| {
            let guess = move || guess(server, from, until);
            (0..AT_ONCE).map(|_| scope.spawn(guess)).collect::<Vec<_>>()
        });
        let mut joins = Vec::new();
        while began.elapsed() < LASTS * 3 / 4 {
            for from in [1, GUESSING[0]] {
                let (client, took, answer) = show(server, from, right);
                assert!(answer["result"].is_object(), "from {from}: {answer}");
                client.leave();
                joins.push(took);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // From an address without a member, after so many wrong ones, no token is checked.
        let (_, took, answer) = show(server, GUESSING[1], right);
        let is_refused = answer["error"]["data"]["reason"] == "unauthorized";
        let made_room = answer["method"] == "bye";
        assert!(is_refused || made_room, "{answer} after {took:?}");
        let guessed = guessing.map(|those| {
            let counts = those.into_iter().map(|one| one.join().expect("no panic"));
            counts.fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
        });
        (guessed, joins)
    });
    let seconds = began.elapsed().as_secs() as usize + 1;
    let lines = server.stderr_lines()[logged..]
        .iter()
        .filter(|line| line.contains("may not join"))
        .count();
    println!("{guessed:?} in {seconds} s, {lines} lines; the right one took {joins:?}");
    for (answered, _) in guessed {
        assert!(
            answered <= (seconds + 1) * OF_ONE,
            "{answered} answers in {seconds} s"
        );
    }
    assert!((1..=seconds + 1).contains(&lines), "{lines} lines");
    let mut joins = joins;
    joins.sort_unstable();
    let usual = joins[joins.len() * 9 / 10];
    assert!(usual <= loosely(JOINS_WITHIN), "{joins:?}");
}

/// Asks to join with a wrong token, and reads nothing.
fn guess_blindly(server: &Server, from: u8) -> TcpStream {
    let mut stream = dial(server, from);
    let join = json!({"jsonrpc": "2.0", "id": 1, "method": "join",
                      "params": {"protocol": 1, "token": "wrong"}});
    let _ = stream.write_all(format!("{join}\n").as_bytes());
    stream
}

/// All that the server says to a connection until it closes.
fn last_words(mut stream: &TcpStream) -> String {
    let (mut text, _) = (String::new(), stream.set_read_timeout(Some(PATIENCE)));
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn an_address_that_guesses_in_vain_pushes_out_no_connection_of_its_own() {
    /// Refusals get longer with each round: the third is longer than a round takes.
    const ROUNDS: usize = 8;
    if !has_loopback_network() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    crate::support::write_secret(&file, "secret\n");
    let server = Server::start(50, &["--token-file", file.to_str().expect("a plain path")]);
    let mut rounds = (0..ROUNDS).map(|_| {
        let first: Vec<_> = (0..OF_ONE).map(|_| guess_blindly(&server, 2)).collect();
        // They say nothing, as a word that arrives behind the end would undo what they were told.
        let later: Vec<_> = (0..OF_ONE).map(|_| dial(&server, 2)).collect();
        let count = |streams: &[TcpStream], reason: &str| {
            let said = streams.iter().map(last_words);
            said.filter(|said| said.contains(reason)).count()
        };
        (
            count(&first, "\"unauthorized\""),
            count(&later, "\"idle_handshake\""),
        )
    });
    let expected = (OF_ONE, OF_ONE);
    assert!(rounds.any(|round| round == expected), "never {expected:?}");
    let (_, _, answer) = show(&server, 1, "secret");
    assert!(answer["result"].is_object(), "{answer}");
}
