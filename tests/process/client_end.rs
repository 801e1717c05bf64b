//! How a client ends: its commands end with it, even if it is killed, and its watchdog sees to that.

use crate::executing::{
    Boss, Folder, JITTER, PATIENCE, Relay, STUBBORN, Worker, anything, children, client_command,
    eventually, has_gone, pids, wait_until_gone,
};
use rustix::process::{Pid, Signal, geteuid, getpgid, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Two commands, one of which ignores SIGTERM and has a child; their processes.
fn start_two(boss: &mut Boss) -> Vec<u32> {
    let polite = boss.script("echo pid $$; exec sleep 1000", &json!({}));
    let stubborn = boss.script(
        "trap '' TERM; sleep 1000 & echo pid $$ pid $!; setsid sleep 1000 & echo pid $!; wait",
        &json!({}),
    );
    let mut printed = String::from_utf8_lossy(&boss.output(&polite).1).into_owned();
    while pids(&printed).len() < 4 {
        printed += &String::from_utf8_lossy(&boss.output(&stubborn).1);
    }
    pids(&printed)
}

#[test]
fn a_client_that_is_told_to_go_ends_its_commands() {
    let (_relay, mut boss, mut worker) = anything(2);
    let pids = start_two(&mut boss);
    worker.0.signal(Signal::TERM);
    let status = worker.0.wait(STUBBORN + JITTER).expect("it goes in time");
    assert_eq!(status.code(), Some(0));
    assert!(
        pids.iter().all(|pid| has_gone(*pid)),
        "{pids:?} went before it"
    );
}

#[test]
fn a_client_that_loses_its_server_ends_its_commands() {
    let relay = crate::executing::Relay::start();
    let mut boss = relay.boss();
    let options = [
        "--allow-any",
        "--allow-root",
        "--slots",
        "2",
        "--no-reconnect",
    ];
    let mut worker = crate::executing::Worker::start(&relay, &options);
    let pids = start_two(&mut boss);
    relay.abort();
    let status = worker.0.wait(STUBBORN + JITTER).expect("it goes in time");
    assert_eq!(status.code(), Some(255));
    assert!(
        pids.iter().all(|pid| has_gone(*pid)),
        "{pids:?} went before it"
    );
}

#[test]
fn a_client_that_will_come_back_ends_its_commands_too() {
    let relay = Relay::start_without_hold();
    let mut boss = relay.boss();
    let options = ["--allow-any", "--allow-root", "--slots", "2"];
    let mut worker = Worker::start(&relay, &options);
    let pids = start_two(&mut boss);
    relay.abort();
    wait_until_gone(&pids, STUBBORN + JITTER);
    worker.0.stderr.wait_for("trying again", PATIENCE);
    let is_logged = "from boss: ended, and its connection is gone";
    worker.0.stderr.wait_for(is_logged, PATIENCE);
    worker.0.signal(Signal::TERM);
    let status = worker.0.wait(JITTER * 2).expect("it goes at once");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_client_that_is_killed_takes_its_direct_children_along() {
    let (_relay, mut boss, mut worker) = anything(2);
    let polite = boss.script("trap '' TERM; echo pid $$; exec sleep 1000", &json!({}));
    let quick = boss.sh("exit 0");
    quick.exited(0);
    let pids = pids(&String::from_utf8_lossy(&boss.output(&polite).1));
    worker.0.signal(Signal::KILL);
    wait_until_gone(&pids, PATIENCE);
    assert_eq!(boss.finish(&polite).status(), "lost");
    assert!(worker.0.wait(PATIENCE).is_some());
}

#[test]
fn a_client_that_is_killed_has_left_also_with_something_unread() {
    let (_relay, mut boss, mut worker) = anything(2);
    let running = boss.script("echo pid $$; exec sleep 1000", &json!({}));
    boss.output(&running);
    worker.0.signal(Signal::STOP);
    let unread = boss.script("true", &json!({}));
    boss.raw.fence();
    let began = Instant::now();
    worker.0.signal(Signal::KILL);
    for id in [running, unread] {
        assert_eq!(boss.finish(&id).status(), "lost");
    }
    let took = began.elapsed();
    assert!(
        took < crate::support::loosely(Duration::from_secs(1)),
        "{took:?}"
    );
    assert!(worker.0.wait(PATIENCE).is_some());
}

/// The process that is to end what a client leaves behind that is killed.
fn watchdog_of(client: u32) -> Option<u32> {
    watchdogs_of(client).first().copied()
}

fn watchdogs_of(client: u32) -> Vec<u32> {
    let name = format!("pecking-watch\0{client}-");
    let processes = fs::read_dir("/proc").expect("there is a /proc");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(name.as_bytes()) && !has_gone(*pid)
    })
    .collect()
}

