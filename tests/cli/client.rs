//! The client's program in scripts: `members`, its command line, and the servers it may dial.

use std::fs::{self};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::server::expect_version;
use crate::support::dialled::{accept, nowhere};
use crate::support::programs::{Ended, Process, Server, client};
use crate::support::set_mode;
use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::Signal;
use serde_json::{Value, json};

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
    let _connection = accept(&mute);
    // First the clients that wait for a place, until another one leaves.
    for process in [members, run, dialling] {
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
fn a_full_server_is_said_or_waited_for() {
    let server = Server::start(&["1"]);
    let other = server.raw("other", 0);
    for words in [&["run", "--", "x"][..], &["members"], &["work"], &[]] {
        Ended::of(&mut server.client(words))
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&["as many clients as it accepts", "--wait waits for a place"]);
    }
    let waiting = Process::start(&mut server.client(&["members", "--wait"]));
    waiting.stderr.wait_for("is full; waiting for a place\n");
    other.leave();
    let ended = waiting.end();
    ended
        .expect_code(0)
        .expect_stdout("no other client is there\n");
    ended.expect_one_line(&[&server.address().to_string(), "waiting for a place"]);
}

#[test]
fn members_shows_all_other_clients() {
    let server = Server::start(&["10"]);
    Ended::of(&mut server.client(&["members"]))
        .expect_code(0)
        .expect_stdout("no other client is there\n");
    let mut boss = server.raw("boss", 0);
    let params = json!({"name": "web1", "tier": 9, "tags": {"role": "web"}});
    let mut web1 = server.raw_with(params);
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
            "RANK", "TIER", "NAME", "ADDRESS", "SLOTS", "RUNNING", "QUEUED", "JOINED"
        ]
    );
    assert_eq!(
        lines[1][..7],
        ["0", "5", "boss", &addresses[0], "0", "0", "0"]
    );
    assert_eq!(
        lines[2][..7],
        ["2", "9", "web1", &addresses[1], "1", "1", "1"]
    );
    assert_eq!(lines.len(), 3);

    Ended::of(&mut server.client(&["members", "-o", "name"])).expect_stdout("boss\nweb1\n");
    let wide = Ended::of(&mut server.client(&["members", "--output", "wide"]));
    let shown = |row: usize| {
        let line = wide.text().lines().nth(row).expect("a row");
        let cells: Vec<&str> = line.split_whitespace().rev().take(4).collect();
        cells
            .into_iter()
            .rev()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(0), ["MEMBER", "TAGS", "IDENTITY", "ROLE"]);
    assert_eq!(
        shown(2),
        [&format!("#{}", web1.member()), "role=web", "-", "-"]
    );

    let ended = Ended::of(&mut server.client(&["members", "-o", "json"]));
    let old = Ended::of(&mut server.client(&["members", "--json"]));
    assert_eq!(old.text().lines().count(), ended.text().lines().count());
    ended.expect_code(0);
    let mut json: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    for member in json["members"].as_array_mut().expect("an array") {
        assert!(member["joined_ms"].take().is_u64());
    }
    let expected = json!({
        "members": [
            {"member": boss.member(), "name": "boss", "rank": 0, "tier": 5, "address": addresses[0],
             "slots": 0, "running": 0, "queued": 0, "joined_ms": null},
            {"member": web1.member(), "name": "web1", "rank": 2, "tier": 9, "address": addresses[1],
             "slots": 1, "running": 1, "queued": 1, "tags": {"role": "web"}, "joined_ms": null},
        ],
        "total": 2,
        "max": 10,
    });
    assert_eq!(json, expected);
    assert_eq!(ended.stderr, "");

    // These are the ranks that a `run` finds.
    let found = Ended::of(&mut server.client(&["run", "--dry-run", "--to", "2", "--", "x"]));
    found.expect_code(0);
    assert!(found.text().contains("web1"), "{}", found.text());
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
        ("1", "a rank"),
        ("3-7", "a rank or a range"),
        (".a", "starts with a letter"),
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
fn version_help_and_completions() {
    let ended = Ended::of(&mut client(&["--version"]));
    expect_version(ended.expect_code(0).text(), "pecking");
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
    for words in [&["policy"][..], &["policy", "check"], &["completions"]] {
        let ended = Ended::of(&mut client(&[words, &["--help"]].concat()));
        ended.expect_code(0);
        assert!(!ended.text().contains("--server"), "{words:?} joins none");
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
    assert!(took >= MAY && took < MAY * 20, "it took {took:?}");
}

#[test]
fn a_server_of_another_kind_is_one_line_with_its_address() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "{}\n", "\x1b[2J\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let serving = std::thread::spawn(move || {
            let mut stream = accept(&listener);
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
fn a_client_that_was_turned_away_tries_again_a_few_times() {
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
                let mut stream = accept(&listener);
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
fn a_token_file_that_others_can_write_is_refused_at_both_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let mode = |name: &str, mode| set_mode(path(name), mode);
    for weak in ["weak", "links"] {
        fs::create_dir(path(weak)).expect("a folder");
    }
    for file in ["good", "open", "weak/token", "huge"] {
        fs::write(path(file), "s3cret\n").expect("a file");
        mode(file, 0o600);
    }
    mode("open", 0o666);
    mode("weak", 0o777);
    symlink("../weak/token", path("links/token")).expect("a link");
    fs::write(path("4097"), [b'x'; 4097]).expect("a file");
    mode("4097", 0o600);
    fs::write(path("readable"), "s3cret\n").expect("a file");
    mode("readable", 0o604);
    let huge = fs::File::options().write(true).open(path("huge"));
    huge.and_then(|file| file.set_len(1 << 30))
        .expect("a sparse file");
    mknodat(CWD, path("fifo"), FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let server = Server::start(&["--token-file", path("good").to_str().expect("text")]);
    for (name, why) in [
        ("open", "has mode 0666, so that every user may write it"),
        (
            "weak/token",
            "has mode 0777, so that every user may write it",
        ),
        (
            "links/token",
            "has mode 0777, so that every user may write it",
        ),
        ("readable", "has mode 0604, so that every user can read it"),
        ("4097", "has more than 4096 bytes"),
        ("huge", "has more than 4096 bytes"),
        ("fifo", "is no regular file"),
        ("weak", "has mode 0777"),
        ("links", "is no regular file"),
    ] {
        let path = path(name);
        let words = ["--token-file", path.to_str().expect("its name is text")];
        for ended in [
            Ended::of(server.client(&["members"]).args(words)),
            Ended::of(crate::support::programs::server(&["--listen", "127.0.0.1:0"]).args(words)),
        ] {
            ended.expect_code(2).expect_stdout("").expect_one_line(&[
                "error: cannot take a token from ",
                words[1],
                why,
            ]);
        }
    }
}

#[test]
fn a_token_is_shown_to_a_server_that_asks_for_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        crate::support::write_secret(&path, text);
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
