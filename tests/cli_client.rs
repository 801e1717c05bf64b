//! The client's program in scripts and services: what it prints where, and its exit codes.

mod support;

#[path = "support/programs.rs"]
mod programs;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use programs::{Ended, Process, Server, client};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Execute, PATIENCE, Raw, full_pipe, skipped};

/// What an executor does with a command.
type Act = fn(&Raw, &Execute);

/// How one target ends a command, and what `run` makes of it.
struct Case {
    /// What the executor does.
    act: Act,
    /// The exit code of `run`.
    code: i32,
    /// All that it prints to standard output.
    stdout: &'static [u8],
    /// All that it prints to standard error behind the line that it waits, without times.
    stderr: &'static str,
}

const CASES: [Case; 17] = [
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": 0})),
        code: 0,
        stdout: b"",
        stderr: "",
    },
    Case {
        act: |raw, it| {
            raw.reply(
                it,
                &json!({"exit_code": 0, "stdout": "no end", "stderr": "x\n"}),
            );
        },
        code: 0,
        stdout: b"no end",
        stderr: "x\n",
    },
    Case {
        act: |raw, it| {
            raw.reply(
                it,
                &json!({"exit_code": 0, "stdout_base64": "/wAbWzJKDQo="}),
            );
        },
        code: 0,
        stdout: b"\xff\x00\x1b[2J\r\n",
        stderr: "",
    },
    Case {
        act: |raw, it| {
            raw.output(it, "stdout", "one ");
            raw.output(it, "stderr", "apart\n");
            raw.output(it, "stdout", "two\n\nthr");
            raw.reply(it, &json!({"exit_code": 0, "stdout": "ee"}));
        },
        code: 0,
        stdout: b"one two\n\nthree",
        stderr: "apart\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": 7, "stdout": "half\n"})),
        code: 1,
        stdout: b"half\n",
        stderr: "[web1, rank 1] done, exit code 7 (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": -1})),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] done, exit code -1 (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"signal": "SIGKILL"})),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] done, ended by SIGKILL (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 21, "no program here"),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] not found: no program here\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 22, "out of memory"),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] failed: out of memory\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 22, "a\nb\u{1b}[2J\u{202e}"),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] failed: a\\nb\\x1b[2J\\u{202e}\n",
    },
    Case {
        act: |raw, it| raw.output(it, "stdout", "half"),
        code: 3,
        stdout: b"half",
        stderr: "[web1, rank 1] lost: it left or the server stopped before it answered; the command may have run\n",
    },
    Case {
        act: |_, _| {},
        code: 3,
        stdout: b"",
        stderr: "[web1, rank 1] lost: it left or the server stopped before it answered; the command may have run\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 20, "only print"),
        code: 5,
        stdout: b"",
        stderr: "[web1, rank 1] refused: only print\n",
    },
    Case {
        act: |raw, it| {
            raw.output(it, "stdout", "half\n");
            raw.reply(it, &json!({"timed_out": true, "signal": "SIGTERM"}));
        },
        code: 124,
        stdout: b"half\n",
        stderr: "[web1, rank 1] timed out, ended by SIGTERM (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"timed_out": true, "exit_code": 0})),
        code: 124,
        stdout: b"",
        stderr: "[web1, rank 1] timed out, exit code 0 (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"cancelled": true})),
        code: 130,
        stdout: b"",
        stderr: "[web1, rank 1] cancelled (TIME)\n",
    },
    Case {
        act: |raw, it| {
            raw.reply(
                it,
                &json!({"exit_code": 0, "truncated": true, "stdout": "a"}),
            );
        },
        code: 0,
        stdout: b"a",
        stderr: "[web1, rank 1] done, exit code 0 (TIME), its output was cut\n",
    },
];

/// What `run --wait-for` says first.
fn waiting(wanted: usize) -> String {
    format!("waiting for clients below that execute: 0 of {wanted} are there\n")
}

/// Text with one word in place of what something took.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (") {
        let (inside, behind) = after.split_once(')').expect("it is closed again");
        let is_time = inside.ends_with('s') && inside.starts_with(|c: char| c.is_ascii_digit());
        let inside = if is_time { "TIME" } else { inside };
        out += &format!("{before} ({inside})");
        rest = behind;
    }
    out + rest
}

#[track_caller]
fn expect_stderr(ended: &Ended, expected: &str) {
    assert_eq!(without_times(&ended.stderr), expected, "its standard error");
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    address.to_string()
}