/// Waits until so many of these processes have become `sleep`.
#[track_caller]
fn wait_until_asleep(pids: &[u32], count: usize) {
    let is_sleep = |pid: &&u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name == "sleep\n")
    };
    eventually("they sleep", PATIENCE, || {
        pids.iter().filter(is_sleep).count() == count
    });
}

#[test]
fn nothing_outlives_a_client_that_is_killed() {
    let silent = ">/dev/null 2>&1";
    let scripts = [
        "echo pid $$; sh -c 'echo pid $$; sleep 1000; true'; true".to_owned(),
        format!("setsid sleep 1000 {silent} & echo pid $! pid $$; wait"),
        format!(
            "(trap '' TERM HUP; setsid sh -c 'sleep 1000 & echo pid $! pid $$ >&3; wait' 3>&1 {silent} &); \
             sleep 1000 {silent} & echo pid $!; wait"
        ),
        // Daemons that shed what they are known by, but for one thing.
        format!("(env -i setsid sleep 1000 {silent} & echo pid $! pid $$); sleep 1000"),
        format!(
            "(prlimit --rttime=unlimited setsid sleep 1000 {silent} & echo pid $! pid $$); sleep 1000"
        ),
        // What has shed both is known by its parent.
        format!(
            "setsid sh -c 'prlimit --rttime=unlimited env -i setsid sleep 1000 & \
             echo pid $! pid $$ >&3; wait' 3>&1 {silent} & wait"
        ),
    ];
    let (_relay, mut boss, mut worker) = anything(8);
    let mut all = Vec::new();
    let running: Vec<Value> = scripts.iter().map(|s| boss.script(s, &json!({}))).collect();
    for (id, count) in running.iter().zip([2, 2, 3, 2, 2, 2]) {
        let mut printed = String::new();
        while pids(&printed).len() < count || !printed.ends_with('\n') {
            printed += &String::from_utf8_lossy(&boss.output(id).1);
        }
        all.extend(pids(&printed));
    }
    wait_until_asleep(&all, 6);
    assert!(all.iter().all(|pid| !has_gone(*pid)), "{all:?}");
    let watchdog = watchdog_of(worker.id()).expect("there is one");
    worker.0.signal(Signal::KILL);
    wait_until_gone(&all, PATIENCE);
    wait_until_gone(&[watchdog], PATIENCE);
    for id in &running {
        assert_eq!(boss.finish(id).status(), "lost");
    }
    assert!(worker.0.wait(PATIENCE).is_some());
}

/// A parent may have the ends of all children ignored, and its children inherit that.
#[test]
fn nothing_outlives_a_killed_client_that_was_started_with_sigchld_ignored() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let program = client_command();
    let mut command = Command::new("/usr/bin/perl");
    command
        .args(["-e", "$SIG{CHLD} = \"IGNORE\"; exec @ARGV"])
        .arg(program.get_program());
    let worker = Worker::start_as(&relay, &mut command, &["--allow-any", "--allow-root"]);
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; exec sleep 1000";
    let id = boss.script(script, &json!({}));
    let left_behind = pids(&String::from_utf8_lossy(&boss.output(&id).1));
    wait_until_asleep(&left_behind, 1);
    worker.0.signal(Signal::KILL);
    wait_until_gone(&left_behind, PATIENCE);
}

#[test]
fn a_watchdog_that_its_client_has_not_accepted_ends_nothing() {
    let (_relay, mut boss, worker) = anything(1);
    let folder = Folder::new();
    let script = format!(
        "echo $PECKING_ID; until [ -e {} ]; do sleep 0.01; done; exit 3",
        folder.word("go")
    );
    let id = boss.script(&script, &json!({}));
    let printed = String::from_utf8_lossy(&boss.output(&id).1).into_owned();
    let (client, _) = printed.rsplit_once('-').expect("the id of a run");
    let of_client = watchdogs_of(worker.id());
    assert_eq!(of_client.len(), 1);
    // Its client's end of the pair is closed from the start, as if that had failed to start it.
    let mut command = client_command();
    command
        .arg0("pecking-watch")
        .arg(client)
        .stdin(Stdio::null());
    assert!(command.status().expect("it starts").success());
    eventually("it has gone", PATIENCE, || {
        watchdogs_of(worker.id()) == of_client
    });
    fs::write(folder.word("go"), "").expect("a file");
    boss.finish(&id).exited(3);
}

