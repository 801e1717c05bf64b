//! A walk: clients do one thing after the other at a real server, and after each of them
//! all clients' lines and the ranking are what a plain model says.
//!
//! Nothing here waits for a time. The answer to a ping says that the server has dealt with
//! all that its client wrote before, and the answer to a second one that all that this caused
//! is on its way to the others; a ping of each of them then brings what there is for it. Only where a client goes without
//! reading its end are the others asked until the ranking is what it ought to be.

mod acts;
mod away;
mod ends;
mod find;
mod input;
mod model;
mod peer;
mod random;
mod step;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Server, abbreviated};
use model::{Bounds, Key, Model};
use peer::{Ids, Peer};
use step::{Lost, NAMES, Pick, Step, Way};
use wire::Wire;

/// Small, so that walks come to them.
const BOUNDS: Bounds = Bounds {
    clients: 6,
    queue: 4,
    sends: 5,
};

/// How long a walk may take: less than the 8 s after which a server takes the outcome of a
/// cancelled command itself, which the model does not. A walk takes a tenth of a second.
const LONGEST: Duration = Duration::from_secs(6);

/// One in so many walks waits at its end until those that joined are news.
const WALKS_FOR_A_WAIT: usize = 16;

/// Clients that are held acknowledge with one in so many pings what they have received.
const PINGS_FOR_AN_ACK: u64 = 5;

/// What a walk found wrong.
pub(crate) type Walked<T> = Result<T, String>;

/// A server, its clients, and what ought to be.
pub(crate) struct Walk {
    server: Server,
    patience: Duration,
    model: Model,
    peers: BTreeMap<Key, Peer>,
    ids: Ids,
    next_key: Key,
    pings: u64,
}

/// Takes the steps; says how many were taken before the time was over.
pub(crate) fn walk(steps: &[Step], patience: Duration) -> Walked<usize> {
    let number = |n: usize| n.to_string();
    let (queue, sends) = (number(BOUNDS.queue), number(BOUNDS.sends));
    let options = ["--max-queue", queue.as_str(), "--max-sends", sends.as_str()];
    let mut walk = Walk {
        server: Server::start(BOUNDS.clients, &options),
        patience,
        model: Model::new(BOUNDS),
        peers: BTreeMap::new(),
        ids: Ids::default(),
        next_key: 0,
        pings: 0,
    };
    let end = Instant::now() + LONGEST;
    for (at, step) in steps.iter().enumerate() {
        if Instant::now() >= end {
            return Ok(at);
        }
        let took = walk.step(step);
        took.map_err(|why| format!("step {at}, {step:?}: {why}"))?;
    }
    walk.end()
        .map_err(|why| format!("after the last step: {why}"))?;
    Ok(steps.len())
}

/// The steps.
impl Walk {
    fn step(&mut self, step: &Step) -> Walked<()> {
        match step {
            Step::Join {
                name,
                slots,
                tier,
                is_told_its_rank,
                takes_input,
                is_held,
            } => {
                let name = name.map(|n| NAMES[n]);
                let asks_for = (*is_told_its_rank, *takes_input, *is_held);
                self.join(name, *slots, *tier, asks_for)
            }
            Step::Go { actor, how } => actor.of(&self.here()).map_or(Ok(()), |k| self.go(k, *how)),
            Step::Break { actor, in_a_line } => actor
                .of(&self.held(false))
                .map_or(Ok(()), |k| self.break_off(k, *in_a_line)),
            Step::ComeBack { actor, lost } => actor
                .of(&self.held(true))
                .map_or(Ok(()), |k| self.come_back(k, *lost)),
            Step::ReadOn { actor } => actor
                .of(&self.by_reading(false))
                .map_or(Ok(()), |k| self.read_on(k)),
            _ => match Self::actor(step).of(&self.actors(step)) {
                Some(key) => self.act(key, step),
                None => Ok(()),
            },
        }
    }

    /// The client that acts, of those that read.
    fn actor(step: &Step) -> Pick {
        match step {
            Step::Send { actor, .. }
            | Step::SendAgain { actor, .. }
            | Step::Answer { actor, .. }
            | Step::Meddle { actor, .. }
            | Step::Output { actor, .. }
            | Step::Consume { actor, .. }
            | Step::Input { actor, .. }
            | Step::ConsumeInput { actor, .. }
            | Step::Cancel { actor, .. }
            | Step::Rubbish { actor, .. }
            | Step::StopReading { actor }
            | Step::ReadOn { actor }
            | Step::Break { actor, .. }
            | Step::ComeBack { actor, .. }
            | Step::Go { actor, .. } => *actor,
            Step::Join { .. } => Pick(0),
        }
    }

