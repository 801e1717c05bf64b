//! That a line which is read in one pass is read the same the slower way.

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
        r#"{"jsonrpc":"2.0","id":1,"result":{"exit_code":0,"leftovers":{"ended":2,"running":1}}}"#,
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
        let Ok(Message::Notification { params: raw, .. }) = Message::parse(line.as_bytes()) else {
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
        r#""(to|text|base64|stdout|stderr_base64|signal|x)":{text}|"(id|send|timeout_ms|window|exit_code|stdin)":{number}|"(timed_out|truncated|cancelled|end|stdin)":(true|false|null)|"stream":"(stdout|stderr|x)"|"command":\[({text}(,{text})?)?\]"#
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
