//! What a command that writes without end costs those in between while its reader takes its
//! time: no memory, and no other client's latency. By itself, since the server's memory is this
//! process's own.

#[path = "process/executing/mod.rs"]
mod executing;
mod support;

use executing::{JITTER, PATIENCE, Program, Relay, Worker, client_for, eventually};
use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// What all of them together may need more.
const MOST: usize = 64 << 20;

/// How long the output is not read, and then how long it is read at least.
const PAUSE: Duration = Duration::from_secs(2);

/// What most commands take that start, end and wait for no other client, on a machine that is busy.
const MOMENT: Duration = Duration::from_millis(100);

/// How much is read at least.
const ENOUGH: usize = 16 << 20;

fn resident(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() << 10
}

#[test]
fn a_command_that_writes_without_end_costs_nothing_while_its_output_is_not_read() {
    if !fs::exists("/proc/self/status").unwrap_or(false) {
        return support::skipped("there is no /proc to read what they take from");
    }
    let relay = Relay::start();
    let mut boss = relay.boss();
    let words = ["run", "--wait-for", "1", "--", "cat", "/dev/zero"];
    let (mut sender, mut stdout) = Program::start_unread(&mut client_for(&relay, &words));
    eventually("it has joined", PATIENCE, || relay.clients() == 2);
    let before = resident(sender.id()) + resident(std::process::id());
    let options = ["--allow-any", "--allow-root", "--slots", "2"];
    let worker = Worker::start(&relay, &options);
    let before = before + resident(worker.id());
    let all = || resident(sender.id()) + resident(std::process::id()) + resident(worker.id());
    let mut peak = 0;
    let mut latencies = |is_over: &dyn Fn(Duration) -> bool| -> Vec<Duration> {
        let since = Instant::now();
        let mut latencies = Vec::new();
        while !is_over(since.elapsed()) {
            let asked = Instant::now();
            boss.run(&["/bin/true"]).exited(0);
            latencies.push(asked.elapsed());
            peak = peak.max(all());
        }
        latencies.sort_unstable();
        latencies
    };
    let unread = latencies(&|elapsed| elapsed >= PAUSE);
    // And while a reader reads as fast as it can.
    let reading = Arc::new((AtomicUsize::new(0), AtomicBool::new(true)));
    let reads = Arc::clone(&reading);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while reads.1.load(Relaxed) {
            match stdout.read(&mut buffer).expect("a pipe") {
                0 => panic!("it writes on and on"),
                read => reads.0.fetch_add(read, Relaxed),
            };
        }
        stdout
    });
    let is_enough = || reading.0.load(Relaxed) > ENOUGH;
    let read = latencies(&|elapsed| elapsed >= PAUSE && (is_enough() || elapsed >= PATIENCE));
    reading.1.store(false, Relaxed);
    let stdout = reader.join().expect("it writes on and on");
    let came = reading.0.load(Relaxed);
    assert!(came > ENOUGH, "{came} bytes");
    let more = peak.saturating_sub(before);
    assert!(more < MOST, "{} MiB more", more >> 20);
    let most = |latencies: &[Duration]| latencies[latencies.len() * 3 / 4];
    assert!(unread.len() > 20 && most(&unread) < MOMENT, "{unread:?}");
    assert!(unread[unread.len() - 1] < JITTER * 2, "{unread:?}");
    // A window of output comes first on the same connection, which takes a build for tests its
    // time.
    let is_quick = cfg!(debug_assertions) || most(&read) < MOMENT;
    assert!(is_quick, "{read:?}");
    drop(stdout);
    assert!(sender.wait(PATIENCE).is_some(), "the sender ends");
    eventually("its command ends", PATIENCE, || {
        executing::children(worker.id()).is_empty()
    });
}
