//! The lines of a command's way, put together from pieces that are ready: they are what a
//! server writes most, and a serializer's care for every byte would cost more than all the
//! rest. What a peer wrote passes as it came; a name needs no escapes.

use crate::dispatch::command::{Command, Ending, Target};
use crate::member::Member;
use common::wire::message::Id;
use common::wire::selector::Single;
use common::wire::{ExecutionResult, OutputStream, Status, Text, Words};

/// Bytes of a line besides what peers wrote into it.
const AROUND: usize = 256;

/// The beginning of an outcome that is one of several.
const NOTIFICATION: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"outcome\",\"params\":{\"send\":";

/// A line in the making.
struct Pieces(Vec<u8>);

impl Pieces {
    /// In a buffer, whatever was in it, with room for what peers wrote into the line.
    fn new(mut buffer: Vec<u8>, content: usize) -> Pieces {
        buffer.clear();
        buffer.reserve(AROUND + content);
        Pieces(buffer)
    }

    fn add(&mut self, piece: &str) -> &mut Pieces {
        self.0.extend_from_slice(piece.as_bytes());
        self
    }

    fn number(&mut self, number: impl itoa::Integer) -> &mut Pieces {
        let mut buffer = itoa::Buffer::new();
        self.add(buffer.format(number))
    }

    fn id(&mut self, id: &Id) -> &mut Pieces {
        match id {
            Id::Integer(number) => self.number(*number),
            Id::Large(number) => self.number(*number),
            Id::Text(text) => self.string(text),
        }
    }

    /// A string that did not come from a line as it is.
    fn string(&mut self, text: &str) -> &mut Pieces {
        serde_json::to_writer(&mut self.0, text)
            .expect("a string becomes JSON, and memory takes it");
        self
    }

    fn words(&mut self, words: Words<'_>) -> &mut Pieces {
        words.append_to(&mut self.0);
        self
    }

    fn text(&mut self, text: &Text<'_>) -> &mut Pieces {
        match text.as_json() {
            Some(raw) => self.add(raw),
            None => self.string(&text.decoded()),
        }
    }

    /// `"member":1,"name":"x","rank":0`
    fn who(&mut self, member: &Member, rank: u32) -> &mut Pieces {
        self.add(&member.label).number(rank)
    }

    fn end(mut self, end: &str) -> Vec<u8> {
        self.add(end).add("\n");
        self.0
    }
}

/// The `execute` of a command.
pub(crate) fn execute(
    buffer: Vec<u8>,
    command: &Command,
    sender_rank: u32,
    words: Words<'_>,
) -> Vec<u8> {
    let mut line = Pieces::new(buffer, words.as_json().len());
    line.add("{\"jsonrpc\":\"2.0\",\"id\":").number(command.id);
    line.add(",\"method\":\"execute\",\"params\":{\"from\":{")
        .who(&command.sender, sender_rank);
    line.add("},\"command\":").words(words);
    if let Some(timeout) = command.timeout {
        line.add(",\"timeout_ms\":").number(timeout);
    }
    if let Some(window) = command.window_share() {
        line.add(",\"window\":").number(window);
    }
    line.end("}}")
}

/// An outcome: the answer to the `send`, or, where that has several, a notification.
pub(crate) fn outcome(
    buffer: Vec<u8>,
    command: &Command,
    target: &Target,
    status: Status,
    ending: &Ending<'_>,
) -> Vec<u8> {
    let executed = &ending.executed;
    let outputs = outputs(executed);
    let content: usize = outputs
        .iter()
        .flat_map(|(_, t)| *t)
        .map(|t| t.as_json().map_or(t.len(), str::len))
        .sum();
    let mut line = Pieces::new(buffer, content);
    if command.tally.is_some() {
        line.add(NOTIFICATION).id(&command.send).add(",");
    } else {
        line.add("{\"jsonrpc\":\"2.0\",\"id\":")
            .id(&command.send)
            .add(",\"result\":{");
    }
    line.who(&target.member, target.rank);
    line.add(",\"status\":\"").add(status.name()).add("\"");
    if let Some(exit_code) = executed.exit_code {
        line.add(",\"exit_code\":").number(exit_code);
    }
    for (key, text) in outputs {
        if let Some(text) = text {
            line.add(key).text(text);
        }
    }
    if let Some(elapsed_ms) = ending.elapsed_ms {
        line.add(",\"elapsed_ms\":").number(elapsed_ms);
    }
    if executed.truncated {
        line.add(",\"truncated\":true");
    }
    if let Some(leftovers) = &executed.leftovers {
        line.add(",\"leftovers\":{\"ended\":")
            .number(leftovers.ended);
        line.add(",\"running\":").number(leftovers.running).add("}");
    }
    if let Some(message) = &ending.message {
        line.add(",\"message\":").text(message);
    }
    if let Some(started) = ending.started {
        line.add(if started {
            ",\"started\":true"
        } else {
            ",\"started\":false"
        });
    }
    line.end("}}")
}

