//! The outbox in front of sockets.

use super::pace::Pace;
use super::queue::PIECE;
use super::*;
use crate::memory::{Charge, Memory};
use crate::net::listener::Listener;
use crate::net::scratch::BATCH;
use crate::net::tls::testing::encrypted_pair;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::time::{Duration, Instant};

pub(super) fn pair(farewell: Option<fn() -> Vec<u8>>) -> (Arc<Outbox>, Stream) {
    let (near, far) = streams();
    (
        Arc::new(Outbox::new(Arc::new(near), farewell, Memory::unlimited())),
        far,
    )
}

/// Both ends of a connection: the one to write to first.
pub(super) fn streams() -> (Stream, Stream) {
    let (listener, _waker) = Listener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.address().to_string();
    let reader = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
    let accepted = listener.accept().expect("loopback").expect("not woken");
    (accepted, reader)
}

#[test]
fn a_line_pushed_while_the_role_is_free_skips_the_queue_and_keeps_its_place() {
    let (outbox, reader) = pair(None);
    assert!(outbox.push(b"1\n".to_vec()));
    assert!(outbox.waiting.is_empty(), "no thread writes");
    let writer = try_role(&outbox.writer).expect("no thread writes");
    assert!(outbox.push(b"2\n".to_vec()));
    drop(writer);
    assert!(outbox.push(b"3\n".to_vec()));
    assert_eq!(outbox.waiting.len(), 2, "what comes later comes behind");
    assert!(outbox.is_behind());
    outbox.flush();
    assert!(!outbox.is_behind());
    outbox.finish();
    outbox.flush();
    let mut all = String::new();
    (&reader).read_to_string(&mut all).expect("a clean end");
    assert_eq!(all, "1\n2\n3\n");
    outbox.close();
}

#[test]
fn many_pushers_lose_nothing_and_keep_their_order() {
    const PUSHERS: usize = 8;
    const LINES: usize = 5_000;
    let (outbox, reader) = pair(None);
    let mut next = [0; PUSHERS];
    std::thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let outbox = &outbox;
            scope.spawn(move || {
                for n in 0..LINES {
                    assert!(outbox.push(format!("{pusher} {n}\n").into_bytes()));
                    outbox.flush();
                }
            });
        }
        let mut lines = BufReader::new(&reader).lines();
        for _ in 0..PUSHERS * LINES {
            let line = lines.next().expect("all lines come").expect("UTF-8");
            let (pusher, n) = line.split_once(' ').expect("two numbers");
            let expected = &mut next[pusher.parse::<usize>().expect("a number")];
            assert_eq!(n.parse(), Ok(*expected), "of pusher {pusher}");
            *expected += 1;
        }
    });
    assert!(!outbox.is_behind());
    outbox.close();
}

#[test]
fn a_peer_that_reads_late_gets_everything_and_then_the_end() {
    let (outbox, reader) = pair(None);
    let line: Line = vec![b'x'; 100_000].into();
    for _ in 0..200 {
        assert!(outbox.push(line.clone()));
        outbox.flush();
    }
    assert!(outbox.is_behind(), "20 MB do not fit into a socket");
    outbox.finish_with(b"bye\n".to_vec());
    assert!(!outbox.push(line), "it takes nothing after the last line");
    outbox.flush();
    let mut all = Vec::new();
    (&reader).read_to_end(&mut all).expect("a clean end");
    assert_eq!(all.len(), 200 * 100_000 + 4);
    assert!(all.ends_with(b"xbye\n"));
    outbox.close();
}

#[test]
fn a_peer_past_its_bound_is_given_up_and_ends_waits_for_room() {
    let (outbox, reader) = pair(Some(|| b"too slow\n".to_vec()));
    let line: Line = Line::shared(vec![b'x'; 1 << 20], Charge::default());
    std::thread::scope(|scope| {
        while outbox.push(line.clone()) {
            outbox.flush();
        }
        assert!(outbox.is_over_half());
        let waiting = scope.spawn(|| outbox.wait_for_room());
        outbox.flush();
        waiting.join().expect("the wait ends");
    });
    let mut rest = Vec::new();
    let _ = (&reader).read_to_end(&mut rest);
    assert!(rest.len() < OUTBOX_BYTES && outbox.was_too_slow());
    outbox.close();
    assert_eq!(outbox.waiting.len(), 0, "what waited is let go of");
}

