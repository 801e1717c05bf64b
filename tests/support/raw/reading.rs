//! What a client of bare lines waits for, and what it takes of that.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Execute, Raw};
use crate::support::reader::{Arrival, Line};
use crate::support::{PATIENCE, abbreviated, left};

/// Lines that a failed test shows of what had come.
const SHOWN: usize = 12;

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
