//! `watch`: what a client that looks is told, how often, how much of it waits, and which clients may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::support::auth::{Auth, ROLES};
use crate::support::held::Held;
use crate::support::watched::{KnownMembers, shape};
use crate::support::{Raw, Server, Still, Vitals, loosely, ranked, tunnel};
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../common/PROTOCOL.md");

/// What a client knows by what it is told.
#[derive(Default)]
struct Ladder {
    known: KnownMembers,
    /// How often something came, and how long the longest was.
    told: usize,
    longest: usize,
}

impl Ladder {
    fn take(&mut self, watched: &Value) {
        self.told += 1;
        self.longest = self.longest.max(watched.to_string().len());
        self.known.take(&watched["members"]);
    }

    /// Takes what a client is told until it says what is waited for.
    #[track_caller]
    fn wait(
        &mut self,
        watcher: &mut Raw,
        what: &str,
        is_it: impl Fn(&Ladder, &Value) -> bool,
    ) -> Value {
        loop {
            let told = watcher.wait_for(what, |message| message["method"] == "watched");
            let told = told["params"].clone();
            self.take(&told);
            if is_it(self, &told) {
                return told;
            }
        }
    }
}

fn watch(watcher: &mut Raw) -> (Ladder, Value) {
    let mut ladder = Ladder::default();
    let first = watcher.result("watch", &json!({}));
    ladder.take(&first);
    (ladder, first)
}

#[test]
fn the_first_state_is_the_answer_and_changes_follow() {
    let server = Server::start(9, &[]);
    let [mut boss, mut web] = ranked(&server, [("boss", 0), ("web", 1)]);
    let early = boss.command("web", &["early"]);
    web.serve(1);
    boss.result_of(&early);
    let mut watcher = Raw::join_with(&server, json!({"name": "viewer", "slots": 0}));
    let (mut ladder, first) = watch(&mut watcher);
    assert_eq!(ladder.known.ranking(), ["boss", "web", "viewer"]);
    assert_eq!(first["members"]["reset"], true);
    assert_eq!(first["commands"], Value::Null, "not counted until then");
    let high = Raw::join_with(&server, json!({"name": "high", "tier": 5, "slots": 1}));
    ladder.wait(&mut watcher, "a newcomer", |ladder, _| {
        ladder.known.ranking() == ["boss", "web", "viewer", "high"]
    });
    let id = boss.command("web", &["one", "two words"]);
    boss.command("web", &["waits"]);
    ladder.wait(
        &mut watcher,
        "one that runs, one that waits",
        |ladder, _| ladder.known.load("web") == json!([1, 1]),
    );
    web.serve(2);
    boss.result_of(&id);
    let mut commands = BTreeMap::new();
    let mut all_done = |told: &Value| {
        for command in told["commands"].as_array().into_iter().flatten() {
            commands.insert(command["id"].as_u64(), command.clone());
        }
        commands.len() == 2
            && commands
                .values()
                .all(|c| c["outcomes"] == json!({"done": 1}))
    };
    loop {
        let told = watcher.wait_for("both outcomes", |m| m["method"] == "watched");
        ladder.take(&told["params"]);
        if all_done(&told["params"]) {
            break;
        }
    }
    let first = commands.values().next().expect("two");
    assert_eq!(first["command"], json!(["one", "two words"]));
    assert_eq!(
        first["from"],
        json!({"member": 1, "name": "boss", "rank": 0})
    );
    assert!(first["ended_ms"].is_u64(), "{first}");
    high.leave();
    let mut departed = Value::Null;
    while departed.is_null() {
        let told = watcher.wait_for("who left", |m| m["method"] == "watched");
        ladder.take(&told["params"]);
        departed = told["params"]["departed"][0].clone();
    }
    assert_eq!(
        (&departed["name"], &departed["why"]),
        (&json!("high"), &json!("on purpose"))
    );
    ladder.wait(&mut watcher, "a sample of a second", |_, told| {
        told["samples"][0]["members"] == 3
    });
    assert_eq!(ladder.known.ranking(), ["boss", "web", "viewer"]);
}

#[test]
fn a_client_that_watches_hears_ten_times_a_second_at_most() {
    let server = Server::start(9, &[]);
    let [mut boss, mut web, mut watcher] =
        ranked(&server, [("boss", 0), ("web", 1), ("viewer", 0)]);
    let (mut ladder, _) = watch(&mut watcher);
    let span = Duration::from_secs(2);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while begin.elapsed() < span {
                let id = boss.command("web", &["x"]);
                web.serve(1);
                boss.result_of(&id);
            }
        });
        while begin.elapsed() < span {
            ladder.wait(&mut watcher, "the next one", |_, _| true);
        }
    });
    // The first state, and one more for the last look.
    assert!(
        (2..=23).contains(&ladder.told),
        "{} in {span:?}",
        ladder.told
    );
}

