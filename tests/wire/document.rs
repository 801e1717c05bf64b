//! Holds the protocol's document to the code: the clients that it shows run, the exchange
//! that it tells takes place, and its tables say what the code says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::expected;
use crate::support::{dial, skipped};
use common::limits;
use common::wire::message::{Code, Message};
use common::wire::{ByeReason, Status};
use serde_json::{Value, json};
use server::{Config, ExpectedMachines, Running, Server};

const DOCUMENT: &str = include_str!("../../common/PROTOCOL.md");

/// How long anything may take that is waited for: far more than it does on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_clients_of_the_document_work() {
    if !python_is_installed() {
        return;
    }
    let running = start(Config::default());
    let sender = Script::start("sender.py", running.address(), &["hello", "wörld"]);
    assert_eq!(json(&sender.line())["result"]["rank"], 0);
    let executor = Script::start("executor.py", running.address(), &["web1"]);
    let answer = json(&sender.line());
    let outcome = &answer["result"];
    assert_eq!(outcome["name"], "web1", "{answer}");
    assert_eq!(outcome["status"], "not_found", "hello is none of its words");
    sender.ends_well();

    let sender = Script::start("sender.py", running.address(), &["shout", "hello", "wörld"]);
    assert_eq!(
        json(&sender.line())["result"]["rank"],
        0,
        "above web1, which came first"
    );
    let answer = json(&sender.line());
    let outcome = &answer["result"];
    assert_eq!(outcome["name"], "web1", "{answer}");
    assert_eq!(outcome["stdout"], "HELLO WÖRLD\n", "{answer}");
    sender.ends_well();

    running.stop().expect("the server ran");
    executor.ends_well();
}

/// Against a server of the test's own, which says what a real one only says in time.
#[test]
fn the_executor_of_the_document_answers_pings_and_ignores_what_it_does_not_know() {
    if !python_is_installed() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    let (accepting, accepted) = mpsc::channel();
    std::thread::spawn(move || accepting.send(listener.accept()));
    let executor = Script::start("executor.py", address, &["web1"]);
    let stream = accepted.recv_timeout(PATIENCE).expect("it dials");
    let mut executor_end = Client::on(stream.expect("it dials").0);

    let join = executor_end.read();
    let params = json!({"protocol": 1, "name": "web1", "tier": 9, "rank_news": false});
    assert_eq!(join["params"], params);
    for line in [
        r#"{"jsonrpc":"2.0","id":"join","result":{"member":1,"name":"web1"}}"#,
        r#"{"jsonrpc":"2.0","method":"rank","params":{"rank":0,"members":1}}"#,
        r#"{"jsonrpc":"2.0","method":"of a later version","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":8,"method":"execute","params":{"command":["shout","é"],"new":1}}"#,
    ] {
        executor_end.write(line);
    }
    let pong = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
    assert_eq!(executor_end.read(), pong);
    let answer = json!({"jsonrpc": "2.0", "id": 8, "result": {"exit_code": 0, "stdout": "É\n"}});
    assert_eq!(executor_end.read(), answer);
    drop(executor_end);
    executor.ends_well();
}

/// Says every line of the exchange to a server and hears every answer in it.
#[test]
fn the_exchange_of_the_document_takes_place() {
    let file = expected::File::new("names = [\"web[1-2]\"]");
    let config = Config {
        max_clients: 10,
        expected: Some(ExpectedMachines::load(&file.path()).expect("names")),
        ..Config::default()
    };
    let running = start(config);
    let exchange = exchange();
    let mut clients = BTreeMap::new();
    for (name, _, _) in &exchange {
        let connect = || Client::on(dial(running.address()));
        clients.entry(name).or_insert_with(connect);
    }
    for (name, direction, line) in &exchange {
        let client = clients.get_mut(name).expect("all are connected");
        if *direction == '→' {
            client.write(line);
            continue;
        }
        let told = json(line);
        if told["method"] == "bye" {
            running.handle().stop();
        }
        let heard = client.read();
        assert_eq!(comparable(heard.clone()), comparable(told), "{heard}");
    }
    running.stop().expect("the server ran");
}

#[test]
fn the_lines_of_the_document_are_messages() {
    let lines = DOCUMENT.lines().filter(|line| line.starts_with(['→', '←']));
    let mut count = 0;
    for line in lines {
        let text = line.trim_start_matches(['→', '←', ' ']);
        let message = json(text);
        let is_batch = message.is_array();
        assert_eq!(Message::parse(text.as_bytes()).is_ok(), !is_batch, "{text}");
        count += 1;
    }
    assert_eq!(count, exchange().len(), "all of them are the exchange's");
    assert!(count > 40, "{count} lines");
    for block in blocks("json") {
        json(block);
    }
}