#[test]
fn run_has_an_exit_code_for_each_end_of_a_command() {
    let server = Server::start(&[]);
    for case in CASES {
        let (run, [mut web1]) = server.run(&["--", "a", "b  c", "", "--to"], [("web1", 1)]);
        let execute = web1.execute();
        assert_eq!(execute.command, ["a", "b  c", "", "--to"]);
        (case.act)(&web1, &execute);
        web1.leave();
        let ended = run.end();
        ended.expect_code(case.code).expect_stdout(case.stdout);
        expect_stderr(&ended, &(waiting(1) + case.stderr));
    }
}

#[test]
fn run_is_executed_by_a_service() {
    let server = Server::start(&[]);
    let run = server.client(&[
        "run",
        "--wait-for",
        "2",
        "--to",
        "below",
        "--",
        "print",
        "it",
    ]);
    let run = Process::start(&mut { run });
    run.stderr.wait_for("waiting for");
    let (_web1, _web2) = (server.worker("web1"), server.worker("web2"));
    let ended = run.end();
    ended.expect_code(0);
    let mut lines: Vec<&str> = ended.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "web1: i am print iting watch me print it",
            "web2: i am print iting watch me print it"
        ]
    );
    expect_stderr(&ended, &waiting(2));
}

#[test]
fn the_lines_of_several_targets_are_whole_and_named_and_the_worst_counts() {
    let server = Server::start(&[]);
    let (run, mut webs) = server.run(
        &["--to", "below", "--", "x"],
        [("web1", 1), ("web2", 1), ("web3", 1)],
    );
    let executes = webs.each_mut().map(Raw::execute);
    // Pieces of lines, in turns; each target's lines come whole and in order all the same.
    webs[0].output(&executes[0], "stdout", "a");
    webs[1].output(&executes[1], "stdout", "b1\nb");
    run.stdout.wait_for("web2: b1\n");
    webs[0].output(&executes[0], "stdout", "1\n\na");
    webs[0].output(&executes[0], "stderr", "e");
    run.stdout.wait_for("web1: a1\nweb1: \n");
    webs[1].reply(&executes[1], &json!({"exit_code": 4, "stdout": "2"}));
    run.stdout.wait_for("web2: b2\n");
    webs[0].reply(
        &executes[0],
        &json!({"exit_code": 0, "stdout": "2\n", "stderr": "1\n"}),
    );
    run.stdout.wait_for("web1: a2\n");
    webs[2].reply_error(&executes[2], 20, "no");
    let ended = run.end();
    ended
        .expect_code(5)
        .expect_stdout("web2: b1\nweb1: a1\nweb1: \nweb2: b2\nweb1: a2\n");
    expect_stderr(
        &ended,
        &(waiting(3)
            + "[web2, rank 2] done, exit code 4 (TIME)\nweb1: e1\n[web3, rank 3] refused: no\n"),
    );
}

#[test]
fn run_says_why_nobody_executes_and_what_would_help() {
    let server = Server::start(&[]);
    let mut above = server.raw("above", 1);
    for (words, code, parts) in [
        (
            &["--", "x"][..],
            4,
            &["no target", "you rank lowest", "--wait-for N"][..],
        ),
        (&["--to", "web*", "--", "x"], 4, &["no target"]),
        (&["--to", "9", "--", "x"], 4, &["no target"]),
        (&["--to", "above", "--", "x"], 5, &["outranked", "above"]),
        (&["--to", "0", "--", "x"], 5, &["outranked"]),
        (
            &["--to", "all", "--", "x"],
            5,
            &["[above, rank 0] outranked"],
        ),
    ] {
        let mut command = server.client(&["run"]);
        Ended::of(command.args(words))
            .expect_code(code)
            .expect_stdout("")
            .expect_one_line(parts);
    }
    let refused = above.notification("refused");
    assert_eq!(refused["command"], json!(["x"]));
    above.expect_nothing("only what was meant for many is told");
}

