//! A client of bare lines, as `nc` and a JSON library would make it: it shares no code
//! with the project, so that it can find both ends wrong.
//!
//! A thread of its own reads what comes, so that pings are answered (unless the client is
//! made to be mute) while the test is busy elsewhere; each wait here has a deadline.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::reader::{Arrival, Line, Reader};
use super::{PATIENCE, Server, abbreviated, dial, left, tunnel};

/// Lines that a failed test shows of what had come.
const SHOWN: usize = 12;

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
    pub(crate) fn join_with(server: &Server, mut params: Value) -> Self {
        let mut client = Self::connect(server);
        params["protocol"] = 1.into();
        client.joined = client.result("join", &params);
        client.label = client.joined["name"].to_string();
        client
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

/// Reading.
impl Raw {
    /// The next message of any kind.
    #[track_caller]
    pub(crate) fn next(&mut self, what: &str) -> Value {
        self.next_line(what).0
    }

    /// The next message, and the line it came in.
    #[track_caller]
    pub(crate) fn next_line(&mut self, what: &str) -> (Value, String) {
        let deadline = Instant::now() + PATIENCE;
        if self.unread.is_empty() {
            self.receive(what, deadline);
        }
        let line = self.unread.pop_front();
        let line = line.unwrap_or_else(|| self.fail(what, "the connection ended"));
        (line.message, line.text)
    }

    /// The first message that is the one; those before it stay to be read.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(PATIENCE, what, is_it)
    }

    /// [`Raw::wait_for`] with another deadline.
    #[track_caller]
    pub(crate) fn wait_within(
        &mut self,
        within: Duration,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + within;
        let mut looked_at = 0;
        loop {
            while let Some(line) = self.unread.get(looked_at) {
                if is_it(&line.message) {
                    let line = self.unread.remove(looked_at);
                    return line.expect("it was there just now").message;
                }
                looked_at += 1;
            }
            self.receive(what, deadline);
            if self.ended && looked_at == self.unread.len() {
                self.fail(what, "the connection ended");
            }
        }
    }

    /// The answer to a request.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: &Value) -> Value {
        let what = format!("the answer to {id}");
        self.wait_for(&what, |message| {
            message.get("method").is_none() && message["id"] == *id
        })
    }

    /// The result of a request that was written before.
    #[track_caller]
    pub(crate) fn result_of(&mut self, id: &Value) -> Value {
        let answer = self.answer(id);
        let result = answer.get("result").cloned();
        result.unwrap_or_else(|| panic!("{}: expected a result, got {answer}", self.label))
    }

    /// The error of a request that was written before.
    #[track_caller]
    pub(crate) fn error_of(&mut self, id: &Value) -> Value {
        let answer = self.answer(id);
        let error = answer.get("error").cloned();
        error.unwrap_or_else(|| panic!("{}: expected an error, got {answer}", self.label))
    }

    /// Asks, and takes the result.
    #[track_caller]
    pub(crate) fn result(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.result_of(&id)
    }

    /// Asks, and takes the error.
    #[track_caller]
    pub(crate) fn error(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.error_of(&id)
    }

    /// The parameters of the next notification of this kind.
    #[track_caller]
    pub(crate) fn notification(&mut self, method: &str) -> Value {
        let what = format!("a notification {method}");
        let message = self.wait_for(&what, |message| {
            message["method"] == method && message.get("id").is_none()
        });
        message["params"].clone()
    }

    /// The next command to execute.
    #[track_caller]
    pub(crate) fn execute(&mut self) -> Execute {
        let message = self.wait_for("an execute", |message| message["method"] == "execute");
        let params = message["params"].clone();
        let words = params["command"].as_array().cloned().unwrap_or_default();
        let word = |word: Value| word.as_str().expect("a word is a string").to_owned();
        let id = message["id"].clone();
        assert!(id.is_i64(), "the id of an execute is an integer: {message}");
        Execute {
            id,
            command: words.into_iter().map(word).collect(),
            params,
        }
    }

    /// The next command to execute, if one comes within this time and the connection lasts.
    #[track_caller]
    pub(crate) fn execute_within(&mut self, wait: Duration) -> Option<Execute> {
        let deadline = Instant::now() + wait;
        let is_it = |line: &Line| line.message["method"] == "execute";
        while !self.unread.iter().any(is_it) {
            let arrival = self.arrivals.recv_timeout(left(deadline)).ok()?;
            self.take(arrival);
            if self.ended {
                return None;
            }
        }
        Some(self.execute())
    }

    /// Executes the next `count` commands: each says its words, and ends with 0. Returns
    /// the commands in the order they came.
    #[track_caller]
    pub(crate) fn serve(&mut self, count: usize) -> Vec<String> {
        let mut served = Vec::new();
        for _ in 0..count {
            let execute = self.execute();
            let words = execute.command.join(" ");
            self.reply(&execute, &json!({"exit_code": 0, "stdout": words}));
            served.push(words);
        }
        served
    }

    /// Waits until the server has answered a ping, and so has dealt with all that was
    /// written before; returns what else came before that answer, and had not been read.
    #[track_caller]
    pub(crate) fn fence(&mut self) -> Vec<Value> {
        self.last_id += 1;
        let id = json!(format!("fence-{}", self.last_id));
        self.request_as(&id, "ping", &json!({}));
        let mut before = Vec::new();
        loop {
            let message = self.next("the answer to a ping");
            if message["id"] == id && message.get("method").is_none() {
                return before;
            }
            before.push(message);
        }
    }

    /// Waits until the server has dealt with all that was written before; what else comes
    /// stays to be read.
    #[track_caller]
    pub(crate) fn sync(&mut self) {
        assert_eq!(self.result("ping", &json!({})), json!({}));
    }

    /// Checks that nothing unread has come, and that the server goes on answering.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self, because: &str) {
        let came = self.fence();
        let shown: Vec<_> = came.iter().map(|m| abbreviated(&m.to_string())).collect();
        assert!(
            came.is_empty(),
            "{}: {because}; nothing should have come, but there was {shown:#?}",
            self.label
        );
    }

    /// Waits until the server has closed, and returns what came before and had not been
    /// read.
    #[track_caller]
    pub(crate) fn wait_end(&mut self, what: &str) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        while !self.ended {
            self.receive(what, deadline);
        }
        self.unread.drain(..).map(|line| line.message).collect()
    }

    /// Waits until the server has closed, without another line.
    #[track_caller]
    pub(crate) fn expect_eof(&mut self, what: &str) {
        let rest = self.wait_end(what);
        assert!(
            rest.is_empty(),
            "{}: {what}; came before it: {rest:#?}",
            self.label
        );
    }

    /// Waits until the server has said `bye` for this reason as its last line, and closed.
    #[track_caller]
    pub(crate) fn expect_bye(&mut self, reason: &str) {
        let params = self.notification("bye");
        assert_eq!(params["reason"], reason, "{}: {params}", self.label);
        let message = params["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "bye says why to a person: {params}");
        assert!(
            self.unread.is_empty(),
            "{}: bye is the last line, and nothing else has come: {:?}",
            self.label,
            self.unread
                .iter()
                .map(|line| &line.message)
                .collect::<Vec<_>>()
        );
        self.expect_eof("the end after bye");
    }

    /// Waits until the server has said `bye` for this reason as its last line, and closed. Ranks may
    /// have changed before it, and commands been cancelled, as others left.
    #[track_caller]
    pub(crate) fn expect_bye_after_ranks(&mut self, reason: &str) {
        let rest = self.wait_end("bye and the end");
        let (bye, before) = rest.split_last().expect("a bye");
        assert_eq!(bye["method"], "bye", "{}: {rest:?}", self.label);
        assert_eq!(bye["params"]["reason"], reason, "{}: {bye}", self.label);
        let is_known =
            |message: &Value| message["method"] == "rank" || message["method"] == "cancel";
        assert!(before.iter().all(is_known), "{}: {rest:?}", self.label);
    }

    /// Takes what comes within this time, and says whether anything did. For tests that
    /// have to do something at intervals.
    pub(crate) fn comes_within(&mut self, wait: Duration) -> bool {
        if self.unread.is_empty() && !self.ended {
            match self.arrivals.recv_timeout(wait) {
                Ok(arrival) => self.take(arrival),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => self.ended = true,
            }
        }
        true
    }

    #[track_caller]
    fn receive(&mut self, what: &str, deadline: Instant) {
        if self.ended {
            return;
        }
        match self.arrivals.recv_timeout(left(deadline)) {
            Ok(arrival) => self.take(arrival),
            Err(RecvTimeoutError::Timeout) => self.fail(what, "too late"),
            Err(RecvTimeoutError::Disconnected) => self.ended = true,
        }
    }

    #[track_caller]
    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Line(line) => {
                self.seen.push_back(abbreviated(&line.text));
                if self.seen.len() > SHOWN {
                    self.seen.pop_front();
                }
                self.unread.push_back(line);
            }
            Arrival::Wrong(why) => panic!("{}: {why}", self.label),
            Arrival::End => self.ended = true,
        }
    }

    #[track_caller]
    fn fail(&self, what: &str, why: &str) -> ! {
        panic!(
            "{}: waited for {what}: {why}; the last that came: {:#?}",
            self.label, self.seen
        )
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
