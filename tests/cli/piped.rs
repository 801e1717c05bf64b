//! Lines from a pipe: their order, their exit code, and how they end.

use std::io::Read;

use crate::support::programs::{Process, Server, without_times};
use rustix::process::Signal;
use serde_json::json;

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
fn a_pipe_says_that_its_server_has_gone() {
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
fn a_pipe_without_a_reader_ends_as_other_programs_do() {
    let server = Server::start(&[]);
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    let mut command = server.client(&[]);
    let mut piped = Process::start_fed_printing(&mut command, writer.into());
    drop(command);
    let mut greeting = [0; 16];
    (&reader).read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"Assigned rank: 0");
    drop(reader);
    // Its input goes on, with more answers than a pipe holds: a program that another test starts at this
    // moment has the reader, too, until it runs.
    piped.feed(&":whoami\n".repeat(5000));
    let ended = piped.end();
    assert_eq!(ended.expect_code(141).stderr, "");
}

#[test]
fn an_interrupt_ends_a_pipe() {
    let server = Server::start(&[]);
    let piped = server.fed("boss");
    piped.signal(Signal::INT);
    piped.end().expect_code(130);
}