#[test]
fn a_single_line_past_the_bound_is_too_much() {
    let (outbox, _reader) = pair(None);
    assert!(!outbox.push(vec![b'x'; OUTBOX_BYTES + 1]));
    outbox.flush();
    assert!(outbox.was_too_slow());
    outbox.close();
}

#[test]
fn a_peer_past_either_bound_is_told_why_if_the_socket_takes_that() {
    let of_bytes = vec![b'x'; OUTBOX_BYTES / 8];
    for (line, most) in [(of_bytes, 8), (b"\n".to_vec(), OUTBOX_LINES)] {
        let (outbox, reader) = pair(Some(|| b"too slow\n".to_vec()));
        let line: Line = Line::shared(line, Charge::default());
        let writer = try_role(&outbox.writer).expect("no thread writes");
        let pushed = (0..).take_while(|_| outbox.push(line.clone())).count();
        assert_eq!(pushed, most, "nothing is written meanwhile");
        drop(writer);
        outbox.flush();
        let mut rest = Vec::new();
        (&reader).read_to_end(&mut rest).expect("a clean end");
        assert!(rest.ends_with(b"too slow\n"), "{} bytes", rest.len());
        assert!(outbox.was_too_slow());
        outbox.close();
    }
}

#[test]
fn a_wait_for_room_ends_when_the_peer_catches_up() {
    let (outbox, reader) = pair(None);
    let line: Line = Line::shared(vec![b'x'; 1 << 20], Charge::default());
    while !outbox.is_over_half() {
        assert!(outbox.push(line.clone()));
        outbox.flush();
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            outbox.wait_for_room();
            assert!(outbox.is_open() && !outbox.is_over_half());
        });
        let mut sink = vec![0; 1 << 20];
        while !waiting.is_finished() {
            (&reader).read_exact(&mut sink).expect("more comes");
        }
    });
    outbox.close();
}

/// The pace of a peer that has been behind for so many seconds and took nothing meanwhile.
fn behind_for(seconds: u32) -> Option<Box<Pace>> {
    let mut pace = Pace::start(0);
    for _ in 0..seconds {
        pace.look_after(Duration::from_secs(1), 0);
    }
    Some(Box::new(pace))
}

#[test]
fn a_slow_peer_is_given_up_without_a_thread_to_catch_up() {
    let (outbox, reader) = pair(Some(|| b"too slow\n".to_vec()));
    for (seconds, is_over) in [(8, false), (11, true)] {
        lock(&outbox.writer).pace = behind_for(seconds);
        outbox.get_stuck();
        assert_eq!(outbox.was_too_slow(), is_over, "after {seconds} s");
        assert_eq!(outbox.is_stuck(), !is_over);
    }
    let mut all = String::new();
    (&reader).read_to_string(&mut all).expect("a clean end");
    assert_eq!(all, "too slow\n");
    outbox.close();
}

#[test]
fn a_thread_that_waits_for_room_writes_if_no_thread_catches_up() {
    let (outbox, reader) = pair(None);
    let line: Line = Line::shared(vec![b'x'; 1 << 20], Charge::default());
    while !outbox.is_over_half() {
        assert!(outbox.push(line.clone()));
    }
    outbox.get_stuck();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut &reader, &mut std::io::sink()));
        let waiting = scope.spawn(|| outbox.wait_for_room());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !waiting.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let has_room = !outbox.is_over_half();
        outbox.close();
        assert!(has_room, "nothing was written");
    });
}

#[test]
fn bytes_taken_by_a_peer_long_behind_are_a_sign_of_life() {
    for (seconds, signs) in [(1, 0), (3, 1)] {
        let (outbox, reader) = pair(None);
        lock(&outbox.writer).pace = behind_for(seconds);
        assert!(outbox.push(b"1\n".to_vec()));
        assert_eq!(outbox.progress(), 0);
        outbox.flush();
        assert_eq!(outbox.progress(), signs, "after {seconds} s");
        drop(reader);
        outbox.close();
    }
}

