//! A connection that breaks at any moment while its client executes, and a client that comes back
//! while its place is given up, while it is evicted, or while the server drains: each command has one
//! outcome, nothing runs twice, and no thread waits for ever.

use super::*;
use crate::dispatch::flush_set::FlushSet;
use crate::eviction;
use crate::giving_up;
use std::collections::BTreeSet;

/// A client whose place is held, and what it has to do with that.
struct Worker {
    hub: Arc<Hub>,
    client: Client,
    token: String,
    received: u64,
    sent: Vec<Value>,
    executed: BTreeSet<u64>,
    sessions: Vec<JoinHandle<()>>,
}

/// Breaks a connection at some moment.
fn break_off(stream: &Stream) -> JoinHandle<()> {
    let stream = stream.clone();
    thread::spawn(move || stream.reset())
}

impl Worker {
    fn join(hub: &Arc<Hub>) -> Worker {
        let (mut client, session) = dial(hub);
        let params = json!({"protocol": 1, "name": "worker", "slots": 2, "hold": true});
        client.say(&json!({"jsonrpc": "2.0", "id": 0, "method": "join", "params": params}));
        let answer = client.hear().expect("an answer to join");
        let mut worker = Worker {
            hub: Arc::clone(hub),
            client,
            token: String::new(),
            received: 0,
            sent: Vec::new(),
            executed: BTreeSet::new(),
            sessions: vec![session],
        };
        worker.take_token(&answer);
        worker
    }

    fn take_token(&mut self, answer: &Value) {
        let token = answer["result"]["resume"]["token"].as_str();
        self.token = token.expect("a token").to_owned();
        let ack = json!({"received": self.received});
        self.client
            .say(&json!({"jsonrpc": "2.0", "method": "ack", "params": ack}));
    }

    /// Executes what comes, and comes back, until that does not work any more.
    fn execute(mut self) -> Vec<JoinHandle<()>> {
        loop {
            while let Some(message) = self.client.hear() {
                self.take(&message);
            }
            if !self.come_back() {
                self.client.stream.shutdown();
                return self.sessions;
            }
        }
    }

    fn take(&mut self, message: &Value) {
        if message["method"] == "ack" {
            return;
        }
        self.received += 1;
        if message["method"] == "execute" {
            let id = message["id"].as_u64().expect("a number");
            assert!(self.executed.insert(id), "{id} came twice");
            let result = json!({"jsonrpc": "2.0", "id": id, "result": {"exit_code": 0}});
            self.client.say(&result);
            self.sent.push(result);
        }
    }

    fn come_back(&mut self) -> bool {
        let (mut client, session) = dial(&self.hub);
        self.sessions.push(session);
        let resume = json!({"token": self.token, "received": self.received});
        let params = json!({"protocol": 1, "resume": resume});
        client.say(&json!({"jsonrpc": "2.0", "id": 0, "method": "join", "params": params}));
        let answer = client.hear();
        let before = std::mem::replace(&mut self.client, client);
        before.stream.reset();
        let Some(answer) = answer.filter(|answer| answer["error"].is_null()) else {
            return false;
        };
        if answer["method"] == "bye" {
            return false;
        }
        assert_eq!(answer["result"]["resumed"], "lines", "{answer}");
        let received = answer["result"]["received"].as_u64().expect("a count");
        for line in &self.sent[received as usize..] {
            self.client.say(line);
        }
        self.take_token(&answer);
        true
    }
}

/// What ends a place, besides its client.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Nothing,
    /// Its time is over, whenever it is away.
    Hold,
    /// Its credential is gone.
    Eviction,
    /// The server stops.
    Drain,
}

fn give_up(hub: &Arc<Hub>) {
    for place in testing::ranked(&hub.roster) {
        let member = &place.member;
        if let Some(due) = member.connection.hold().and_then(|hold| hold.due()) {
            giving_up::end_due(hub, member, due, 0);
        }
    }
}

fn end(hub: &Arc<Hub>, ending: Ending) {
    match ending {
        Ending::Nothing => {}
        Ending::Hold => give_up(hub),
        Ending::Eviction => {
            let mut flushes = FlushSet::new(&hub.timers);
            for place in testing::ranked(&hub.roster) {
                if place.member.connection.hold().is_some() {
                    eviction::evict(hub, &place.member, eviction::REPLACED, &mut flushes);
                }
            }
        }
        Ending::Drain => {
            let mut flushes = FlushSet::new(&hub.timers);
            for place in testing::ranked(&hub.roster) {
                if place.member.connection.hold().is_some() {
                    hub.conclude_all(place.member.queue.give_up(), &mut flushes);
                    crate::drain::end(hub, &place.member, hub.timers.now());
                }
            }
        }
    }
}

fn scene(ending: Ending) {
    explore(move || {
        let mut world = World::new();
        let mut boss = world.join("boss", 0);
        let worker = Worker::join(&world.hub);
        let breaks = break_off(&worker.client.stream);
        let worker = thread::spawn(move || {
            let sessions = worker.execute();
            join_all(sessions);
        });
        let hub = Arc::clone(&world.hub);
        let ends = thread::spawn(move || end(&hub, ending));
        for id in 1..=2 {
            boss.send(id, "worker");
        }
        // A send that finds it away is answered, too.
        for _ in 1..=2 {
            while boss.hear().expect("it is here").get("id").is_none() {}
        }
        join_all([breaks, ends]);
        boss.stream.shutdown();
        while world.hub.roster.len() > 0 {
            for place in testing::ranked(&world.hub.roster) {
                place.member.connection.stream.shutdown();
            }
            give_up(&world.hub);
            thread::yield_now();
        }
        join_all([worker].into_iter().chain(world.sessions));
        assert_eq!(world.hub.connections().len(), 0);
    });
}

#[test]
fn a_client_comes_back_while_its_earlier_session_ends() {
    scene(Ending::Nothing);
}

#[test]
fn a_client_comes_back_while_its_time_is_over() {
    scene(Ending::Hold);
}

#[test]
fn a_client_comes_back_while_it_is_evicted() {
    scene(Ending::Eviction);
}

#[test]
fn a_client_comes_back_while_the_server_gives_it_up() {
    scene(Ending::Drain);
}
