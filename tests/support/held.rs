//! A client of bare lines whose place is held: it counts, keeps and acknowledges lines by the letter
//! of the protocol, and breaks its connection when a test wants it. It shares no code with the
//! project.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{PATIENCE, left};

/// A client whose place is held.
pub(crate) struct Held {
    pub(crate) server: SocketAddr,
    /// The answer to its last `join`.
    pub(crate) joined: Value,
    stream: BufReader<TcpStream>,
    /// Lines that it has received in all.
    pub(crate) received: u64,
    /// Those of the server's that it has not looked at.
    unread: VecDeque<Value>,
    /// Lines that it has sent in all, and those that the server may not have.
    pub(crate) sent: u64,
    kept: VecDeque<String>,
    /// The lines that the server has acknowledged.
    pub(crate) acknowledged: u64,
    last_id: u64,
}

impl Held {
    /// Joins, and acknowledges the answer.
    #[track_caller]
    pub(crate) fn join(server: SocketAddr, name: &str, slots: u32) -> Self {
        let params = json!({"name": name, "slots": slots});
        let mut held = Self::join_with(server, params);
        assert_eq!(held.token().len(), 32, "{}", held.joined);
        held.confirm();
        held
    }

    /// Acknowledges the answer, and waits until that has arrived: a reset would discard it.
    #[track_caller]
    pub(crate) fn confirm(&mut self) {
        self.acknowledge();
        let id = self.request("ping", &json!({}));
        self.answer(&id);
    }

    /// Joins with these parameters, and says nothing more.
    #[track_caller]
    pub(crate) fn join_with(server: SocketAddr, mut params: Value) -> Self {
        params["protocol"] = 1.into();
        params["hold"] = true.into();
        let (stream, joined) = ask(server, &params).expect("the server takes it");
        Self {
            server,
            joined: joined["result"].clone(),
            stream,
            received: 0,
            unread: VecDeque::new(),
            sent: 0,
            kept: VecDeque::new(),
            acknowledged: 0,
            last_id: 100,
        }
    }

    pub(crate) fn token(&self) -> String {
        let token = self.joined["resume"]["token"].as_str();
        token.unwrap_or_default().to_owned()
    }

    pub(crate) fn member(&self) -> u64 {
        self.joined["member"].as_u64().expect("it has joined")
    }

