//! The client's command line where it is about real programs: policies that are looked at,
//! tried and refused, what running anything takes, and what a terminal is shown.

use crate::executing::{
    Captured, Finished, Folder, JITTER, PATIENCE, Program, Relay, Worker, client_command,
    client_for, eventually, has_gone, no_busy_text, ordinary_client, pids,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pty_process::blocking::{Command as OnTerminal, Pty};
use serde_json::json;
use std::io::Write;
use std::num::NonZero;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Child;
use std::time::{Duration, Instant};

const POLICY: &str = r#"
[commands.uptime]
run = ["/usr/bin/uptime"]
[commands.logs]
run = ["/bin/echo", "-n", "50", "-u"]
args = ["[a-z][a-z0-9-]{0,31}"]
timeout = "30s"
max_output = "256 KiB"
cwd = "/var/tmp"
env = { LANG = "C.UTF-8" }
slots = 1
[commands.tail]
run = ["/bin/echo"]
rest = "[a-z ]+"
"#;

fn run(words: &[&str]) -> Finished {
    Program::start(client_command().args(words)).finish(PATIENCE)
}

fn text(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

/// What is said on standard error: one line.
#[track_caller]
fn error(finished: &Finished) -> &str {
    let line = finished.stderr.strip_suffix('\n').expect("a line");
    assert!(
        !line.contains('\n') && line.starts_with("error: "),
        "{line:?}"
    );
    line
}

#[test]
fn a_policy_is_checked_without_a_server() {
    let folder = Folder::new();
    folder.file("good.toml", POLICY, 0o600);
    let good = run(&["policy", "check", &folder.word("good.toml")]);
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    for name in ["uptime", "logs", "tail"] {
        assert!(
            text(&good)
                .lines()
                .any(|line| line.starts_with(&format!("{name}: "))),
            "{name}"
        );
    }
    for (rest, warns) in [(".*", true), ("[^/]*", false), ("[a-z]+", false)] {
        let policy = format!("[commands.x]\nrun = [\"/bin/true\"]\nrest = \"{rest}\"\n");
        folder.file("rest.toml", &policy, 0o600);
        let checked = run(&["policy", "check", &folder.word("rest.toml")]);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        let warned = checked.stderr.contains("rest takes any words");
        assert_eq!(warned, warns, "{rest}: {}", checked.stderr);
    }
    for (policy, place, what) in [
        (
            "[commands.x]\nrun = [\"/bin/true\"]\nargz = []\n",
            ":3:1",
            "argz",
        ),
        (
            "[commands.x]\nrun = [\"true\"]\n",
            ":2:8",
            "is no absolute path",
        ),
        (
            "[commands.x]\nrun = [\"/no/such\"]\n",
            ":2:8",
            "No such file",
        ),
        ("[commands.x]\nrun = [\"/tmp\"]\n", ":2:8", "folder"),
        (
            "[commands.x]\nrun = [\"/etc/passwd\"]\n",
            ":2:8",
            "executed",
        ),
        (
            "[commands.x]\nrun = [\"/bin/true\"]\nargs = [\"[\"]\n",
            ":3:9",
            "regular expression",
        ),
        (
            "[commands.x]\nrun = [\"/bin/true\"]\ntimeout = \"soon\"\n",
            ":3:11",
            "soon",
        ),
        ("[commands.x\n", ":1:", ""),
        ("x = 1\n", ":1:1", "commands"),
    ] {
        folder.file("bad.toml", policy, 0o600);
        let bad = run(&["policy", "check", &folder.word("bad.toml")]);
        assert_eq!(bad.code, Some(2), "{policy}");
        let said = error(&bad);
        assert!(
            said.contains(&format!("bad.toml{place}")) && said.contains(what),
            "{said}"
        );
        assert_eq!(text(&bad), "");
    }
}

#[test]
fn a_policy_is_tried_without_running_anything() {
    let folder = Folder::new();
    let canary = folder.word("canary");
    let policy = format!("{POLICY}\n[commands.touch]\nrun = [\"/usr/bin/touch\", {canary:?}]\n");
    folder.file("policy.toml", &policy, 0o600);
    let path = folder.word("policy.toml");
    let tried = |words: &[&str]| run(&[&["policy", "try", &path, "--"], words].concat());
    for (words, argv) in [
        (&["logs", "nginx"][..], "/bin/echo -n 50 -u nginx"),
        (&["uptime"], "/usr/bin/uptime"),
        (&["tail", "a b", "c"], "/bin/echo 'a b' c"),
        (&["touch"], &format!("/usr/bin/touch {canary}")),
    ] {
        let found = tried(words);
        let text = text(&found);
        let mut lines = text.lines();
        assert_eq!(
            (found.code, lines.next()),
            (Some(0), Some(argv)),
            "{}",
            found.stderr
        );
        // A shell that is given all of it runs the same.
        assert!(lines.all(|line| line.starts_with("# ")), "{text}");
    }
    assert!(!std::path::Path::new(&canary).exists());
    for (words, accepted) in [
        (&["logs", "-rf"][..], "[a-z][a-z0-9-]{0,31}"),
        (&["logs"], "1 word"),
        (&["reboot"], "logs, tail, touch, uptime"),
        (&["tail", "a\nb\u{1b}[2J"], "[a-z ]+"),
    ] {
        let refused = tried(words);
        assert_eq!(refused.code, Some(5), "{words:?}");
        let said = error(&refused);
        assert!(
            said.contains(accepted) && !said.contains('\u{1b}'),
            "{said}"
        );
    }
}

#[test]
fn a_try_says_as_which_user_and_by_which_rule_a_senders_command_runs() {
    const RULES: &str = r#"
[defaults]
from = { tier = 5 }
[commands.deploy]
run = ["/bin/echo", "deployed"]
args = ["v[0-9]+"]
from = { tier = 0, roles = ["operator"], identities = ["alice", "ci bot"] }
timeout = "30s"
umask = "027"
setuid = true
[commands.status]
run = ["/bin/echo", "well"]
[commands.any]
run = ["/bin/echo"]
from = { tier = 9 }
"#;
    let folder = Folder::new();
    let path = folder.file("policy.toml", RULES, 0o644);
    let open = folder.file("open.toml", POLICY, 0o644);
    let (path, open) = (path.to_str().expect("plain"), open.to_str().expect("plain"));
    let uid = rustix::process::geteuid();
    let (groups, mask) = match uid.is_root() {
        true => ("no groups", "umask 022"),
        false => ("its groups", "its umask"),
    };
    let own = format!("the client's own user (here uid {uid}), {groups}");
    let deployed = format!(
        "/bin/echo deployed v7\n# as {own}, umask 027, setuid true\n# with timeout 30s\n\
         # by commands.deploy.from: tier 0, roles operator, identities alice,'ci bot'\n"
    );
    let well = format!("/bin/echo well\n# as {own}, {mask}\n# by defaults.from: tier 5\n");
    let up =
        format!("/usr/bin/uptime\n# as {own}, {mask}\n# by commands.uptime, for every sender\n");
    let alice = ["--as", "alice", "--role", "operator", "--tier", "0"];
    for (file, sender, words, code, said) in [
        (path, &alice[..], &["deploy", "v7"][..], 0, &*deployed),
        (path, &["--tier", "5"], &["status"], 0, &well),
        (open, &[], &["uptime"], 0, &up),
        (
            path,
            &["--as", "mallory", "--role", "operator", "--tier", "0"],
            &["deploy", "v7"],
            5,
            "error: refused: deploy is not for this sender, by commands.deploy.from.identities: its identity is mallory\n",
        ),
        (
            path,
            &["--as", "alice", "--role", "operator"],
            &["deploy", "v7"],
            5,
            "error: refused: deploy is not for this sender, by commands.deploy.from.tier: the server does not say its tier\n",
        ),
        (
            path,
            &["--tier", "6"],
            &["status"],
            5,
            "error: refused: status is not for this sender, by defaults.from.tier: its tier is 6\n",
        ),
        (
            path,
            &[],
            &["any"],
            5,
            "error: refused: any is not for this sender, by commands.any.from.tier: the server does not say its tier\n",
        ),
        (
            path,
            &alice,
            &["deploy", "7"],
            5,
            "error: refused: deploy: its word 1, \"7\", does not match v[0-9]+\n",
        ),
    ] {
        let tried = run(&[&["policy", "try", file], sender, &["--"], words].concat());
        let found = match code {
            0 => text(&tried),
            _ => tried.stderr.clone(),
        };
        assert_eq!(
            (tried.code, &*found),
            (Some(code), said),
            "{sender:?} {words:?}"
        );
    }
    let help = run(&["policy", "try", "--help"]);
    for option in ["--as <IDENTITY>", "--role <ROLE>", "--tier <N>"] {
        assert!(text(&help).contains(option), "{}", text(&help));
    }
}

#[test]
fn a_policy_that_others_could_have_written_is_refused() {
    let relay = Relay::start();
    let folder = Folder::new();
    folder.file("group.toml", POLICY, 0o620);
    folder.file("world.toml", POLICY, 0o602);
    folder.file("good.toml", POLICY, 0o644);
    let open = folder.path().join("open");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::write(open.join("policy.toml"), POLICY).expect("a file");
    let mode = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&open, mode).expect("its mode");
    };
    mode(0o777);
    symlink(
        folder.path().join("world.toml"),
        folder.path().join("link.toml"),
    )
    .expect("a link");
    for (name, reason) in [
        ("group.toml", "its group may write"),
        ("world.toml", "every user may write"),
        ("link.toml", "every user may write"),
        ("open/policy.toml", "folder"),
        ("missing.toml", "No such file"),
    ] {
        let path = folder.word(name);
        let server = relay.address().to_string();
        for words in [
            &["policy", "check", &path][..],
            &["work", "--server", &server, "--policy", &path],
            &["run", "--server", &server, "--policy", &path, "--", "x"],
        ] {
            let refused = run(words);
            assert_eq!(refused.code, Some(2), "{words:?}: {}", refused.stderr);
            assert!(
                error(&refused).contains(reason),
                "{words:?}: {}",
                refused.stderr
            );
        }
    }
    assert_eq!(relay.clients(), 0, "no client has joined");
    // A folder is fine if no user may replace the files of another.
    mode(0o1777);
    let sticky = run(&["policy", "check", &folder.word("open/policy.toml")]);
    assert_eq!(sticky.code, Some(0), "{}", sticky.stderr);
}

