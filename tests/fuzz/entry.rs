//! What is done with any bytes at all, and what has to hold then: shared by the fuzz targets
//! beside this and by a test that gives it some thousands of inputs on every run.
//!
//! An entry panics where something does not hold. What a reader makes of its input is held
//! against a second, slower way to read the same.

use std::io::{self, Read};
use std::path::Path;

use client::policy::{Policy, Sender};
use common::net::line_reader::LineReader;
use common::wire::Tags;
use common::wire::fast_decode::Plain;
use common::wire::message::{AnswerBody, Id, Malformed, Message, RpcError, error_line, params};
use common::wire::name::check_name;
use common::wire::selector::{Selector, Single, Subject};
use common::wire::{
    Cancel, ExecutionInputConsumed, ExecutionOutput, ExecutionResult, Join, MembersQuery, Send,
    SendConsumed, SendInput, Tier, decode_output, method,
};
use serde_json::Value;
use serde_json::value::RawValue;

/// An entry, by the name of its fuzz target.
pub(crate) type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const ENTRIES: [Entry; 5] = [
    ("line", line),
    ("message", message),
    ("plain", plain),
    ("selector", selector),
    ("policy", policy),
];

/// Bytes of a message about any input.
const LONGEST_MESSAGE: usize = 1000;

/// Bytes that a reader may ask for at a time where no line needs as much: what it reads ahead
/// for throughput.
const READ_AHEAD: usize = 64 << 10;

/// Splits bytes into lines, read in any pieces and with any bound, and does so as a plain
/// search for line ends does. The first four bytes say the bound and the pieces.
pub(crate) fn line(data: &[u8]) {
    let Some(([low, high, size, more], stream)) = data.split_first_chunk() else {
        return;
    };
    let limit = usize::from(u16::from_le_bytes([*low, *high])) + 1;
    let mut pieces = Pieces {
        left: stream,
        sizes: [usize::from(*size) + 1, usize::from(*more) * 16 + 1],
        at_most: limit.max(READ_AHEAD) + 1,
    };
    let mut reader = LineReader::new(limit);
    let mut expected = stream;
    loop {
        match reader.next_line() {
            Err(too_long) => {
                let len = expected.iter().position(|b| *b == b'\n');
                assert!(len.map_or(expected.len(), |at| at + 1) >= limit);
                assert_eq!(too_long.limit, limit);
                return;
            }
            Ok(Some(line)) => {
                let at = expected.iter().position(|b| *b == b'\n');
                let (first, rest) = expected.split_at(at.expect("a line has an end") + 1);
                assert!(first.len() <= limit);
                let first = &first[..first.len() - 1];
                assert_eq!(line, first.strip_suffix(b"\r").unwrap_or(first));
                expected = rest;
            }
            Ok(None) => {
                if reader.fill(&mut pieces).expect("memory never fails") == 0 {
                    break;
                }
            }
        }
    }
    assert!(!expected.contains(&b'\n') && expected.len() < limit);
    assert_eq!(reader.has_partial_line(), !expected.is_empty());
}

/// Gives its bytes in pieces of two sizes by turns.
struct Pieces<'a> {
    left: &'a [u8],
    sizes: [usize; 2],
    /// No more than this is ever asked for: what is held has a bound.
    at_most: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(!into.is_empty() && into.len() <= self.at_most);
        let n = self.sizes[0].min(into.len()).min(self.left.len());
        self.sizes.reverse();
        let (piece, left) = self.left.split_at(n);
        into[..n].copy_from_slice(piece);
        self.left = left;
        Ok(n)
    }
}

/// Reads a line as a message, which agrees with what a JSON library makes of it; anything that
/// is wrong gives an answer that is a line of JSON.
pub(crate) fn message(line: &[u8]) {
    let value = serde_json::from_slice::<Value>(line);
    match Message::parse(line) {
        Err(malformed) => {
            let is_json = malformed.error.code != -32700;
            // What this library does not take (too deep, say) may still be JSON.
            assert!(is_json || value.is_err(), "it is JSON: {}", malformed.error);
            check_malformed(malformed);
        }
        Ok(Message::Request { id, method, params }) => {
            check_envelope(&value, Some(&id), Some(&method));
            check_params(params);
        }
        Ok(Message::Notification { method, params }) => {
            check_envelope(&value, None, Some(&method));
            check_params(params);
        }
        Ok(Message::Answer { id, body }) => {
            let is_malformed = matches!(body, AnswerBody::Malformed);
            if !is_malformed {
                check_envelope(&value, id.as_ref(), None);
            }
            if let AnswerBody::Result(raw) = body {
                let _ = serde_json::from_str::<ExecutionResult<'_>>(raw.get());
            }
            if let AnswerBody::Error(raw) = body {
                let _ = RpcError::parse(raw);
            }
        }
    }
}