/// The outcome of a client that a selector names and that is not here.
pub(crate) fn absent(
    buffer: Vec<u8>,
    command: &Command,
    named: &Single<'_>,
    message: &str,
) -> Vec<u8> {
    let mut line = Pieces::new(buffer, message.len());
    line.add(NOTIFICATION).id(&command.send);
    match named {
        Single::Name(name) => line.add(",\"name\":").string(name),
        Single::Rank(rank) => line.add(",\"rank\":").number(*rank),
    };
    line.add(",\"status\":\"").add(Status::Absent.name());
    line.add("\",\"message\":").string(message);
    line.end("}}")
}

/// What a command wrote, for its sender: `text`, or `base64` where it is not UTF-8.
pub(crate) fn output(
    command: &Command,
    target: &Target,
    stream: OutputStream,
    is_base64: bool,
    output: &Text<'_>,
) -> Vec<u8> {
    let len = output.as_json().map_or(output.len(), str::len);
    let mut line = Pieces::new(Vec::new(), len);
    line.add("{\"jsonrpc\":\"2.0\",\"method\":\"output\",\"params\":{\"send\":")
        .id(&command.send);
    line.add(",").who(&target.member, target.rank);
    line.add(match stream {
        OutputStream::Stdout => ",\"stream\":\"stdout\"",
        OutputStream::Stderr => ",\"stream\":\"stderr\"",
    });
    line.add(if is_base64 {
        ",\"base64\":"
    } else {
        ",\"text\":"
    })
    .text(output);
    line.end("}}")
}

