//! What visitors may cost: none of them delays a client, another visitor, or the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use serde_json::json;

use crate::support::{Still, Vitals, alone, dial_plain, ranked, skipped, write_secret};
use crate::visitor::Shown;

/// A stream of events of which nothing is ever read, with little room at its end.
fn deaf(shown: &Shown) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a socket has a buffer");
    connect(&socket, &shown.address).expect("the server accepts");
    let mut stream = TcpStream::from(socket);
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        shown.address
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    stream
}

#[test]
fn readers_that_do_not_read_cost_a_mebibyte_each_and_delay_nothing() {
    const MEMBERS: usize = 800;
    const READERS: usize = 20;
    let _alone = alone();
    crate::support::allow_many_sockets();
    let shown = Shown::start(MEMBERS + 10, &["--max-queue", "100000"]);
    let [mut boss, mut web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    let join = |n: usize| Still::join(&shown.server, &format!("member-{n}"), 1);
    let _members: Vec<Still> = (0..MEMBERS).map(join).collect();
    let _attentive = shown.events();
    shown.json("/api/v1/members");
    let before = shown.server.most_memory();
    let _deaf: Vec<TcpStream> = (0..READERS).map(|_| deaf(&shown)).collect();
    let mut attentive = shown.events();
    let begin = Instant::now();
    let mut slowest = Duration::ZERO;
    while begin.elapsed() < Duration::from_secs(3) {
        // The load of all members changes, all the time.
        boss.command("all", &["x"]);
        web.serve(1);
        let asked = Instant::now();
        let id = boss.command("web", &["y"]);
        web.serve(1);
        boss.result_of(&id);
        slowest = slowest.max(asked.elapsed());
        attentive.next();
    }
    assert!(
        slowest < Duration::from_secs(2),
        "a command took {slowest:?}"
    );
    match (before, shown.server.most_memory()) {
        (Some(before), Some(most)) => {
            // What waits for the members counts against others' bounds: less than 16 MiB.
            let more = (most - before) >> 20;
            assert!(more < READERS as u64 + 16, "{more} MiB more");
        }
        _ => skipped("there is no /proc to read the server's memory from"),
    }
}

#[test]
fn more_visitors_than_there_are_places_keep_out_no_other() {
    let shown = Shown::start(9, &[]);
    let vitals = Vitals::of(shown.server.pid());
    let idle: Vec<TcpStream> = (0..200)
        .map(|_| dial_plain(shown.address).expect("it accepts"))
        .collect();
    for _ in 0..20 {
        assert_eq!(shown.get("/healthz").status, 200);
    }
    if let Some(vitals) = vitals {
        let threads = vitals.threads();
        assert!(threads < 64 + 20, "{threads} threads");
    }
    drop(idle);
    // Half of the places are for streams of events, and one more is told so.
    let mut open: Vec<_> = (0..32).map(|_| shown.events()).collect();
    let answer = shown.get("/api/v1/events");
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(shown.get("/metrics").status, 200);
    open.pop();
    let begin = Instant::now();
    while metrics_say(&shown, 32) {
        assert!(
            begin.elapsed() < crate::support::PATIENCE,
            "the place is not free"
        );
    }
    shown.events();
}

/// Whether so many streams of events are open.
fn metrics_say(shown: &Shown, streams: usize) -> bool {
    let metrics = shown.get("/metrics").body;
    metrics.contains(&format!("pecking_http_event_streams {streams}\n"))
}

#[test]
fn visitors_that_go_while_they_wait_for_an_answer_take_no_processor() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("look");
    write_secret(&file, "to-look-canary\n");
    let file = file.to_str().expect("UTF-8");
    let shown = Shown::start(9, &["--http-token-file", file]);
    let Some(vitals) = Vitals::of(shown.server.pid()) else {
        return;
    };
    let before = vitals.cpu();
    let begin = Instant::now();
    for _ in 0..10 {
        let mut socket = dial_plain(shown.address).expect("it accepts");
        // The answer to a wrong token waits a second; what follows the request is not read.
        let request =
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\nx";
        socket.write_all(request.as_bytes()).expect("it is taken");
        std::thread::sleep(Duration::from_millis(50));
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket is reset");
    }
    std::thread::sleep(Duration::from_secs(1));
    let spent = vitals.cpu() - before;
    assert!(
        spent < begin.elapsed() / 4,
        "{spent:?} of {:?}",
        begin.elapsed()
    );
}

#[test]
fn a_request_that_drips_ends_in_time() {
    let shown = Shown::start(9, &[]);
    let begin = Instant::now();
    let mut slow = dial_plain(shown.address).expect("it accepts");
    slow.set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a time");
    let ended = loop {
        let written = slow.write_all(b"G");
        let mut byte = [0];
        match slow.read(&mut byte) {
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            _ => break begin.elapsed(),
        }
        if written.is_err() {
            break begin.elapsed();
        }
        assert!(begin.elapsed() < crate::support::PATIENCE, "it goes on");
    };
    assert!(ended < Duration::from_secs(20), "{ended:?}");
}

#[test]
fn heads_and_lines_that_are_too_large_are_refused() {
    let shown = Shown::start(9, &[]);
    let host = shown.address;
    let long = "x".repeat(100_000);
    let many: String = (0..500).map(|n| format!("X-{n}: {n}\r\n")).collect();
    for (what, request) in [
        (
            "a target",
            format!("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ),
        (
            "a header",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {long}\r\n\r\n"),
        ),
        (
            "headers",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{many}\r\n"),
        ),
        ("no request", format!("{long}\r\n\r\n")),
    ] {
        let mut socket = shown.dial();
        let _ = socket.write_all(request.as_bytes());
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let is_refused = said.is_empty() || said.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{what}: {said}");
    }
    assert_eq!(shown.get("/healthz").status, 200);
}

/// What visitors send, changed at random.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v1/members?from=1&limit=2 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
        "GET /api/v1/commands/1 HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n\r\n",
        "POST /metrics HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 5\r\n\r\nhello",
        "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec();
    prop_oneof![
        8 => crate::made::input(seeds),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ]
}

#[test]
fn any_bytes_give_http_or_the_end_and_cost_no_client_anything() {
    let shown = Shown::start(9, &[]);
    let [boss, web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    let clients = std::cell::RefCell::new((boss, web));
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let cases = std::env::var("PROPTEST_CASES").map_or(200, |_| config.cases);
    let held = TestRunner::new(Config { cases, ..config }).run(&requests(), |request| {
        let mut socket = shown.dial();
        // The server may close at any byte of it.
        let _ = socket.write_all(&request);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        if socket.read_to_end(&mut said).is_ok() && !said.is_empty() {
            prop_assert!(
                said.starts_with(b"HTTP/1."),
                "{}",
                String::from_utf8_lossy(&said)
            );
        }
        let (boss, web) = &mut *clients.borrow_mut();
        let id = boss.command("web", &["x"]);
        web.serve(1);
        prop_assert_eq!(&boss.result_of(&id)["status"], &json!("done"));
        Ok(())
    });
    held.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shown.get("/healthz").status, 200);
    let log = shown.server.stderr_lines();
    assert!(
        !log.iter().any(|line| line.contains("panicked")),
        "{log:#?}"
    );
}

#[test]
fn a_server_ends_in_time_with_streams_open() {
    let mut shown = Shown::start(9, &["--drain", "1s"]);
    let mut events = shown.events();
    events.next();
    let deaf = deaf(&shown);
    let begin = Instant::now();
    shown.server.terminate();
    assert!(shown.server.wait_exit(crate::support::PATIENCE).success());
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    drop(deaf);
}
