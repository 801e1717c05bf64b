//! The library against a server of the test's own: a listener with lines that the test writes
//! itself, so that it can say what no real server would.

mod connecting;
mod executing;
mod input;
mod reconnecting;
mod sending;
mod watching;

use crate::*;
use serde_json::{Value, json};
use std::borrow::Borrow;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Longer than anything here takes; whatever waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's end of one connection.
struct FakeServer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl FakeServer {
    /// Accepts a client and answers its `join` with this.
    fn accept(listener: &TcpListener, joined: &Value) -> FakeServer {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        let mut server = FakeServer { stream, lines };
        let join = server.read();
        assert_eq!(join["method"], "join");
        server.write(&json!({"jsonrpc": "2.0", "id": join["id"], "result": joined}));
        server
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    /// Reads until something else than this method comes.
    fn read_method(&mut self, method: &str) -> Value {
        loop {
            let message = self.read();
            if message["method"] == method {
                return message;
            }
        }
    }

    fn write(&mut self, message: &Value) {
        self.write_raw(&format!("{message}\n"));
    }

    fn write_raw(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("a client");
    }

    fn tell(&mut self, method: &str, params: impl Borrow<Value>) {
        let params = params.borrow();
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn execute(&mut self, id: u64, words: &[&str], extra: &Value) {
        let from = json!({"member": 1, "name": "boss", "rank": 0});
        let mut params = json!({"from": from, "command": words});
        let members = params.as_object_mut().expect("an object");
        members.extend(extra.as_object().cloned().unwrap_or_default());
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": "execute", "params": params}));
    }

    fn close(self) {
        drop(self);
    }
}

fn joined(heartbeat_ms: u64) -> Value {
    json!({"member": 7, "name": "client-7", "rank": 3, "members": 4,
           "heartbeat_ms": heartbeat_ms, "max_line": 1 << 20})
}

fn config(listener: &TcpListener, slots: u32) -> Config {
    Config {
        server: listener.local_addr().expect("an address").to_string(),
        slots: Some(slots),
        connect_timeout: PATIENCE,
        ..Config::default()
    }
}

fn pair_with(slots: u32, heartbeat_ms: u64, executor: impl Executor) -> (Client, FakeServer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    pair_at(&listener, config(&listener, slots), heartbeat_ms, executor)
}

fn pair_at(
    listener: &TcpListener,
    config: Config,
    heartbeat_ms: u64,
    executor: impl Executor,
) -> (Client, FakeServer) {
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| FakeServer::accept(listener, &joined(heartbeat_ms)));
        let client = Client::connect(config, executor).expect("a server");
        (client, accepting.join().expect("no panic"))
    })
}

fn pair() -> (Client, FakeServer) {
    pair_with(1, 60_000, Simulation)
}

fn outcome(member: u64, stdout: &str) -> Value {
    json!({"member": member, "name": format!("client-{member}"), "rank": member,
           "status": "done", "exit_code": 0, "stdout": stdout, "elapsed_ms": 3})
}

fn next(sent: &SendHandle) -> SendEvent {
    sent.receiver().recv_timeout(PATIENCE).expect("an event")
}

fn next_event(client: &Client) -> ClientEvent {
    client.events().recv_timeout(PATIENCE).expect("an event")
}
