//! What is sent, and what comes of it.

use super::*;

#[test]
fn a_send_to_one_has_one_outcome() {
    let (client, mut server) = pair();
    let command = Command::new(["print"])
        .to("next")
        .timeout(Duration::from_secs(2));
    let sent = client.send(&command).expect("a connection");
    let request = server.read();
    let params = json!({"command": ["print"], "to": "next", "timeout_ms": 2000});
    assert_eq!(request["params"], params);
    server.write(&json!({"jsonrpc": "2.0", "id": request["id"], "result": outcome(9, "hi\n")}));
    let SendEvent::Outcome(done) = next(&sent) else {
        panic!("an outcome");
    };
    assert!(done.succeeded());
    assert_eq!((done.member, &done.stdout[..]), (Some(9), &b"hi\n"[..]));
    assert!(matches!(next(&sent), SendEvent::End(Ok(tally)) if tally.of(Status::Done) == 1));
    assert!(
        sent.receiver().recv_timeout(PATIENCE).is_err(),
        "nothing comes after the end"
    );
}

#[test]
fn a_send_to_many_has_an_outcome_of_each() {
    let (client, mut server) = pair();
    let sent = client
        .send(Command::new(["print"]).to("all"))
        .expect("a connection");
    let request = server.read();
    let id = &request["id"];
    let tell = |server: &mut FakeServer, member: u64| {
        let mut params = outcome(member, "x");
        params["send"] = id.clone();
        server.tell("outcome", params);
    };
    server.tell("accepted", json!({"send": id, "targets": 2}));
    tell(&mut server, 9);
    // Twice the same, and one of another send: neither is an outcome of this one.
    tell(&mut server, 9);
    server.tell(
        "outcome",
        json!({"send": 999, "member": 1, "name": "x", "rank": 1, "status": "done"}),
    );
    tell(&mut server, 10);
    tell(&mut server, 11);
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": {"targets": 2, "done": 2}}));
    let events: Vec<SendEvent> = sent.receiver().iter().collect();
    let members: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            SendEvent::Outcome(outcome) => outcome.member,
            _ => None,
        })
        .collect();
    assert!(matches!(events[0], SendEvent::Accepted { targets: 2 }));
    assert_eq!(members, [9, 10]);
    assert!(matches!(&events[3], SendEvent::End(Ok(tally)) if tally.targets() == 2));
    assert_eq!(events.len(), 4);
}

#[test]
fn outcomes_find_their_sends_from_many_threads() {
    const THREADS: usize = 8;
    const SENDS: usize = 50;
    let (client, mut server) = pair();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let client = &client;
            scope.spawn(move || {
                for n in 0..SENDS {
                    let word = format!("{thread}-{n}");
                    let sent = client.send(Command::new([&word])).expect("a connection");
                    let outcomes = sent.wait().expect("an outcome");
                    assert_eq!(outcomes[0].stdout, word.as_bytes());
                }
            });
        }
        for _ in 0..THREADS * SENDS {
            let request = server.read();
            let word = request["params"]["command"][0].as_str().expect("a word");
            let result = outcome(9, word);
            server.write(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
        }
    });
}

