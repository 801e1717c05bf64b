//! What a command that writes without end costs those in between while its reader takes its
//! time: no memory, and nobody else's latency. By itself, since the server's memory is this
//! process's own.

mod executing;
mod support;

use executing::{JITTER, PATIENCE, Program, Relay, Worker, client_for, eventually};
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

/// What all of them together may need more.
const MOST: usize = 64 << 20;

/// How long the reader sleeps over it.
const PAUSE: Duration = Duration::from_secs(2);

fn resident(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() << 10
}

#[test]
fn who_writes_without_end_costs_nothing_while_nobody_reads() {
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
    let mut latencies = Vec::new();
    let since = Instant::now();
    while since.elapsed() < PAUSE {
        let asked = Instant::now();
        boss.run(&["/bin/true"]).exited(0);
        latencies.push(asked.elapsed());
        peak = peak.max(all());
    }
    // And while somebody reads as fast as he can.
    let mut buffer = vec![0; 1 << 20];
    let mut came = 0;
    let since = Instant::now();
    while since.elapsed() < PAUSE || (came <= 16 << 20 && since.elapsed() < PATIENCE) {
        came += stdout.read(&mut buffer).expect("it writes on and on");
        peak = peak.max(all());
    }
    assert!(came > 16 << 20, "{came} bytes");
    let more = peak.saturating_sub(before);
    assert!(more < MOST, "{} MiB more", more >> 20);
    latencies.sort_unstable();
    let median = latencies[latencies.len() / 2];
    assert!(
        latencies.len() > 20 && median < Duration::from_millis(100),
        "{median:?}"
    );
    assert!(latencies[latencies.len() - 1] < JITTER * 2, "{latencies:?}");
    drop(stdout);
    assert!(sender.wait(PATIENCE).is_some(), "the sender ends");
    eventually("its command ends", PATIENCE, || {
        executing::children(worker.id()).is_empty()
    });
}