#[test]
fn root_does_not_run_files_that_others_can_change_and_other_users_are_warned() {
    let relay = Relay::start();
    let server = relay.address().to_string();
    let folder = Folder::new();
    let open = folder.file("open", "#!/bin/sh\n", 0o777);
    let weak = folder.path().join("weak");
    std::fs::create_dir(&weak).expect("a folder");
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&weak, mode(0o777)).expect("its mode");
    std::fs::write(weak.join("in"), "#!/bin/sh\n").expect("a file");
    std::fs::set_permissions(weak.join("in"), mode(0o755)).expect("its mode");
    let script = folder.file("script", &format!("#!{}\n", open.display()), 0o755);
    let is_root = rustix::process::geteuid().is_root();
    for (lines, place) in [
        (
            format!("run = [{script:?}]"),
            ":2:8: commands.x: run[0] is interpreted by ",
        ),
        (format!("run = [{open:?}]"), ":2:8: commands.x: run[0] is "),
        (
            format!("run = [{:?}]", weak.join("in")),
            ":2:8: commands.x: run[0] is ",
        ),
        (
            format!("run = [\"/bin/true\"]\ncwd = {weak:?}"),
            ":3:7: commands.x: cwd is ",
        ),
        (
            format!("run = [\"/bin/true\"]\nenv = {{ LD_PRELOAD = {open:?} }}"),
            ":3:22: commands.x: env.LD_PRELOAD names ",
        ),
        (
            format!(
                "run = [\"/bin/true\"]\nenv = {{ PATH = \"/bin:{}\" }}",
                weak.display()
            ),
            ":3:16: commands.x: env.PATH names ",
        ),
    ] {
        let policy = folder.file("p.toml", &format!("[commands.x]\n{lines}\n"), 0o644);
        let policy = policy.to_str().expect("a plain path");
        let work = ["work", "--server", &server, "--policy", policy];
        let is_said = |said: &str, how: &str| {
            assert!(
                said.contains(how) && said.contains(place) && said.contains("others can change"),
                "{lines}: {said}"
            );
            assert!(said.contains("has mode 0777"), "{lines}: {said}");
        };
        if is_root {
            for words in [&["policy", "check", policy][..], &work] {
                let refused = run(words);
                assert_eq!(refused.code, Some(2), "{lines}: {}", refused.stderr);
                is_said(error(&refused), "error: ");
            }
        }
        let mut check = ordinary_client(&folder);
        let checked = Program::start(check.args(["policy", "check", policy])).finish(PATIENCE);
        assert_eq!(checked.code, Some(0), "{lines}: {}", checked.stderr);
        assert!(text(&checked).starts_with("x: "));
        is_said(&checked.stderr, "warning: ");
        let worker = Program::start(ordinary_client(&folder).args(work));
        worker.stderr.wait_for("joined as", PATIENCE);
        is_said(&worker.stderr.text(), " WARN ");
    }
}

