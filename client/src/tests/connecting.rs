//! The connection itself: how it begins, what it takes, how it ends.

use super::*;

#[test]
fn a_client_that_has_joined_knows_its_name_and_rank() {
    let (client, mut server) = pair();
    assert_eq!((client.member(), client.rank()), (7, 3));
    assert_eq!(client.name(), "client-7");
    server.tell("rank", json!({"rank": 2, "members": 3}));
    let event = next_event(&client);
    assert!(matches!(
        event,
        ClientEvent::Rank {
            rank: 2,
            members: 3
        }
    ));
    assert_eq!((client.rank(), client.ranked()), (2, 3));
}

#[test]
fn malformed_lines_are_answered_as_json_rpc_has_it() {
    let (client, mut server) = pair();
    for (line, id, code) in [
        ("nonsense", Value::Null, -32700),
        ("[]", Value::Null, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"launch"}"#,
            json!(1),
            -32601,
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"execute"}"#,
            json!(2),
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"execute","params":{"command":[]}}"#,
            json!(3),
            -32602,
        ),
    ] {
        server.write_raw(&format!("{line}\n"));
        let answer = server.read();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&id, &json!(code)),
            "{line}"
        );
    }
    // None of these is answered: the next answer is that to the ping.
    for line in [
        "",
        "\r",
        r#"{"method":"launch"}"#,
        r#"{"method":"rank","params":{"rank":"first"}}"#,
        r#"{"method":"outcome","params":{}}"#,
        r#"{"method":"output","params":{"send":1}}"#,
        r#"{"id":12345,"result":{}}"#,
        r#"{"id":"x","error":{"code":1,"message":"\u001b[2J"}}"#,
        r#"{"id":null,"error":1,"result":2}"#,
    ] {
        server.write_raw(&format!("{line}\n"));
    }
    server.write_raw("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\r\n");
    assert_eq!(
        server.read(),
        json!({"jsonrpc": "2.0", "id": "p", "result": {}})
    );
    assert_eq!(client.disconnect(), None);
}

#[test]
fn a_line_that_is_too_long_ends_the_connection() {
    let (client, mut server) = pair();
    let endless = "x".repeat((1 << 20) + (4 << 10));
    server.write_raw(&endless);
    assert_eq!(server.read()["error"]["code"], -32600);
    let event = next_event(&client);
    assert!(
        matches!(event, ClientEvent::Disconnected(Disconnect::Protocol(_))),
        "{event:?}"
    );
}

#[test]
fn the_last_words_of_a_server_are_the_reason() {
    let (client, mut server) = pair();
    server.tell(
        "bye",
        json!({"reason": "shutting_down", "message": "the server stops"}),
    );
    server.close();
    let event = next_event(&client);
    assert!(matches!(event, ClientEvent::Bye { .. }), "{event:?}");
    let ClientEvent::Disconnected(reason) = next_event(&client) else {
        panic!("the last event");
    };
    assert_eq!(reason.to_string(), "the server said bye: the server stops");
    assert_eq!(client.disconnect(), Some(reason));
}

#[test]
fn a_server_that_falls_silent_is_asked_and_then_given_up() {
    let (client, mut server) = pair_with(1, 50, Simulation);
    let sent = client.send(Command::new(["print"])).expect("a connection");
    assert_eq!(server.read()["method"], "send");
    let asked = server.read();
    assert_eq!(asked["method"], "ping");
    // Any byte is a sign of life, so it is asked again.
    server.write_raw("\n");
    assert_eq!(server.read()["method"], "ping");
    assert_eq!(sent.wait(), Err(RequestError::Lost));
    let event = next_event(&client);
    assert!(
        matches!(event, ClientEvent::Disconnected(Disconnect::Silent)),
        "{event:?}"
    );
}

#[test]
fn leaving_says_so_and_ends() {
    let (client, mut server) = pair();
    let leaving = std::thread::spawn(|| client.leave());
    assert_eq!(server.read()["method"], "leave");
    let mut rest = String::new();
    let at_end = server.lines.read_line(&mut rest).expect("a clean end");
    assert_eq!((at_end, rest.as_str()), (0, ""), "it closed its half");
    server.close();
    leaving.join().expect("it ends");
}

#[test]
fn dropping_joins_the_workers_too() {
    let (client, mut server) = pair_with(3, 60_000, |job: &Job| {
        job.wait_for_stop(None);
        ExecutionResult::exited(0, "")
    });
    for id in 0..3 {
        server.execute(id, &["sleep"], &json!({}));
    }
    for _ in 0..3 {
        assert!(matches!(next_event(&client), ClientEvent::JobReceived(_)));
    }
    let closing = std::thread::spawn(move || drop(client));
    server.read_method("leave");
    server.close();
    closing.join().expect("it ends");
}

