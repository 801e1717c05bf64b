//! The client at a terminal, when real programs run: what the terminal is shown of their output, and what
//! interrupts and the prompt's end do to them.

use crate::executing::{
    Captured, JITTER, PATIENCE, Program, Relay, Worker, client_for, eventually, has_gone,
    no_busy_text, pids,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pty_process::blocking::{Command as OnTerminal, Pty};
use serde_json::json;
use std::io::Write;
use std::num::NonZero;
use std::process::Child;
use std::time::{Duration, Instant};

/// The client at a terminal of its own; killed and reaped on drop.
struct Terminal {
    child: Child,
    pty: Pty,
    shown: Captured,
}

impl Terminal {
    fn start(relay: &Relay, words: &[&str]) -> Terminal {
        let (pty, far) = pty_process::blocking::open().expect("a terminal");
        pty.resize(pty_process::Size::new(24, 120))
            .expect("its size");
        let address = relay.address().to_string();
        let command = OnTerminal::new(env!("CARGO_BIN_EXE_pecking"))
            .args(words)
            .env("PECKING_SERVER", address)
            .env("TERM", "xterm")
            .env_remove("RUST_LOG");
        let guard = no_busy_text();
        let child = command.spawn(far).expect("the client starts");
        drop(guard);
        let reader = std::fs::File::from(rustix::io::dup(&pty).expect("a descriptor"));
        Terminal {
            child,
            pty,
            shown: Captured::new(reader),
        }
    }

    fn wait(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status.code();
            }
            self.shown.wait_end(Duration::from_millis(5));
        }
        None
    }

    /// What a person sees.
    fn screen(&self) -> String {
        let size = |n| NonZero::new(n).expect("not zero");
        let mut parser = vt100::Parser::new(size(24), size(120), 0);
        parser.process(&self.shown.bytes());
        parser.screen().contents()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.shown.join();
        if std::thread::panicking() {
            eprintln!("the terminal showed:\n{}", self.screen());
        }
    }
}

/// `pecking run` of a script at a terminal, and the executor that runs it, which joins behind it.
#[track_caller]
fn run_script(relay: &Relay, option: &str, script: &str) -> (Terminal, Worker) {
    let shell = ["--wait-for", "1", "--", "/bin/sh", "-c", script];
    let terminal = Terminal::start(relay, &[&["run", option], &shell[..]].concat());
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let worker = Worker::start(relay, &["--allow-any", "--allow-root"]);
    (terminal, worker)
}

/// A script that tries to steer the terminal of its reader.
const STEERING: &str = "printf 'a\\033[2J\\033]0;title\\007b\\r\\010\\177\\302\\233c\\342\\200\\256d\\te\\n'; \
                        printf 'err\\033[31m\\n' >&2";

#[test]
fn a_terminal_is_not_steered_from_elsewhere() {
    let relay = Relay::start();
    let (mut terminal, _worker) = run_script(&relay, "--no-progress", STEERING);
    assert_eq!(terminal.wait(PATIENCE), Some(0));
    terminal.shown.wait_end(PATIENCE);
    let shown = terminal.shown.text();
    assert!(
        !shown.contains(['\u{1b}', '\u{7}', '\u{8}', '\u{7f}', '\u{9b}', '\u{202e}']),
        "{shown:?}"
    );
    let screen = terminal.screen();
    let expected = "a\\x1b[2J\\x1b]0;title\\x07b\\r\\x08\\x7f";
    assert!(
        screen.contains(expected) && screen.contains("err\\x1b[31m"),
        "{screen}"
    );
}

#[test]
fn a_terminal_gets_control_characters_only_if_asked_for() {
    let relay = Relay::start();
    let (mut terminal, _worker) = run_script(&relay, "--raw", STEERING);
    assert_eq!(terminal.wait(PATIENCE), Some(0));
    terminal.shown.wait_end(PATIENCE);
    assert!(
        terminal
            .shown
            .text()
            .contains("a\u{1b}[2J\u{1b}]0;title\u{7}b")
    );
}

#[test]
fn a_terminal_gets_much_that_is_no_text() {
    let relay = Relay::start();
    let script = "head -c 900000 /dev/zero | tr '\\0' '\\377'; echo; echo end";
    let (mut terminal, _worker) = run_script(&relay, "--no-progress", script);
    assert_eq!(terminal.wait(PATIENCE * 2), Some(0));
    terminal.shown.wait_for("end", PATIENCE);
}

