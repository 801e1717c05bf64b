//! The input of a command, as the model has it: what came from its sender, and what each target has
//! consumed of that.

use serde_json::{Value, json};

use super::model::{Command, Key, Model, notification};

/// Input that is consumed until its sender is told, unless it is all.
const STEP: usize = 16 << 10;

/// Pieces under way at the most.
const MOST_PIECES: usize = 256;

/// The input of a command that is open.
pub(crate) struct Input {
    window: usize,
    /// All bytes that came, and where each piece of them ends that is under way.
    sent: usize,
    pieces: Vec<usize>,
    /// Its sender said the end, or too much.
    is_over: bool,
    /// What its sender was told last.
    told: usize,
    /// What each target that is open has consumed, in the order of their ranks.
    consumed: Vec<(Key, usize)>,
}

impl Input {
    pub(crate) fn new(window: usize, targets: impl Iterator<Item = Key>) -> Input {
        Input {
            window,
            sent: 0,
            pieces: Vec::new(),
            is_over: false,
            told: 0,
            consumed: targets.map(|key| (key, 0)).collect(),
        }
    }

    /// What every open target has consumed.
    fn slowest(&self) -> usize {
        let consumed = self.consumed.iter().map(|(_, bytes)| *bytes);
        consumed.min().unwrap_or(self.sent)
    }

    /// Whether so many bytes more are within the window.
    fn has_room(&self, bytes: usize) -> bool {
        let under_way = self.sent - self.slowest();
        under_way + bytes <= self.window && self.pieces.len() < MOST_PIECES
    }
}

impl Model {
    /// The open commands with input that a client sent.
    pub(crate) fn fed_by(&self, sender: Key) -> Vec<u64> {
        let own = self.commands.iter().filter(|(_, it)| it.sender == sender);
        let fed = own.filter(|(_, it)| it.input.is_some());
        fed.map(|(number, _)| *number).collect()
    }

    /// Those that a client executes.
    pub(crate) fn fed_at(&self, key: Key) -> Vec<u64> {
        let is_fed = |command: &Command| {
            let mut consumed = command.input.iter().flat_map(|input| &input.consumed);
            consumed.any(|(target, _)| *target == key)
        };
        let fed = self.commands.iter().filter(|(_, it)| is_fed(it));
        fed.map(|(number, _)| *number).collect()
    }

    /// A piece of input from the sender.
    pub(crate) fn input(&mut self, number: u64, piece: &Value) {
        let Some(command) = self.commands.get_mut(&number) else {
            return;
        };
        let Some(input) = &mut command.input else {
            return;
        };
        let bytes = piece["text"].as_str().map_or(0, str::len);
        let is_last = piece["end"] == true;
        if input.is_over || (bytes == 0 && !is_last) {
            return;
        }
        let targets: Vec<Key> = input.consumed.iter().map(|(key, _)| *key).collect();
        input.is_over = is_last;
        if bytes > 0 {
            if !input.has_room(bytes) {
                input.is_over = true;
                return targets.iter().for_each(|key| self.give_up(number, *key));
            }
            input.sent += bytes;
            input.pieces.push(input.sent);
        }
        let mut params = piece.clone();
        params
            .as_object_mut()
            .and_then(|params| params.remove("send"));
        params["id"] = number.into();
        for key in targets {
            self.tell(key, notification("input", &params));
        }
    }

    /// Ends a command at a target, which keeps its slot until it answers.
    fn give_up(&mut self, number: u64, key: Key) {
        let Some(running) = self.running(key, number) else {
            return;
        };
        running.is_given_up = true;
        if !std::mem::replace(&mut running.is_cancelled, true) {
            self.tell(key, notification("cancel", &json!({"id": number})));
        }
        self.conclude(number, key, "failed", json!({"message": true}));
    }

    /// A command took some of its input.
    pub(crate) fn consume_input(&mut self, key: Key, number: u64, bytes: usize) {
        if self.running(key, number).is_some_and(|it| !it.is_given_up) {
            self.note_input(number, key, Some(bytes));
        }
    }

    /// A target has consumed so much more, or has ended.
    pub(crate) fn note_input(&mut self, number: u64, key: Key, bytes: Option<usize>) {
        let Some(command) = self.commands.get_mut(&number) else {
            return;
        };
        let sender = command.sender;
        let Some(input) = &mut command.input else {
            return;
        };
        match bytes {
            None => input.consumed.retain(|(target, _)| *target != key),
            Some(bytes) => {
                let its = input.consumed.iter_mut().find(|(target, _)| *target == key);
                if let Some((_, consumed)) = its {
                    *consumed = (*consumed + bytes).min(input.sent);
                }
            }
        }
        let slowest = input.slowest();
        input.pieces.retain(|end| *end > slowest);
        let is_worth_it = slowest - input.told >= STEP || slowest == input.sent;
        if slowest > input.told && is_worth_it && !input.consumed.is_empty() {
            input.told = slowest;
            let told = json!({"send": number, "consumed": slowest});
            self.tell(sender, notification("input_consumed", &told));
        }
    }
}
