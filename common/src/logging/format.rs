//! How a line of the log is written: for people, or as JSON for programs that collect logs. In both,
//! a message stays one line, and what could steer a terminal is escaped.

use crate::terminal::console;
use crate::terminal::escape::one_line;
use serde::Serialize;
use std::io::Write;
use std::time::SystemTime;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LogFormat {
    /// Time, level and message.
    #[default]
    Text,
    /// An object a line: `time`, `level`, `target` and `message`.
    Json,
}

/// A record of the log.
pub(crate) struct Entry<'a> {
    pub(crate) at: SystemTime,
    pub(crate) level: log::Level,
    /// The part of the program that it is from; text does not show it.
    pub(crate) target: &'a str,
    pub(crate) message: &'a str,
}

#[derive(Serialize)]
struct Object<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: &'a str,
}

impl LogFormat {
    /// Adds the line of a record, which stays one line with any text of a peer in its message.
    pub(crate) fn append(self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        let at = humantime::format_rfc3339_millis(entry.at);
        let message = one_line(entry.message);
        // Memory takes everything.
        let _ = match self {
            LogFormat::Text => writeln!(out, "{at} {:5} {message}", entry.level),
            LogFormat::Json => {
                let object = Object {
                    time: at.to_string(),
                    level: &entry.level.as_str().to_ascii_lowercase(),
                    target: entry.target,
                    message: &message,
                };
                let _ = serde_json::to_writer(&mut *out, &object);
                out.write_all(b"\n")
            }
        };
    }

    /// Says on standard error why a program ends.
    pub fn complain(self, why: &str) {
        match self {
            LogFormat::Text => console::complain(&format!("error: {why}")),
            LogFormat::Json => console::complain(&said(log::Level::Error, why)),
        }
    }
}

/// The object of what a program says besides its log, without a line's end.
fn said(level: log::Level, message: &str) -> String {
    let mut line = Vec::new();
    let entry = Entry {
        at: now(),
        level,
        target: "said",
        message,
    };
    LogFormat::Json.append(&mut line, &entry);
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// [`said`] of a note.
pub(crate) fn note(message: &str) -> String {
    said(log::Level::Info, message)
}

#[expect(clippy::disallowed_methods, reason = "it is shown, and times nothing")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_format_keeps_a_message_on_one_line_that_steers_nothing() {
        let entry = Entry {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1),
            level: log::Level::Warn,
            target: "server::join",
            message: "a \"b\"\n\u{1b}[2J\u{202e}",
        };
        for (format, expected) in [
            (
                LogFormat::Text,
                "1970-01-01T00:00:00.001Z WARN  a \"b\"\\n\\x1b[2J\\u{202e}\n",
            ),
            (
                LogFormat::Json,
                "{\"time\":\"1970-01-01T00:00:00.001Z\",\"level\":\"warn\",\"target\":\"server::join\",\
                 \"message\":\"a \\\"b\\\"\\\\n\\\\x1b[2J\\\\u{202e}\"}\n",
            ),
        ] {
            let mut line = Vec::new();
            format.append(&mut line, &entry);
            assert_eq!(String::from_utf8_lossy(&line), expected);
        }
    }
}
