//! What the server ought to do, in the plainest words: lists that are searched from one end
//! to the other. It shares no code with the server.
//!
//! Each method is one thing that happens. What its clients ought to read because of it
//! collects in `told`; within one step the order of lines is left open, where the protocol
//! leaves it open.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::input::Input;
use super::step::{Answer, To};

/// The client of a connection: counted by the walk.
pub(crate) type Key = usize;

/// The tier of a client that asks for none, and the largest number of one.
const DEFAULT_TIER: u64 = 5;
const LOWEST_TIER: u64 = 9;

/// Output of one `send` without a window, over its targets; and one target's share at most.
const MOST_OUTPUT: usize = 16 << 20;
const MOST_SHARE: usize = 1 << 20;

/// The least share of a window.
const LEAST_WINDOW: usize = 1 << 10;

/// The server's bounds.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) clients: usize,
    pub(crate) queue: usize,
    pub(crate) sends: usize,
}

/// The server, and what it knows of its clients.
pub(crate) struct Model {
    bounds: Bounds,
    /// In the order of their ranks.
    pub(crate) ranked: Vec<Client>,
    pub(crate) commands: BTreeMap<u64, Command>,
    last_member: u64,
    last_command: u64,
    /// What clients ought to read because of what happened last.
    pub(crate) told: Vec<(Key, Value)>,
    /// What they may read, too.
    pub(crate) perhaps: Vec<(Key, Value)>,
}

pub(crate) struct Client {
    pub(crate) key: Key,
    pub(crate) member: u64,
    pub(crate) name: String,
    pub(crate) slots: usize,
    takes_input: bool,
    pub(crate) tier: u64,
    pub(crate) is_away: bool,
    /// In the order in which it was given them.
    pub(crate) running: Vec<Running>,
    pub(crate) waiting: Vec<u64>,
    pub(crate) errors: usize,
}

pub(crate) struct Running {
    pub(crate) command: u64,
    pub(crate) is_cancelled: bool,
    /// It has had its outcome, and the client still has to answer.
    pub(crate) is_given_up: bool,
    /// Output that was sent, and, with a window, not consumed.
    pub(crate) output: usize,
}

/// The clients that a selector finds: the ranks of those above the sender and of those that execute, and
/// what is known of those that are absent.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) above: Vec<usize>,
    pub(crate) below: Vec<usize>,
    pub(crate) absent: Vec<Value>,
    pub(crate) is_many: bool,
}

/// A command that has not had all of its outcomes.
pub(crate) struct Command {
    pub(crate) sender: Key,
    words: Vec<String>,
    /// Its sender's identity as of then.
    from: Value,
    /// The clients that it found, with their identities as of then.
    pub(crate) targets: Vec<(Key, Value)>,
    window: Option<usize>,
    pub(crate) input: Option<Input>,
    /// Outcomes by status, for a command of kind many.
    tally: Option<BTreeMap<&'static str, usize>>,
    open: usize,
    outcomes: usize,
    /// How many are to execute it.
    executors: usize,
}

impl Command {
    /// How much output one target may have under way, or send at all.
    pub(crate) fn share(&self) -> usize {
        match self.window {
            Some(window) => (window / self.executors).max(LEAST_WINDOW),
            None => (MOST_OUTPUT / self.executors).min(MOST_SHARE),
        }
    }

    /// The clients that it found.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.targets.iter().map(|(key, _)| *key).collect()
    }

    pub(crate) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// How much its word has, which is how much its executors say in the end.
    pub(crate) fn bytes(&self) -> usize {
        self.words[1].len()
    }
}

impl Model {
    pub(crate) fn new(bounds: Bounds) -> Model {
        Model {
            bounds,
            ranked: Vec::new(),
            commands: BTreeMap::new(),
            last_member: 0,
            last_command: 0,
            told: Vec::new(),
            perhaps: Vec::new(),
        }
    }

    pub(crate) fn rank_of(&self, key: Key) -> Option<usize> {
        self.ranked.iter().position(|client| client.key == key)
    }