    fn join(
        &mut self,
        name: Option<&str>,
        slots: usize,
        tier: Option<u64>,
        (is_told_its_rank, takes_input, is_held): (bool, bool, bool),
    ) -> Walked<()> {
        let key = self.next_key;
        self.next_key += 1;
        let connected = Wire::connect(self.server.address(), self.patience);
        let mut wire = connected.map_err(|e| format!("cannot connect: {e}"))?;
        let mut params = json!({"protocol": 1, "name": name, "slots": slots, "tier": tier});
        params["tags"] = json!({"slots": slots.to_string()});
        if !is_told_its_rank {
            params["rank_news"] = false.into();
        }
        if takes_input {
            params["stdin"] = true.into();
        }
        if is_held {
            params["hold"] = true.into();
        }
        wire.write(&request(0, "join", &params))?;
        let answer = wire
            .next()?
            .ok_or("the connection ended before join was answered")?;
        let place = match self.model.join(key, name, (slots, takes_input), tier) {
            Err(code) if answer["error"]["code"] == code => return Ok(()),
            Err(code) => return Err(format!("join ought to be error {code}, not {answer}")),
            Ok(expected) => {
                let mut got = foreseen(&answer);
                let place = Self::place(is_held, &mut got)?;
                if got != expected {
                    return Err(format!("join ought to give {expected}, not {answer}"));
                }
                place
            }
        };
        wire.sent = 0;
        self.peers
            .insert(key, Peer::new(wire, is_told_its_rank, place));
        self.settle(key)
    }

    fn go(&mut self, key: Key, how: Way) -> Walked<()> {
        let others: Vec<Key> = self.here().into_iter().filter(|k| *k != key).collect();
        let Some(mut peer) = self.peers.remove(&key) else {
            return Ok(());
        };
        let is_held = peer.place.is_some();
        match how {
            Way::Close | Way::Reset if !others.is_empty() && !is_held => {
                // When others that do not read are told of it cannot be known.
                for other in &others {
                    self.peer(*other)?.reads = true;
                }
                self.fence(&others)?;
                self.model.leave(key);
                self.distribute();
                match how {
                    Way::Reset => peer.wire.reset(),
                    _ => drop(peer),
                }
                self.wait_until_gone(&others)
            }
            _ => {
                let leave = "{\"jsonrpc\":\"2.0\",\"method\":\"leave\"}\n";
                match how {
                    Way::Leave => peer.wire.write(leave)?,
                    _ => peer.wire.close_sending(),
                }
                self.model.leave(key);
                self.read_to_end(key, peer)?;
                self.settle(key)
            }
        }
    }

    /// Reads what a client is told last, and its end: then it is gone for all.
    fn read_to_end(&mut self, key: Key, mut peer: Peer) -> Walked<()> {
        peer.expect_of(key, &mut self.model.told);
        while let Some(line) = peer
            .next()
            .map_err(|why| format!("{key}, at its end: {why}"))?
        {
            let line = self.ids.normal(line, &mut peer.given)?;
            let perhaps = &mut self.model.perhaps;
            match perhaps.iter().position(|(_, expected)| *expected == line) {
                Some(at) => drop(perhaps.remove(at)),
                _ => peer
                    .take(&line)
                    .map_err(|why| format!("{key}, at its end: {why}"))?,
            }
        }
        self.model.perhaps.clear();
        peer.has_all()
            .map_err(|why| format!("{key}, at its end: {why}"))
    }

    /// Waits until a client that broke off is gone for the others, which all read.
    fn wait_until_gone(&mut self, others: &[Key]) -> Walked<()> {
        let deadline = Instant::now() + self.patience;
        while let Err(why) = self.look(others[0]) {
            if Instant::now() >= deadline {
                return Err(why);
            }
        }
        for key in others {
            let peer = self.peers.get_mut(key).ok_or("it is here")?;
            while peer.expects_more() {
                peer.read_one(&mut self.ids)
                    .map_err(|why| format!("{key}: {why}"))?;
            }
        }
        self.settle(others[0])
    }

    fn read_on(&mut self, key: Key) -> Walked<()> {
        self.peer(key)?.reads = true;
        self.settle(key)
    }

    /// All read on, and have been told their ranks.
    fn end(&mut self) -> Walked<()> {
        for key in self.held(true) {
            self.come_back(key, Lost::Lines(0))?;
        }
        for key in self.all() {
            self.read_on(key)?;
        }
        // News of a join are a second late, and those of a leave come at once: not every walk
        // waits for the former.
        let waits = self.next_key.is_multiple_of(WALKS_FOR_A_WAIT);
        if let Some(highest) = self.model.ranked.first().filter(|_| !waits) {
            self.go(highest.key, Way::Leave)?;
        }
        for (key, peer) in &mut self.peers {
            while !peer.knows_its_rank() {
                let read = peer.read_one(&mut self.ids);
                read.map_err(|why| format!("{key}, not told its rank: {why}"))?;
            }
        }
        let log = self.server.stderr_lines();
        match log.iter().find(|line| line.contains("panicked")) {
            Some(line) => Err(format!("the server logged: {line}")),
            None => Ok(()),
        }
    }
}

/// What holds after each step.
impl Walk {
    /// Each client that reads has what the model says, and the ranking is the model's. `actor`
    /// did something, and may have left.
    fn settle(&mut self, actor: Key) -> Walked<()> {
        self.distribute();
        let readers = self.by_reading(true);
        let (first, others): (Vec<Key>, Vec<Key>) = readers.iter().partition(|k| **k == actor);
        self.fence(&first)?;
        self.fence(&first)?;
        self.fence(&others)?;
        match readers.first() {
            Some(observer) => self.look(*observer),
            None => Ok(()),
        }
    }

