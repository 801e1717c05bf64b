//! The auth file as an operator meets it: its commands, a server that goes by it, and what it says
//! of a wrong one.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::auth::{Auth, ROLES, token};
use crate::support::programs::{Ended, Process, Server, server, server_program};
use crate::support::{PATIENCE, set_mode};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

/// Runs `pecking-server auth` with these words.
#[track_caller]
fn auth(words: &[&str]) -> Ended {
    Ended::of(Command::new(server_program()).arg("auth").args(words))
}

/// The auth file of the README, in a folder of its own.
fn of_readme() -> (TempDir, PathBuf) {
    let readme = include_str!("../../README.md");
    let (_, text) = readme
        .split_once("```toml\n# auth.toml\n")
        .expect("it has one");
    let (text, _) = text.split_once("```").expect("it ends");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auth.toml");
    fs::write(&file, text).expect("a file");
    (folder, file)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn the_file_and_the_commands_of_the_readme_make_a_fleet() {
    let (folder, file) = of_readme();
    let file = text(&file);
    let out = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (alice, web1) = (out("alice.token"), out("web1.token"));
    for words in [
        &[
            "add", file, "--id", "alice", "--role", "operator", "--name", "alice-*", "--out",
            &alice,
        ][..],
        &[
            "add",
            file,
            "--id",
            "web1",
            "--role",
            "agent",
            "--name",
            "web1",
            "--expires",
            "90d",
            "--out",
            &web1,
        ],
    ] {
        let added = auth(words);
        added.expect_code(0);
        let (id, expires) = (words[3], words.contains(&"--expires"));
        let said = "added; a running server knows it within 3 s\n";
        let said = match expires {
            true => added.text().starts_with(&format!("{id} added until 2")),
            false => added.text() == format!("{id} {said}"),
        };
        assert!(said, "{}", added.text());
    }
    for token in [&alice, &web1] {
        assert_eq!(
            fs::metadata(token).expect("it is there").mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(token).expect("a text");
        assert!(
            text.starts_with("po1_") && text.trim_end().len() == 56,
            "{}",
            text.len()
        );
    }
    auth(&["check", file]).expect_code(0).expect_stdout("");
    let listed = auth(&["list", file]);
    assert!(
        listed
            .text()
            .lines()
            .any(|line| line.starts_with("web1 ") && line.contains(" agent "))
    );

    let server = Server::start(&["--auth", file]);
    let work = ["work", "--name", "web1", "--token-file", &web1];
    let work = Process::start(&mut server.client(&work));
    work.stderr.wait_for("joined as web1");
    let run = [
        "run",
        "--token-file",
        &alice,
        "--to",
        "below",
        "--",
        "print",
    ];
    Ended::of(&mut server.client(&run))
        .expect_code(0)
        .expect_stdout("i am printing watch me print\n");
    work.stderr.wait_for("(rank 0, identity alice)");
    auth(&["try", file, "--id", "alice", "--to", "web1", "--", "deploy", "v7"])
        .expect_code(0)
        .expect_stdout("allowed: alice (role operator, tier 0) may have web1 execute \"deploy\" (operator.allow[0])\n");
    auth(&["try", file, "--id", "web1", "--to", "web1", "--", "deploy"]).expect_code(1);

    // A client that is revoked ends, and does not come back.
    auth(&["revoke", file, "web1"]).expect_code(0);
    let ended = work.end();
    ended.expect_code(5);
    assert!(
        ended
            .stderr
            .contains("the server has ended this client (revoked): your credential is gone"),
        "{}",
        ended.stderr
    );
    let run = ["run", "--token-file", &web1, "--", "print"];
    let ended = Ended::of(&mut server.client(&run));
    ended
        .expect_code(255)
        .expect_one_line(&["the token is not one of this server's"]);
    assert!(!ended.stderr.contains("--token-file"), "{}", ended.stderr);
    auth(&[
        "add",
        file,
        "--id",
        "x",
        "--role",
        "agent",
        "--expires",
        "30",
        "--out",
        "x",
    ])
    .expect_code(2)
    .expect_one_line(&[
        "'30' for '--expires",
        "it has no unit; expected 30d for days",
    ]);
}

#[test]
fn a_service_whose_place_is_taken_ends_with_5_and_a_visitor_takes_none() {
    let file = Auth::new(ROLES).with("web1", "agent", "connections = 1\nreplace = true");
    let server = Server::start(&["--auth", text(&file.path())]);
    let path = file.path().with_file_name("web1.token");
    crate::support::write_secret(&path, token("web1"));
    let work = || {
        let words = ["work", "--wait", "--token-file", text(&path)];
        let work = Process::start(&mut server.client(&words));
        work.stderr.wait_for("joined as");
        work
    };
    let first = work();
    let members = ["members", "--token-file", text(&path)];
    Ended::of(&mut server.client(&members))
        .expect_code(255)
        .expect_one_line(&["as many clients are here as may join"]);
    let second = work();
    let ended = first.end();
    ended.expect_code(5);
    assert!(ended.stderr.contains("(replaced)"), "{}", ended.stderr);
    second.signal(Signal::TERM);
    second.end().expect_code(0);
}

#[test]
fn a_command_that_a_role_forbids_has_exit_code_5() {
    let auth =
        Auth::new(ROLES)
            .with("bob", "deployer", "")
            .with("fleet", "agent", "names = [\"*\"]");
    let server = Server::start(&["--auth", text(&auth.path())]);
    let of = |id: &str| {
        let path = auth.path().with_file_name(format!("{id}.token"));
        crate::support::write_secret(&path, token(id));
        path
    };
    let (bob, fleet) = (of("bob"), of("fleet"));
    let worker = |name: &str| {
        let words = ["work", "--name", name, "--token-file", text(&fleet)];
        let worker = Process::start(&mut server.client(&words));
        worker.stderr.wait_for("joined as");
        worker
    };
    let _workers = ["web1", "db1"].map(worker);
    for (to, word, code, said) in [
        ("web1", "status", 0, ""),
        (
            "web1",
            "print",
            5,
            "forbidden: the role \"deployer\" may not have web1 execute \"print\"",
        ),
        ("db1", "status", 5, "may not have db1 execute \"status\""),
        (
            "web1,db1",
            "status",
            5,
            "[db1] forbidden: the role \"deployer\" may not have db1",
        ),
    ] {
        let words = ["run", "--token-file", text(&bob), "--to", to, "--", word];
        let ended = Ended::of(&mut server.client(&words));
        ended.expect_code(code);
        assert!(ended.stderr.contains(said), "{to} {word}: {}", ended.stderr);
    }
    let members = ["members", "--token-file", text(&bob)];
    let ended = Ended::of(&mut server.client(&members));
    ended.expect_code(0);
    assert!(
        ended.text().contains("web1") && !ended.text().contains("db1"),
        "{}",
        ended.text()
    );
    let high = ["members", "--token-file", text(&bob), "--tier", "0"];
    Ended::of(&mut server.client(&high))
        .expect_code(255)
        .expect_one_line(&["tier 0 is higher than the role \"deployer\" gives"]);
}

#[test]
fn a_prompt_of_a_role_that_may_not_execute_joins_without_slots() {
    let auth = Auth::new(ROLES).with("bob", "deployer", "");
    let server = Server::start(&["--auth", text(&auth.path())]);
    let path = auth.path().with_file_name("bob.token");
    crate::support::write_secret(&path, token("bob"));
    let input = auth.path().with_file_name("input");
    fs::write(&input, "exit\n").expect("the folder can be written");
    for (slots, code) in [(&[][..], 0), (&["--slots", "1"], 255)] {
        let mut command = server.client(&["--token-file", text(&path)]);
        let stdin = fs::File::open(&input).expect("it was written");
        let ended = Process::start_reading(command.args(slots), stdin.into()).end();
        ended.expect_code(code);
    }
}

#[test]
fn a_file_that_is_no_auth_file_is_told_in_one_line() {
    let (folder, file) = of_readme();
    let right = fs::read_to_string(&file).expect("a text");
    let check = |parts: &[&str]| {
        let mut server = server(&["--auth", text(&file), "--listen", "127.0.0.1:0"]);
        for ended in [
            Ended::of(&mut server),
            auth(&["check", text(&file)]),
            auth(&["list", text(&file)]),
        ] {
            ended
                .expect_code(2)
                .expect_stdout("")
                .expect_one_line(parts);
        }
    };
    for (wrong, parts) in [
        (
            right.replace("tier  = 0", "tear  = 0"),
            &["auth.toml:3:1", "`tear`"][..],
        ),
        (
            format!("{right}[[credentials]]\nid = \"a\"\nrole = \"boss\"\n"),
            &["\"boss\"", "operator, deployer, agent"],
        ),
        (
            right[..=right.find("\"deploy\"").expect("it is there")].to_owned(),
            &["auth.toml:"],
        ),
        (String::new(), &["version = 1"]),
        (
            format!("{right}# {}", "x".repeat(5 << 20)),
            &["4194304 bytes"],
        ),
    ] {
        fs::write(&file, wrong).expect("a file");
        check(parts);
    }
    fs::write(&file, &right).expect("a file");
    set_mode(&file, 0o622);
    check(&["every user may write it", "chmod"]);
    fs::remove_file(&file).expect("it is there");
    check(&["No such file"]);
    symlink(folder.path().join("nowhere"), &file).expect("a link");
    check(&["No such file"]);
    fs::remove_file(&file).expect("it is there");
    fs::create_dir(&file).expect("a folder");
    check(&["no regular file"]);
}

#[test]
fn an_auth_file_and_a_token_file_exclude_each_other() {
    let words = [
        "--auth",
        "a.toml",
        "--token-file",
        "b",
        "--listen",
        "127.0.0.1:0",
    ];
    Ended::of(&mut server(&words))
        .expect_code(2)
        .expect_one_line(&["--auth", "--token-file"]);
}

#[test]
fn no_log_no_record_no_error_and_no_message_shows_a_token() {
    const CANARY: &str = "-canary_";
    let file = Auth::new(ROLES).with("alice", "operator", "").with(
        "web1",
        "agent",
        "names = [\"web1\"]\nconnections = 1",
    );
    let [audit, witness] =
        ["audit.log", "witness.log"].map(|name| file.path().with_file_name(name));
    let mut command = server(&["--auth", text(&file.path()), "--audit", text(&audit)]);
    let server = Server::spawn(command.env("RUST_LOG", "trace"));
    let mut wrong = token("web1");
    wrong.replace_range(20..21, "x");
    for params in [
        json!({"protocol": 1, "token": token("web1"), "name": "web2"}),
        json!({"protocol": 1, "token": token("web1"), "tier": 0}),
        json!({"protocol": 1, "token": token("web1"), "slots": -1}),
        json!({"protocol": 1, "token": token("web1"), "name": token("web1")}),
        json!({"protocol": token("web1")}),
        json!({"protocol": 1, "token": token("web1"), "tags": {"a b": token("web1")}}),
        json!({"protocol": 1, "token": token("web1"), "tier": token("web1")}),
        json!({"protocol": 1, "token": wrong}),
        json!({"protocol": 1, "token": [token("web1")]}),
        json!({"protocol": 2, "token": token("web1")}),
    ] {
        let mut stranger = server.stranger();
        let error = stranger.error("join", &params);
        assert!(!error.to_string().contains(CANARY), "{error}");
    }
    let path = file.path().with_file_name("web1.token");
    crate::support::write_secret(&path, token("web1"));
    let mut work = server.client(&["work", "--name", "web1", "--token-file", text(&path)]);
    work.args(["--audit", text(&witness)]);
    let work = Process::start(work.env("RUST_LOG", "trace"));
    work.stderr.wait_for("joined as web1");
    for process in [&work, &server.process] {
        // Where the system shows them.
        for of in ["cmdline", "environ"] {
            let shown = fs::read(format!("/proc/{}/{of}", process.id())).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&shown).contains(CANARY), "{of}");
        }
    }
    let mut alice = server.raw_with(json!({"token": token("alice")}));
    let id = alice.command("web1", &["print"]);
    alice.result_of(&id);
    assert!(
        !alice
            .result("members", &json!({}))
            .to_string()
            .contains(CANARY)
    );
    // Put where its hash belongs, it is told by no error, of the server's as of the commands'.
    let text_with_token = file
        .text()
        .replace("token = \"sha256:", &format!("token = \"{}", token("web1")));
    file.replace(&text_with_token);
    server
        .process
        .stderr
        .wait_for("the auth file stays as it was");
    let checked = auth(&["check", text(&file.path())]);
    checked.expect_code(2);
    work.signal(Signal::TERM);
    server.process.signal(Signal::TERM);
    let mut all = vec![
        work.end().stderr,
        server.process.end().stderr,
        checked.stderr,
    ];
    for log in [audit, witness] {
        let kept = fs::read_to_string(log).expect("a log");
        assert!(kept.contains("web1"), "{kept}");
        all.push(kept);
    }
    for said in all {
        assert!(!said.contains(CANARY), "{said}");
    }
}

