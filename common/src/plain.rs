//! The lines that are written most, read in one pass: the usual members, without white space,
//! as `protocol` types. Every other line, right or wrong, is for [`Message::parse`] to read:
//! a slower way with the same result, which says what is wrong where something is.
//!
//! [`Message::parse`]: crate::message::Message::parse

use crate::protocol::{Executed, ExecutionOutput, OutputStream, Send};
use crate::text::Text;
use crate::words::Words;

/// A line that a client writes most.
#[derive(Debug)]
pub enum Plain<'a> {
    /// `{"jsonrpc":"2.0","id":1,"method":"send","params":{...}}`
    Send {
        /// The id.
        id: u64,
        /// Its `params`.
        request: Send<'a>,
    },
    /// `{"jsonrpc":"2.0","id":1,"result":{...}}`
    Result {
        /// The id.
        id: u64,
        /// What was executed.
        executed: Executed<'a>,
    },
    /// `{"jsonrpc":"2.0","method":"output","params":{...}}`
    Output(ExecutionOutput<'a>),
}

impl<'a> Plain<'a> {
    /// Reads a line, without its line end, if it has one of these forms.
    pub fn read(line: &'a [u8]) -> Option<Plain<'a>> {
        let rest = line.strip_prefix(b"{\"jsonrpc\":\"2.0\",")?;
        let mut rest = Rest(std::str::from_utf8(rest).ok()?);
        let plain = if rest.has("\"method\":\"output\",\"params\":") {
            Plain::Output(rest.output()?)
        } else {
            rest.skip("\"id\":")?;
            let id = rest.natural()?;
            if rest.has(",\"result\":") {
                let executed = rest.executed()?;
                Plain::Result { id, executed }
            } else {
                rest.skip(",\"method\":\"send\",\"params\":")?;
                let request = rest.send()?;
                Plain::Send { id, request }
            }
        };
        (rest.0 == "}").then_some(plain)
    }
}

/// What is left of a line. What a method finds, it takes off the front.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn has(&mut self, piece: &str) -> bool {
        self.skip(piece).is_some()
    }

    fn skip(&mut self, piece: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(piece)?;
        Some(())
    }

    /// The members of an object, each of which `member` takes: by its name, `false` where it
    /// knows none of that name or has it already.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Option<bool>) -> Option<()> {
        self.skip("{")?;
        if self.has("}") {
            return Some(());
        }
        loop {
            self.skip("\"")?;
            // A name with an escape is none that is looked for.
            let (name, rest) = self.0.split_at(memchr::memchr(b'"', self.0.as_bytes())?);
            self.0 = rest;
            self.skip("\":")?;
            if !member(self, name)? {
                return None;
            }
            if !self.has(",") {
                return self.skip("}");
            }
        }
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let text;
        (text, self.0) = Text::prefix_of(self.0)?;
        Some(text)
    }

    /// An unsigned integer of at most 19 digits, which always fit.
    fn natural(&mut self) -> Option<u64> {
        const MOST: usize = 19;
        let bytes = self.0.as_bytes();
        let mut number = 0;
        let mut digits = 0;
        while let Some(digit @ b'0'..=b'9') = bytes.get(digits) {
            if digits == MOST {
                return None;
            }
            number = number * 10 + u64::from(digit - b'0');
            digits += 1;
        }
        let has_leading_zero = digits > 1 && bytes[0] == b'0';
        self.0 = &self.0[digits..];
        (digits > 0 && !has_leading_zero).then_some(number)
    }

    fn integer(&mut self) -> Option<i64> {
        let is_negative = self.has("-");
        let number = i64::try_from(self.natural()?).ok()?;
        match (is_negative, number) {
            // A parser takes that for a fraction.
            (true, 0) => None,
            (true, _) => Some(-number),
            (false, _) => Some(number),
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        self.has("true")
            .then_some(true)
            .or_else(|| self.has("false").then_some(false))
    }

    fn send(&mut self) -> Option<Send<'a>> {
        let mut command = None;
        let (mut to, mut timeout_ms, mut window) = (None, None, None);
        self.object(|rest, name| {
            Some(match name {
                "to" => is_first(&mut to, rest.text()?),
                "command" => {
                    let words;
                    (words, rest.0) = Words::prefix_of(rest.0)?;
                    is_first(&mut command, words)
                }
                "timeout_ms" => is_first(&mut timeout_ms, rest.natural()?),
                "window" => is_first(&mut window, rest.natural()?),
                _ => false,
            })
        })?;
        Some(Send {
            command: command?,
            to,
            timeout_ms,
            window,
        })
    }

    fn executed(&mut self) -> Option<Executed<'a>> {
        let mut executed = Executed::default();
        let (mut timed_out, mut cancelled, mut truncated) = (None, None, None);
        self.object(|rest, name| {
            Some(match name {
                "exit_code" => is_first(&mut executed.exit_code, rest.integer()?),
                "signal" => is_first(&mut executed.signal, rest.text()?),
                "stdout" => is_first(&mut executed.stdout, rest.text()?),
                "stdout_base64" => is_first(&mut executed.stdout_base64, rest.text()?),
                "stderr" => is_first(&mut executed.stderr, rest.text()?),
                "stderr_base64" => is_first(&mut executed.stderr_base64, rest.text()?),
                "timed_out" => is_first(&mut timed_out, rest.boolean()?),
                "cancelled" => is_first(&mut cancelled, rest.boolean()?),
                "truncated" => is_first(&mut truncated, rest.boolean()?),
                _ => false,
            })
        })?;
        executed.timed_out = timed_out == Some(true);
        executed.cancelled = cancelled == Some(true);
        executed.truncated = truncated == Some(true);
        Some(executed)
    }

    fn output(&mut self) -> Option<ExecutionOutput<'a>> {
        let (mut id, mut stream, mut text, mut base64) = (None, None, None, None);
        self.object(|rest, name| {
            Some(match name {
                "id" => is_first(&mut id, rest.natural()?),
                "stream" if rest.has("\"stdout\"") => is_first(&mut stream, OutputStream::Stdout),
                "stream" if rest.has("\"stderr\"") => is_first(&mut stream, OutputStream::Stderr),
                "text" => is_first(&mut text, rest.text()?),
                "base64" => is_first(&mut base64, rest.text()?),
                _ => false,
            })
        })?;
        Some(ExecutionOutput {
            id: id?,
            stream: stream?,
            text,
            base64,
        })
    }
}

