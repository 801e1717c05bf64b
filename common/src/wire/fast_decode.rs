//! The lines that are written most, read in one pass: the usual members, without white space,
//! as `protocol` types. Every other line, right or wrong, is for [`Message::parse`] to read:
//! a slower way with the same result, which says what is wrong where something is.
//!
//! [`Message::parse`]: crate::wire::message::Message::parse

use crate::wire::encode::HEAD;
use crate::wire::name::Name;
use crate::wire::text::Text;
use crate::wire::words::Words;
use crate::wire::{
    ExecutionInput, ExecutionOutput, ExecutionResult, Leftovers, OutputStream, Send, SendInput,
    SendOutput, Stdin,
};
use memchr::memmem;

/// A line that a client writes most.
#[derive(Debug)]
pub enum Plain<'a> {
    /// `{"jsonrpc":"2.0","id":1,"method":"send","params":{...}}`
    Send { id: u64, request: Send<'a> },
    /// `{"jsonrpc":"2.0","id":1,"result":{...}}`
    Result {
        id: u64,
        executed: ExecutionResult<'a>,
    },
    /// `{"jsonrpc":"2.0","method":"output","params":{...}}`
    Output(ExecutionOutput<'a>),
    /// `{"jsonrpc":"2.0","method":"input","params":{...}}`
    Input(SendInput<'a>),
}

impl<'a> Plain<'a> {
    /// Reads a line, without its line end, if it has one of these forms.
    pub fn read(line: &'a [u8]) -> Option<Plain<'a>> {
        let rest = line.strip_prefix(b"{\"jsonrpc\":\"2.0\",")?;
        let mut rest = Rest(simdutf8::basic::from_utf8(rest).ok()?);
        let plain = if rest.has("\"method\":\"output\",\"params\":") {
            Plain::Output(rest.output()?)
        } else if rest.has("\"id\":") {
            let id = rest.natural()?;
            if rest.has(",\"result\":") {
                let executed = rest.execution_result()?;
                Plain::Result { id, executed }
            } else {
                rest.skip(",\"method\":\"send\",\"params\":")?;
                let request = rest.send()?;
                Plain::Send { id, request }
            }
        } else {
            rest.skip("\"method\":\"input\",\"params\":")?;
            Plain::Input(rest.send_input()?)
        };
        (rest.0 == "}").then_some(plain)
    }
}

impl<'a> SendOutput<'a> {
    /// Reads a line, without its line end, if it is an `output` for a sender in the form that
    /// a server gives it: as with [`Plain`], others are for [`Message::parse`] to read.
    ///
    /// [`Message::parse`]: crate::wire::message::Message::parse
    pub fn of_plain_line(line: &'a [u8]) -> Option<SendOutput<'a>> {
        let mut rest = Rest(str::from_utf8(line).ok()?);
        let (mut text, mut base64) = (None, None);
        rest.skip("{\"jsonrpc\":\"2.0\",\"method\":\"output\",\"params\":{\"send\":")?;
        let send = rest.natural()?.into();
        rest.skip(",\"member\":")?;
        let member = rest.natural()?;
        rest.skip(",\"name\":")?;
        let name = Name::told(rest.string()?.into_cow()).ok()?;
        rest.skip(",\"rank\":")?;
        let rank = rest.count()?;
        rest.skip(",")?;
        let stream = rest.stream()?;
        match rest.has(",\"text\":") {
            true => text = Some(rest.string()?),
            false => {
                rest.skip(",\"base64\":")?;
                base64 = Some(rest.string()?);
            }
        }
        (rest.0 == "}}").then_some(SendOutput {
            send,
            member,
            name,
            rank,
            stream,
            text,
            base64,
        })
    }
}

impl<'a> ExecutionInput<'a> {
    /// Reads a line, without its line end, if it is an `input` for an executor in the form that
    /// a server gives it: as with [`Plain`], others are for [`Message::parse`] to read.
    ///
    /// [`Message::parse`]: crate::wire::message::Message::parse
    pub fn of_plain_line(line: &'a [u8]) -> Option<ExecutionInput<'a>> {
        let line = line.strip_prefix(b"{\"jsonrpc\":\"2.0\",\"method\":\"input\",\"params\":")?;
        let mut rest = Rest(str::from_utf8(line).ok()?);
        let (id, text, base64, end) = rest.input("\"id\":")?;
        (rest.0 == "}").then_some(ExecutionInput {
            id,
            text,
            base64,
            end,
        })
    }
}

/// The members of an `input`, the id of its command first.
type Input<'a> = (u64, Option<Text<'a>>, Option<Text<'a>>, bool);

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

    /// The members of an object, each of which `member` takes off the front.
    fn object(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip("{")?;
        if self.has("}") {
            return Some(());
        }
        loop {
            member(self)?;
            if !self.has(",") {
                return self.skip("}");
            }
        }
    }

    /// A string, for a member that had none before.
    fn text(&mut self, member: &mut Option<Text<'a>>) -> Option<()> {
        first(member, self.string()?)
    }

    fn string(&mut self) -> Option<Text<'a>> {
        let text;
        (text, self.0) = Text::prefix_of(self.0)?;
        Some(text)
    }

    /// Which of the streams a member says.
    fn stream(&mut self) -> Option<OutputStream> {
        if self.has("\"stream\":\"stdout\"") {
            return Some(OutputStream::Stdout);
        }
        self.skip("\"stream\":\"stderr\"")?;
        Some(OutputStream::Stderr)
    }

    fn words(&mut self, member: &mut Option<Words<'a>>) -> Option<()> {
        let words;
        (words, self.0) = Words::prefix_of(self.0)?;
        first(member, words)
    }

    fn natural(&mut self) -> Option<u64> {
        let (number, rest) = natural(self.0.as_bytes())?;
        self.0 = &self.0[self.0.len() - rest.len()..];
        Some(number)
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

    fn count(&mut self) -> Option<u32> {
        u32::try_from(self.natural()?).ok()
    }

    fn send(&mut self) -> Option<Send<'a>> {
        let (mut command, mut to, mut timeout_ms, mut window) = (None, None, None, None);
        let (mut run, mut deadline_ms, mut progress, mut stdin) = (None, None, None, None);
        self.object(|rest| match () {
            () if rest.has("\"to\":") => rest.text(&mut to),
            () if rest.has("\"command\":") => rest.words(&mut command),
            () if rest.has("\"timeout_ms\":") => first(&mut timeout_ms, rest.natural()?),
            () if rest.has("\"window\":") => first(&mut window, rest.natural()?),
            () if rest.has("\"run\":") => rest.text(&mut run),
            () if rest.has("\"deadline_ms\":") => first(&mut deadline_ms, rest.natural()?),
            () if rest.has("\"progress\":true") => first(&mut progress, true),
            () if rest.has("\"stdin\":") => first(&mut stdin, rest.stdin()?),
            () => None,
        })?;
        Some(Send {
            command: command?,
            to,
            timeout_ms,
            window,
            run,
            deadline_ms,
            progress,
            stdin,
        })
    }

    fn stdin(&mut self) -> Option<Stdin> {
        match self.has("true") {
            true => Some(Stdin::Flag(true)),
            false => self.natural().map(Stdin::Window),
        }
    }

    fn execution_result(&mut self) -> Option<ExecutionResult<'a>> {
        let mut executed = ExecutionResult::default();
        self.object(|rest| match () {
            () if rest.has("\"exit_code\":") => first(&mut executed.exit_code, rest.integer()?),
            () if rest.has("\"stdout\":") => rest.text(&mut executed.stdout),
            () if rest.has("\"stderr\":") => rest.text(&mut executed.stderr),
            () if rest.has("\"signal\":") => rest.text(&mut executed.signal),
            () if rest.has("\"stdout_base64\":") => rest.text(&mut executed.stdout_base64),
            () if rest.has("\"stderr_base64\":") => rest.text(&mut executed.stderr_base64),
            () if rest.has("\"timed_out\":true") => set(&mut executed.timed_out),
            () if rest.has("\"cancelled\":true") => set(&mut executed.cancelled),
            () if rest.has("\"truncated\":true") => set(&mut executed.truncated),
            () if rest.has("\"leftovers\":") => first(&mut executed.leftovers, rest.leftovers()?),
            () => None,
        })?;
        Some(executed)
    }

    fn leftovers(&mut self) -> Option<Leftovers> {
        self.skip("{\"ended\":")?;
        let ended = self.count()?;
        self.skip(",\"running\":")?;
        let running = self.count()?;
        self.skip("}")?;
        Some(Leftovers { ended, running })
    }

    #[inline(never)]
    fn send_input(&mut self) -> Option<SendInput<'a>> {
        let (send, text, base64, end) = self.input("\"send\":")?;
        Some(SendInput {
            send: send.into(),
            text,
            base64,
            end,
        })
    }

    fn input(&mut self, key: &str) -> Option<Input<'a>> {
        let (mut id, mut text, mut base64, mut end) = (None, None, None, false);
        self.object(|rest| match () {
            () if rest.has(key) => first(&mut id, rest.natural()?),
            () if rest.has("\"text\":") => rest.text(&mut text),
            () if rest.has("\"base64\":") => rest.text(&mut base64),
            () if rest.has("\"end\":true") => set(&mut end),
            () => None,
        })?;
        Some((id?, text, base64, end))
    }

    fn output(&mut self) -> Option<ExecutionOutput<'a>> {
        let (mut id, mut stream, mut text, mut base64) = (None, None, None, None);
        self.object(|rest| match () {
            () if rest.has("\"id\":") => first(&mut id, rest.natural()?),
            () if rest.has("\"stream\":\"stdout\"") => first(&mut stream, OutputStream::Stdout),
            () if rest.has("\"stream\":\"stderr\"") => first(&mut stream, OutputStream::Stderr),
            () if rest.has("\"text\":") => rest.text(&mut text),
            () if rest.has("\"base64\":") => rest.text(&mut base64),
            () => None,
        })?;
        Some(ExecutionOutput {
            id: id?,
            stream: stream?,
            text,
            base64,
        })
    }
}

