//! While some join and others leave, no client ever sees ranks with a gap, a rank twice, or two
//! members that changed places; and that costs the others little.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::backpressure::expect_as_quick;
use crate::support::{IS_RELEASE, Pairs, Raw, Server, Still, Vitals, allow_many_sockets};
use serde_json::{Value, json};

/// Threads of clients that come and go, and of those that look.
const COMING: usize = 6;
const LOOKING: usize = 2;

/// For how long.
const SPAN: Duration = Duration::from_secs(4);

/// What holds of every answer to `members`.
#[track_caller]
fn check(answer: &Value) {
    let members = answer["members"].as_array().expect("a list");
    assert_eq!(answer["total"], members.len(), "all of them on one page");
    let mut names: Vec<&Value> = members.iter().map(|member| &member["name"]).collect();
    for (rank, member) in members.iter().enumerate() {
        assert_eq!(member["rank"], rank, "{answer}");
    }
    let order = |member: &Value| (member["tier"].as_u64(), member["member"].as_u64());
    let is_ranked = members.iter().map(order).is_sorted();
    assert!(is_ranked, "by tier, and first come, first ranked: {answer}");
    names.sort_by_key(ToString::to_string);
    names.dedup();
    assert_eq!(names.len(), members.len(), "twins: {answer}");
}

#[test]
fn clients_that_join_at_once_are_told_a_rank_each() {
    const EACH: usize = 15;
    let server = Server::start(COMING * EACH, &[]);
    let told = Mutex::new(Vec::new());
    let start = Barrier::new(COMING);
    std::thread::scope(|scope| {
        for thread in 0..COMING {
            let (server, told, start) = (&server, &told, &start);
            scope.spawn(move || {
                start.wait();
                let join = |n| Raw::join(server, &format!("c-{thread}-{n}"), 1);
                let clients: Vec<Raw> = (0..EACH).map(join).collect();
                told.lock().expect("no panic").extend(clients);
            });
        }
    });
    let clients = told.into_inner().expect("no panic");
    let mut ranks: Vec<_> = clients.iter().map(|c| c.joined["rank"].as_u64()).collect();
    ranks.sort_unstable();
    assert!(ranks.into_iter().eq((0..clients.len() as u64).map(Some)));
}

#[test]
fn ranks_are_whole_at_every_moment_while_some_join_and_others_leave() {
    let server = Server::start(100, &[]);
    let first = Raw::join(&server, "first", 0);
    let over = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..COMING {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                let mut here: Vec<Raw> = Vec::new();
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("c-{thread}-{n}");
                    let tier = [5, 7, 9][(thread + n) % 3];
                    let client = Raw::join_with(server, json!({"name": name, "tier": tier}));
                    let (rank, members) = (&client.joined["rank"], &client.joined["members"]);
                    assert!(rank.as_u64() < members.as_u64());
                    here.push(client);
                    if here.len() > 5 {
                        // By its word, without one, or by closing half.
                        let goes = here.remove(n % here.len());
                        match n % 3 {
                            0 => goes.leave(),
                            1 => drop(goes),
                            _ => goes.close_sending(),
                        }
                    }
                }
            });
        }
        for looking in 0..LOOKING {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                let mut client = Raw::join(server, &format!("looking-{looking}"), 0);
                let mut looks = 0;
                while began.elapsed() < SPAN || looks < 20 {
                    check(&client.result("members", &json!({})));
                    looks += 1;
                }
                over.store(true, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(first.joined["rank"], 0);
}

/// Members of the lowest tier that are told their ranks, and operators that come and go above
/// them: so many at a time, each for so long.
const BELOW: usize = if IS_RELEASE { 2000 } else { 500 };
const OPERATORS: usize = 50;
const STAY: Duration = Duration::from_secs(2);

/// What that may take of a core: that of the news, and of the operators themselves.
const SHARE: f64 = 0.1;

/// How long each part of it is measured.
const MEASURED: Duration = Duration::from_secs(if IS_RELEASE { 8 } else { 4 });

#[test]
fn operators_that_come_and_go_above_many_cost_little() {
    const PAIRS: usize = 4;
    allow_many_sockets();
    // Operators that have just left may still have their places.
    let clients = BELOW + 2 * OPERATORS + 2 * PAIRS + 1;
    let server = Server::start(clients, &["--heartbeat", "60s"]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let below = |n| json!({"name": format!("n{n}"), "tier": 9});
    let mut below: Vec<Still> = (0..BELOW)
        .map(|n| Still::join_with(&server, below(n)))
        .collect();
    let cpu = vitals.cpu();
    let began = Instant::now();
    come_and_go(&server, MEASURED);
    let share = (vitals.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();

    let pairs = Pairs::start(server.address(), PAIRS);
    let quiet_from = Instant::now();
    std::thread::sleep(MEASURED);
    let quiet_to = Instant::now();
    come_and_go(&server, MEASURED);
    let with_them = pairs.p99(quiet_to, Instant::now());
    let quiet = pairs.p99(quiet_from, quiet_to);
    println!("{share:.3} of a core; p99 {quiet:?}, with operators {with_them:?}");
    pairs.stop();
    let told = below.iter_mut().map(|one| one.read_there().len());
    assert!(told.min() > Some(0), "each is told its ranks");
    assert!(share <= if IS_RELEASE { SHARE } else { 0.5 }, "{share}");
    expect_as_quick(with_them, quiet);
}

/// Operators come and go for a while, one of them in every part of a stay.
fn come_and_go(server: &Server, span: Duration) {
    let mut here = VecDeque::new();
    let every = STAY / OPERATORS as u32;
    for n in 0..span.div_duration_f64(every) as u32 {
        let began = Instant::now();
        if here.len() == OPERATORS
            && let Some(oldest) = here.pop_front()
        {
            Still::close(oldest);
        }
        here.push_back(Still::join(server, &format!("op-{n}"), 0));
        std::thread::sleep(every.saturating_sub(began.elapsed()));
    }
    for operator in here {
        operator.close();
    }
}
