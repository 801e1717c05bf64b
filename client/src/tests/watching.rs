//! Watching: the first state, what changes, and the end of it.

use super::*;
use crossbeam_channel::RecvTimeoutError;

/// What a server tells, with a number by which it is told apart.
fn watched(commands: u64) -> Value {
    json!({
        "server": {"version": "1", "commit": "x", "run": "r", "address": "a", "started_ms": 1, "members": 1,
            "max": 9, "draining": false, "commands": commands, "outcomes": {"done": 1, "of a later version": 2},
            "p50_ms": null, "p99_ms": 1.5},
        "now": 5, "now_ms": 6, "of a later version": [],
    })
}

/// Has a client watch, and answers it with a state.
fn watch(client: &Client, server: &mut FakeServer, commands: u64) -> Watch {
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| client.watch().expect("the server lets it"));
        let request = server.read_method("watch");
        // Of an earlier watch: it comes before the answer.
        server.tell("watched", watched(0));
        let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": watched(commands)});
        server.write(&answer);
        watching.join().expect("no panic")
    })
}

fn told(watch: &Watch) -> u64 {
    let told = watch.told().recv_timeout(PATIENCE).expect("something");
    told.server.commands
}

fn is_over(watch: &Watch) -> bool {
    let end = watch.told().recv_timeout(PATIENCE);
    matches!(end, Err(RecvTimeoutError::Disconnected))
}

#[test]
fn a_watch_begins_with_the_state_and_ends_with_the_next_one_or_its_owner() {
    let (client, mut server) = pair();
    let first = watch(&client, &mut server, 1);
    server.tell("watched", watched(2));
    server.tell("watched", json!({"server": "nonsense"}));
    server.tell("watched", watched(3));
    assert_eq!([told(&first), told(&first), told(&first)], [1, 2, 3]);
    let second = watch(&client, &mut server, 4);
    // What came before the answer was for the first one.
    assert_eq!(told(&first), 0);
    assert!(is_over(&first));
    drop(first);
    server.tell("watched", watched(5));
    assert_eq!([told(&second), told(&second)], [4, 5]);
    drop(second);
    let end = server.read_method("watch");
    assert_eq!(
        end["params"],
        json!({"on": false}),
        "the second one alone says so"
    );
    server.write(&json!({"jsonrpc": "2.0", "id": end["id"], "result": {}}));
    let third = watch(&client, &mut server, 6);
    assert_eq!(told(&third), 6);
    server.close();
    assert!(is_over(&third));
}

#[test]
fn a_program_that_takes_nothing_hears_the_end_and_not_a_part() {
    let (client, mut server) = pair();
    let watch = watch(&client, &mut server, 0);
    for n in 1..1000 {
        server.tell("watched", watched(n));
    }
    // Its answer comes behind all of them.
    std::thread::scope(|scope| {
        let pinging = scope.spawn(|| client.ping().expect("an answer"));
        let ping = server.read_method("ping");
        server.write(&json!({"jsonrpc": "2.0", "id": ping["id"], "result": {}}));
        pinging.join().expect("no panic")
    });
    let mut next = 0;
    while let Ok(told) = watch.told().try_recv() {
        assert_eq!(told.server.commands, next, "none is left out");
        next += 1;
    }
    assert!((1..1000).contains(&next) && is_over(&watch), "{next}");
}

#[test]
fn a_refusal_is_the_error() {
    let (client, mut server) = pair();
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| client.watch());
        let request = server.read_method("watch");
        let error = json!({"code": 11, "message": "no", "data": {"reason": "forbidden"}});
        server.write(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
        let refused = watching.join().expect("no panic").expect_err("refused");
        assert_eq!(refused.code(), Some(Code::Forbidden));
    });
}