fn is_first<T>(member: &mut Option<T>, value: T) -> bool {
    member.replace(value).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AnswerBody, Id, Message, params};
    use crate::protocol::method;
    use proptest::prelude::*;

    /// What a line says, however it is read.
    fn said(plain: &Plain<'_>) -> String {
        match plain {
            Plain::Send { id, request } => format!("{id} {request:?}"),
            Plain::Result { id, executed } => format!("{id} {executed:?}"),
            Plain::Output(output) => format!("{output:?}"),
        }
    }

    /// The same, read the long way.
    fn parsed(line: &[u8]) -> Option<String> {
        let number = |id: Id| match id {
            Id::Integer(id) => u64::try_from(id).ok(),
            Id::Large(id) => Some(id),
            Id::Text(_) => None,
        };
        let plain = match Message::parse(line).ok()? {
            Message::Request {
                id,
                method,
                params: raw,
            } if method == method::SEND => Plain::Send {
                id: number(id)?,
                request: params(raw).ok()?,
            },
            Message::Answer {
                id,
                body: AnswerBody::Result(raw),
            } => Plain::Result {
                id: number(id?)?,
                executed: serde_json::from_str(raw.get()).ok()?,
            },
            Message::Notification {
                method,
                params: raw,
            } if method == method::OUTPUT => Plain::Output(params(raw).ok()?),
            _ => return None,
        };
        Some(said(&plain))
    }

    #[test]
    fn the_usual_lines_are_read_at_once() {
        for line in [
            r#"{"jsonrpc":"2.0","id":7,"method":"send","params":{"command":["x"]}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"send","params":{"to":"web1","command":["x","\n"],"timeout_ms":1,"window":65536}}"#,
            r#"{"jsonrpc":"2.0","id":1234567890123456789,"method":"send","params":{"command":["ä"],"to":"next"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"exit_code":-1,"stdout":"a\n","stderr":"","truncated":true}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"signal":"SIGKILL","stdout_base64":"/w==","stderr_base64":"","timed_out":true,"cancelled":false}}"#,
            r#"{"jsonrpc":"2.0","method":"output","params":{"id":3,"stream":"stdout","text":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"output","params":{"id":3,"stream":"stderr","base64":"/w=="}}"#,
        ] {
            let plain = Plain::read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(Some(said(&plain)), parsed(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn other_lines_are_left_alone() {
        for line in [
            "",
            r#"{"jsonrpc":"2.0","id":01,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":-1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":99999999999999999999,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"id":2}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}} "#,
            r#"{"jsonrpc":"2.0","id":1,"result":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"exit_code":1.5}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"exit_code":1,"exit_code":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"exit_code":1,}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"more":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"command":["x"],"to":null}}"#,
            r#"{"jsonrpc":"2.0","method":"output","params":{"id":3,"stream":"x","text":"x"}}"#,
        ] {
            assert!(Plain::read(line.as_bytes()).is_none(), "{line}");
        }
    }

    fn lines() -> impl Strategy<Value = String> {
        let text = r#""([a ä]|\\n|\\u00e4|\\ud83d\\ude00|\\ud83d|=){0,4}""#;
        let number = "(-?[0-9]{1,3}|[0-9]{18,21}|1\\.5|1e2|01)";
        let member = format!(
            r#""(to|text|base64|stdout|stderr_base64|signal|x)":{text}|"(id|timeout_ms|window|exit_code)":{number}|"(timed_out|truncated|cancelled)":(true|false|null)|"stream":"(stdout|stderr|x)"|"command":\[({text}(,{text})?)?\]"#
        );
        let object = format!("\\{{(({member})(,({member})){{0,3}})?\\}}");
        let line = format!(
            r#"\{{"jsonrpc":"2.0",("id":{number},"method":"send","params":{object}|"id":{number},"result":{object}|"method":"output","params":{object})\}} ?"#
        );
        proptest::string::string_regex(&line).expect("a pattern")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Whatever is read at once would have been read the same the long way.
        #[test]
        fn both_ways_agree(line in lines()) {
            if let Some(plain) = Plain::read(line.as_bytes()) {
                prop_assert_eq!(Some(said(&plain)), parsed(line.as_bytes()));
            }
        }
    }
}
