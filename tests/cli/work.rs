//! `pecking work` as a service: it outlives its server, and the reader of what it says.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::net::{Shutdown, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::dialled::{accept, nowhere, pass_on};
use crate::support::programs::{Ended, Process, Server, client};
use crate::support::{full_pipe, skipped};
use rustix::process::Signal;
use serde_json::json;

/// For a server that holds no place: a client that loses it looks for it at once, not once the hold
/// is over.
const NO_HOLD: &[&str] = &["--hold", "0s"];

#[test]
fn ten_services_execute_what_an_operator_sends_that_comes_last() {
    const SERVICES: usize = 10;
    let server = Server::start(&[&(SERVICES + 3).to_string()]);
    let names: Vec<String> = (1..=SERVICES).map(|n| format!("web{n}")).collect();
    let services: Vec<Process> = names.iter().map(|name| server.worker(name)).collect();
    let ended = Ended::of(&mut server.client(&["run", "--to", "below", "--", "print"]));
    ended.expect_code(0);
    let mut lines: Vec<&str> = ended.text().lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<String> = names
        .iter()
        .map(|name| format!("{name}: i am printing watch me print"))
        .collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    // A second operator ranks below the first, and above the services.
    let first = server.raw("first", 0);
    let mut second = server.raw("second", 0);
    assert_eq!(
        (&first.joined["rank"], &second.joined["rank"]),
        (&json!(0), &json!(1))
    );
    let id = second.command("below", &["print"]);
    assert_eq!(
        second.result_of(&id),
        json!({"targets": SERVICES, "done": SERVICES})
    );
    for service in services {
        service.signal(Signal::TERM);
        let ended = service.end();
        ended.expect_code(0);
        assert!(
            !ended.stderr.contains("rank 1 of"),
            "it is not told: {}",
            ended.stderr
        );
    }
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
        // It is logged after it was answered.
        worker
            .stderr
            .wait_for("print and 1 more word from boss (rank 0): exit code 0 (");
        worker.signal(signal);
        let ended = worker.end();
        ended.expect_code(0).expect_stdout("");
        for part in [
            "print and 1 more word received from boss (rank 0)\n",
            "print and 1 more word from boss (rank 0): exit code 0 (",
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
fn a_service_without_slots_warns_that_it_executes_nothing() {
    let server = Server::start(&[]);
    for (slots, warns) in [("0", true), ("1", false)] {
        let worker = Process::start(&mut server.client(&["work", "--slots", slots]));
        worker.stderr.wait_for("joined as ");
        worker.signal(Signal::TERM);
        let ended = worker.end();
        let warning = "--slots 0: this client executes nothing";
        assert_eq!(ended.stderr.contains(warning), warns, "{}", ended.stderr);
    }
}

#[test]
fn a_service_without_a_policy_warns_that_it_runs_no_program() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[commands.yes]\nrun = [\"/bin/true\"]\n").expect("a file");
    let policy = policy.to_str().expect("UTF-8");
    for (words, warns) in [
        (&["work"][..], true),
        (&["work", "--policy", policy], false),
    ] {
        let worker = Process::start(&mut server.client(words));
        worker.stderr.wait_for("joined as ");
        worker.signal(Signal::TERM);
        let ended = worker.end();
        let warning = "without --policy this client runs no program";
        assert_eq!(ended.stderr.contains(warning), warns, "{}", ended.stderr);
    }
}

#[test]
fn a_service_takes_the_name_of_any_host_that_is_no_rank() {
    let server = Server::start(&["9"]);
    let mut boss = server.raw("boss", 0);
    let names = ["10.0.0.7", "3com-sw1", "7a3f9c01b2d4", "1-2-3", "Web1"];
    let workers = names.map(|name| server.worker(name));
    let id = boss.command(&names.join(","), &["print"]);
    assert_eq!(boss.result_of(&id), json!({"targets": 5, "done": 5}));
    for name in ["42", "3-7", "3-", "Below", "CLIENT-7"] {
        Ended::of(&mut server.client(&["work", "--wait", "--name", name]))
            .expect_code(2)
            .expect_one_line(&[&format!("{name:?} is not allowed")]);
    }
    drop(workers);
}

#[test]
fn a_service_outlives_its_server() {
    let mut server = Server::start(NO_HOLD);
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
        server = Server::start_at(address, NO_HOLD);
        let part = "joined again as web1, rank 0\n";
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
    crate::support::write_secret(&token, "s3cret\n");
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
fn a_token_file_that_changes_counts_from_the_next_connection() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = |name: &str, text: &str| {
        let path = folder.path().join(name);
        crate::support::write_secret(&path, text);
        path.to_str().expect("a plain path").to_owned()
    };
    let servers = token("servers", "first\n");
    let own = token("own", "first\n");
    let options = [NO_HOLD, &["--token-file", &servers]].concat();
    let mut server = Server::start(&options);
    let words = ["work", "--name", "web1", "--token-file", &own];
    let worker = Process::start(&mut server.client(&words));
    worker.stderr.wait_for("joined as web1");
    token("own", "second\n");
    token("servers", "second\n");
    server.replace(&options);
    worker.stderr.wait_for("joined again as web1");

    // A file that is away for a moment is a matter of time ...
    fs::remove_file(&own).expect("it is there");
    server.replace(&options);
    let why = format!("not connected yet: cannot take a token from {own}: ");
    worker.stderr.wait_for(&why);
    token("own", "second\n");
    worker.stderr.wait("another return", |text| {
        (text.matches("joined again as web1").count() == 2).then_some(())
    });
    // ... but not from the start.
    fs::remove_file(&own).expect("it is there");
    Ended::of(&mut server.client(&[&words[..], &["--wait"]].concat()))
        .expect_code(2)
        .expect_one_line(&[&own, "No such file"]);
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

#[test]
fn a_service_waits_for_its_name_until_the_client_that_has_it_is_gone() {
    let server = Server::start(&[]);
    // Its own earlier connection, say: alive as far as the server knows.
    let earlier = server.raw("Web1", 1);
    let taken = format!("the name \"web1\" is taken at {}", server.address());
    let mut works = server.client(&["work", "--wait", "--name", "web1"]);
    let worker = Process::start(&mut works);
    worker
        .stderr
        .wait_for(&format!("{taken}; waiting for it\n"));
    let given_up = Process::start(&mut works);
    given_up.stderr.wait_for(&taken);
    given_up.signal(Signal::TERM);
    given_up.end().expect_code(0);
    earlier.leave();
    worker.stderr.wait_for("joined as web1, rank 0\n");
    worker.signal(Signal::INT);
    let ended = worker.end();
    ended.expect_code(0);
    assert_eq!(
        ended.stderr.matches("is taken").count(),
        1,
        "{}",
        ended.stderr
    );
    // Without --wait it is an error at once, which says what would help.
    let _later = server.raw("web1", 1);
    Ended::of(&mut server.client(&["work", "--name", "web1"]))
        .expect_code(255)
        .expect_one_line(&["\"web1\"", "--wait waits until it is free"]);
}

#[test]
fn a_service_that_is_always_turned_away_tries_less_and_less_often() {
    const LOOKED_AT: Duration = Duration::from_secs(5);
    const MOST: usize = 40;
    let bye = json!({"reason": "idle_handshake", "message": "others want to join"});
    let bye = json!({"jsonrpc": "2.0", "method": "bye", "params": bye});
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let dial = ["--server", &address, "work", "--wait", "--name", "web1"];
    let worker = Process::start(&mut client(&dial));
    let mut streams = vec![accept(&listener)];
    let deadline = Instant::now() + LOOKED_AT;
    while Instant::now() < deadline && streams.len() <= MOST {
        match listener.accept() {
            Ok((stream, _)) => streams.push(stream),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        if let Some(mut stream) = streams.last() {
            // It may have seen that already.
            let _ = writeln!(stream, "{bye}");
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
    // Soon at first, several times, and then by the back-off.
    let tries = streams.len();
    assert!(
        (5..=MOST).contains(&tries),
        "{tries} tries in {LOOKED_AT:?}"
    );
    worker.signal(Signal::TERM);
    worker.end().expect_code(0);
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
    // A client that dials a second time has logged the first failure.
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
    let to_server = crate::support::dial(server.address());
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
fn a_wrong_log_filter_is_reported() {
    let server = Server::start(&[]);
    let mut members = server.client(&["members"]);
    Ended::of(members.env("RUST_LOG", "info,client=loud"))
        .expect_code(0)
        .expect_one_line(&["warning: RUST_LOG is ignored: ", "'loud'"]);
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
fn a_console_without_a_reader_changes_nothing() {
    let (_reader, writer, _) = full_pipe();
    let unread = || writer.try_clone().expect("a pipe can be shared").into();
    expect_service_without_a_console(&unread);
}

#[test]
fn what_a_service_runs_is_on_record_with_its_arguments_and_its_sender() {
    const POLICY: &str = "[commands.logs]\nrun = [\"/bin/echo\", \"-n\"]\nargs = [\"[a-z]+\"]\n";
    let server = Server::start(&[]);
    let mut boss = server.raw("boss", 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("policy"), POLICY).expect("a policy");
    let (log, other, policy) = (path("audit.log"), path("other.log"), path("policy"));
    let options = [
        "work", "--name", "web1", "--audit", &log, "--policy", &policy,
    ];
    let worker = Process::start(&mut server.client(&options));
    worker.stderr.wait_for("joined as web1, rank 1\n");
    let id = boss.command("next", &["logs", "secret"]);
    assert_eq!(boss.result_of(&id)["stdout"], "secret");
    let id = boss.command("next", &["logs", "no!"]);
    assert_eq!(boss.result_of(&id)["status"], "refused");
    worker.signal(Signal::TERM);
    worker.end().expect_code(0);

    let text = fs::read_to_string(&log).expect("a log");
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect();
    let kinds: Vec<_> = records.iter().map(|record| &record["type"]).collect();
    let expected = ["start", "join", "run", "outcome", "refused", "stop"];
    assert_eq!(kinds, expected, "{text}");
    let sender = json!({"tier": 5, "member": boss.joined["member"], "name": "boss", "rank": 0});
    let (ran, outcome, refused) = (&records[2], &records[3], &records[4]);
    assert_eq!(ran["who"], sender);
    assert_eq!(ran["words"], json!(["logs", "secret"]));
    assert_eq!(ran["path"], "/bin/echo");
    assert_eq!(ran["argv"], json!(["/bin/echo", "-n", "secret"]));
    assert_eq!(outcome["cmd"], ran["cmd"]);
    assert_eq!(
        (&outcome["status"], &outcome["exit_code"]),
        (&json!("done"), &json!(0))
    );
    assert_eq!(outcome["bytes"], 6);
    assert_eq!(
        (&refused["who"], &refused["status"]),
        (&sender, &json!("refused"))
    );

    assert!(refused["message"].to_string().contains("no!"), "{refused}");

    // Without arguments it is without messages, too, which may repeat them.
    let first = path("first.log");
    let options = [
        "work", "--name", "web1", "--audit", &first, "--policy", &policy,
    ];
    let words = ["--audit-words", "first"];
    let worker = Process::start(&mut server.client(&[&options[..], &words].concat()));
    worker.stderr.wait_for("joined as web1, rank 1\n");
    for word in ["secret", "secret!"] {
        let id = boss.command("next", &["logs", word]);
        boss.result_of(&id);
    }
    worker.signal(Signal::TERM);
    worker.end().expect_code(0);
    let text = fs::read_to_string(&first).expect("a log");
    assert!(
        text.contains("\"refused\"") && !text.contains("secret"),
        "{text}"
    );

    // Nothing runs that cannot be on record; the simulation is no exception.
    let options = ["work", "--name", "web1", "--audit", &other];
    let worker = Process::start(&mut server.client(&options));
    worker.stderr.wait_for("joined as web1, rank 1\n");
    fs::remove_file(&other).expect("it is made at the start");
    fs::create_dir(&other).expect("no file can be made there");
    // This one is taken, as nothing has failed yet.
    let id = boss.command("next", &["print"]);
    boss.result_of(&id);
    worker.stderr.wait_for("cannot be written");
    let id = boss.command("next", &["print"]);
    let outcome = boss.result_of(&id);
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(
        outcome["message"].to_string().contains("audit log"),
        "{outcome}"
    );
    let open = ["work", "--audit", "/nowhere/log"];
    Ended::of(&mut server.client(&open)).expect_code(2);
}
