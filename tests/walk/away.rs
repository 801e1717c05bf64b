//! A client whose connection breaks, is away, and comes back: what it counts and keeps for that, and
//! what the model says of it.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use super::model::{Key, Model};
use super::step::Lost;
use super::wire::Wire;
use super::{Walk, Walked, request, shown};

/// A count of lines that no client can have received.
const SENSELESS: u64 = 9_007_199_254_740_991;

/// Half of it is written before a connection breaks, and the whole of it when the client is back.
const CUT: &str = "{\"jsonrpc\":\"2.0\",\"id\":\"cut\",\"method\":\"ping\"}\n";

/// The place of a client that is held.
pub(crate) struct Place {
    token: String,
    pub(crate) is_away: bool,
    /// Lines that it has received in all, and the last of them: those that it has not acknowledged.
    received: u64,
    unacknowledged: VecDeque<Value>,
    /// Lines that it lost, and that have to come once more.
    again: VecDeque<Value>,
    /// The lines that the server has said that it received.
    said: u64,
    /// A line that the server has only a part of.
    has_cut: bool,
}

impl Place {
    /// That of a client which was given one with the answer to `join`.
    fn of(answer: &mut Value) -> Walked<Place> {
        let resume = answer.as_object_mut().and_then(|it| it.remove("resume"));
        let resume = resume.unwrap_or_default();
        let token = resume["token"].as_str().unwrap_or_default().to_owned();
        if token.len() != 32 || !resume["hold_ms"].is_u64() {
            return Err(format!("no token to come back with: {resume}"));
        }
        Ok(Place {
            token,
            is_away: false,
            received: 0,
            unacknowledged: VecDeque::new(),
            again: VecDeque::new(),
            said: 0,
            has_cut: false,
        })
    }

    /// Counts a line that came; says whether it is new.
    pub(crate) fn take(&mut self, line: &Value, sent: u64) -> Walked<bool> {
        if line["method"] == "ack" {
            let said = line["params"]["received"].as_u64().unwrap_or(SENSELESS);
            if said < self.said || said > sent {
                return Err(format!("{} of {sent} lines: {}", self.said, shown(line)));
            }
            self.said = said;
            return Ok(false);
        }
        self.received += 1;
        self.unacknowledged.push_back(line.clone());
        match self.again.pop_front() {
            None => Ok(true),
            Some(lost) if lost == *line => Ok(false),
            Some(lost) => Err(format!(
                "{} ought to come again, not {}",
                shown(&lost),
                shown(line)
            )),
        }
    }

    /// Has the server told what was received, which it then need not keep.
    pub(crate) fn acknowledge(&mut self, wire: &mut Wire) -> Walked<()> {
        self.unacknowledged.clear();
        let params = json!({"received": self.received});
        let ack = json!({"jsonrpc": "2.0", "method": "ack", "params": params});
        wire.write(&format!("{ack}\n"))?;
        // It does not count.
        wire.sent -= 1;
        Ok(())
    }

    /// Forgets the last lines that were received.
    fn lose(&mut self, lines: usize) {
        let kept = self.unacknowledged.len().saturating_sub(lines);
        let lost = self.unacknowledged.split_off(kept);
        self.received -= lost.len() as u64;
        // Some may have been lost before.
        for line in lost.into_iter().rev() {
            self.again.push_front(line);
        }
    }
}

impl Walk {
    /// The place that the answer to `join` gives, if the client asked for one.
    pub(super) fn place(is_held: bool, answer: &mut Value) -> Walked<Option<Place>> {
        is_held.then(|| Place::of(answer)).transpose()
    }

    /// The connection of a client breaks. Another one has to see when the server knows.
    pub(super) fn break_off(&mut self, key: Key, in_a_line: bool) -> Walked<()> {
        let readers = self.by_reading(true);
        let Some(observer) = readers.into_iter().find(|other| *other != key) else {
            return Ok(());
        };
        let peer = self.peer(key)?;
        let Some(place) = &mut peer.place else {
            return Ok(());
        };
        if in_a_line {
            peer.wire.write(&CUT[..CUT.len() / 2])?;
        }
        place.has_cut = in_a_line;
        place.is_away = true;
        peer.reads = false;
        peer.wire.reset();
        if let Some(client) = self.model.client(key) {
            client.is_away = true;
        }
        let deadline = Instant::now() + self.patience;
        while let Err(why) = self.look(observer) {
            if Instant::now() >= deadline {
                return Err(why);
            }
        }
        self.settle(observer)
    }

    /// A client comes back.
    pub(super) fn come_back(&mut self, key: Key, lost: Lost) -> Walked<()> {
        let address = self.server.address();
        let peer = self.peers.get_mut(&key).ok_or("it is here")?;
        let place = peer.place.as_mut().ok_or("it is held")?;
        let received = match lost {
            Lost::All => SENSELESS,
            Lost::Lines(lines) => {
                place.lose(lines);
                place.received
            }
        };
        let connected = Wire::connect(address, self.patience);
        let mut wire = connected.map_err(|e| format!("cannot connect: {e}"))?;
        let params = json!({
            "protocol": 1, "resume": {"token": place.token, "received": received},
        });
        wire.write(&request(1, "join", &params))?;
        let answer = wire.next()?.ok_or("the connection ended")?;
        if let Lost::All = lost {
            self.model.lose_all(key);
        }
        let mut expected = self.model.joined(key).ok_or("it is ranked")?;
        expected["resumed"] = "rank".into();
        if let Lost::Lines(_) = lost {
            expected["resumed"] = "lines".into();
            expected["received"] = peer.wire.sent.into();
        }
        let mut got = super::foreseen(&answer);
        let new = Place::of(&mut got)?;
        if got != expected {
            return Err(format!(
                "{key} ought to be back with {expected}, not {answer}"
            ));
        }
        let sent = peer.wire.sent;
        peer.wire = wire;
        peer.reads = true;
        if let Some(client) = self.model.client(key) {
            (client.is_away, client.errors) = (false, 0);
        }
        match lost {
            Lost::All => {
                peer.wire.sent = 0;
                peer.begin_again(new);
            }
            Lost::Lines(_) => {
                peer.wire.sent = sent;
                (place.token, place.is_away) = (new.token, false);
                // What it has shown is an acknowledgement.
                place.unacknowledged.clear();
                if std::mem::take(&mut place.has_cut) {
                    peer.wire.write(CUT)?;
                    peer.read_until(&json!("cut"), &mut self.ids)?;
                }
            }
        }
        self.settle(key)
    }
}

impl Model {
    /// What the answer to `join` says of a client that is here.
    fn joined(&self, key: Key) -> Option<Value> {
        let rank = self.rank_of(key)?;
        let mut joined = self.identity(rank);
        joined["tier"] = self.ranked[rank].tier.into();
        joined["members"] = self.ranked.len().into();
        Some(joined)
    }

    /// A client has nothing any more but its place.
    fn lose_all(&mut self, key: Key) {
        self.cancel_all(key);
        self.disown(key);
        if let Some(client) = self.client(key) {
            let running = std::mem::take(&mut client.running);
            let waiting = std::mem::take(&mut client.waiting);
            self.lose(key, running, waiting);
        }
        self.told.retain(|(to, _)| *to != key);
    }
}
