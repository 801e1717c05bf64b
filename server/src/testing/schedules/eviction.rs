//! Members that end, or are held to other rules, while their sessions go on.

use super::{Client, LATER, World, explore, join_all};
use crate::authority::grant::Proof;
use crate::authority::{Authority, Rules};
use crate::config::Config;
use crate::dispatch::flush_set::FlushSet;
use crate::eviction;
use crate::hub::Hub;
use crate::testing;
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use serde_json::{Value, json};
use shuttle::thread::{self, JoinHandle};
use std::path::Path;

/// The token of each client; what stands for its random bytes differs.
fn token(letter: &str) -> String {
    format!("po1_testkey1_{}", letter.repeat(43))
}

/// Two credentials: `boss` sends, and `worker` executes.
fn rules(of_boss: &str) -> Rules {
    let [boss, worker] = ["b", "w"].map(|letter| match Proof::of(Some(&token(letter)), None) {
        Some(Proof::Token(hash)) => hash,
        _ => panic!("it is a token"),
    });
    let text = format!(
        "version = 1\n\
         [roles.boss]\nmay = [\"send\"]\nallow = [{{ to = \"*\", commands = [\"*\"] }}]\n{of_boss}\n\
         [roles.worker]\nmay = [\"execute\"]\ntier = 9\n\
         [[credentials]]\nid = \"boss\"\nrole = \"boss\"\ntoken = \"{boss}\"\n\
         names = [\"boss\"]\nconnections = 1\nreplace = true\n\
         [[credentials]]\nid = \"worker\"\nrole = \"worker\"\ntoken = \"{worker}\"\n\
         names = [\"a\", \"b\"]\n"
    );
    Rules::read(text.as_bytes(), Path::new("auth.toml")).unwrap_or_else(|e| panic!("{e}"))
}

fn world(authority: &Authority) -> World {
    World::of(Config {
        authority: Some(authority.clone()),
        ..Config::default()
    })
}

fn boss() -> Value {
    json!({"protocol": 1, "name": "boss", "token": token("b")})
}

fn worker(name: &str) -> Value {
    json!({"protocol": 1, "name": name, "slots": 1, "token": token("w")})
}

#[test]
fn what_a_client_sends_while_the_server_ends_it_is_cancelled_or_not_taken() {
    explore(|| {
        expect_nothing_runs(|world| {
            let hub = Arc::clone(&world.hub);
            world.sessions.push(thread::spawn(move || {
                let boss = testing::find(&hub, "boss").expect("it joined");
                let mut flushes = FlushSet::new(&hub.timers);
                eviction::evict(&hub, &boss, eviction::REPLACED, &mut flushes);
            }));
        });
    });
}

#[test]
fn what_a_client_sends_while_another_takes_its_place_is_cancelled_or_not_taken() {
    explore(|| {
        expect_nothing_runs(|world| {
            let other = world.join_as(&boss());
            other.leave();
            other.stream.shutdown_write();
        });
    });
}

/// A client sends while `end` has it end.
fn expect_nothing_runs(end: impl FnOnce(&mut World)) {
    let mut world = world(&rules("").into());
    let mut sender = world.join_as(&boss());
    let workers = ["a", "b"].map(|name| world.join_as(&worker(name)));
    let timers = world.start_timers();
    let sessions = world.sessions.split_off(1);
    sender.send(1, "all");
    sender.send(2, "a");
    end(&mut world);
    expect_only_bye(&mut sender);
    sender.stream.shutdown();
    join_all(world.sessions.drain(..));
    world.is_over.store(true, Ordering::SeqCst);
    join_all([timers]);
    for place in testing::ranked(&world.hub.roster) {
        // A thread may still be writing to it, and looks again.
        place.member.connection.finish(None, LATER);
    }
    workers.into_iter().for_each(expect_cancelled);
    join_all(sessions);
}

/// A client that ends hears of what it sent, and then why it ends; nothing else.
fn expect_only_bye(client: &mut Client) {
    let mut last = None;
    while let Some(message) = client.hear() {
        assert!(message.get("error").is_none(), "{message}");
        last = Some(message);
    }
    let last = last.expect("a bye");
    assert_eq!(last["method"], "bye", "{last}");
}

/// All that a client was to execute was cancelled.
fn expect_cancelled(mut client: Client) {
    let mut running = Vec::new();
    while let Some(message) = client.hear() {
        match message["method"].as_str() {
            Some("execute") => running.push(message["id"].clone()),
            Some("cancel") => running.retain(|id| *id != message["params"]["id"]),
            _ => {}
        }
    }
    assert!(running.is_empty(), "these run on: {running:?}");
    client.stream.shutdown();
}

#[test]
fn a_member_that_two_threads_hold_is_held_to_the_newest_rules() {
    explore(|| {
        let authority = Authority::from(rules("max_sends = 1"));
        let mut world = world(&authority);
        let client = world.join_as(&boss());
        let newer = thread_of(&world.hub, move |hub| {
            authority.put(rules("max_sends = 2"));
            hold(hub);
        });
        join_all([thread_of(&world.hub, hold), newer]);
        let member = testing::find(&world.hub, "boss").expect("it stays");
        let grant = member.bearer.as_ref().expect("a credential").grant();
        assert_eq!(grant.role().max_sends, Some(2));
        client.stream.shutdown();
        join_all(world.sessions);
    });
}

fn hold(hub: &Hub) {
    let member = testing::find(hub, "boss").expect("it joined");
    let mut flushes = FlushSet::new(&hub.timers);
    assert!(eviction::hold(hub, &member, &mut flushes));
}

fn thread_of(hub: &Arc<Hub>, does: impl FnOnce(&Hub) + Send + 'static) -> JoinHandle<()> {
    let hub = Arc::clone(hub);
    thread::spawn(move || does(&hub))
}