#[test]
fn the_errors_of_the_document_are_those_of_the_code() {
    let mut told = Vec::new();
    for row in rows("## 4. Errors") {
        let number: i64 = row[0].parse().expect("a code");
        told.push((number, row[1].trim_matches('`').to_owned()));
    }
    let numbers = (-33_000..-32_000).chain(0..1000);
    let known: BTreeSet<(i64, String)> = numbers
        .filter_map(Code::from_number)
        .map(|code| (code.number(), code.reason().to_owned()))
        .collect();
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), known);
    assert_eq!(told.len(), known.len(), "each has one row");
}

#[test]
fn the_statuses_and_reasons_of_the_document_are_those_of_the_code() {
    let told: Vec<String> = rows("## 9. Outcomes").map(|row| row[0].clone()).collect();
    let told: Vec<&str> = told.iter().flat_map(|cell| names(cell)).collect();
    assert_eq!(told, Status::ALL.map(Status::name));
    for row in rows("## 14. Leaving, and being closed") {
        let reason = names(&row[0]).next().expect("a reason");
        let known: ByeReason = serde_json::from_value(json!(reason)).expect("any word is one");
        assert_ne!(known, ByeReason::Other, "{reason}");
    }
}

#[test]
fn the_limits_of_the_document_are_those_of_the_code() {
    let bytes = |n: u64| format!("{} bytes", grouped(n));
    let seconds = |d: Duration| format!("{} s", d.as_secs_f64());
    let of_server = Config::default();
    let expected: BTreeMap<&str, String> = [
        ("MAX_LINE", bytes(limits::MAX_LINE as u64)),
        (
            "MAX_LINE_BEFORE_JOIN",
            bytes(limits::MAX_LINE_BEFORE_JOIN as u64),
        ),
        ("LINE_HEADROOM", bytes(limits::LINE_HEADROOM as u64)),
        ("LINE_DEADLINE", seconds(limits::LINE_DEADLINE)),
        ("MAX_ID", bytes(limits::MAX_ID as u64)),
        ("MAX_NAME", bytes(limits::MAX_NAME as u64)),
        ("MAX_IDENTITY", bytes(limits::MAX_IDENTITY as u64)),
        ("MAX_SLOTS", grouped(limits::MAX_SLOTS.into())),
        ("MAX_SELECTOR", bytes(limits::MAX_SELECTOR as u64)),
        (
            "MAX_SELECTOR_PATTERNS",
            grouped(limits::MAX_SELECTOR_PATTERNS as u64),
        ),
        ("MAX_PATTERN", grouped(limits::MAX_PATTERN as u64)),
        (
            "MAX_SELECTOR_ITEMS",
            grouped(limits::MAX_SELECTOR_ITEMS as u64),
        ),
        ("MAX_SELECTOR_NAMES", grouped(limits::MAX_SELECTOR_NAMES)),
        ("MAX_TAGS", grouped(limits::MAX_TAGS as u64)),
        ("MAX_TAG_KEY", grouped(limits::MAX_TAG_KEY as u64)),
        ("MAX_TAG_VALUE", grouped(limits::MAX_TAG_VALUE as u64)),
        ("MAX_OUTPUT", bytes(limits::MAX_OUTPUT)),
        ("MAX_OUTPUT_SHARE", bytes(limits::MAX_OUTPUT_SHARE)),
        ("MIN_OUTPUT_SHARE", bytes(limits::MIN_OUTPUT_SHARE)),
        ("MIN_WINDOW_SHARE", bytes(limits::MIN_WINDOW_SHARE)),
        ("INPUT_WINDOW", bytes(limits::INPUT_WINDOW)),
        ("MAX_INPUT_WINDOW", bytes(limits::MAX_INPUT_WINDOW)),
        ("MAX_INPUT_PIECES", grouped(limits::MAX_INPUT_PIECES as u64)),
        ("INPUT_STEP", bytes(limits::INPUT_STEP)),
        ("MAX_OPEN_INPUTS", grouped(limits::MAX_OPEN_INPUTS as u64)),
        ("MAX_OPEN_JOBS", grouped(limits::MAX_OPEN_JOBS as u64)),
        (
            "MAX_OPEN_JOBS_OF_ONE",
            grouped(limits::MAX_OPEN_JOBS_OF_ONE as u64),
        ),
        ("MAX_JOBS_MEMORY", bytes(limits::MAX_JOBS_MEMORY as u64)),
        ("JOBS_PART", grouped(limits::JOBS_PART as u64)),
        ("MAX_JOB_WAITS", grouped(limits::MAX_JOB_WAITS as u64)),
        ("JOB_WAIT", seconds(limits::JOB_WAIT)),
        ("JOB_DEADLINE", seconds(limits::JOB_DEADLINE)),
        ("KEEP_JOBS", seconds(limits::KEEP_JOBS)),
        ("--keep-jobs", seconds(of_server.keep_jobs)),
        ("MAX_JOB_WORDS", bytes(limits::MAX_JOB_WORDS as u64)),
        ("MAX_QUOTED", bytes(limits::MAX_QUOTED as u64)),
        ("MAX_MEMBERS_PAGE", grouped(limits::MAX_MEMBERS_PAGE as u64)),
        ("MAX_PAGE", bytes(limits::MAX_PAGE as u64)),
        ("HEARTBEAT", seconds(limits::HEARTBEAT)),
        ("ANSWER_GRACE", seconds(limits::ANSWER_GRACE)),
        ("MAX_UNJOINED", grouped(limits::MAX_UNJOINED as u64)),
        (
            "MAX_UNJOINED_PER_ADDRESS",
            grouped(limits::MAX_UNJOINED_PER_ADDRESS as u64),
        ),
        ("MAX_GREETED", grouped(limits::MAX_GREETED as u64)),
        (
            "MAX_GREETED_PER_NETWORK",
            grouped(limits::MAX_GREETED_PER_NETWORK as u64),
        ),
        ("OUTBOX_LINES", grouped(limits::OUTBOX_LINES as u64)),
        ("OUTBOX_BYTES", bytes(limits::OUTBOX_BYTES as u64)),
        ("SLOW_PROGRESS", bytes(limits::SLOW_PROGRESS as u64)),
        ("SLOW_PATIENCE", seconds(limits::SLOW_PATIENCE)),
        ("LINGER", seconds(limits::LINGER)),
        ("HOLD", seconds(limits::HOLD)),
        ("ACK_BYTES", bytes(limits::ACK_BYTES as u64)),
        ("ACK_PATIENCE", seconds(limits::ACK_PATIENCE)),
        ("--hold", seconds(of_server.hold)),
        ("N", grouped(of_server.max_clients.into())),
        ("--max-line", bytes(of_server.max_line as u64)),
        ("--heartbeat", seconds(of_server.heartbeat)),
        ("--max-queue", grouped(of_server.max_queue as u64)),
        ("--max-queue-bytes", bytes(of_server.max_queue_bytes as u64)),
        ("--max-sends", grouped(of_server.max_sends as u64)),
        ("--max-memory", "a quarter of the machine's memory".into()),
        ("--drain", seconds(of_server.drain)),
    ]
    .into();
    let table: Vec<Vec<String>> = rows("## 18. Limits").collect();
    let told: BTreeMap<&str, String> = table
        .iter()
        .filter_map(|row| Some((names(&row[0]).next()?, row[1].clone())))
        .collect();
    assert_eq!(told, expected);

    // Nor is a new one forgotten.
    let constants = include_str!("../../common/src/limits.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .filter(|name| !["PROTOCOL", "DEFAULT_ADDRESS"].contains(name));
    for name in constants {
        assert!(told.contains_key(name), "{name} has no row");
    }
    assert!(DOCUMENT.contains(&format!("protocol, version {}\n", limits::PROTOCOL)));
    assert!(DOCUMENT.contains(&format!("`{}`", limits::DEFAULT_ADDRESS)));
}

fn start(config: Config) -> Running {
    let config = Config {
        listen: "127.0.0.1:0".into(),
        ..config
    };
    let server = Server::bind(config).expect("loopback has a free port");
    server.spawn().expect("the system has a thread")
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What has to be the same each time: no times, no addresses, no random numbers, no
/// sentences for people.
fn comparable(value: Value) -> Value {
    const DIFFERS: [&str; 6] = [
        "elapsed_ms",
        "joined_ms",
        "sent_ms",
        "address",
        "message",
        "run",
    ];
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| match DIFFERS.contains(&name.as_str()) {
                true => (name, Value::Null),
                false => (name, comparable(value)),
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(comparable).collect(),
        other => other,
    }
}

/// `1,048,576`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let tail = tail.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let groups = (!head.is_empty()).then(|| head.into()).into_iter();
    groups.chain(tail).collect::<Vec<_>>().join(",")
}

/// The document from a heading to the next one of its level.
#[track_caller]
fn section(heading: &str) -> &'static str {
    let start = DOCUMENT.find(&format!("\n{heading}\n"));
    let text = &DOCUMENT[start.unwrap_or_else(|| panic!("no section {heading}")) + 1..];
    text.find("\n## ").map_or(text, |end| &text[..end])
}

