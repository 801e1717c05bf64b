//! A client of bare lines, as `nc` and a JSON library would make it: it shares no code
//! with the project, so that it can find both ends wrong.
//!
//! `reading.rs` has its waits. A thread of its own reads what comes, so that pings are answered (unless the client is
//! made to be mute) while the test is busy elsewhere; each wait here has a deadline.

mod reading;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::reader::{Arrival, Line, Reader};
use super::{Server, dial, tunnel};

/// An `execute` request that came.
#[derive(Debug, Clone)]
pub(crate) struct Execute {
    /// Its id, to answer it.
    pub(crate) id: Value,
    /// The words to run.
    pub(crate) command: Vec<String>,
    /// All of its parameters.
    pub(crate) params: Value,
}

/// A client of bare lines.
pub(crate) struct Raw {
    /// What a failed test calls it.
    label: String,
    /// The result of its `join`; null before it.
    pub(crate) joined: Value,
    stream: TcpStream,
    writer: Arc<Mutex<TcpStream>>,
    arrivals: Receiver<Arrival>,
    unread: VecDeque<Line>,
    ended: bool,
    seen: VecDeque<String>,
    last_id: u64,
    pings: Arc<AtomicUsize>,
    reader: Option<JoinHandle<()>>,
}

/// Connecting and going.
impl Raw {
    /// Connects, without joining.
    #[track_caller]
    pub(crate) fn connect(server: &Server) -> Self {
        Self::connect_to(server.address(), true)
    }

    /// Connects a client that hears the server's pings as any other line and never
    /// answers them by itself.
    #[track_caller]
    pub(crate) fn mute(server: &Server) -> Self {
        Self::connect_to(server.address(), false)
    }

    #[track_caller]
    fn connect_to(address: SocketAddr, answers_pings: bool) -> Self {
        let stream = dial(address);
        Self::over(stream, answers_pings)
    }

    /// Takes part over a connection that is already there.
    #[track_caller]
    pub(crate) fn over(stream: TcpStream, answers_pings: bool) -> Self {
        stream.set_nodelay(true).expect("a socket has no-delay");
        let clone = || stream.try_clone().expect("a socket can be cloned");
        let writer = Arc::new(Mutex::new(clone()));
        let pings = Arc::new(AtomicUsize::new(0));
        let (sender, arrivals) = channel();
        let reader = Reader {
            stream: clone(),
            sender,
            writer: answers_pings.then(|| Arc::clone(&writer)),
            pings: Arc::clone(&pings),
        };
        let reader = std::thread::spawn(move || reader.run());
        Self {
            label: "a newcomer".into(),
            joined: Value::Null,
            stream,
            writer,
            arrivals,
            unread: VecDeque::new(),
            ended: false,
            seen: VecDeque::new(),
            last_id: 0,
            pings,
            reader: Some(reader),
        }
    }

    /// Connects and joins.
    #[track_caller]
    pub(crate) fn join(server: &Server, name: &str, slots: u32) -> Self {
        let mut client = Self::connect(server);
        client.join_as(name, slots);
        client
    }

    /// Joins over this connection.
    #[track_caller]
    pub(crate) fn join_as(&mut self, name: &str, slots: u32) {
        name.clone_into(&mut self.label);
        let params = json!({"protocol": 1, "name": name, "slots": slots});
        self.joined = self.result("join", &params);
    }

    /// Connects and joins with these parameters, and the protocol's version.
    #[track_caller]
    pub(crate) fn join_with(server: &Server, params: Value) -> Self {
        let mut client = Self::connect(server);
        client.join_by(params);
        client
    }

    /// Joins over this connection with these parameters, and the protocol's version.
    #[track_caller]
    pub(crate) fn join_by(&mut self, mut params: Value) {
        params["protocol"] = 1.into();
        self.joined = self.result("join", &params);
        self.label = self.joined["name"].to_string();
    }

    /// What those are told that it commands, with the rank it has now.
    pub(crate) fn origin(&self, rank: u64) -> Value {
        let mut origin = self.identity(rank);
        origin["tier"] = self.joined["tier"].clone();
        origin
    }

    /// What others are told of it, with the rank it has now.
    pub(crate) fn identity(&self, rank: u64) -> Value {
        json!({"member": self.joined["member"], "name": self.joined["name"], "rank": rank})
    }

    /// Its member number.
    pub(crate) fn member(&self) -> u64 {
        self.joined["member"].as_u64().expect("it has joined")
    }

    /// The address that the server sees.
    pub(crate) fn address(&self) -> SocketAddr {
        let own = self.stream.local_addr();
        tunnel::address_at_server(own.expect("a socket has an address"))
    }

    /// How many pings of the server came so far.
    pub(crate) fn pings(&self) -> usize {
        self.pings.load(Ordering::SeqCst)
    }

    /// Closes the sending half, as `nc -N` does at its input's end.
    pub(crate) fn close_sending(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("a connection has a sending half");
    }

    /// Leaves on purpose and waits until the server has closed.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.notify("leave", &json!({}));
        self.wait_end("the end after leave");
    }
}

/// Writing.
impl Raw {
    /// Writes bytes as they are.
    #[track_caller]
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("{}: cannot write: {error}", self.label));
    }

    /// Writes bytes to a server that may have closed.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(bytes)
    }

    /// Writes each piece by itself, with nothing in between from this end.
    #[track_caller]
    pub(crate) fn send_pieces<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces {
            writer.write_all(piece).expect("the server takes it");
        }
    }

    /// Writes one line.
    #[track_caller]
    pub(crate) fn send_line(&self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Writes one message.
    #[track_caller]
    pub(crate) fn send(&self, message: &Value) {
        self.send_line(&message.to_string());
    }

    /// Writes a notification.
    #[track_caller]
    pub(crate) fn notify(&self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Writes a request, and returns its id.
    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = json!(self.last_id);
        self.request_as(&id, method, params);
        id
    }

    /// Writes a request with this id.
    #[track_caller]
    pub(crate) fn request_as(&self, id: &Value, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    /// Writes a `send` of words, and returns its id.
    #[track_caller]
    pub(crate) fn command(&mut self, to: &str, words: &[&str]) -> Value {
        self.request("send", &json!({"to": to, "command": words}))
    }

    /// Answers an `execute`.
    #[track_caller]
    pub(crate) fn reply(&self, execute: &Execute, result: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": execute.id, "result": result}));
    }

    /// Answers an `execute` with an error.
    #[track_caller]
    pub(crate) fn reply_error(&self, execute: &Execute, code: i64, message: &str) {
        let error = json!({"code": code, "message": message});
        self.send(&json!({"jsonrpc": "2.0", "id": execute.id, "error": error}));
    }

    /// Says that a command wrote something.
    #[track_caller]
    pub(crate) fn output(&self, execute: &Execute, stream: &str, text: &str) {
        self.notify(
            "output",
            &json!({"id": execute.id, "stream": stream, "text": text}),
        );
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The server may have closed first; the reader ends in any case.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