#[test]
fn connecting_fails_for_a_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = config(&listener, 1);
    for (answer, expected) in [
        (
            "{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":1,\"message\":\"full\"}}\n",
            "did not let this client in: full",
        ),
        ("SSH-2.0-OpenSSH_9.9\n", "no server of this kind"),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n",
            "no server of this kind",
        ),
        (
            "{\"method\":\"bye\",\"params\":{\"reason\":\"idle_handshake\",\"message\":\"too late\"}}\n",
            "turned this client away: too late",
        ),
        (
            "{\"method\":\"bye\",\"params\":{\"reason\":\"shutting_down\",\"message\":\"it stops\"}}\n",
            "closed the connection: it stops",
        ),
        ("", "closed the connection"),
    ] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut join = String::new();
                let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
                lines.read_line(&mut join).expect("a join");
                stream.write_all(answer.as_bytes()).expect("a client");
            });
            let error = Client::connect(&config, Simulation).expect_err(expected);
            let text = error.to_string();
            assert!(
                text.contains(expected) && text.contains(&config.server),
                "{text}"
            );
        });
    }
    drop(listener);
    let error = Client::connect(&config, Simulation).expect_err("no server listens");
    assert!(
        matches!(&error, ConnectError::Unreachable { source, .. } if source.kind() == ErrorKind::ConnectionRefused),
        "{error}"
    );
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = Config {
        connect_timeout: Duration::from_millis(50),
        ..config(&listener, 1)
    };
    let error = Client::connect(&config, Simulation).expect_err("silence");
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

#[test]
fn an_answer_and_what_follows_it_at_once_are_both_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = config(&listener, 1);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
            lines.read_line(&mut String::new()).expect("a join");
            let execute = json!({"jsonrpc": "2.0", "id": 1, "method": "execute", "params":
                {"from": {"member": 1, "name": "boss", "rank": 0}, "command": ["print"]}});
            let answer = json!({"jsonrpc": "2.0", "id": 0, "result": joined(60_000)});
            stream
                .write_all(format!("{answer}\n{execute}\n").as_bytes())
                .expect("a client");
            let mut line = String::new();
            lines.read_line(&mut line).expect("an answer");
            line
        });
        let _client = Client::connect(&config, Simulation).expect("a server");
        assert!(
            serving
                .join()
                .expect("no panic")
                .contains("\"exit_code\":0")
        );
    });
}

#[test]
fn hundreds_of_clients_come_and_go() {
    const CLIENTS: usize = 300;
    let server = server::Server::bind(server::Config {
        listen: "127.0.0.1:0".into(),
        max_clients: CLIENTS as u32,
        ..server::Config::default()
    });
    let running = server.expect("a server").spawn().expect("a thread");
    let config = Config {
        server: running.address().to_string(),
        connect_timeout: PATIENCE,
        ..Config::default()
    };
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|_| Client::connect(&config, Simulation).expect("a place"))
        .collect();
    let boss = &clients[0];
    assert!(clients.iter().map(Client::rank).eq(0..CLIENTS as u32));
    let sent = boss.send(Command::new(["print"]).to("below"));
    let outcomes = sent.expect("a connection").wait().expect("outcomes");
    assert_eq!(outcomes.len(), CLIENTS - 1);
    assert!(outcomes.iter().all(Outcome::succeeded));
    let full = Client::connect(&config, Simulation).expect_err("no place is left");
    assert!(
        full.rpc().is_some_and(|error| error.is(Code::Full)),
        "{full}"
    );
    assert_eq!(
        boss.all_members().expect("an answer").members.len(),
        CLIENTS
    );
    drop(clients);
    running.stop().expect("a clean end");
}

/// Names that no client can have, and that would do harm in an environment, a log or a terminal.
const FORBIDDEN: [&str; 8] = [
    "",
    "x$(id)",
    "a\nb",
    "a\u{1b}[2J",
    "a\u{202e}b",
    "two words",
    "least-loaded",
    "client-01",
];

#[test]
fn a_command_from_a_name_that_is_not_allowed_has_failed_and_starts_nothing() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ran);
    let (client, mut server) = pair_with(1, 60_000, move |_: &Job| {
        counted.fetch_add(1, Ordering::SeqCst);
        ExecutionResult::exited(0, "")
    });
    for (id, name) in (1..).zip(FORBIDDEN) {
        let from = json!({"member": 1, "name": name, "rank": 0});
        let params = json!({"from": from, "command": ["print"]});
        server.write(&json!({"jsonrpc": "2.0", "id": id, "method": "execute", "params": params}));
        let answer = server.read();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(id), &json!(22)),
            "{answer}"
        );
        let why = answer["error"]["message"].as_str().expect("a sentence");
        assert!(
            why.contains("params.from.name") && why.contains("not allowed"),
            "{why}"
        );
    }
    server.execute(100, &["print"], &json!({}));
    assert_eq!(server.read()["result"]["exit_code"], 0);
    assert_eq!((ran.load(Ordering::SeqCst), client.disconnect()), (1, None));
}

