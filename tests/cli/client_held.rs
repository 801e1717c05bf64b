//! A client whose place is held: how it tries to come back to a server that does not answer. A test of the
//! library that is here as it waits for seconds, beside others that do.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::dialled::accept;
use ::client::{Client, Config, Simulation};
use serde_json::{Value, json};

/// Lets a client in, and holds its place.
fn let_in(listener: &TcpListener) -> TcpStream {
    let mut stream = accept(listener);
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut line = String::new();
    let mut lines = BufReader::new(&stream);
    lines.read_line(&mut line).expect("a join");
    let join: Value = serde_json::from_str(&line).expect("JSON");
    let joined = json!({"member": 7, "name": "client-7", "rank": 3, "members": 4,
        "heartbeat_ms": 60_000, "max_line": 1 << 20,
        "resume": {"token": "0123456789abcdef0123456789abcdef", "hold_ms": 60_000}});
    let answer = json!({"jsonrpc": "2.0", "id": join["id"], "result": joined});
    writeln!(stream, "{answer}").expect("a client");
    stream
}

/// How long a client waits for the answer to its `join`, which it does not get.
fn patience_of(listener: &TcpListener) -> Duration {
    let mut stream = accept(listener);
    let began = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It ends with a reset, as a FIN would be a leave.
    let end = stream.read_to_end(&mut Vec::new());
    assert_eq!(
        end.map_err(|e| e.kind()).err(),
        Some(ErrorKind::ConnectionReset)
    );
    began.elapsed()
}

#[test]
fn a_client_that_got_no_answer_in_time_waits_longer_for_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = Config {
        server: listener.local_addr().expect("an address").to_string(),
        slots: Some(1),
        connect_timeout: PATIENCE,
        hold: true,
        ..Config::default()
    };
    let (client, server) = std::thread::scope(|scope| {
        let accepting = scope.spawn(|| let_in(&listener));
        let client = Client::connect(config, Simulation).expect("a server");
        (client, accepting.join().expect("no panic"))
    });
    drop(server);
    patience_of(&listener);
    let second = patience_of(&listener);
    // Four seconds, less what the client has waited before it was accepted; the first was two.
    assert!(second > Duration::from_millis(2500), "{second:?}");
    client.leave();
}