/// The id of the `send` whose result says `done` with exit code 0, if a line is such a result.
pub fn done(line: &[u8]) -> Option<u64> {
    let (id, rest) = numbered(line)?;
    let rest = rest.strip_prefix(b",\"result\":{\"member\":")?;
    // In a string its quotes would be escaped, so it stands nowhere else.
    memmem::find(rest, b"\"status\":\"done\",\"exit_code\":0").map(|_| id)
}

/// The id of the `send` that an `outcome` notification belongs to, if a line is one.
pub fn outcome_of_many(line: &[u8]) -> Option<u64> {
    const START: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"outcome\",\"params\":{\"send\":";
    natural(line.strip_prefix(START)?).map(|(id, _)| id)
}

/// The id of an `execute` request from a client whose name begins like this, if a line is one.
pub fn execute_from(line: &[u8], name: &[u8]) -> Option<u64> {
    const FROM: &[u8] = b",\"method\":\"execute\",\"params\":{\"from\":{\"member\":";
    let (id, rest) = numbered(line)?;
    let (_, rest) = natural(rest.strip_prefix(FROM)?)?;
    let from = rest.strip_prefix(b",\"name\":\"")?;
    from.starts_with(name).then_some(id)
}

/// The id that a line begins with, and what comes after it.
pub(super) fn numbered(line: &[u8]) -> Option<(u64, &[u8])> {
    natural(line.strip_prefix(HEAD.as_bytes())?)
}

