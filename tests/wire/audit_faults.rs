//! What happens if the audit log cannot be written, and what a kill in the middle of a write leaves.

use crate::audit::{Log, audit, of_type, records, until};
use crate::support::{Execute, PATIENCE, Raw, Server, ranked, server_program, set_mode};
use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::Signal;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_log_that_cannot_be_written_stops_commands_and_nothing_else() {
    let log = Log::new();
    let server = log.server(&[]);
    log.cannot_be_written();
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    until("it fails", || {
        let id = boss.request("send", &json!({"to": "nope,none", "command": ["x"]}));
        boss.answer(&id).get("error").is_some()
    });
    for to in ["worker", "below"] {
        let error = boss.error("send", &json!({"to": to, "command": ["x"]}));
        assert_eq!(error["code"], 12, "{error}");
        assert_eq!(
            error["data"],
            json!({"reason": "audit_unavailable", "retry_ms": 1000})
        );
    }
    // What is wrong with the targets is told first, and what is wrong with the server after it.
    assert_eq!(
        boss.error("send", &json!({"to": "nope", "command": ["x"]}))["code"],
        7
    );
    assert_eq!(
        worker.error("send", &json!({"to": "boss", "command": ["x"]}))["code"],
        8
    );
    worker.expect_nothing("nothing runs");
    assert_eq!(boss.result("members", &json!({}))["total"], 2);

    let log = Log::new();
    let server = log.server(&["--audit-full", "drop"]);
    log.cannot_be_written();
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let id = boss.command("worker", &["x"]);
    worker.serve(1);
    assert_eq!(boss.result_of(&id)["status"], "done");
}

/// Sends until a command is refused; how many were not.
fn send_until_refused(boss: &mut Raw, worker: &mut Raw, most: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    for sent in 0..most {
        let id = boss.command("worker", &["x"]);
        let answer = loop {
            if let Some(execute) = worker.execute_within(Duration::from_millis(50)) {
                worker.reply(&execute, &json!({"exit_code": 0}));
                break boss.answer(&id);
            }
            if boss.comes_within(Duration::from_millis(1)) {
                break boss.answer(&id);
            }
            assert!(
                Instant::now() < deadline,
                "neither a command nor an answer comes"
            );
        };
        if answer.get("error").is_some() {
            assert_eq!(answer["error"]["code"], 12, "{answer}");
            return sent;
        }
    }
    panic!("{most} commands were taken");
}

#[test]
fn a_file_at_its_largest_size_stops_commands_until_there_is_another() {
    let log = Log::new();
    let mut command = Command::new("sh");
    command
        // So much that what waits for a busy machine's disk has room in the next file.
        .args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(server_program());
    command.args([
        "5",
        "--listen",
        "127.0.0.1:0",
        "--heartbeat",
        "60s",
        "--audit",
    ]);
    let server = Server::spawn(command.arg(log.path()));
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let taken = send_until_refused(&mut boss, &mut worker, 1000);
    assert!(taken > 0);
    fs::rename(log.path(), log.0.path().join("full")).expect("it is moved");
    until("it is written again within a second", || {
        // It needs no executor.
        let id = boss.request("send", &json!({"to": "nope,none", "command": ["x"]}));
        boss.answer(&id).get("result").is_some()
    });
    let read = |path: &Path| fs::read_to_string(path).expect("text");
    let whole = read(&log.0.path().join("full")) + &read(&log.path());
    let copy = log.0.path().join("copy");
    fs::write(&copy, whole).expect("a copy");
    let records = records(&copy);
    let sends = of_type(&records, "send").into_iter();
    assert_eq!(sends.filter(|send| send["to"] == "worker").count(), taken);
}