#[test]
fn it_ends_with_false_and_begins_anew() {
    let server = Server::start(9, &[]);
    let [mut boss, mut web, mut watcher] =
        ranked(&server, [("boss", 0), ("web", 1), ("viewer", 0)]);
    let (mut ladder, _) = watch(&mut watcher);
    ladder.wait(&mut watcher, "a sample", |_, told| {
        !told["samples"].is_null()
    });
    assert_eq!(watcher.result("watch", &json!({"on": false})), json!({}));
    assert_eq!(watcher.result("watch", &json!({"on": false})), json!({}));
    watcher.fence();
    // The thread that told it may take a moment to let go.
    let is_unseen = (0..20).any(|_| {
        assert_eq!(watcher.result("watch", &json!({"on": false})), json!({}));
        watcher.fence();
        let id = boss.command("web", &["unseen"]);
        web.serve(1);
        boss.result_of(&id);
        watcher.expect_nothing("it watches no more");
        watcher.result("watch", &json!({}))["commands"].is_null()
    });
    assert!(is_unseen, "nothing of what it did not see");
    for again in [json!({}), json!({"on": true}), json!({"on": null})] {
        let first = watcher.result("watch", &again);
        assert_eq!(first["members"]["reset"], true);
        assert_eq!(
            first["commands"],
            Value::Null,
            "nothing of what it did not see"
        );
    }
    // Twice is as good as once: what comes, comes once.
    let id = boss.command("web", &["seen"]);
    let mut told = BTreeSet::new();
    let mut samples = 0;
    while told.is_empty() || samples < 2 {
        let watched = watcher.wait_for("news", |m| m["method"] == "watched");
        let watched = &watched["params"];
        samples += watched["samples"].as_array().map_or(0, Vec::len);
        for command in watched["commands"].as_array().into_iter().flatten() {
            let outcomes = command["outcomes"].to_string();
            assert!(told.insert((command["id"].as_u64(), outcomes)), "{command}");
        }
    }
    assert_eq!(told.len(), 1);
    web.serve(1);
    boss.result_of(&id);
}

#[test]
fn wrong_parameters_are_named_and_a_notification_is_ignored() {
    let server = Server::start(9, &[]);
    let mut watcher = Raw::join(&server, "viewer", 0);
    for (params, message) in [
        (json!({"on": 1}), "params.on: "),
        (json!({"on": "no"}), "params.on: "),
        (json!([true]), "params must be an object"),
    ] {
        let error = watcher.error("watch", &params);
        assert_eq!(error["code"], -32602, "{error}");
        let said = error["message"].as_str().expect("a message");
        assert!(said.contains(message), "{said}");
    }
    watcher.notify("watch", &json!({}));
    watcher.expect_nothing("a notification is never answered");
    let mut newcomer = Raw::connect(&server);
    assert_eq!(newcomer.error("watch", &json!({}))["code"], 3);
}

#[test]
fn it_takes_the_right_to_list_as_long_as_it_lasts() {
    let auth = Auth::new(ROLES)
        .with("alice", "operator", "names = [\"alice\"]")
        .with("dora", "deployer", "names = [\"dora\"]")
        .with("fleet", "agent", "names = [\"web*\"]");
    let server = auth.server(9, &["--heartbeat", "1s"]);
    let mut alice = auth.join(&server, "alice", json!({"name": "alice", "slots": 0}));
    let mut dora = auth.join(&server, "dora", json!({"name": "dora", "slots": 0}));
    let mut web = auth.join(&server, "fleet", json!({"name": "web1", "slots": 1}));
    for client in [&mut dora, &mut web] {
        let error = client.error("watch", &json!({}));
        assert_eq!(
            (&error["code"], &error["data"]["reason"]),
            (&json!(11), &json!("forbidden"))
        );
        let rule = error["data"]["rule"].as_str().expect("a rule");
        assert!(rule.ends_with(".may.list"), "{rule}");
    }
    let (_, first) = watch(&mut alice);
    let shown = first["members"]["joined"].as_array().expect("a list");
    let web1 = shown.iter().find(|m| m["name"] == "web1").expect("web1");
    assert_eq!(
        (&web1["identity"], &web1["role"]),
        (&json!("fleet"), &json!("agent"))
    );
    auth.replace(&auth.text().replace("[\"send\", \"list\"]", "[\"send\"]"));
    let last = alice.wait_end("its right is gone");
    let last = last.last().expect("a last line");
    assert_eq!(last["params"]["reason"], "revoked", "{last}");
}

