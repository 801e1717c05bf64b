//! Clients that mean no good, or just ask for a lot at once: what they do costs no other
//! client anything, and the server little.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::support::{
    IS_RELEASE, PATIENCE, Raw, Server, Still, Vitals, allow_many_sockets, alone, dial, ranked,
    skipped,
};
use serde_json::{Value, json};

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
fn a_batch_of_requests_never_evicts_a_client_that_reads_the_answers() {
    // Each answer has some 65 KiB, so that all of them are more than the 64 MiB that an outbox holds.
    const MEMBERS: usize = 300;
    const REQUESTS: usize = if IS_RELEASE { 3_000 } else { 1_300 };
    let _turn = alone();
    let server = Server::start(MEMBERS + 1, &["--heartbeat", "10m"]);
    let crowd: Vec<Raw> = (0..MEMBERS)
        .map(|n| {
            Raw::join(
                &server,
                &format!("a-rather-long-name-for-a-client-{n:030}"),
                1,
            )
        })
        .collect();
    let asking = dial(server.address());
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
fn a_client_that_left_keeps_no_descriptor_while_its_commands_are_open() {
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
fn answers_to_no_request_are_no_sign_of_life() {
    let server = Server::start(5, &["--heartbeat", "500ms"]);
    let mut mute = Raw::mute(&server);
    mute.join_as("mute", 1);
    let ping = mute.next("a ping")["id"].clone();
    // The right answer counts once; after that it answers no request.
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
fn unjoined_connections_that_read_no_answers_are_closed() {
    let server = Server::start(5, &["--token-file", token_file().to_str().expect("text")]);
    let unjoined = dial(server.address());
    // The system's buffers hold little, so that it soon shows that nothing is taken.
    rustix::net::sockopt::set_socket_recv_buffer_size(&unjoined, 4096).expect("an open socket");
    let mut unjoined_writes = &unjoined;
    // Each answer repeats the id and the method.
    let (id, method) = ("i".repeat(128), "m".repeat(60));
    let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"method\":\"{method}\"}}\n");
    let line = line.repeat(200).into_bytes();
    // Five seconds to join, and then two to close, is what it would have otherwise.
    let deadline = Instant::now() + Duration::from_millis(6_500);
    while unjoined_writes.write_all(&line).is_ok() {
        assert!(Instant::now() < deadline, "it is still here");
    }
}

fn token_file() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("pecking-token-{}", std::process::id()));
    crate::support::write_secret(&path, "secret\n");
    path
}

/// What a page in a browser can make the browser send as the body of a request: lines of this
/// protocol, of which one joins and one commands.
const BODY: &str = "\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\",\"params\":{\"protocol\":1,\"name\":\"page\"}}\r\n\
                    {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"send\",\"params\":{\"to\":\"all\",\"command\":[\"x\"]}}\r\n";

