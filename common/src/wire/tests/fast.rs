//! The fast forms and the serde forms say the same of any message, in both directions.

use crate::wire::fast_decode::{Plain, done, execute_from, outcome_of_many};
use crate::wire::fast_encode::{self, Prepared};
use crate::wire::message::{Id, request_line, result_line};
use crate::wire::name::Name;
use crate::wire::tier::Tier;
use crate::wire::{
    Execute, ExecutionInput, ExecutionOutput, ExecutionResult, Identity, Leftovers, Origin,
    Outcome, OutputStream, SendInput, SendOut, SendOutput, Status, Stdin, Text, Words,
    decode_output, encode_output, method,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;

/// Ids that a fast decoder reads.
const MOST: u64 = 10_u64.pow(19) - 1;

/// Texts with characters that JSON escapes, and many that it does not.
fn string() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,8}", "[\\x00-\\x22\\\\/\\x7fä😀]{0,24}"]
}

/// A text as one end makes it, or as it came with a line: with each character escaped.
fn text() -> impl Strategy<Value = Text<'static>> {
    let received = |text: String| {
        let units = text.encode_utf16();
        let escapes: String = units.map(|unit| format!("\\u{unit:04X}")).collect();
        let json: &'static str = format!("\"{escapes}\"").leak();
        Text::prefix_of(json).expect("a string").0
    };
    prop_oneof![string().prop_map(Text::from), string().prop_map(received)]
}

fn words() -> impl Strategy<Value = Words<'static>> {
    let words = proptest::collection::vec(string(), 1..4);
    let blanks = select(vec!["", " ", "\t", "\r\n"]);
    (words, blanks).prop_map(|(words, blanks)| {
        let words = words
            .iter()
            .map(|word| serde_json::to_string(word).expect("JSON"));
        let words = words.collect::<Vec<_>>().join(&format!(",{blanks}"));
        let json: &'static str = format!("[{blanks}{words}]").leak();
        Words::prefix_of(json).expect("words").0
    })
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        any::<u64>().prop_map(Id::from),
        any::<i64>().prop_map(Id::Integer),
        string().prop_map(|id| Id::Text(id.into())),
    ]
}

fn name() -> impl Strategy<Value = Name<'static>> {
    "(web[a-z0-9._-]{0,9}|client-[1-9][0-9]{0,5})".prop_map(Name::known)
}

fn stdin() -> impl Strategy<Value = Stdin> {
    prop_oneof![Just(Stdin::Flag(true)), (0..=MOST).prop_map(Stdin::Window)]
}

fn stream() -> impl Strategy<Value = OutputStream> {
    select(vec![OutputStream::Stdout, OutputStream::Stderr])
}

fn result() -> impl Strategy<Value = ExecutionResult<'static>> {
    let texts = proptest::array::uniform5(option::of(text()));
    let flags = any::<[bool; 3]>();
    let leftovers = option::of(any::<(u32, u32)>());
    (option::of(any::<i32>()), texts, flags, leftovers).prop_map(
        |(exit_code, texts, [timed_out, cancelled, truncated], leftovers)| {
            let [signal, stdout, stdout_base64, stderr, stderr_base64] = texts;
            ExecutionResult {
                exit_code: exit_code.map(Into::into),
                signal,
                stdout,
                stdout_base64,
                stderr,
                stderr_base64,
                timed_out,
                cancelled,
                truncated,
                leftovers: leftovers.map(|(ended, running)| Leftovers { ended, running }),
            }
        },
    )
}

prop_compose! {
    fn outcome(result: &'static ExecutionResult<'static>)(
        member in option::of(any::<u64>()),
        name in option::of(name()),
        rank in option::of(any::<u32>()),
        status in select(Status::ALL.to_vec()),
        elapsed_ms in option::of(any::<u64>()),
        message in option::of(text()),
        started in option::of(any::<bool>()),
    ) -> Outcome<'static> {
        let known = Outcome::new(0, Name::known("x"), 0, status);
        let mut outcome = Outcome { member, name, rank, elapsed_ms, message, started, ..known };
        outcome.set_result(result);
        outcome
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome<'static>> {
    result().prop_flat_map(|result| outcome(Box::leak(Box::new(result))))
}