/// The strings of an outcome, each with what comes before it.
fn outputs<'a, 'b>(executed: &'b ExecutionResult<'a>) -> [(&'static str, Option<&'b Text<'a>>); 5] {
    [
        (",\"signal\":", executed.signal.as_ref()),
        (",\"stdout\":", executed.stdout.as_ref()),
        (",\"stdout_base64\":", executed.stdout_base64.as_ref()),
        (",\"stderr\":", executed.stderr.as_ref()),
        (",\"stderr_base64\":", executed.stderr_base64.as_ref()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::command::{Counts, Targets};
    use common::memory::Charge;
    use common::sys::sync::Arc;
    use common::wire::message::{AnswerBody, Message};
    use common::wire::name::Name;
    use common::wire::{Execute, Leftovers, Outcome, SendOutput, method};
    use serde_json::value::RawValue;

    fn command(send: Id, tally: Option<Counts>) -> Command {
        let member = crate::testing::member(9, "web1", 1);
        Command {
            id: 7,
            send,
            sender: self::member(3),
            targets: Targets::One(Target { member, rank: 4 }),
            timeout: Some(u64::MAX),
            window: Some(5000),
            tally,
            _charge: Charge::default(),
            on_record: None,
        }
    }

    fn member(id: u64) -> Arc<Member> {
        crate::testing::member(id, "a-boss.1", 0)
    }

    fn parsed(line: &[u8]) -> Message<'_> {
        let line = line.strip_suffix(b"\n").expect("a line");
        Message::parse(line).unwrap_or_else(|e| panic!("{e:?}"))
    }

    #[test]
    fn an_execute_is_what_the_protocol_says() {
        let words: &RawValue = serde_json::from_str(r#"["a", "\u00e4\n"]"#).expect("JSON");
        let words = serde_json::from_str(words.get()).expect("words");
        let line = execute(Vec::new(), &command(Id::Integer(1), None), 2, words);
        let Message::Request {
            id,
            method,
            params: Some(params),
        } = parsed(&line)
        else {
            panic!("it is a request");
        };
        assert_eq!((id, &*method), (Id::Integer(7), method::EXECUTE));
        let read: Execute<'_> = serde_json::from_str(params.get()).expect("params");
        assert_eq!(
            (read.from.member, &*read.from.name, read.from.rank),
            (3, "a-boss.1", 2)
        );
        assert_eq!(read.command.as_json(), r#"["a", "\u00e4\n"]"#);
        assert_eq!((read.timeout_ms, read.window), (Some(u64::MAX), Some(5000)));
    }

    #[test]
    fn an_output_is_what_the_protocol_says() {
        let command = command(Id::Text("a\"b".into()), None);
        for (stream, is_base64, json) in [
            (OutputStream::Stdout, false, r#""\u00e4\n""#),
            (OutputStream::Stderr, true, r#""/w==""#),
        ] {
            let text: Text<'_> = serde_json::from_str(json).expect("a string");
            let line = output(&command, &command.targets[0], stream, is_base64, &text);
            let Message::Notification {
                method,
                params: Some(params),
            } = parsed(&line)
            else {
                panic!("it is a notification");
            };
            assert_eq!(method, method::OUTPUT);
            let read: SendOutput<'_> = serde_json::from_str(params.get()).expect("an output");
            assert_eq!((read.send, read.stream), (command.send.clone(), stream));
            assert_eq!((read.member, &*read.name, read.rank), (9, "web1", 4));
            let expected = is_base64.then(|| text.clone());
            assert_eq!(read.base64, expected);
            assert_eq!(read.text.is_some(), !is_base64);
            assert!(params.get().contains(json), "it passes as it came");
        }
    }

    #[test]
    fn an_absent_outcome_is_what_the_protocol_says() {
        let command = command(Id::Text("a\"b".into()), Some(Counts::new(1)));
        for (named, name, rank) in [
            (Single::Name("nope".into()), Some("nope"), None),
            (Single::Rank(7), None, Some(7)),
        ] {
            let line = absent(Vec::new(), &command, &named, "no \"nope\"");
            let Message::Notification {
                method,
                params: Some(params),
            } = parsed(&line)
            else {
                panic!("it is a notification");
            };
            assert_eq!(method, method::OUTCOME);
            let read: Outcome<'_> = serde_json::from_str(params.get()).expect("an outcome");
            let expected = Outcome {
                send: Some(command.send.clone()),
                member: None,
                name: name.map(Name::known),
                rank,
                message: Some("no \"nope\"".into()),
                ..Outcome::new(0, Name::known("x"), 0, Status::Absent)
            };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn an_outcome_is_what_the_protocol_says() {
        let raw = r#"{"exit_code":-3,"signal":"SIGKILL","stdout":"\u00e4\"","stderr_base64":"/w==",
            "leftovers":{"ended":3,"running":4294967295}}"#;
        let ending = || Ending {
            executed: ExecutionResult {
                truncated: true,
                ..serde_json::from_str(raw).expect("a result")
            },
            message: Some(String::from("\"no\"\n").into()),
            elapsed_ms: Some(12),
            started: Some(false),
            output: None,
        };
        let text = Id::Text("a\"b".into());
        for (send, tally) in [
            (Id::Integer(-5), None),
            (text.clone(), Some(Counts::new(1))),
        ] {
            let is_many = tally.is_some();
            let command = command(send.clone(), tally);
            let line = outcome(
                Vec::new(),
                &command,
                &command.targets[0],
                Status::Failed,
                &ending(),
            );
            let result = match parsed(&line) {
                Message::Answer {
                    id,
                    body: AnswerBody::Result(result),
                } => {
                    assert_eq!(id, Some(send.clone()));
                    result.get()
                }
                Message::Notification {
                    method,
                    params: Some(params),
                } => {
                    assert_eq!(method, method::OUTCOME);
                    params.get()
                }
                other => panic!("{other:?}"),
            };
            let read: Outcome<'_> = serde_json::from_str(result).expect("an outcome");
            let expected = Outcome {
                send: is_many.then(|| text.clone()),
                exit_code: Some(-3),
                signal: Some("SIGKILL".into()),
                stdout: Some("ä\"".into()),
                stderr_base64: Some("/w==".into()),
                elapsed_ms: Some(12),
                truncated: true,
                leftovers: Some(Leftovers {
                    ended: 3,
                    running: u32::MAX,
                }),
                message: Some("\"no\"\n".into()),
                started: Some(false),
                ..Outcome::new(
                    9,
                    common::wire::name::Name::known("web1"),
                    4,
                    Status::Failed,
                )
            };
            assert_eq!(read, expected);
            assert!(
                result.contains(r#""stdout":"\u00e4\"""#),
                "it passes as it came: {result}"
            );
        }
    }
}
