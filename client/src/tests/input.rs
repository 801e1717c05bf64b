//! Input, at both ends: what a sender writes and how far it may go, and what an executor reads and
//! tells.

use super::*;
use std::io::{Read, Write};

/// The text of the next piece of input that the client says, and whether it is the last.
fn said(server: &mut FakeServer) -> (String, bool) {
    let params = server.read_method("input")["params"].clone();
    let text = params["text"].as_str().unwrap_or_default().to_owned();
    (text, params["end"] == true)
}

#[test]
fn a_sender_writes_no_more_than_the_window_ahead() {
    let (client, mut server) = pair();
    let command = Command::new(["read"]).input_window(10);
    let mut sent = client.send(command).expect("a connection");
    let mut input = sent.take_input().expect("it has input");
    assert!(sent.take_input().is_none(), "it was taken");
    let request = server.read();
    assert_eq!(request["params"]["stdin"], 10);
    let id = &request["id"];
    std::thread::scope(|scope| {
        scope.spawn(move || {
            input.write_all(b"0123456789abcdefgh").expect("it is open");
            input.finish();
        });
        assert_eq!(said(&mut server), ("0123456789".into(), false));
        for (stale, consumed, next) in [(0, 3, "abc"), (1, 12, "defgh")] {
            // What is no more than before, or of no send, changes nothing.
            server.tell("input_consumed", json!({"send": id, "consumed": stale}));
            server.tell("input_consumed", json!({"send": 999, "consumed": 99}));
            server.tell("input_consumed", json!({"send": id, "consumed": consumed}));
            assert_eq!(said(&mut server), (next.into(), false));
        }
        assert_eq!(said(&mut server), (String::new(), true));
    });
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": outcome(9, "")}));
    assert!(sent.wait().expect("an outcome")[0].succeeded());
}

/// A way to drop input that has no end.
type DropIt = fn(SendHandle);

#[test]
fn input_whose_command_has_ended_fails_and_input_without_its_end_cancels() {
    let (client, mut server) = pair();
    let send = || {
        client
            .send(Command::new(["read"]).input_window(1))
            .expect("a connection")
    };
    let mut sent = send();
    let mut input = sent.take_input().expect("it has input");
    let id = server.read_method("send")["id"].clone();
    input.write_all(b"a").expect("it is open");
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| input.write_all(b"b"));
        server.write(&json!({"jsonrpc": "2.0", "id": id, "result": outcome(9, "")}));
        let error = blocked.join().expect("no panic").expect_err("it has ended");
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
    drop((input, sent));
    // Dropped, or never taken, by whichever way.
    let taken: DropIt = |mut sent| drop(sent.take_input());
    let waited: DropIt = |sent| drop(sent.wait());
    for (what, drop_it) in [
        ("the input", taken),
        ("the handle", drop),
        ("a wait", waited),
    ] {
        std::thread::scope(|scope| {
            let sent = send();
            let id = server.read_method("send")["id"].clone();
            scope.spawn(move || drop_it(sent));
            let cancel = server.read_method("cancel");
            assert_eq!(cancel["params"]["send"], id, "{what}");
            server.write(&json!({"jsonrpc": "2.0", "id": id, "result": outcome(9, "")}));
        });
    }
}

/// A command whose input has used its window up, so that the next write waits.
fn with_a_full_window(client: &Client) -> (SendHandle, Input) {
    let mut sent = client
        .send(Command::new(["read"]).input_window(1))
        .expect("a connection");
    let mut input = sent.take_input().expect("it has input");
    input.write_all(b"a").expect("it is open");
    (sent, input)
}

#[test]
fn a_lost_connection_ends_the_input() {
    let (client, server) = pair();
    let (_sent, mut input) = with_a_full_window(&client);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| input.write_all(b"b"));
        server.close();
        assert!(blocked.join().expect("no panic").is_err());
    });
}