/// An unsigned integer of at most 19 digits, which always fit, and what comes after it.
fn natural(text: &[u8]) -> Option<(u64, &[u8])> {
    const MOST: usize = 19;
    let (mut number, mut rest) = (0, text);
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        number = number * 10 + u64::from(digit - b'0');
        rest = more;
        if text.len() - rest.len() == MOST {
            break;
        }
    }
    let digits = &text[..text.len() - rest.len()];
    let is_number = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
    let ends = !rest.first().is_some_and(u8::is_ascii_digit);
    (is_number && ends).then_some((number, rest))
}

/// Sets a member; `None` where it stands there for the second time.
fn first<T>(member: &mut Option<T>, value: T) -> Option<()> {
    match member.replace(value) {
        None => Some(()),
        Some(_) => None,
    }
}

/// Sets a member; `None` where it is set already.
fn set(member: &mut bool) -> Option<()> {
    (!std::mem::replace(member, true)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{AnswerBody, Id, Message, params};
    use crate::wire::method;
    use proptest::prelude::*;

    /// What a line says, however it is read.
    fn said(plain: &Plain<'_>) -> String {
        match plain {
            Plain::Send { id, request } => format!("{id} {request:?}"),
            Plain::Result { id, executed } => format!("{id} {executed:?}"),
            Plain::Output(output) => format!("{output:?}"),
            Plain::Input(input) => format!("{input:?}"),
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
            Message::Notification {
                method,
                params: raw,
            } if method == method::INPUT => Plain::Input(params(raw).ok()?),
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
            r#"{"jsonrpc":"2.0","id":1,"result":{"signal":"SIGKILL","stdout_base64":"/w==","stderr_base64":"","timed_out":true,"cancelled":true}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"exit_code":0,"leftovers":{"ended":2,"running":4294967295}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":{"ended":0,"running":0},"exit_code":0}}"#,
            r#"{"jsonrpc":"2.0","method":"output","params":{"id":3,"stream":"stdout","text":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"output","params":{"id":3,"stream":"stderr","base64":"/w=="}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"send","params":{"command":["x"],"stdin":true}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"send","params":{"command":["x"],"stdin":1048576}}"#,
            r#"{"jsonrpc":"2.0","method":"input","params":{"send":3,"text":"x\n"}}"#,
            r#"{"jsonrpc":"2.0","method":"input","params":{"send":3,"base64":"/w==","end":true}}"#,
            r#"{"jsonrpc":"2.0","method":"input","params":{"send":3,"end":true}}"#,
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
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":[2,0]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":{"ended":4294967296}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":{"ended":-1}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":{"ended":1,"ended":1}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":{"ended":null}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"leftovers":{},"leftovers":{}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"command":["x"],"to":null}}"#,
            r#"{"jsonrpc":"2.0","method":"output","params":{"id":3,"stream":"x","text":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"command":["x"],"stdin":false}}"#,
            r#"{"jsonrpc":"2.0","method":"input","params":{"send":"3","text":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"input","params":{"send":3,"end":true,"end":true}}"#,
            r#"{"jsonrpc":"2.0","method":"input","params":{"text":"x"}}"#,
        ] {
            assert!(Plain::read(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn an_output_for_a_sender_is_read_at_once() {
        let start = r#"{"jsonrpc":"2.0","method":"output","params":{"send":3,"member":2,"#;
        for rest in [
            r#""name":"web1","rank":1,"stream":"stdout","text":"a\n\u00e4"}}"#,
            r#""name":"web1","rank":0,"stream":"stderr","base64":"/w=="}}"#,
        ] {
            let line = format!("{start}{rest}");
            let read = SendOutput::of_plain_line(line.as_bytes()).expect(&line);
            let Ok(Message::Notification { params: raw, .. }) = Message::parse(line.as_bytes())
            else {
                panic!("{line}");
            };
            let parsed: SendOutput<'_> = params(raw).expect("the same");
            assert_eq!(format!("{read:?}"), format!("{parsed:?}"));
        }
        for rest in [
            r#""name":"web1","rank":1,"stream":"stdout"}}"#,
            r#""name":"web1","rank":1,"stream":"stdin","text":"a"}}"#,
            r#""name":"web1","rank":1,"stream":"stdout","text":"a","base64":""}}"#,
            r#""name":"web1","rank":4294967296,"stream":"stdout","text":"a"}}"#,
            r#""name":"web1","rank":1,"stream":"stdout","text":"a"}} "#,
            r#""rank":1,"name":"web1","stream":"stdout","text":"a"}}"#,
        ] {
            let line = format!("{start}{rest}");
            assert!(
                SendOutput::of_plain_line(line.as_bytes()).is_none(),
                "{line}"
            );
        }
    }

    fn lines() -> impl Strategy<Value = String> {
        let text = r#""([a ä]|\\n|\\u00e4|\\ud83d\\ude00|\\ud83d|=){0,4}""#;
        let number = "(-?[0-9]{1,3}|[0-9]{18,21}|1\\.5|1e2|01)";
        let member = format!(
            r#""(to|text|base64|stdout|stderr_base64|signal|x)":{text}|"(id|send|timeout_ms|window|exit_code|stdin)":{number}|"(timed_out|truncated|cancelled|end|stdin)":(true|false|null)|"leftovers":(\{{("(ended|running|x)":({number}|null)(,"(ended|running)":[0-9]{{1,11}})?)?\}}|\[[0-9]?\]|null)|"stream":"(stdout|stderr|x)"|"command":\[({text}(,{text})?)?\]"#
        );
        let object = format!("\\{{(({member})(,({member})){{0,3}})?\\}}");
        let line = format!(
            r#"\{{"jsonrpc":"2.0",("id":{number},"method":"send","params":{object}|"id":{number},"result":{object}|"method":"(output|input)","params":{object})\}} ?"#
        );
        proptest::string::string_regex(&line).expect("a pattern")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// A line that is read at once would have been read the same the long way.
        #[test]
        fn both_ways_agree(line in lines()) {
            if let Some(plain) = Plain::read(line.as_bytes()) {
                prop_assert_eq!(Some(said(&plain)), parsed(line.as_bytes()));
            }
        }
    }
}
