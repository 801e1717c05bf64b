//! Hundreds of clients of the library against a server in the same process.

use client::{Client, ClientEvent, Command, Config, ExecutionResult, Job, Simulation, Status};
use server::{Running, Server};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long something may take that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn server(max_clients: u32) -> Running {
    let config = server::Config {
        listen: "127.0.0.1:0".into(),
        max_clients,
        ..server::Config::default()
    };
    Server::bind(config)
        .and_then(Server::spawn)
        .expect("loopback has a free port")
}

fn config(server: &Running, slots: u32) -> Config {
    Config {
        server: server.address().to_string(),
        slots: Some(slots),
        connect_timeout: PATIENCE,
        ..Config::default()
    }
}

fn join(server: &Running, slots: u32) -> Client {
    Client::connect(config(server, slots), Simulation).expect("there is a place")
}

/// Waits until a condition holds that the other side brings about.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn ranks_stay_whole_while_hundreds_join_and_leave() {
    const CLIENTS: usize = 500;
    let server = server(CLIENTS as u32);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| join(&server, 1)).collect();
    for (rank, client) in clients.iter().enumerate() {
        assert_eq!(client.rank() as usize, rank, "first come, first ranked");
    }
    let refused = Client::connect(config(&server, 1), Simulation).expect_err("it is full");
    assert!(
        refused
            .to_string()
            .contains("(500, the N of `pecking-server N`)"),
        "{refused}"
    );

    // Every second one leaves, from several threads at once.
    let mut leave: Vec<Vec<Client>> = (0..8).map(|_| Vec::new()).collect();
    let mut stay = Vec::new();
    for (n, client) in clients.into_iter().enumerate() {
        match n % 2 {
            0 => leave[n % 16 / 2].push(client),
            _ => stay.push(client),
        }
    }
    std::thread::scope(|scope| {
        for group in leave {
            scope.spawn(move || drop(group));
        }
    });
    for (rank, client) in stay.iter().enumerate() {
        eventually("each client learns its new rank", || {
            client.rank() as usize == rank
        });
    }
    let ranking = stay[0].all_members().expect("the server answers");
    let listed: Vec<(u64, u32)> = ranking.members.iter().map(|m| (m.member, m.rank)).collect();
    let expected: Vec<(u64, u32)> = stay
        .iter()
        .zip(0..)
        .map(|(c, rank)| (c.member(), rank))
        .collect();
    assert_eq!(listed, expected, "the order of joining, without gaps");
    let handle = server.handle();
    drop(stay);
    eventually("all clients are gone", || handle.clients() == 0);
}

#[test]
fn those_who_move_up_are_told_a_few_times_and_not_once_a_leave() {
    const CLIENTS: u32 = 200;
    let server = server(CLIENTS);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| join(&server, 1)).collect();
    let last = clients.pop().expect("clients");
    let events = last.events().clone();
    drop(clients);
    eventually("the last one ranks first", || last.rank() == 0);
    let news = events
        .try_iter()
        .filter(|e| matches!(e, ClientEvent::Rank { .. }))
        .count();
    assert!(
        (1..=100).contains(&news),
        "{news} rank lines for {} leaves",
        CLIENTS - 1
    );
}

#[test]
fn one_command_to_hundreds_has_one_outcome_of_each() {
    const EXECUTORS: usize = 300;
    let server = server(EXECUTORS as u32 + 1);
    let boss = join(&server, 0);
    let executors: Vec<Client> = (0..EXECUTORS).map(|_| join(&server, 1)).collect();
    for _ in 0..5 {
        let outcomes = boss
            .send(Command::new(["print"]).to("below"))
            .expect("connected")
            .wait()
            .expect("taken");
        assert_eq!(outcomes.len(), EXECUTORS);
        let mut members: Vec<u64> = outcomes.iter().filter_map(|o| o.member).collect();
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), EXECUTORS, "each target once");
        for outcome in &outcomes {
            assert!(outcome.succeeded(), "{outcome:?}");
            assert_eq!(outcome.stdout, b"i am printing watch me print\n");
        }
    }
    drop(executors);
}

#[test]
fn a_burst_arrives_whole_in_order_and_once() {
    const BURST: usize = 500;
    let server = server(2);
    let boss = join(&server, 0);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let worker = Client::connect(config(&server, 1), move |job: &Job| {
        record
            .lock()
            .expect("no panic")
            .push(job.words()[0].clone());
        ExecutionResult::exited(0, "")
    });
    let worker = worker.expect("there is a place");
    let sent: Vec<_> = (0..BURST)
        .map(|n| boss.send(Command::new([n.to_string()])).expect("connected"))
        .collect();
    for sent in sent {
        assert!(sent.wait().expect("taken")[0].succeeded());
    }
    let expected: Vec<String> = (0..BURST).map(|n| n.to_string()).collect();
    assert_eq!(*seen.lock().expect("no panic"), expected);
    drop(worker);
}

#[test]
fn every_target_that_leaves_in_the_middle_is_one_outcome() {
    const EXECUTORS: usize = 100;
    const SENDS: usize = 50;
    let server = server(EXECUTORS as u32 + 1);
    let boss = join(&server, 0);
    let started = Arc::new(AtomicUsize::new(0));
    let executors: Vec<Client> = (0..EXECUTORS)
        .map(|n| {
            let started = Arc::clone(&started);
            let slow = move |job: &Job| {
                if n % 2 == 0 {
                    started.fetch_add(1, Ordering::Relaxed);
                    // Until its client leaves.
                    job.wait_for_stop(Some(Instant::now() + PATIENCE));
                }
                ExecutionResult::exited(0, "")
            };
            Client::connect(config(&server, 1), slow).expect("there is a place")
        })
        .collect();
    let sent: Vec<_> = (0..SENDS)
        .map(|_| {
            boss.send(Command::new(["x"]).to("below"))
                .expect("connected")
        })
        .collect();
    boss.ping().expect("the server took everything before it");
    eventually("the slow ones execute", || {
        started.load(Ordering::Relaxed) >= EXECUTORS / 2
    });
    drop(executors.into_iter().step_by(2).collect::<Vec<_>>());
    let mut lost = 0;
    for sent in sent {
        let outcomes = sent.wait().expect("taken");
        assert_eq!(outcomes.len(), EXECUTORS, "one outcome of each target");
        lost += outcomes.iter().filter(|o| o.status == Status::Lost).count();
        let known = [Status::Done, Status::Lost, Status::Cancelled];
        assert!(outcomes.iter().all(|o| known.contains(&o.status)));
    }
    assert!(lost > 0, "half of them left in the middle");
}
