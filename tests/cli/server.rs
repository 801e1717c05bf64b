//! The server's program as its operator meets it: its command line, its exit codes, the
//! signals it takes, and its log.

use std::fs;
use std::net::TcpListener;

use crate::support::pki::Pki;
use crate::support::programs::{Ended, Process, Server, server};
use crate::support::{dial, full_pipe, skipped};
use rustix::process::Signal;
use serde_json::json;

/// Every option that there is.
const OPTIONS: [&str; 20] = [
    "--auth",
    "--listen",
    "--dispatch",
    "--heartbeat",
    "--drain",
    "--max-line",
    "--max-queue",
    "--max-queue-bytes",
    "--max-sends",
    "--token-file",
    "--cert",
    "--key",
    "--client-ca",
    "--client-cert",
    "--plain",
    "--open",
    "--quiet",
    "--completions",
    "--help",
    "--version",
];

/// Runs a server that ought not to start, on a port that is free if it does.
#[track_caller]
pub(crate) fn refused(words: &[&str]) -> Ended {
    let mut command = server(words);
    if !words.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    Ended::of(&mut command)
}

/// Checks that a program says its name, its version, and the commit that it was built from.
#[track_caller]
pub(crate) fn expect_version(said: &str, program: &str) {
    let start = format!("{program} {} (", env!("CARGO_PKG_VERSION"));
    let commit = said
        .strip_prefix(&start)
        .and_then(|rest| rest.strip_suffix(")\n"));
    let is_commit = |commit: &str| {
        commit == "unknown" || commit.len() == 12 && commit.chars().all(|c| c.is_ascii_hexdigit())
    };
    assert!(commit.is_some_and(is_commit), "{said}");
}

/// Checks that each record of a log is one line that begins with a time and a level, and
/// that nothing in it could steer a terminal.
#[track_caller]
pub(crate) fn expect_clean_log(log: &str) {
    for line in log.lines() {
        let is_record = line.starts_with("20")
            && line.get(23..).is_some_and(|rest| {
                ["Z ERROR ", "Z WARN  ", "Z INFO  ", "Z DEBUG "]
                    .iter()
                    .any(|level| rest.starts_with(level))
            });
        assert!(is_record, "no record of a log: {line:?} in {log}");
        let is_plain = !line.contains(|c: char| c.is_control() || "\u{202e}\u{2028}".contains(c));
        assert!(is_plain, "a log line that steers: {line:?}");
    }
}

/// A server that a shell starts, which first says `ulimit`.
fn limited(ulimit: &str, words: &[&str]) -> std::process::Command {
    let server = server(words);
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", &format!("ulimit {ulimit} && exec \"$0\" \"$@\"")])
        .arg(server.get_program())
        .args(server.get_args());
    command
}

#[test]
fn too_few_descriptors_for_all_clients_are_said_at_the_start() {
    let server = Server::spawn(&mut limited("-n 100", &["200"]));
    for part in ["100 open files", "clients of 200 fit", "ulimit -Hn"] {
        server.process.stderr.wait_for(part);
    }
    // A server that is full still has room to say so to newcomers.
    let server = Server::spawn(&mut limited("-n 100", &["80"]));
    for part in ["80 clients fit, and only", "ulimit -Hn"] {
        server.process.stderr.wait_for(part);
    }
    let server = Server::spawn(&mut limited("-n 100", &["20"]));
    server.process.stderr.wait_for("listening");
    assert!(!server.process.stderr.text().contains("open files"));
}

#[test]
fn as_many_clients_join_as_the_server_says_that_fit_and_the_hard_limit_that_it_names_will_do() {
    let number_after = |text: &str, before: &str| {
        let rest = text.split(before).nth(1).expect(before);
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|n| n.parse::<usize>().ok()).expect(before)
    };
    let server = Server::spawn(&mut limited("-n 40", &["500", "--heartbeat", "10m"]));
    server.process.stderr.wait_for("clients of 500 fit");
    let said = server.process.stderr.text();
    let fit = number_after(&said, "no more than ");
    let crowd: Vec<_> = (0..fit).map(|n| server.raw(&format!("n{n}"), 1)).collect();
    assert_eq!(crowd.len(), fit);
    assert!(
        !server.process.stderr.text().contains("cannot accept"),
        "all of them fit"
    );
    let _one_more = dial(server.address());
    server.process.stderr.wait_for("cannot accept");
    let enough = number_after(&said, "hard limit to ");
    let server = Server::spawn(&mut limited(&format!("-n {enough}"), &["500"]));
    server.process.stderr.wait_for("listening");
    assert!(!server.process.stderr.text().contains("open files"));
}