/// Writes packets, each by itself, and reads until the server closes; the connection's own half
/// stays open, as a browser keeps it for the next request.
fn answer_to(server: &Server, packets: &[&[u8]]) -> String {
    let stream = dial(server.address());
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
    let _turn = alone();
    allow_many_sockets();
    let server = Server::start(MEMBERS, &["--heartbeat", "10m"]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let join = |n| Still::join(&server, &format!("n{n}"), 0);
    let mut members: Vec<Still> = (0..MEMBERS).map(join).collect();
    let before = vitals.resident();
    for (rank, member) in members.iter_mut().enumerate().skip(1) {
        let params = json!({"to": "all", "command": ["x"]});
        member.send(&json!({"jsonrpc": "2.0", "id": "all", "method": "send", "params": params}));
        let mut lines = member.read_lines(|line| line.contains("\"id\":\"all\""));
        lines.retain(|line| line.contains("outranked"));
        let (lines, tally) = (lines.len(), lines.last().expect("a tally"));
        let all = format!("\"outranked\":{rank}");
        assert!(
            tally.contains(&all) && lines == rank + 1,
            "{lines}: {tally}"
        );
    }
    let more = vitals.resident().saturating_sub(before);
    assert!(more <= MORE, "{} KiB more", more >> 10);
}

/// What a server may keep for its clients, and what it may need besides.
const MAX_MEMORY: &str = "32MiB";
const KEPT: usize = 32 << 20;
const BESIDES: usize = 16 << 20;

/// A server that keeps little, for so many clients.
fn frugal(clients: usize) -> Option<(Server, Vitals)> {
    allow_many_sockets();
    let options = ["--max-memory", MAX_MEMORY, "--heartbeat", "10m"];
    let server = Server::start(clients, &options);
    let vitals = Vitals::of(server.pid())?;
    Some((server, vitals))
}

/// Checks what it has needed at most since it had so much in use.
#[track_caller]
fn expect_little(vitals: Vitals, before: usize, most: usize) {
    let more = vitals.most_resident().saturating_sub(before);
    assert!(more <= most, "{} KiB more", more >> 10);
}

#[test]
fn commands_that_wait_are_busy_past_half_of_the_memory() {
    const TARGETS: usize = 12;
    const SENDS: usize = 60;
    let _turn = alone();
    let Some((server, vitals)) = frugal(TARGETS + 2) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let target = |n| Still::join_narrow(&server, &format!("target-{n}"), 1, 8 << 10);
    let targets: Vec<Still> = (0..TARGETS).map(target).collect();
    let before = vitals.resident();
    let words = "x".repeat(1_000_000);
    let send = |n| boss.command(&format!("target-{}", n % TARGETS), &[&words]);
    let ids: Vec<Value> = (0..SENDS).map(send).collect();
    let many = boss.command("below", &[&words]);
    let tally = boss.result_of(&many);
    assert_eq!(tally, json!({"targets": TARGETS, "busy": TARGETS}));
    expect_little(vitals, before, KEPT + BESIDES);
    drop(targets);
    let answers: Vec<Value> = ids.iter().map(|id| boss.answer(id)).collect();
    let busy = answers.iter().filter(|answer| answer["error"]["code"] == 9);
    let lost = answers.iter().filter(|a| a["result"]["status"] == "lost");
    let (busy, lost) = (busy.count(), lost.count());
    assert_eq!(busy + lost, SENDS);
    let fit = KEPT / 2 / words.len();
    assert!(
        (fit / 2..=fit + TARGETS).contains(&lost),
        "{lost} were taken"
    );
    // What they kept is free again.
    let mut worker = Raw::join(&server, "worker", 1);
    let id = boss.command("worker", &[&words]);
    worker.serve(1);
    assert_eq!(boss.result_of(&id)["status"], "done");
}

#[test]
fn slow_readers_that_ask_for_members_all_the_time_keep_little() {
    const CROWD: usize = 300;
    const SLOW: usize = 20;
    const REQUESTS: usize = 100;
    let _turn = alone();
    let Some((server, vitals)) = frugal(CROWD + SLOW) else {
        return;
    };
    let name = |n| format!("a-rather-long-name-for-a-client-{n:030}");
    let member = |n| Still::join(&server, &name(n), 0);
    let _crowd: Vec<Still> = (0..CROWD).map(member).collect();
    let slow = |n| Still::join_narrow(&server, &format!("slow-{n}"), 0, 8 << 10);
    let mut slow: Vec<Still> = (0..SLOW).map(slow).collect();
    let before = vitals.resident();
    for one in &mut slow {
        for id in 0..REQUESTS {
            one.send(&json!({"jsonrpc": "2.0", "id": id, "method": "members"}));
        }
    }
    // As soon as one has all its answers, the others have what they are given without reading.
    let mut first = slow.pop().expect("there are some");
    for id in 0..REQUESTS {
        let line = first.read_line_quickly();
        let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":");
        let is_it = line.starts_with(&start);
        assert!(is_it, "the answer to {id}, not {line:.200}");
    }
    expect_little(vitals, before, KEPT + BESIDES);
    let here = serde_json::from_str::<Value>(&{
        first.send(&json!({"jsonrpc": "2.0", "id": "all", "method": "members"}));
        first.read_line_quickly()
    });
    let here = here.expect("JSON")["result"]["total"].clone();
    assert_eq!(here, CROWD + SLOW, "none had to go");
}