#[test]
fn errors_come_back_as_they_are() {
    let (client, mut server) = pair();
    let sent = client.send(Command::new(["print"])).expect("a connection");
    let id = &server.read()["id"];
    let error = json!({"code": 7, "message": "no client", "data": {"reason": "no_target"}});
    server.write(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
    let error = sent.wait().expect_err("no target");
    assert_eq!(error.code(), Some(Code::NoTarget));
    assert_eq!(error.to_string(), "no client");
}

#[test]
fn a_wait_gives_earlier_output_and_the_outcome_together() {
    let (client, mut server) = pair();
    let sent = client.send(Command::new(["print"])).expect("a connection");
    let id = server.read()["id"].clone();
    server.tell(
        "output",
        json!({"send": id, "member": 9, "name": "x", "rank": 1, "stream": "stdout", "text": "a"}),
    );
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": outcome(9, "b")}));
    assert_eq!(sent.wait().expect("done")[0].stdout, b"ab");
}

#[test]
fn output_of_more_targets_than_there_are_is_dropped() {
    let (client, mut server) = pair();
    let sent = client
        .send(Command::new(["print"]).to("all"))
        .expect("a connection");
    let id = server.read()["id"].clone();
    server.tell("accepted", json!({"send": id, "targets": 2}));
    for member in [9, 10, 11, 12, 9] {
        server.tell(
            "output",
            json!({"send": id, "member": member, "name": "x", "rank": 1, "stream": "stdout", "text": "a"}),
        );
    }
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": {"targets": 2, "done": 2}}));
    let members = sent.receiver().iter().filter_map(|event| match event {
        SendEvent::Output(output) => Some(output.member),
        _ => None,
    });
    assert_eq!(members.collect::<Vec<_>>(), [9, 10, 9]);
}

#[test]
fn output_is_consumed_when_it_is_let_go_of() {
    let (client, mut server) = pair();
    let sent = client
        .send(Command::new(["cat"]).window(4096))
        .expect("a connection");
    let request = server.read();
    assert_eq!(request["params"]["window"], 4096);
    let output = json!({"send": request["id"], "member": 9, "name": "x", "rank": 1, "stream": "stderr", "base64": "/wA="});
    server.tell("output", &output);
    let event = next(&sent);
    let SendEvent::Output(told) = &event else {
        panic!("{event:?}");
    };
    assert_eq!(told.bytes, [0xff, 0]);
    // Nothing is said before it is let go of: the cancel comes first.
    sent.cancel();
    assert_eq!(server.read()["method"], "cancel");
    drop(event);
    let consumed = server.read();
    assert_eq!(consumed["method"], "consumed");
    assert_eq!(
        consumed["params"],
        json!({"send": request["id"], "member": 9, "bytes": 2})
    );
    // What comes for a handle that was dropped is let go of at once.
    drop(sent);
    server.tell("output", output);
    assert_eq!(server.read()["method"], "consumed");
}

#[test]
fn more_output_than_was_agreed_is_not_kept() {
    let (client, mut server) = pair();
    let sent = client
        .send(Command::new(["cat"]).window(1000))
        .expect("a connection");
    let id = server.read()["id"].clone();
    for _ in 0..3 {
        server.tell("output", json!({"send": id, "member": 9, "name": "x", "rank": 1, "stream": "stdout", "text": "x".repeat(600)}));
    }
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": outcome(9, "")}));
    // Held until the end, so that none of it is consumed meanwhile.
    let events: Vec<SendEvent> = sent.receiver().iter().collect();
    let [
        SendEvent::Output(kept),
        SendEvent::Outcome(outcome),
        SendEvent::End(Ok(_)),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert!(outcome.truncated && kept.bytes.len() == 600);
}

#[test]
fn a_server_that_goes_loses_open_requests_exactly_once() {
    let (client, mut server) = pair();
    let many = client
        .send(Command::new(["a"]).to("all"))
        .expect("a connection");
    let id = server.read()["id"].clone();
    let others: Vec<SendHandle> = (0..20)
        .map(|_| client.send(Command::new(["b"])).expect("a connection"))
        .collect();
    server.tell("accepted", json!({"send": id, "targets": 2}));
    assert!(matches!(next(&many), SendEvent::Accepted { targets: 2 }));
    for _ in &others {
        server.read_method("send");
    }
    server.close();
    for sent in others.iter().chain([&many]) {
        let events: Vec<SendEvent> = sent.receiver().iter().collect();
        assert!(
            matches!(events[..], [SendEvent::End(Err(RequestError::Lost))]),
            "{events:?}"
        );
    }
    let event = next_event(&client);
    assert!(
        matches!(event, ClientEvent::Disconnected(Disconnect::Closed)),
        "{event:?}"
    );
    let late = client.send(Command::new(["c"]));
    assert_eq!(late.map(|_| ()), Err(RequestError::NotConnected));
    assert_eq!(client.ping().map(|_| ()), Err(RequestError::NotConnected));
}

#[test]
fn a_handle_that_outlives_its_client_keeps_no_executor() {
    let kept = Arc::new(());
    let executor = Arc::downgrade(&kept);
    let (client, mut server) = pair_with(1, 60_000, move |_: &Job| {
        let _kept = &kept;
        ExecutionResult::exited(0, "")
    });
    server.execute(1, &["x"], &json!({}));
    assert_eq!(server.read()["result"]["exit_code"], 0);
    let sent = client
        .send(Command::new(["read"]).input())
        .expect("a connection");
    server.close();
    drop(client);
    assert!(executor.upgrade().is_none());
    drop(sent);
}

#[test]
fn members_come_in_pages() {
    let (client, mut server) = pair();
    let member = |rank: u64| {
        json!({"member": rank + 1, "name": format!("client-{}", rank + 1), "rank": rank,
               "address": "127.0.0.1:1", "slots": 1, "running": 0, "queued": 0, "joined_ms": 5})
    };
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.all_members());
        for (from, ranks) in [(0, 0..1000), (1000, 1000..1500)] {
            let request = server.read();
            assert_eq!(request["method"], "members");
            assert_eq!(request["params"], json!({"from": from, "limit": 1000}));
            let page: Vec<Value> = ranks.map(member).collect();
            let result = json!({"members": page, "total": 1500, "max": 2000});
            server.write(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
        }
        let ranking = asking.join().expect("no panic").expect("an answer");
        assert_eq!((ranking.members.len(), ranking.total), (1500, 1500));
    });
}

#[test]
fn a_request_that_the_server_would_not_take_is_not_sent() {
    let (client, mut server) = pair();
    let long = client.send(Command::new(["x".repeat(1 << 20)]));
    assert!(matches!(
        long,
        Err(RequestError::TooLong { max: 1_048_576, .. })
    ));
    std::thread::scope(|scope| {
        let pinging = scope.spawn(|| client.ping());
        let request = server.read();
        assert_eq!(request["method"], "ping");
        server.write(&json!({"jsonrpc": "2.0", "id": request["id"], "result": {}}));
        assert!(pinging.join().expect("no panic").is_ok());
    });
}
