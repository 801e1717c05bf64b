//! Coming back: what is lost with a connection, and how the next one begins.

use super::*;

/// A client that reconnects, and the listener that it dials.
fn lasting(slots: u32, executor: impl Executor) -> (TcpListener, Client, FakeServer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = Config {
        reconnect: true,
        ..config(&listener, slots)
    };
    let (client, server) = std::thread::scope(|scope| {
        let accepting = scope.spawn(|| FakeServer::accept(&listener, &joined(60_000)));
        let client = Client::connect(config, executor).expect("a server");
        (client, accepting.join().expect("no panic"))
    });
    (listener, client, server)
}

/// The answer to `join` with this rank.
fn joined_as(rank: u32) -> Value {
    let mut joined = joined(60_000);
    joined["rank"] = json!(rank);
    joined["member"] = json!(rank + 100);
    joined
}

/// Answers a `join` with an error.
fn refuse(listener: &TcpListener, code: i64) {
    refuse_with(listener, &json!({"code": code, "message": "no"}));
}

fn refuse_with(listener: &TcpListener, error: &Value) {
    let (mut stream, _) = listener.accept().expect("a client");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
    lines.read_line(&mut String::new()).expect("a join");
    let answer = json!({"jsonrpc": "2.0", "id": 0, "error": error});
    stream
        .write_all(format!("{answer}\n").as_bytes())
        .expect("a client");
}

/// Says `bye` to a client that wants to join.
fn turn_away(listener: &TcpListener, bye: &Value) {
    let (mut stream, _) = listener.accept().expect("a client");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
    lines.read_line(&mut String::new()).expect("a join");
    let bye = json!({"jsonrpc": "2.0", "method": "bye", "params": bye});
    stream
        .write_all(format!("{bye}\n").as_bytes())
        .expect("a client");
}

