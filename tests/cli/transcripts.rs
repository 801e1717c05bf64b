//! What the two programs print, against transcripts: those of the originals, with names in
//! place of ports, and what this port adds to them.

use crate::support::programs::{Process, Server};
use rustix::process::Signal;

/// The first original's server with five clients, to the letter.
const TEN_CLIENTS: &str = include_str!("../transcripts/server-ten-clients.txt");
/// The first original's server as its clients leave, to the letter.
const DISCONNECTING: &str = include_str!("../transcripts/server-disconnecting.txt");
/// More clients than are worth a whole ranking.
const CROWD: &str = include_str!("../transcripts/server-crowd.txt");

/// The port of a client: the log has it beside its name.
#[track_caller]
fn port(server: &Server, name: &str) -> u16 {
    let joined = format!(" joined as {name},");
    server.process.stderr.wait(&joined, |log| {
        let line = log.lines().find(|line| line.contains(&joined))?;
        let (before, _) = line.split_once(&joined)?;
        before.rsplit(':').next()?.parse().ok()
    })
}

/// A transcript with ports in place of names.
#[track_caller]
fn with_ports(server: &Server, transcript: &str, names: &[&str]) -> String {
    names.iter().fold(transcript.to_owned(), |text, name| {
        text.replace(&format!("{{{name}}}"), &port(server, name).to_string())
    })
}

/// What the server printed behind its address, once that has so many lines.
#[track_caller]
fn transcript(server: &Server, lines: usize) -> String {
    server
        .process
        .stdout
        .wait(&format!("{lines} lines"), |text| {
            let (_, text) = text.split_once('\n')?;
            (text.lines().count() >= lines && text.ends_with('\n')).then(|| text.to_owned())
        })
}

#[track_caller]
fn expect_transcript(server: &Server, expected: &str) {
    let printed = transcript(server, expected.lines().count());
    assert_eq!(printed, expected, "what the server printed");
}

/// Waits until the server has printed that a client is gone.
#[track_caller]
fn wait_disconnect(server: &Server, port: u16) {
    let line = format!("[Disconnect]  socket ('127.0.0.1', {port}) has disconnected\n");
    server.process.stdout.wait_for(&line);
}

/// What a client printed, with one word in place of the one thing that differs each time.
fn without_times(shown: &str) -> String {
    let lines = shown.lines().map(|line| match line.rsplit_once(" (") {
        Some((before, time)) if time.ends_with("s)") => format!("{before} (TIME)\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Ends a client's lines and checks all that it printed.
#[track_caller]
fn expect_client(mut client: Process, code: i32, expected: &str) {
    client.feed_no_more();
    let ended = client.end();
    ended.expect_code(code);
    assert_eq!(without_times(ended.text()), expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_server_for_ten_prints_what_the_original_did() {
    let server = Server::start(&["10"]);
    let names = ["first", "second", "third", "fourth", "fifth"];
    let clients = names.map(|name| server.fed(name));
    expect_transcript(&server, &with_ports(&server, TEN_CLIENTS, &names));
    drop(clients);
}

#[test]
fn leaving_is_printed_as_the_original_did_however_a_client_goes() {
    let server = Server::start(&["10"]);
    let names = ["first", "second", "third"];
    let [mut first, mut second, third] = names.map(|name| server.fed(name));
    let ports = names.map(|name| port(&server, name));
    // A head line, then for each client a line that it came and those of the ranking.
    let before = transcript(&server, 1 + 2 + 3 + 4);

    // One is killed, one says so, and the last one's input ends.
    third.signal(Signal::KILL);
    wait_disconnect(&server, ports[2]);
    second.feed("exit\n");
    wait_disconnect(&server, ports[1]);
    first.feed_no_more();
    wait_disconnect(&server, ports[0]);

    second.end().expect_code(0);
    first.end().expect_code(0);
    let expected = before + &with_ports(&server, DISCONNECTING, &names);
    expect_transcript(&server, &expected);
    server.process.signal(Signal::TERM);
    let ended = server.process.end();
    let (_, printed) = ended.text().split_once('\n').expect("an address");
    assert_eq!(printed, expected, "nothing more until the end");
}

#[test]
fn a_crowd_is_counted_instead_of_listed() {
    let server = Server::start(&["50"]);
    let names: Vec<String> = (0..22).map(|n| format!("crowd{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut crowd: Vec<Process> = Vec::new();
    for name in &names {
        crowd.push(server.worker(name));
    }
    for leaver in [7, 20] {
        let leaver = crowd.remove(leaver);
        leaver.signal(Signal::TERM);
        leaver.end().expect_code(0);
    }
    // Nineteen whole rankings come before those that are of interest here.
    let before: usize = (1..=19).map(|clients| 1 + clients).sum();
    let printed = transcript(&server, 1 + before + CROWD.lines().count());
    let lines: Vec<&str> = printed.lines().skip(1 + before).collect();
    let expected = with_ports(&server, CROWD, &names);
    assert_eq!(lines.join("\n") + "\n", expected);
}

#[test]
fn quiet_prints_nothing_but_the_port() {
    let server = Server::start(&["--quiet"]);
    let worker = server.worker("web1");
    worker.signal(Signal::TERM);
    worker.end().expect_code(0);
    server.process.signal(Signal::TERM);
    let address = server.address();
    let ended = server.process.end();
    ended
        .expect_code(0)
        .expect_stdout(format!("Listening on {address}\n"));
    assert!(ended.stderr.contains("joined as web1"), "{}", ended.stderr);
}

#[test]
fn a_command_goes_down_the_ranks_as_in_the_first_original() {
    let server = Server::start(&["10"]);
    let names = ["first", "second", "third"];
    let [mut first, mut second, mut third] = names.map(|name| server.fed(name));
    first.feed("print\n");
    first.stdout.wait_for("watch me print\n");
    second.stdout.wait_for("Command Executed.\n");
    second.feed("debug\n");
    second.stdout.wait_for("watch me debug\n");
    third.stdout.wait_for("Command Executed.\n");
    third.feed("print\n");
    third.stdout.wait_for("no client is below you");

    // Both leave, one after the other, and the third one is told each time.
    expect_client(first, 0, include_str!("../transcripts/client-highest.txt"));
    second.stdout.wait_for("My new rank is 0\n");
    third.stdout.wait_for("My new rank is 1\n");
    let between = include_str!("../transcripts/client-between.txt");
    expect_client(second, 0, &format!("{between}My new rank is 0\n"));
    third.stdout.wait_for("My new rank is 0\n");
    expect_client(third, 4, include_str!("../transcripts/client-lowest.txt"));
}

#[test]
fn a_command_to_all_is_executed_below_and_refused_above_as_in_the_second_original() {
    let server = Server::start(&["10", "--dispatch", "all"]);
    let names = ["first", "second", "third"];
    let [first, mut second, third] = names.map(|name| server.fed(name));
    second.feed("print\n");
    second.stdout.wait_for("print: 2 targets");
    first.stdout.wait_for("Cannot execute command");
    third.stdout.wait_for("Command Executed.\n");
    // From the lowest to the highest, so that no rank changes.
    expect_client(third, 0, include_str!("../transcripts/all-lower.txt"));
    expect_client(second, 5, include_str!("../transcripts/all-sender.txt"));
    expect_client(first, 0, include_str!("../transcripts/all-higher.txt"));
}