#[test]
fn a_terminal_survives_an_answer_that_is_all_rubbish() {
    let relay = Relay::start();
    let mut terminal = Terminal::start(&relay, &["run", "--wait-for", "1", "--", "x"]);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let mut executor = relay.raw("rubbish", 1);
    let execute = executor.execute();
    // As much as fits into one line.
    let rubbish = STANDARD.encode(vec![0xff; 750_000]);
    executor.reply(&execute, &json!({"exit_code": 0, "stdout_base64": rubbish}));
    assert_eq!(terminal.wait(PATIENCE), Some(0));
}

#[test]
fn an_interrupt_at_the_terminal_ends_the_remote_group() {
    let relay = Relay::start();
    let script = "trap 'exit 5' TERM; sleep 1000 & echo pid $$ pid $!; echo ready; wait";
    let (mut terminal, _worker) = run_script(&relay, "--no-progress", script);
    let printed = terminal.shown.wait_for("ready", PATIENCE);
    terminal.pty.write_all(b"\x03").expect("a key");
    assert_eq!(terminal.wait(PATIENCE), Some(130));
    assert!(pids(&printed).iter().all(|pid| has_gone(*pid)), "{printed}");
}

#[test]
fn the_second_interrupt_at_the_terminal_leaves_at_once() {
    let relay = Relay::start();
    let script = "trap '' TERM; echo pid $$; echo ready; exec sleep 1000";
    let (mut terminal, _worker) = run_script(&relay, "--no-progress", script);
    let printed = terminal.shown.wait_for("ready", PATIENCE);
    terminal.pty.write_all(b"\x03").expect("a key");
    terminal.shown.wait_for("interrupt again", PATIENCE);
    let since = Instant::now();
    terminal.pty.write_all(b"\x03").expect("a key");
    assert_eq!(terminal.wait(PATIENCE), Some(130));
    assert!(since.elapsed() < JITTER, "{:?}", since.elapsed());
    crate::executing::wait_until_gone(&pids(&printed), crate::executing::STUBBORN + JITTER);
}

#[test]
fn the_prompt_shows_what_runs_here_and_what_was_sent() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let words = ["--allow-any", "--allow-root", "--name", "web1"];
    let mut terminal = Terminal::start(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 2);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let id = boss.send(&["sleep", "1000"]);
    terminal
        .shown
        .wait_for("received command sleep 1000", PATIENCE);
    terminal.pty.write_all(b"sleep 2000\r").expect("keys");
    terminal.pty.write_all(b":jobs\r").expect("keys");
    terminal.shown.wait_for("sleep 2000, since", PATIENCE);
    let here = "sleep 1000 from boss (rank 0), since";
    terminal.shown.wait_for(here, PATIENCE);
    boss.cancel(&id);
    assert_eq!(boss.finish(&id).status(), "cancelled");
}

#[test]
fn a_prompt_that_is_left_ends_what_runs_there() {
    for way in [&b"exit\r"[..], b"\x04"] {
        let relay = Relay::start();
        let mut boss = relay.boss();
        let mut terminal = Terminal::start(&relay, &["--allow-any", "--allow-root"]);
        eventually("it has joined", PATIENCE, || relay.clients() == 2);
        let script = "trap '' HUP; setsid sleep 1000 & echo pid $$ pid $!; wait";
        let id = boss.script(script, &json!({}));
        let pids = pids(&String::from_utf8_lossy(&boss.output(&id).1));
        terminal
            .shown
            .wait_for("received command /bin/sh", PATIENCE);
        terminal.pty.write_all(way).expect("keys");
        let patience = crate::executing::STUBBORN + JITTER;
        assert_eq!(terminal.wait(patience), Some(0), "{way:?}");
        assert!(pids.iter().all(|pid| has_gone(*pid)), "{pids:?}, {way:?}");
        assert_eq!(boss.finish(&id).status(), "lost");
    }
}

#[test]
fn piped_runs_keep_the_bytes() {
    let relay = Relay::start();
    let words = ["run", "--wait-for", "1", "--", "/bin/sh", "-c", STEERING];
    let sender = Program::start(&mut client_for(&relay, &words));
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let ended = sender.finish(PATIENCE);
    let expected = b"a\x1b[2J\x1b]0;title\x07b\r\x08\x7f\xc2\x9bc\xe2\x80\xaed\te\n";
    assert_eq!(ended.stdout, expected);
}
