//! A client whose place is held: how it tries to come back to a server that does not answer.

use super::*;
use std::io::Read;

/// How long a client waits for the answer to its `join`, which it does not get.
fn patience_of(listener: &TcpListener) -> Duration {
    let (mut stream, _) = listener.accept().expect("a client");
    let began = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It ends with a reset, as a FIN would be a leave.
    let end = stream.read_to_end(&mut Vec::new());
    assert_eq!(
        end.map_err(|e| e.kind()).err(),
        Some(ErrorKind::ConnectionReset)
    );
    began.elapsed()
}

#[test]
fn a_client_that_got_no_answer_in_time_waits_longer_for_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = Config {
        hold: true,
        ..config(&listener, 1)
    };
    let mut joined = joined(60_000);
    let token = "0123456789abcdef0123456789abcdef";
    joined["resume"] = json!({"token": token, "hold_ms": 60_000});
    let (client, server) = std::thread::scope(|scope| {
        let accepting = scope.spawn(|| FakeServer::accept(&listener, &joined));
        let client = Client::connect(config, Simulation).expect("a server");
        (client, accepting.join().expect("no panic"))
    });
    server.close();
    patience_of(&listener);
    let second = patience_of(&listener);
    // Four seconds, less what the client has waited before it was accepted; the first was two.
    assert!(second > Duration::from_millis(2500), "{second:?}");
    client.leave();
}
