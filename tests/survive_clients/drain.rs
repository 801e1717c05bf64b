//! A server that is told to stop while real commands run: each has its outcome, it ends in
//! time, with a reader of its output or without, and no process is left.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::dialled::free_address;
use crate::support::programs::{Process, Server};
use crate::support::{PATIENCE, Raw, full_pipe, skipped, try_dial, tunnel};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Commands that run; half of them end within the drain time.
const RUNNING: usize = 50;

/// The drain time, and what may come after it.
const DRAIN: Duration = Duration::from_secs(6);
const BESIDES: Duration = Duration::from_secs(1);

/// The drain time of a server without a reader of its output.
const SHORT_DRAIN: Duration = Duration::from_secs(1);

/// How many processes run with these words.
fn running(words: &[&str]) -> usize {
    let wanted = words.join("\0") + "\0";
    let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| *line == wanted.as_bytes()).count()
}

#[test]
fn a_drain_gives_fifty_running_commands_their_outcomes_and_leaves_nothing() {
    if !fs::exists("/proc/self/cmdline").unwrap_or(false) {
        return skipped("there is no /proc to look for processes in");
    }
    let server = Server::start(&["100", "--quiet", "--drain", "6s"]);
    let mut boss = server.raw("boss", 0);
    let root = ["--allow-any", "--allow-root"];
    let options = &root[..if rustix::process::geteuid().is_root() {
        2
    } else {
        1
    }];
    let workers: Vec<Process> = (0..5)
        .map(|n| {
            let name = format!("w{n}");
            let mut command = server.client(&["work", "--slots", "10", "--name", &name]);
            Process::start(command.args(options))
        })
        .collect();
    let deadline = Instant::now() + PATIENCE * 2;
    while boss.result("members", &json!({}))["total"] != 6 {
        assert!(Instant::now() < deadline, "they join");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Lengths that no other sleep has.
    let own = f64::from(std::process::id()) / 1e8;
    let (short, long) = (format!("{:.8}", 2.0 + own), format!("{:.8}", 3600.0 + own));
    let ids: Vec<_> = (0..RUNNING)
        .map(|n| {
            let words = ["sleep", if n % 2 == 0 { &short } else { &long }];
            boss.command(&format!("w{}", n % 5), &words)
        })
        .collect();
    while running(&["sleep", &long]) < RUNNING / 2 {
        assert!(Instant::now() < deadline, "they run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = Instant::now();
    server.process.signal(Signal::TERM);
    let mut ends = std::collections::BTreeMap::new();
    for id in ids {
        let outcome = boss.result_of(&id);
        let status = outcome["status"].as_str().expect("an outcome").to_owned();
        if status == "lost" {
            assert_eq!(outcome["started"], true, "{outcome}");
        }
        *ends.entry(status).or_insert(0) += 1;
    }
    boss.expect_bye("shutting_down");
    let ended = server.process.end();
    let took = told.elapsed();
    ended.expect_code(0);
    assert_eq!(ends.get("done"), Some(&(RUNNING / 2)), "{ends:?}");
    assert_eq!(ends.get("lost"), Some(&(RUNNING / 2)), "{ends:?}");
    let most = DRAIN + crate::support::loosely(BESIDES);
    assert!(took <= most, "it ended after {took:?}");
    // The clients end what they run when their server goes, as far as they do not come back.
    let deadline = Instant::now() + PATIENCE * 2;
    while running(&["sleep", &long]) + running(&["sleep", &short]) > 0 {
        assert!(Instant::now() < deadline, "a process is left");
        std::thread::sleep(Duration::from_millis(20));
    }
    println!(
        "it ended after {took:?}, the last process after {:?}",
        told.elapsed()
    );
    drop(workers);
}

/// Killed and reaped when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_drain_ends_in_time_without_a_reader_of_the_servers_output() {
    let (_out, stdout, _) = full_pipe();
    let (_err, stderr, _) = full_pipe();
    let mut command = crate::support::programs::server(&["5", "--drain", "1s"]);
    // It cannot say which port it got.
    let address = free_address();
    command.args(["--listen", &address.to_string()]);
    tunnel::encrypt(&mut command);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut server = Killed(command.spawn().expect("the server's program starts"));
    // Its parent's ends would keep the pipes open.
    drop(command);
    let deadline = Instant::now() + PATIENCE;
    let connect = || loop {
        match try_dial(address) {
            Ok(stream) => return Raw::over(stream, true),
            Err(e) => assert!(Instant::now() < deadline, "no server at {address}: {e}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let [mut boss, mut worker] = [("boss", 0), ("worker", 1)].map(|(name, slots)| {
        let mut client = connect();
        client.join_as(name, slots);
        client
    });
    let id = boss.command("worker", &["x"]);
    worker.execute();
    let told = Instant::now();
    kill_process(Pid::from_child(&server.0), Signal::TERM).expect("it is still there");
    assert_eq!(boss.result_of(&id)["status"], "lost");
    let status = loop {
        match server.0.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None => assert!(told.elapsed() < PATIENCE, "it does not end"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = told.elapsed();
    assert_eq!(status.code(), Some(0), "{status}");
    let most = SHORT_DRAIN + crate::support::loosely(BESIDES);
    assert!(took <= most, "it ended after {took:?}");
    println!("it ended after {took:?}, with what it printed unread");
    // Neither has closed its connection until now.
    drop((boss, worker));
}
