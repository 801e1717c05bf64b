//! The file of `--state`: one that is damaged or cannot be written, and what of it counts no more.

use crate::resume::NOT_RESUMABLE;
use crate::resume_claims::come_back_as;
use crate::state::{Line, come_back, end, join, shown};
use crate::support::auth;
use crate::support::held::{Held, ask, resume};
use crate::support::{Raw, Server, ranking, write_secret};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn what_is_readable_of_a_file_that_is_cut_counts() {
    let Some(mut line) = Line::new(&[]) else {
        return;
    };
    let server = line.next(9);
    let mut held = join(&server, "held", 5, 0);
    line.wait_until_written(&[&held]);
    end(server, Signal::KILL);
    let text = line.text();
    let damaged = format!("{text}\0\0\0\n{{\"place\":{{}}}}\n{{\"gone\":1");
    write_secret(line.state(), damaged);
    let server = line.next(9);
    server.wait_stderr("the cut", |line| line.contains("in the middle of a line"));
    server.wait_stderr("the rest", |line| line.ends_with("are passed over: 2"));
    come_back(&mut held, 0);
}

#[test]
fn places_beyond_the_clients_that_are_accepted_are_not_held_and_the_others_count() {
    let Some(mut line) = Line::new(&[]) else {
        return;
    };
    let server = line.next(9);
    let low = join(&server, "low", 9, 1);
    let (mut a, b) = (join(&server, "a", 5, 0), join(&server, "b", 5, 0));
    line.wait_until_written(&[&low, &a, &b]);
    end(server, Signal::KILL);
    let server = line.next(2);
    server.wait_stderr("the one", |line| {
        line.contains("the place of low is not held")
    });
    let full = Raw::connect(&server).error("join", &json!({"protocol": 1}));
    assert_eq!(full["data"]["reason"], "full");
    come_back(&mut a, 0);
    let answer = ask(server.address(), &resume(&low.token(), 0))
        .expect("an answer")
        .1;
    assert_eq!(answer["error"]["code"], NOT_RESUMABLE);
}

#[test]
fn a_place_whose_credential_is_gone_or_gives_less_is_not_held() {
    let mut auth = auth::Auth::new(auth::ROLES);
    for id in ["web1", "web2", "web3", "alice"] {
        let role = if id == "alice" { "operator" } else { "agent" };
        auth.add(id, role, &format!("names = [\"{id}\"]"));
    }
    let path = auth.path();
    let Some(mut line) = Line::new(&["--auth", path.to_str().expect("text")]) else {
        return;
    };
    let server = line.next(9);
    let join = |id: &str| {
        let params = json!({"name": id, "token": auth::token(id)});
        let mut held = Held::join_with(server.address(), params);
        held.confirm();
        held
    };
    let all = ["web1", "web2", "web3", "alice"].map(join);
    line.wait_until_written(&all.each_ref());
    let text = line.text();
    for held in &all {
        assert!(!text.contains(&held.token()), "hashes alone");
    }
    assert!(!text.contains("canary"), "no credential's token");
    let [web1, web2, web3, alice] = all;
    end(server, Signal::KILL);
    // One is gone, and one has another role.
    auth.replace(&auth.text().replace(
        "id = \"web3\"\nrole = \"agent\"",
        "id = \"web3\"\nrole = \"viewer\"",
    ));
    let text = fs::read_to_string(&path).expect("it");
    let entry = text
        .split("[[credentials]]")
        .find(|entry| entry.contains("\"web2\""));
    auth.replace(&text.replace(&format!("[[credentials]]{}", entry.expect("it")), ""));
    let server = line.next(9);
    for gone in ["web2", "web3"] {
        let what = format!("the place of {gone} is not held: ");
        server.wait_stderr(gone, |line| line.contains(&what));
    }
    let mut boss = auth.join(&server, "alice", json!({}));
    assert_eq!(shown(&mut boss)[0], ("alice".into(), true));
    for (id, held, expected) in [
        ("web2", &web2, json!(2)),
        ("web3", &web3, json!(NOT_RESUMABLE)),
        // Another's place, which is not used up.
        ("alice", &web1, json!(NOT_RESUMABLE)),
    ] {
        assert_eq!(
            come_back_as(&server, id, &held.token())["error"]["code"],
            expected,
            "{id}"
        );
    }
    let answer = come_back_as(&server, "web1", &web1.token());
    let back = &answer["result"];
    assert_eq!(
        (&back["resumed"], &back["identity"]),
        (&json!("rank"), &json!("web1")),
        "{answer}"
    );
    assert_eq!(
        come_back_as(&server, "alice", &alice.token())["result"]["rank"],
        0
    );
    end(server, Signal::KILL);
    // A server that knows no credentials holds none of these places.
    line.options.clear();
    let server = line.next(9);
    let mut observer = Raw::join(&server, "observer", 0);
    assert_eq!(ranking(&mut observer), ["observer"]);
}

#[test]
fn a_file_that_cannot_be_written_stops_nothing_is_said_once_and_is_written_again() {
    let Some(mut line) = Line::new(&[]) else {
        return;
    };
    let server = line.next(9);
    let allow = |bytes: Option<u64>| {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Pid::from_raw(server.pid() as i32), Resource::Fsize, limit).expect("it is ours");
    };
    let complaints = || {
        let lines = server.stderr_lines();
        lines
            .iter()
            .filter(|line| line.contains("cannot write the state"))
            .count()
    };
    let first = join(&server, "first", 5, 0);
    line.wait_until_written(&[&first]);
    allow(Some(10));
    let mut second = join(&server, "second", 5, 0);
    server.wait_stderr("the trouble", |line| {
        line.contains("cannot write the state")
    });
    // It goes on, with a try each second.
    let until = Instant::now() + Duration::from_millis(2500);
    let mut boss = Raw::join(&server, "boss", 0);
    while Instant::now() < until {
        let id = boss.request("ping", &json!({}));
        boss.answer(&id);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(complaints(), 1);
    assert!(!line.text().contains("\"second\""));
    allow(None);
    line.wait_until_written(&[&second]);
    server.wait_stderr("the end of it", |line| line.contains("is written again"));
    assert_eq!(complaints(), 1);
    // One that is deleted is made anew.
    fs::remove_file(line.state()).expect("it is there");
    let third = join(&server, "third", 5, 0);
    line.wait_until_written(&[&first, &second, &third]);
    drop(boss);
    end(server, Signal::KILL);
    let _server = line.next(9);
    come_back(&mut second, 1);
}

#[test]
fn without_the_option_nothing_is_kept() {
    let Some(line) = Line::new(&[]) else { return };
    let server = Server::start(9, &[]);
    let mut held = join(&server, "held", 5, 0);
    let threads = format!("/proc/{}/task", server.pid());
    let names = fs::read_dir(threads).into_iter().flatten().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    assert!(!names.into_iter().any(|name| name.trim() == "state"));
    server.terminate();
    let bye = held.wait_for("bye", |message| message["method"] == "bye");
    assert_eq!(bye["params"]["held"], Value::Null);
    assert!(!line.state().exists());
}