#[track_caller]
fn expect_lost(client: &Client) -> Disconnect {
    match next_event(client) {
        ClientEvent::Lost(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn open_sends_are_lost_and_the_next_connection_begins_anew() {
    let (listener, client, mut server) = lasting(1, Simulation);
    let sent = client.send(Command::new(["one"])).expect("a connection");
    server.read_method("send");
    server.close();
    assert_eq!(expect_lost(&client), Disconnect::Closed);
    let lost = sent.receiver().try_recv().expect("told before the loss");
    assert!(
        matches!(lost, SendEvent::End(Err(RequestError::Lost))),
        "{lost:?}"
    );
    assert!(!client.is_connected() && client.disconnect().is_none());
    let unsent = client
        .send(Command::new(["two"]))
        .expect_err("no connection");
    assert_eq!(unsent, RequestError::NotConnected);
    assert_eq!(client.ping(), Err(RequestError::NotConnected));

    let mut server = FakeServer::accept(&listener, &joined_as(9));
    let back = next_event(&client);
    assert!(
        matches!(
            back,
            ClientEvent::Rejoined {
                was: 3,
                rank: 9,
                ..
            }
        ),
        "{back:?}"
    );
    assert!(client.is_connected());
    assert_eq!((client.rank(), client.member()), (9, 109));
    let again = client.send(Command::new(["three"])).expect("a connection");
    assert!(again.id() > sent.id(), "no number is given twice");
    let first = server.read();
    assert_eq!(first["params"]["command"], json!(["three"]));
    server.write(&json!({"jsonrpc": "2.0", "id": first["id"], "result": outcome(10, "did")}));
    assert_eq!(again.wait().expect("an outcome")[0].stdout, b"did");
}

#[test]
fn a_running_job_is_stopped_and_not_answered_on_the_next_connection() {
    let (stop_now, may_stop) = crossbeam_channel::bounded(1);
    let (begin, begun) = crossbeam_channel::bounded(1);
    let stubborn = move |job: &Job| {
        let word = job.words()[0].clone();
        if word == "old" {
            begin.send(()).expect("the test");
            assert_eq!(job.wait_for_stop(None), Some(StopReason::Disconnected));
            may_stop.recv().expect("the test");
        }
        ExecutionResult::exited(0, word)
    };
    let (listener, client, mut server) = lasting(1, stubborn);
    server.execute(1, &["old"], &json!({}));
    server.execute(2, &["never"], &json!({}));
    for _ in 0..2 {
        assert!(matches!(next_event(&client), ClientEvent::JobReceived(_)));
    }
    begun.recv_timeout(PATIENCE).expect("it runs");
    server.close();
    expect_lost(&client);
    assert!(client.jobs().is_empty(), "their results could not be told");
    let mut server = FakeServer::accept(&listener, &joined_as(0));
    assert!(matches!(next_event(&client), ClientEvent::Rejoined { .. }));
    // Numbers begin anew with a server; the one slot is in use until the old one has ended.
    server.execute(1, &["new"], &json!({}));
    assert!(matches!(next_event(&client), ClientEvent::JobReceived(_)));
    assert_eq!(client.jobs().len(), 1);
    stop_now.send(()).expect("the executor");
    let answer = server.read();
    assert_eq!(
        (&answer["id"], &answer["result"]["stdout"]),
        (&json!(1), &json!("new"))
    );
}

/// Waits until a try was in vain, and gives how long the next one waits.
#[track_caller]
fn expect_pause(client: &Client) -> Duration {
    match next_event(client) {
        ClientEvent::NotYet { pause, .. } => pause,
        other => panic!("{other:?}"),
    }
}

/// The longest pause after one that begins again.
const SHORT: Duration = Duration::from_millis(100);

/// The least pause before the first try after a loss.
const FIRST: Duration = Duration::from_millis(600);

/// A client that has lost its server, and waited for long enough that its next pause may be
/// longer than any at first; and where it dials.
fn lost_for_long() -> (TcpListener, Client) {
    let (listener, client, server) = lasting(1, Simulation);
    server.close();
    expect_lost(&client);
    let mut waited = Duration::ZERO;
    while waited < SHORT * 15 {
        refuse(&listener, 5);
        waited += expect_pause(&client);
    }
    (listener, client)
}

#[test]
fn the_loss_of_a_connection_that_held_is_a_new_one() {
    // Any one of the pauses that go on may be as long by chance, five of them hardly ever.
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let first = pause_after_a_connection_that_held();
                assert!(first >= FIRST, "{first:?}");
            });
        }
    });
}

/// How soon a client dials again that was away for long, came back, and lost that connection too.
fn pause_after_a_connection_that_held() -> Duration {
    const HELD: Duration = Duration::from_millis(300);
    let (listener, client) = lost_for_long();
    let server = FakeServer::accept(&listener, &joined(60_000));
    assert!(matches!(next_event(&client), ClientEvent::Rejoined { .. }));
    std::thread::sleep(HELD);
    let lost = Instant::now();
    server.close();
    expect_lost(&client);
    refuse(&listener, 5);
    let first = lost.elapsed();
    expect_pause(&client);
    first
}

#[test]
fn a_client_that_was_turned_away_comes_again_soon_once() {
    let (listener, client) = lost_for_long();
    let bye = json!({"reason": "idle_handshake", "message": "others want to join"});
    // Each pause is drawn anew, so how soon one is longer again is chance.
    const TRIES: usize = 30;
    for time in 0..TRIES {
        turn_away(&listener, &bye);
        let pause = expect_pause(&client);
        assert!(time > 0 || pause <= SHORT, "{pause:?}");
        if pause > SHORT {
            return;
        }
    }
    panic!("after {TRIES} tries it still comes as often");
}

