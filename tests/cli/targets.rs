//! What a user keeps in files: named groups, lists of targets (`--to-file`), and expected machines.

use crate::support::programs::{Ended, Process, Server, client};
use std::process::Command;
use tempfile::TempDir;

/// A user's folder for settings with this file in it.
fn settings(file: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("pecking")).expect("a folder");
    std::fs::write(folder.path().join("pecking").join(file), text).expect("a file");
    folder
}

fn of_user<'a>(command: &'a mut Command, settings: &TempDir) -> &'a mut Command {
    command.env("XDG_CONFIG_HOME", settings.path())
}

const GROUPS: &str = r#"
prod = "web[1-3],!web2"
both = "@prod,db1"
circle = "@back"
back = "@circle"
gone = "@nope"
"#;

#[test]
fn groups_are_listed_and_resolved() {
    let user = settings("groups.toml", GROUPS);
    let groups = |words: &[&str]| Ended::of(of_user(&mut client(words), &user));
    let all = groups(&["groups"]);
    all.expect_code(2);
    let row = "@both    @prod,db1       web[1,3],db1\n";
    assert!(all.text().contains(row), "{}", all.text());
    all.expect_one_line(&["in a circle: back → circle → back"]);
    groups(&["groups", "both"])
        .expect_code(0)
        .expect_stdout("web[1,3]\ndb1\n");
    groups(&["groups", "@gone"])
        .expect_code(2)
        .expect_one_line(&["\"nope\"", "gone → nope"]);
    let homeless = Ended::of(
        client(&["groups"])
            .env_remove("HOME")
            .env_remove("XDG_CONFIG_HOME"),
    );
    homeless.expect_code(0);
    assert!(homeless.text().contains("neither XDG_CONFIG_HOME nor HOME"));
}

#[test]
fn a_group_or_a_file_says_where_a_command_goes() {
    let server = Server::start(&[]);
    let _workers = ["web1", "web2", "web3", "db1"].map(|name| server.worker(name));
    let user = settings("groups.toml", GROUPS);
    let list = user.path().join("list");
    std::fs::write(&list, "# the front\nweb1 # first\n\n@both\n!web3\n").expect("a file");
    let list = list.to_str().expect("a name in UTF-8");
    for (words, reached) in [
        (["--to", "@both"], "web1 web3 db1"),
        (["--to", "@prod,web2"], "web1 web2 web3"),
        (["--to", "web*,!@prod"], "web2"),
        (["--to-file", list], "web1 db1"),
    ] {
        let words = [&["run", "--dry-run"][..], &words, &["--", "print"]].concat();
        let ended = Ended::of(of_user(&mut server.client(&words), &user));
        ended.expect_code(0);
        let rows = ended.text().lines().skip(1);
        let names: Vec<_> = rows
            .filter_map(|row| row.split_whitespace().nth(2))
            .collect();
        assert_eq!(names.join(" "), reached, "{words:?}");
    }
    let words = ["run", "--to-file", "-", "--", "print"];
    let mut run = Process::start_fed(&mut server.client(&words));
    run.feed("web3\n#\n");
    run.feed_no_more();
    run.end()
        .expect_code(0)
        .expect_stdout("i am printing watch me print\n");
}

#[test]
fn targets_that_make_no_sense_are_one_line_and_exit_code_2() {
    let user = settings("groups.toml", "prod = 3\n");
    let run = |words: &[&str]| {
        let words = [&["run"], words, &["--", "x"]].concat();
        Ended::of(of_user(&mut client(&words), &user))
    };
    for (words, parts) in [
        (
            ["--to", "@prod"],
            &["'@prod'", "groups.toml, line 1: ", "string"][..],
        ),
        (["--to", "web[1-20000]"], &["20000 names", "at most 10000"]),
        (
            ["--to-file", "/nowhere/list"],
            &["--to-file", "/nowhere/list", "No such file"],
        ),
        (["--to-file", "/"], &["directory"]),
        // Standard input is empty: never every client below.
        (["--to-file", "-"], &["standard input has no item"]),
    ] {
        run(&words).expect_code(2).expect_one_line(parts);
    }
    let twice = run(&["--stdin", "--to-file", "-"]);
    twice
        .expect_code(2)
        .expect_one_line(&["--to-file - and --stdin both read standard input"]);
}

