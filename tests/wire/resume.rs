//! A connection that breaks and comes back, by the letter of the protocol.

use crate::support::held::{Held, ask, reset, resume};
use crate::support::{PATIENCE, Raw, Server, dial_plain, ranked, ranking, tunnel};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) const NOT_RESUMABLE: i64 = 15;

/// A server, unless tests are to go through a tunnel, in which a reset is none.
pub(crate) fn server(clients: usize, options: &[&str]) -> Option<Server> {
    (!tunnel::is_carrier()).then(|| Server::start(clients, options))
}

/// Waits until `members` shows a client as away, or not.
#[track_caller]
pub(crate) fn wait_until_away(observer: &mut Raw, name: &str, away: bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let members = observer.result("members", &json!({}))["members"].clone();
        let all = members.as_array().expect("an array");
        let member = all.iter().find(|member| member["name"] == name);
        let member = member.unwrap_or_else(|| panic!("no {name} in {members}"));
        if member["away_ms"].is_u64() == away {
            return member.clone();
        }
        assert!(Instant::now() < deadline, "{member}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_under_way_goes_on_after_a_reset() {
    let Some(server) = server(5, &[]) else { return };
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Held::join(server.address(), "worker", 1);
    let (first, second) = (
        boss.command("worker", &["one"]),
        boss.command("worker", &["two"]),
    );
    let (one, _) = worker.execute();
    worker.wait_for_ack();
    worker.reset();
    let away = wait_until_away(&mut boss, "worker", true);
    assert_eq!(
        (&away["rank"], &away["running"], &away["queued"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let token = worker.token();
    worker.come_back();
    assert_ne!(worker.token(), token, "a new one");
    assert_eq!(worker.joined["rank"], 1);
    wait_until_away(&mut boss, "worker", false);
    worker.reply(&one);
    assert_eq!(boss.result_of(&first)["status"], "done");
    let (two, words) = worker.execute();
    assert_eq!(words, json!(["two"]));
    worker.reply(&two);
    assert_eq!(boss.result_of(&second)["status"], "done");
}

#[test]
fn a_sender_that_was_away_has_its_outcomes() {
    let Some(server) = server(5, &[]) else { return };
    let mut boss = Held::join(server.address(), "boss", 0);
    let mut worker = Raw::join(&server, "worker", 2);
    let [first, second] = ["one", "two"].map(|word| boss.command("worker", &[word]));
    let (one, two) = (worker.execute(), worker.execute());
    boss.reset();
    wait_until_away(&mut worker, "boss", true);
    worker.reply(&one, &json!({"exit_code": 0}));
    worker.fence();
    boss.come_back();
    assert_eq!(boss.answer(&first)["result"]["status"], "done");
    worker.reply(&two, &json!({"exit_code": 7}));
    assert_eq!(boss.answer(&second)["result"]["exit_code"], 7);
}

#[test]
fn lines_that_the_server_has_not_received_are_not_lost_and_no_others_come_twice() {
    let Some(server) = server(5, &[]) else { return };
    let mut boss = Held::join(server.address(), "boss", 0);
    let mut worker = Raw::join(&server, "worker", 64);
    let mut ids = Vec::new();
    for round in 0..50 {
        for n in 0..3 {
            ids.push(boss.command("worker", &[&format!("{round}.{n}")]));
        }
        match round % 3 {
            // What was sent may be on its way, or half of a line.
            0 => boss.send_bytes(b"{\"jsonrpc\":\"2.0\",\"met", 0),
            1 => drop(boss.next_within(Duration::from_millis(1))),
            _ => {}
        }
        boss.reset();
        boss.come_back();
    }
    let mut seen = Vec::new();
    for _ in &ids {
        let execute = worker.execute();
        seen.push(execute.command[0].clone());
        worker.reply(&execute, &json!({"exit_code": 0}));
    }
    let expected = (0..50).flat_map(|round| (0..3).map(move |n| format!("{round}.{n}")));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    worker.expect_nothing("each came once");
    for id in ids {
        assert_eq!(boss.answer(&id)["result"]["status"], "done");
    }
}

#[test]
fn a_client_that_is_away_keeps_its_place_and_is_passed_over() {
    let Some(server) = server(3, &[]) else { return };
    let mut boss = Raw::join(&server, "boss", 0);
    let worker = Held::join(server.address(), "worker", 1);
    let mut other = Raw::join(&server, "other", 1);
    worker.reset();
    wait_until_away(&mut boss, "worker", true);
    assert_eq!(ranking(&mut boss), ["boss", "worker", "other"]);
    for to in ["next", "least-loaded", "next:w*,other"] {
        let id = boss.command(to, &["x"]);
        let execute = other.execute();
        other.reply(&execute, &json!({"exit_code": 0}));
        assert_eq!(boss.result_of(&id)["name"], "other", "{to}");
    }
    let number = format!("#{}", worker.member());
    for to in ["worker", "1", &number] {
        let error = boss.error("send", &json!({"to": to, "command": ["x"]}));
        assert_eq!(error["data"]["reason"], "no_target", "{to}");
        assert!(
            error["message"].as_str().expect("text").contains("away"),
            "{error}"
        );
    }
    let selected = boss.result("select", &json!({"to": "worker,other"}));
    let statuses: Vec<&Value> = selected["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .map(|t| &t["status"])
        .collect();
    assert!(
        statuses.contains(&&json!("absent")) && statuses.len() == 2,
        "{selected}"
    );
    let full = ask(server.address(), &json!({"protocol": 1}))
        .expect("an answer")
        .1;
    assert_eq!(
        full["error"]["data"]["reason"], "full",
        "its place is its own"
    );
    assert_eq!(worker.member(), 2);
}

#[test]
fn the_end_of_data_is_a_leave_and_so_is_every_end_before_something_arrived() {
    let Some(server) = server(9, &[]) else { return };
    let mut boss = Raw::join(&server, "boss", 0);
    let closed = Held::join(server.address(), "closed", 1);
    let mut left = Held::join(server.address(), "left", 1);
    let silent = Held::join_with(server.address(), json!({"name": "silent", "slots": 1}));
    let unheld = Held::join_with(server.address(), json!({"name": "unheld", "hold": false}));
    let confirmed = Held::join(server.address(), "confirmed", 1);
    closed.close();
    left.send(&json!({"jsonrpc": "2.0", "method": "leave"}));
    left.reset();
    silent.reset();
    confirmed.reset();
    wait_until_away(&mut boss, "confirmed", true);
    let deadline = Instant::now() + PATIENCE;
    while ranking(&mut boss).len() > 3 {
        assert!(Instant::now() < deadline, "{:?}", ranking(&mut boss));
    }
    for gone in [&closed, &silent] {
        let answer = ask(server.address(), &resume(&gone.token(), 0))
            .expect("an answer")
            .1;
        assert_eq!(answer["error"]["code"], NOT_RESUMABLE);
    }
    drop(unheld);
}

#[test]
fn a_place_is_over_after_its_time_and_what_was_open_is_lost() {
    let options = ["--hold", "300ms", "--heartbeat", "200ms"];
    let Some(server) = server(5, &options) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Held::join(server.address(), "worker", 1);
    assert_eq!(worker.joined["resume"]["hold_ms"], 700);
    let running = boss.command("worker", &["x"]);
    worker.execute();
    worker.wait_for_ack();
    let began = Instant::now();
    worker.reset();
    let outcome = boss.result_of(&running);
    let took = began.elapsed();
    assert_eq!(
        (&outcome["status"], &outcome["started"]),
        (&json!("lost"), &json!(true))
    );
    assert!(took >= Duration::from_millis(500), "{took:?}");
    let answer = worker.try_to_come_back(&worker.token(), worker.received);
    assert_eq!(answer["error"]["code"], NOT_RESUMABLE, "{answer}");
    assert_eq!(answer["error"]["data"]["reason"], "not_resumable");
    assert_eq!(ranking(&mut boss), ["boss"]);
}

#[test]
fn silence_makes_a_member_away_and_it_may_come_back_over_its_living_connection() {
    let options = ["--heartbeat", "150ms"];
    let Some(server) = server(5, &options) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Held::join(server.address(), "worker", 1);
    wait_until_away(&mut boss, "worker", true);
    worker.come_back();
    wait_until_away(&mut boss, "worker", false);
    for _ in 0..5 {
        // The server still has the connection before.
        worker.come_back();
        worker.command("boss", &["x"]);
    }
    worker.wait_for_ack();
    wait_until_away(&mut boss, "worker", false);
}

#[test]
fn two_that_come_back_at_once_are_served_one_after_the_other() {
    let Some(server) = server(5, &[]) else { return };
    for _ in 0..10 {
        let held = Held::join(server.address(), "held", 1);
        let token = held.token();
        let answers: Vec<_> = std::thread::scope(|scope| {
            let come_back = || ask(server.address(), &resume(&token, 0));
            let both = [scope.spawn(come_back), scope.spawn(come_back)];
            both.map(|one| one.join().expect("no panic")).into()
        });
        // The last one has the place; the earlier one may have lost its answer with it.
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        assert!(!answers.is_empty());
        let resumed = answers
            .iter()
            .filter(|(_, answer)| answer["result"]["resumed"] == "lines");
        assert!(resumed.count() > 0);
        let mut boss = Raw::join(&server, "boss", 0);
        assert_eq!(ranking(&mut boss), ["held", "boss"]);
        drop(answers);
        drop(held);
        boss.leave();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut observer = Raw::join(&server, "observer", 0);
            let ranks = ranking(&mut observer);
            observer.leave();
            if ranks == ["observer"] {
                break;
            }
            assert!(Instant::now() < deadline, "{ranks:?}");
        }
    }
}

#[test]
fn a_client_comes_back_to_a_full_server_and_in_mid_drain() {
    let Some(mut server) = server(2, &["--drain", "20s"]) else {
        return;
    };
    let mut boss = Held::join(server.address(), "boss", 0);
    let mut worker = Held::join(server.address(), "worker", 1);
    let id = boss.command("worker", &["x"]);
    let (execute, _) = worker.execute();
    for held in [&mut boss, &mut worker] {
        held.reset();
        held.come_back();
    }
    server.terminate();
    server.wait_stderr("the drain", |line| line.contains("shutting down"));
    for held in [&mut boss, &mut worker] {
        held.reset();
        held.come_back();
    }
    worker.reply(&execute);
    assert_eq!(boss.answer(&id)["result"]["status"], "done");
    boss.wait_for("bye", |message| message["method"] == "bye");
    drop((boss, worker));
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn a_drain_waits_for_a_client_that_is_away_and_tells_it_what_it_has_missed() {
    let Some(mut server) = server(2, &["--drain", "90s"]) else {
        return;
    };
    let mut boss = Held::join(server.address(), "boss", 0);
    let mut worker = Raw::join(&server, "worker", 1);
    let id = boss.command("worker", &["x"]);
    let execute = worker.execute();
    boss.reset();
    wait_until_away(&mut worker, "boss", true);
    server.terminate();
    server.wait_stderr("the drain", |line| line.contains("shutting down"));
    worker.reply(&execute, &json!({"exit_code": 7}));
    // By then the drain has looked at both of them.
    worker.expect_bye("shutting_down");
    boss.come_back();
    assert_eq!(boss.answer(&id)["result"]["exit_code"], 7);
    boss.wait_for("bye", |message| message["method"] == "bye");
    drop(boss);
    assert!(server.wait_exit(PATIENCE).success());
}

#[test]
fn a_drain_ends_in_time_if_a_client_that_is_away_does_not_come_back() {
    // Long enough to be seen on a busy machine.
    let short = ["--hold", "1s", "--heartbeat", "1s", "--drain", "90s"];
    for (options, why) in [
        (&short[..], "it did not come back in time"),
        (&["--drain", "500ms"], "the server is shutting down"),
    ] {
        let Some(mut server) = server(2, options) else {
            return;
        };
        let away = Held::join(server.address(), "away", 1);
        let mut other = Raw::join(&server, "other", 0);
        away.reset();
        wait_until_away(&mut other, "away", true);
        server.terminate();
        other.expect_bye_after_ranks("shutting_down");
        assert!(server.wait_exit(PATIENCE).success());
        let lines = server.stderr_lines();
        let left = lines.iter().find(|line| line.contains("left: away"));
        assert!(left.is_some_and(|line| line.ends_with(why)), "{lines:?}");
    }
}

#[test]
fn a_server_that_holds_nothing_says_so() {
    let Some(server) = server(5, &["--hold", "0"]) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let held = Held::join_with(server.address(), json!({"name": "held"}));
    assert_eq!(held.joined["resume"], Value::Null);
    held.reset();
    let deadline = Instant::now() + PATIENCE;
    while ranking(&mut boss).len() > 1 {
        assert!(Instant::now() < deadline);
    }
    let [_a] = ranked(&server, [("a", 1)]);
}

/// The example of the document: what the client reads differs in nothing but tokens and `run`.
#[test]
fn the_example_of_the_document_takes_place() {
    let Some(server) = server(10, &["--heartbeat", "5s"]) else {
        return;
    };
    let document = include_str!("../../common/PROTOCOL.md");
    let section = document.split("### A connection that breaks").nth(1);
    let example = section.and_then(|section| section.split("```").nth(1));
    let example = example.expect("an example");
    let mut boss = Raw::join(&server, "boss", 0);
    let mut known: Vec<(String, String)> = Vec::new();
    let mut line = String::new();
    let mut connection: Option<BufReader<TcpStream>> = None;
    for told in example.lines() {
        if told.starts_with("The connection breaks") {
            let broken = connection.take().expect("it is connected");
            reset(broken.get_ref());
        } else if let Some(said) = told.strip_prefix("C: ") {
            let known = known.iter();
            let said = known.fold(said.to_owned(), |said, (of, is)| said.replace(of, is));
            let connect = || BufReader::new(dial_plain(server.address()).expect("a server"));
            let mut to = connection.get_or_insert_with(connect).get_ref();
            to.write_all(format!("{said}\n").as_bytes())
                .expect("it is there");
        } else if let Some(expected) = told.strip_prefix("S: ") {
            let from = connection.as_mut().expect("it is connected");
            if expected.contains("execute") {
                boss.command("web1", &["make"]);
            }
            line.clear();
            from.read_line(&mut line).expect("a line");
            let mut expected: Value = serde_json::from_str(expected).expect("JSON");
            let mut came: Value = serde_json::from_str(&line).expect("JSON");
            for (of, is) in tokens(&expected).into_iter().zip(tokens(&came)) {
                known.push((of, is));
            }
            for message in [&mut expected, &mut came] {
                let result = &mut message["result"];
                if result.is_object() {
                    result["run"] = Value::Null;
                    result["resume"]["token"] = Value::Null;
                }
                if message["method"] == "execute" {
                    message["id"] = Value::Null;
                }
            }
            assert_eq!(came, expected);
        }
    }
}

/// The token that a message gives, if it does.
fn tokens(message: &Value) -> Option<String> {
    let token = message["result"]["resume"]["token"].as_str();
    token.map(str::to_owned)
}