fn check_envelope(value: &serde_json::Result<Value>, id: Option<&Id>, method: Option<&str>) {
    let Ok(value) = value else {
        return;
    };
    assert!(value.is_object());
    assert_eq!(value.get("method").and_then(Value::as_str), method);
    if let Some(id) = id {
        let as_it_came = match id {
            // That is what a JSON library makes of -0.
            Id::Integer(0) => value["id"].as_f64() == Some(0.0),
            Id::Integer(number) => value["id"] == *number,
            Id::Large(number) => value["id"] == *number,
            Id::Text(text) => value["id"] == **text,
        };
        assert!(as_it_came, "{id} is not {}", value["id"]);
    }
}

fn check_malformed(malformed: Malformed) {
    assert!(malformed.error.message.len() <= LONGEST_MESSAGE);
    let line = error_line(malformed.id, &malformed.error);
    let (end, line) = line.split_last().expect("it has an end");
    assert!(*end == b'\n' && !line.contains(&b'\n'));
    let answer: Value = serde_json::from_slice(line).expect("an answer is JSON");
    assert_eq!(answer["error"]["code"], malformed.error.code);
}

fn check_params(raw: Option<&RawValue>) {
    fn read<'a, T: serde::Deserialize<'a>>(raw: Option<&'a RawValue>) {
        if let Err(error) = params::<T>(raw) {
            check_malformed(Malformed { id: None, error });
        }
    }
    read::<Join<'_>>(raw);
    read::<Send<'_>>(raw);
    read::<MembersQuery>(raw);
    read::<Cancel>(raw);
    read::<SendConsumed>(raw);
    read::<ExecutionOutput<'_>>(raw);
    read::<SendInput<'_>>(raw);
    read::<ExecutionInputConsumed>(raw);
}

/// What is read in one pass is what the long way reads.
pub(crate) fn plain(line: &[u8]) {
    let Some(plain) = Plain::read(line) else {
        return;
    };
    let long_way = Message::parse(line).unwrap_or_else(|e| panic!("{}", e.error));
    match (plain, long_way) {
        (
            Plain::Send { id, request },
            Message::Request {
                id: other,
                method,
                params: raw,
            },
        ) => {
            assert_eq!((Id::from(id), method::SEND), (other, &*method));
            let read: Send<'_> = params(raw).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(format!("{request:?}"), format!("{read:?}"));
            assert_eq!(request.command.to_vec(), read.command.to_vec());
        }
        (
            Plain::Result { id, executed },
            Message::Answer {
                id: other,
                body: AnswerBody::Result(raw),
            },
        ) => {
            assert_eq!(Some(Id::from(id)), other);
            let read: ExecutionResult<'_> =
                serde_json::from_str(raw.get()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(executed, read);
        }
        (
            Plain::Output(output),
            Message::Notification {
                method,
                params: raw,
            },
        ) => {
            assert_eq!(method, method::OUTPUT);
            let read: ExecutionOutput<'_> = params(raw).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(format!("{output:?}"), format!("{read:?}"));
        }
        (
            Plain::Input(input),
            Message::Notification {
                method,
                params: raw,
            },
        ) => {
            assert_eq!(method, method::INPUT);
            let read: SendInput<'_> = params(raw).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(input, read);
            if let Some(bytes) = input.bytes() {
                let passed = input.for_target(1);
                let decoded = decode_output(passed.text, passed.base64).map(|text| text.len());
                assert_eq!(decoded, usize::try_from(bytes).ok());
            }
        }
        (plain, long_way) => panic!("{plain:?} is not {long_way:?}"),
    }
}

/// Reads a selector, and finds with it the clients that its items name, looked at one by one.
pub(crate) fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = check_name(text).inspect_err(|message| assert!(message.len() <= LONGEST_MESSAGE));
    let list = match Selector::parse(text) {
        Ok(Selector::List(list)) => list,
        Ok(Selector::NextOf(list) | Selector::LeastLoadedOf(list)) => {
            let (_, text) = text.split_once(':').expect("a list behind a colon");
            assert_eq!(
                list.only_excludes(),
                !items(text).any(|(is_out, _)| !is_out)
            );
            return;
        }
        Ok(selector) => {
            assert!(
                !text.contains([',', '!', '*', '?', '&', '=', '[']),
                "it is a list"
            );
            let is_name = selector == Selector::Single(Single::Name(text.into()));
            assert!(is_name || check_name(text).is_err(), "a name is no rank");
            return;
        }
        Err(error) => return assert!(error.to_string().len() <= LONGEST_MESSAGE),
    };
    assert!(check_name(text).is_err(), "a name is no list");
    let (out, of): (Vec<_>, Vec<_>) = items(text).partition(|(is_out, _)| *is_out);
    assert_eq!(list.only_excludes(), of.is_empty());
    let bare: Vec<&str> = of.iter().map(|(_, item)| *item).collect();
    for one in list.named() {
        let names_it = |item: &&str| match one {
            Single::Rank(rank) => item.parse() == Ok(*rank),
            Single::Member(number) => item.strip_prefix('#').map(str::parse) == Some(Ok(*number)),
            Single::Name(name) => item == name || is_in_node_set(item, name),
        };
        assert!(bare.iter().any(names_it), "{one}");
    }
    let names = [
        "web1", "web2", "a", "client-3", "a-1", "x.y_z", "B", "10.0.0.7", "1-2-3",
    ];
    for (rank, name) in (0..).zip(names) {
        let mut tags = Tags::default();
        tags.add("role", name).expect("a name is a value");
        let client = Subject {
            rank: Some(rank),
            member: Some(u64::from(rank) + 1),
            name: Some(name),
            tags: Some(&tags),
        };
        let finds = |(_, item): &(bool, &str)| item.split('&').all(|item| finds(item, rank, name));
        assert_eq!(list.includes(&client), of.iter().any(finds), "{name}");
        assert_eq!(list.excludes(&client), out.iter().any(finds), "{name}");
    }
}

