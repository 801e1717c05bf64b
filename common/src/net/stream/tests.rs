use super::*;
use crate::net::tls::testing::{both, pair};

#[test]
fn a_full_socket_takes_nothing_and_says_so() {
    both(|near, far| {
        let chunk = vec![b'x'; 1 << 20];
        let mut written = 0;
        while let Ok(n @ 1..) = near.write_now(&chunk) {
            written += n;
        }
        assert_eq!(near.write_now(&chunk).ok(), Some(0));
        assert_eq!(near.owes(), near.is_encrypted());
        assert_eq!(near.wait_writable(Duration::ZERO).ok(), Some(false));
        let mut sink = vec![0; 1 << 16];
        while written > 0 {
            match far.read_now(&mut sink) {
                Ok(n) => written -= n,
                // The last of it is still here, encrypted.
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
            near.write_now(&[]).expect("a connection");
        }
        let writable = near.wait_writable(Duration::from_secs(5));
        assert_eq!((writable.ok(), near.owes()), (Some(true), false));
    });
}

#[test]
fn a_read_of_what_is_here_never_waits() {
    both(|near, far| {
        let kind = |result: io::Result<usize>| result.map_err(|e| e.kind());
        let nothing_now = Err(io::ErrorKind::WouldBlock);
        assert_eq!(kind(near.read_now(&mut [0; 8])), nothing_now);
        assert_eq!(far.write_now(b"abc").ok(), Some(3));
        while !near.has_unread() {}
        let mut into = [0; 2];
        let mut text: Vec<u8> = Vec::new();
        while text.len() < 3 {
            if let Ok(read) = kind(near.read_now(&mut into)) {
                assert_eq!(near.has_unread(), text.is_empty(), "the third byte");
                text.extend(&into[..read]);
            }
        }
        assert_eq!(text, b"abc");
        assert_eq!(kind(near.read_now(&mut into)), nothing_now);
        far.close();
        while !near.has_unread() {}
        assert_eq!(kind(near.read_now(&mut into)), Ok(0));
    });
}

#[test]
fn a_wait_for_a_time_alone_ends_with_the_connection() {
    both(|near, _far| {
        let wait = |timeout| near.wait_ready(false, false, Some(timeout));
        assert!(wait(Duration::ZERO).is_ok());
        near.shutdown();
        let ended = wait(Duration::from_secs(60)).map_err(|e| e.kind());
        assert_eq!(ended, Err(io::ErrorKind::ConnectionAborted));
    });
}

#[test]
fn shutdown_ends_a_blocked_read() {
    both(|near, _far| {
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| (&*near).read(&mut [0; 8]));
            near.shutdown();
            assert_eq!(reading.join().expect("no panic").ok(), Some(0));
        });
    });
}

#[test]
fn a_wait_for_the_end_is_one_for_both_directions() {
    both(|near, far| {
        assert!(far.shutdown_write());
        assert_eq!((&*near).read(&mut [0; 8]).ok(), Some(0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| near.wait_for_end());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished(), "its own half is open");
            assert!(near.shutdown_write());
        });
        near.wait_for_end();
    });
}

#[test]
fn a_closed_stream_that_is_still_held_gives_its_descriptor_back() {
    both(|near, far| {
        near.close();
        assert_eq!((&*far).read(&mut [0; 8]).ok(), Some(0));
        assert!(near.input().is_err() && near.write_now(b"x").is_err());
    });
}

#[test]
fn an_undecided_stream_carries_nothing() {
    let (near, far) = pair();
    let near = near.undecided();
    let kind = near.write_now(b"x").map_err(|e| e.kind());
    assert_eq!(kind, Err(io::ErrorKind::NotConnected));
    assert!(near.input().is_err() && near.read_now(&mut [0; 8]).is_err());
    near.stay_plain();
    assert_eq!(near.write_now(b"x").ok(), Some(1));
    assert_eq!((&far).read(&mut [0; 8]).ok(), Some(1));
    assert!(!near.is_encrypted() && !far.is_encrypted());
}
