//! A wall clock that jumps a day, forth and back, changes nothing: whoever is here stays, and
//! whatever is due is due when it would have been.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{PATIENCE, Raw, Server, program, skipped};

/// The server's heartbeat, and what a loaded machine may take from or add to a time.
const HEARTBEAT: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(150);

/// Compiles what stands before the system's clock; says so where that is not possible.
fn shim(folder: &Path) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/survive_clock.c");
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
    let mut command = Command::new(program());
    command.args(["9", "--quiet", "--listen", "127.0.0.1:0"]);
    command.args(["--heartbeat", "1s", "--drain", "1s"]);
    command.env("LD_PRELOAD", shim).env("JUMP", &jump);
    let server = Server::spawn(&mut command);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 1);
    for (n, there) in [(0, true), (1, false), (2, true)] {
        let began = Instant::now();
        let mut mute = Raw::mute(&server);
        mute.join_as(&format!("mute-{n}"), 1);
        let stranger = Raw::connect(&server);
        let id = boss.command("worker", &["x"]);
        let execute = worker.execute();
        match there {
            true => std::fs::write(&jump, "").expect("a file"),
            false => std::fs::remove_file(&jump).expect("it was there"),
        }
        mute.wait_end("the end of the silent one");
        let gone = began.elapsed();
        assert!(
            (HEARTBEAT * 2 - SLACK..HEARTBEAT * 5).contains(&gone),
            "gone after {gone:?}"
        );
        // Whoever has five seconds to join still has some.
        let mut stranger = stranger;
        stranger.join_as(&format!("late-{n}"), 1);
        worker.reply(&execute, &json!({"exit_code": 0}));
        let outcome = boss.result_of(&id);
        assert_eq!(outcome["status"], "done");
        let elapsed = outcome["elapsed_ms"].as_u64().map(Duration::from_millis);
        assert!(elapsed.is_some_and(|it| it < gone + PATIENCE), "{outcome}");
        stranger.leave();
    }
    // The clock did jump.
    let log = server.stderr_lines();
    let mut days: Vec<String> = log.iter().map(|line| day(line)).collect();
    days.dedup();
    assert!(days.len() >= 4, "{days:?}");
}