/// Senders whose identity or role no server may tell, and what is said of that.
fn forbidden_senders() -> [(Value, &'static str); 8] {
    let of = |member: &str, value: &str| {
        let mut from = json!({"member": 1, "name": "boss", "rank": 0, "identity": "alice",
                              "role": "operator"});
        from[member] = value.into();
        from
    };
    [
        (of("identity", ""), "params.from.identity"),
        (of("identity", "a\"b"), "params.from.identity"),
        (of("identity", "a\\b"), "params.from.identity"),
        (of("identity", "a\nPATH=/tmp"), "params.from.identity"),
        (of("identity", "\u{e4}"), "params.from.identity"),
        (of("identity", &"x".repeat(257)), "params.from.identity"),
        (of("role", "a b"), "params.from.role"),
        (of("role", ""), "params.from.role"),
    ]
}

#[test]
fn a_sender_with_a_malformed_identity_or_role_starts_nothing_and_cannot_be_refused() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ran);
    let (client, mut server) = pair_with(1, 60_000, move |job: &Job| {
        let origin = job.origin();
        assert_eq!(origin.identity.as_deref(), Some("a b"));
        assert_eq!(origin.role.as_deref(), Some("operator"));
        counted.fetch_add(1, Ordering::SeqCst);
        ExecutionResult::exited(0, "")
    });
    for (id, (from, place)) in (1..).zip(forbidden_senders()) {
        server.execute(id, &["print"], &json!({"from": from}));
        let answer = server.read();
        let error = &answer["error"];
        assert_eq!((&answer["id"], &error["code"]), (&json!(id), &json!(22)));
        let why = error["message"].as_str().expect("a sentence");
        assert!(why.starts_with(&format!("{place}: ")), "{why}");
    }
    let from =
        json!({"member": 1, "name": "boss", "rank": 0, "identity": "a b", "role": "operator"});
    server.execute(100, &["print"], &json!({"from": from}));
    assert_eq!(server.read()["result"]["exit_code"], 0);
    assert_eq!((ran.load(Ordering::SeqCst), client.disconnect()), (1, None));
    for (from, place) in forbidden_senders() {
        let (client, mut server) = pair();
        server.tell("refused", json!({"from": from, "command": ["print"]}));
        let event = next_event(&client);
        let ClientEvent::Disconnected(Disconnect::Protocol(why)) = event else {
            panic!("{event:?}");
        };
        assert!(why.contains(place), "{why}");
    }
}

#[test]
fn a_message_with_a_name_that_is_not_allowed_ends_the_connection() {
    for name in FORBIDDEN {
        let origin = json!({"member": 1, "name": name, "rank": 0});
        let with = |more: Value| {
            let mut params = origin.clone();
            let members = params.as_object_mut().expect("an object");
            members.extend(more.as_object().cloned().expect("an object"));
            params
        };
        for (method, params) in [
            (
                "outcome",
                with(json!({"send": 1, "status": "done", "exit_code": 0})),
            ),
            (
                "output",
                with(json!({"send": 1, "stream": "stdout", "text": "x"})),
            ),
            ("refused", json!({"from": origin, "command": ["print"]})),
        ] {
            let (client, mut server) = pair();
            let sent = client.send(Command::new(["print"])).expect("a connection");
            assert_eq!(server.read()["method"], "send");
            server.tell("accepted", json!({"send": 1, "targets": 1}));
            server.tell(method, params);
            assert_eq!(sent.wait(), Err(RequestError::Lost), "{method} {name:?}");
            let event = next_event(&client);
            let ClientEvent::Disconnected(Disconnect::Protocol(why)) = event else {
                panic!("{method} {name:?}: {event:?}");
            };
            assert!(why.contains(method) && why.contains("not allowed"), "{why}");
        }
    }
}

#[test]
fn an_answer_with_a_name_that_is_not_allowed_is_none() {
    // All at once: a client that leaves waits for its server, which does not close here.
    std::thread::scope(|scope| {
        for name in FORBIDDEN {
            scope.spawn(move || expect_no_answer(name));
        }
    });
}

fn expect_no_answer(name: &str) {
    let (client, mut server) = pair();
    let sent = client.send(Command::new(["print"])).expect("a connection");
    let mut result = outcome(9, "hi\n");
    result["name"] = json!(name);
    let id = server.read()["id"].clone();
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    let end = sent.wait();
    assert!(
        matches!(end, Err(RequestError::Malformed(_))),
        "{name:?}: {end:?}"
    );

    let asking = std::thread::spawn(move || client.members(0, 9));
    let member = json!({"member": 1, "name": name, "rank": 0, "address": "127.0.0.1:1",
                            "slots": 1, "running": 0, "queued": 0, "joined_ms": 1});
    let result = json!({"members": [member], "total": 1, "max": 1});
    let id = server.read()["id"].clone();
    server.write(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    let members = asking.join().expect("no panic");
    assert!(
        matches!(members, Err(RequestError::Malformed(_))),
        "{name:?}: {members:?}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let mut answer = joined(60_000);
    answer["name"] = json!(name);
    let accepting = std::thread::scope(|scope| {
        scope.spawn(|| FakeServer::accept(&listener, &answer));
        Client::connect(config(&listener, 1), Simulation)
    });
    let error = accepting.expect_err("that is no name");
    assert!(
        matches!(error, ConnectError::NotThisProtocol { .. }),
        "{name:?}: {error}"
    );
}