    /// Hands out what the model says, and remembers what ranks there were.
    fn distribute(&mut self) {
        let members = self.model.ranked.len();
        for (rank, client) in self.model.ranked.iter().enumerate() {
            if let Some(peer) = self.peers.get_mut(&client.key) {
                peer.expect_of(client.key, &mut self.model.told);
                peer.stands_at(rank, members);
            }
        }
        // A client that has left hears nothing any more.
        self.model.told.clear();
    }

    /// Has these read everything that is there for them: that, and nothing else.
    fn fence(&mut self, keys: &[Key]) -> Walked<()> {
        self.pings += 1;
        let id = json!(format!("ping-{}", self.pings));
        let ping = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
        let acknowledges = self.pings.is_multiple_of(PINGS_FOR_AN_ACK);
        for key in keys {
            let peer = self.peer(*key)?;
            peer.wire.write(&ping)?;
            if let Some(place) = peer.place.as_mut().filter(|_| acknowledges) {
                place.acknowledge(&mut peer.wire)?;
            }
        }
        for key in keys {
            let peer = self.peers.get_mut(key).ok_or("it is here")?;
            let read = peer
                .read_until(&id, &mut self.ids)
                .and_then(|_| peer.has_all());
            read.map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(())
    }

    /// Asks a client for the ranking.
    fn look(&mut self, observer: Key) -> Walked<()> {
        let id = json!("members");
        let ask = "{\"jsonrpc\":\"2.0\",\"id\":\"members\",\"method\":\"members\"}\n";
        let peers = &self.peers;
        let address = |key| {
            let peer: Option<&Peer> = peers.get(&key);
            peer.map_or(String::new(), |peer| peer.wire.address.to_string())
        };
        let expected = self.model.members(address);
        let peer = self.peers.get_mut(&observer).ok_or("it is here")?;
        peer.wire.write(ask)?;
        let mut answer = peer.read_until(&id, &mut self.ids)?;
        for member in answer["result"]["members"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            let joined = member.as_object_mut().and_then(|m| m.remove("joined_ms"));
            joined
                .filter(Value::is_u64)
                .ok_or("a member without joined_ms")?;
            if let Some(away) = member.get_mut("away_ms") {
                *away = away.is_u64().into();
            }
        }
        match answer["result"] == expected {
            true => Ok(()),
            false => Err(format!("the ranking ought to be {expected}, not {answer}")),
        }
    }
}

/// Look-ups.
impl Walk {
    fn all(&self) -> Vec<Key> {
        self.peers.keys().copied().collect()
    }

    fn those(&self, are: impl Fn(&Peer) -> bool) -> Vec<Key> {
        let peers = self.peers.iter().filter(|(_, peer)| are(peer));
        peers.map(|(key, _)| *key).collect()
    }

    /// The clients that are not away.
    fn here(&self) -> Vec<Key> {
        self.those(|peer| !peer.is_away())
    }

    /// Those of them that read, or that do not.
    fn by_reading(&self, reads: bool) -> Vec<Key> {
        self.those(|peer| peer.reads == reads && !peer.is_away())
    }

    /// The clients that are held, and away or not.
    fn held(&self, away: bool) -> Vec<Key> {
        self.those(|peer| peer.place.is_some() && peer.is_away() == away)
    }

    fn peer(&mut self, key: Key) -> Walked<&mut Peer> {
        self.peers.get_mut(&key).ok_or(format!("{key} is gone"))
    }

    /// The clients that a step is for: those that read, and of them those that have to do with input
    /// if it is about that, as it would seldom find one otherwise.
    fn actors(&self, step: &Step) -> Vec<Key> {
        let mut readers = self.by_reading(true);
        match step {
            Step::Input { .. } => readers.retain(|key| !self.model.fed_by(*key).is_empty()),
            Step::ConsumeInput { .. } => readers.retain(|key| !self.model.fed_at(*key).is_empty()),
            _ => {}
        }
        readers
    }

    /// The commands that a client sent and that have outcomes to come.
    fn open(&self, key: Key) -> Vec<u64> {
        let own = self.model.commands.iter().filter(|(_, c)| c.sender == key);
        own.map(|(number, _)| *number).collect()
    }

    /// The same, and one that has none.
    fn sent(&self, key: Key) -> Vec<u64> {
        let mut sent = self.open(key);
        sent.push(0);
        sent
    }
}

/// The result of a `join`, without what no model can foresee.
fn foreseen(answer: &Value) -> Value {
    let mut result = answer["result"].clone();
    for member in ["heartbeat_ms", "max_line", "run"] {
        result.as_object_mut().and_then(|o| o.remove(member));
    }
    result
}

fn request(id: u64, method: &str, params: &Value) -> String {
    let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    format!("{line}\n")
}

/// A line for a message about it.
fn shown(line: &Value) -> String {
    abbreviated(&line.to_string())
}
