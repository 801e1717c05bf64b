//! `pecking run` in scripts: what it prints where, and its exit codes.

use std::fs::File;
use std::io::{PipeReader, Read, Seek, SeekFrom, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::support::programs::{Ended, Process, Server, client, without_times};
use crate::support::{Execute, PATIENCE, Raw};
use rustix::process::Signal;
use serde_json::json;

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

const CASES: [Case; 18] = [
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
        code: 6,
        stdout: b"a",
        stderr: "[web1, rank 1] done, exit code 0 (TIME), its output was cut\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": 3, "truncated": true})),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] done, exit code 3 (TIME), its output was cut\n",
    },
];

/// What `run --wait-for` says first.
fn waiting(wanted: usize) -> String {
    format!("waiting for clients below that execute: 0 of {wanted} are there\n")
}

#[track_caller]
fn expect_stderr(ended: &Ended, expected: &str) {
    assert_eq!(without_times(&ended.stderr), expected, "its standard error");
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
    expect_stderr(&ended, &(waiting(2) + "2 targets: 2 done\n"));
}

#[test]
fn a_run_to_several_ends_with_how_many_failed_and_which() {
    let server = Server::start(&["30"]);
    let run = server.client(&["run", "--wait-for", "25", "--to", "below", "--", "x"]);
    let run = Process::start(&mut { run });
    run.stderr.wait_for("waiting for");
    let webs = (1..=25).map(|n| server.raw(&format!("web{n}"), 1));
    for (n, web) in (1..).zip(&mut webs.collect::<Vec<_>>()) {
        let execute = web.execute();
        web.reply(
            &execute,
            &match n {
                3 => json!({"exit_code": 2}),
                7 => json!({"signal": "SIGSEGV"}),
                19 => json!({"exit_code": -1}),
                _ => json!({"exit_code": 0}),
            },
        );
    }
    let ended = run.end();
    ended.expect_code(1).expect_stdout("");
    let last = ended.stderr.lines().last();
    assert_eq!(last, Some("25 targets: 22 done, 3 failed (web[3,7,19])"));
}

#[test]
fn an_absent_name_of_a_list_is_reported_and_has_an_exit_code() {
    let server = Server::start(&[]);
    for (code, exit, last) in [
        (0, 4, "4 targets: 1 done, 3 absent (9,idle,nope)"),
        (7, 4, "4 targets: 1 failed (web1), 3 absent (9,idle,nope)"),
        (
            -20,
            5,
            "4 targets: 1 refused (web1), 3 absent (9,idle,nope)",
        ),
    ] {
        let mut command = server.client(&["run", "--wait-for", "1"]);
        let run = Process::start(command.args(["--to", "web1,idle,nope,9", "--", "x"]));
        run.stderr.wait_for("waiting for clients below");
        let idle = server.raw("idle", 0);
        let mut web1 = server.raw("web1", 1);
        let execute = web1.execute();
        match code {
            -20 => web1.reply_error(&execute, 20, "no"),
            _ => web1.reply(&execute, &json!({"exit_code": code})),
        }
        let ended = run.end();
        ended.expect_code(exit);
        for line in [
            "[idle, rank 1] absent: it has no slots: it never executes",
            "[nope] absent: no client here has the name \"nope\"",
            "[rank 9] absent: there is no rank 9; the lowest is 2",
        ] {
            assert!(
                ended.stderr.lines().any(|said| said == line),
                "{}",
                ended.stderr
            );
        }
        assert_eq!(ended.stderr.lines().last(), Some(last));
        idle.leave();
        web1.leave();
    }
    // A tally, if there are only absent ones; an error, if one is named alone.
    let ended = Ended::of(&mut server.client(&["run", "--to", "nope,nope2", "--", "x"]));
    ended.expect_code(4).expect_stdout("");
    let last = ended.stderr.lines().last();
    assert_eq!(last, Some("2 targets: 2 absent (nope,nope2)"));
    Ended::of(&mut server.client(&["run", "--to", "nope", "--", "x"]))
        .expect_code(4)
        .expect_one_line(&["no target"]);
}

