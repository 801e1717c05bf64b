//! A sender of bare lines: what it sent, and all that came of it.

use super::PATIENCE;
use crate::support::Raw;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A sender of bare lines.
pub(crate) struct Boss {
    pub(crate) raw: Raw,
}

/// What became of one command at one target.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: Value,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The chunks of standard output as they came, each with whether it was text.
    pub(crate) chunks: Vec<(Vec<u8>, bool)>,
    /// From when it was waited for.
    pub(crate) took: Duration,
}

impl Ran {
    pub(crate) fn status(&self) -> &str {
        self.outcome["status"].as_str().unwrap_or("none")
    }

    pub(crate) fn message(&self) -> &str {
        self.outcome["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// That it ended by itself with this code.
    #[track_caller]
    pub(crate) fn exited(&self, code: i64) -> &Ran {
        assert_eq!(self.status(), "done", "{}", self.outcome);
        assert_eq!(self.outcome["exit_code"], code, "{}", self.outcome);
        assert!(self.outcome.get("signal").is_none(), "{}", self.outcome);
        self
    }
}

impl Boss {
    pub(crate) fn new(raw: Raw) -> Boss {
        Boss { raw }
    }

    /// Sends words to the next below, with more parameters.
    #[track_caller]
    pub(crate) fn send_with<S: AsRef<str>>(&mut self, words: &[S], more: &Value) -> Value {
        let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
        let mut params = json!({"command": words, "to": "next"});
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        self.raw.request("send", &params)
    }

    #[track_caller]
    pub(crate) fn send<S: AsRef<str>>(&mut self, words: &[S]) -> Value {
        self.send_with(words, &json!({}))
    }

    /// Sends a script for a shell that the executor runs as a program.
    #[track_caller]
    pub(crate) fn script(&mut self, script: &str, more: &Value) -> Value {
        self.send_with(&["/bin/sh", "-c", script], more)
    }

    /// Sends a script without waiting for its outcome.
    #[track_caller]
    pub(crate) fn run_later(&mut self, script: &str) -> Value {
        self.script(script, &json!({}))
    }

    #[track_caller]
    pub(crate) fn run<S: AsRef<str>>(&mut self, words: &[S]) -> Ran {
        let id = self.send(words);
        self.finish(&id)
    }

    /// Runs a script for a shell.
    #[track_caller]
    pub(crate) fn sh(&mut self, script: &str) -> Ran {
        self.run(&["/bin/sh", "-c", script])
    }

    pub(crate) fn cancel(&self, id: &Value) {
        self.raw.notify("cancel", &json!({"send": id}));
    }

    pub(crate) fn consumed(&self, id: &Value, member: &Value, bytes: usize) {
        let params = json!({"send": id, "member": member, "bytes": bytes});
        self.raw.notify("consumed", &params);
    }

    /// The next output of a command: its parameters and its bytes.
    #[track_caller]
    pub(crate) fn output(&mut self, id: &Value) -> (Value, Vec<u8>) {
        let message = self
            .raw
            .wait_within(PATIENCE, "output", |message| is_output(message, id));
        let params = message["params"].clone();
        let bytes = bytes(&params, "text", "base64");
        (params, bytes)
    }

    /// Waits for the outcome of a command, and takes its output.
    #[track_caller]
    pub(crate) fn finish(&mut self, id: &Value) -> Ran {
        self.finish_within(id, PATIENCE)
    }

    #[track_caller]
    pub(crate) fn finish_within(&mut self, id: &Value, within: Duration) -> Ran {
        let since = Instant::now();
        let (mut stdout, mut stderr, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let left = within.saturating_sub(since.elapsed());
            let message = self.raw.wait_within(left, "an outcome", |message| {
                is_output(message, id) || (message["id"] == *id && message["method"].is_null())
            });
            let params = &message["params"];
            if params.is_object() {
                let written = bytes(params, "text", "base64");
                self.consumed(id, &params["member"], written.len());
                match params["stream"].as_str() {
                    Some("stdout") => {
                        stdout.extend_from_slice(&written);
                        chunks.push((written, params["text"].is_string()));
                    }
                    _ => stderr.extend_from_slice(&written),
                }
                continue;
            }
            let outcome = message["result"].clone();
            assert!(outcome.is_object(), "expected an outcome, got {message}");
            stdout.extend(bytes(&outcome, "stdout", "stdout_base64"));
            stderr.extend(bytes(&outcome, "stderr", "stderr_base64"));
            return Ran {
                outcome,
                stdout,
                stderr,
                chunks,
                took: since.elapsed(),
            };
        }
    }
}

fn is_output(message: &Value, id: &Value) -> bool {
    message["method"] == "output" && message["params"]["send"] == *id
}

/// Text, or what base64 stands for.
#[track_caller]
fn bytes(object: &Value, text: &str, base64: &str) -> Vec<u8> {
    match (&object[text], &object[base64]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(encoded)) => STANDARD.decode(encoded).expect("base64"),
        (Value::Null, Value::Null) => Vec::new(),
        _ => panic!("text and base64 at once: {object}"),
    }
}