#[test]
fn anything_takes_more_than_one_word() {
    let relay = Relay::start();
    let server = relay.address().to_string();
    if rustix::process::geteuid().is_root() {
        let refused = run(&["work", "--server", &server, "--allow-any"]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(
            error(&refused).contains("--allow-root"),
            "{}",
            refused.stderr
        );
        assert_eq!(relay.clients(), 0, "it has not joined");
    } else {
        crate::support::skipped("whether root is refused needs root");
    }
    for words in [
        &["work", "--allow-root"][..],
        &["work", "--policy", "/x", "--allow-any"],
        &["policy", "try", "/x"],
        &["policy"],
    ] {
        assert_eq!(run(words).code, Some(2), "{words:?}");
    }
    let worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let warnings = worker.log();
    let warning = warnings.iter().find(|line| line.contains("WARN"));
    assert!(
        warning.is_some_and(|line| line.contains("--allow-any")),
        "{warnings:?}"
    );
}

#[test]
fn without_either_nothing_real_is_run() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let _worker = Worker::start(&relay, &[]);
    let folder = Folder::new();
    let canary = folder.word("canary");
    let ran = boss.run(&["touch", &canary]);
    assert_eq!(
        ran.exited(0).text(),
        format!("i am touch {canary}ing watch me touch {canary}\n")
    );
    assert!(!std::path::Path::new(&canary).exists());
}