/// The items of a list, and whether each leaves clients out.
fn items(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut depth = 0;
    let items = text.split(move |c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth == 0
    });
    items.map(|item| (item.starts_with('!'), item.trim_start_matches('!')))
}

/// Whether a node set has a name, found by reading both from the left.
fn is_in_node_set(set: &str, name: &str) -> bool {
    let Some((before, rest)) = set.split_once('[') else {
        return set == name;
    };
    let (Some(name), Some((numbers, set))) = (name.strip_prefix(before), rest.split_once(']'))
    else {
        return false;
    };
    let has = |digits: &str| {
        numbers.split(',').any(|part| match part.split_once('-') {
            None => part == digits,
            Some((first, last)) => {
                let number = |text: &str| text.parse::<u64>().expect("a number of a node set");
                let is_right_width = match digits.starts_with('0') && digits.len() > 1 {
                    true => digits.len() == first.len(),
                    false => digits.len() >= first.len(),
                };
                is_right_width
                    && digits
                        .parse::<u64>()
                        .is_ok_and(|n| number(first) <= n && n <= number(last))
            }
        })
    };
    let most = name.bytes().take_while(u8::is_ascii_digit).count();
    (1..=most).any(|end| has(&name[..end]) && is_in_node_set(set, &name[end..]))
}

fn finds(item: &str, rank: u32, name: &str) -> bool {
    if let Some(number) = item.strip_prefix('#') {
        return number.parse() == Ok(u64::from(rank) + 1);
    }
    if let Some((key, value)) = item.split_once('=') {
        return key == "role" && matches_pattern(value.as_bytes(), name.as_bytes());
    }
    if item.contains('[') {
        return is_in_node_set(item, name);
    }
    let ends = item.split_once('-').unwrap_or((item, item));
    if let (Ok(first), Ok(last)) = (ends.0.parse::<u32>(), ends.1.parse::<u32>()) {
        return (first..=last).contains(&rank);
    }
    matches_pattern(item.as_bytes(), name.as_bytes())
}

/// Whether a name matches a pattern: which beginnings of the name each beginning of the
/// pattern matches, one after the other.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    let mut matched: Vec<bool> = (0..=name.len()).map(|n| n == 0).collect();
    for unit in pattern {
        let before = matched.clone();
        for n in 0..=name.len() {
            let longer = n > 0 && before[n - 1];
            matched[n] = match unit {
                b'*' => before[n] || n > 0 && matched[n - 1],
                b'?' => longer,
                _ => longer && name[n - 1] == *unit,
            };
        }
    }
    matched.last() == Some(&true)
}

/// Reads a policy; the words after its last line of `---` are tried with it. What is wrong is
/// one line, and what would be run is what the policy names.
pub(crate) fn policy(data: &[u8]) {
    const WORDS: &[u8] = b"\n---\n";
    let at = data
        .windows(WORDS.len())
        .rposition(|window| window == WORDS);
    let (text, words) = match at {
        Some(at) => (&data[..=at], &data[at + WORDS.len()..]),
        None => (data, &[][..]),
    };
    let policy = match Policy::read(text, Path::new("policy.toml")) {
        Ok(policy) => policy,
        Err(error) => return check_sentence(&error.to_string()),
    };
    assert!(policy.commands().len() > 0);
    assert_eq!(policy.to_string().lines().count(), policy.commands().len());
    let words = String::from_utf8_lossy(words);
    let words: Vec<String> = words.split('\n').map(String::from).collect();
    let sender = Sender {
        tier: Some(Tier::HIGHEST),
        ..Sender::default()
    };
    match policy.plan(&sender, &words) {
        Err(refusal) => check_sentence(&refusal.to_string()),
        Ok(plan) => {
            let mut commands = policy.commands();
            let (_, command) = commands
                .find(|(name, _)| *name == words[0])
                .expect("it is named");
            let (own, rest) = plan.argv.split_at(command.run.len());
            assert_eq!((own, rest), (&command.run[..], &words[1..]));
            assert!(own[0].starts_with('/') && rest.iter().all(|word| !word.contains('\0')));
        }
    }
}

fn check_sentence(sentence: &str) {
    // Several texts of the file may stand in it, each cut short.
    assert!(!sentence.is_empty() && sentence.len() <= 20 * LONGEST_MESSAGE);
    assert!(!sentence.contains(char::is_control), "{sentence:?}");
}
