//! What a client that reads does: each act tells the server and the model.

use serde_json::{Value, json};

use super::model::{Command, Key};
use super::step::{Answer, DEFAULT_INPUT, Pick, Step, To};
use super::{Walk, Walked, request};

/// What a command writes at a time: a `LEAST_WINDOW` has room for it several times over.
const OUTPUT: &str = "as much as a line of a log has, say, with its time";

/// Much of it, which fits into a line, and how many of those are more than a connection holds:
/// systems keep four megabytes of what its peer does not read.
const MUCH: usize = 900_000;
const MUCH_TIMES: usize = 6;

impl Walk {
    pub(super) fn act(&mut self, key: Key, step: &Step) -> Walked<()> {
        match step {
            Step::Send {
                to,
                bytes,
                window,
                input,
                ..
            } => self.send(key, to, *bytes, (*window, *input))?,
            Step::Answer { which, how, .. } => self.answer(key, *which, *how)?,
            Step::Output { which, is_much, .. } => self.output(key, *which, *is_much)?,
            Step::Meddle { which, .. } => self.meddle(key, *which)?,
            Step::Consume {
                which,
                target,
                bytes,
                ..
            } => {
                if let Some(number) = which.of(&self.sent(key)) {
                    let target = target.of(&self.all()).unwrap_or(key);
                    self.consume(key, number, target, *bytes)?;
                }
            }
            Step::Input {
                which,
                bytes,
                is_last,
                ..
            } => {
                let fed = [self.model.fed_by(key), self.sent(key)].concat();
                if let Some(number) = which.of(&fed) {
                    self.input(key, number, *bytes, *is_last)?;
                }
            }
            Step::ConsumeInput { which, bytes, .. } => {
                let fed = [self.model.fed_at(key), self.model.given(key)].concat();
                if let Some(number) = which.of(&fed) {
                    let id = self.peer(key)?.given.get(&number).copied();
                    let params = json!({"id": id, "bytes": bytes});
                    self.notify(key, "input_consumed", &params)?;
                    self.model.consume_input(key, number, *bytes as usize);
                }
            }
            Step::Cancel { which, .. } => {
                if let Some(number) = which.of(&self.sent(key)) {
                    self.notify(key, "cancel", &json!({"send": number}))?;
                    self.model.cancel(number);
                }
            }
            Step::SendAgain { which, .. } => {
                if let Some(number) = which.of(&self.open(key)) {
                    let line = request(number, "send", &json!({"command": ["again"]}));
                    self.malformed(key, &line, -32600, 1)?;
                }
            }
            Step::Rubbish { lines, .. } => self.malformed(key, "rubbish\n", -32700, *lines)?,
            Step::StopReading { .. } => self.peer(key)?.reads = false,
            Step::Join { .. }
            | Step::Go { .. }
            | Step::ReadOn { .. }
            | Step::Break { .. }
            | Step::ComeBack { .. } => {}
        }
        self.settle(key)
    }

    fn send(
        &mut self,
        key: Key,
        to: &To,
        bytes: usize,
        (window, input): (Option<u64>, Option<u64>),
    ) -> Walked<()> {
        let rank = self.model.rank_of(key).ok_or("it is ranked")?;
        let number = self.model.next_command();
        let words = [number.to_string(), "x".repeat(bytes)];
        let sizes = (window.map(|w| w as usize), input.map(|w| w as usize));
        self.model.send(rank, to, &words, sizes);
        let stdin = match input {
            Some(DEFAULT_INPUT) => json!(true),
            input => json!(input),
        };
        let params = json!({"to": to.text(), "command": words, "window": window, "stdin": stdin});
        self.peer(key)?
            .wire
            .write(&request(number, "send", &params))
    }

