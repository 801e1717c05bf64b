//! How commands end, however stubborn: with their time, with a cancel, with their client or
//! its server; and that nothing of them survives.

use crate::executing::{
    Boss, Folder, JITTER, PATIENCE, Ran, Relay, STUBBORN, Worker, anything, children,
    client_command, eventually, has_gone, pids, start_client, wait_until_gone,
};
use crate::support::is_mostly;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, geteuid, getpgid, kill_process, setpgid};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Until a command that is late is ended for good.
const AT_MOST: Duration = STUBBORN;

/// What a command does that is to be ended, and how that shows.
struct Case {
    what: &'static str,
    /// It prints `pid N` of all that it starts, and `ready` last.
    script: &'static str,
    /// Its exit code or signal.
    end: Value,
    /// Whether it takes SIGKILL.
    is_stubborn: bool,
}

fn cases() -> Vec<Case> {
    let case = |what, script, end, is_stubborn| Case {
        what,
        script,
        end,
        is_stubborn,
    };
    vec![
        case(
            "goes when it is asked",
            "echo pid $$; echo ready; exec sleep 1000",
            json!("SIGTERM"),
            false,
        ),
        case(
            "cleans up when it is asked",
            "trap 'echo bye; kill $!; exit 3' TERM; echo pid $$; echo ready; sleep 1000 & wait",
            json!(3),
            false,
        ),
        case(
            "leaves it to its child to hear",
            "trap : TERM; \
             sh -c 'trap \"exit 6\" TERM; echo pid $$; echo ready; while :; do sleep 0.05; done' & \
             while wait $!; how=$?; [ $how -gt 128 ]; do :; done; exit $how",
            json!(6),
            false,
        ),
        case(
            "ignores SIGTERM",
            "trap '' TERM; echo pid $$; echo ready; exec sleep 1000",
            json!("SIGKILL"),
            true,
        ),
        case(
            "stops itself",
            "echo pid $$; echo ready; kill -STOP $$; exec sleep 1000",
            json!("SIGTERM"),
            false,
        ),
        case(
            "stops itself and ignores SIGTERM",
            "trap '' TERM; echo pid $$; echo ready; while :; do kill -STOP $$; done",
            json!("SIGKILL"),
            true,
        ),
        case(
            "has 200 children that ignore SIGTERM",
            "trap '' TERM; echo pid $$; i=0; while [ $i -lt 200 ]; do \
             sleep 1000 & echo pid $!; i=$((i+1)); done; echo ready; wait",
            json!("SIGKILL"),
            true,
        ),
        case(
            "has a grandchild in a session of its own",
            "setsid sh -c 'trap \"\" TERM HUP; echo pid $$; echo ready; exec sleep 1000' & \
             echo pid $$; wait",
            json!("SIGTERM"),
            // Its output is drained for a while.
            true,
        ),
        case(
            "has closed what it writes to",
            "echo pid $$; echo ready; exec >&- 2>&-; sleep 1000",
            json!("SIGTERM"),
            false,
        ),
        case(
            "has closed what it writes to and ignores SIGTERM",
            "trap '' TERM; echo pid $$; echo ready; exec >&- 2>&-; exec sleep 1000",
            json!("SIGKILL"),
            true,
        ),
        case(
            "never stops writing",
            "trap '' TERM; echo pid $$; echo ready; while :; do echo y; done",
            json!("SIGKILL"),
            true,
        ),
        case(
            "leaves one behind that ignores SIGTERM and holds its output",
            "(trap '' TERM; exec sleep 1000) & echo pid $!; echo pid $$; echo ready; \
             trap 'exit 4' TERM; while :; do sleep 0.05; done",
            json!(4),
            true,
        ),
    ]
}