    pub(crate) fn client(&mut self, key: Key) -> Option<&mut Client> {
        self.ranked.iter_mut().find(|client| client.key == key)
    }

    pub(crate) fn tell(&mut self, to: Key, line: Value) {
        // A client that has left is told nothing.
        if self.rank_of(to).is_some() {
            self.told.push((to, line));
        }
    }

    /// The answer to a `join`: its result, or the code of the error, and whether it closes.
    pub(crate) fn join(
        &mut self,
        key: Key,
        name: Option<&str>,
        (slots, takes_input): (usize, bool),
        tier: Option<u64>,
    ) -> Result<Value, i64> {
        let members = self.ranked.len();
        let tier = tier.unwrap_or(DEFAULT_TIER);
        if tier > LOWEST_TIER {
            return Err(-32602);
        }
        if tier < DEFAULT_TIER {
            return Err(11);
        }
        if members >= self.bounds.clients {
            return Err(1);
        }
        let is_same = |name: &str, other: &str| name.to_lowercase() == other.to_lowercase();
        let is_taken = |name| self.ranked.iter().any(|client| is_same(&client.name, name));
        if name.is_some_and(is_taken) {
            return Err(5);
        }
        self.last_member += 1;
        let member = self.last_member;
        let name = name.map_or(format!("client-{member}"), str::to_owned);
        let lower = self.ranked.iter().position(|client| client.tier > tier);
        let rank = lower.unwrap_or(members);
        let joined = json!({
            "member": member, "name": name, "rank": rank, "tier": tier, "members": members + 1,
        });
        let client = Client {
            key,
            member,
            name,
            slots,
            takes_input,
            tier,
            is_away: false,
            running: Vec::new(),
            waiting: Vec::new(),
            errors: 0,
        };
        self.ranked.insert(rank, client);
        Ok(joined)
    }

    /// The ranking, as `members` ought to give it.
    pub(crate) fn members(&self, address: impl Fn(Key) -> String) -> Value {
        let members = self.ranked.iter().enumerate().map(|(rank, client)| {
            let mut member = json!({
                "member": client.member, "name": client.name, "rank": rank, "tier": client.tier,
                "tags": {"slots": client.slots.to_string()},
                "address": address(client.key), "slots": client.slots,
                "running": client.running.len(), "queued": client.waiting.len(),
            });
            if client.is_away {
                member["away_ms"] = true.into();
            }
            member
        });
        let members: Vec<Value> = members.collect();
        json!({"members": members, "total": self.ranked.len(), "max": self.bounds.clients})
    }

    /// A client's identity, with its rank as of now.
    pub(crate) fn identity(&self, rank: usize) -> Value {
        let client = &self.ranked[rank];
        json!({"member": client.member, "name": client.name, "rank": rank})
    }

    /// The number of the next command, which is the id of the request and its first word, too.
    pub(crate) fn next_command(&mut self) -> u64 {
        self.last_command += 1;
        self.last_command
    }

    /// What a client was given and has not answered.
    pub(crate) fn given(&mut self, key: Key) -> Vec<u64> {
        let running = self.client(key).map(|client| client.running.iter());
        running.into_iter().flatten().map(|r| r.command).collect()
    }

    /// The same without what it has to answer for nothing.
    pub(crate) fn open_at(&mut self, key: Key) -> Vec<u64> {
        let running = self.client(key).map(|client| client.running.iter());
        let open = running.into_iter().flatten().filter(|r| !r.is_given_up);
        open.map(|r| r.command).collect()
    }

    /// How much a command may still write.
    pub(crate) fn room(&self, key: Key, number: u64) -> usize {
        let client = self.ranked.iter().find(|client| client.key == key);
        let mut running = client.into_iter().flat_map(|client| &client.running);
        let output = running
            .find(|running| running.command == number)
            .map_or(0, |r| r.output);
        let share = self.commands.get(&number).map_or(0, Command::share);
        share.saturating_sub(output)
    }