    fn answer(&mut self, key: Key, which: Pick, how: Answer) -> Walked<()> {
        let Some(number) = which.of(&self.model.given(key)) else {
            return Ok(());
        };
        let room = self.model.room(key, number);
        let command = self.model.commands.get(&number);
        let stdout = "x".repeat(room.min(command.map_or(0, Command::bytes)));
        let result = match how {
            Answer::Exit => json!({"result": {"exit_code": 3, "stdout": stdout}}),
            Answer::Signal => json!({"result": {"signal": "SIGKILL", "stdout": ""}}),
            Answer::TimedOut => json!({"result": {"timed_out": true, "cancelled": true}}),
            Answer::Cancelled => json!({"result": {"cancelled": true, "signal": "SIGTERM"}}),
            Answer::Refused => json!({"error": {"code": 20, "message": "no"}}),
            Answer::NotFound => json!({"error": {"code": 21, "message": "no"}}),
            Answer::Failed => json!({"error": {"code": 22, "message": "no"}}),
            Answer::Malformed => json!({"result": [number]}),
        };
        self.model.answer(key, number, how, &stdout);
        let id = self.peer(key)?.given.get(&number).copied();
        self.answer_with(key, id.ok_or("it was never given it")?, result)
    }

    /// Answers what others were given, or what it has answered itself; no client notices.
    fn meddle(&mut self, key: Key, which: Pick) -> Walked<()> {
        let given = self.model.given(key);
        let strange = self.ids.all().filter(|(number, _)| !given.contains(number));
        let strange: Vec<u64> = strange.map(|(_, id)| id).collect();
        match which.of(&strange) {
            Some(id) => self.answer_with(key, id, json!({"result": {"exit_code": 0}})),
            None => Ok(()),
        }
    }

    fn answer_with(&mut self, key: Key, id: u64, mut answer: Value) -> Walked<()> {
        answer["jsonrpc"] = "2.0".into();
        answer["id"] = id.into();
        self.peer(key)?.wire.write(&format!("{answer}\n"))
    }

    /// Has a command write a little; or, for a sender that does not read, more than its
    /// connection holds.
    fn output(&mut self, key: Key, which: Pick, is_much: bool) -> Walked<()> {
        let given = self.model.open_at(key);
        let (text, times) = match is_much {
            true => ("x".repeat(MUCH), MUCH_TIMES),
            false => (OUTPUT.to_owned(), 1),
        };
        let may_write = |number: &u64| {
            let sender = self.model.commands[number].sender;
            let takes_little = self.peers.get(&sender).is_some_and(|peer| !peer.reads);
            (takes_little || !is_much) && self.model.room(key, *number) >= text.len() * times
        };
        let may_write: Vec<u64> = given.into_iter().filter(may_write).collect();
        let Some(number) = which.of(&may_write) else {
            return Ok(());
        };
        let id = self.peer(key)?.given.get(&number).copied();
        let params = json!({"id": id, "stream": "stdout", "text": text});
        for _ in 0..times {
            self.notify(key, "output", &params)?;
            self.model.output(key, number, &text);
        }
        Ok(())
    }

    /// Says a piece of input. A target that does not read may have too much waiting for it to be given
    /// that, and then no model can say.
    fn input(&mut self, key: Key, number: u64, bytes: usize, is_last: bool) -> Walked<()> {
        let targets = self.model.commands.get(&number).map(Command::keys);
        let reads = |target| self.peers.get(&target).is_none_or(|peer| peer.reads);
        if !targets.into_iter().flatten().all(reads) {
            return Ok(());
        }
        let mut params = json!({"send": number});
        if bytes > 0 {
            params["text"] = "i".repeat(bytes).into();
        }
        if is_last {
            params["end"] = true.into();
        }
        self.notify(key, "input", &params)?;
        self.model.input(number, &params);
        Ok(())
    }

    fn consume(&mut self, key: Key, number: u64, target: Key, bytes: u64) -> Walked<()> {
        let member = self.model.client(target).map(|client| client.member);
        let params = json!({"send": number, "member": member, "bytes": bytes});
        self.notify(key, "consumed", &params)?;
        self.model.consume(number, target, bytes as usize);
        Ok(())
    }

    fn malformed(&mut self, key: Key, line: &str, code: i64, lines: usize) -> Walked<()> {
        self.peer(key)?.wire.write(&line.repeat(lines))?;
        for _ in 0..lines {
            if self.model.malformed(key, code)
                && let Some(peer) = self.peers.remove(&key)
            {
                return self.read_to_end(key, peer);
            }
        }
        Ok(())
    }

    fn notify(&mut self, key: Key, method: &str, params: &Value) -> Walked<()> {
        let line = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.peer(key)?.wire.write(&format!("{line}\n"))
    }
}