#[test]
fn expected_machines_that_are_not_here_are_listed_and_said() {
    let server = Server::start(&[]);
    let _workers = ["web1", "db1"].map(|name| server.worker(name));
    let user = settings("expected.toml", "names = [\"web[1-3]\", \"db1\"]\n");
    let ended = |words: &[&str]| Ended::of(of_user(&mut server.client(words), &user));
    let missing = ended(&["members", "--missing"]);
    missing.expect_code(4).expect_stdout("web2\nweb3\n");
    missing.expect_one_line(&["2 of 4 expected machines are missing"]);
    let json = ended(&["members", "--missing", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({"expected": 4, "missing": ["web2", "web3"]})
    );
    for (to, note) in [
        (
            "below",
            "2 of 4 expected machines were not reached: web[2-3]",
        ),
        (
            "web*,!web3",
            "1 of 2 expected machines was not reached: web2",
        ),
    ] {
        for words in [&["--", "print"][..], &["--dry-run", "--", "print"]] {
            let run = ended(&[&["run", "--to", to], words].concat());
            run.expect_code(0);
            assert!(run.stderr.contains(note), "{to}: {}", run.stderr);
        }
    }
    let _others = ["web2", "web3"].map(|name| server.worker(name));
    ended(&["members", "--missing"])
        .expect_code(0)
        .expect_stdout("");
    let run = ended(&["run", "--to", "all", "--", "print"]);
    assert!(!run.stderr.contains("expected"), "{}", run.stderr);
}

#[test]
fn machines_that_the_server_expects_count_for_operators_without_a_file_of_their_own() {
    let folder = settings("expected.toml", "names = [\"web[1-3]\", \"db1\"]\n");
    let file = folder.path().join("pecking/expected.toml");
    let server = Server::start(&["--expected", file.to_str().expect("UTF-8")]);
    let _workers = ["web1", "db1"].map(|name| server.worker(name));
    let ended = |words: &[&str]| Ended::of(&mut server.client(words));
    let missing = ended(&["members", "--missing"]);
    missing.expect_code(4).expect_stdout("web2\nweb3\n");
    missing.expect_one_line(&["2 of 4 expected machines are missing"]);
    let note = "2 of 4 expected machines were not reached: web[2-3]";
    for words in [&["--", "print"][..], &["--dry-run", "--", "print"]] {
        let run = ended(&[&["run", "--to", "below"], words].concat());
        run.expect_code(0);
        assert!(run.stderr.contains(note), "{}", run.stderr);
    }
    let user = settings("expected.toml", "names = [\"db[1-2]\"]\n");
    Ended::of(of_user(
        &mut server.client(&["members", "--missing"]),
        &user,
    ))
    .expect_code(4)
    .expect_stdout("db2\n");
}

#[test]
fn a_file_of_expected_machines_that_makes_no_sense_is_named() {
    let server = Server::start(&[]);
    let _worker = server.worker("web1");
    let user = settings("expected.toml", "names = [\"web*\"]\n");
    let ended = |words: &[&str]| Ended::of(of_user(&mut server.client(words), &user));
    let missing = ended(&["members", "--missing"]);
    missing
        .expect_code(2)
        .expect_one_line(&["expected.toml, line 1: \"web*\" is neither"]);
    // It stops no command.
    let run = ended(&["run", "--to", "below", "--", "print"]);
    run.expect_code(0)
        .expect_stdout("i am printing watch me print\n");
    assert!(run.stderr.contains("\"web*\" is neither"), "{}", run.stderr);
    let without = Ended::of(&mut server.client(&["members", "--missing"]));
    without
        .expect_code(2)
        .expect_one_line(&["no machines are expected", "--expected", "names = "]);
}
