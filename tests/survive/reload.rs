//! The auth file changes at a server with many clients: those that it does not concern notice nothing.

use std::time::{Duration, Instant};

use crate::support::auth::{Auth, ROLES};
use crate::support::{Execute, Raw, allow_many_sockets, alone, loosely};
use serde_json::{Value, json};

const OTHERS: usize = 1000;

/// How soon a revoked client is gone.
const SOON: Duration = Duration::from_secs(3);

/// The names of all clients, in the order of their ranks: two pages of `members`.
fn ranked(observer: &mut Raw) -> Vec<Value> {
    let pages = [0, 1000].map(|from| observer.result("members", &json!({"from": from})));
    let members = pages.iter().flat_map(|page| page["members"].as_array());
    let names: Vec<Value> = members.flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(pages[1]["total"], names.len());
    names
}

#[test]
fn a_thousand_clients_keep_connection_rank_and_commands_while_another_is_revoked() {
    let _turn = alone();
    allow_many_sockets();
    let auth = Auth::new(ROLES)
        .with("alice", "operator", "names = [\"alice\"]")
        .with("fleet", "agent", "names = [\"*\"]")
        .with("gone", "agent", "names = [\"gone\"]");
    let server = auth.server(OTHERS + 2, &[]);
    let mut alice = auth.join(&server, "alice", json!({"name": "alice"}));
    let join = |id: &str, name: String| {
        let params = json!({"name": name, "rank_news": false, "slots": 1});
        auth.join(&server, id, params)
    };
    let mut others: Vec<Raw> = (0..OTHERS)
        .map(|n| join("fleet", format!("n{n}")))
        .collect();
    let mut gone = join("gone", "gone".into());
    let mut before = ranked(&mut alice);
    let sent = alice.command("below", &["x"]);
    let running: Vec<Execute> = others.iter_mut().map(Raw::execute).collect();
    gone.execute();

    auth.without("gone");
    let began = Instant::now();
    gone.expect_bye("revoked");
    assert!(began.elapsed() <= loosely(SOON), "{:?}", began.elapsed());
    assert_eq!(before.pop(), Some(json!("gone")));
    assert!(ranked(&mut alice) == before, "ranks have changed");
    for (other, running) in others.iter_mut().zip(&running) {
        other.expect_nothing("it is no matter of this client");
        other.reply(running, &json!({"exit_code": 0}));
    }
    let tally = alice.result_of(&sent);
    assert_eq!(
        (&tally["targets"], &tally["done"], &tally["lost"]),
        (&json!(OTHERS + 1), &json!(OTHERS), &json!(1)),
        "{tally}"
    );
}