#[test]
fn it_asks_for_as_many_descriptors_as_it_may_have() {
    const CLIENTS: usize = 100;
    let server = Server::spawn(&mut limited("-Sn 64", &["100", "--heartbeat", "10m"]));
    let crowd = (0..CLIENTS).map(|n| server.raw(&format!("n{n}"), 1));
    assert_eq!(crowd.collect::<Vec<_>>().len(), CLIENTS);
}

#[test]
fn an_address_that_cannot_be_bound_is_one_line_too() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let taken = holder.local_addr().expect("it is bound").to_string();
    refused(&["--listen", &taken])
        .expect_code(1)
        .expect_stdout("")
        .expect_one_line(&[&taken, "in use", "--listen"]);
    // An address for documentation, which no machine has (RFC 5737).
    refused(&["--listen", "203.0.113.1:0"])
        .expect_code(1)
        .expect_stdout("")
        .expect_one_line(&["cannot listen at 203.0.113.1:0"]);
    refused(&["--listen", "no-such-host.invalid:0"])
        .expect_code(1)
        .expect_stdout("")
        .expect_one_line(&["cannot listen at no-such-host.invalid:0"]);
}

#[test]
fn an_address_that_others_can_reach_takes_tls_and_a_token_or_a_word() {
    let pki = Pki::new();
    let (pair, token) = (pki.server("server"), pki.write("token", "s3cret\n"));
    let tls = ["--cert", &pair.cert, "--key", &pair.key];
    let asks = ["--token-file", &token];
    let words = |parts: &[&[&'static str]]| parts.concat();
    let (clear, open) = (
        &["nothing would be encrypted"][..],
        &["any client there could join"][..],
    );
    /// Whether it encrypts, whether it asks for a token, its options, and its warnings or the error.
    type Case<'a> = (
        bool,
        bool,
        Vec<&'a str>,
        Result<&'a [&'a str], &'a [&'a str]>,
    );
    let cases: [Case<'_>; 9] = [
        (false, false, words(&[]), Err(clear)),
        (false, true, words(&[]), Err(clear)),
        (false, false, words(&[&["--open"]]), Err(clear)),
        (false, false, words(&[&["--plain"]]), Err(open)),
        (true, false, words(&[]), Err(open)),
        (true, true, words(&[]), Ok(&[])),
        (
            true,
            false,
            words(&[&["--open"]]),
            Ok(&["--open: any client"]),
        ),
        (false, true, words(&[&["--plain"]]), Ok(&["--plain: "])),
        (
            false,
            false,
            words(&[&["--plain", "--open"]]),
            Ok(&["--plain: ", "--open: any client"]),
        ),
    ];
    for listen in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        for (encrypts, has_token, options, expected) in &cases {
            let mut words = [&["--listen", listen][..], options].concat();
            words.extend(encrypts.then_some(tls).iter().flatten());
            words.extend(has_token.then_some(asks).iter().flatten());
            let process = Process::start(&mut server(&words));
            let warnings = match expected {
                Ok(warnings) => warnings,
                Err(why) => {
                    let ended = process.end();
                    if ended.stderr.contains("cannot listen at [") {
                        skipped("this system has no IPv6");
                        break;
                    }
                    ended.expect_code(2).expect_stdout("");
                    ended.expect_one_line(why);
                    ended.expect_one_line(&["other machines", "`pecking-server init`"]);
                    continue;
                }
            };
            process.stdout.wait_for("Listening on ");
            process.signal(Signal::TERM);
            let ended = process.end();
            ended.expect_code(0);
            let said = ended.stderr.lines().filter(|line| line.contains(" WARN "));
            let said: Vec<&str> = said.collect();
            assert_eq!(said.len(), warnings.len(), "{words:?}: {said:?}");
            for (said, warning) in said.iter().zip(*warnings) {
                assert!(said.contains(warning), "{words:?}: {said}");
            }
        }
    }
    // What was written does not count, but where it listens.
    let loopback = [
        "localhost:0",
        "127.0.0.1:0",
        "[::1]:0",
        "[::ffff:127.0.0.1]:0",
    ];
    let both = [&tls[..], &asks].concat();
    let ways: [(&[&str], bool); 4] = [(&[], false), (&tls, false), (&asks, true), (&both, true)];
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    for listen in loopback {
        if listen.starts_with('[') && !has_ipv6 {
            skipped("this system has no IPv6");
            continue;
        }
        for (options, has_token) in ways {
            let process = Process::start(&mut server(&[&["--listen", listen], options].concat()));
            process.stdout.wait_for("Listening on ");
            process.signal(Signal::TERM);
            let ended = process.end();
            assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
            let said = ended.stderr.matches("any user of this machine can join");
            assert_eq!(
                said.count(),
                usize::from(!has_token),
                "{listen} {options:?}: {}",
                ended.stderr
            );
        }
    }
}

