//! What the server logs: the sender, the command and the targets of a send, never a token, and no line that a peer broke.

use std::fs;

use crate::server::expect_clean_log;
use crate::support::PATIENCE;
use crate::support::programs::{Process, Server, server};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn the_log_is_as_long_as_it_is_asked_to_be() {
    for (level, expected, unexpected) in [
        (None, "INFO  127.0.0.1", "DEBUG"),
        (Some("warn"), "", "INFO"),
        (Some("off"), "", "20"),
        (Some("debug"), "DEBUG 127.0.0.1", "TRACE"),
    ] {
        let mut command = server(&[]);
        if let Some(level) = level {
            command.env("RUST_LOG", level);
        }
        let server = Server::spawn(&mut command);
        let mut client = server.raw("a", 0);
        client.send_line("no json");
        client.next("an error");
        client.leave();
        server.process.signal(Signal::TERM);
        let ended = server.process.end();
        ended.expect_code(0);
        let log = &ended.stderr;
        assert!(log.contains(expected), "{level:?}: {log}");
        assert!(!log.contains(unexpected), "{level:?}: {log}");
        expect_clean_log(log);
    }
}

#[test]
fn the_log_names_sender_command_target_and_outcome() {
    let server = Server::start(&["3"]);
    let (run, [mut web1]) = server.run(&["--", "print", "this"], [("web1", 2)]);
    let execute = web1.execute();
    web1.reply_error(&execute, 20, "not today");
    run.end().expect_code(5);
    let mut other = server.raw("other", 1);
    let id = other.command("all", &["up"]);
    other.answer(&id);
    let id = other.command("web1", &["up"]);
    other.answer(&id);
    let _third = server.raw("third", 1);
    let mut fourth = server.stranger();
    fourth.request("join", &json!({"protocol": 1}));
    fourth.wait_end("the end after a refusal");
    web1.leave();

    let log = |part: &str| server.process.stderr.wait_for(part);
    log(" joined as web1, tier 5, slots 2\n");
    log("client-1 (rank 0) sends [\"print\"] and 1 more word to web1 (rank 1)\n");
    log("web1 (rank 1) refused\n");
    log(" left: client-1");
    log(": other (rank 1) sends [\"up\"] to 0 below and 1 above it\n");
    log("other: its send was not taken: ");
    log(" may not join: ");
    log(" left: web1");
    expect_clean_log(&server.process.stderr.text());
}

#[test]
fn words_are_in_the_log_for_debugging_only_and_a_token_never() {
    const WORD: &str = "-phunter2";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    crate::support::write_secret(&token, "47114711\n");
    let token = ["--token-file", token.to_str().expect("its name is text")];
    let policy = folder.path().join("policy.toml");
    fs::write(
        &policy,
        "[commands.mysql]\nrun = [\"/bin/echo\"]\nargs = [\"-p[a-z]+\"]\n",
    )
    .expect("the folder can be written");
    for level in [None, Some("debug")] {
        let leveled = |mut command: std::process::Command| {
            if let Some(level) = level {
                command.env("RUST_LOG", level);
            }
            command
        };
        let server = Server::spawn(&mut leveled(server(&token)));
        let mut strangers = Vec::new();
        for params in [
            json!({"protocol": 1, "token": 47114711}),
            json!({"protocol": 1, "token": ["47114711"]}),
            json!({"protocol": 1, "token": {"x": "47114711"}}),
            json!({"protocol": 1, "token": 47114711.5, "name": "x"}),
            json!([1, "web1", 1, "47114711"]),
            json!("47114711"),
            json!(47114711),
        ] {
            let mut stranger = server.stranger();
            let id = stranger.request("join", &params);
            let error = stranger.error_of(&id);
            assert_eq!(error["code"], -32602, "{params}: {error}");
            assert!(!error.to_string().contains("4711"), "{params}: {error}");
            strangers.push(stranger);
        }
        let mut boss = server.raw_with(json!({"token": "47114711", "name": "boss"}));
        let words = [
            "work",
            "--name",
            "web1",
            "--policy",
            policy.to_str().expect("text"),
        ];
        let mut work = leveled(server.client(&words));
        let worker = Process::start(work.args(token));
        worker.stderr.wait_for("joined as web1");
        // Run, refused, unknown, for many; what an executor says repeats the word.
        for (to, words) in [
            ("web1", &["mysql", WORD][..]),
            ("web1", &["mysql", "x", WORD]),
            ("web1", &["oracle", WORD]),
            ("all", &["mysql", WORD]),
        ] {
            let id = boss.command(to, words);
            boss.result_of(&id);
        }
        worker.stderr.wait_for("mysql");
        worker.signal(Signal::TERM);
        let log = worker.end().stderr;
        server.process.signal(Signal::TERM);
        for log in [log, server.process.end().stderr] {
            assert_eq!(log.contains("hunter2"), level.is_some(), "{log}");
            assert!(log.contains("mysql"), "{log}");
            assert!(!log.contains("4711"), "{log}");
            if level.is_none() {
                assert!(log.contains(" and 1 more word"), "{log}");
            }
        }
    }
}