#[test]
fn a_panic_while_catching_up_ends_that_connection_only() {
    const PEERS: usize = 8;
    let line: Line = Line::shared(vec![b'x'; 1 << 20], Charge::default());
    let stuck: Vec<_> = (0..PEERS)
        .map(|_| {
            // The last words are made by the thread that gives the peer up.
            let (outbox, reader) = pair(Some(|| panic!("a test asked for this panic")));
            assert!(outbox.push(line.clone()));
            while !outbox.is_behind() || lock(&outbox.catching_up).is_none() {
                assert!(outbox.push(line.clone()));
                outbox.flush();
            }
            while outbox.push(line.clone()) {}
            (outbox, reader)
        })
        .collect();
    for (outbox, reader) in stuck {
        let patience = Some(Duration::from_secs(5));
        reader.set_read_timeout(patience).expect("an open socket");
        let rest = (&reader).read_to_end(&mut Vec::new());
        let timed_out = rest.is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        assert!(!timed_out, "the connection has not ended");
        outbox.settle();
        assert!(!outbox.is_open() && !outbox.was_too_slow());
        assert_eq!(outbox.waiting.len(), 0, "what waited is let go of");
        outbox.close();
    }
}

#[test]
fn the_outbox_of_an_idle_peer_is_small() {
    // Four cache lines, of which the writer has two.
    assert!(size_of::<Outbox>() <= 256, "{}", size_of::<Outbox>());
    let (outbox, _reader) = pair(None);
    for _ in 0..100 {
        assert!(outbox.push(b"1\n".to_vec()));
        outbox.flush();
    }
    assert!(
        outbox.waiting.is_untouched(),
        "what never waits needs no queue"
    );
}

#[test]
fn kept_memory_is_counted_until_it_is_written_or_dropped() {
    let memory = Memory::new(1 << 20);
    let (near, reader) = streams();
    let outbox = Outbox::new(Arc::new(near), None, Arc::clone(&memory));
    let outbox = Arc::new(outbox);
    let line = || Line::from(vec![b'x'; 100_000]);
    let shared = Line::shared(vec![b'x'; 100_000], Charge::new(&memory, 100_000));
    let writer = try_role(&outbox.writer).expect("no thread writes");
    assert!(outbox.push(line()) && outbox.push(shared.clone()) && outbox.push(shared));
    drop(writer);
    let (kept, more) = (outbox.kept(), 3 * PIECE);
    assert_eq!((kept, memory.kept()), (100_000 + more, 200_000 + more));
    outbox.flush();
    outbox.finish();
    let mut all = Vec::new();
    outbox.flush();
    (&reader).read_to_end(&mut all).expect("a clean end");
    assert_eq!(all.len(), 300_000);
    outbox.settle();
    assert_eq!((outbox.kept(), memory.kept()), (0, 0));

    let (near, _reader) = streams();
    let outbox = Outbox::new(Arc::new(near), None, Arc::clone(&memory));
    let outbox = Arc::new(outbox);
    while memory.excess() == 0 {
        assert!(outbox.push(line()));
        outbox.flush();
    }
    assert_eq!(outbox.kept(), memory.kept());
    outbox.give_up_now();
    assert!(outbox.was_too_slow());
    outbox.close();
    assert_eq!((outbox.kept(), memory.kept()), (0, 0));
}

#[test]
fn what_is_encrypted_and_waits_is_counted_until_it_is_written_or_dropped() {
    for end in [Outbox::close, Outbox::give_up_now] {
        let memory = Memory::new(usize::MAX);
        let (near, _reader) = encrypted_pair();
        let stream = Arc::new(near);
        let outbox = Outbox::new(Arc::clone(&stream), None, Arc::clone(&memory));
        let outbox = Arc::new(outbox);
        let line: Line = Line::shared(vec![b'x'; 100_000], Charge::default());
        while outbox.waiting_bytes() < 1 << 20 || !stream.owes() {
            if outbox.waiting_bytes() < 1 << 20 {
                assert!(outbox.push(line.clone()));
                outbox.flush();
            }
        }
        let writer = role(&outbox.writer);
        let sealed = stream.kept();
        let queued = outbox.waiting.len() * PIECE;
        assert_eq!(outbox.kept(), writer.rest.capacity() + sealed + queued);
        // What is encrypted at once is a batch of lines.
        assert!((1..=2 * BATCH).contains(&sealed), "{sealed}");
        assert_eq!(outbox.kept(), memory.kept());
        drop(writer);
        end(&outbox);
        outbox.settle();
        assert_eq!((stream.kept(), outbox.kept(), memory.kept()), (0, 0, 0));
    }
}