/// Starts all cases at once, each told when it is ready; their ids and what they printed.
fn start_all(boss: &mut Boss, cases: &[Case], more: &Value) -> Vec<(Value, String)> {
    let ids: Vec<Value> = cases.iter().map(|c| boss.script(c.script, more)).collect();
    let wait = |id: Value| {
        let mut printed = String::new();
        while !printed.contains("ready") || !printed.contains("pid") {
            printed += &String::from_utf8_lossy(&boss.output(&id).1);
        }
        (id, printed)
    };
    ids.into_iter().map(wait).collect()
}

#[track_caller]
fn check(case: &Case, ran: &Ran, printed: &str, status: &str, took: Duration) {
    let what = case.what;
    assert_eq!(ran.status(), status, "{what}: {}", ran.outcome);
    let key = if case.end.is_string() {
        "signal"
    } else {
        "exit_code"
    };
    assert_eq!(ran.outcome[key], case.end, "{what}: {}", ran.outcome);
    // A second is for a machine that runs all of this at once.
    let most = if case.is_stubborn {
        AT_MOST
    } else {
        Duration::from_secs(1)
    };
    assert!(took < most + JITTER, "{what}: {took:?}");
    let all = format!("{printed}{}", ran.text());
    let pids = pids(&all);
    assert!(!pids.is_empty(), "{what}: {all:?}");
    for pid in pids {
        assert!(has_gone(pid), "{what}: {pid} is there after the outcome");
    }
}