/// A line without its end.
fn content(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").expect("a line")
}

/// An envelope as serde writes it.
#[derive(serde::Serialize)]
struct Envelope<'a, P, R> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
}

/// The line of a request or a notification.
fn plain_request(id: Option<Id>, method: &str, params: impl Serialize) -> Vec<u8> {
    plain_line(Envelope {
        jsonrpc: "2.0",
        id,
        method: Some(method),
        params: Some(params),
        result: None::<()>,
    })
}

fn plain_result(id: Id, result: impl Serialize) -> Vec<u8> {
    plain_line(Envelope {
        jsonrpc: "2.0",
        id: Some(id),
        method: None,
        params: None::<()>,
        result: Some(result),
    })
}

fn plain_line(envelope: impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(&envelope).expect("JSON");
    line.push(b'\n');
    line
}

fn same(fast: &[u8], plain: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(str::from_utf8(fast), str::from_utf8(plain));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_execute_is_encoded_and_recognized_as_serde_does(
        id in 0..=MOST, member in 0..=MOST, rank: u32, name in name(), command in words(),
        tier in option::of(0..10u64), identity in option::of("[ !#-Z^-~]{1,20}"), role in option::of(name()),
        timeout_ms in option::of(any::<u64>()), window in option::of(any::<u64>()), stdin: bool,
    ) {
        let tier = tier.and_then(|number| Tier::new(number).ok());
        let identity = identity.and_then(|text| Identity::new(text).ok());
        let from = Origin { member, name, rank, tier, identity, role };
        let execute = Execute { from, command, timeout_ms, window, stdin };
        let line = fast_encode::execute(b"old".to_vec(), id, &execute);
        same(&line, &plain_request(Some(id.into()), method::EXECUTE, &execute))?;
        let shorter = Execute { timeout_ms: Some(7), ..execute };
        let expected = execute.timeout_ms.map(|_| fast_encode::execute(Vec::new(), id, &shorter));
        prop_assert_eq!(fast_encode::with_timeout(&line, 7), expected);
        let execute = shorter;
        let is_from = |name| execute_from(content(&line), name);
        prop_assert_eq!(is_from(b"web"), execute.from.name.starts_with("web").then_some(id));
    }

    #[test]
    fn an_outcome_is_encoded_and_recognized_as_serde_does(id in id(), outcome in any_outcome()) {
        let line = fast_encode::result(b"old".to_vec(), &id, &outcome);
        same(&line, &plain_result(id.clone(), &outcome))?;
        let number = id.number().filter(|id| *id <= MOST);
        let is_done = outcome.status == Status::Done && outcome.exit_code == Some(0);
        let expected = number.filter(|_| is_done && outcome.member.is_some());
        prop_assert_eq!(done(content(&line)), expected);

        let outcome = Outcome { send: Some(id), ..outcome };
        let line = fast_encode::outcome(Vec::new(), &outcome);
        same(&line, &plain_request(None, method::OUTCOME, &outcome))?;
        prop_assert_eq!(outcome_of_many(content(&line)), number);
    }

    #[test]
    fn an_output_for_a_sender_is_encoded_and_decoded_as_serde_does(
        send in id(), member in 0..=MOST, name in name(), rank: u32, stream in stream(),
        text in text(), is_base64: bool,
    ) {
        let (text, base64) = if is_base64 { (None, Some(text)) } else { (Some(text), None) };
        let output = SendOutput { send, member, name, rank, stream, text, base64 };
        let line = fast_encode::output(&output);
        same(&line, &plain_request(None, method::OUTPUT, &output))?;
        let decoded = SendOutput::of_plain_line(content(&line));
        let is_read = output.send.number().is_some_and(|id| id <= MOST);
        prop_assert_eq!(decoded, is_read.then_some(output));
    }

    #[test]
    fn an_output_of_an_executor_is_encoded_and_decoded_as_serde_does(
        id in 0..=MOST, stream in stream(), times in select(vec![1, 1, 1, 700]),
        bytes in prop_oneof![string().prop_map(String::into_bytes), any::<Vec<u8>>()],
    ) {
        let bytes = bytes.repeat(times);
        prop_assume!(!bytes.is_empty());
        let (text, base64) = encode_output(&bytes);
        let output = ExecutionOutput { id, stream, text, base64 };
        let mut lines = b"before\n".to_vec();
        fast_encode::execution_output(&mut lines, id, stream, &bytes);
        let line = lines.strip_prefix(b"before\n").expect("it is added");
        same(line, &plain_request(None, method::OUTPUT, &output))?;
        let decoded = match Plain::read(content(line)) {
            Some(Plain::Output(decoded)) => decoded,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(decoded, output);
    }

    #[test]
    fn an_input_is_encoded_and_decoded_as_serde_does(
        number in 0..=MOST, times in select(vec![1, 1, 1, 700]), end: bool,
        bytes in prop_oneof![string().prop_map(String::into_bytes), any::<Vec<u8>>()],
    ) {
        let bytes = bytes.repeat(times);
        let (text, base64) = encode_output(&bytes);
        let sent = SendInput { send: number.into(), text, base64, end };
        let line = fast_encode::send_input(number, &bytes, end);
        same(&line, &plain_request(None, method::INPUT, &sent))?;
        let decoded = match Plain::read(content(&line)) {
            Some(Plain::Input(decoded)) => decoded,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(&decoded, &sent);
        prop_assert_eq!(sent.bytes().unwrap_or(0), bytes.len() as u64);

        let passed = decoded.for_target(number);
        let line = fast_encode::input(&passed);
        same(&line, &plain_request(None, method::INPUT, &passed))?;
        prop_assert!(line.len() <= 2 * bytes.len() + 200);
        let received = ExecutionInput::of_plain_line(content(&line));
        prop_assert_eq!(received.as_ref(), Some(&passed));
        prop_assert_eq!(decode_output(passed.text, passed.base64), Some(bytes));
    }

    #[test]
    fn a_result_is_prepared_and_decoded_as_serde_does(number in 0..=MOST, result in result()) {
        let line = plain_result(number.into(), &result);
        let mut prepared = Vec::new();
        Prepared::new(&result_line(&0.into(), &result)).append(number, &mut prepared);
        same(&prepared, &line)?;
        let decoded = match Plain::read(content(&line)) {
            Some(Plain::Result { id, executed }) => (id, executed),
            // They are rare, and left to the other decoder.
            None if result.leftovers.is_some() => return Ok(()),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(decoded, (number, result));
    }

    #[test]
    fn a_send_is_prepared_and_decoded_as_serde_does(
        number in 0..=MOST, command in proptest::collection::vec(string(), 1..4),
        to in option::of(string()), timeout_ms in option::of(0..=MOST),
        window in option::of(0..=MOST), deadline_ms in option::of(0..=MOST), progress: bool,
        run in option::of(string()), stdin in option::of(stdin()),
    ) {
        let to_text = to.as_deref();
        let run_text = run.as_deref();
        let send = SendOut { command: &command, to: to_text, timeout_ms, window, deadline_ms, progress, run: run_text, stdin, detach: None };
        let line = plain_request(Some(number.into()), method::SEND, &send);
        let prepared = Prepared::new(&request_line(&0.into(), method::SEND, &send));
        let mut fast = Vec::new();
        prepared.append(number, &mut fast);
        same(&fast, &line)?;
        prop_assert!(fast.len() <= prepared.longest());
        let (id, decoded) = match Plain::read(content(&line)) {
            Some(Plain::Send { id, request }) => (id, request),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!((id, decoded.command.to_vec()), (number, command));
        prop_assert_eq!(decoded.to, to.map(Text::from));
        prop_assert_eq!((decoded.timeout_ms, decoded.window), (timeout_ms, window));
        prop_assert_eq!(decoded.run, run.map(Text::from));
        let asks = decoded.progress == Some(true);
        prop_assert_eq!((decoded.deadline_ms, asks), (deadline_ms, progress));
        prop_assert_eq!(decoded.stdin, stdin);
    }
}
