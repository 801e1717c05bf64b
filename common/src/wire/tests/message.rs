//! Envelopes: which lines are messages, and what is said of the others.

use crate::limits::MAX_ID;
use crate::wire::message::*;
use serde_json::value::RawValue;

fn refusal(line: &str) -> (Option<Id>, i64) {
    let malformed = Message::parse(line.as_bytes()).expect_err(line);
    (malformed.id, malformed.error.code)
}

#[test]
fn what_is_said_of_a_line_is_short_however_long_that_is() {
    let long = "\u{7f}".repeat(100_000);
    for line in [
        format!("\"{long}\""),
        format!("\"{long}\" x"),
        format!("{{\"{long}\""),
        format!("{{\"method\":\"{long}\",\"id\":{{}}}}"),
        format!("{{\"jsonrpc\":\"{long}\",\"id\":1,\"method\":\"ping\"}}"),
        format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{long}\",\"method\":\"ping\"}}"),
        format!("[\"{long}"),
    ] {
        let malformed = Message::parse(line.as_bytes()).expect_err("no message");
        let said = malformed.error.message;
        assert!(said.len() <= 1000, "{} bytes: {said:.100}", said.len());
    }
}

#[test]
fn tells_the_kinds_of_messages_apart() {
    let request = Message::parse(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert!(matches!(
        request,
        Ok(Message::Request {
            id: Id::Integer(1),
            ..
        })
    ));
    let told = Message::parse(br#"{"method":"leave","params":{},"x":[[{}]]}"#);
    assert!(matches!(told, Ok(Message::Notification { method, .. }) if method == "leave"));
    for answer in [
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        r#"{"id":7,"error":{}}"#,
        r#"{"id":7,"error":1,"result":2}"#,
    ] {
        let answer = Message::parse(answer.as_bytes());
        assert!(matches!(
            answer,
            Ok(Message::Answer {
                id: Some(Id::Integer(7)),
                ..
            })
        ));
    }
    // An answer is never answered, with any form of id.
    let escaped = Message::parse(br#"{"jsonrpc":"2\u002e0","id":1,"method":"ping"}"#);
    assert!(matches!(escaped, Ok(Message::Request { .. })));
    let stray = Message::parse(br#"{"id":null,"result":1}"#);
    assert!(matches!(stray, Ok(Message::Answer { id: None, .. })));
}

#[test]
fn a_method_may_be_written_with_escapes() {
    let message = Message::parse(br#"{"jsonrpc":"2.0","\u0069d":1,"method":"p\u0069ng"}"#);
    assert!(matches!(message, Ok(Message::Request { method, .. }) if method == "ping"));
}

#[test]
fn says_what_is_wrong_with_a_line() {
    let invalid = Code::InvalidRequest.number();
    let one = Some(Id::Integer(1));
    for (line, expected) in [
        ("{", (None, -32700)),
        ("nonsense", (None, -32700)),
        ("{} {}", (None, -32700)),
        ("\u{feff}{}", (None, -32700)),
        ("[]", (None, invalid)),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            (None, invalid),
        ),
        ("1", (None, invalid)),
        ("null", (None, invalid)),
        ("{}", (None, invalid)),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            (None, invalid),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            (None, invalid),
        ),
        (
            r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}"#,
            (None, invalid),
        ),
        (
            r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
            (None, invalid),
        ),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            (one.clone(), invalid),
        ),
        (r#"{"id":1,"method":"ping"}"#, (one.clone(), invalid)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            (one.clone(), invalid),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
            (None, invalid),
        ),
    ] {
        assert_eq!(refusal(line), expected, "{line}");
    }
    let not_utf8 = Message::parse(b"{\"id\":\"\xff\"}").expect_err("not UTF-8");
    assert_eq!(not_utf8.error.code, -32700);
}

#[test]
fn ids_are_repeated_as_they_came() {
    let longest = format!("\"{}\"", "x".repeat(MAX_ID));
    for raw in [
        "1",
        "-9223372036854775808",
        "18446744073709551615",
        "\"1\"",
        "\"\"",
        &longest,
    ] {
        let id = Id::parse(raw).expect(raw);
        assert_eq!(serde_json::to_string(&id).expect("an id"), raw);
    }
    assert_ne!(Id::parse("1"), Id::parse("\"1\""));
    let too_long = format!("\"{}\"", "x".repeat(MAX_ID + 1));
    assert!(
        Id::parse(&too_long)
            .expect_err("too long")
            .contains("129 bytes")
    );
}

#[test]
fn deep_nesting_needs_no_stack() {
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{}1{},"x":{}1{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000),
        "{\"a\":".repeat(50_000),
        "}".repeat(50_000),
    );
    let small_stack = std::thread::Builder::new().stack_size(64 << 10);
    let parsed = small_stack.spawn(move || Message::parse(deep.as_bytes()).is_ok());
    assert!(parsed.expect("a thread").join().expect("no overflow"));
}

#[test]
fn an_error_survives_the_wire() {
    let mut error = RpcError::new(Code::InvalidRequest, "id 4 is open");
    error.data.id = Some(Box::new(Id::Integer(4)));
    let line = String::from_utf8(error_line(None, &error)).expect("UTF-8");
    assert_eq!(
        line,
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"id 4 is open\",\
         \"data\":{\"reason\":\"invalid_request\",\"id\":4}}}\n"
    );
    let Ok(Message::Answer {
        body: AnswerBody::Error(raw),
        ..
    }) = Message::parse(line.trim_end().as_bytes())
    else {
        panic!("{line} is an error");
    };
    assert_eq!(RpcError::parse(raw).expect("an error object"), error);
}

#[test]
fn wrong_params_are_named() {
    #[derive(Debug, serde::Deserialize)]
    struct Sample {
        #[allow(dead_code)]
        slots: Option<u32>,
    }
    let read = |text: &str| {
        let raw: &RawValue = serde_json::from_str(text).expect("JSON");
        params::<Sample>(Some(raw)).map(|_| ())
    };
    assert!(read("{}").is_ok() && read("null").is_ok());
    let long = format!(r#"{{"slots":"{}"}}"#, "\u{7f}".repeat(1 << 20));
    assert!(read(&long).expect_err("a string").message.len() < 300);
    for (text, expected) in [
        (r#"{"slots":"x"}"#, "params.slots: invalid type: string"),
        (r#"{"slots":1,"slots":2}"#, "duplicate field `slots`"),
        (r#"[1]"#, "params must be an object, not an array"),
    ] {
        let error = read(text).expect_err(text);
        assert_eq!(error.code, Code::InvalidParams.number());
        assert!(error.message.contains(expected), "{}", error.message);
    }
}
