//! How the server ends, by the letter of the protocol: nothing new is taken, what runs
//! may end, every client is told, and the port is free.

use std::time::{Duration, Instant};

use crate::support::{Execute, PATIENCE, Raw, Server, Still, ranked, try_dial};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What a loaded machine may take from a time that the server keeps.
const SLACK: Duration = Duration::from_millis(150);

/// What may come after the drain time until a server has ended.
const BESIDES: Duration = Duration::from_secs(1);

/// Both signals that end a server.
const SIGNALS: [Signal; 2] = [Signal::TERM, Signal::INT];

/// A server that is about to drain: the boss has a command running and one waiting at the
/// worker, another client is idle, and a connection has come without joining.
struct Scene {
    server: Server,
    boss: Raw,
    worker: Raw,
    idle: Raw,
    unjoined: Raw,
    running: Value,
    waiting: Value,
    execute: Execute,
}

impl Scene {
    #[track_caller]
    fn new(drain: &str) -> Self {
        let server = Server::start(3, &["--drain", drain]);
        let [mut boss, mut worker, idle] =
            ranked(&server, [("boss", 0), ("worker", 1), ("idle", 1)]);
        let unjoined = Raw::connect(&server);
        let running = boss.command("worker", &["running"]);
        let waiting = boss.command("worker", &["waiting"]);
        boss.sync();
        let execute = worker.execute();
        Self {
            server,
            boss,
            worker,
            idle,
            unjoined,
            running,
            waiting,
            execute,
        }
    }

    /// Checks what every client is told as soon as the drain begins.
    #[track_caller]
    fn expect_beginning(&mut self) {
        self.idle.expect_bye("shutting_down");
        let outcome = self.boss.result_of(&self.waiting);
        let mut expected = self.worker.identity(1);
        expected["status"] = json!("cancelled");
        let mut got = outcome.clone();
        got.as_object_mut().expect("an object").remove("elapsed_ms");
        assert_eq!(got, expected);
    }
}

#[test]
fn a_drain_lets_what_is_running_end() {
    for signal in SIGNALS {
        let mut scene = Scene::new("30s");
        let started = Instant::now();
        scene.server.signal(signal);
        scene.expect_beginning();
        // Those that are still here are served, but nothing new is taken.
        scene.boss.sync();
        for to in ["worker", "next", "all", "missing"] {
            let id = scene.boss.command(to, &["new"]);
            assert_eq!(scene.boss.error_of(&id)["code"], 10, "{to}");
        }
        scene.worker.output(&scene.execute, "stdout", "streamed");
        scene.worker.reply(
            &scene.execute,
            &json!({"exit_code": 7, "stdout": "the end"}),
        );
        let outcome = scene.boss.result_of(&scene.running);
        assert_eq!(
            [&outcome["status"], &outcome["stdout"]],
            ["done", "the end"]
        );
        assert_eq!(scene.boss.notification("output")["text"], "streamed");
        scene.boss.expect_bye("shutting_down");
        scene.worker.expect_bye_after_ranks("shutting_down");
        let status = scene.server.wait_exit(PATIENCE);
        assert_eq!(status.code(), Some(0), "{status:?}");
        assert!(
            started.elapsed() < PATIENCE,
            "it does not wait for the drain's end"
        );
    }
}

#[test]
fn a_drain_ends_when_its_time_is_over() {
    let mut scene = Scene::new("1s");
    let started = Instant::now();
    scene.server.terminate();
    scene.expect_beginning();
    let outcome = scene.boss.result_of(&scene.running);
    let elapsed = started.elapsed();
    assert_eq!(outcome["status"], "lost", "{outcome}");
    assert_eq!(outcome["started"], true, "{outcome}");
    let right = Duration::from_secs(1) - SLACK..Duration::from_secs(4);
    assert!(right.contains(&elapsed), "lost after {elapsed:?}");
    scene.boss.expect_bye("shutting_down");
    scene.worker.expect_bye_after_ranks("shutting_down");
    let status = scene.server.wait_exit(PATIENCE);
    assert_eq!(status.code(), Some(0), "{status:?}");
}