    /// Writes a line that counts.
    pub(crate) fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.sent += 1;
        let _ = self.stream.get_ref().write_all(line.as_bytes());
        self.kept.push_back(line);
    }

    /// Writes bytes, which count as so many lines.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8], lines: u64) {
        self.sent += lines;
        let _ = self.stream.get_ref().write_all(bytes);
        self.kept.extend((0..lines).map(|_| "{}\n".to_owned()));
    }

    /// Writes a request, and returns its id.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = json!(self.last_id);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Sends words to a target.
    pub(crate) fn command(&mut self, to: &str, words: &[&str]) -> Value {
        self.request("send", &json!({"to": to, "command": words}))
    }

    /// Answers an `execute`.
    pub(crate) fn reply(&mut self, id: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": {"exit_code": 0}}));
    }

    /// Writes an `ack` of what it has received.
    pub(crate) fn acknowledge(&mut self) {
        self.say_received(self.received);
    }

    /// Writes an `ack`, whether it is true or not.
    pub(crate) fn say_received(&mut self, received: u64) {
        let ack = json!({"jsonrpc": "2.0", "method": "ack", "params": {"received": received}});
        let _ = self
            .stream
            .get_ref()
            .write_all(format!("{ack}\n").as_bytes());
    }

    /// The next line that is neither an `ack` nor a ping, which it answers; `None`: the connection
    /// has ended, or nothing came in that time.
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<Value> {
        let unread = self.unread.pop_front();
        unread.or_else(|| self.read(patience))
    }

    /// The next such line that comes.
    fn read(&mut self, patience: Duration) -> Option<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let line = read_line(&mut self.stream, deadline)?;
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["method"] == "ack" {
                self.note_ack(&message);
                continue;
            }
            self.received += 1;
            match message["method"] == "ping" {
                true => self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": {}})),
                false => return Some(message),
            }
        }
    }

    fn note_ack(&mut self, message: &Value) {
        let received = message["params"]["received"].as_u64().expect("a count");
        assert!(
            received >= self.acknowledged && received <= self.sent,
            "{message}"
        );
        self.kept.drain(..(received - self.acknowledged) as usize);
        self.acknowledged = received;
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        self.next_within(PATIENCE).expect("a line in time")
    }

    /// Waits for a message that is one, and puts aside those that are not.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut others = VecDeque::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some(message) = self.next_within(left(deadline)) else {
                panic!("no {what} in time; there were {others:?}");
            };
            if is_it(&message) {
                others.append(&mut self.unread);
                self.unread = others;
                return message;
            }
            others.push_back(message);
        }
    }

    /// Waits for the answer to a request.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: &Value) -> Value {
        self.wait_for("answer", |message| {
            message["id"] == *id && message["method"].is_null()
        })
    }

    /// The id of the next `execute`.
    #[track_caller]
    pub(crate) fn execute(&mut self) -> (Value, Value) {
        let execute = self.wait_for("execute", |message| message["method"] == "execute");
        (execute["id"].clone(), execute["params"]["command"].clone())
    }

    /// Waits until the server has acknowledged all that was sent before.
    #[track_caller]
    pub(crate) fn wait_for_ack(&mut self) {
        let sent = self.sent;
        let deadline = Instant::now() + PATIENCE;
        while self.acknowledged < sent {
            assert!(
                Instant::now() < deadline,
                "{} of {}",
                self.acknowledged,
                sent
            );
            if let Some(line) = self.read(Duration::from_millis(50)) {
                self.unread.push_back(line);
            }
        }
    }

    /// Breaks the connection: the server sees a reset.
    pub(crate) fn reset(&self) {
        reset(self.stream.get_ref());
    }

    /// Ends its half as a process does that ends with nothing unread.
    pub(crate) fn close(&self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// Comes back, and sends again what the server has not received.
    #[track_caller]
    pub(crate) fn come_back(&mut self) {
        let answer = self.try_to_come_back(&self.token(), self.received);
        assert_eq!(answer["result"]["resumed"], "lines", "{answer}");
    }

    /// Tries to come back; the answer.
    #[track_caller]
    pub(crate) fn try_to_come_back(&mut self, token: &str, received: u64) -> Value {
        let params = resume(token, received);
        let (stream, answer) = ask(self.server, &params).expect("the server takes it");
        if answer["result"].is_null() {
            return answer;
        }
        let before = std::mem::replace(&mut self.stream, stream);
        // Not by a FIN, which is a leave.
        reset(before.get_ref());
        self.joined = answer["result"].clone();
        self.go_on(&answer["result"]);
        answer
    }

    fn go_on(&mut self, joined: &Value) {
        if joined["resumed"] == "rank" {
            (self.received, self.sent, self.acknowledged) = (0, 0, 0);
            self.kept.clear();
        } else {
            let received = joined["received"].as_u64().expect("a count");
            assert!(
                received >= self.acknowledged && received <= self.sent,
                "{joined}"
            );
            self.kept.drain(..(received - self.acknowledged) as usize);
            self.acknowledged = received;
        }
        for line in &self.kept {
            let _ = self.stream.get_ref().write_all(line.as_bytes());
        }
        self.acknowledge();
    }
}

/// The parameters of a `join` that comes back.
pub(crate) fn resume(token: &str, received: u64) -> Value {
    json!({"protocol": 1, "resume": {"token": token, "received": received}})
}

/// Breaks a connection, also while others have the socket: one without an address any more is
/// reset (connect(2), `AF_UNSPEC`).
pub(crate) fn reset(stream: &TcpStream) {
    let _ = rustix::net::connect_unspec(stream);
}

/// Connects and joins; `None`: the server closed without an answer.
pub(crate) fn ask(server: SocketAddr, params: &Value) -> Option<(BufReader<TcpStream>, Value)> {
    let stream = super::dial_plain(server).expect("the server accepts");
    let _ = stream.set_nodelay(true);
    let join = json!({"jsonrpc": "2.0", "id": 0, "method": "join", "params": params});
    (&stream).write_all(format!("{join}\n").as_bytes()).ok()?;
    let mut stream = BufReader::new(stream);
    let answer = read_line(&mut stream, Instant::now() + PATIENCE)?;
    Some((stream, serde_json::from_str(&answer).expect("JSON")))
}

fn read_line(stream: &mut BufReader<TcpStream>, deadline: Instant) -> Option<String> {
    let mut line = Vec::new();
    let patience = left(deadline).max(Duration::from_millis(1));
    stream.get_ref().set_read_timeout(Some(patience)).ok()?;
    let read = stream.read_until(b'\n', &mut line);
    let is_late =
        |e: &std::io::Error| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    let is_half = read.as_ref().is_err_and(is_late) && !line.is_empty();
    assert!(!is_half, "half a line");
    line.ends_with(b"\n")
        .then(|| String::from_utf8(line).ok())?
}
