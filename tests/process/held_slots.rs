//! Processes that the system does not let a client end, or that take long to end: their slot stays
//! taken, and the client goes on.

use crate::executing::{
    Boss, Folder, JITTER, PATIENCE, Relay, STUBBORN, Worker, anything, children, client_command,
    eventually, has_gone, pids,
};
use crate::support::{set_mode, skipped};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What runs as another user than the client, and is ended with the test.
struct Stuck(Option<u32>);

impl Stuck {
    fn new(pid: u32) -> Stuck {
        Stuck(Some(pid))
    }

    /// Kills it once: after that its number may mean another process.
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            let pid = Pid::from_raw(pid as i32).expect("a number");
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that is not root, and a folder in which `setpriv` has the set-user-ID bit. None, and
/// says why, if that cannot be had here.
#[track_caller]
fn unprivileged(policy: &str, slots: u32) -> Option<(Relay, Boss, Worker, Folder)> {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !geteuid().is_root() || !setpriv.exists() {
        skipped("a set-user-ID program needs root, and /usr/bin/setpriv");
        return None;
    }
    let folder = Folder::new();
    set_mode(folder.path(), 0o755);
    for (from, name) in [
        (setpriv, "setpriv"),
        (Path::new(client_command().get_program()), "client"),
    ] {
        fs::copy(from, folder.path().join(name)).expect("it can be copied");
    }
    set_mode(folder.path().join("setpriv"), 0o4755);
    let policy = policy.replace("FOLDER", folder.path().to_str().expect("a plain path"));
    let policy = folder.file("policy.toml", &policy, 0o644);
    let relay = Relay::start();
    let boss = relay.boss();
    let mut command = Command::new(setpriv);
    let user = std::process::id() % 10_000 + 30_000;
    let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
    command.args([&user, &group, "--clear-groups"]);
    command
        .arg(folder.path().join("client"))
        .env_remove("RUST_LOG");
    let (slots, policy) = (slots.to_string(), policy.to_str().expect("a plain path"));
    let options = ["--policy", policy, "--slots", &slots];
    let worker = Worker::start_as(&relay, &mut command, &options);
    Some((relay, boss, worker, folder))
}

/// A policy's entry that becomes root, if it can, and says its user.
fn becomes_root(name: &str, more: &str) -> String {
    let script = "echo pid $$; exec FOLDER/setpriv --reuid=0 --clear-groups \
                  /bin/sh -c \\\"id -u; trap '' TERM; exec sleep 1000\\\"";
    format!("[commands.{name}]\nrun = [\"/bin/sh\", \"-c\", \"{script}\"]\n{more}\n")
}

#[test]
fn a_program_gains_no_privileges_unless_its_entry_says_so() {
    let look = "run = [\"/bin/grep\", \"NoNewPrivs\", \"/proc/self/status\"]";
    let policy = format!("[commands.look]\n{look}\n[commands.may]\n{look}\nsetuid = true\n");
    let (_relay, mut boss, _worker, _folder) = crate::executing::by_policy(1, &policy);
    assert_eq!(boss.run(&["look"]).exited(0).text(), "NoNewPrivs:\t1\n");
    assert_eq!(boss.run(&["may"]).exited(0).text(), "NoNewPrivs:\t0\n");
    let (_relay, mut boss, _worker) = anything(1);
    let ran = boss.run(&["grep", "NoNewPrivs", "/proc/self/status"]);
    assert_eq!(ran.exited(0).text(), "NoNewPrivs:\t1\n");
    let policy = becomes_root("sneaks", "");
    let Some((_relay, mut boss, _worker, _folder)) = unprivileged(&policy, 1) else {
        return;
    };
    let ran = boss.run(&["sneaks"]);
    assert_eq!(ran.status(), "done", "{}", ran.outcome);
    assert!(!ran.text().contains("\n0\n"), "it is root: {}", ran.text());
}

/// Starts what cannot be ended, with a second of time, and waits for its outcome.
#[track_caller]
fn get_stuck(boss: &mut Boss, word: &str) -> Stuck {
    let since = Instant::now();
    let id = boss.send_with(&[word], &json!({"timeout_ms": 1000}));
    let mut printed = String::new();
    while !printed.contains("\n0\n") {
        printed += &String::from_utf8_lossy(&boss.output(&id).1);
    }
    let pid = pids(&printed)[0];
    let stuck = Stuck::new(pid);
    let ran = boss.finish(&id);
    assert_eq!(ran.status(), "timed_out", "{}", ran.outcome);
    assert_eq!(
        ran.outcome["leftovers"],
        json!({"ended": 0, "running": 1}),
        "{}",
        ran.outcome
    );
    assert!(since.elapsed() < Duration::from_secs(1) + STUBBORN + JITTER);
    assert!(!has_gone(pid), "there is something that runs");
    stuck
}

#[test]
fn a_process_that_cannot_be_ended_keeps_its_slot() {
    let policy =
        becomes_root("stuck", "setuid = true") + "[commands.echo]\nrun = [\"/bin/echo\"]\n";
    let Some((_relay, mut boss, worker, _folder)) = unprivileged(&policy, 2) else {
        return;
    };
    // It ends a few seconds after the first one.
    let busy = boss.send_with(&["stuck"], &json!({"timeout_ms": 4000}));
    let mut printed = String::new();
    while !printed.contains("\n0\n") {
        printed += &String::from_utf8_lossy(&boss.output(&busy).1);
    }
    let mut second = Stuck::new(pids(&printed)[0]);
    let mut first = get_stuck(&mut boss, "stuck");
    worker.0.stderr.wait_for("cannot be ended", PATIENCE);
    // The server knows of two slots, so this one waits at the client, and has its time there.
    let late = boss.send_with(&["echo"], &json!({"timeout_ms": 300}));
    let ran = boss.finish(&late);
    assert_eq!(ran.status(), "timed_out", "{}", ran.outcome);
    assert!(
        ran.outcome["elapsed_ms"].as_u64() < Some(2000),
        "{}",
        ran.outcome
    );
    let waits = boss.send(&["echo"]);
    assert_eq!(boss.finish(&busy).outcome["leftovers"]["running"], 1);
    // Now both slots are held: what waited fails, and so does what comes.
    let held = "all slots of this client are held by what earlier commands left running and cannot \
                be ended";
    for id in [waits, boss.send(&["echo"])] {
        let ran = boss.finish(&id);
        assert_eq!((ran.status(), ran.message()), ("failed", held));
    }
    // A slot comes back with the end of what held it, while the other one is still held.
    first.kill();
    let deadline = Instant::now() + PATIENCE;
    let ran = loop {
        let ran = boss.run(&["echo"]);
        if ran.status() == "done" || Instant::now() >= deadline {
            break ran;
        }
    };
    ran.exited(0);
    second.kill();
    eventually("they are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn a_client_with_a_slot_that_is_held_leaves_at_once() {
    let policy = becomes_root("stuck", "setuid = true\nslots = 1")
        + "[commands.echo]\nrun = [\"/bin/echo\"]\n";
    let Some((_relay, mut boss, mut worker, _folder)) = unprivileged(&policy, 3) else {
        return;
    };
    let _stuck = get_stuck(&mut boss, "stuck");
    // Its entry's only slot is held, too.
    let ran = boss.run(&["stuck"]);
    assert_eq!(ran.status(), "failed", "{}", ran.outcome);
    assert!(
        ran.message().contains("holds all of its slots"),
        "{}",
        ran.message()
    );
    boss.run(&["echo"]).exited(0);
    worker.0.signal(Signal::TERM);
    let status = worker.0.wait(JITTER * 2).expect("it goes at once");
    assert_eq!(status.code(), Some(0));
}

/// How long a client waits for a process that ends.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// A process that is killed is ending, and not gone, as long as another one of its namespace of
/// processes is not reaped: the kernel has the first process of a namespace wait for that.
#[test]
fn a_process_that_ends_slowly_is_waited_for_and_keeps_no_slot() {
    let tools = ["/usr/bin/unshare", "/usr/bin/nsenter"];
    if !geteuid().is_root() || !tools.iter().all(|tool| Path::new(tool).exists()) {
        return skipped("a namespace of processes needs root, unshare and nsenter");
    }
    let (_relay, mut boss, worker) = anything(1);
    let folder = Folder::new();
    let end = folder.path().join("end");
    let script = format!(
        "setsid unshare -p -f sleep 1000 >/dev/null 2>&1 & \
         while [ ! -e {end:?} ]; do sleep 0.02; done"
    );
    let id = boss.run_later(&script);
    let first = || {
        let below = |all: Vec<(u32, char)>| -> Vec<(u32, char)> {
            all.iter().flat_map(|(pid, _)| children(*pid)).collect()
        };
        // Below the shell and unshare.
        let all = below(below(children(worker.id())));
        let is_it = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        };
        all.into_iter().map(|(pid, _)| pid).find(is_it)
    };
    eventually("a namespace has its first process", PATIENCE, || {
        first().is_some()
    });
    let first = first().expect("it stays");
    let mut entering = Command::new("nsenter")
        .args(["-t", &first.to_string(), "-p", "sleep", "1000"])
        .spawn()
        .expect("it is there");
    let mut stuck = Stuck::new(entering.id());
    eventually("another process is in it", PATIENCE, || {
        !children(entering.id()).is_empty()
    });
    let entered = Pid::from_child(&entering);
    kill_process(entered, Signal::STOP).expect("it is ours");
    let began = Instant::now();
    fs::write(&end, "").expect("the folder is ours");
    eventually("the first is killed", PATIENCE, || {
        children(entering.id())
            .iter()
            .all(|(_, state)| *state == 'Z')
    });
    // Longer than what cannot be ended is waited for.
    std::thread::sleep(Duration::from_millis(500));
    let early = boss.raw.fence();
    let is_there = !has_gone(first);
    // It goes on, and reaps the other one.
    kill_process(entered, Signal::CONT).expect("it is ours");
    entering.wait().expect("it is ours");
    stuck.0 = None;
    if began.elapsed() >= ENDS_WITHIN {
        return skipped("the machine is so busy that the client has waited long enough");
    }
    assert!(is_there, "it waits for the other one");
    assert!(early.is_empty(), "the outcome waits for it: {early:?}");
    let ran = boss.finish(&id);
    assert_eq!(ran.exited(0).outcome["leftovers"]["running"], 0);
    boss.run(&["/bin/true"]).exited(0);
}