#[test]
fn no_image_of_a_crash_has_the_servers_keys() {
    // As much as the system allows here, which a test without that could not tell from none.
    let limits = |process: u32| {
        let text = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with("Max core file size"))?;
        let most = line["Max core file size".len()..].split_whitespace();
        Some(most.take(2).map(str::to_owned).collect::<Vec<_>>())
    };
    match limits(std::process::id()) {
        Some(own) if own[1] != "0" => {}
        _ => return skipped("the system writes no core files here, or does not say so"),
    }
    let words = ["--listen", "127.0.0.1:0"];
    let process = Process::start(&mut limited("-S -c $(ulimit -H -c)", &words));
    process.stdout.wait_for("Listening on ");
    assert_eq!(limits(process.id()), Some(vec!["1".to_owned(); 2]));
}

#[test]
fn the_reason_why_it_cannot_listen_is_said_once() {
    let ended = refused(&["--listen", "203.0.113.1:0"]);
    assert_eq!(ended.stderr.matches("os error").count(), 1);
}

#[test]
fn a_server_that_cannot_print_its_error_still_ends() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let (_reader, unread, _) = full_pipe();
    for (words, code) in [
        (&["--nonsense"][..], 2),
        (&["--token-file", "/nowhere"], 2),
        (&["--listen", &taken], 1),
    ] {
        let unread = unread.try_clone().expect("a pipe can be shared");
        Process::start_complaining(&mut server(words), unread.into())
            .end()
            .expect_code(code);
    }
}

#[test]
fn a_token_file_that_is_none_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing");
    let empty = folder.path().join("empty");
    crate::support::write_secret(&empty, "\nsecret\n");
    for (path, why) in [(&missing, "No such file"), (&empty, "empty first line")] {
        let path = path.to_str().expect("its name is text");
        refused(&["--token-file", path])
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(&[path, why]);
    }
}

#[test]
fn a_wrong_argument_never_steers_the_terminal() {
    for (words, code) in [
        (&["--token-file", "/no\nsuch\x1b[2J"][..], 2),
        (&["--dispatch", "such\n\n\x1b[2J"], 2),
        (&["--listen", "no-such\x1b[2Jhost.invalid:0"], 2),
    ] {
        refused(words).expect_code(code).expect_one_line(&["such"]);
    }
}

#[test]
fn version_help_and_completions() {
    let ended = Ended::of(&mut server(&["--version"]));
    expect_version(ended.expect_code(0).text(), "pecking-server");
    for words in [["--help"], ["-h"]] {
        let ended = Ended::of(&mut server(&words));
        ended.expect_code(0);
        assert_eq!(ended.stderr, "");
        for part in OPTIONS
            .iter()
            .chain(&["Examples:", "pecking-server 10 ", "[N]"])
        {
            assert!(ended.text().contains(part), "{words:?} lacks {part}");
        }
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = Ended::of(&mut server(&["--completions", shell]));
        ended.expect_code(0);
        assert_eq!(ended.stderr, "");
        let text = ended.text();
        assert!(
            text.contains("max-queue-bytes") && text.contains("pecking-server"),
            "{shell}: {text}"
        );
    }
}

#[test]
fn port_0_prints_the_port_that_it_got() {
    for words in [&[][..], &["--quiet"]] {
        let server = Server::start(words);
        assert_ne!(server.address().port(), 0);
        let _client = server.raw("a", 0);
    }
    let v6 = Process::start(&mut server(&["--listen", "[::1]:0"]));
    v6.stdout.wait_for("Listening on [::1]:");
}

