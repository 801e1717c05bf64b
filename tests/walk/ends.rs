//! How commands and clients end, as the model has it: by a cancel, a leave, or too many errors.

use serde_json::json;

use super::model::{Key, Model, Running, notification};

/// Lines that are no messages after which a client is sent away.
const MOST_ERRORS: usize = 16;

impl Model {
    /// A sender no longer wants a command.
    pub(crate) fn cancel(&mut self, number: u64) {
        let Some(command) = self.commands.get(&number) else {
            return;
        };
        let targets: Vec<Key> = command.targets.iter().map(|(key, _)| *key).collect();
        for target in targets {
            let Some(client) = self.client(target) else {
                continue;
            };
            let running = client.running.iter_mut().find(|r| r.command == number);
            let was_waiting = client.waiting.iter().position(|n| *n == number);
            match (running, was_waiting) {
                (Some(running), _) if !running.is_cancelled => {
                    running.is_cancelled = true;
                    self.tell(target, notification("cancel", &json!({"id": number})));
                }
                (None, Some(at)) => {
                    client.waiting.remove(at);
                    self.conclude(number, target, "cancelled", json!({}));
                }
                _ => {}
            }
        }
    }

    /// A client has left, in any way.
    pub(crate) fn leave(&mut self, key: Key) {
        let told_before = self.told.len();
        self.cancel_all(key);
        // It may still hear what became of those, or have stopped listening.
        let since = self.told.split_off(told_before);
        let (its_own, others) = since.into_iter().partition(|(to, _)| *to == key);
        self.perhaps = its_own;
        self.told.extend(others);
        if let Some(rank) = self.rank_of(key) {
            let client = self.ranked.remove(rank);
            self.lose(key, client.running, client.waiting);
        }
    }

    /// Nothing of what a client sent is wanted any more.
    pub(crate) fn cancel_all(&mut self, key: Key) {
        let own = self.commands.iter().filter(|(_, c)| c.sender == key);
        let own: Vec<u64> = own.map(|(number, _)| *number).collect();
        for number in own {
            self.cancel(number);
        }
    }

    /// What a client sent is no client's any more: no answer goes anywhere.
    pub(crate) fn disown(&mut self, key: Key) {
        for command in self.commands.values_mut().filter(|it| it.sender == key) {
            command.sender = Key::MAX;
        }
    }

    /// What a client had is lost.
    pub(crate) fn lose(&mut self, key: Key, running: Vec<Running>, waiting: Vec<u64>) {
        for running in running.into_iter().filter(|it| !it.is_given_up) {
            self.conclude(running.command, key, "lost", json!({"started": true}));
        }
        for number in waiting {
            self.conclude(number, key, "lost", json!({"started": false}));
        }
    }

    /// A line that is no message, or must not come now; says whether it was one too many.
    pub(crate) fn malformed(&mut self, key: Key, code: i64) -> bool {
        self.tell(key, json!({"id": null, "error": {"code": code}}));
        let Some(client) = self.client(key) else {
            return false;
        };
        client.errors += 1;
        if client.errors < MOST_ERRORS {
            return false;
        }
        self.tell(
            key,
            notification("bye", &json!({"reason": "too_many_errors"})),
        );
        self.leave(key);
        true
    }
}