#[test]
fn a_drain_admits_no_client() {
    let mut scene = Scene::new("30s");
    scene.server.terminate();
    scene.expect_beginning();
    // A client that had connected before hears of it as the answer to `join`, or at once.
    expect_not_admitted(&mut scene.unjoined);
    // A client may or may not still connect; none is admitted.
    if let Ok(stream) = try_dial(scene.server.address()) {
        expect_not_admitted(&mut Raw::over(stream, true));
    }
    scene.worker.reply(&scene.execute, &json!({"exit_code": 0}));
    assert_eq!(scene.boss.result_of(&scene.running)["status"], "done");
    assert_eq!(scene.server.wait_exit(PATIENCE).code(), Some(0));
}

/// Tries to join by a name that is taken: that the server drains is told first.
#[track_caller]
fn expect_not_admitted(client: &mut Raw) {
    let join = json!({"jsonrpc": "2.0", "id": 1, "method": "join",
                      "params": {"protocol": 1, "name": "worker"}});
    // The server may have closed before.
    let _ = client.try_send(format!("{join}\n").as_bytes());
    for message in client.wait_end("the end of a client that is not admitted") {
        let bye = message["method"] == "bye" && message["params"]["reason"] == "shutting_down";
        assert!(bye || message["error"]["code"] == 10, "{message}");
    }
}

#[test]
fn a_cancel_is_still_passed_on_while_the_server_drains() {
    let mut scene = Scene::new("30s");
    scene.server.terminate();
    scene.expect_beginning();
    scene.boss.notify("cancel", &json!({"send": scene.running}));
    assert_eq!(
        scene.worker.notification("cancel"),
        json!({"id": scene.execute.id})
    );
    let ended = json!({"signal": "SIGTERM", "cancelled": true});
    scene.worker.reply(&scene.execute, &ended);
    assert_eq!(scene.boss.result_of(&scene.running)["status"], "cancelled");
    assert_eq!(scene.server.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for signal in SIGNALS {
        let mut scene = Scene::new("60s");
        scene.server.terminate();
        scene.expect_beginning();
        scene.server.signal(signal);
        // With what code is open: it was broken off.
        scene.server.wait_exit(PATIENCE / 2);
        scene
            .boss
            .wait_end("the end of a server that was broken off");
    }
}

#[test]
fn with_nothing_running_a_server_ends_at_once() {
    for signal in SIGNALS {
        let mut server = Server::start(5, &["--drain", "60s"]);
        let clients = ranked(&server, [("a", 1), ("b", 0), ("c", 3)]);
        server.signal(signal);
        for mut client in clients {
            client.expect_bye_after_ranks("shutting_down");
        }
        assert_eq!(server.wait_exit(PATIENCE).code(), Some(0));
    }
    let mut empty = Server::start(5, &["--drain", "60s"]);
    empty.terminate();
    assert_eq!(empty.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_drain_does_not_wait_for_a_client_that_reads_nothing() {
    let mut server = Server::start(5, &["--drain", "1s"]);
    let mut boss = Raw::join(&server, "boss", 0);
    let slow = Still::join(&server, "slow", 1024);
    let long = "x".repeat(900 << 10);
    for _ in 0..14 {
        boss.command("slow", &[&long]);
    }
    boss.sync();
    let told = Instant::now();
    server.terminate();
    // Fourteen outcomes, and its `bye`.
    let rest = boss.wait_end("the end of the drain");
    let lost = rest.iter().filter(|m| m["result"]["status"] == "lost");
    assert_eq!(lost.count(), 14, "{rest:?}");
    assert_eq!(rest.last().map(|last| &last["method"]), Some(&json!("bye")));
    assert_eq!(server.wait_exit(PATIENCE).code(), Some(0));
    let took = told.elapsed();
    let most = Duration::from_secs(1) + crate::support::loosely(BESIDES);
    assert!(took <= most, "it ended after {took:?}");
    println!("it ended after {took:?}, with a client that reads nothing");
    slow.close();
}

#[test]
fn the_port_can_be_bound_again_at_once() {
    for broken_off in [false, true] {
        let mut server = Server::start(5, &["--drain", "60s"]);
        let address = server.address();
        let mut clients = ranked(&server, [("a", 1), ("b", 1)]);
        server.signal(if broken_off {
            Signal::KILL
        } else {
            Signal::TERM
        });
        // The server's end closes first, which is what keeps a port busy.
        for client in &mut clients {
            client.wait_end("the server's end");
        }
        server.wait_exit(PATIENCE);
        let again = Server::start_at(address, 5);
        let client = Raw::join(&again, "a", 1);
        assert_eq!(client.joined["rank"], 0);
    }
}
