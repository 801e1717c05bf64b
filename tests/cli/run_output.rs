//! What `pecking run` prints when several targets write: whole lines, each with its name.

use crate::run::{expect_stderr, waiting};
use crate::support::Raw;
use crate::support::programs::{Process, Server};
use rustix::process::Signal;
use serde_json::json;

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
               3 targets: 1 done, 1 refused, 1 failed\n  exit 4: web2\n  refused: web3\n"),
    );
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

#[test]
fn equal_outputs_are_printed_once_under_the_names_of_their_targets() {
    let server = Server::start(&[]);
    let words = ["-b", "--diff", "--to", "below", "--", "uname", "-r"];
    let names = ["web1", "web2", "web3", "db"];
    let (run, mut webs) = server.run(&words, names.map(|name| (name, 1)));
    let executes = webs.each_mut().map(Raw::execute);
    webs[0].output(&executes[0], "stdout", "6.");
    for (n, rest) in ["1\nx", "6.1\nx", "6.1\nx"].iter().enumerate() {
        webs[n].reply(&executes[n], &json!({"exit_code": 0, "stdout": rest}));
    }
    webs[3].reply(
        &executes[3],
        &json!({"exit_code": 1, "stdout": "5.9\nx", "stderr": "old\n"}),
    );
    let ended = run.end();
    let rule = "---------------";
    ended.expect_code(1).expect_stdout(format!(
        "{rule}\nweb[1-3] (3)\n{rule}\n6.1\nx\n{rule}\ndb (1)\n{rule}\n\
         --- web[1-3]\n+++ db\n@@ -1,2 +1,2 @@\n-6.1\n+5.9\n x\n\\ No newline at end of file\n"
    ));
    let said = format!(
        "{rule}\ndb (1), standard error\n{rule}\nold\n4 targets: 3 done, 1 failed\n  exit 1: db\n"
    );
    expect_stderr(&ended, &(waiting(4) + &said));
}

#[test]
fn a_quiet_run_says_only_what_went_wrong_and_one_without_a_terminal_asks_nothing() {
    let server = Server::start(&[]);
    let words = ["--quiet", "--confirm-over", "0", "--to", "below", "--", "x"];
    let mut webs = ["web1", "web2"].map(|name| server.low(name));
    let run = Process::start(server.client(&["run"]).args(words));
    for (web, code) in webs.iter_mut().zip([0, 3]) {
        let execute = web.execute();
        web.reply(&execute, &json!({"exit_code": code, "stdout": "hi\n"}));
        run.stdout.wait_for(&format!(
            "{}: hi\n",
            web.joined["name"].as_str().expect("a name")
        ));
    }
    let ended = run.end();
    ended.expect_code(1).expect_stdout("web1: hi\nweb2: hi\n");
    expect_stderr(&ended, "[web2, rank 2] done, exit code 3 (TIME)\n");
}