#[test]
fn a_server_that_says_when_another_try_is_worth_while_is_dialled_no_sooner() {
    let (listener, client, server) = lasting(1, Simulation);
    server.close();
    expect_lost(&client);
    let asked = Duration::from_millis(1200);
    let data = json!({"reason": "full", "retry_ms": 1200});
    refuse_with(
        &listener,
        &json!({"code": 1, "message": "no", "data": data}),
    );
    let refused = Instant::now();
    assert_eq!(expect_pause(&client), asked);
    refuse(&listener, 1);
    let took = refused.elapsed();
    assert!(took >= asked - Duration::from_millis(50), "{took:?}");
    assert!(expect_pause(&client) < asked);
    let data = json!({"retry_ms": u64::MAX});
    refuse_with(
        &listener,
        &json!({"code": 1, "message": "no", "data": data}),
    );
    assert_eq!(expect_pause(&client), Duration::from_secs(60));
    client.leave();
}

#[test]
fn refusals_that_pass_are_tried_again_and_others_are_the_end() {
    let (listener, client, server) = lasting(1, Simulation);
    server.close();
    expect_lost(&client);
    for code in [1, 5, 10] {
        refuse(&listener, code);
        let event = next_event(&client);
        let ClientEvent::NotYet { error, .. } = &event else {
            panic!("{code}: {event:?}");
        };
        assert!(error.rpc().is_some_and(|rpc| rpc.code == code), "{error}");
    }
    refuse(&listener, 2);
    let event = next_event(&client);
    let ClientEvent::Disconnected(reason) = &event else {
        panic!("{event:?}");
    };
    assert!(
        matches!(reason, Disconnect::NotAdmitted(why) if why.ends_with("let this client in: no")),
        "{reason}"
    );
    assert_eq!(client.disconnect().as_ref(), Some(reason));
}

/// A pause that is long beside what anything here takes on a busy machine.
const NOTICED: Duration = Duration::from_millis(700);

#[test]
fn leaving_while_there_is_no_server_ends_at_once() {
    let (listener, client, server) = lasting(1, Simulation);
    drop(listener);
    server.close();
    expect_lost(&client);
    // Until a pause begins that is long enough to be noticed.
    let pause = loop {
        match next_event(&client) {
            ClientEvent::NotYet { pause, .. } if pause >= NOTICED => break pause,
            ClientEvent::NotYet { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    let events = client.events().clone();
    let leaving = std::thread::spawn(move || client.leave());
    let soon = Instant::now() + pause / 2;
    let mut last = None;
    while let Ok(event) = events.recv_deadline(soon) {
        last = Some(event);
    }
    assert!(
        matches!(last, Some(ClientEvent::Disconnected(Disconnect::Left))),
        "{last:?}, where a pause of {pause:?} had begun"
    );
    leaving.join().expect("no panic");
}

#[test]
fn a_client_that_is_not_to_come_back_does_not() {
    for reason in ["revoked", "expired", "replaced"] {
        let (listener, client, mut server) = lasting(1, Simulation);
        server.tell("bye", json!({"reason": reason, "message": "that is all"}));
        server.close();
        let last = loop {
            match next_event(&client) {
                ClientEvent::Bye { .. } => {}
                event => break event,
            }
        };
        let ClientEvent::Disconnected(Disconnect::Bye { message, .. }) = &last else {
            panic!("{reason}: {last:?}");
        };
        assert_eq!(message, "that is all");
        drop(listener);
    }
}

#[test]
fn a_client_that_is_sent_away_repeatedly_comes_later_each_time() {
    let (listener, client, mut server) = lasting(1, Simulation);
    let mut pauses = Vec::new();
    for rank in 0..8 {
        server.tell(
            "bye",
            json!({"reason": "too_many_errors", "message": "that is enough"}),
        );
        server.close();
        let since = Instant::now();
        server = FakeServer::accept(&listener, &joined_as(rank));
        pauses.push(since.elapsed());
    }
    // Only the first one is sure to be long; all of the others together are.
    let all: Duration = pauses[1..].iter().sum();
    assert!(all > Duration::from_millis(50), "{pauses:?}");
    drop(server);
    drop(listener);
    client.leave();
}
