//! Any bytes at all, from unjoined connections and from clients that have joined: what they get back is
//! JSON-RPC or the end, the server's memory has a bound, and the others notice nothing.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;

use crate::support::{PATIENCE, Server, checked, dial, ranked, skipped};
use common::net::TLS_FIRST_BYTE;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Connections that are made, unless `PROPTEST_CASES` asks for more.
const CASES: u32 = 200;

/// The first byte of a record with an alert (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 21;

/// What a server may need for one connection: a line of 1 MiB, which is read into a buffer
/// that doubles, and answers to what fits into it, with as much again for the allocator.
const MEMORY: u64 = 16 << 20;

/// Longer than a line may be.
const TOO_LONG: usize = (1 << 20) + 1000;

const JOIN: &[u8] =
    b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"join\",\"params\":{\"protocol\":1}}\n";

/// What a client writes, piece by piece.
fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let seeds = [crate::made::seeds("message"), crate::made::seeds("plain")].concat();
    let line = || crate::made::input(seeds.clone());
    let long = (
        prop::sample::select(b"[{\"a \x00\xff".to_vec()),
        1..TOO_LONG,
    );
    let piece = prop_oneof![
        30 => line().prop_map(|mut line| { line.push(b'\n'); line }),
        4 => line(),
        4 => prop::collection::vec(any::<u8>(), 0..300),
        1 => long.prop_map(|(byte, len)| vec![byte; len]),
    ];
    (any::<bool>(), prop::collection::vec(piece, 0..60)).prop_map(|(joins, mut pieces)| {
        if joins {
            pieces.insert(0, JOIN.to_vec());
        }
        pieces
    })
}

/// Writes it all and reads until the end. Every line is one that a server may write.
fn exchange(server: &Server, pieces: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let stream = dial(server.address());
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    stream.set_nodelay(true).expect("an open socket");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The server may close at any of them.
            let mut writing = &stream;
            let _ = pieces.iter().try_for_each(|piece| writing.write_all(piece));
            let _ = stream.shutdown(Shutdown::Write);
        });
        for line in BufReader::new(&stream).split(b'\n') {
            let mut line = match line {
                Ok(line) => line,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(e) => return Err(TestCaseError::fail(format!("it does not end: {e}"))),
            };
            // A record that begins as TLS does is answered by an alert (RFC 8446, section 6).
            if line.first() == Some(&TLS_ALERT) && pieces.concat().contains(&TLS_FIRST_BYTE) {
                break;
            }
            line.push(b'\n');
            checked(&line).map_err(TestCaseError::fail)?;
        }
        Ok(())
    })
}

#[test]
fn a_byte_that_begins_tls_is_answered_by_an_alert() {
    let server = Server::start(1, &[]);
    let mut stream = dial(server.address());
    stream.write_all(&[TLS_FIRST_BYTE]).expect("a connection");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&TLS_ALERT), "{answer:?}");
}

#[test]
fn any_bytes_give_json_rpc_or_the_end_and_cost_no_other_client_anything() {
    let server = Server::start(5, &[]);
    let [boss, worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let others = RefCell::new((boss, worker));
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let cases = std::env::var("PROPTEST_CASES").map_or(CASES, |_| config.cases);
    let mut runner = TestRunner::new(Config { cases, ..config });
    let before = server.most_memory();
    let held = runner.run(&stream(), |pieces| {
        exchange(&server, &pieces)?;
        let (boss, worker) = &mut *others.borrow_mut();
        let id = boss.command("worker", &["x"]);
        worker.serve(1);
        prop_assert_eq!(&boss.result_of(&id)["status"], "done");
        Ok(())
    });
    held.unwrap_or_else(|e| panic!("{e}"));
    let log = server.stderr_lines();
    let panicked = log.iter().find(|line| line.contains("panicked"));
    assert_eq!(panicked, None);
    match (before, server.most_memory()) {
        (Some(before), Some(most)) => {
            let more = most - before;
            assert!(more <= MEMORY, "it took {more} bytes more");
        }
        _ => skipped("there is no /proc to read the server's memory from"),
    }
}
