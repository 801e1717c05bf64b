//! Both directions of an encrypted connection at once.

use super::testing::{accept, configs, encrypted_pair, pair};
use super::*;
use crate::memory::Memory;
use crate::net::outbox::Outbox;
use crate::net::stream::Stream;
use crate::sys::sync::Arc;
use handshake::{HandshakeError, connect};
use std::io::{BufRead, BufReader};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Threads that write at each end.
const WRITERS: usize = 3;

/// Lines of each of them: more bytes than both sockets hold, several times over.
const LINES: usize = 3_000;

/// Lines after which a writer changes the keys: an end takes no more than 32 changes without data
/// between them (rustls), and both ends change theirs.
const LINES_PER_KEY: usize = 250;

fn line(writer: usize, n: usize) -> Vec<u8> {
    // A record and more of one line now and then.
    let filler = if n.is_multiple_of(50) {
        40_000
    } else {
        n % 4_000
    };
    format!("{writer} {n} {}\n", "x".repeat(filler)).into_bytes()
}

fn write_lines(outbox: &Arc<Outbox>, stream: &Stream, writer: usize) {
    for n in 0..LINES {
        outbox.wait_for_room();
        assert!(outbox.push(line(writer, n)), "the outbox is open");
        outbox.flush();
        if writer == 0 && n % LINES_PER_KEY == 0 {
            stream.refresh_keys();
        }
    }
}

fn read_lines(stream: &Stream) {
    let mut next = [0; WRITERS];
    let mut reader = BufReader::with_capacity(512, stream);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).expect("a connection") > 0 {
        let text = String::from_utf8(std::mem::take(&mut bytes)).expect("UTF-8");
        let (writer, n) = text.split_once(' ').expect("two numbers");
        let writer: usize = writer.parse().expect("a number");
        let n = n.split(' ').next().and_then(|n| n.parse::<usize>().ok());
        assert_eq!(n, Some(next[writer]), "of writer {writer}");
        assert_eq!(text.into_bytes(), line(writer, next[writer]));
        next[writer] += 1;
    }
    assert_eq!(next, [LINES; WRITERS], "the end comes after everything");
}

/// Writes at one end, and reads there once nothing more goes in either direction.
fn use_one_end(stream: &Arc<Stream>, full: &Barrier) {
    let outbox = Outbox::new(Arc::clone(stream), None, Memory::unlimited());
    let outbox = Arc::new(outbox);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let outbox = &outbox;
                scope.spawn(move || write_lines(outbox, stream, writer))
            })
            .collect();
        wait_until(|| outbox.is_behind());
        full.wait();
        scope.spawn(|| read_lines(stream));
        for writer in writers {
            writer.join().expect("no panic");
        }
        outbox.finish();
        outbox.flush();
    });
    outbox.settle();
    assert!(!outbox.is_behind() && !stream.owes());
    outbox.close();
}

fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn three_writers_a_side_with_both_directions_full_and_changing_keys_lose_nothing() {
    let (near, far) = encrypted_pair();
    let ends = [near, far].map(Arc::new);
    let full = Barrier::new(ends.len());
    std::thread::scope(|scope| {
        for stream in &ends {
            scope.spawn(|| use_one_end(stream, &full));
        }
    });
}

#[test]
fn a_small_buffer_reads_a_large_record() {
    let (near, far) = encrypted_pair();
    let text: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
    let written = near.write_now(&text).expect("a connection");
    assert_eq!((written, near.owes()), (text.len(), false));
    assert!(near.shutdown_write());
    let (mut read, mut into) = (Vec::<u8>::new(), [0; 7]);
    loop {
        match (&far).read(&mut into).expect("a connection") {
            0 => break,
            n => read.extend(&into[..n]),
        }
    }
    assert!(read == text, "each byte in its place");
}

#[test]
fn bytes_that_were_changed_on_the_way_end_the_connection() {
    let (near, far) = encrypted_pair();
    let raw = near.raw().expect("a socket");
    assert_eq!(raw.send_now(&[23, 3, 3, 0, 17]).ok(), Some(5));
    assert_eq!(raw.send_now(&[0; 17]).ok(), Some(17));
    let error = (&far).read(&mut [0; 8]).expect_err("no record");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(far.owes(), "an alert");
    assert!(far.write_now(&[]).is_err() && !far.owes());
    let error = (&near).read(&mut [0; 8]).expect_err("an alert");
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[test]
fn a_peer_without_this_protocol_is_no_peer() {
    let (dialled, accepted) = pair();
    let (dialled, accepted) = (dialled.undecided(), accepted.undecided());
    let (client, server) = configs(&[]);
    let deadline = Instant::now() + Duration::from_secs(10);
    let name = "localhost".try_into().expect("a name");
    let (at_client, at_server) = std::thread::scope(|scope| {
        let accepting = scope.spawn(|| accept(&accepted, &server));
        let connected = connect(&dialled, client, name, deadline);
        (connected, accepting.join().expect("no panic"))
    });
    for end in [at_client, at_server] {
        assert!(matches!(end, Err(HandshakeError::NoAlpn)), "{end:?}");
    }
}