#[test]
fn a_disk_that_stands_still_stops_commands_at_a_bound_and_what_ran_is_on_record() {
    let log = Log::new();
    let server = log.server(&["--max-queue", "100000", "--max-sends", "100000"]);
    log.records(|last| last["type"] == "start");
    let mut whole = fs::read(log.path()).expect("text");
    // The slowest disk is a FIFO. The program starts with none, but goes on with what it finds.
    let fifo = log.0.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let mut options = OpenOptions::new();
    let reader = options.read(true).write(true).open(&fifo);
    let mut reader = reader.expect("it");
    fs::rename(&fifo, log.path()).expect("it replaces the file");
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1024)]);
    // They are refused past the bound of records, and none of them is kept waiting.
    const SENT: usize = 12_000;
    for _ in 0..SENT {
        boss.command("worker", &["x"]);
    }
    boss.sync();
    let mut refused = 0;
    while boss.comes_within(Duration::from_millis(1)) {
        let message = boss.next("an answer");
        assert_eq!(message["error"]["code"], 12, "{message}");
        assert!(message["error"]["data"]["retry_ms"].as_u64() < Some(1000));
        refused += 1;
    }
    let taken = SENT - refused;
    assert!(
        (1000..=8600).contains(&taken),
        "{taken} of {SENT} were taken"
    );
    let copy = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut piece = [0; 1 << 16];
        let is_last = |text: &[u8]| {
            let last = &text[text.len().saturating_sub(400)..];
            String::from_utf8_lossy(last).contains("\"type\":\"stop\"")
        };
        while !(is_last(&text) && text.ends_with(b"\n")) {
            let read = reader.read(&mut piece).expect("it reads");
            text.extend_from_slice(&piece[..read]);
        }
        text
    });
    for _ in 0..taken {
        let execute: Execute = worker.execute();
        worker.reply(&execute, &json!({"exit_code": 0}));
    }
    boss.sync();
    worker.sync();
    let mut server = server;
    server.terminate();
    assert!(server.wait_exit(PATIENCE).success());
    let text = copy.join().expect("no panic");
    whole.extend(text);
    let read = log.0.path().join("copy");
    fs::write(&read, whole).expect("a copy");
    let records = records(&read);
    assert_eq!(of_type(&records, "send").len(), taken);
    assert_eq!(of_type(&records, "outcome").len(), taken);
}

#[test]
fn a_server_that_is_killed_while_it_writes_leaves_a_log_that_holds_together() {
    let log = Log::new();
    for round in 0..5 {
        let mut server = log.server(&[]);
        let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1024)]);
        for _ in 0..500 + 100 * round {
            boss.command("worker", &["x", "y"]);
        }
        boss.sync();
        worker.execute();
        server.signal(Signal::KILL);
        server.wait_exit(PATIENCE);
        // The most that a kill in mid-write can leave.
        let mut file = OpenOptions::new()
            .append(true)
            .open(log.path())
            .expect("the log");
        file.write_all(br#"{"v":1,"seq":"#).expect("half a line");
    }
    drop(log.server(&[]));
    let verified = audit(&["verify"], &log.path());
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{verified:?}");
    assert!(report.matches("unfinished").count() >= 5, "{report}");

    // A later change is named, at any place.
    let lines = fs::read_to_string(log.path()).expect("text");
    let lines: Vec<&str> = lines.split_inclusive('\n').collect();
    let (mut flipped, mut swapped) = (lines.clone(), lines.clone());
    let other = lines[10].replace("\"boss\"", "\"bosr\"");
    flipped[10] = &other;
    swapped.swap(10, 11);
    assert_ne!(lines[10], other);
    for (changed, line) in [(flipped, 12), (swapped, 11)] {
        let copy = log.0.path().join("copy");
        let mut file = File::create(&copy).expect("a copy");
        file.write_all(changed.concat().as_bytes())
            .expect("its content");
        let verified = audit(&["verify"], &copy);
        assert_eq!(verified.status.code(), Some(1));
        let error = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(error.contains(&format!("copy:{line}: its prev")), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_a_log_is_a_wrong_command_line() {
    let log = Log::new();
    let _server = log.server(&[]);
    let path = log.path();
    let [open, notes, fifo] = ["open", "notes.txt", "fifo"].map(|name| log.0.path().join(name));
    fs::write(&notes, "buy milk\n").expect("a file");
    mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    File::create(&open).expect("a file");
    set_mode(&open, 0o666);
    for (file, part) in [
        (path.as_path(), "another program writes its log there"),
        (&open, "every user may write it"),
        (log.0.path(), "Is a directory"),
        (&notes, "it is no audit log; give a new file"),
        (&fifo, "it is no regular file; give a new file"),
        (Path::new("/dev/null"), "it is no regular file"),
        (Path::new("/nowhere/log"), "/nowhere cannot be read"),
    ] {
        let mut command = Command::new(server_program());
        command
            .args(["--listen", "127.0.0.1:0", "--audit"])
            .arg(file);
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            error.contains(part) && error.lines().count() == 1,
            "{error}"
        );
    }
    assert_eq!(fs::read(&notes).expect("its text"), b"buy milk\n");
    let missing = audit(&["show"], Path::new("/nowhere/log"));
    assert_eq!(missing.status.code(), Some(2));
}