    /// A `send`, of the next command.
    pub(crate) fn send(
        &mut self,
        sender: usize,
        to: &To,
        words: &[String],
        (window, input): (Option<usize>, Option<usize>),
    ) {
        let number = self.last_command;
        let key = self.ranked[sender].key;
        let Found {
            above,
            below,
            absent,
            is_many,
        } = match self.find(sender, to) {
            Ok(found) => found,
            Err(code) => {
                return self.tell(key, error(number, code));
            }
        };
        let open = self.commands.values().filter(|c| c.sender == key).count();
        let has_room = open < self.bounds.sends;
        if !has_room && !is_many {
            return self.tell(key, error(number, 9));
        }
        let mut from = self.identity(sender);
        from["tier"] = self.ranked[sender].tier.into();
        let targets = above.iter().chain(&below);
        let targets: Vec<_> = targets
            .map(|r| (self.ranked[*r].key, self.identity(*r)))
            .collect();
        let command = Command {
            sender: key,
            words: words.to_vec(),
            from: from.clone(),
            outcomes: targets.len() + absent.len(),
            open: targets.len() + absent.len(),
            targets,
            window,
            input: input.map(|window| {
                let executors = below.iter().map(|rank| self.ranked[*rank].key);
                Input::new(window, executors)
            }),
            tally: is_many.then(BTreeMap::new),
            executors: below.len(),
        };
        if is_many {
            let accepted = json!({"send": number, "targets": command.outcomes});
            self.tell(key, notification("accepted", &accepted));
        }
        self.commands.insert(number, command);
        for rank in above {
            let receiver = self.ranked[rank].key;
            self.conclude(number, receiver, "outranked", json!({}));
            let refused = json!({"from": from, "command": number});
            self.tell(receiver, notification("refused", &refused));
        }
        for known in absent {
            self.tell_outcome(number, known, "absent", json!({"message": true}));
        }
        for rank in below {
            let target = self.ranked[rank].key;
            match has_room {
                true => self.register(number, rank),
                false => self.conclude(number, target, "busy", json!({})),
            }
        }
    }

    fn register(&mut self, number: u64, rank: usize) {
        let command = &self.commands[&number];
        let (sender, is_many) = (command.sender, command.tally.is_some());
        let has_input = command.input.is_some();
        let bounds = self.bounds;
        let target = &mut self.ranked[rank];
        let key = target.key;
        if has_input && !target.takes_input {
            return self.conclude(number, key, "failed", json!({"message": true}));
        }
        if target.running.len() < target.slots && target.waiting.is_empty() {
            return self.start(number, rank);
        }
        let waiting = target.waiting.iter();
        let share = waiting
            .filter(|n| self.commands[n].sender == sender)
            .count();
        if !has_input && target.waiting.len() < bounds.queue && share < (bounds.queue / 2).max(1) {
            target.waiting.push(number);
        } else if is_many {
            self.conclude(number, key, "busy", json!({}));
        } else {
            self.commands.remove(&number);
            self.tell(sender, error(number, 9));
        }
    }

    fn start(&mut self, number: u64, rank: usize) {
        let command = &self.commands[&number];
        let mut params = json!({"from": command.from, "command": command.words});
        if command.has_window() {
            params["window"] = command.share().into();
        }
        if command.input.is_some() {
            params["stdin"] = true.into();
        }
        let (key, running) = (
            self.ranked[rank].key,
            Running {
                command: number,
                is_cancelled: false,
                is_given_up: false,
                output: 0,
            },
        );
        self.ranked[rank].running.push(running);
        self.tell(
            key,
            json!({"id": number, "method": "execute", "params": params}),
        );
    }

    /// One outcome; with the last one the tally, if there is to be one.
    pub(crate) fn conclude(&mut self, number: u64, target: Key, status: &'static str, rest: Value) {
        self.note_input(number, target, None);
        let Some(command) = self.commands.get_mut(&number) else {
            return;
        };
        let Some((_, identity)) = command.targets.iter().find(|(key, _)| *key == target) else {
            return;
        };
        let identity = identity.clone();
        self.tell_outcome(number, identity, status, rest);
    }

