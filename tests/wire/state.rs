//! Ranks that outlive the server (`--state`), by the letter of the protocol.

use crate::resume::NOT_RESUMABLE;
use crate::support::held::{Held, ask, reset, resume};
use crate::support::{PATIENCE, Raw, Server, ranking, tunnel};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Servers that follow each other at one address, with one state file.
pub(crate) struct Line {
    folder: TempDir,
    pub(crate) options: Vec<String>,
    address: Option<SocketAddr>,
}

impl Line {
    /// `None`: tests are to go through a tunnel, in which a reset is none.
    pub(crate) fn new(options: &[&str]) -> Option<Line> {
        let options = options.iter().map(|option| (*option).to_owned());
        (!tunnel::is_carrier()).then(|| Line {
            folder: tempfile::tempdir().expect("a folder"),
            options: options.collect(),
            address: None,
        })
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.state()).unwrap_or_default()
    }

    /// The next server, for so many clients.
    #[track_caller]
    pub(crate) fn next(&mut self, clients: usize) -> Server {
        let state = self.state();
        let mut options = vec!["--state", state.to_str().expect("text")];
        options.extend(self.options.iter().map(String::as_str));
        match self.address {
            Some(address) => Server::start_at_with(address, clients, &options),
            None => {
                let server = Server::start(clients, &options);
                self.address = Some(server.address());
                server
            }
        }
    }

    /// Waits until the file says something.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.text()) {
            assert!(Instant::now() < deadline, "{what}: {}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the places of these clients are written.
    #[track_caller]
    pub(crate) fn wait_until_written(&self, all: &[&Held]) {
        for held in all {
            let name = held.joined["name"].as_str().expect("a name");
            self.wait_for(name, |text| text.contains(&format!("\"name\":\"{name}\"")));
        }
    }
}

/// Ends a server.
#[track_caller]
pub(crate) fn end(mut server: Server, signal: Signal) {
    server.signal(signal);
    server.wait_exit(PATIENCE);
}

pub(crate) fn join(server: &Server, name: &str, tier: u8, slots: u32) -> Held {
    let params = json!({"name": name, "tier": tier, "slots": slots, "tags": {"is": name}});
    let mut held = Held::join_with(server.address(), params);
    held.confirm();
    held
}

