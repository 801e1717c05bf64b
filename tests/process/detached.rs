//! Processes that leave the session, the group, the parent or the marks of their command: they end
//! with it, and with no other command.

use crate::executing::{
    Folder, JITTER, PATIENCE, anything, children, eventually, has_gone, pids, wait_until_gone,
};
use crate::support::alone;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, getpgid, setpgid};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

/// What a command leaves behind in [`a_process_that_joins_another_group_ends_with_its_command`]: tries to
/// get into the process group `GROUP`, says its number, and stays.
#[test]
#[ignore = "a program that another test has executed"]
fn joins_a_group_and_stays() {
    let group = std::env::var("GROUP").expect("it is told");
    let group = group.parse().ok().and_then(Pid::from_raw);
    let _ = setpgid(None, group);
    println!("\npid {}\n", std::process::id());
    std::thread::sleep(Duration::from_secs(1000));
}

#[test]
fn a_process_that_joins_another_group_ends_with_its_command() {
    let (_relay, mut boss, worker) = anything(2);
    let other = boss.script("echo pid $$; exec sleep 1000", &json!({}));
    let others = pids(&String::from_utf8_lossy(&boss.output(&other).1));
    let clients = getpgid(Pid::from_raw(worker.id() as i32)).expect("it is there");
    let program = std::env::current_exe().expect("this program");
    let folder = crate::executing::Folder::new();
    let said = folder.word("said");
    for group in [clients.as_raw_nonzero().get() as u32, others[0]] {
        let script = format!(
            "GROUP={group} {} --ignored --exact detached::joins_a_group_and_stays --nocapture >{said} 2>&1 & \
             until grep -s pid {said}; do sleep 0.01; done; rm {said}; exit 7",
            program.display()
        );
        let ran = boss.sh(&script);
        let joined = pids(&ran.exited(7).text());
        assert_eq!(joined.len(), 1, "{:?}", ran.text());
        assert!(has_gone(joined[0]), "{joined:?} is there, in group {group}");
    }
    boss.cancel(&other);
    assert_eq!(boss.finish(&other).status(), "cancelled");
    eventually("all are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

/// Processes that fork and end all the time, each in a session of its own: none is the same one
/// for longer than a moment. They add a line to `beats` each time, and end once `on` is gone.
fn flee(folder: &Folder) -> String {
    let [on, beats] = ["on", "beats"].map(|name| folder.word(name));
    let flee = format!("f() {{ [ -e {on} ] || exit; echo >>{beats}; sleep 0.003; f & exit; }}; f");
    format!(
        "touch {on}; for n in $(seq 8); do setsid sh -c '{flee}' >/dev/null 2>&1 & done; \
         until [ -s {beats} ]; do sleep 0.01; done; sleep 0.1"
    )
}

/// Whether something adds lines to `beats`, or does within as long as many of them take.
fn beats(folder: &Folder) -> bool {
    let lines = || fs::metadata(folder.word("beats")).map_or(0, |found| found.len());
    let before = lines();
    std::thread::sleep(Duration::from_millis(300));
    lines() > before
}

#[test]
fn a_process_that_forks_and_ends_all_the_time_ends_with_its_command() {
    let _turn = alone();
    let (_relay, mut boss, worker) = anything(1);
    for _ in 0..5 {
        let folder = Folder::new();
        let ran = boss.sh(&format!("{}; exit 7", flee(&folder)));
        let leftovers = &ran.exited(7).outcome["leftovers"];
        let is_told = leftovers["running"].as_u64() > Some(0);
        assert!(is_told || !beats(&folder), "it is there: {leftovers}");
        eventually("it has gone", PATIENCE, || !beats(&folder));
        assert!(
            folder.path().join("on").exists(),
            "it was ended, and did not end"
        );
    }
    eventually("all are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn a_process_that_forks_and_ends_all_the_time_ends_with_a_client_that_is_killed() {
    let _turn = alone();
    let (_relay, mut boss, worker) = anything(1);
    let folder = Folder::new();
    let script = format!("{}; echo ready; exec sleep 1000", flee(&folder));
    let id = boss.script(&script, &json!({}));
    boss.output(&id);
    worker.0.signal(Signal::KILL);
    eventually("it has gone", PATIENCE, || !beats(&folder));
}

#[test]
fn a_process_that_shed_its_mark_or_id_ends_with_its_command_beside_others() {
    let (_relay, mut boss, _worker) = anything(3);
    let daemon = |how: &str| format!("({how} setsid sleep 1000 >/dev/null 2>&1 & echo pid $!)");
    // Its environment, and its mark.
    let halves = ["env -i", "prlimit --rttime=unlimited"];
    let both = halves.map(daemon).join("; ");
    let other = boss.script(&format!("{both}; echo ready; sleep 1000"), &json!({}));
    let mut printed = String::new();
    while !printed.contains("ready") {
        printed += &String::from_utf8_lossy(&boss.output(&other).1);
    }
    let others = pids(&printed);
    let third = boss.script("echo ready; exec sleep 1000", &json!({}));
    boss.output(&third);
    for half in halves.into_iter().cycle().take(20) {
        let ran = boss.sh(&format!("{}; sleep 0.05; exit 7", daemon(half)));
        let own = pids(&ran.exited(7).text());
        assert!(
            has_gone(own[0]),
            "{half}: {} is there after the outcome",
            own[0]
        );
        let are_there = others.iter().all(|pid| !has_gone(*pid));
        assert!(are_there, "what another one started is let be");
    }
    for id in [other, third] {
        boss.cancel(&id);
        assert_eq!(boss.finish(&id).status(), "cancelled");
    }
    wait_until_gone(&others, Duration::ZERO);
}

#[test]
fn a_process_that_shed_mark_and_id_ends_when_nothing_runs() {
    let (_relay, mut boss, _worker) = anything(2);
    let other = boss.script("echo ready; exec sleep 1000", &json!({}));
    boss.output(&other);
    let script = "(prlimit --rttime=unlimited env -i setsid sleep 1000 >/dev/null 2>&1 & echo pid $!)\n\
                  sleep 0.2; exit 7";
    let daemon = pids(&boss.sh(script).exited(7).text());
    assert!(!has_gone(daemon[0]), "it might be the other one's");
    // Its group is what one is known by that has not left it.
    let script = "prlimit --rttime=unlimited env -i sleep 1000 >/dev/null 2>&1 & echo pid $!\n\
                  sleep 0.2; exit 7";
    let in_group = pids(&boss.sh(script).exited(7).text());
    assert!(
        has_gone(in_group[0]),
        "{} is there after the outcome",
        in_group[0]
    );
    boss.cancel(&other);
    assert_eq!(boss.finish(&other).status(), "cancelled");
    wait_until_gone(&daemon, Duration::from_secs(2));
}

/// Each of them might have left the other's, so neither ends it.
#[test]
fn a_process_that_shed_mark_and_id_ends_although_the_last_two_commands_end_together() {
    let folder = crate::executing::Folder::new();
    let fifo = folder.word("fifo");
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, &fifo, FileType::Fifo, mode, 0).expect("a FIFO");
    let script = format!(
        "exec 3<{fifo}; (prlimit --rttime=unlimited env -i A=b setsid sleep 1000 >/dev/null 2>&1 & \
         echo pid $!); exec cat <&3"
    );
    for _ in 0..16 {
        // One that has not looked after anything yet.
        let (_relay, mut boss, _worker) = anything(2);
        // They end when its last writer has gone.
        let mut options = std::fs::OpenOptions::new();
        let writer = options
            .read(true)
            .write(true)
            .open(&fifo)
            .expect("it is there");
        let ids = [(); 2].map(|()| boss.script(&script, &json!({})));
        let daemons = ids.each_ref().map(|id| {
            let printed = boss.output(id).1;
            pids(&String::from_utf8_lossy(&printed))
        });
        drop(writer);
        for id in &ids {
            boss.finish(id).exited(0);
        }
        wait_until_gone(&daemons.concat(), Duration::from_secs(2));
    }
}

#[test]
fn an_orphan_of_one_command_is_no_orphan_of_another() {
    let (_relay, mut boss, _worker) = anything(2);
    let script = "(setsid sh -c 'sleep 2; echo done' & echo pid $!); sleep 2.5";
    let long = boss.script(script, &json!({}));
    let orphan = pids(&String::from_utf8_lossy(&boss.output(&long).1));
    for n in 0..40 {
        // Some are caught while they become another program.
        let pause = ["", "sleep 0.003", "sleep 0.01", "sleep 0.03"][n % 4];
        let script = format!("(setsid sleep 1000 >/dev/null 2>&1 & echo pid $!)\n{pause}");
        let ran = boss.sh(&script);
        let pids = pids(&ran.exited(0).text());
        assert!(has_gone(pids[0]), "{} is there after the outcome", pids[0]);
    }
    let ran = boss.finish(&long);
    assert_eq!(ran.exited(0).text(), "done\n", "it was let be");
    wait_until_gone(&orphan, JITTER);
}

#[test]
fn output_within_the_drain_is_taken_after_a_long_silence() {
    let (_relay, mut boss, _worker) = anything(2);
    // The program itself is silent for longer than its pipes are drained.
    let ran = boss.sh("(sleep 3; echo late) & sleep 2.4; exit 7");
    assert_eq!(ran.exited(7).text(), "late\n");
    assert!(ran.outcome.get("truncated").is_none(), "{}", ran.outcome);
}

#[test]
fn no_zombie_is_older_than_a_second() {
    let (_relay, mut boss, worker) = anything(3);
    // Orphans that end while their command runs, long after anything was started or has ended; a
    // program that has ended and with pipes that are drained; and one without a reader.
    let orphans = boss.script(
        "sleep 3; (setsid sleep 0.1 >/dev/null 2>&1 &); (env -i setsid sleep 0.1 &); sleep 1.8",
        &json!({}),
    );
    let drained = boss.script("sleep 1000 & exit 0", &json!({}));
    let held = boss.script("head -c 20000 /dev/zero", &json!({"window": 1024}));
    let mut first_seen: Vec<(u32, Instant)> = Vec::new();
    let mut zombies = 0;
    let start = Instant::now();
    let (least, most) = (Duration::from_millis(4600), Duration::from_secs(30));
    // On a busy machine the orphans come later.
    while start.elapsed() < least || (zombies < 2 && start.elapsed() < most) {
        let now = Instant::now();
        let dead: Vec<u32> = children(worker.id())
            .into_iter()
            .filter(|(_, letter)| *letter == 'Z')
            .map(|(pid, _)| pid)
            .collect();
        first_seen.retain(|(pid, _)| dead.contains(pid));
        for pid in dead {
            match first_seen.iter().find(|(seen, _)| *seen == pid) {
                Some((_, since)) => {
                    let age = now - *since;
                    assert!(age < Duration::from_secs(1), "{pid} is dead since {age:?}");
                }
                None => {
                    zombies += 1;
                    first_seen.push((pid, now));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(zombies >= 2, "some were seen: {zombies}");
    boss.finish(&orphans).exited(0);
    boss.finish(&drained).exited(0);
    boss.finish(&held).exited(0);
}