#[test]
fn a_log_record_is_one_line() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let odd = "/no/such\n2000-01-01T00:00:00Z INFO forged\r\n\u{1b}[2J\u{202e}\u{9b}\u{7f}";
    let ran = boss.run(&[odd, odd]);
    assert_eq!(ran.status(), "not_found");
    worker.0.stderr.wait_for("not found", PATIENCE);
    let log = worker.0.stderr.text();
    assert!(log.lines().all(|line| !line.starts_with("2000")), "{log}");
    assert!(
        !log.contains(['\r', '\u{1b}', '\u{202e}', '\u{9b}', '\u{7f}']),
        "{log:?}"
    );
}

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

/// A script that tries to steer the terminal of its reader.
const STEERING: &str = "printf 'a\\033[2J\\033]0;title\\007b\\r\\010\\177\\302\\233c\\342\\200\\256d\\te\\n'; \
                        printf 'err\\033[31m\\n' >&2";

#[test]
fn a_terminal_is_not_steered_from_elsewhere() {
    let relay = Relay::start();
    let words = [
        "run",
        "--no-progress",
        "--wait-for",
        "1",
        "--",
        "/bin/sh",
        "-c",
        STEERING,
    ];
    let mut terminal = Terminal::start(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
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
    let words = [
        "run",
        "--raw",
        "--wait-for",
        "1",
        "--",
        "/bin/sh",
        "-c",
        STEERING,
    ];
    let mut terminal = Terminal::start(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
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
    let words = [
        "run",
        "--no-progress",
        "--wait-for",
        "1",
        "--",
        "/bin/sh",
        "-c",
        script,
    ];
    let mut terminal = Terminal::start(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
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
    let words = [
        "run",
        "--no-progress",
        "--wait-for",
        "1",
        "--",
        "/bin/sh",
        "-c",
        script,
    ];
    let mut terminal = Terminal::start(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let printed = terminal.shown.wait_for("ready", PATIENCE);
    terminal.pty.write_all(b"\x03").expect("a key");
    assert_eq!(terminal.wait(PATIENCE), Some(130));
    assert!(pids(&printed).iter().all(|pid| has_gone(*pid)), "{printed}");
}

#[test]
fn the_second_interrupt_at_the_terminal_leaves_at_once() {
    let relay = Relay::start();
    let script = "trap '' TERM; echo pid $$; echo ready; exec sleep 1000";
    let words = [
        "run",
        "--no-progress",
        "--wait-for",
        "1",
        "--",
        "/bin/sh",
        "-c",
        script,
    ];
    let mut terminal = Terminal::start(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
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

/// An example of the README: the indented lines from the one that this is up to one that is
/// not indented, without their margin.
pub(crate) fn example(first: &str) -> String {
    let readme = include_str!("../../README.md");
    let start = readme.find(&format!("    {first}\n")).expect(first);
    let lines = readme[start..].lines();
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let line = |line: &str| format!("{}\n", line.trim_start());
    lines.map(line).collect()
}

#[test]
fn the_readmes_example_of_a_rule_works_word_by_word() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skipped("only root can have a program run as another user");
    }
    let folder = Folder::new();
    let whole = example("[defaults]");
    let (policy, tried) = whole.split_at(whole.find("\npecking ").expect("a command"));
    let policy = policy.replace("/usr/local/bin/deploy", "/bin/echo");
    let policy = policy.replace("user = \"deploy\"", "user = \"daemon\"");
    let path = folder.file("policy.toml", &policy, 0o600);
    let mut lines = tried.trim_start().lines();
    let words = lines.next().expect("a command").split_whitespace().skip(1);
    let path = path.to_str().expect("a plain path");
    let words = words.map(|word| match word.starts_with("/etc/") {
        true => path,
        false => word,
    });
    let ended = run(&words.collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (found, shown) = (text(&ended), lines.collect::<Vec<_>>());
    let found: Vec<_> = found.lines().collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        shown[0].replace("/usr/local/bin/deploy", "/bin/echo"),
        found[0]
    );
    assert!(shown[1].starts_with("# as deploy (uid ") && found[1].starts_with("# as daemon (uid "));
    assert_eq!(shown[2], found[2]);
}

#[test]
fn the_readmes_example_works_word_by_word() {
    let folder = Folder::new();
    let path = folder.word("policy.toml");
    let whole = example("# /etc/pecking-order/policy.toml");
    let (policy, commands) = whole.split_at(whole.find("\npecking ").expect("commands"));
    // Not every machine has these, or has them there.
    let policy = policy
        .replace("/usr/bin/uptime", "/bin/echo")
        .replace("/usr/bin/journalctl", "/bin/echo");
    folder.file("policy.toml", &policy, 0o600);
    let here = |line: &str| -> Vec<String> {
        let line = line.replace("/etc/pecking-order/policy.toml", &path);
        let words = line
            .split(" #")
            .next()
            .unwrap_or_default()
            .split_whitespace();
        words.skip(1).map(str::to_owned).collect()
    };
    let mut lines = commands.trim_start().lines();
    for shown in [
        "logs: /bin/echo -n 50 -u <[a-z][a-z0-9-]{0,31}> (timeout 30s)\nuptime: /bin/echo\n",
        "/bin/echo -n 50 -u nginx\n",
    ] {
        let words = here(lines.next().expect("a command"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = run(&words);
        let is_shown = ended.code == Some(0) && text(&ended).starts_with(shown);
        assert!(is_shown, "{}{}", text(&ended), ended.stderr);
    }
    let by_hand = here(lines.next().expect("a command"));
    let unit = example("[Unit]").replace("\\\n", "");
    let service = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    // The relay here is not encrypted.
    let service = [
        "--cert /etc/pecking-order/%H.pem",
        "--key /etc/pecking-order/%H.key",
    ]
    .iter()
    .fold(
        service.expect("it starts something").to_owned(),
        |line, option| {
            assert!(line.contains(option), "{line}");
            line.replace(option, "")
        },
    );
    let service = here(&service.replace("%H", "web1"));
    for words in [by_hand, service] {
        let relay = Relay::start();
        let mut boss = relay.boss();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let worker = Program::start(&mut client_for(&relay, &words));
        worker.stderr.wait_for("joined as", PATIENCE);
        assert_eq!(boss.run(&["logs", "nginx"]).exited(0).text(), "50 -u nginx");
        assert_eq!(boss.run(&["reboot"]).status(), "refused");
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
