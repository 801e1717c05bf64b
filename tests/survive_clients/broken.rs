//! Connections that break at random moments while commands are sent, run and streamed: nothing is
//! lost, nothing runs twice, and no byte of output differs.
//!
//! `CUTS` says how many connections are broken; `tests/broken.sh` breaks a thousand.

use crate::support::proxy::{Proxy, Way};
use crate::support::{Server, tunnel};
use client::{
    Client, ClientEvent, Command, Config, ExecutionResult, Executor, Job, OutputStream, Resumed,
    SendEvent, Status, Tier,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CUTS: usize = 40;
const SENDERS: usize = 3;
const EXECUTORS: usize = 4;
const NUMBER: &str = "CUTS is a number";

/// How many times each word was executed.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<String, usize>>>);

/// What a command writes: different for each, and in several pieces.
fn output(word: &str) -> Vec<u8> {
    let lines = 1 + word.len() * 7919 % 400;
    (0..lines)
        .flat_map(|n| format!("{word} {n}\n").into_bytes())
        .collect()
}

impl Executor for Runs {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let word = &job.words()[0];
        *self
            .0
            .lock()
            .expect("no panic")
            .entry(word.clone())
            .or_default() += 1;
        for piece in output(word).chunks(1000) {
            if !job.write(OutputStream::Stdout, piece) {
                break;
            }
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..3)));
        }
        ExecutionResult::exited(0, Vec::new())
    }
}

fn join(network: &Proxy, name: &str, tier: u8, slots: u32, runs: &Runs) -> Client {
    let config = Config {
        server: network.address().to_string(),
        name: Some(name.into()),
        slots: Some(slots),
        tier: Tier::new(tier.into()).ok(),
        hold: true,
        ..Config::default()
    };
    Client::connect(config, runs.clone()).expect("a server")
}

/// Sends one command after the other until it is over; returns how many had outcomes.
fn send(client: &Client, number: usize, over: &AtomicBool) -> usize {
    let mut sent = 0;
    while !over.load(Ordering::SeqCst) {
        let word = format!("s{number}-{}", "x".repeat(sent % 50) + &sent.to_string());
        let to = match sent % 3 {
            0 => format!("w{}", sent % EXECUTORS),
            1 => "next:w*".to_owned(),
            _ => "least-loaded:w*".to_owned(),
        };
        let command = Command::new([&word]).to(&to).window(64 << 10);
        let handle = client
            .send(command)
            .expect("it waits while there is no connection");
        let (mut wrote, mut outcomes) = (Vec::new(), 0);
        loop {
            match handle.receiver().recv().expect("an end") {
                SendEvent::Output(piece) => wrote.extend_from_slice(&piece.bytes),
                SendEvent::Outcome(outcome) => {
                    assert_eq!(outcome.status, Status::Done, "{word}: {outcome:?}");
                    outcomes += 1;
                }
                SendEvent::End(Ok(_)) => {
                    assert_eq!(outcomes, 1, "{word}");
                    assert!(wrote == output(&word), "{word}: {} bytes", wrote.len());
                    break;
                }
                // All that it could reach are away.
                SendEvent::End(Err(error)) => {
                    assert_eq!(
                        error.code(),
                        Some(client::Code::NoTarget),
                        "{word}: {error}"
                    );
                    std::thread::sleep(Duration::from_millis(10));
                    break;
                }
                _ => {}
            }
        }
        sent += 1;
    }
    sent
}

fn break_one(network: &Proxy) {
    match fastrand::u8(0..8) {
        0 => network.swallow(Way::ToServer),
        1 => network.swallow(Way::ToClient),
        2 => {
            network.swallow(Way::ToServer);
            network.swallow(Way::ToClient);
        }
        3 => network.stall(Duration::from_millis(fastrand::u64(0..3000))),
        _ => network.reset(),
    }
}

#[test]
fn connections_that_break_at_random_moments_cost_nothing() {
    if tunnel::is_carrier() {
        // A tunnel ends what breaks in the clear.
        return;
    }
    let cuts = std::env::var("CUTS").map_or(CUTS, |cuts| cuts.parse().expect(NUMBER));
    let server = Server::start(20, &["--heartbeat", "500ms"]);
    let runs = Runs::default();
    let network = || Proxy::to(server.address());
    let networks: Vec<Proxy> = (0..SENDERS + EXECUTORS).map(|_| network()).collect();
    let (senders, executors) = networks.split_at(SENDERS);
    let senders = senders.iter().enumerate();
    let senders = senders.map(|(n, network)| join(network, &format!("s{n}"), 5, 0, &runs));
    let executors = executors.iter().enumerate();
    let executors = executors.map(|(n, network)| join(network, &format!("w{n}"), 9, 4, &runs));
    let (senders, executors): (Vec<_>, Vec<_>) = (senders.collect(), executors.collect());
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (number, client) in senders.iter().enumerate() {
            let (over, sent) = (&over, &sent);
            scope.spawn(move || sent.fetch_add(send(client, number, over), Ordering::SeqCst));
        }
        for _ in 0..cuts {
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..60)));
            break_one(fastrand::choice(&networks).expect("there are some"));
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(sent.load(Ordering::SeqCst) > SENDERS, "they sent");
    let runs = runs.0.lock().expect("no panic");
    let twice: Vec<_> = runs.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let mut resumed = 0;
    for client in senders.iter().chain(&executors) {
        for event in client.events().try_iter() {
            match event {
                ClientEvent::Resumed { kept, .. } => {
                    assert_eq!(kept, Resumed::Lines);
                    resumed += 1;
                }
                ClientEvent::Lost(_) | ClientEvent::Rejoined { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
    }
    assert!(resumed > 0, "some broke");
}
