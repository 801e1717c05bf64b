//! A wall clock that jumps a day, forth and back, changes nothing: members stay, and
//! timers are due when they would have been.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, Server, loosely, server_program, skipped, tunnel};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The server's heartbeat, and what a loaded machine may take from or add to a time.
const HEARTBEAT: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(150);

/// The server tells how long something took as a difference of two times in whole milliseconds,
/// which may be nearly one more than it was.
const ROUNDED: Duration = Duration::from_millis(1);

/// The time that a command has, and how long its executor then has to say so.
const TIMEOUT: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_secs(8);

/// The time that a drain takes if something runs on.
const DRAIN: Duration = Duration::from_secs(1);

/// Compiles what stands before the system's clock; says so if that is not possible.
fn shim(folder: &Path) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/survive/clock.c");
    let shim = folder.join("clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    let compiled = compiler.arg(&shim).arg(source).arg("-ldl").status();
    let is_there = cfg!(target_os = "linux") && compiled.is_ok_and(|status| status.success());
    if !is_there {
        skipped("there is no C compiler to make a clock with that jumps");
    }
    is_there.then_some(shim)
}

/// A server with a wall clock that is a day ahead as long as this file is there.
#[track_caller]
fn start(shim: &Path, jump: &Path) -> Server {
    let mut command = Command::new(server_program());
    command.args(["9", "--quiet", "--listen", "127.0.0.1:0"]);
    command.args(["--heartbeat", "1s", "--drain", "1s"]);
    tunnel::encrypt(&mut command);
    command.env("LD_PRELOAD", shim).env("JUMP", jump);
    Server::spawn(&mut command)
}

/// Has the wall clock jump a day.
#[track_caller]
fn set_jump(jump: &Path, there: bool) {
    match there {
        true => std::fs::write(jump, "").expect("a file"),
        false => std::fs::remove_file(jump).expect("it was there"),
    }
}

/// The day and hour that a line of the log begins with.
fn day(line: &str) -> String {
    line.chars().take("2000-01-01T00".len()).collect()
}

#[test]
fn a_wall_clock_that_jumps_a_day_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(shim) = shim(folder.path()) else {
        return;
    };
    let jump = folder.path().join("jump");
    let server = start(&shim, &jump);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 9);
    let mut unanswered = Vec::new();
    for (n, there) in [(0, true), (1, false), (2, true)] {
        let began = Instant::now();
        let mut mute = Raw::mute(&server);
        mute.join_as(&format!("mute-{n}"), 1);
        let unjoined = Raw::connect(&server);
        let id = boss.command("worker", &["x"]);
        let execute = worker.execute();
        if n < 2 {
            unanswered.push((Instant::now(), give_little_time(&mut boss, &mut worker)));
        }
        set_jump(&jump, there);
        mute.wait_end("the end of the silent one");
        let gone = began.elapsed();
        assert!(
            (HEARTBEAT * 2 - SLACK..HEARTBEAT * 5).contains(&gone),
            "gone after {gone:?}"
        );
        // A client with five seconds to join still has some.
        let mut unjoined = unjoined;
        unjoined.join_as(&format!("late-{n}"), 1);
        worker.reply(&execute, &json!({"exit_code": 0}));
        let outcome = boss.result_of(&id);
        assert_eq!(outcome["status"], "done");
        let elapsed = outcome["elapsed_ms"].as_u64().map(Duration::from_millis);
        assert!(elapsed.is_some_and(|it| it < gone + PATIENCE), "{outcome}");
        unjoined.leave();
    }
    for (given, id) in unanswered {
        let most = GRACE + TIMEOUT + loosely(Duration::from_secs(1));
        let outcome = boss.result_of(&id);
        let took = given.elapsed() + ROUNDED;
        assert_eq!(outcome["status"], "timed_out", "{outcome}");
        // It may have come while others were waited for, so the server's own measure counts.
        let elapsed = outcome["elapsed_ms"].as_u64().map(Duration::from_millis);
        let elapsed = elapsed.expect("so many milliseconds");
        let allowed = GRACE + TIMEOUT - SLACK..most;
        assert!(allowed.contains(&elapsed) && took >= elapsed, "{outcome}");
        assert!(took < most + GRACE, "after {took:?}");
    }
    // The clock did jump.
    let log = server.stderr_lines();
    let mut days: Vec<String> = log.iter().map(|line| day(line)).collect();
    days.dedup();
    assert!(days.len() >= 4, "{days:?}");
}

/// Has a command executed that is given little time, and gets no answer.
#[track_caller]
fn give_little_time(boss: &mut Raw, worker: &mut Raw) -> Value {
    let timeout = TIMEOUT.as_millis() as u64;
    let send = json!({"to": "worker", "command": ["y"], "timeout_ms": timeout});
    let id = boss.request("send", &send);
    worker.execute();
    id
}

#[test]
fn a_wall_clock_that_jumps_in_a_drain_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(shim) = shim(folder.path()) else {
        return;
    };
    let jump = folder.path().join("jump");
    for there in [true, false] {
        let mut server = start(&shim, &jump);
        let mut boss = Raw::join(&server, "boss", 0);
        let mut worker = Raw::join(&server, "worker", 1);
        let id = boss.command("worker", &["x"]);
        worker.execute();
        let began = Instant::now();
        server.signal(Signal::TERM);
        server.wait_stderr("that it drains", |line| line.contains("shutting down"));
        set_jump(&jump, there);
        let outcome = boss.result_of(&id);
        let lost = began.elapsed();
        assert_eq!(outcome["status"], "lost", "{outcome}");
        boss.expect_bye("shutting_down");
        let status = server.wait_exit(PATIENCE);
        let ended = began.elapsed();
        assert_eq!(status.code(), Some(0));
        assert!(lost >= DRAIN, "it was given up after {lost:?}");
        let most = DRAIN + loosely(Duration::from_secs(1));
        assert!(ended <= most, "it ended after {ended:?}");
    }
}