#[test]
fn nothing_outlives_a_client_that_another_one_executes_if_that_is_killed() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let mut second = Boss::new(relay.raw("second", 0));
    let options = ["--allow-any", "--allow-root", "--name"];
    let outer = Worker::start(&relay, &[&options[..], &["outer"]].concat());
    let program = client_command();
    let program = program.get_program().to_str().expect("a plain path");
    let address = relay.address().to_string();
    let inner = [
        &[program, "--server", &address, "work"],
        &options[..],
        &["inner"],
    ]
    .concat();
    let inner = boss.send_with(&inner, &json!({"to": "outer"}));
    eventually("it has joined", PATIENCE, || relay.clients() == 4);
    let script = "setsid sleep 1000 & echo pid $!; sleep 1000 & echo pid $!; wait";
    let id = second.script(script, &json!({"to": "inner"}));
    let mut printed = String::new();
    while pids(&printed).len() < 2 {
        printed += &String::from_utf8_lossy(&second.output(&id).1);
    }
    wait_until_asleep(&pids(&printed), 2);
    outer.0.signal(Signal::KILL);
    wait_until_gone(&pids(&printed), PATIENCE);
    assert_eq!(boss.finish(&inner).status(), "lost");
    assert_eq!(second.finish(&id).status(), "lost");
}

#[test]
fn the_first_process_of_a_container_executes_and_ends_what_is_left_behind() {
    if !geteuid().is_root() || !Path::new("/usr/bin/unshare").exists() {
        crate::support::skipped("a container of its own needs root, and /usr/bin/unshare");
        return;
    }
    let relay = Relay::start();
    let mut boss = relay.boss();
    let mut command = Command::new("/usr/bin/unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(client_command().get_program())
        .env_remove("RUST_LOG");
    let options = ["--allow-any", "--allow-root"];
    let _worker = Worker::start_as(&relay, &mut command, &options);
    // Its own session is one of outside, which has no number in there.
    let ran = boss.sh("exit 7");
    let leftovers = &ran.exited(7).outcome["leftovers"];
    assert!(leftovers.is_null(), "{leftovers}");
    let ran = boss.sh("setsid sleep 1000 >/dev/null 2>&1 & sleep 0.1; exit 7");
    assert_eq!(ran.exited(7).outcome["leftovers"]["ended"], 1);
}

#[test]
fn a_watchdog_has_its_clients_socket_alone_and_ends_with_it() {
    let (relay, mut boss, mut worker) = anything(1);
    let watchdog = watchdog_of(worker.id()).expect("there is one");
    let folder = format!("/proc/{watchdog}/fd");
    // The socket is given to it once it runs.
    eventually("it has the socket, and no more", PATIENCE, || {
        let entries = fs::read_dir(&folder).expect("it is ours").flatten();
        let mut descriptors: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        descriptors.sort();
        descriptors == ["0", "1", "2", "3"]
    });
    let inode = |path: String| fs::read_link(path).expect("it is open");
    let its_own = inode(format!("{folder}/3"));
    let of_client = fs::read_dir(format!("/proc/{}/fd", worker.id())).expect("it is ours");
    let mut of_client = of_client.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    assert!(
        of_client.any(|of_client| of_client == its_own),
        "the socket of its connection"
    );
    let of_client = fs::read_dir(format!("/proc/{}/fd", worker.id())).expect("it is ours");
    let end = inode(format!("{folder}/0"));
    for entry in of_client {
        let of_client = entry.expect("it can be read").path();
        let of_client = of_client.to_str().expect("a plain path");
        assert_ne!(inode(of_client.to_owned()), end, "{of_client}");
    }
    let environment = fs::read(format!("/proc/{watchdog}/environ")).expect("it is ours");
    assert!(environment.is_empty(), "{environment:?}");
    assert!(
        children(worker.id()).is_empty(),
        "it is no child of its client"
    );
    // What is meant for the client's group does not reach it, nor does what asks it to end.
    let pid = Pid::from_raw(watchdog as i32).expect("a number");
    let group = |pid| getpgid(Pid::from_raw(pid as i32)).expect("it is there");
    assert_ne!(group(watchdog), group(worker.id()));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(pid, signal).expect("it is there");
    }
    boss.sh("exit 3").exited(3);
    assert!(!has_gone(watchdog));
    worker.0.signal(Signal::TERM);
    let status = worker.0.wait(PATIENCE).expect("it goes in time");
    assert_eq!(status.code(), Some(0));
    wait_until_gone(&[watchdog], PATIENCE);
    // One that starts no programs has none.
    let worker = Worker::start(&relay, &[]);
    assert_eq!(watchdog_of(worker.id()), None);
}

#[test]
fn a_process_that_shed_all_marks_ends_with_its_client() {
    let script = "(prlimit --rttime=unlimited env -i setsid sleep 1000 >/dev/null 2>&1 & \
                  echo pid $!); exec sleep 1000";
    for _ in 0..8 {
        // Both end at once, so neither is the last one that runs.
        let (_relay, mut boss, mut worker) = anything(2);
        let daemons = [(); 2].map(|()| {
            let id = boss.script(script, &json!({}));
            pids(&String::from_utf8_lossy(&boss.output(&id).1))
        });
        wait_until_asleep(&daemons.concat(), 2);
        worker.0.signal(Signal::TERM);
        assert!(worker.0.wait(PATIENCE).is_some());
        let daemons = daemons.concat();
        assert!(daemons.iter().all(|pid| has_gone(*pid)), "{daemons:?}");
    }
}
