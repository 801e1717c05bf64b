//! The client's command line where it is about real programs: policies that are looked at,
//! tried and refused, and what running anything takes.

use crate::executing::{
    Finished, Folder, PATIENCE, Program, Relay, Worker, client_command, ordinary_client,
};
use crate::support::set_mode;
use std::os::unix::fs::symlink;

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

pub(crate) fn run(words: &[&str]) -> Finished {
    Program::start(client_command().args(words)).finish(PATIENCE)
}

pub(crate) fn text(finished: &Finished) -> String {
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
    set_mode(&open, 0o777);
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
    set_mode(&open, 0o1777);
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
    set_mode(&weak, 0o777);
    std::fs::write(weak.join("in"), "#!/bin/sh\n").expect("a file");
    set_mode(weak.join("in"), 0o755);
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
