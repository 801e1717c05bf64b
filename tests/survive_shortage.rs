//! What happens where the system has no descriptors or no threads left: those who are here
//! are served, who comes is told or waits, and all is as before once there is something.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{PATIENCE, Raw, Server, Still, Vitals, program, skipped};

/// A user whom nobody else is, so that its threads are the server's alone.
const NOBODY: u32 = 54_321;

/// A server for many, as another command makes it.
fn start(wrapper: &[&str], program: &str) -> Server {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]);
    command.args([program, "500", "--quiet", "--listen", "127.0.0.1:0"]);
    command.args(["--heartbeat", "60s", "--drain", "1s"]);
    // So that what a test starts ends with it, whatever ends the test.
    command.process_group(0);
    Server::spawn(&mut command)
}

/// Whether a program is there to limit another one with.
fn has(program: &str) -> bool {
    let has = Command::new(program).arg("--version").output().is_ok();
    if !has {
        skipped(&format!("there is no {program} here"));
    }
    has
}

#[test]
fn without_descriptors_those_here_are_served_and_the_others_wait() {
    const DIALLED: usize = 200;
    if !has("prlimit") {
        return;
    }
    let server = start(&["prlimit", "--nofile=64"], &program().to_string_lossy());
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 1);
    // They all want to join; fewer than 64 can.
    let join = r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1}}"#;
    let dialled: Vec<TcpStream> = (0..DIALLED)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).expect("the system accepts");
            stream
                .write_all(format!("{join}\n").as_bytes())
                .expect("it is taken");
            stream
        })
        .collect();
    server.wait_stderr("that it cannot accept", |line| {
        line.contains("cannot accept")
    });
    let (began, cpu, lines) = (Instant::now(), vitals.cpu(), server.stderr_lines().len());
    while began.elapsed() < Duration::from_secs(3) {
        let id = boss.command("worker", &["x"]);
        worker.serve(1);
        assert_eq!(boss.result_of(&id)["status"], "done");
        std::thread::sleep(Duration::from_millis(100));
    }
    let spent = vitals.cpu() - cpu;
    assert!(
        spent <= began.elapsed() / 10,
        "{spent:?} of {:?}",
        began.elapsed()
    );
    let logged = server.stderr_lines();
    let complaints = logged[lines..]
        .iter()
        .filter(|line| line.contains("cannot accept"));
    let complaints = complaints.count();
    assert!(
        (1..=4).contains(&complaints),
        "{complaints} in three seconds"
    );
    let total = boss.result("members", &json!({}))["total"].as_u64();
    assert!(
        total.is_some_and(|total| (30..64).contains(&total)),
        "{total:?}"
    );

    // Whoever goes makes room, for those who have waited longest.
    let mut waiting = dialled.into_iter().enumerate();
    let gone: Vec<_> = waiting.by_ref().take(20).collect();
    drop(gone);
    let freed = Instant::now();
    let mut next = waiting.find(|(n, _)| *n + 2 >= total.unwrap_or(0) as usize);
    let (_, stream) = next.as_mut().expect("more dialled than could join");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    let mut answer = String::new();
    BufReader::new(&*stream)
        .read_line(&mut answer)
        .expect("an answer");
    assert!(answer.contains("\"result\""), "{answer}");
    let took = freed.elapsed();
    assert!(
        took <= Duration::from_secs(1),
        "{took:?} until the next was served"
    );
}

/// A server of a user who has so many threads.
fn start_with_threads(threads: &str) -> Option<(Server, tempfile::TempDir)> {
    if !has("prlimit") || !has("setpriv") {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("only root can be another user, who has a limit of its own");
        return None;
    }
    // Where that user can run it.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("server");
    std::fs::copy(program(), &copy).expect("the program can be copied");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).expect("it is ours");
    let user = NOBODY.to_string();
    let wrapper = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        "prlimit",
        threads,
    ];
    Some((start(&wrapper, &copy.to_string_lossy()), folder))
}

#[test]
fn without_threads_whoever_comes_is_told_so() {
    const DIALLED: usize = 100;
    let Some((server, _folder)) = start_with_threads("--nproc=30") else {
        return;
    };
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let descriptors = vitals.descriptors();
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 1);
    let mut joined = Vec::new();
    let mut refused = 0;
    for n in 0..DIALLED {
        let mut client = Raw::connect(&server);
        let join = json!({"jsonrpc": "2.0", "id": 1, "method": "join",
                          "params": {"protocol": 1, "name": format!("n{n}")}});
        // It may be told before it says anything.
        let _ = client.try_send(format!("{join}\n").as_bytes());
        let answer = client.next("an answer");
        if answer["result"].is_object() {
            joined.push(client);
            continue;
        }
        assert_eq!(answer["error"]["data"]["reason"], "internal", "{answer}");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("thread"), "{answer}");
        refused += 1;
    }
    assert!(joined.len() > 5 && refused > 50, "{} joined", joined.len());
    let id = boss.command("worker", &["x"]);
    worker.serve(1);
    assert_eq!(boss.result_of(&id)["status"], "done");
    let members = boss.result("members", &json!({}));
    let ranks: Vec<Value> = members["members"].as_array().expect("a list").clone();
    assert_eq!(ranks.len(), joined.len() + 2, "no place leaks");
    assert!(
        ranks
            .iter()
            .zip(0..)
            .all(|(member, rank)| member["rank"] == rank),
        "{members}"
    );

    // And there is room again as soon as somebody goes.
    joined.pop().expect("somebody joined").leave();
    let deadline = Instant::now() + PATIENCE;
    while vitals.descriptors() > descriptors + 2 + joined.len() {
        assert!(Instant::now() < deadline, "a descriptor leaks");
        std::thread::sleep(Duration::from_millis(1));
    }
    Raw::join(&server, "late", 1);
    let log = server.stderr_lines();
    assert!(log.iter().all(|line| !line.contains("panic")), "{log:?}");
}

#[test]
fn without_a_thread_to_catch_up_with_nobody_is_lost() {
    let Some((server, _folder)) = start_with_threads("--nproc=20") else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let mut slow = Still::join(&server, "slow", 64);
    // Whoever else comes takes the threads that are left.
    let mut others = Vec::new();
    loop {
        let mut client = Raw::connect(&server);
        let join = json!({"jsonrpc": "2.0", "id": 1, "method": "join", "params": {"protocol": 1}});
        let _ = client.try_send(format!("{join}\n").as_bytes());
        if client.next("an answer")["error"].is_object() {
            break;
        }
        others.push(client);
    }
    // More than a socket holds.
    const COMMANDS: usize = 16;
    let long = "x".repeat(900 << 10);
    let ids: Vec<Value> = (0..COMMANDS)
        .map(|_| boss.command("slow", &[&long]))
        .collect();
    boss.sync();
    server.wait_stderr("that there is no thread", |line| {
        line.contains("no thread to catch up")
    });
    for _ in 0..COMMANDS {
        let line = slow.read_line_quickly();
        let execute: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(execute["method"], "execute", "{execute}");
        slow.send(&json!({"jsonrpc": "2.0", "id": execute["id"], "result": {"exit_code": 0}}));
    }
    for id in ids {
        assert_eq!(boss.result_of(&id)["status"], "done");
    }
}