/// The rows of a section's table, without its head.
#[track_caller]
fn rows(heading: &str) -> impl Iterator<Item = Vec<String>> {
    let lines = section(heading).lines();
    let table = lines
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = table
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows.into_iter()
}

/// What stands in backticks in a cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The document's blocks of code in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    let starts = DOCUMENT.split(fence.as_str()).skip(1);
    starts
        .map(|text| text.split("\n```\n").next().unwrap_or(text))
        .collect()
}

/// The exchange's lines: of which client, whether it writes or reads, and what.
fn exchange() -> Vec<(&'static str, char, &'static str)> {
    let mut speaker = None;
    let mut exchange = Vec::new();
    for line in section("## 19. A complete exchange").lines() {
        let is_speaker = |name: &str| !name.is_empty() && !name.contains(' ');
        if let Some(name) = line.strip_suffix(':').filter(|name| is_speaker(name)) {
            speaker = Some(name);
        }
        for direction in ['→', '←'] {
            if let Some(text) = line.strip_prefix(direction) {
                let speaker = speaker.expect("a line has a speaker");
                exchange.push((speaker, direction, text.trim_start()));
            }
        }
    }
    exchange
}

/// One end of a connection, line by line.
struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Client {
    fn on(stream: TcpStream) -> Client {
        let reading = stream.try_clone().expect("the system has a descriptor");
        // A line comes whole and at once, so this is a deadline for it.
        let patience = reading.set_read_timeout(Some(PATIENCE));
        patience.expect("a socket has a read time-out");
        Client {
            stream,
            lines: BufReader::new(reading),
        }
    }

    #[track_caller]
    fn write(&mut self, line: &str) {
        let line = format!("{line}\n");
        let written = self.stream.write_all(line.as_bytes());
        written.expect("the other end is there");
    }

    #[track_caller]
    fn read(&mut self) -> Value {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        assert!(matches!(read, Ok(1..)), "waited for a line: {read:?}");
        json(&line)
    }
}