#[test]
fn a_member_that_does_much_has_a_hundred_lines_a_second_and_the_others_are_counted() {
    const SENDS: u64 = 2000;
    let server = Server::start(&["--max-queue", "8192"]);
    let mut loud = server.raw("loud", 0);
    let mut quiet = server.raw("quiet", 0);
    let worker = server.worker("web1");
    let line = |id| {
        let params = json!({"to": "web1", "command": ["print"]});
        format!(
            "{}\n",
            json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": params})
        )
    };
    let lines: String = (1..=SENDS).map(|id| line(1000 + id)).collect();
    loud.send_bytes(lines.as_bytes());
    let id = quiet.command("web1", &["print"]);
    quiet.result_of(&id);
    for id in 1..=SENDS {
        loud.result_of(&json!(1000 + id));
    }
    // What is hidden is told though nothing more comes. Each send has two lines at the client;
    // at the server one is the sender's, one the executor's.
    let total = |log: &str, of: &str, shown: &str| {
        let count = |line: &str| {
            let (_, rest) = line.split_once(" WARN  ")?;
            let (count, of_whom) = rest.split_once(' ')?;
            of_whom
                .starts_with(&format!("lines of {of} are not shown"))
                .then(|| count.parse::<u64>().ok())?
        };
        let hidden: u64 = log.lines().filter_map(count).sum();
        let shown = log.lines().filter(|line| line.contains(shown)).count() as u64;
        (shown, hidden)
    };
    for (log, of, shown, lines) in [
        (&server.process.stderr, "loud", "loud (rank 0) sends", SENDS),
        (&server.process.stderr, "web1", "web1 (rank 2) ", SENDS),
        (&worker.stderr, "loud", "from loud (rank 0)", 2 * SENDS),
    ] {
        let (shown, hidden) = log.wait("all lines, shown or counted", |log| {
            let (shown, hidden) = total(log, of, shown);
            (shown + hidden >= lines).then_some((shown, hidden))
        });
        assert!(hidden > 0 && shown < lines, "{of}: {shown} and {hidden}");
    }
    for log in [&server.process.stderr, &worker.stderr] {
        // Those of one member in one second.
        let text = log.text();
        let mut times: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
        for line in text.lines().filter(|line| {
            line.contains("loud (rank 0) sends") || line.contains("from loud (rank 0)")
        }) {
            *times.entry(&line[..19]).or_default() += 1;
        }
        assert!(times.values().all(|lines| *lines <= 100), "{times:?}");
        // Others have theirs.
        assert!(text.contains("quiet (rank 1)"), "{text:.2000}");
        expect_clean_log(&text);
    }
}

#[test]
fn nothing_that_a_peer_says_breaks_a_line_of_the_log() {
    const NASTY: &str =
        "x\n2026-01-01T00:00:00.000Z INFO  forged\r\u{1b}[2J\u{7f}\u{9b}1m\u{202e}\u{2028}";
    let mut command = server(&[]);
    let server = Server::spawn(command.env("RUST_LOG", "debug"));
    let mut stranger = server.stranger();
    stranger.request("join", &json!({"protocol": 1, "name": NASTY}));
    stranger.next("an error");
    stranger.request(NASTY, &json!({}));
    stranger.next("an error");
    stranger.send_bytes(b"\x1b[2J\xff\x00\r{\"jsonrpc\": \"\x07\"}\n");
    stranger.next("an error");

    let mut boss = server.raw("boss", 0);
    let mut web1 = server.raw("web1", 1);
    boss.request("send", &json!({"command": [NASTY, "\u{0}"]}));
    let execute = web1.execute();
    assert_eq!(execute.command, [NASTY, "\u{0}"], "they arrive as they are");
    web1.reply_error(&execute, 22, NASTY);
    // Controls that JSON takes without an escape, and blanks between the words.
    boss.send_bytes(
        "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"send\",\"params\":{\"command\":[\r\t\"\u{7f}\u{9b}2J\",\t\r\"b\"]}}\n"
            .as_bytes(),
    );
    let execute = web1.execute();
    web1.reply(&execute, &json!({"signal": NASTY}));
    boss.notify(NASTY, &json!({}));
    boss.notify("cancel", &json!({"send": {NASTY: 1}}));
    boss.request("send", &json!({"command": ["x"], "to": NASTY}));
    web1.reply(&execute, &json!({"exit_code": NASTY}));
    web1.request("send", &json!({"command": [NASTY], "to": "all"}));
    boss.sync();
    web1.sync();
    boss.leave();
    web1.leave();

    server.process.signal(Signal::TERM);
    let ended = server.process.end_within(PATIENCE);
    ended.expect_code(0);
    assert!(ended.stderr.matches("forged").count() >= 4);
    assert!(!ended.stderr.contains("\n2026-01-01T00:00:00.000Z"));
    expect_clean_log(&ended.stderr);
}