#[test]
fn a_full_queue_is_a_refusal() {
    let server = Server::start(&["--max-queue", "1"]);
    let mut boss = server.raw("boss", 0);
    let (run, [mut web1]) = {
        let run = server.client(&["run", "--wait-for", "2", "--to", "web1", "--", "x"]);
        let run = Process::start(&mut { run });
        run.stderr.wait_for("waiting for");
        (run, [server.raw("web1", 1)])
    };
    for _ in 0..2 {
        boss.command("web1", &["fills"]);
    }
    boss.sync();
    web1.execute();
    let _web2 = server.raw("web2", 1);
    let ended = run.end();
    ended.expect_code(5).expect_stdout("");
    assert!(ended.stderr.contains("busy: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("try again later"), "{}", ended.stderr);
}

#[test]
fn a_time_limit_goes_along() {
    let server = Server::start(&[]);
    let words = ["--timeout", "150ms", "--", "x"];
    let (run, [mut web1]) = server.run(&words, [("web1", 1)]);
    let execute = web1.execute();
    assert_eq!(execute.params["timeout_ms"], 150);
    web1.reply(&execute, &json!({"timed_out": true}));
    run.end().expect_code(124);
}

#[test]
fn the_first_interrupt_cancels_and_the_second_one_leaves() {
    let server = Server::start(&[]);
    for signal in [Signal::INT, Signal::TERM] {
        let (run, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
        let execute = web1.execute();
        run.signal(signal);
        assert_eq!(web1.notification("cancel"), json!({"id": execute.id}));
        run.stderr.wait_for("interrupt again to leave at once");
        web1.reply(&execute, &json!({"cancelled": true, "stdout": "so far"}));
        let ended = run.end();
        ended.expect_code(130).expect_stdout("so far");
        web1.leave();
    }
    // An executor that does not answer holds up nobody who insists.
    let (run, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
    web1.execute();
    run.signal(Signal::INT);
    run.stderr.wait_for("interrupt again");
    run.signal(Signal::INT);
    run.end_within(PATIENCE / 2).expect_code(130);
}

#[test]
fn an_interrupt_ends_every_kind_of_waiting() {
    let server = Server::start(&["1"]);
    let run = Process::start(&mut server.client(&["run", "--wait-for", "1", "--", "x"]));
    run.stderr.wait_for("waiting for clients below");
    let members = Process::start(&mut server.client(&["--wait", "members"]));
    members.stderr.wait_for("is full; waiting for a place");
    // A server that takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = mute.local_addr().expect("it is bound").to_string();
    let dialling = Process::start(&mut client(&["--server", &address, "work"]));
    let _connection = mute.accept().expect("a client dials in");
    for process in [run, members, dialling] {
        process.signal(Signal::INT);
        let ended = process.end();
        ended.expect_code(130).expect_stdout("");
        assert!(
            ended.stderr.ends_with("error: interrupted\n"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_server_that_goes_is_told_apart_by_whether_the_command_was_sent() {
    let server = Server::start(&[]);
    let before = Process::start(&mut server.client(&["run", "--wait-for", "9", "--", "x"]));
    before.stderr.wait_for("waiting for");
    let (after, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
    let execute = web1.execute();
    web1.output(&execute, "stdout", "so far");
    after.stdout.wait_for("so far");
    server.process.signal(Signal::KILL);
    let before = before.end();
    before.expect_code(255).expect_stdout("");
    let lines: Vec<&str> = before.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("error: "), "{lines:?}");
    let after = after.end();
    after.expect_code(3).expect_stdout("so far");
    assert!(after.stderr.contains("lost: "), "{}", after.stderr);
}

#[test]
fn a_full_server_is_said_or_waited_for() {
    let server = Server::start(&["1"]);
    let somebody = server.raw("somebody", 0);
    for words in [&["run", "--", "x"][..], &["members"], &["work"], &[]] {
        Ended::of(&mut server.client(words))
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&["as many clients as it accepts", "--wait waits for a place"]);
    }
    let waiting = Process::start(&mut server.client(&["members", "--wait"]));
    waiting.stderr.wait_for("is full; waiting for a place\n");
    somebody.leave();
    let ended = waiting.end();
    ended.expect_code(0).expect_stdout("nobody else is there\n");
    ended.expect_one_line(&[&server.address().to_string(), "waiting for a place"]);
}

#[test]
fn who_reads_no_more_ends_it_without_a_complaint() {
    let server = Server::start(&[]);
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    let mut command = server.client(&["run", "--wait-for", "1", "--", "yes"]);
    let run = Process::start_printing(&mut command, writer.into());
    drop(command);
    drop(reader);
    run.stderr.wait_for("waiting for");
    let mut web1 = server.raw("web1", 1);
    let execute = web1.execute();
    web1.output(&execute, "stdout", "y\n");
    // Leaving takes the command along.
    assert_eq!(web1.notification("cancel"), json!({"id": execute.id}));
    let ended = run.end();
    assert_eq!(ended.stderr, waiting(1));
}

#[test]
fn a_service_reads_nothing_logs_and_ends_with_a_signal() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    let mut input = tempfile::tempfile().expect("a temporary file");
    input
        .write_all(b"print\nexit\n")
        .expect("it can be written");
    input.rewind().expect("a file can be rewound");
    for (signal, slots) in [(Signal::TERM, "1"), (Signal::INT, "2"), (Signal::HUP, "3")] {
        // The clone shares its position with what the service would read.
        let stdin: File = input.try_clone().expect("a file can be shared");
        let mut command = server.client(&["work", "--name", "web1", "--slots", slots]);
        let worker = Process::start_reading(&mut command, stdin.into());
        worker.stderr.wait_for("joined as web1, rank 1\n");
        let id = boss.command("next", &["print", "a\n\u{1b}[2Jb"]);
        assert_eq!(boss.result_of(&id)["exit_code"], 0);
        let id = boss.request("members", &json!({}));
        let members = boss.result_of(&id)["members"].clone();
        assert_eq!(members[1]["slots"].to_string(), slots);
        worker.signal(signal);
        let ended = worker.end();
        ended.expect_code(0).expect_stdout("");
        for part in [
            "print a\\n\\x1b[2Jb received from boss (rank 0)\n",
            "print a\\n\\x1b[2Jb from boss (rank 0): exit code 0 (",
            "leaving\n",
        ] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
        assert_eq!(input.stream_position().expect("a file has one"), 0);
    }
    let mut quiet = server.client(&["work", "--name", "web2", "--no-reconnect"]);
    let quiet = Process::start(quiet.env("RUST_LOG", "error"));
    server.process.stderr.wait_for("joined as web2");
    let id = boss.command("web2", &["print"]);
    assert_eq!(boss.result_of(&id)["exit_code"], 0);
    server.process.signal(Signal::KILL);
    let ended = quiet.end();
    ended
        .expect_code(255)
        .expect_stdout("")
        .expect_one_line(&["ERROR", "the server is gone"]);
}

#[test]
fn a_service_outlives_its_server() {
    let mut server = Server::start(&[]);
    let address = server.address();
    let worker = Process::start(&mut server.client(&["work", "--name", "web1"]));
    worker.stderr.wait_for("joined as web1, rank 0\n");
    for round in 1..=3 {
        server.kill();
        let again = |text: &str, part: &str| text.matches(part).count() >= round;
        for part in ["connection lost: ", "not connected yet: no server at "] {
            worker
                .stderr
                .wait(part, |text| again(text, part).then_some(()));
        }
        server = Server::start_at(address, &[]);
        let part = "joined again as web1, rank 0 (it was rank 0)\n";
        worker
            .stderr
            .wait(part, |text| again(text, part).then_some(()));
    }
    // It says bye and is started again.
    server.process.signal(Signal::TERM);
    worker
        .stderr
        .wait_for("connection lost: the server said bye: ");
    worker.stderr.wait("another try", |text| {
        (text.matches("not connected yet: ").count() >= 4).then_some(())
    });
    worker.signal(Signal::TERM);
    worker.end().expect_code(0);
}

#[test]
fn a_service_that_is_not_let_in_again_says_why_and_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    fs::write(&token, "s3cret\n").expect("the folder can be written");
    let mut server = Server::start(&[]);
    let worker = server.worker("web1");
    server.replace(&["--token-file", token.to_str().expect("a plain path")]);
    let ended = worker.end();
    ended.expect_code(255).expect_stdout("");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("not let in again") && last.contains("token"),
        "{last}"
    );
}

#[test]
fn a_service_may_start_before_its_server() {
    let address = nowhere();
    let dial = ["--server", &address, "work", "--wait", "--name", "web1"];
    let worker = Process::start(&mut client(&dial));
    worker.stderr.wait_for(&format!("no server at {address}"));
    worker.stderr.wait_for("trying again\n");
    let server = Server::start_at(address.parse().expect("an address"), &["2"]);
    worker.stderr.wait_for("joined as web1, rank 0\n");
    // A name that somebody has is still an error at once.
    Ended::of(&mut server.client(&["work", "--wait", "--name", "web1"]))
        .expect_code(255)
        .expect_one_line(&["\"web1\"", "choose another one"]);
    worker.signal(Signal::INT);
    worker.end().expect_code(0);
    // Everything else fails as it did.
    drop(server);
    for words in [&["run", "--wait", "--", "x"][..], &["members", "--wait"]] {
        Ended::of(client(&["--server", &address]).args(words))
            .expect_code(255)
            .expect_one_line(&[&address]);
    }
}

/// Takes a connection, for which it does not wait for ever.
#[track_caller]
fn accept(listener: &TcpListener) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    listener.set_nonblocking(true).expect("it listens");
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("an open socket");
            return stream;
        }
        assert!(Instant::now() < deadline, "nobody dials in");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Passes on what comes, both ways, until an end is closed.
fn pass_on(client: &TcpStream, server: &TcpStream) {
    let clone = |end: &TcpStream| end.try_clone().expect("a descriptor");
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (clone(from), clone(to));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// Does what `client` does in every way to say something on its standard error.
#[track_caller]
fn expect_service_without_a_console(stderr: &dyn Fn() -> Stdio) {
    let start = |command: &mut Command| Process::start_complaining(command, stderr());
    for (words, code) in [
        (&["--nonsense"][..], 2),
        (&["policy", "check", "/nowhere"], 2),
        (&["--server", &nowhere(), "members"], 255),
    ] {
        let mut command = client(words);
        start(command.env("RUST_LOG", "client=loud"))
            .end()
            .expect_code(code);
    }
    // It says that it tries again, and is told to stop.
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let dial = ["--server", &address, "work", "--wait", "--name", "web1"];
    let given_up = start(&mut client(&dial));
    // Whoever has dialled a second time has told of the first.
    for _ in 0..2 {
        drop(accept(&listener));
    }
    given_up.signal(Signal::TERM);
    given_up.end().expect_code(0);
    // The same, until there is a server.
    let worker = start(&mut client(&dial));
    for _ in 0..2 {
        drop(accept(&listener));
    }
    let server = Server::start(&["3"]);
    let to_server = TcpStream::connect(server.address()).expect("the server accepts");
    pass_on(&accept(&listener), &to_server);
    server.process.stderr.wait_for("joined as web1");
    // Whether it knows that already or not.
    worker.signal(Signal::TERM);
    worker.end().expect_code(0);
    server.process.stderr.wait_for(" left: ");

    let run = start(&mut server.client(&["run", "--wait-for", "1", "--name", "boss", "--", "x"]));
    server.process.stderr.wait_for("joined as boss");
    let mut piped = start(&mut server.client(&["--slots", "0"]));
    piped.stdout.wait_for("Assigned rank: 1\n");
    let mut web2 = server.raw("web2", 1);
    let execute = web2.execute();
    let waiting = start(&mut server.client(&["--wait", "members"]));
    server
        .process
        .stderr
        .wait_for("as many clients as it accepts");
    web2.reply(&execute, &json!({"exit_code": 0, "stdout": "so far"}));
    run.end().expect_code(0).expect_stdout("so far");
    waiting.end().expect_code(0);
    piped.feed(":nonsense\nprint\n");
    let execute = web2.execute();
    web2.reply(&execute, &json!({"exit_code": 0}));
    piped.feed_no_more();
    piped.end().expect_code(2);
}

#[test]
fn what_is_not_to_be_understood_of_what_is_to_be_logged_is_said() {
    let server = Server::start(&[]);
    let mut members = server.client(&["members"]);
    Ended::of(members.env("RUST_LOG", "info,client=loud"))
        .expect_code(0)
        .expect_one_line(&["warning: ", "'client=loud'"]);
}

#[test]
fn a_console_that_is_full_changes_nothing() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return skipped("there is no /dev/full here");
    };
    let full = || full.try_clone().expect("a file can be shared").into();
    expect_service_without_a_console(&full);
}

#[test]
fn a_console_that_nobody_reads_changes_nothing() {
    let (_reader, writer, _) = full_pipe();
    let unread = || writer.try_clone().expect("a pipe can be shared").into();
    expect_service_without_a_console(&unread);
}

#[test]
fn members_shows_everybody_else() {
    let server = Server::start(&["10"]);
    Ended::of(&mut server.client(&["members"]))
        .expect_code(0)
        .expect_stdout("nobody else is there\n");
    let mut boss = server.raw("boss", 0);
    let mut web1 = server.raw("web1", 1);
    boss.command("web1", &["x"]);
    boss.command("web1", &["y"]);
    web1.execute();
    boss.sync();

    let ended = Ended::of(&mut server.client(&["members"]));
    ended.expect_code(0);
    let lines: Vec<Vec<&str>> = ended
        .text()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let addresses = [boss.address().to_string(), web1.address().to_string()];
    assert_eq!(
        lines[0],
        [
            "RANK", "NAME", "ADDRESS", "SLOTS", "RUNNING", "QUEUED", "JOINED"
        ]
    );
    assert_eq!(lines[1][..6], ["0", "boss", &addresses[0], "0", "0", "0"]);
    assert_eq!(lines[2][..6], ["1", "web1", &addresses[1], "1", "1", "1"]);
    assert_eq!(lines.len(), 3);

    let ended = Ended::of(&mut server.client(&["members", "--json"]));
    ended.expect_code(0);
    let mut json: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    for member in json["members"].as_array_mut().expect("an array") {
        assert!(member["joined_ms"].take().is_u64());
    }
    let expected = json!({
        "members": [
            {"member": boss.member(), "name": "boss", "rank": 0, "address": addresses[0],
             "slots": 0, "running": 0, "queued": 0, "joined_ms": null},
            {"member": web1.member(), "name": "web1", "rank": 1, "address": addresses[1],
             "slots": 1, "running": 1, "queued": 1, "joined_ms": null},
        ],
        "total": 2,
        "max": 10,
    });
    assert_eq!(json, expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn piped_lines_run_one_after_another() {
    let server = Server::start(&[]);
    let mut piped = server.fed("boss");
    let mut web1 = server.raw("web1", 2);
    let mut web2 = server.raw("web2", 1);
    piped.feed("first 'two words' \"\"\n\n# a comment\n@web2 second\nthird");
    piped.feed_no_more();
    let first = web1.execute();
    assert_eq!(first.command, ["first", "two words", ""]);
    // web1 has a slot left, and web2 all of them: that nothing comes is the order.
    web1.expect_nothing("the first line has not ended");
    web2.expect_nothing("the first line has not ended");
    web1.reply(&first, &json!({"exit_code": 0, "stdout": "1\u{1b}[2J\n"}));
    let second = web2.execute();
    assert_eq!(second.command, ["second"]);
    web1.expect_nothing("the second line has not ended");
    web2.reply(&second, &json!({"exit_code": 3}));
    let third = web1.execute();
    assert_eq!(third.command, ["third"], "the last line needs no end");
    web1.reply(&third, &json!({"exit_code": 0}));
    let ended = piped.end();
    ended.expect_code(1);
    let expected = "Assigned rank: 0\n\
        first 'two words' \"\" command sent.\n\
        [web1, rank 1] done, exit code 0 (TIME)\n\
        1\\x1b[2J\n\
        second command sent.\n\
        [web2, rank 2] done, exit code 3 (TIME)\n\
        third command sent.\n\
        [web1, rank 1] done, exit code 0 (TIME)\n";
    assert_eq!(without_times(ended.text()), expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_wrong_line_in_a_pipe_is_named_and_the_next_one_runs() {
    let server = Server::start(&[]);
    let mut piped = server.fed("boss");
    let mut web1 = server.raw("web1", 1);
    piped.feed(
        ":nonsense\n@7-3 x\nprint \"open\n:cancel 99\nprint\n:to web9\nlost\n:to\nexit\nnever\n",
    );
    let execute = web1.execute();
    assert_eq!(execute.command, ["print"]);
    web1.reply(&execute, &json!({"exit_code": 0}));
    let ended = piped.end();
    ended.expect_code(2);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let parts = [":nonsense", "7-3", "a quote is not closed", "99"];
    assert_eq!(lines.len(), parts.len(), "{lines:?}");
    for (line, part) in lines.iter().zip(parts) {
        assert!(line.starts_with("error: ") && line.contains(part), "{line}");
    }
    assert!(
        ended.text().contains("lost: no target: "),
        "{}",
        ended.text()
    );
    assert_eq!(web1.notification("rank")["rank"], 0);
    web1.expect_nothing("exit is the last line");
}

#[test]
fn a_pipe_whose_server_goes_says_so() {
    let server = Server::start(&[]);
    let mut idle = server.fed("idle");
    let mut busy = server.fed("busy");
    let mut web1 = server.raw("web1", 1);
    busy.feed("print\n");
    web1.execute();
    assert!(idle.is_running());
    idle.feed(":whoami\n");
    idle.stdout.wait_for("You are idle");
    server.process.signal(Signal::KILL);
    idle.end()
        .expect_code(255)
        .expect_one_line(&["the server is gone"]);
    let ended = busy.end();
    ended
        .expect_code(3)
        .expect_one_line(&["the server is gone"]);
    assert!(ended.text().contains("print: lost"), "{}", ended.text());
}

#[test]
fn an_interrupt_ends_a_pipe() {
    let server = Server::start(&[]);
    let piped = server.fed("boss");
    piped.signal(Signal::INT);
    piped.end().expect_code(130);
}

#[test]
fn the_server_is_where_the_option_or_the_environment_says() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let nowhere = nowhere();
    let members = |environment: &str, words: &[&str]| {
        let mut command = client(&["members"]);
        Ended::of(command.env("PECKING_SERVER", environment).args(words))
    };
    members(&address, &[]).expect_code(0);
    members(&nowhere, &["--server", &address]).expect_code(0);
    members(&address, &["--server", &nowhere])
        .expect_code(255)
        .expect_one_line(&[&nowhere]);
    members("nonsense", &[])
        .expect_code(2)
        .expect_one_line(&["'nonsense'", "HOST:PORT"]);
}

#[test]
fn a_name_that_cannot_be_had_is_one_line() {
    let server = Server::start(&[]);
    let _taken = server.raw("web1", 0);
    for words in [&["work"][..], &["members"], &["run", "--", "x"], &[]] {
        let mut command = server.client(&["--name", "web1"]);
        Ended::of(command.args(words))
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&["\"web1\"", "choose another one"]);
    }
    for (name, why) in [
        ("", "starts with a letter"),
        ("1a", "starts with a letter"),
        ("a b", "starts with a letter"),
        ("a\nb", "starts with a letter"),
        ("client-7", "the server gives"),
        ("all", "selector"),
    ] {
        Ended::of(&mut server.client(&["--name", name, "members"]))
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(&["--name", why]);
    }
}

#[test]
fn a_wrong_command_line_is_one_line_that_names_the_value() {
    for (words, parts) in [
        (&["--server", "5555"][..], &["'5555'", "HOST:PORT"][..]),
        (&["--server", ""], &["''", "HOST:PORT"]),
        (&["--slots", "1025", "work"], &["'1025'", "0 to 1024"]),
        (&["--slots", "many", "work"], &["'many'", "0 to 1024"]),
        (&["--connect-timeout", "0"], &["'0'", "above zero"]),
        (&["--connect-timeout", "soon"], &["'soon'", "500ms"]),
        (&["run"], &["WORDS"]),
        (&["run", "--"], &["WORDS"]),
        (&["run", "--to", "", "--", "x"], &["''", "next, below"]),
        (&["run", "--to", "7-3", "--", "x"], &["'7-3'", "smaller"]),
        (&["run", "--timeout", "0s", "--", "x"], &["'0s'", "above"]),
        (&["run", "--timeout", "x", "--", "x"], &["'x'", "500ms"]),
        (&["run", "--wait-for", "-1", "--", "x"], &["'-1'"]),
        (&["run", "--wait-for", "all", "x"], &["'all'", "such as 3"]),
        (&["run", "--frobnicate", "x"], &["'--frobnicate'"]),
        (&["members", "--yaml"], &["'--yaml'"]),
        (&["members", "web1"], &["'web1'"]),
        (&["work", "hard"], &["'hard'"]),
        (&["print"], &["'print'"]),
        (&["completions", "klingon"], &["'klingon'", "bash"]),
        (&["completions"], &["SHELL"]),
    ] {
        Ended::of(&mut client(words))
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(parts);
    }
    let mut not_text = client(&["members", "--server"]);
    Ended::of(not_text.arg(OsStr::from_bytes(b"\xff:1")))
        .expect_code(2)
        .expect_one_line(&["UTF-8"]);
}

#[test]
fn version_help_and_completions() {
    Ended::of(&mut client(&["--version"]))
        .expect_code(0)
        .expect_stdout(format!("client {}\n", env!("CARGO_PKG_VERSION")));
    let common = [
        "--server",
        "PECKING_SERVER",
        "--name",
        "--slots",
        "--connect-timeout",
        "--wait",
        "--token-file",
    ];
    for (words, more) in [
        (
            &["--help"][..],
            &["Examples:", "255", "web*", "members"][..],
        ),
        (&["run", "--help"], &["--to", "--wait-for", "--timeout"]),
        (&["work", "--help"], &[]),
        (&["members", "--help"], &["--json"]),
    ] {
        let ended = Ended::of(&mut client(words));
        ended.expect_code(0);
        assert_eq!(ended.stderr, "");
        for part in common.iter().chain(more) {
            assert!(ended.text().contains(part), "{words:?} lacks {part}");
        }
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = Ended::of(&mut client(&["completions", shell]));
        ended.expect_code(0);
        assert!(ended.text().contains("wait-for"), "{shell}");
    }
}

#[test]
fn a_server_that_is_not_there_is_one_line_with_its_address() {
    let nowhere = nowhere();
    for words in [&["work"][..], &["members"], &["run", "--", "x"], &[]] {
        let mut command = client(&["--server", &nowhere]);
        Ended::of(command.args(words))
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&[&nowhere]);
    }
    Ended::of(&mut client(&[
        "--server",
        "no-such-host.invalid:1",
        "members",
    ]))
    .expect_code(255)
    .expect_one_line(&["no-such-host.invalid:1"]);
}

#[test]
fn a_server_that_does_not_answer_costs_no_more_than_it_may() {
    const MAY: Duration = Duration::from_millis(300);
    // It takes the connection and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = mute.local_addr().expect("it is bound").to_string();
    let before = Instant::now();
    let words = [
        "--server",
        &address,
        "--connect-timeout",
        "300ms",
        "members",
    ];
    Ended::of(&mut client(&words))
        .expect_code(255)
        .expect_stdout("")
        .expect_one_line(&[&address, "300ms"]);
    let took = before.elapsed();
    assert!(took >= MAY && took < MAY * 10, "it took {took:?}");
}

#[test]
fn a_server_of_another_kind_is_one_line_with_its_address() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "{}\n", "\x1b[2J\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client dials in");
            // The client may have seen enough already.
            let _ = stream.write_all(answer.as_bytes());
        });
        let words = ["--server", &address, "--connect-timeout", "5s", "members"];
        Ended::of(&mut client(&words))
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&[&address]);
        serving.join().expect("it only writes");
    }
}

