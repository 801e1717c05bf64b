//! A server of scenes: sessions and timers as always, clients of bare lines, and what a sender hears.

use crate::config::Config;
use crate::connection::Connection;
use crate::hub::Hub;
use crate::session;
use crate::testing;
use common::net::listener::Listener;
use common::net::stream::Stream;
use common::sys::sync::Arc;
use common::sys::sync::atomic::{AtomicBool, Ordering};
use serde_json::{Value, json};
use shuttle::thread::{self, JoinHandle};
use std::collections::VecDeque;
use std::io::Read;

/// A server without a listener: a thread serves each connection as always.
pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) sessions: Vec<JoinHandle<()>>,
    pub(super) is_over: Arc<AtomicBool>,
}

impl World {
    pub(super) fn new() -> World {
        World::of(Config::default())
    }

    pub(super) fn of(config: Config) -> World {
        let (_, waker) = Listener::bind("").expect("memory never fails");
        let hub = Hub::new(config, 1, waker);
        World {
            hub: Arc::new(hub),
            sessions: Vec::new(),
            is_over: Arc::default(),
        }
    }

    /// A client that has joined.
    pub(super) fn join(&mut self, name: &str, slots: u32) -> Client {
        self.join_as(&json!({"protocol": 1, "name": name, "slots": slots}))
    }

    pub(super) fn join_as(&mut self, params: &Value) -> Client {
        let (mut client, session) = dial(&self.hub);
        self.sessions.push(session);
        client.say(&json!({"jsonrpc": "2.0", "id": 0, "method": "join", "params": params}));
        let answer = client.hear().expect("an answer to join");
        assert!(answer["result"]["rank"].is_u64(), "{answer}");
        client
    }

    /// Flushes as the timer thread does.
    pub(super) fn start_timers(&self) -> JoinHandle<()> {
        let (hub, is_over) = (Arc::clone(&self.hub), Arc::clone(&self.is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                for place in testing::ranked(&hub.roster) {
                    place.member.connection.flush_as_asked();
                }
                thread::yield_now();
            }
        })
    }
}

/// A connection to the server, and its session.
pub(super) fn dial(hub: &Arc<Hub>) -> (Client, JoinHandle<()>) {
    let (near, far) = Stream::pair(64 << 10);
    let hub = Arc::clone(hub);
    let session = thread::spawn(move || {
        let connection = Arc::new(Connection::new(
            Arc::new(near),
            &hub.budget.all,
            hub.timers.now(),
        ));
        hub.connected(&connection);
        session::serve(&hub, connection);
    });
    let client = Client {
        stream: far,
        bytes: VecDeque::new(),
    };
    (client, session)
}

/// A client of bare lines.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) bytes: VecDeque<u8>,
}

impl Client {
    pub(super) fn say(&self, message: &Value) {
        let line = format!("{message}\n");
        // A client that has left says nothing more.
        let _ = self.stream.write_now(line.as_bytes());
    }

    pub(super) fn hear(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            let mut piece = [0; 1024];
            match (&self.stream).read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.bytes.extend(&piece[..n]),
            }
        }
    }

    pub(super) fn send(&self, id: u64, to: &str) {
        let params = json!({"to": to, "command": ["x"]});
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": params}));
    }

    pub(super) fn leave(&self) {
        self.say(&json!({"jsonrpc": "2.0", "method": "leave"}));
    }

    /// Executes what comes, so many commands, each of which writes something; then breaks off.
    pub(super) fn execute(mut self, most: usize) {
        let mut left = most;
        while let Some(message) = self.hear() {
            if message["method"] == "execute" {
                if left == 0 {
                    break;
                }
                left -= 1;
                let output = json!({"id": message["id"], "stream": "stdout", "text": "x"});
                self.say(&json!({"jsonrpc": "2.0", "method": "output", "params": output}));
                let result = json!({"exit_code": 0});
                self.say(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
            }
        }
        self.stream.shutdown();
    }
}

/// What a sender heard of one send of kind many, by its order.
#[derive(Default)]
pub(super) struct Heard {
    targets: Option<u64>,
    outcomes: Vec<Value>,
    tally: Option<Value>,
}

impl Heard {
    fn take(&mut self, message: Value) {
        assert!(self.tally.is_none(), "{message} after the tally");
        match message["method"].as_str() {
            Some("accepted") => {
                assert!(
                    self.targets.is_none() && self.outcomes.is_empty(),
                    "{message}"
                );
                self.targets = message["params"]["targets"].as_u64();
            }
            Some("output") => {
                assert!(self.targets.is_some(), "{message} before accepted");
                let member = &message["params"]["member"];
                assert!(
                    !self.outcomes.contains(member),
                    "{message} after its outcome"
                );
            }
            Some("outcome") => {
                assert!(self.targets.is_some(), "{message} before accepted");
                self.outcomes.push(message["params"]["member"].clone());
            }
            _ => self.tally = Some(message["result"].clone()),
        }
    }

    /// Hears one client's sends, whose ids count from 1, to their ends.
    pub(super) fn hear_all(client: &mut Client, sends: usize) {
        let mut heard: Vec<Heard> = (0..sends).map(|_| Heard::default()).collect();
        while heard.iter().any(|heard| heard.tally.is_none()) {
            let message = client.hear().expect("it is here");
            let send = message["params"]["send"]
                .as_u64()
                .or(message["id"].as_u64());
            match send.and_then(|send| heard.get_mut(send as usize - 1)) {
                Some(heard) => heard.take(message),
                None => panic!("{message}"),
            }
        }
        heard.into_iter().for_each(Heard::check);
    }

    fn check(self) {
        let tally = self.tally.expect("it ended");
        assert_eq!(tally["targets"].as_u64(), self.targets);
        assert_eq!(self.outcomes.len() as u64, self.targets.unwrap_or(0));
        let mut members = self.outcomes;
        members.sort_by_key(Value::as_u64);
        members.dedup();
        assert_eq!(
            members.len() as u64,
            self.targets.unwrap_or(0),
            "one of each target"
        );
    }
}
