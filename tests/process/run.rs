//! What is started for a command and what is not: exactly the words that were sent, in an
//! environment of their own, within the policy.

use crate::executing::{Folder, PATIENCE, Relay, Worker, anything, by_policy, eventually};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn how_it_ended_is_told_and_both_streams_apart() {
    let (_relay, mut boss, _worker) = anything(1);
    for code in [0, 1, 7, 126, 255] {
        boss.sh(&format!("exit {code}")).exited(code);
    }
    for (signal, name) in [
        ("SEGV", "SIGSEGV"),
        ("KILL", "SIGKILL"),
        ("TERM", "SIGTERM"),
        ("ABRT", "SIGABRT"),
        ("USR1", "SIGUSR1"),
        ("PIPE", "SIGPIPE"),
    ] {
        let ran = boss.sh(&format!("echo before; kill -{signal} $$"));
        assert_eq!(ran.status(), "done", "{}", ran.outcome);
        assert_eq!(ran.outcome["signal"], name, "{}", ran.outcome);
        assert!(ran.outcome.get("exit_code").is_none(), "{}", ran.outcome);
        assert_eq!(ran.text(), "before\n");
    }
    let ran = boss.sh("echo out; echo err >&2; echo out2; echo err2 >&2; exit 3");
    ran.exited(3);
    assert_eq!(
        (ran.text().as_str(), &ran.stderr[..]),
        ("out\nout2\n", &b"err\nerr2\n"[..])
    );
    assert!(ran.outcome["elapsed_ms"].is_u64(), "{}", ran.outcome);
    assert!(boss.sh("sleep 0.2").outcome["elapsed_ms"].as_u64() >= Some(200));
    assert!(ran.outcome.get("truncated").is_none(), "{}", ran.outcome);
}

#[test]
fn standard_input_is_empty_whatever_the_clients_is() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" </etc/passwd"])
        .arg(env!("CARGO_BIN_EXE_pecking"));
    let _worker = Worker::start_as(&relay, &mut command, &["--allow-any", "--allow-root"]);
    assert_eq!(boss.run(&["cat"]).exited(0).text(), "");
    boss.sh("read line").exited(1);
}

#[test]
fn as_many_run_at_once_as_there_are_slots() {
    const SLOTS: usize = 3;
    let (_relay, mut boss, _worker) = anything(SLOTS as u32);
    let folder = Folder::new();
    let go = folder.word("go");
    // Each says that it runs, and goes on once the file is there.
    let script = format!("echo runs; while ! [ -e {go} ]; do sleep 0.01; done");
    let ids: Vec<Value> = (0..SLOTS * 2)
        .map(|_| boss.script(&script, &json!({})))
        .collect();
    for id in &ids[..SLOTS] {
        assert_eq!(boss.output(id).1, b"runs\n");
    }
    let running = boss.raw.result("members", &json!({}));
    let worker = &running["members"][1];
    assert_eq!(
        (&worker["running"], &worker["queued"]),
        (&json!(3), &json!(3))
    );
    folder.file("go", "", 0o600);
    for id in &ids {
        boss.finish(id).exited(0);
    }
}

#[test]
fn one_slot_runs_in_the_order_of_arrival() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = Folder::new();
    let log = folder.word("log");
    let ids: Vec<Value> = (0..50)
        .map(|n| boss.script(&format!("echo {n} >>{log}"), &json!({})))
        .collect();
    for id in &ids {
        boss.finish(id).exited(0);
    }
    let expected: String = (0..50).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        std::fs::read_to_string(&log).expect("it was written"),
        expected
    );
}

#[test]
fn a_commands_own_slots_within_the_clients() {
    let folder = Folder::new();
    let log = folder.word("log");
    let policy = format!(
        "[commands.one]\nrun = [\"/bin/sh\", \"-c\", \"echo +$0 >>{log}; sleep 0.02; echo -$0 >>{log}\"]\n\
         args = [\"[0-9]+\"]\nslots = 1\n[commands.other]\nrun = [\"/bin/true\"]\n"
    );
    let (_relay, mut boss, _worker, _policy) = by_policy(4, &policy);
    let ids: Vec<Value> = (0..20)
        .map(|n| boss.send(&["one".to_owned(), n.to_string()]))
        .collect();
    // What waits for a slot can be cancelled there.
    boss.cancel(&ids[2]);
    let other = boss.send(&["other"]);
    for (n, id) in ids.iter().enumerate() {
        let ran = boss.finish(id);
        match n {
            2 if ran.status() == "cancelled" => assert!(ran.outcome["exit_code"].is_null()),
            _ => drop(ran.exited(0)),
        }
    }
    boss.finish(&other).exited(0);
    let text = std::fs::read_to_string(&log).expect("it was written");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.ends_with('2') || line.len() > 2)
        .collect();
    let expected: Vec<String> = (0..20)
        .filter(|n| *n != 2)
        .flat_map(|n| [format!("+{n}"), format!("-{n}")])
        .collect();
    assert_eq!(lines, expected, "one at a time, first come, first served");
}

#[test]
fn a_command_that_waits_for_its_own_slot_has_its_time() {
    let policy = "[commands.one]\nrun = [\"/bin/sleep\"]\nargs = [\".*\"]\nslots = 1\n";
    let (_relay, mut boss, worker, _folder) = by_policy(2, policy);
    let first = boss.send(&["one", "1000"]);
    let second = boss.send_with(&["one", "1000"], &json!({"timeout_ms": 200}));
    let ran = boss.finish(&second);
    assert_eq!(ran.status(), "timed_out", "{}", ran.outcome);
    assert!(ran.outcome["exit_code"].is_null() && ran.outcome["signal"].is_null());
    // The client says so, not the server, which would wait for that.
    let elapsed = ran.outcome["elapsed_ms"].as_u64().expect("it was given");
    assert!((200..2000).contains(&elapsed), "{}", ran.outcome);
    boss.cancel(&first);
    assert_eq!(boss.finish(&first).outcome["signal"], "SIGTERM");
    eventually("nothing is left", PATIENCE, || {
        crate::executing::children(worker.id()).is_empty()
    });
}