#[test]
fn a_service_that_is_one_too_many_waits_for_its_place() {
    let file = Auth::new(ROLES).with("web1", "agent", "connections = 1");
    let server = Server::start(&["--auth", text(&file.path())]);
    let path = file.path().with_file_name("web1.token");
    crate::support::write_secret(&path, token("web1"));
    let first = server.raw_with(json!({"token": token("web1")}));
    assert_eq!(first.joined["identity"], "web1");
    let words = ["work", "--wait", "--token-file", text(&path)];
    let work = Process::start(&mut server.client(&words));
    work.stderr
        .wait_for("as many clients are here as may join with the credential");
    first.leave();
    work.stderr.wait_for("joined as");
    work.signal(Signal::TERM);
    work.end_within(PATIENCE).expect_code(0);
}

#[test]
fn what_a_role_hides_is_no_reason_to_say_that_no_client_is_here() {
    let none = "[roles.none]\nmay = [\"send\", \"execute\"]\n";
    let file = Auth::new(&format!("{ROLES}{none}"))
        .with("none", "none", "")
        .with("bob", "deployer", "")
        .with("pacer", "agent", "names = [\"bench-*\"]")
        .with("web1", "agent", "names = [\"web1\"]");
    let server = Server::start(&["--auth", text(&file.path())]);
    let run = |id: &str, words: &[&str]| {
        let path = file.path().with_file_name(format!("{id}.token"));
        if !path.exists() {
            crate::support::write_secret(&path, token(id));
        }
        let (command, rest) = words.split_first().expect("a command");
        let words = [&[command, "--token-file", text(&path)], rest].concat();
        Ended::of(&mut server.client(&words))
    };
    let _web1 = server.raw_with(json!({"token": token("web1"), "name": "web1"}));
    run("none", &["members"])
        .expect_code(0)
        .expect_stdout("no other client is there that this client's role lets it see\n");
    let ended = run("bob", &["run", "--to", "web*", "--", "uptime"]);
    ended.expect_code(4);
    let why = "of those that your role lets execute it";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    let ended = run("none", &["run", "--name", "x", "--", "uptime"]);
    ended.expect_code(255);
    let why = "\"x\" is not one that the credential \"none\" gives; it gives none (`pecking-server auth add --name`";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    // A bench whose role lets it send nothing ends at once.
    let ended = run("pacer", &["bench", "--to", "name", "--warm-up", "1h"]);
    ended.expect_code(5);
    let why = "does not have the right \"send\"; a bench needs a role that may send";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
}