#[test]
fn a_client_that_leaves_ends_a_write_that_waits() {
    // The server says nothing, so it is the client that ends it.
    let (client, _server) = pair();
    let (_sent, mut input) = with_a_full_window(&client);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(input.write_all(b"b").map_err(|e| e.kind())));
    client.leave();
    let end = end.recv_timeout(PATIENCE).expect("it waits no more");
    assert_eq!(end, Err(ErrorKind::BrokenPipe));
}

/// A client that takes input, and its server.
fn taker(executor: impl Executor) -> (Client, FakeServer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = Config {
        takes_input: true,
        ..config(&listener, 1)
    };
    pair_at(&listener, config, 60_000, executor)
}

#[test]
fn an_executor_reads_its_input_and_tells_what_it_took() {
    let (_client, mut server) = taker(|job: &Job| {
        let mut text = String::new();
        match job.input().map(|mut input| input.read_to_string(&mut text)) {
            Some(Ok(_)) => ExecutionResult::exited(0, text),
            Some(Err(why)) => ExecutionResult::Failed(why.to_string()),
            None => ExecutionResult::Refused("it needs input".into()),
        }
    });
    server.execute(1, &["read"], &json!({"stdin": true}));
    for (piece, bytes) in [
        (json!({"id": 1, "text": "ä\n"}), 3),
        // In a form that no fast reader takes.
        (
            json!({"text": null, "base64": "YmM=", "end": null, "id": 1}),
            2,
        ),
    ] {
        server.tell("input", piece);
        let told = server.read_method("input_consumed");
        assert_eq!(told["params"], json!({"id": 1, "bytes": bytes}));
    }
    server.tell("input", json!({"id": 999, "text": "of nothing"}));
    server.tell("input", json!({"id": 1, "end": true}));
    assert_eq!(server.read()["result"]["stdout"], "ä\nbc");
    // What it can no longer be sure of is no whole.
    server.execute(2, &["read"], &json!({"stdin": true}));
    server.tell("input", json!({"id": 2, "text": "a part"}));
    server.read_method("input_consumed");
    server.tell("cancel", json!({"id": 2}));
    assert_eq!(
        server.read()["error"]["message"],
        "the command is no longer wanted"
    );
    server.execute(3, &["read"], &json!({}));
    assert_eq!(server.read()["error"]["code"], 20, "it has no input");
}

#[test]
fn a_job_with_input_does_not_wait_and_one_that_closes_it_consumes_all() {
    let go = Arc::new(Barrier::new(2));
    let gate = Arc::clone(&go);
    let (_client, mut server) = taker(move |job: &Job| {
        job.close_input();
        gate.wait();
        ExecutionResult::exited(0, "")
    });
    server.execute(1, &["x"], &json!({"stdin": true}));
    for bytes in [3, 70_000] {
        server.tell("input", json!({"id": 1, "text": "x".repeat(bytes)}));
        let told = server.read_method("input_consumed");
        assert_eq!(told["params"], json!({"id": 1, "bytes": bytes}));
    }
    server.execute(2, &["x"], &json!({"stdin": true}));
    let answer = server.read();
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(2), &json!(22))
    );
    go.wait();
    assert_eq!(server.read()["result"]["exit_code"], 0);
}

#[test]
fn a_server_that_says_more_input_than_a_window_is_left() {
    for pieces in [vec![1 << 19, 1 << 19, 1], vec![1; 257]] {
        let (client, mut server) = taker(|job: &Job| {
            job.wait_for_stop(None);
            ExecutionResult::exited(0, "")
        });
        server.execute(1, &["x"], &json!({"stdin": true}));
        for bytes in pieces {
            server.tell("input", json!({"id": 1, "text": "x".repeat(bytes)}));
        }
        let reason = client.events().iter().find_map(|event| match event {
            ClientEvent::Disconnected(reason) => Some(reason),
            _ => None,
        });
        assert!(
            matches!(&reason, Some(Disconnect::Protocol(why)) if why.contains("more input")),
            "{reason:?}"
        );
    }
}