fn python_is_installed() -> bool {
    let python = Command::new("python3").arg("--version").output();
    match python {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("python3 is not installed");
            false
        }
        other => {
            other.expect("python3 starts");
            true
        }
    }
}

/// One of the document's scripts as it runs; killed and reaped when it is dropped.
struct Script {
    name: &'static str,
    child: Child,
    stdout: Receiver<String>,
}

impl Script {
    /// Starts the block of code that has its name in the first line.
    #[track_caller]
    fn start(name: &'static str, server: SocketAddr, words: &[&str]) -> Script {
        let head = format!("# {name}\n");
        let blocks = blocks("python");
        let code = blocks.iter().find(|code| code.starts_with(&head));
        let code = code.unwrap_or_else(|| panic!("the document has no {name}"));
        let mut child = Command::new("python3")
            .args(["-c", code, &server.ip().to_string()])
            .arg(server.port().to_string())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (reading, stdout) = mpsc::channel();
        // Ends with the script, which its guard kills.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if reading.send(line).is_err() {
                    return;
                }
            }
        });
        Script {
            name,
            child,
            stdout,
        }
    }

    /// The next line that it prints.
    #[track_caller]
    fn line(&self) -> String {
        let line = self.stdout.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{} printed no line: {error}", self.name))
    }

    /// Waits until it ends by itself, with nothing more to say.
    #[track_caller]
    fn ends_well(mut self) {
        let more = self.stdout.recv_timeout(PATIENCE);
        let ended = Err(mpsc::RecvTimeoutError::Disconnected);
        assert_eq!(more, ended, "{} ends", self.name);
        // Its output is closed, so this takes no time worth naming.
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("it can be waited for") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("{} does not end", self.name),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(status.success(), "{} ended with {status}", self.name);
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Neither can fail in a way that matters here: it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