/// Names, and whether they are away.
pub(crate) fn shown(observer: &mut Raw) -> Vec<(String, bool)> {
    let members = observer.result("members", &json!({}));
    let one = |member: &Value| {
        let name = member["name"].as_str().expect("a name").to_owned();
        (name, member["away_ms"].is_u64())
    };
    members["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(one)
        .collect()
}

/// Comes back to the rank alone.
#[track_caller]
pub(crate) fn come_back(held: &mut Held, rank: u64) {
    let (before, token) = (held.joined.clone(), held.token());
    let answer = held.try_to_come_back(&token, held.received);
    let after = &answer["result"];
    assert_eq!(after["resumed"], "rank", "{answer}");
    for same in ["member", "name", "tier"] {
        assert_eq!(after[same], before[same], "{same}: {answer}");
    }
    assert_ne!(after["run"], before["run"]);
    assert_ne!(held.token(), token, "a new one");
    assert_eq!(
        (&after["rank"], &after["received"]),
        (&json!(rank), &Value::Null)
    );
}

#[test]
fn ranks_names_and_tiers_outlive_a_server_that_is_killed_and_one_that_stops() {
    let Some(mut line) = Line::new(&["--drain", "300ms"]) else {
        return;
    };
    let server = line.next(9);
    let mut unheld = Raw::join(&server, "unheld", 0);
    let mut boss = join(&server, "boss", 5, 0);
    let mut web1 = join(&server, "web1", 9, 1);
    let mut ops = join(&server, "ops", 2 + 3, 0);
    let mut nameless = Held::join_with(server.address(), json!({"tier": 9, "slots": 1}));
    nameless.confirm();
    let mut server = server;
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        line.wait_until_written(&[&boss, &web1, &ops, &nameless]);
        // Its outcome is lost, and nothing earlier is answered.
        let open = boss.command("web1", &["x"]);
        let (execute, _) = web1.execute();
        boss.wait_for_ack();
        let last = nameless.joined["member"].as_u64().expect("a number");
        server.signal(signal);
        if signal == Signal::TERM {
            let lost = boss.answer(&open);
            assert_eq!(lost["result"]["status"], "lost", "{lost}");
            for held in [&mut boss, &mut web1, &mut ops, &mut nameless] {
                let bye = held.wait_for("bye", |message| message["method"] == "bye");
                assert_eq!(bye["params"]["reason"], "shutting_down");
                assert_eq!(bye["params"]["held"], true, "{bye}");
            }
        }
        end(server, signal);
        server = line.next(9);
        let mut late = Raw::join(&server, "late", 1);
        assert!(
            late.joined["member"].as_u64().expect("a number") > last,
            "no number is given twice"
        );
        let given = nameless.joined["name"].as_str().expect("a name").to_owned();
        let names = ["boss", "ops", "late", "web1", &given];
        let away = |name: &str| (name.to_owned(), name != "late");
        assert_eq!(
            shown(&mut late),
            names.map(away),
            "by tier, and in the order of their arrival"
        );
        let error = late.error("send", &json!({"to": "web1", "command": ["x"]}));
        assert!(
            error["message"].as_str().expect("text").contains("away"),
            "{error}"
        );
        let taken = Raw::connect(&server).error("join", &json!({"protocol": 1, "name": "boss"}));
        assert_eq!(taken["data"]["reason"], "name_taken");
        late.leave();
        come_back(&mut web1, 2);
        come_back(&mut boss, 0);
        come_back(&mut nameless, 3);
        come_back(&mut ops, 1);
        let mut observer = Raw::join(&server, "observer", 0);
        assert!(shown(&mut observer).iter().all(|(_, away)| !away));
        observer.leave();
        // The answer of the earlier command answers nothing, and its id is free.
        web1.reply(&execute);
        let id = boss.request("send", &json!({"to": "is=web1", "command": ["y"]}));
        let (execute, words) = web1.execute();
        assert_eq!(words, json!(["y"]));
        web1.reply(&execute);
        assert_eq!(boss.answer(&id)["result"], json!({"targets": 1, "done": 1}));
        for held in [&mut boss, &mut web1, &mut ops, &mut nameless] {
            held.acknowledge();
            held.confirm();
        }
    }
    // From then on lines go on again.
    boss.reset();
    boss.come_back();
    unheld.wait_end("the end of the first server");
}

#[test]
fn a_client_that_asks_for_no_place_hears_of_none_and_has_none() {
    let Some(mut line) = Line::new(&[]) else {
        return;
    };
    let server = line.next(9);
    let mut unheld = Raw::join(&server, "unheld", 0);
    let silent = Held::join_with(server.address(), json!({"name": "silent"}));
    let held = join(&server, "held", 5, 0);
    line.wait_until_written(&[&held]);
    server.terminate();
    let bye = unheld.notification("bye");
    assert_eq!(bye["held"], Value::Null, "{bye}");
    end(server, Signal::TERM);
    drop(silent);
    let server = line.next(9);
    let mut unheld = Raw::join(&server, "unheld", 0);
    assert_eq!(ranking(&mut unheld), ["held", "unheld"]);
    // A server that stops well goes on with the next number.
    assert_eq!(unheld.member(), 4);
}

#[test]
fn a_server_that_stops_says_so_to_a_client_that_comes_back_too_early() {
    let Some(mut line) = Line::new(&["--drain", "20s"]) else {
        return;
    };
    let server = line.next(9);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut busy = Raw::join(&server, "busy", 1);
    let mut held = join(&server, "held", 5, 0);
    let open = boss.command("busy", &["x"]);
    let execute = busy.execute();
    server.terminate();
    held.wait_for("bye", |message| message["method"] == "bye");
    held.close();
    for _ in 0..3 {
        let answer = ask(server.address(), &resume(&held.token(), 0))
            .expect("an answer")
            .1;
        assert_eq!(
            answer["error"]["data"]["reason"], "shutting_down",
            "{answer}"
        );
    }
    busy.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&open)["status"], "done");
    end(server, Signal::TERM);
    let _server = line.next(9);
    come_back(&mut held, 0);
}