#[test]
fn a_cancel_ends_the_most_stubborn_in_time() {
    let cases = cases();
    let (_relay, mut boss, worker) = anything(32);
    let started = start_all(&mut boss, &cases, &json!({}));
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|n| cases[*n].is_stubborn);
    let since = Instant::now();
    for (id, _) in &started {
        boss.cancel(id);
    }
    for n in order {
        let ran = boss.finish(&started[n].0);
        check(&cases[n], &ran, &started[n].1, "cancelled", since.elapsed());
    }
    eventually("all are reaped", Duration::from_secs(2), || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn the_end_of_its_time_ends_the_most_stubborn_in_time() {
    const TIME: u64 = 3000;
    let cases = cases();
    let (_relay, mut boss, worker) = anything(32);
    let since = Instant::now();
    let started = start_all(&mut boss, &cases, &json!({"timeout_ms": TIME}));
    assert!(
        since.elapsed() < Duration::from_millis(TIME),
        "a machine that is too slow"
    );
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|n| cases[*n].is_stubborn);
    for n in order {
        let ran = boss.finish(&started[n].0);
        let took = since.elapsed().saturating_sub(Duration::from_millis(TIME));
        check(&cases[n], &ran, &started[n].1, "timed_out", took);
    }
    assert!(
        since.elapsed() >= Duration::from_millis(TIME + 5000),
        "SIGKILL comes 5 s later"
    );
    eventually("all are reaped", Duration::from_secs(2), || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn a_policys_timeout_is_one_too() {
    let run = "run = [\"/bin/sh\", \"-c\", \"echo pid $$; exec sleep 1000\"]";
    let policy = format!(
        "[commands.slow]\n{run}\ntimeout = \"300ms\"\n[commands.slower]\n{run}\ntimeout = \"1h\"\n"
    );
    let (_relay, mut boss, _worker, _folder) = crate::executing::by_policy(1, &policy);
    for (word, more) in [
        ("slow", json!({})),
        ("slow", json!({"timeout_ms": 60_000})),
        ("slow", json!({"window": 4096})),
        // Whichever is over first.
        ("slower", json!({"timeout_ms": 300})),
    ] {
        let id = boss.send_with(&[word], &more);
        let ran = boss.finish(&id);
        assert_eq!(ran.status(), "timed_out", "{}", ran.outcome);
        assert_eq!(ran.outcome["signal"], "SIGTERM");
        let elapsed = ran.outcome["elapsed_ms"].as_u64().expect("it ran");
        assert!((300..1300).contains(&elapsed), "{}", ran.outcome);
        wait_until_gone(&pids(&ran.text()), JITTER);
    }
}

/// What a command leaves behind that has ended by itself, and until when it may be waited
/// for.
#[test]
fn nothing_survives_a_command_that_has_ended() {
    let (_relay, mut boss, _worker) = anything(1);
    let at_once = Duration::ZERO;
    let drained = Duration::from_secs(2);
    for (what, script, wait) in [
        (
            "holds the pipes",
            "sleep 1000 & echo pid $!; exit 7",
            drained,
        ),
        (
            "holds the pipes in a session of its own",
            "setsid sleep 1000 & echo pid $!; sleep 0.2; exit 7",
            drained,
        ),
        (
            "writes on and on",
            "(trap '' TERM; while :; do echo x; sleep 0.05; done) & echo pid $!; exit 7",
            drained,
        ),
        (
            "is silent",
            "sleep 1000 >/dev/null 2>&1 & echo pid $!; exit 7",
            at_once,
        ),
        (
            "is silent in a session of its own",
            "setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; sleep 0.2; exit 7",
            at_once,
        ),
        (
            "is a chain of sessions",
            "setsid sh -c 'echo pid $$; setsid sh -c \"echo pid \\$\\$; exec sleep 1000 >&- 2>&-\" & \
             exec sleep 1000 >&- 2>&-' & sleep 0.3; exit 7",
            at_once,
        ),
        (
            "is a crowd in sessions of their own",
            "i=0; while [ $i -lt 100 ]; do setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; \
             i=$((i+1)); done; sleep 0.4; exit 7",
            at_once,
        ),
        (
            "ignores everything",
            "(trap '' TERM HUP INT; setsid sleep 1000 >/dev/null 2>&1 & echo pid $!); sleep 0.2; exit 7",
            at_once,
        ),
        (
            "is stopped",
            "setsid sh -c 'kill -STOP $$' >/dev/null 2>&1 & echo pid $!; sleep 0.2; exit 7",
            at_once,
        ),
        (
            "is a daemon that shed its environment",
            "(env -i setsid sleep 1000 >/dev/null 2>&1 & echo pid $!); sleep 0.2; exit 7",
            at_once,
        ),
    ] {
        let is_quick = is_mostly(|| {
            let since = Instant::now();
            let ran = boss.sh(script);
            let took = since.elapsed();
            ran.exited(7);
            let pids = pids(&ran.text());
            assert!(!pids.is_empty(), "{what}: {:?}", ran.text());
            for pid in pids {
                assert!(has_gone(pid), "{what}: {pid} is there after the outcome");
            }
            took < wait + JITTER
        });
        assert!(is_quick, "{what}: more than {wait:?}");
    }
}

#[test]
fn an_outcome_says_how_many_processes_a_command_left_behind() {
    let (_relay, mut boss, worker) = anything(1);
    let silent = ">/dev/null 2>&1";
    for (what, script, ended) in [
        ("nothing", "sleep 0; exit 7".to_owned(), 0),
        (
            "a daemon",
            format!("setsid sleep 1000 {silent} & sleep 0.2; exit 7"),
            1,
        ),
        (
            "a child in its own group",
            format!("sleep 1000 {silent} & exit 7"),
            1,
        ),
        (
            "a child that holds its output",
            "sleep 1000 & exit 7".to_owned(),
            1,
        ),
        (
            "a child that ends by itself in time",
            "(sleep 0.3; :) & exit 7".to_owned(),
            0,
        ),
        (
            "a daemon with two children, one of them in another session",
            format!(
                "setsid sh -c 'sleep 1000 & setsid sleep 1000 & wait' {silent} & sleep 0.4; exit 7"
            ),
            3,
        ),
        (
            "a crowd",
            format!(
                "i=0; while [ $i -lt 50 ]; do setsid sleep 1000 {silent} & sleep 1000 {silent} & \
                 i=$((i+1)); done; sleep 0.4; exit 7"
            ),
            100,
        ),
        (
            "daemons without their environment and without their limits",
            format!(
                "(env -i setsid sleep 1000 {silent} &); (prlimit --rttime=unlimited setsid \
                 sleep 1000 {silent} &); sleep 0.3; exit 7"
            ),
            2,
        ),
    ] {
        let ran = boss.sh(&script);
        ran.exited(7);
        let expected = match ended {
            0 => Value::Null,
            _ => json!({"ended": ended, "running": 0}),
        };
        assert_eq!(
            ran.outcome["leftovers"], expected,
            "{what}: {}",
            ran.outcome
        );
    }
    eventually("all are reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

/// As many programs do: they flush and close their output, and then end.
#[test]
fn a_child_that_closes_its_output_just_before_it_ends_is_not_left_behind() {
    let (_relay, mut boss, _worker) = anything(1);
    // A busy machine may keep the child from its end for longer than the client waits.
    let none_is_left = (0..20).any(|_| {
        let ran = boss.sh("(sleep 0.1; exec >&- 2>&-; sleep 0.01) & exit 7");
        ran.exited(7);
        ran.outcome["leftovers"].is_null()
    });
    assert!(none_is_left, "a child that was about to end was ended");
}

#[test]
fn a_process_that_the_same_signal_ends_is_not_left_behind() {
    let (_relay, mut boss, _worker) = anything(1);
    for (what, script, ended) in [
        (
            "children that hear SIGTERM",
            "i=0; while [ $i -lt 50 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done; \
             echo ready; wait",
            0,
        ),
        (
            "a child that ignores SIGTERM",
            "(trap '' TERM; exec sleep 1000) >/dev/null 2>&1 & echo ready; wait",
            1,
        ),
        (
            "a daemon",
            "setsid sleep 1000 >/dev/null 2>&1 & sleep 0.2; echo ready; wait",
            1,
        ),
    ] {
        for _ in 0..8 {
            let id = boss.script(script, &json!({}));
            boss.output(&id);
            boss.cancel(&id);
            let ran = boss.finish(&id);
            assert_eq!(ran.status(), "cancelled", "{what}: {}", ran.outcome);
            let expected = match ended {
                0 => Value::Null,
                _ => json!({"ended": ended, "running": 0}),
            };
            assert_eq!(
                ran.outcome["leftovers"], expected,
                "{what}: {}",
                ran.outcome
            );
        }
    }
}

#[test]
fn run_says_what_a_command_left_behind_and_ends_with_its_exit_code() {
    let relay = Relay::start();
    let script =
        "setsid sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 & sleep 0.3";
    let words = ["run", "--wait-for", "1", "--", "/bin/sh", "-c", script];
    let sender = start_client(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let worker = Worker::start(&relay, &["--allow-any", "--allow-root", "--name", "web1"]);
    let ended = sender.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = "[web1, rank 1] done, exit code 0, 2 processes it left behind were ended (";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let logged = ": exit code 0, 2 processes it left behind were ended (";
    worker.0.stderr.wait_for(logged, PATIENCE);
}

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
        crate::support::skipped("a set-user-ID program needs root, and /usr/bin/setpriv");
        return None;
    }
    let folder = Folder::new();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open).expect("it is ours");
    for (from, name) in [
        (setpriv, "setpriv"),
        (Path::new(client_command().get_program()), "client"),
    ] {
        fs::copy(from, folder.path().join(name)).expect("it can be copied");
    }
    let bit = fs::Permissions::from_mode(0o4755);
    fs::set_permissions(folder.path().join("setpriv"), bit).expect("it is ours");
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
    assert!(since.elapsed() < Duration::from_secs(1) + AT_MOST + JITTER);
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
    let mut first = get_stuck(&mut boss, "stuck");
    worker.0.stderr.wait_for("cannot be ended", PATIENCE);
    // There is another slot.
    boss.run(&["echo"]).exited(0);
    // The server knows of two slots, so one of these waits at the client, and has its time there.
    let busy = boss.send_with(&["stuck"], &json!({"timeout_ms": 3000}));
    let mut printed = String::new();
    while !printed.contains("\n0\n") {
        printed += &String::from_utf8_lossy(&boss.output(&busy).1);
    }
    let mut second = Stuck::new(pids(&printed)[0]);
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
    // A slot comes back with the end of what held it.
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

/// A process that is killed is ending, and not gone, as long as another one of its namespace of
/// processes is not reaped: the kernel has the first process of a namespace wait for that.
#[test]
fn a_process_that_ends_slowly_is_waited_for_and_keeps_no_slot() {
    let tools = ["/usr/bin/unshare", "/usr/bin/nsenter"];
    if !geteuid().is_root() || !tools.iter().all(|tool| Path::new(tool).exists()) {
        return crate::support::skipped("a namespace of processes needs root, unshare and nsenter");
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
    fs::write(&end, "").expect("the folder is ours");
    eventually("the first is killed", PATIENCE, || {
        children(entering.id())
            .iter()
            .all(|(_, state)| *state == 'Z')
    });
    // Longer than what cannot be ended is waited for.
    let early = boss.raw.comes_within(Duration::from_millis(500));
    let is_there = !has_gone(first);
    // It goes on, and reaps the other one.
    kill_process(entered, Signal::CONT).expect("it is ours");
    entering.wait().expect("it is ours");
    stuck.0 = None;
    assert!(is_there, "it waits for the other one");
    assert!(!early, "the outcome waits for it");
    let ran = boss.finish(&id);
    assert_eq!(ran.exited(0).outcome["leftovers"]["running"], 0);
    boss.run(&["/bin/true"]).exited(0);
}

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
            "GROUP={group} {} --ignored --exact end::joins_a_group_and_stays --nocapture >{said} 2>&1 & \
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
    eventually("all are reaped", Duration::from_secs(2), || {
        children(worker.id()).is_empty()
    });
}

/// Processes that fork and end all the time, each in a session of its own: none is the same one
/// for longer than a moment. They add a line to `beats` each time, and end once `on` is gone.
fn flee(folder: &Folder) -> String {
    let [on, beats] = ["on", "beats"].map(|name| folder.word(name));
    let flee = format!("f() {{ [ -e {on} ] || exit; echo >>{beats}; sleep 0.003; f & exit; }}; f");
    format!(
        "touch {on}; for n in $(seq 24); do setsid sh -c '{flee}' >/dev/null 2>&1 & done; \
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
    eventually("all are reaped", Duration::from_secs(2), || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn a_process_that_forks_and_ends_all_the_time_ends_with_a_client_that_is_killed() {
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
    // Orphans that end while their command runs, long after anything was started or has
    // ended; a program that
    // has ended and with pipes that are drained; and one without a reader.
    let orphans = boss.script(
        "sleep 3; (setsid sleep 0.1 >/dev/null 2>&1 &); (env -i setsid sleep 0.1 &); sleep 1.8",
        &json!({}),
    );
    let drained = boss.script("sleep 1000 & exit 0", &json!({}));
    let held = boss.script("head -c 20000 /dev/zero", &json!({"window": 1024}));
    let mut first_seen: Vec<(u32, Instant)> = Vec::new();
    let mut zombies = 0;
    let deadline = Instant::now() + Duration::from_millis(4600);
    while Instant::now() < deadline {
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
    let status = worker.0.wait(AT_MOST + JITTER).expect("it goes in time");
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
    let status = worker.0.wait(AT_MOST + JITTER).expect("it goes in time");
    assert_eq!(status.code(), Some(255));
    assert!(
        pids.iter().all(|pid| has_gone(*pid)),
        "{pids:?} went before it"
    );
}

#[test]
fn a_client_that_will_come_back_ends_its_commands_too() {
    let (relay, mut boss, mut worker) = anything(2);
    let pids = start_two(&mut boss);
    relay.abort();
    wait_until_gone(&pids, AT_MOST + JITTER);
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
fn a_watchdog_has_nothing_of_its_client_and_ends_with_it() {
    let (relay, mut boss, mut worker) = anything(1);
    let watchdog = watchdog_of(worker.id()).expect("there is one");
    let folder = format!("/proc/{watchdog}/fd");
    let mut descriptors: Vec<_> = fs::read_dir(&folder)
        .expect("it is ours")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    descriptors.sort();
    assert_eq!(descriptors, ["0", "1", "2"]);
    let inode = |path: String| fs::read_link(path).expect("it is open");
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

#[test]
fn a_sender_that_goes_takes_its_commands_along() {
    let (_relay, mut boss, worker) = anything(2);
    let id = boss.script("echo pid $$; exec sleep 1000", &json!({}));
    let pids = pids(&String::from_utf8_lossy(&boss.output(&id).1));
    drop(boss);
    wait_until_gone(&pids, PATIENCE);
    eventually("it is reaped", PATIENCE, || {
        children(worker.id()).is_empty()
    });
}

#[test]
fn a_cancelled_job_that_waits_never_starts() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = crate::executing::Folder::new();
    let canary = folder.word("canary");
    let running = boss.script("echo ready; exec sleep 1000", &json!({}));
    let waiting = boss.run_later(&format!("touch {canary}"));
    boss.output(&running);
    boss.cancel(&waiting);
    boss.cancel(&running);
    assert_eq!(boss.finish(&waiting).status(), "cancelled");
    assert_eq!(boss.finish(&running).status(), "cancelled");
    boss.sh("exit 0").exited(0);
    assert!(!std::path::Path::new(&canary).exists());
}

#[test]
fn the_second_interrupt_of_run_leaves_at_once() {
    let relay = crate::executing::Relay::start();
    let sender = start_client(
        &relay,
        &[
            "run",
            "--wait-for",
            "1",
            "--",
            "/bin/sh",
            "-c",
            "trap '' TERM; echo pid $$; exec sleep 1000",
        ],
    );
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = crate::executing::Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let printed = sender.stdout.wait_for("\n", PATIENCE);
    let mut sender = sender;
    sender.signal(Signal::INT);
    sender.stderr.wait_for("cancelling", PATIENCE);
    let since = Instant::now();
    sender.signal(Signal::INT);
    let status = sender.wait(PATIENCE).expect("it leaves");
    assert_eq!(status.code(), Some(130));
    assert!(since.elapsed() < JITTER, "{:?}", since.elapsed());
    wait_until_gone(&pids(&printed), AT_MOST + JITTER);
}

#[test]
fn the_first_interrupt_of_run_cancels() {
    let relay = crate::executing::Relay::start();
    let script = "trap 'echo got it; exit 5' TERM; sleep 1000 & echo pid $$ pid $!; wait";
    let sender = start_client(
        &relay,
        &["run", "--wait-for", "1", "--", "/bin/sh", "-c", script],
    );
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = crate::executing::Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let printed = sender.stdout.wait_for("\n", PATIENCE);
    sender.signal(Signal::INT);
    let ended = sender.finish(PATIENCE);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("got it"));
    assert!(
        ended.stderr.contains("cancelled, exit code 5"),
        "{}",
        ended.stderr
    );
    assert!(
        pids(&printed).iter().all(|pid| has_gone(*pid)),
        "the whole group"
    );
}

#[test]
fn an_interrupt_counts_whatever_the_command_says() {
    let relay = crate::executing::Relay::start();
    let sender = start_client(&relay, &["run", "--wait-for", "1", "--", "x"]);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let mut executor = relay.raw("stubborn", 1);
    let execute = executor.execute();
    sender.signal(Signal::INT);
    executor.wait_within(PATIENCE, "the cancel", |m| m["method"] == "cancel");
    // It came to its end before it could be cancelled.
    executor.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(sender.finish(PATIENCE).code, Some(130));
}