    fn tell_outcome(&mut self, number: u64, mut outcome: Value, status: &'static str, rest: Value) {
        let Some(command) = self.commands.get_mut(&number) else {
            return;
        };
        outcome["status"] = status.into();
        if let Value::Object(rest) = rest {
            outcome.as_object_mut().expect("made as one").extend(rest);
        }
        command.open -= 1;
        let (sender, is_over) = (command.sender, command.open == 0);
        let answer = match &mut command.tally {
            None => outcome,
            Some(tally) => {
                *tally.entry(status).or_default() += 1;
                let mut answer = json!(tally);
                answer["targets"] = command.outcomes.into();
                outcome["send"] = number.into();
                self.tell(sender, notification("outcome", &outcome));
                answer
            }
        };
        if is_over {
            self.commands.remove(&number);
            self.tell(sender, json!({"id": number, "result": answer}));
        }
    }

    /// A command that a client was given and has answered.
    pub(crate) fn answer(&mut self, key: Key, number: u64, how: Answer, stdout: &str) {
        let Some(rank) = self.rank_of(key) else {
            return;
        };
        let client = &mut self.ranked[rank];
        let is_given_up = |running: &Running| running.command == number && running.is_given_up;
        let is_over = client.running.iter().any(is_given_up);
        client.running.retain(|running| running.command != number);
        if client.running.len() < client.slots && !client.waiting.is_empty() {
            let next = client.waiting.remove(0);
            self.start(next, rank);
        }
        if is_over {
            return;
        }
        let (status, mut rest) = match how {
            Answer::Exit if stdout.is_empty() => ("done", json!({"exit_code": 3})),
            Answer::Exit => ("done", json!({"exit_code": 3, "stdout": stdout})),
            Answer::Signal => ("done", json!({"signal": "SIGKILL"})),
            Answer::TimedOut => ("timed_out", json!({})),
            Answer::Cancelled => ("cancelled", json!({"signal": "SIGTERM"})),
            Answer::Refused => ("refused", json!({"message": "no"})),
            Answer::NotFound => ("not_found", json!({"message": "no"})),
            Answer::Failed | Answer::Malformed => ("failed", json!({"message": true})),
        };
        if matches!(status, "done" | "timed_out" | "cancelled") {
            rest["elapsed_ms"] = true.into();
        }
        self.conclude(number, key, status, rest);
    }

    /// A command wrote something.
    pub(crate) fn output(&mut self, key: Key, number: u64, text: &str) {
        let command = &self.commands[&number];
        let sender = command.sender;
        let target = command.targets.iter().find(|(target, _)| *target == key);
        let mut params = target.map_or(Value::Null, |(_, identity)| identity.clone());
        for (member, value) in [("stream", "stdout"), ("text", text)] {
            params[member] = value.into();
        }
        params["send"] = number.into();
        self.tell(sender, notification("output", &params));
        if let Some(running) = self.running(key, number) {
            running.output += text.len();
        }
    }

    pub(crate) fn running(&mut self, key: Key, number: u64) -> Option<&mut Running> {
        let mut running = self.client(key)?.running.iter_mut();
        running.find(|running| running.command == number)
    }

    /// A sender got through with some of what came from a target.
    pub(crate) fn consume(&mut self, number: u64, target: Key, bytes: usize) {
        let has_window = self.commands.get(&number).is_some_and(Command::has_window);
        let Some(running) = self.running(target, number).filter(|_| has_window) else {
            return;
        };
        let bytes = bytes.min(running.output);
        running.output -= bytes;
        if bytes > 0 {
            self.tell(
                target,
                notification("consumed", &json!({"id": number, "bytes": bytes})),
            );
        }
    }
}

pub(crate) fn notification(method: &str, params: &Value) -> Value {
    json!({"method": method, "params": params})
}

fn error(number: u64, code: i64) -> Value {
    json!({"id": number, "error": {"code": code}})
}