#[test]
fn a_client_that_does_not_get_the_answer_with_its_rank_has_it_again_and_no_lines() {
    let Some(mut line) = Line::new(&[]) else {
        return;
    };
    let server = line.next(9);
    let mut boss = join(&server, "boss", 5, 0);
    line.wait_until_written(&[&boss]);
    end(server, Signal::KILL);
    let server = line.next(9);
    let mut unused = None;
    for _ in 0..3 {
        // Its counts would make sense, but they are of lines of the server before.
        let (stream, answer) = ask(server.address(), &resume(&boss.token(), 0)).expect("an answer");
        assert_eq!(answer["result"]["resumed"], "rank", "{answer}");
        reset(stream.get_ref());
        unused = answer["result"]["resume"]["token"]
            .as_str()
            .map(str::to_owned);
    }
    // The last answer came, and the one after it did not.
    let token = unused.expect("a token");
    let (stream, answer) = ask(server.address(), &resume(&token, 0)).expect("an answer");
    assert_eq!(answer["result"]["resumed"], "lines", "{answer}");
    reset(stream.get_ref());
    let answer = boss.try_to_come_back(&token, 0);
    assert_eq!(answer["result"]["resumed"], "lines", "{answer}");
}

#[test]
fn a_place_that_no_client_comes_back_to_is_over_after_the_hold() {
    let Some(mut line) = Line::new(&["--hold", "300ms", "--heartbeat", "200ms"]) else {
        return;
    };
    let hold = Duration::from_millis(300 + 2 * 200);
    let server = line.next(9);
    let mut held = join(&server, "held", 5, 1);
    line.wait_until_written(&[&held]);
    end(server, Signal::KILL);
    for signal in [Signal::KILL, Signal::TERM] {
        // Each start counts anew.
        end(line.next(9), signal);
    }
    let began = Instant::now();
    let server = line.next(9);
    let mut observer = Raw::join(&server, "observer", 0);
    let ranks = ranking(&mut observer);
    let is_late = began.elapsed() >= hold;
    assert!(ranks == ["held", "observer"] || is_late, "{ranks:?}");
    while ranking(&mut observer).len() > 1 {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    line.wait_for("it is gone", |text| text.contains("{\"gone\":1}"));
    let answer = held.try_to_come_back(&held.token(), 0);
    assert_eq!(answer["error"]["code"], NOT_RESUMABLE, "{answer}");
    end(server, Signal::KILL);
    let server = line.next(9);
    let mut observer = Raw::join(&server, "observer", 0);
    assert_eq!(ranking(&mut observer), ["observer"]);
}

#[test]
fn a_client_that_leaves_has_no_place_at_the_next_start() {
    let Some(mut line) = Line::new(&[]) else {
        return;
    };
    let server = line.next(9);
    let (left, mut said, stays) = (
        join(&server, "left", 5, 0),
        join(&server, "said", 5, 0),
        join(&server, "stays", 5, 0),
    );
    line.wait_until_written(&[&left, &said, &stays]);
    left.close();
    said.send(&json!({"jsonrpc": "2.0", "method": "leave"}));
    line.wait_for("both", |text| text.matches("\"gone\"").count() == 2);
    end(server, Signal::KILL);
    let server = line.next(9);
    let mut observer = Raw::join(&server, "observer", 0);
    assert_eq!(ranking(&mut observer), ["stays", "observer"]);
}

#[test]
fn a_server_that_ends_at_once_keeps_the_places_too() {
    let Some(mut line) = Line::new(&["--drain", "20s"]) else {
        return;
    };
    let server = line.next(9);
    let mut boss = join(&server, "boss", 5, 0);
    let mut worker = join(&server, "worker", 5, 1);
    boss.command("worker", &["x"]);
    worker.execute();
    server.terminate();
    server.wait_stderr("the drain", |line| line.contains("shutting down"));
    end(server, Signal::TERM);
    let _server = line.next(9);
    come_back(&mut worker, 1);
    come_back(&mut boss, 0);
}
