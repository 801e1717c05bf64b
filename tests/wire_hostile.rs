//! Clients that mean no good, or just ask for a lot at once: what they do costs nobody else
//! anything, and the server little.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{
    IS_RELEASE, PATIENCE, Raw, Server, Still, Vitals, allow_many_sockets, ranked, skipped,
};

#[test]
fn a_wrong_value_of_a_megabyte_is_not_sent_back_whole() {
    let server = Server::start(5, &[]);
    let mut client = Raw::join(&server, "client", 1);
    let value = "\u{7f}".repeat(1_000_000);
    for params in [
        json!({"command": ["x"], "timeout_ms": value}),
        json!({"command": [value, 1]}),
        json!({"command": ["x"], "to": value}),
    ] {
        let error = client.error("send", &params);
        assert_eq!(error["code"], -32602);
        let message = error["message"].as_str().expect("a sentence");
        assert!(message.len() < 1000, "{} bytes", message.len());
    }
}

#[test]
fn a_batch_of_requests_never_evicts_who_reads_the_answers() {
    // Each answer has some 65 KiB, so that all of them are more than an outbox holds.
    const MEMBERS: usize = 300;
    const REQUESTS: usize = 3_000;
    let server = Server::start(MEMBERS + 1, &["--heartbeat", "60s"]);
    let crowd: Vec<Raw> = (0..MEMBERS)
        .map(|n| {
            Raw::join(
                &server,
                &format!("a-rather-long-name-for-a-client-{n:030}"),
                1,
            )
        })
        .collect();
    let asking = TcpStream::connect(server.address()).expect("loopback");
    asking
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    let join = r#"{"jsonrpc":"2.0","id":0,"method":"join","params":{"protocol":1,"slots":0}}"#;
    let requests: String = (1..=REQUESTS)
        .map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"members\"}}\n"))
        .collect();
    std::thread::scope(|scope| {
        let all = format!("{join}\n{requests}");
        let mut writing = &asking;
        scope.spawn(move || writing.write_all(all.as_bytes()).expect("it is taken"));
        let answers = BufReader::new(&asking).split(b'\n').take(REQUESTS + 1);
        for (id, answer) in answers.map(|line| line.expect("it comes")).enumerate() {
            let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":");
            let shown = String::from_utf8_lossy(&answer[..answer.len().min(100)]);
            assert!(
                answer.starts_with(start.as_bytes()),
                "the answer to {id}, not {shown}"
            );
        }
    });
    drop(crowd);
}

