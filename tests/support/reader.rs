//! The thread behind a client of bare lines: it reads what comes, all the time, answers
//! the server's pings, and checks of every line what holds for all of them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::abbreviated;

/// What stands in `error.data.reason` for each code.
const REASONS: [(i64, &str); 19] = [
    (-32700, "parse_error"),
    (-32600, "invalid_request"),
    (-32601, "method_not_found"),
    (-32602, "invalid_params"),
    (-32603, "internal"),
    (1, "full"),
    (2, "unauthorized"),
    (3, "not_joined"),
    (4, "already_joined"),
    (5, "name_taken"),
    (6, "unsupported_protocol"),
    (7, "no_target"),
    (8, "outranked"),
    (9, "busy"),
    (10, "shutting_down"),
    (11, "forbidden"),
    (12, "audit_unavailable"),
    (13, "tls_required"),
    (15, "not_resumable"),
];

/// One line that came.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) message: Value,
}

/// What the thread hands over.
pub(crate) enum Arrival {
    /// A line as it should be.
    Line(Line),
    /// A line that no server may write, and why.
    Wrong(String),
    /// The end of the connection.
    End,
}

/// The thread that reads.
pub(crate) struct Reader {
    pub(crate) stream: TcpStream,
    pub(crate) sender: Sender<Arrival>,
    /// Where pings are answered, if they are.
    pub(crate) writer: Option<Arc<Mutex<TcpStream>>>,
    pub(crate) pings: Arc<AtomicUsize>,
}

impl Reader {
    /// Reads until the connection ends.
    pub(crate) fn run(self) {
        let mut lines = BufReader::new(&self.stream);
        loop {
            let mut line = Vec::new();
            let read = lines.read_until(b'\n', &mut line);
            let arrival = match read {
                Ok(n) if n > 0 => self.arrival(&line),
                // A reset ends a connection as well as its regular end does.
                _ => Some(Arrival::End),
            };
            let over = matches!(arrival, Some(Arrival::End | Arrival::Wrong(_)));
            if let Some(arrival) = arrival {
                // The client may be gone.
                let _ = self.sender.send(arrival);
            }
            if over {
                return;
            }
        }
    }

    /// What a line is to the test; none where it was a ping that is answered here.
    fn arrival(&self, line: &[u8]) -> Option<Arrival> {
        let message = match checked(line) {
            Ok(message) => message,
            Err(why) => {
                let line = abbreviated(&String::from_utf8_lossy(line));
                return Some(Arrival::Wrong(format!("{why}: {line}")));
            }
        };
        if message["method"] == "ping" {
            self.pings.fetch_add(1, Ordering::SeqCst);
            if let Some(writer) = &self.writer {
                let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {}});
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                // A server that has gone needs no answer.
                let _ = writer.write_all(format!("{answer}\n").as_bytes());
                return None;
            }
        }
        let text = String::from_utf8_lossy(line).into_owned();
        Some(Arrival::Line(Line { text, message }))
    }
}

/// What holds for every line that a server writes.
pub(crate) fn checked(line: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("a line not UTF-8 ({error})"))?;
    let text = text.strip_suffix('\n').ok_or("a line without an end")?;
    if text.contains('\r') {
        return Err("a line with a bare \\r".into());
    }
    let message: Value =
        serde_json::from_str(text).map_err(|error| format!("a line not JSON ({error})"))?;
    if message["jsonrpc"] != "2.0" {
        return Err("a line not JSON-RPC 2.0".into());
    }
    let has = |member: &str| message.get(member).is_some();
    match (has("method"), has("result"), has("error")) {
        (true, false, false) => Ok(message),
        (false, true, false) if has("id") => Ok(message),
        (false, false, true) if has("id") => check_error(&message["error"]).map(|()| message),
        _ => Err("neither request, notification nor answer".into()),
    }
}

/// What holds for every error that a server answers with.
fn check_error(error: &Value) -> Result<(), String> {
    let code = error["code"].as_i64().ok_or("an error without a code")?;
    let known = REASONS.iter().find(|(known, _)| *known == code);
    let (_, reason) = known.ok_or("an error with a code that is not in the table")?;
    if error["data"]["reason"] != *reason {
        return Err(format!("error {code} without its reason {reason}"));
    }
    match error["message"].as_str() {
        Some(message) if !message.is_empty() => Ok(()),
        _ => Err("an error without a sentence for a person".into()),
    }
}
