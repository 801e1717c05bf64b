//! Reading and writing the messages that travel most, as each end does it.

use common::wire::fast_decode::Plain;
use common::wire::message::{
    AnswerBody, Id, Message, notification_line, params, request_line, result_line,
};
use common::wire::name::Name;
use common::wire::{
    Accepted, Execute, ExecutionResult, Outcome, SendOut, SendOutput, Status, Tally, method,
};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const SEND: &str = r#"{"jsonrpc":"2.0","id":12345,"method":"send","params":{"to":"web1","command":["0123456789abcdef0123456789abcdef"]}}"#;
const EXECUTE: &str = r#"{"jsonrpc":"2.0","id":12345,"method":"execute","params":{"from":{"member":1,"name":"boss","rank":0},"command":["0123456789abcdef0123456789abcdef"]}}"#;
const ANSWER: &str =
    r#"{"jsonrpc":"2.0","id":12345,"result":{"exit_code":0,"stdout":"0123456789abcdef"}}"#;
const OUTCOME: &str = r#"{"jsonrpc":"2.0","id":12345,"result":{"member":2,"name":"web1","rank":1,"status":"done","exit_code":0,"stdout":"0123456789abcdef","elapsed_ms":0}}"#;
const OUTPUT_IN: &str = r#"{"jsonrpc":"2.0","method":"output","params":{"id":12345,"stream":"stdout","text":"0123456789abcdef"}}"#;
const OUTPUT_OUT: &str = r#"{"jsonrpc":"2.0","method":"output","params":{"send":12345,"member":2,"name":"web1","rank":1,"stream":"stdout","text":"0123456789abcdef"}}"#;
const ACCEPTED: &str =
    r#"{"jsonrpc":"2.0","method":"accepted","params":{"send":12345,"targets":100}}"#;
const TALLY: &str = r#"{"jsonrpc":"2.0","id":12345,"result":{"targets":100,"done":99,"lost":1}}"#;

/// In one pass, as the server reads what clients write most.
#[divan::bench_group]
mod read_in_one_pass {
    use super::*;

    fn read(bencher: Bencher<'_, '_>, line: &str) {
        assert!(Plain::read(line.as_bytes()).is_some());
        bencher
            .counter(BytesCount::of_str(line))
            .bench_local(|| Plain::read(black_box(line.as_bytes())).is_some());
    }

    #[divan::bench]
    fn send(bencher: Bencher<'_, '_>) {
        read(bencher, SEND);
    }

    #[divan::bench]
    fn answer(bencher: Bencher<'_, '_>) {
        read(bencher, ANSWER);
    }

    #[divan::bench]
    fn output(bencher: Bencher<'_, '_>) {
        read(bencher, OUTPUT_IN);
    }
}

/// Envelope first, as clients read everything, and the server what is not written as usual.
#[divan::bench_group]
mod read_step_by_step {
    use super::*;

    fn read<'a, T: serde::Deserialize<'a>>(bencher: Bencher<'_, '_>, line: &'a str) {
        let read = |line: &'a str| -> T {
            match Message::parse(line.as_bytes()).expect("a message") {
                Message::Answer {
                    body: AnswerBody::Result(raw),
                    ..
                } => serde_json::from_str(raw.get()).expect("a result"),
                Message::Request { params: raw, .. }
                | Message::Notification { params: raw, .. } => params(raw).expect("params"),
                other => panic!("{other:?}"),
            }
        };
        bencher
            .counter(BytesCount::of_str(line))
            .bench_local(|| read(black_box(line)));
    }

    #[divan::bench]
    fn send(bencher: Bencher<'_, '_>) {
        read::<common::wire::Send<'_>>(bencher, SEND);
    }

    #[divan::bench]
    fn execute(bencher: Bencher<'_, '_>) {
        read::<Execute<'_>>(bencher, EXECUTE);
    }

    #[divan::bench]
    fn answer(bencher: Bencher<'_, '_>) {
        read::<ExecutionResult<'_>>(bencher, ANSWER);
    }

    #[divan::bench]
    fn outcome(bencher: Bencher<'_, '_>) {
        read::<Outcome<'_>>(bencher, OUTCOME);
    }

    #[divan::bench]
    fn output(bencher: Bencher<'_, '_>) {
        read::<SendOutput<'_>>(bencher, OUTPUT_OUT);
    }

    #[divan::bench]
    fn accepted(bencher: Bencher<'_, '_>) {
        read::<Accepted>(bencher, ACCEPTED);
    }

    #[divan::bench]
    fn tally(bencher: Bencher<'_, '_>) {
        read::<Tally>(bencher, TALLY);
    }
}

/// As serde writes them; the fast encoders write most of what a server sends.
#[divan::bench_group]
mod write {
    use super::*;

    const ID: Id = Id::Integer(12345);

    #[divan::bench]
    fn send(bencher: Bencher<'_, '_>) {
        let command = ["0123456789abcdef0123456789abcdef".to_owned()];
        let send = SendOut {
            stdin: None,
            detach: None,
            command: &command,
            to: Some("web1"),
            timeout_ms: None,
            window: None,
            deadline_ms: None,
            progress: false,
            run: None,
        };
        bencher.bench_local(|| request_line(&ID, method::SEND, black_box(&send)));
    }

    #[divan::bench]
    fn execute(bencher: Bencher<'_, '_>) {
        let message = Message::parse(EXECUTE.as_bytes()).expect("a message");
        let Message::Request { params: raw, .. } = message else {
            panic!("it is a request");
        };
        let execute: Execute<'_> = params(raw).expect("params");
        bencher.bench_local(|| request_line(&ID, method::EXECUTE, black_box(&execute)));
    }

    #[divan::bench]
    fn answer(bencher: Bencher<'_, '_>) {
        let executed = ExecutionResult {
            exit_code: Some(0),
            stdout: Some("0123456789abcdef".into()),
            ..ExecutionResult::default()
        };
        bencher.bench_local(|| result_line(&ID, black_box(&executed)));
    }

    #[divan::bench]
    fn outcome(bencher: Bencher<'_, '_>) {
        let outcome = Outcome {
            exit_code: Some(0),
            stdout: Some("0123456789abcdef".into()),
            elapsed_ms: Some(0),
            ..Outcome::new(2, Name::known("web1"), 1, Status::Done)
        };
        bencher.bench_local(|| result_line(&ID, black_box(&outcome)));
    }

    #[divan::bench]
    fn output(bencher: Bencher<'_, '_>) {
        let message = Message::parse(OUTPUT_OUT.as_bytes()).expect("a message");
        let Message::Notification { params: raw, .. } = message else {
            panic!("it is a notification");
        };
        let output: SendOutput<'_> = params(raw).expect("params");
        bencher.bench_local(|| notification_line(method::OUTPUT, black_box(&output)));
    }

    #[divan::bench]
    fn accepted(bencher: Bencher<'_, '_>) {
        let accepted = Accepted {
            send: ID,
            targets: 100,
        };
        bencher.bench_local(|| notification_line(method::ACCEPTED, black_box(&accepted)));
    }

    #[divan::bench]
    fn tally(bencher: Bencher<'_, '_>) {
        let tally: Tally = [(Status::Done, 99), (Status::Lost, 1)]
            .into_iter()
            .collect();
        bencher.bench_local(|| result_line(&ID, black_box(&tally)));
    }
}