#[test]
fn a_server_that_cannot_print_still_serves() {
    let full = fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else {
        return skipped("there is no /dev/full here");
    };
    let mut command = server(&["--listen", "127.0.0.1:0"]);
    let process = Process::start_printing(&mut command, full.into());
    let address = process.stderr.wait("the address", |log| {
        let (_, rest) = log.split_once("listening on ")?;
        rest.split_once(' ')?.0.to_owned().into()
    });
    let members = Ended::of(&mut crate::support::programs::client(&[
        "--server", &address, "members",
    ]));
    members.expect_code(0);
    process.signal(Signal::TERM);
    process.end().expect_code(0);
}

#[test]
fn both_signals_let_what_runs_end_and_end_the_rest() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start(&["--drain", "60s"]);
        let (running, [mut web1]) = server.run(&["--to", "web1", "--", "slow"], [("web1", 1)]);
        let slow = web1.execute();
        let mut boss = server.fed("boss");
        boss.feed(":whoami\n");
        boss.stdout.wait_for("You are boss");

        server.process.signal(signal);
        server.process.stderr.wait_for("shutting down");
        Ended::of(&mut server.client(&["members"]))
            .expect_code(255)
            .expect_stdout("")
            .expect_one_line(&["shutting down"]);
        boss.end()
            .expect_code(255)
            .expect_one_line(&["the server is gone", "shutting down"]);

        web1.reply(&slow, &json!({"exit_code": 0, "stdout": "late"}));
        running.end().expect_code(0).expect_stdout("late");
        // The sender may leave first, so that web1 moves up.
        web1.expect_bye_after_ranks("shutting_down");
        let ended = server.process.end();
        ended.expect_code(0);
        assert!(ended.text().ends_with("0 connections\n"));
        expect_clean_log(&ended.stderr);
    }
}

#[test]
fn a_command_that_waits_when_a_signal_comes_is_cancelled() {
    let server = Server::start(&["--drain", "60s"]);
    let waiting = server.client(&["run", "--wait-for", "2", "--to", "web1", "--", "second"]);
    let waiting = Process::start(&mut { waiting });
    waiting.stderr.wait_for("waiting for clients below");
    let (running, [mut web1]) = server.run(&["--to", "web1", "--", "first"], [("web1", 1)]);
    let first = web1.execute();
    let _web2 = server.raw("web2", 1);
    server.process.stderr.wait_for("sends [\"second\"]");

    server.process.signal(Signal::TERM);
    let ended = waiting.end();
    ended.expect_code(130).expect_stdout("");
    assert!(
        ended.stderr.contains("[web1, rank 2] cancelled"),
        "{}",
        ended.stderr
    );
    web1.reply(&first, &json!({"exit_code": 3}));
    running.end().expect_code(1);
    server.process.end().expect_code(0);
}

#[test]
fn a_command_that_outlasts_the_drain_is_lost() {
    let server = Server::start(&["--drain", "100ms"]);
    let (running, [mut web1]) = server.run(&["--", "slow"], [("web1", 1)]);
    web1.execute();
    server.process.signal(Signal::TERM);
    let ended = running.end();
    ended.expect_code(3).expect_stdout("");
    assert!(ended.stderr.contains("[web1, rank 1] lost"));
    server.process.end().expect_code(0);
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = Server::start(&["--drain", "60s"]);
    let (running, [mut web1]) = server.run(&["--", "slow"], [("web1", 1)]);
    web1.execute();
    server.process.signal(Signal::INT);
    server.process.stderr.wait_for("shutting down");
    server.process.signal(Signal::INT);
    server.process.end().expect_code(130);
    running.end().expect_code(3);
}

#[test]
fn the_port_can_be_bound_again_at_once() {
    for signal in [Signal::TERM, Signal::KILL] {
        let first = Server::start(&[]);
        let address = first.address().to_string();
        // A client that is connected at the end keeps its half of the connection for a while.
        let _client = first.raw("a", 0);
        let _stranger = first.stranger();
        first.process.signal(signal);
        first.process.end();
        let second = Process::start(&mut server(&["--listen", &address]));
        second.stdout.wait_for("[STARTING]");
        second.stderr.wait_for(&format!("listening on {address}"));
    }
}

#[test]
fn a_known_port_adds_nothing_to_the_transcript() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = holder.local_addr().expect("it is bound").to_string();
    drop(holder);
    let server = Process::start(&mut server(&["10", "--listen", &address]));
    server.stderr.wait_for("listening on");
    server.signal(Signal::TERM);
    server
        .end()
        .expect_code(0)
        .expect_stdout("[STARTING] Listening for 10 clients...\n");
}