#[test]
fn who_left_keeps_no_descriptor_while_its_commands_are_open() {
    const CAME_AND_WENT: usize = 50;
    let server = Server::start(5, &[]);
    let [mut boss, mut mute] = ranked(&server, [("boss", 0), ("mute", 1024)]);
    let Some(before) = server.descriptors() else {
        return skipped("there is no /proc to count descriptors in");
    };
    for n in 0..CAME_AND_WENT {
        let mut guest = Raw::join(&server, &format!("guest{n}"), 1);
        // The mute one never answers, so the send stays open.
        boss.command("below", &["x"]);
        guest.execute();
        mute.execute();
        guest.leave();
        boss.wait_for("the guest's outcome", |m| m["params"]["status"] == "lost");
    }
    let deadline = Instant::now() + PATIENCE;
    while server.descriptors().is_some_and(|now| now > before + 2) {
        assert!(
            Instant::now() < deadline,
            "{before} descriptors before, {:?} now",
            server.descriptors()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn answers_that_nobody_asked_for_are_no_sign_of_life() {
    let server = Server::start(5, &["--heartbeat", "500ms"]);
    let mut mute = Raw::mute(&server);
    mute.join_as("mute", 1);
    let ping = mute.next("a ping")["id"].clone();
    // The right answer counts once; after that it is one that nobody asked for.
    let answer = format!("{}\n", json!({"jsonrpc": "2.0", "id": ping, "result": {}}));
    let never_asked = "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n";
    let deadline = Instant::now() + PATIENCE;
    let lines = [answer, never_asked.to_owned()].concat();
    while mute.try_send(lines.as_bytes()).is_ok() {
        assert!(Instant::now() < deadline, "it is still here");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_signal_of_a_megabyte_is_no_answer() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    for signal in ["S".repeat(900_000), String::new(), "SIG KILL".into()] {
        let id = boss.command("next", &["x"]);
        let execute = worker.execute();
        worker.reply(&execute, &json!({"signal": signal}));
        let outcome = boss.result_of(&id);
        assert_eq!(outcome["status"], "failed", "{outcome}");
        assert_eq!(outcome.get("signal"), None);
    }
}

#[test]
fn strangers_who_take_no_answers_are_closed() {
    let server = Server::start(5, &["--token-file", token_file().to_str().expect("text")]);
    let stranger = TcpStream::connect(server.address()).expect("loopback");
    // The system's buffers hold little, so that it soon shows that nothing is taken.
    rustix::net::sockopt::set_socket_recv_buffer_size(&stranger, 4096).expect("an open socket");
    let mut stranger_writes = &stranger;
    // Each answer repeats the id and the method.
    let (id, method) = ("i".repeat(128), "m".repeat(60));
    let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"method\":\"{method}\"}}\n");
    let line = line.repeat(200).into_bytes();
    // Five seconds to join, and then two to close, is what it would have otherwise.
    let deadline = Instant::now() + Duration::from_millis(6_500);
    while stranger_writes.write_all(&line).is_ok() {
        assert!(Instant::now() < deadline, "it is still here");
    }
}

fn token_file() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("pecking-token-{}", std::process::id()));
    std::fs::write(&path, "secret\n").expect("a temporary file");
    path
}

/// What a page in a browser can make the browser send as the body of a request: lines of this
/// protocol, of which one joins and one commands.
const BODY: &str = "\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\",\"params\":{\"protocol\":1,\"name\":\"page\"}}\r\n\
                    {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"send\",\"params\":{\"to\":\"all\",\"command\":[\"x\"]}}\r\n";

/// Writes packets, each by itself, and reads until the server closes; the connection's own half
/// stays open, as a browser keeps it for the next request.
fn answer_to(server: &Server, packets: &[&[u8]]) -> String {
    let stream = TcpStream::connect(server.address()).expect("loopback");
    stream.set_nodelay(true).expect("an open socket");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    for packet in packets {
        // The server may have closed already.
        let _ = (&stream).write_all(packet);
    }
    let mut answer = String::new();
    (&stream)
        .read_to_string(&mut answer)
        .unwrap_or_else(|e| panic!("the server does not close: {e}; it said {answer:?}"));
    answer
}

#[test]
fn the_first_line_before_join_that_is_no_message_closes_so_no_http_request_gets_to_its_body() {
    let server = Server::start(5, &[]);
    let mut worker = Raw::join(&server, "worker", 1);
    let path = "a".repeat(20 << 10);
    let long = format!("GET /{path} HTTP/1.1");
    for start in [
        "POST / HTTP/1.1",
        "GET / HTTP/1.1",
        "GET /",
        "PUT /x HTTP/1.0",
        "CONNECT relay.example:5555 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "PRI * HTTP/2.0",
        "MADE-UP http://127.0.0.1:5555/ HTTP/1.1",
        "\r\n\r\nPOST / HTTP/1.1",
        &long,
    ] {
        for headers in [0, 1, 14, 15, 16, 20] {
            let headers: String = (0..headers).map(|n| format!("X-{n}: y\r\n")).collect();
            let request = format!("{start}\r\n{headers}{BODY}");
            // With the next request behind it on the connection that is kept.
            let request = request.repeat(2);
            let in_lines: Vec<&[u8]> = request.split_inclusive('\n').map(str::as_bytes).collect();
            for packets in [&[request.as_bytes()][..], &in_lines] {
                let answer = answer_to(&server, packets);
                let code = if start.len() > 1000 {
                    "-32600"
                } else {
                    "-32700"
                };
                assert!(
                    answer.contains(code) && answer.lines().count() == 1,
                    "{start:.40}: {answer:?}"
                );
            }
        }
        server.wait_stderr("that HTTP was spoken", |line| {
            line.contains("an HTTP request, refused")
        });
    }
    for start in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"[..],
        b"*1\r\n",
        b"EHLO page\r\n",
        b"[]\n",
        b"{}\n",
        b" \n",
        b"{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"ping\"}\n",
    ] {
        let answer = answer_to(&server, &[start, BODY.as_bytes()]);
        assert_eq!(answer.lines().count(), 1, "{answer:?}");
    }
    let members = worker.result("members", &json!({}));
    assert_eq!(members["total"], 1, "{members}");
    worker.expect_nothing("no other client joined or commanded it");
    let joined = server
        .stderr_lines()
        .iter()
        .filter(|l| l.contains(" joined as "))
        .count();
    assert_eq!(joined, 1, "only the worker ever joined");
}

#[test]
fn what_superiors_were_told_of_refusals_is_remembered_for_no_pair() {
    const MEMBERS: usize = 1_000;
    // What each session's stack has needed stays with it, and that is more in a debug build.
    const MORE: usize = if IS_RELEASE { 10 << 20 } else { 32 << 20 };
    allow_many_sockets();
    let server = Server::start(MEMBERS, &["--heartbeat", "60s"]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let join = |n| Still::join(&server, &format!("n{n}"), 0);
    let mut members: Vec<Still> = (0..MEMBERS).map(join).collect();
    let before = vitals.resident();
    for (rank, member) in members.iter_mut().enumerate().skip(1) {
        let params = json!({"to": "all", "command": ["x"]});
        member.send(&json!({"jsonrpc": "2.0", "id": "all", "method": "send", "params": params}));
        let mut lines = 0;
        let tally = loop {
            let line = member.read_line_quickly();
            lines += usize::from(line.contains("outranked"));
            if line.contains("\"id\":\"all\"") {
                break line;
            }
        };
        let all = format!("\"outranked\":{rank}");
        assert!(
            tally.contains(&all) && lines == rank + 1,
            "{lines}: {tally}"
        );
    }
    let more = vitals.resident().saturating_sub(before);
    assert!(more <= MORE, "{} KiB more", more >> 10);
}
