//! Output that its reader does not take, or takes no longer.

use crate::executing::{
    JITTER, PATIENCE, Program, Relay, Worker, anything, client_for, eventually, has_gone, pids,
    wait_until_gone,
};
use rustix::process::Signal;
use serde_json::json;
use std::io::Read;
use std::time::{Duration, Instant};

#[test]
fn a_sender_that_reads_nothing_is_waited_for_until_the_timeout() {
    let (_relay, mut boss, _worker) = anything(3);
    let script = "echo pid $$; seq 100000; exit 7";
    let id = boss.script(script, &json!({"window": 1024, "timeout_ms": 3500}));
    let since = Instant::now();
    let (_, first) = boss.output(&id);
    // It has ended long ago, and is waited for longer than pipes are drained.
    let small = "head -c 30000 /dev/zero | tr '\\0' x; exit 7";
    let cancelled = boss.script(small, &json!({"window": 1024}));
    let slow = boss.script(small, &json!({"window": 1024}));
    boss.output(&cancelled);
    let (params, bytes) = boss.output(&slow);
    let mut slow_came = bytes.len();
    let what = |message: &serde_json::Value| message["id"] == id && message["method"].is_null();
    let answer = boss.raw.wait_within(PATIENCE, "the end of its time", what);
    let took = since.elapsed();
    assert_eq!(answer["result"]["status"], "timed_out", "{answer}");
    assert!(
        took > Duration::from_millis(3300) && took < Duration::from_secs(8),
        "{took:?}"
    );
    wait_until_gone(&pids(&String::from_utf8_lossy(&first)), JITTER);
    let since = Instant::now();
    boss.cancel(&cancelled);
    let what =
        |message: &serde_json::Value| message["id"] == cancelled && message["method"].is_null();
    let answer = boss.raw.wait_within(PATIENCE, "the cancel", what);
    assert_eq!(answer["result"]["status"], "cancelled", "{answer}");
    assert!(
        since.elapsed() < JITTER,
        "no process is left to be asked to go"
    );
    // This one starts to read only now, and gets everything.
    boss.consumed(&slow, &params["member"], bytes.len());
    let ran = boss.finish(&slow);
    slow_came += ran.stdout.len();
    ran.exited(7);
    assert_eq!(slow_came, 30_000);
}

#[test]
fn a_reader_that_goes_takes_the_command_along() {
    let script = "echo pid $$; exec yes";
    let relay = Relay::start();
    let words = ["run", "--wait-for", "1", "--", "/bin/sh", "-c", script];
    let (mut sender, mut stdout) = Program::start_unread(&mut client_for(&relay, &words));
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let mut first = vec![0; 100_000];
    stdout.read_exact(&mut first).expect("it writes on and on");
    drop(stdout);
    let status = sender.wait(PATIENCE).expect("the sender ends");
    assert_eq!(status.code(), Some(141));
    let pids = pids(&String::from_utf8_lossy(&first[..100]));
    wait_until_gone(&pids, PATIENCE);
    assert!(has_gone(pids[0]));
}

/// A sender with a full pipe without a reader as its standard output: a pager that waits for a
/// key. Its command ignores being asked to go if it is `stubborn`.
fn start_blocked(relay: &Relay, stubborn: bool) -> (Program, impl Read, Worker, Vec<u32>) {
    let trap = if stubborn { "trap '' TERM; " } else { "" };
    let script = format!("{trap}echo pid $$; exec yes");
    let words = ["run", "--wait-for", "1", "--", "/bin/sh", "-c", &script];
    let (sender, mut stdout) = Program::start_unread(&mut client_for(relay, &words));
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let worker = Worker::start(relay, &["--allow-any", "--allow-root"]);
    let mut first = [0; 100];
    stdout.read_exact(&mut first).expect("it writes on and on");
    let full = || rustix::io::ioctl_fionread(&stdout).is_ok_and(|n| n > 60_000);
    eventually("the pipe is full", PATIENCE, full);
    let pids = pids(&String::from_utf8_lossy(&first));
    (sender, stdout, worker, pids)
}

#[test]
fn an_interrupt_cancels_while_the_output_has_no_reader() {
    let relay = Relay::start();
    let (mut sender, mut stdout, _worker, pids) = start_blocked(&relay, false);
    sender.signal(Signal::INT);
    wait_until_gone(&pids, PATIENCE);
    sender.stderr.wait_for("interrupt again", PATIENCE);
    assert!(!sender.has_ended(), "what has come is for its reader");
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("a pipe");
    let status = sender.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(rest.len() > 60_000 && rest.ends_with(b"y\n"));
}

#[test]
fn the_second_interrupt_leaves_at_once_while_the_output_has_no_reader() {
    let relay = Relay::start();
    let (mut sender, _stdout, _worker, pids) = start_blocked(&relay, true);
    sender.signal(Signal::INT);
    sender.stderr.wait_for("interrupt again", PATIENCE);
    let since = Instant::now();
    sender.signal(Signal::INT);
    let status = sender.wait(PATIENCE).expect("it leaves");
    assert_eq!(status.code(), Some(130));
    assert!(since.elapsed() < JITTER * 2, "{:?}", since.elapsed());
    wait_until_gone(&pids, PATIENCE);
}
