//! `pecking-server --state` as a user meets it: files that cannot be one, and what clients say when
//! the server is started anew.

use crate::support::programs::{Ended, Process, Server, client, server};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, set_mode, write_secret};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

#[test]
fn files_that_cannot_have_the_state_are_refused_before_anything_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_secret(path("foreign"), "version = 1\n");
    write_secret(path("newer"), "{\"pecking-server state\":2}\n");
    write_secret(path("open"), "{\"pecking-server state\":1}\n");
    set_mode(path("open"), 0o644);
    symlink("/dev/full", path("full")).expect("a link");
    fs::create_dir(path("folder")).expect("a folder");
    write_secret(path("free"), "");
    let newer = "it is of version 2 of state files, from a newer pecking-server";
    for (name, hold, expected) in [
        ("foreign", "15s", "it is no state file of pecking-server"),
        ("newer", "15s", newer),
        ("open", "15s", "every user can read it"),
        ("full", "15s", "no regular file"),
        ("folder", "15s", "folder"),
        ("nowhere/file", "15s", "nowhere"),
        ("free", "0s", "--hold, which is 0s"),
    ] {
        let file = path(name);
        let read = || file.is_file().then(|| fs::read(&file).expect("it"));
        let before = read();
        let words = ["--state", file.to_str().expect("text"), "--hold", hold];
        let words = [&words, &["--listen", "127.0.0.1:0"][..]].concat();
        for more in [&[][..], &["--check-config"]] {
            let words = [&words, more].concat();
            // A file that is to be made in a folder that is not there is found when it is.
            if name.starts_with("nowhere") && !more.is_empty() {
                continue;
            }
            let ended = Ended::of(&mut server(&words));
            ended.expect_code(2).expect_one_line(&[expected]);
        }
        assert_eq!(read(), before, "{name}");
    }
}

#[test]
fn two_servers_do_not_share_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let words = ["--state", state.to_str().expect("text")];
    let first = Server::start(&words);
    let second = Ended::of(server(&words).args(["--listen", "127.0.0.1:0"]));
    let expected = [
        "another server has its state there",
        "give each a file of its own",
    ];
    second.expect_code(2).expect_one_line(&expected);
    drop(first);
    Server::start(&words);
}

#[test]
fn the_option_may_stand_in_the_configuration_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, state) = (
        folder.path().join("server.toml"),
        folder.path().join("state"),
    );
    let state = state.to_str().expect("text");
    fs::write(&config, format!("state = \"{state}\"\n")).expect("a file");
    let config = config.to_str().expect("text");
    let words = ["--config", config];
    let shown = Ended::of(server(&words).arg("--check-config"));
    assert!(
        shown
            .expect_code(0)
            .text()
            .contains(&format!("state = \"{state}\""))
    );
    assert!(
        !folder.path().join("state").exists(),
        "a check makes nothing"
    );
    let _server = Server::start(&words);
    assert!(folder.path().join("state").exists());
}

#[test]
fn clients_say_that_the_server_holds_their_rank_for_its_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let words = ["--state", state.to_str().expect("text"), "--drain", "200ms"];
    let server = Server::start(&words);
    let address = server.address();
    let mut command = server.client(&["--name", "boss"]);
    let boss = Terminal::start({
        command.env("XDG_STATE_HOME", folder.path());
        command
    });
    boss.wait_prompt("");
    let worker = server.worker("w1");
    let _low = server.low("low");
    let sent = [
        "run", "--hold", "--name", "runs", "--tier", "6", "--to", "low", "stay",
    ];
    let run = Process::start(client(&["--server", &address.to_string()]).args(sent));
    let deadline = Instant::now() + PATIENCE;
    let names = ["boss", "w1", "runs"].map(|name| format!("\"name\":\"{name}\""));
    let is_written = || {
        let text = fs::read_to_string(&state).unwrap_or_default();
        names.iter().all(|name| text.contains(name))
    };
    while !is_written() {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            fs::read_to_string(&state)
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.process.signal(Signal::TERM);
    let ended = server.process.end();
    ended.expect_code(0);
    boss.wait_for("The server stops and holds rank 0 for its next start; trying for ");
    worker
        .stderr
        .wait_for("the server stops and holds rank 1 for its next start; trying for ");
    // Its outcome came before the end.
    assert_eq!(run.end().code(), Some(3));
    let server = Server::start_at(address, &words);
    boss.wait_for("at rank 0, what was open is lost.\n");
    worker.stderr.wait_for(", what was open is lost");
    boss.line("print");
    boss.wait_for("] done");
    drop(server);
}
