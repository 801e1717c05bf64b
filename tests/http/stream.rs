//! The stream of events: what it says, how often, and to how many members it holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::watched::KnownMembers;
use crate::support::{Raw, Still, ranked};
use crate::visitor::Shown;

/// What a page knows by what the events say.
#[derive(Default)]
struct Page {
    known: KnownMembers,
    more: bool,
    largest: usize,
}

impl Page {
    fn take(&mut self, event: &Value) {
        self.largest = self.largest.max(event.to_string().len());
        self.more = event["members"]["more"] == true;
        self.known.take(&event["members"]);
    }
}

#[test]
fn what_changes_is_told_as_it_comes() {
    let shown = Shown::start(20, &[]);
    let low = |name: &str, slots: u32| {
        Raw::join_with(
            &shown.server,
            json!({"name": name, "tier": 7, "slots": slots}),
        )
    };
    let (mut boss, mut web) = (low("boss", 0), low("web", 1));
    let (mut events, mut page) = (shown.events(), Page::default());
    let mut wait = |what: &str, is_it: &dyn Fn(&Page, &Value) -> bool| {
        events.wait(what, |event| {
            page.take(event);
            is_it(&page, event)
        })
    };
    wait("both members", &|page, _| {
        page.known.ranking() == ["boss", "web"]
    });
    let high = Raw::join_with(
        &shown.server,
        json!({"name": "high", "tier": 5, "slots": 1}),
    );
    wait("a member that ranks above them", &|page, _| {
        page.known.ranking() == ["high", "boss", "web"]
    });
    let first = boss.command("web", &["one"]);
    boss.command("web", &["two"]);
    wait("one that runs and one that waits", &|page, _| {
        page.known.load("web") == json!([1, 1])
    });
    web.serve(2);
    boss.result_of(&first);
    wait("none of either", &|page, _| {
        page.known.load("web") == json!([0, 0])
    });
    let mut commands = BTreeMap::new();
    boss.command("web", &["three"]);
    wait("a command that runs", &|_, event| {
        event["commands"][0]["outcomes"] == json!({})
    });
    web.serve(1);
    let event = wait("its outcome", &|_, event| !event["commands"].is_null());
    for command in event["commands"].as_array().expect("a list") {
        commands.insert(command["id"].as_u64(), command["outcomes"].clone());
    }
    assert_eq!(commands.into_values().last(), Some(json!({"done": 1})));
    high.leave();
    let event = wait("a departure", &|page, _| {
        page.known.ranking() == ["boss", "web"]
    });
    let departed = match event["departed"].is_null() {
        true => wait("who it was", &|_, event| !event["departed"].is_null()),
        false => event,
    };
    assert_eq!(
        (
            &departed["departed"][0]["name"],
            &departed["departed"][0]["why"]
        ),
        (&json!("high"), &json!("on purpose"))
    );
    wait("a sample of a second", &|_, event| {
        event["samples"][0]["members"] == 2
    });
}

#[test]
fn a_stream_has_ten_events_a_second_at_most() {
    let shown = Shown::start(20, &[]);
    let [mut boss, mut web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    let mut events = shown.events();
    events.next();
    let (mut told, span) = (0, Duration::from_secs(2));
    let begin = Instant::now();
    let server = &shown.server;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while begin.elapsed() < span {
                let id = boss.command("web", &["x"]);
                web.serve(1);
                boss.result_of(&id);
                Raw::join(server, "come-and-go", 0).leave();
            }
        });
        while begin.elapsed() < span {
            events.next();
            told += 1;
        }
    });
    assert!((5..=22).contains(&told), "{told} in {span:?}");
}

#[test]
fn thousands_of_members_come_in_pieces_and_each_once() {
    const MEMBERS: usize = 1500;
    crate::support::allow_many_sockets();
    let shown = Shown::start(MEMBERS, &[]);
    let tags = json!({"role": "a-rather-long-value-of-a-tag", "dc": "another-rather-long-value"});
    let join = |n: usize| {
        Still::join_with(
            &shown.server,
            json!({"name": format!("member-{n:05}"), "slots": 1, "tier": 5 + n % 5, "tags": tags}),
        )
    };
    let mut members: Vec<Still> = (0..MEMBERS).map(join).collect();
    let (mut events, mut page) = (shown.events(), Page::default());
    events.wait("all members", |event| {
        page.take(event);
        page.known.len() == MEMBERS
    });
    assert!(
        page.largest < 400 << 10,
        "{} bytes in one event",
        page.largest
    );
    let mut expected = Vec::new();
    while expected.len() < MEMBERS {
        let part = shown.json(&format!("/api/v1/members?from={}", expected.len()));
        let part = part["members"].as_array().expect("a list");
        expected.extend(
            part.iter()
                .map(|m| m["name"].as_str().expect("a name").to_owned()),
        );
    }
    assert_eq!(page.known.ranking(), expected);
    members.drain(..MEMBERS / 2);
    events.wait("half of them to leave", |event| {
        page.take(event);
        page.known.len() == MEMBERS - MEMBERS / 2
    });
}