#[test]
fn more_members_than_fit_come_in_pieces() {
    let server = Server::start(400, &[]);
    let tag = "x".repeat(64);
    let tags: BTreeMap<String, &str> = (0..16).map(|n| (format!("key-{n:02}"), &*tag)).collect();
    let join = |n: u32| {
        let name = format!("web{n:03}");
        Still::join_with(
            &server,
            json!({"name": name, "tags": tags, "tier": 9 - n % 3}),
        )
    };
    let members: Vec<Still> = (0..300).map(join).collect();
    let mut watcher = Raw::join(&server, "viewer", 0);
    let (mut ladder, first) = watch(&mut watcher);
    assert_eq!(first["members"]["more"], true);
    ladder.wait(&mut watcher, "all of them", |ladder, _| {
        ladder.known.len() == 301
    });
    assert!(ladder.longest < 512 << 10, "{} bytes", ladder.longest);
    let all = watcher.result("members", &json!({}));
    let all = all["members"].as_array().expect("a list");
    let names: Vec<&str> = all
        .iter()
        .map(|m| m["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(ladder.known.ranking()[..names.len()], names[..]);
    drop(members);
    ladder.wait(&mut watcher, "all to leave", |ladder, _| {
        ladder.known.ranking() == ["viewer"]
    });
}

#[test]
fn a_client_that_watches_and_does_not_read_delays_no_other_and_costs_little() {
    let _alone = crate::support::alone();
    let server = Server::start(9, &[]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let [mut boss, mut web] = ranked(&server, [("boss", 0), ("web", 64)]);
    let mut still = Still::join_narrow(&server, "still", 0, 4 << 10);
    still.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "watch"}));
    // Its answer: from now on commands are counted.
    still.read_line_quickly();
    let before = vitals.resident();
    let words = "w".repeat(900);
    // Less than what makes it a slow consumer.
    let until = Instant::now() + Duration::from_secs(4);
    let (mut slowest, mut sent) = (Duration::ZERO, 0);
    while Instant::now() < until {
        let asked = Instant::now();
        let ids: Vec<Value> = (0..8).map(|_| boss.command("web", &[&words])).collect();
        web.serve(8);
        for id in ids {
            boss.result_of(&id);
        }
        slowest = slowest.max(asked.elapsed());
        sent += 8;
    }
    assert!(
        slowest < loosely(Duration::from_secs(1)),
        "{slowest:?} for eight"
    );
    // 50 a second with a KiB each, and some that the kernel and the feed keep.
    let grown = vitals.resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more after {sent} commands");
    // Once it reads, it is told how things are now.
    let mut lines = 0;
    loop {
        let line = still.read_line_quickly();
        lines += 1;
        let told: Value = serde_json::from_str(&line).expect("JSON");
        if told["params"]["server"]["commands"] == sent {
            break;
        }
        assert!(
            lines < 100,
            "{lines} lines, and {}",
            told["params"]["server"]
        );
    }
}

/// Whether a process has a thread that tells clients that watch.
fn has_thread(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.into_iter().any(|name| name.trim() == "watch")
}

#[test]
fn a_server_that_no_client_watches_has_no_thread_for_it() {
    let server = Server::start(9, &[]);
    if Vitals::of(server.pid()).is_none() {
        return;
    }
    let [_boss, mut first, mut second] =
        ranked(&server, [("boss", 0), ("first", 0), ("second", 0)]);
    let wait = |wanted: bool| {
        let deadline = Instant::now() + crate::support::PATIENCE;
        while has_thread(server.pid()) != wanted {
            assert!(Instant::now() < deadline, "a thread: expected {wanted}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert!(!has_thread(server.pid()));
    watch(&mut first);
    watch(&mut second);
    wait(true);
    first.leave();
    let (mut ladder, _) = watch(&mut second);
    ladder.wait(&mut second, "a sample", |_, told| {
        !told["samples"].is_null()
    });
    assert_eq!(second.result("watch", &json!({"on": false})), json!({}));
    wait(false);
    watch(&mut second);
    wait(true);
    drop(second);
    wait(false);
}

#[test]
fn the_example_of_the_document_has_what_is_told() {
    // A reset through a tunnel is none, and the example has a member that is away.
    if tunnel::is_carrier() {
        return;
    }
    let (_, text) = DOCUMENT.split_once("### Watching").expect("the section");
    let (_, text) = text.split_once("\n```json\n").expect("an example");
    let (text, _) = text.split_once("\n```").expect("its end");
    let example: Value = serde_json::from_str(text).expect("JSON");
    let server = Server::start(9, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let tagged = json!({"name": "web", "slots": 1, "tags": {"role": "web"}});
    let mut web = Raw::join_with(&server, tagged);
    Raw::join(&server, "db", 1).leave();
    boss.result("watch", &json!({}));
    let id = boss.command("web", &["uptime", "-p"]);
    let execute = web.execute();
    web.reply(&execute, &json!({"exit_code": 3}));
    boss.result_of(&id);
    boss.wait_for("a sample", |m| !m["params"]["samples"].is_null());
    let held = Held::join(server.address(), "held", 1);
    // One that is away when it is told of first is told so then.
    boss.wait_for("it", |m| !m["params"]["members"]["joined"].is_null());
    held.reset();
    boss.wait_for("away", |m| !m["params"]["members"]["away"].is_null());
    let is = boss.result("watch", &json!({}));
    assert_eq!(shape(&example), shape(&is), "{is}");
}
