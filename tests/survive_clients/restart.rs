//! A server with `--state` that is killed, or stops, and is started anew: clients have their ranks
//! again, what was open is lost at both ends, and nothing runs twice.

use crate::support::{PATIENCE, Server, tunnel};
use client::{
    Client, ClientEvent, Command, Config, Disconnect, ExecutionResult, Executor, Job, Resumed,
    Status, Tier,
};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Notes each run in a file.
#[derive(Clone)]
struct Notes(PathBuf);

impl Notes {
    fn note(&self, what: &str) {
        let file = OpenOptions::new().append(true).create(true).open(&self.0);
        let written = file
            .expect("a file")
            .write_all(format!("{what}\n").as_bytes());
        written.expect("room");
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn wait_for(&self, line: &str) {
        until(line, || self.lines().iter().any(|known| known == line));
    }
}

impl Executor for Notes {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let word = &job.words()[0];
        self.note(&format!("{word} begins"));
        if word.starts_with("stay") {
            job.wait_for_stop(Some(Instant::now() + PATIENCE));
        }
        self.note(&format!("{word} ends"));
        ExecutionResult::exited(0, Vec::new())
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn join(server: SocketAddr, name: &str, tier: u8, notes: &Notes) -> Client {
    let config = Config {
        server: server.to_string(),
        name: Some(name.into()),
        slots: Some(u32::from(tier == 9)),
        tier: Tier::new(tier.into()).ok(),
        hold: true,
        reconnect: true,
        ..Config::default()
    };
    let client = Client::connect(config, notes.clone()).expect("a server");
    client.events();
    client
}

/// Two that execute, and one above them.
fn join_all(server: SocketAddr, notes: &Notes) -> [Client; 3] {
    [("w2", 9), ("w1", 9), ("boss", 5)].map(|(name, tier)| join(server, name, tier, notes))
}

/// Waits for an event that is one, and fails at those that may not come.
#[track_caller]
fn event<T>(client: &Client, what: &str, is_it: impl Fn(&ClientEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = client.events().recv_deadline(deadline);
        let event = event.unwrap_or_else(|_| panic!("{}: no {what}", client.name()));
        if let Some(found) = is_it(&event) {
            return found;
        }
        assert!(!matches!(event, ClientEvent::Disconnected(_)), "{event:?}");
    }
}

/// A folder, and in it the state of the servers and the notes of runs.
fn files() -> (TempDir, PathBuf, Notes) {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, runs) = (folder.path().join("state"), folder.path().join("runs"));
    (folder, state, Notes(runs))
}

/// Starts the next server there.
fn next(address: Option<SocketAddr>, state: &Path, options: &[&str]) -> Server {
    let state = ["--state", state.to_str().expect("text")];
    let options = [&state, options].concat();
    match address {
        None => Server::start(9, &options),
        Some(address) => Server::start_at_with(address, 9, &options),
    }
}

/// Ends a server, once the places of so many clients are written.
fn end(mut server: Server, signal: Signal, state: &Path, clients: usize) {
    until("all are written", || {
        let text = fs::read_to_string(state).unwrap_or_default();
        let named = ["boss", "w1", "w2"].map(|name| text.contains(&format!("\"name\":\"{name}\"")));
        named.iter().filter(|is| **is).count() == clients
    });
    server.signal(signal);
    server.wait_exit(PATIENCE);
}

#[test]
fn ranks_outlive_the_server_and_nothing_runs_twice() {
    if tunnel::is_carrier() {
        return;
    }
    let (_folder, state, notes) = files();
    let options = ["--heartbeat", "1s", "--drain", "200ms"];
    let mut server = next(None, &state, &options);
    let address = server.address();
    let clients = join_all(address, &notes);
    let [w2, w1, boss] = &clients;
    let order = [(boss, 0), (w2, 1), (w1, 2)];
    let numbers = clients.each_ref().map(Client::member);
    let mut words = Vec::new();
    for (round, signal) in [Signal::KILL, Signal::TERM, Signal::KILL]
        .into_iter()
        .enumerate()
    {
        let (stays, goes) = (format!("stay{round}"), format!("go{round}"));
        let open = boss
            .send(Command::new([&stays]).to("w1"))
            .expect("connected");
        notes.wait_for(&format!("{stays} begins"));
        end(server, signal, &state, 3);
        for client in &clients {
            let is_away = |event: &ClientEvent| match event {
                ClientEvent::Away { reason, .. } => Some(matches!(reason, Disconnect::Bye { .. })),
                _ => None,
            };
            assert_eq!(event(client, "loss", is_away), signal == Signal::TERM);
        }
        server = next(Some(address), &state, &options);
        for (client, expected) in order {
            let resumed = |event: &ClientEvent| match event {
                ClientEvent::Resumed { kept, rank, .. } => Some((*kept, *rank)),
                _ => None,
            };
            assert_eq!(event(client, "place", resumed), (Resumed::Rank, expected));
        }
        match open.wait() {
            Ok(outcomes) => assert_eq!(outcomes[0].status, Status::Lost, "{outcomes:?}"),
            Err(error) => assert!(matches!(error, client::RequestError::Lost), "{error}"),
        }
        notes.wait_for(&format!("{stays} ends"));
        assert_eq!(clients.each_ref().map(Client::member), numbers);
        let outcomes = boss
            .send(Command::new([&goes]).to("w1,w2"))
            .expect("connected")
            .wait();
        for outcome in outcomes.expect("they are here") {
            assert_eq!(outcome.status, Status::Done, "{outcome:?}");
        }
        words.extend([stays, goes]);
    }
    for word in words {
        let begun = format!("{word} begins");
        let runs = notes.lines().iter().filter(|line| **line == begun).count();
        assert_eq!(runs, if word.starts_with("go") { 2 } else { 1 }, "{word}");
    }
}

#[test]
fn a_server_that_was_away_for_longer_than_the_hold_gives_ranks_back_too() {
    if tunnel::is_carrier() {
        return;
    }
    let (_folder, state, notes) = files();
    // Long enough for a client that is dialling on a loaded machine.
    let options = ["--heartbeat", "500ms", "--hold", "2s"];
    let server = next(None, &state, &options);
    let address = server.address();
    let clients = join_all(address, &notes);
    let before = clients
        .each_ref()
        .map(|client| (client.member(), client.name()));
    end(server, Signal::KILL, &state, 3);
    for client in &clients {
        event(client, "end of the hold", |event| {
            matches!(event, ClientEvent::Lost(_)).then_some(())
        });
    }
    let _server = next(Some(address), &state, &options);
    for (client, expected) in clients.iter().zip([1, 2, 0]) {
        let rejoined = |event: &ClientEvent| match event {
            ClientEvent::Rejoined { rank, .. } => Some(*rank),
            _ => None,
        };
        assert_eq!(event(client, "place", rejoined), expected);
    }
    assert_eq!(
        clients
            .each_ref()
            .map(|client| (client.member(), client.name())),
        before
    );
}