#[test]
fn a_run_to_several_that_loses_its_server_says_how_many_are_lost() {
    let server = Server::start(&[]);
    let words = ["--to", "below", "--", "x"];
    let (run, mut webs) = server.run(&words, [("web1", 1), ("web2", 1), ("web3", 1)]);
    let executes = webs.each_mut().map(Raw::execute);
    webs[1].reply(&executes[1], &json!({"exit_code": 0, "stdout": "so far\n"}));
    run.stdout.wait_for("web2: so far\n");
    server.process.signal(Signal::KILL);
    let ended = run.end();
    ended.expect_code(3);
    let last = ended.stderr.lines().last();
    assert_eq!(last, Some("3 targets: 1 done, 2 lost"));
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
            + "[web2, rank 2] done, exit code 4 (TIME)\nweb1: e1\n[web3, rank 3] refused: no\n\
               3 targets: 1 done, 1 refused (web3), 1 failed (web2)\n"),
    );
}

#[test]
fn run_says_why_no_client_executes_and_what_would_help() {
    let server = Server::start(&[]);
    let mut above = server.raw("above", 1);
    for (words, code, parts) in [
        (
            &["--", "x"][..],
            4,
            &[
                "no target",
                "you rank lowest",
                "executors here (above) rank above this client",
                "`pecking work` takes 9",
            ][..],
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
fn a_run_that_waits_below_its_executors_says_what_to_do_and_that_works() {
    let server = Server::start(&[]);
    // Without any executor, waiting is what helps.
    Ended::of(&mut server.client(&["run", "--", "x"]))
        .expect_code(4)
        .expect_one_line(&["no target", "--wait-for N waits until N"]);
    let _above = server.raw("above", 1);
    let run = Process::start(&mut server.client(&["run", "--wait-for", "1", "--", "print"]));
    run.stderr
        .wait_for("executors here (above) rank above this client; those of a larger tier");
    let _web1 = server.worker("web1");
    run.end()
        .expect_code(0)
        .expect_stdout("i am printing watch me print\n");
    // An executor below that was not meant is no reason to wait.
    let ended = Ended::of(&mut server.client(&["run", "--to", "web9", "--", "x"]));
    ended.expect_code(4);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("web9") && !last.contains("--wait-for"),
        "{last}"
    );
}

#[test]
fn the_first_example_of_run_works_with_a_service_that_was_there_before() {
    let help = Ended::of(&mut client(&["--help"]));
    let example = help.text().lines().find_map(|line| {
        let (words, _) = line.strip_prefix("  pecking run ")?.split_once("  ")?;
        Some(format!("run {words}"))
    });
    let example = example.expect("there is an example of run");
    let server = Server::start(&[]);
    let _web1 = server.worker("web1");
    let words: Vec<&str> = example.split(' ').collect();
    Ended::of(&mut server.client(&words))
        .expect_code(0)
        .expect_stdout("i am printing watch me print\n");
}

#[test]
fn a_tier_above_ones_own_is_forbidden_and_one_below_ranks_below() {
    let server = Server::start(&[]);
    Ended::of(&mut server.client(&["run", "--tier", "4", "--", "x"]))
        .expect_code(255)
        .expect_one_line(&["tier 4 is higher than yours", "5 to 9"]);
    let mut low = server.client(&["--tier", "6", "--name", "low"]);
    let mut low = Process::start_fed(&mut low);
    low.stdout.wait_for("Assigned rank: 0");
    // A prompt that comes later ranks above: its tier is the higher one.
    let [mut boss] = [server.raw("boss", 0)];
    assert_eq!(boss.joined["rank"], 0);
    let id = boss.command("low", &["print"]);
    assert_eq!(boss.result_of(&id)["status"], "done");
    low.feed_no_more();
    low.end().expect_code(0);
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
    // An executor that does not answer does not hold up a second interrupt.
    let (run, [mut web1]) = server.run(&["--", "x"], [("web1", 1)]);
    web1.execute();
    run.signal(Signal::INT);
    run.stderr.wait_for("interrupt again");
    run.signal(Signal::INT);
    run.end_within(PATIENCE / 2).expect_code(130);
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
fn a_reader_that_stops_ends_run_without_a_complaint() {
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
    ended.expect_code(141);
    assert_eq!(ended.stderr, waiting(1));
}

#[test]
fn long_lines_of_several_targets_come_whole_and_in_turns() {
    let server = Server::start(&[]);
    let (run, mut webs) = server.run(&["--to", "below", "--", "x"], [("web1", 1), ("web2", 1)]);
    let executes = webs.each_mut().map(Raw::execute);
    let lines = ["x".repeat(70_000), "\u{20ac}".repeat(30_000)];
    for part in 0..10 {
        for (n, line) in lines.iter().enumerate() {
            let length = line.len() / 10;
            let piece = &line[part * length..][..length];
            webs[n].output(&executes[n], "stdout", piece);
        }
    }
    webs[0].reply(&executes[0], &json!({"exit_code": 0, "stdout": "\n"}));
    run.stdout.wait_for("x\n");
    webs[1].reply(&executes[1], &json!({"exit_code": 0}));
    let ended = run.end();
    let expected = format!("web1: {}\nweb2: {}\n", lines[0], lines[1]);
    assert!(ended.expect_code(0).text() == expected);
}

#[test]
fn a_line_of_more_than_a_mebibyte_is_cut_between_characters_and_marked() {
    let server = Server::start(&[]);
    let (run, mut webs) = server.run(&["--to", "below", "--", "x"], [("web1", 1), ("web2", 1)]);
    let [first, second] = webs.each_mut().map(Raw::execute);
    // A mebibyte is no multiple of three.
    let line = "\u{20ac}".repeat(360_000);
    for at in (0..line.len()).step_by(90_000) {
        webs[0].output(&first, "stdout", &line[at..][..90_000]);
    }
    webs[0].reply(&first, &json!({"exit_code": 0, "stdout": "\nnext\n"}));
    webs[1].reply(&second, &json!({"exit_code": 0}));
    let ended = run.end();
    let (cut, rest) = line.split_at((1 << 20) / 3 * 3);
    let expected = format!("web1: {cut}\nweb1 (continued): {rest}\nweb1: next\n");
    assert!(ended.expect_code(0).text() == expected);
}

#[test]
fn a_line_that_the_server_leaves_unfinished_is_printed() {
    let server = Server::start(&[]);
    let (run, mut webs) = server.run(&["--to", "below", "--", "x"], [("web1", 1), ("web2", 1)]);
    let executes = webs.each_mut().map(Raw::execute);
    webs[0].output(&executes[0], "stdout", "so far");
    webs[1].output(&executes[1], "stdout", "a line\n");
    run.stdout.wait_for("web2: a line\n");
    server.process.signal(Signal::KILL);
    let ended = run.end();
    ended
        .expect_code(3)
        .expect_stdout("web2: a line\nweb1: so far\n");
}

/// What `run` says of standard input that it does not read.
const NOT_READ: &str =
    "note: run does not pass its standard input on to the command (</dev/null ends this note)\n";

#[test]
fn input_that_run_does_not_read_is_said_and_left_where_it_is() {
    let server = Server::start(&[]);
    let _boss = server.raw("boss", 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("input");
    std::fs::write(&path, "one\ntwo\n").expect("a file");
    let open = || File::open(&path).expect("the file is there");
    let run = |stdin: Stdio| {
        let mut command = server.client(&["run", "--to", "web1", "--", "cat"]);
        Process::start_reading(&mut command, stdin).end().stderr
    };
    let pipe = |content: &str| {
        let (reader, mut writer) = std::io::pipe().expect("the system has pipes");
        writer.write_all(content.as_bytes()).expect("it has room");
        (reader, writer)
    };
    let clone = |file: &PipeReader| file.try_clone().expect("a descriptor");

    let (mut reader, writer) = pipe("hi\n");
    let said = run(clone(&reader).into());
    assert_eq!(said.matches(NOT_READ).count(), 1, "a pipe: {said}");
    drop(writer);
    let said = run(clone(&reader).into());
    assert!(said.contains(NOT_READ), "a pipe that was closed: {said}");
    let mut left = String::new();
    reader.read_to_string(&mut left).expect("a pipe");
    assert_eq!(left, "hi\n");

    let mut file = open();
    let said = run(file.try_clone().expect("a descriptor").into());
    assert!(said.contains(NOT_READ), "a file: {said}");
    assert_eq!(file.stream_position().expect("a place"), 0);
    file.seek(SeekFrom::End(0)).expect("an end");
    let said = run(file.into());
    assert!(!said.contains("note"), "a file at its end: {said}");

    let (reader, writer) = pipe("");
    let said = run(clone(&reader).into());
    assert!(!said.contains("note"), "an empty pipe: {said}");
    drop(writer);
    let said = run(reader.into());
    assert!(!said.contains("note"), "an empty pipe at its end: {said}");
    let said = run(Stdio::null());
    assert!(!said.contains("note"), "nothing: {said}");
}

#[test]
fn input_that_comes_late_is_said_at_the_end() {
    let server = Server::start(&[]);
    let mut command = server.client(&["run", "--wait-for", "1", "--", "cat"]);
    let mut run = Process::start_fed(&mut command);
    run.stderr.wait_for("waiting for");
    let mut web1 = server.raw("web1", 1);
    let execute = web1.execute();
    run.feed("hi\n");
    web1.reply(&execute, &json!({"exit_code": 0}));
    let ended = run.end();
    assert_eq!(ended.expect_code(0).stderr, waiting(1) + NOT_READ);
}

#[test]
fn a_command_that_waits_for_a_slot_says_where_and_behind_how_many() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    for (to, timeout) in [("web1", "2s"), ("next", "1m"), ("2", "1m"), ("", "1m")] {
        let mut command = server.client(&["run", "--wait-for", "2", "--timeout", timeout]);
        if !to.is_empty() {
            command.args(["--to", to]);
        }
        let run = Process::start(command.args(["--", "x"]));
        run.stderr.wait_for("waiting for");
        let mut web1 = server.raw("web1", 1);
        let fills = [boss.command("web1", &["a"]), boss.command("web1", &["b"])];
        boss.sync();
        let first = web1.execute();
        let web2 = server.raw("web2", 1);
        run.stderr.wait_for("queued at web1 behind 2\n");
        web1.reply(&first, &json!({"exit_code": 0}));
        for _ in ["b", "x"] {
            let execute = web1.execute();
            web1.reply(&execute, &json!({"exit_code": 0}));
        }
        for fill in fills {
            boss.result_of(&fill);
        }
        let ended = run.end();
        ended.expect_code(0);
        assert_eq!(
            ended.stderr,
            waiting(2) + "queued at web1 behind 2\n",
            "{to}"
        );
        web1.leave();
        web2.leave();
    }
}

#[test]
fn the_queues_of_several_targets_are_said_on_one_line() {
    let server = Server::start(&["9"]);
    let mut boss = server.raw("boss", 0);
    let words = ["run", "--wait-for", "6", "--to", "web*,!web6", "--", "x"];
    let run = Process::start(&mut server.client(&words));
    run.stderr.wait_for("waiting for");
    let mut webs = ["web1", "web2", "web3", "web4", "web5"].map(|name| server.raw(name, 1));
    for name in ["web1", "web2", "web2", "web3", "web4"] {
        boss.command(name, &["fills"]);
    }
    boss.sync();
    let _web6 = server.raw("web6", 1);
    let free = webs[4].execute();
    run.stderr
        .wait_for("queued at web1 behind 1, web2 behind 2, web3 behind 1 and 1 more\n");
    webs[4].reply(&free, &json!({"exit_code": 0}));
    run.signal(Signal::INT);
    for web in &mut webs[..4] {
        web.execute();
    }
    run.end().expect_code(130);
}

#[test]
fn a_command_that_runs_in_silence_is_not_said_to_be_queued() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    let (run, [mut web1]) = server.run(&["--to", "web1", "--", "x"], [("web1", 1)]);
    let execute = web1.execute();
    // What comes behind it is nothing to wait for; the first of it comes late enough that the
    // sender has seen its own command run.
    assert!(!web1.comes_within(Duration::from_millis(600)));
    let behind = boss.command("web1", &["behind"]);
    assert!(!web1.comes_within(Duration::from_millis(900)));
    web1.reply(&execute, &json!({"exit_code": 0}));
    let execute = web1.execute();
    web1.reply(&execute, &json!({"exit_code": 0}));
    boss.result_of(&behind);
    assert_eq!(run.end().expect_code(0).stderr, waiting(1));
}

#[test]
fn a_dry_run_prints_what_a_command_would_reach_and_runs_nothing() {
    let server = Server::start(&["9"]);
    let mut top = server.raw("top", 1);
    let tagged = |name: &str, slots: u32| {
        let mut client = server.stranger();
        let params = json!({
            "protocol": 1, "name": name, "slots": slots, "tier": 9, "rank_news": false,
            "tags": {"role": "web"},
        });
        client.result("join", &params);
        client
    };
    let mut below = [tagged("web1", 1), tagged("web2", 1), tagged("idle", 0)];
    for (to, code, expected) in [
        (
            "role=web",
            0,
            "RANK  TIER  NAME  STATUS\n   2     9  web1  execute\n   3     9  web2  execute\n",
        ),
        (
            "web[2-3],#1,#99,idle",
            5,
            "RANK  TIER  NAME  STATUS\n   0     5  top   outranked\n   3     9  web2  execute\n   \
             4     9  idle  absent\n   -     -  web3  absent\n   -     -  #99   absent\n",
        ),
        ("role=web&!web2", 2, ""),
        (
            "next:role=web&*2",
            0,
            "RANK  TIER  NAME  STATUS\n   3     9  web2  execute\n",
        ),
        ("role=db", 4, ""),
        ("top", 5, ""),
    ] {
        let words = ["run", "--dry-run", "--to", to, "--", "x"];
        let ended = Ended::of(&mut server.client(&words));
        ended.expect_code(code).expect_stdout(expected);
        assert_eq!(
            ended.stderr.lines().count(),
            usize::from(expected.is_empty()),
            "{to}"
        );
    }
    top.expect_nothing("a dry run tells no other client");
    for client in &mut below {
        client.expect_nothing("a dry run tells no other client");
    }
}

#[test]
fn a_deadline_counts_the_time_that_a_command_waits() {
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    let mut low = server.stranger();
    low.result(
        "join",
        &json!({"protocol": 1, "name": "low", "slots": 1, "tier": 9, "rank_news": false}),
    );
    let hold = boss.command("low", &["holds"]);
    let held = low.execute();
    let words = ["run", "--to", "low", "--deadline", "200ms", "--", "x"];
    let ended = Ended::of(&mut server.client(&words));
    ended.expect_code(124);
    low.reply(&held, &json!({"exit_code": 0}));
    boss.result_of(&hold);
    low.expect_nothing("what has waited too long never starts");
    let run = Process::start(&mut server.client(&words));
    let execute = low.execute();
    let left = execute.params["timeout_ms"].as_u64();
    assert!(left.is_some_and(|ms| (1..=200).contains(&ms)), "{left:?}");
    low.reply(&execute, &json!({"exit_code": 0}));
    run.end().expect_code(0);
}