#[test]
fn who_makes_room_for_others_tries_again_a_few_times() {
    let bye = json!({"reason": "idle_handshake", "message": "others want to join"});
    let bye = json!({"jsonrpc": "2.0", "method": "bye", "params": bye});
    let full = json!({"code": 1, "message": "full"});
    let full = json!({"jsonrpc": "2.0", "id": 0, "error": full});
    for (times, expected) in [(5, "full"), (6, "others want to join")] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let answers = std::iter::repeat_n(&bye, times).chain([&full]);
        std::thread::scope(|scope| {
            let words = ["--server", &address, "members"];
            let asking = scope.spawn(move || Ended::of(&mut client(&words)));
            // The last try is not made where it gives up before.
            for answer in answers.take(6) {
                let (mut stream, _) = listener.accept().expect("a client dials in");
                let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
                lines.read_line(&mut String::new()).expect("a join");
                writeln!(stream, "{answer}").expect("it reads");
            }
            let ended = asking.join().expect("no panic");
            ended
                .expect_code(255)
                .expect_one_line(&[&address, expected]);
        });
    }
}

#[test]
fn a_token_is_shown_where_one_is_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder can be written");
        path.to_str().expect("its name is text").to_owned()
    };
    let right = file("right", "s3cret \nsecond line\n");
    let wrong = file("wrong", "guess\n");
    let empty = file("empty", "");
    let missing = folder.path().join("missing");
    let missing = missing.to_str().expect("its name is text");
    let server = Server::start(&["--token-file", &right]);
    let members = |words: &[&str]| Ended::of(server.client(&["members"]).args(words));
    members(&["--token-file", &right]).expect_code(0);
    members(&[])
        .expect_code(255)
        .expect_one_line(&["token", "--token-file FILE"]);
    members(&["--token-file", &wrong])
        .expect_code(255)
        .expect_one_line(&["token"]);
    members(&["--token-file", &empty])
        .expect_code(2)
        .expect_one_line(&[&empty, "first line"]);
    members(&["--token-file", missing])
        .expect_code(2)
        .expect_one_line(&[missing]);
    let log = server.process.stderr.text();
    assert!(!log.contains("s3cret") && !log.contains("guess"), "{log}");
}
