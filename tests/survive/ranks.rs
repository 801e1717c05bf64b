//! While some join and others leave, no client ever sees ranks with a gap, a rank twice, or two
//! members that changed places.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Raw, Server};
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
    let joined = members.iter().map(|member| member["member"].as_u64());
    assert!(joined.is_sorted(), "first come, first ranked: {answer}");
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
                    let client = Raw::join(server, &format!("c-{thread}-{n}"), 1);
                    let (rank, members) = (&client.joined["rank"], &client.joined["members"]);
                    assert_eq!(rank.as_u64().map(|rank| rank + 1), members.as_u64());
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