#[test]
fn the_longest_lines_end_their_connections_past_the_limit_of_memory() {
    const CLIENTS: usize = 100;
    let _turn = alone();
    let Some((server, vitals)) = frugal(CLIENTS + 3) else {
        return;
    };
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let client = |n| Raw::join(&server, &format!("n{n}"), 0);
    let clients: Vec<Raw> = (0..CLIENTS).map(client).collect();
    let before = vitals.resident();
    let part = "x".repeat(1_000_000);
    for client in &clients {
        // One that has gone takes no more of it.
        let _ = client.try_send(part.as_bytes());
    }
    // A buffer has at most twice what is in it.
    let stay = KEPT / (part.len() * 2)..=KEPT / part.len();
    let deadline = Instant::now() + PATIENCE;
    let mut here = 0;
    while !stay.contains(&here) && Instant::now() < deadline {
        let members = boss.result("members", &json!({"limit": 1}));
        here = members["total"].as_u64().expect("a number") as usize - 2;
    }
    assert!(stay.contains(&here), "{here} of {CLIENTS} are here");
    // Memory that was freed may be in the way of what comes later, in pieces for each thread.
    expect_little(vitals, before, KEPT + 2 * BESIDES);
    // It is busy as long as there is too much.
    let executed = loop {
        let id = boss.command("worker", &["x"]);
        let is_refused = boss.fence().iter().any(|message| message["id"] == id);
        if !is_refused {
            worker.serve(1);
            break id;
        }
        assert!(Instant::now() < deadline + PATIENCE, "it is busy for ever");
    };
    assert_eq!(boss.result_of(&executed)["status"], "done");
    // The line that does not end does now, and is malformed, for those that are here.
    let leave = "\n{\"jsonrpc\":\"2.0\",\"method\":\"leave\"}\n";
    let (mut stayed, mut told) = (0, 0);
    for mut client in clients {
        let _ = client.try_send(leave.as_bytes());
        for message in client.wait_end("its end") {
            stayed += usize::from(message["error"]["code"] == -32700);
            let text = message["error"]["message"].as_str().unwrap_or_default();
            told += usize::from(text.contains("no memory left"));
        }
    }
    assert!(
        told > 0,
        "those that had to go are told why, if they can be"
    );
    assert!(stay.contains(&stayed), "{stayed} of {CLIENTS} stayed");
}

#[test]
fn the_fullest_outboxes_go_past_the_limit_of_memory_and_the_others_are_served() {
    const SLOW: usize = 4;
    const OUTPUTS: usize = 16;
    const QUIET: Duration = Duration::from_secs(2);
    const EVICTED_AFTER: Duration = Duration::from_secs(10);
    let _turn = alone();
    let Some((server, vitals)) = frugal(SLOW + 3) else {
        return;
    };
    let slow = |n| Still::join_narrow(&server, &format!("slow-{n}"), 0, 8 << 10);
    let mut slow: Vec<Still> = (0..SLOW).map(slow).collect();
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1024)]);
    let before = vitals.resident();
    let began = Instant::now();
    let send = |id: usize| {
        let params = json!({"to": "worker", "command": ["x"]});
        json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": params})
    };
    for one in &mut slow {
        (0..OUTPUTS).for_each(|id| one.send(&send(id)));
    }
    let text = "x".repeat(900 << 10);
    for _ in 0..SLOW * OUTPUTS {
        // Some are not executed: their senders have gone.
        let Some(execute) = worker.execute_within(QUIET) else {
            break;
        };
        worker.reply(&execute, &json!({"exit_code": 0, "stdout": text}));
        let id = boss.command("worker", &["y"]);
        let quick = worker.wait_for("the boss's", |m| m["params"]["command"] == json!(["y"]));
        let result = json!({"exit_code": 0});
        worker.send(&json!({"jsonrpc": "2.0", "id": quick["id"], "result": result}));
        assert_eq!(boss.result_of(&id)["status"], "done");
    }
    let members = boss.result("members", &json!({"limit": 1}));
    let here = members["total"].as_u64().expect("a number") as usize - 2;
    assert!(here < SLOW, "the fullest had to go");
    // On a machine that is too slow for this they have read nothing for too long.
    let is_in_time = began.elapsed() < EVICTED_AFTER;
    assert!(here >= 1 || !is_in_time, "not all of them had to");
    // As above.
    expect_little(vitals, before, KEPT + 2 * BESIDES);
}
