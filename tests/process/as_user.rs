//! Programs that a client of root runs as other users: what they are then, what they may do, and
//! that they end as all others do.

use crate::executing::{
    Folder, PATIENCE, Program, Relay, Worker, by_policy, client_command, ordinary_client, pids,
    wait_until_gone,
};
use crate::support::{set_mode, skipped};
use nix::unistd::User;
use rustix::process::Signal;
use serde_json::json;

/// A user that each system has, and that owns nothing.
const OTHER: &str = "daemon";

/// That user, if this process is root's and may have programs run as others.
fn other() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can have a program run as another user");
        return None;
    }
    let found = User::from_name(OTHER).expect("users can be looked up");
    if found.is_none() {
        skipped("this system has no user daemon");
    }
    found
}

#[test]
fn a_program_of_another_user_has_that_users_rights_and_nothing_of_roots() {
    let Some(user) = other() else { return };
    let (id, group) = (user.uid, user.gid);
    let look = r#"run = ["/bin/sh", "-c", "id -u; id -g; id -G; umask; echo $HOME; grep -E 'NoNewPrivs|CapEff' /proc/self/status"]"#;
    let policy = format!(
        "[defaults]\nuser = \"{OTHER}\"\n\
         [commands.plain]\n{look}\n\
         [commands.all]\n{look}\ngroups = [\"4711\"]\numask = \"027\"\nsetuid = true\nenv = {{ HOME = \"/x\" }}\n\
         [commands.root]\n{look}\nuser = \"root\"\n"
    );
    let (_relay, mut boss, worker, _folder) = by_policy(1, &policy);
    let home = user.dir.display();
    assert_eq!(
        boss.run(&["plain"]).exited(0).text(),
        format!(
            "{id}\n{group}\n{group}\n0022\n{home}\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n"
        )
    );
    assert_eq!(
        boss.run(&["all"]).exited(0).text(),
        format!(
            "{id}\n{group}\n{group} 4711\n0027\n/x\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\n"
        )
    );
    let root = boss.run(&["root"]).exited(0).text();
    assert!(root.starts_with("0\n0\n0\n0022\n/root\n"), "{root}");
    let log = worker.log().join("\n");
    assert_eq!(
        log.matches("commands run as root here").count(),
        1,
        "one does: {log}"
    );
}

#[test]
fn no_warning_of_root_comes_where_no_command_runs_as_root() {
    if other().is_none() {
        return;
    }
    let policy = format!("[defaults]\nuser = \"{OTHER}\"\n[commands.x]\nrun = [\"/bin/true\"]\n");
    let (_relay, mut boss, worker, _folder) = by_policy(1, &policy);
    boss.run(&["x"]).exited(0);
    let log = worker.log().join("\n");
    assert!(!log.contains("run as root"), "{log}");
}

#[test]
fn a_program_of_another_user_can_open_its_own_streams_and_not_what_is_roots() {
    if other().is_none() {
        return;
    }
    let folder = Folder::new();
    let own = folder.path().join("own");
    std::fs::create_dir(&own).expect("a folder");
    set_mode(folder.path(), 0o755);
    set_mode(&own, 0o700);
    let secret = folder.file("secret", "a secret\n", 0o600);
    let policy = format!(
        "[defaults]\nuser = \"{OTHER}\"\n\
         [commands.streams]\nrun = [\"/bin/sh\", \"-c\", \"echo out > /dev/stdout; echo err > /dev/stderr\"]\n\
         [commands.read]\nrun = [\"/bin/cat\", {secret:?}]\n\
         [commands.enter]\nrun = [\"/bin/true\"]\ncwd = {own:?}\n\
         [commands.kill]\nrun = [\"/bin/sh\", \"-c\", \"kill -STOP $PPID; kill -9 $PPID; head -c 1 /proc/$PPID/mem\"]\n"
    );
    let (_relay, mut boss, _worker, _folder) = by_policy(1, &policy);
    let streams = boss.run(&["streams"]);
    assert_eq!(streams.exited(0).text(), "out\n");
    assert_eq!(streams.stderr, b"err\n");
    let read = boss.run(&["read"]);
    assert_eq!(read.exited(1).text(), "");
    assert!(String::from_utf8_lossy(&read.stderr).contains("Permission denied"));
    let entered = boss.run(&["enter"]);
    assert_eq!(entered.status(), "failed");
    let why = format!("cannot start in {}: Permission denied", own.display());
    assert!(entered.message().starts_with(&why), "{}", entered.message());
    // The client that started it is out of its reach.
    let killed = boss.run(&["kill"]).exited(1).stderr.clone();
    let killed = String::from_utf8_lossy(&killed).into_owned();
    assert!(killed.contains("not permitted"), "{killed}");
    boss.run(&["streams"]).exited(0);
}

#[test]
fn what_runs_as_another_user_ends_with_its_command_and_with_its_client() {
    if other().is_none() {
        return;
    }
    let leaves = "setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; (setsid sh -c 'echo pid $$; exec env -i sleep 1000' 2>/dev/null &); sleep 0.3";
    let stays = "echo pid $$; setsid sleep 1000 >/dev/null 2>&1 & echo pid $!; exec sleep 1000";
    let policy = format!(
        "[defaults]\nuser = \"{OTHER}\"\n\
         [commands.leaves]\nrun = [\"/bin/sh\", \"-c\", \"{leaves}\"]\n\
         [commands.stays]\nrun = [\"/bin/sh\", \"-c\", \"{stays}\"]\n"
    );
    let (_relay, mut boss, worker, _folder) = by_policy(2, &policy);
    let ran = boss.run(&["leaves"]);
    let left = pids(&ran.exited(0).text());
    assert_eq!(left.len(), 2, "{}", ran.text());
    assert_eq!(
        ran.outcome["leftovers"]["running"],
        json!(0),
        "{}",
        ran.outcome
    );
    wait_until_gone(&left, PATIENCE);
    // A time-out ends it.
    let sent = boss.send_with(&["stays"], &json!({"timeout_ms": 300}));
    let ran = boss.finish(&sent);
    assert_eq!(ran.status(), "timed_out");
    wait_until_gone(&pids(&ran.text()), PATIENCE);
    // So does the end of the client, however it comes.
    let sent = boss.send_with(&["stays"], &json!({"window": 65536}));
    let mut text = String::new();
    while pids(&text).len() < 2 || !text.ends_with('\n') {
        text += &String::from_utf8_lossy(&boss.output(&sent).1);
    }
    worker.0.signal(Signal::KILL);
    wait_until_gone(&pids(&text), PATIENCE);
}

#[test]
fn a_user_takes_root_and_has_to_be_known_when_the_policy_is_loaded() {
    let folder = Folder::new();
    let check = |user: &str, ordinary: bool| {
        let text = format!("[commands.x]\nrun = [\"/bin/true\"]\nuser = \"{user}\"\n");
        let policy = folder.file("p.toml", &text, 0o644);
        let mut command = match ordinary {
            true => ordinary_client(&folder),
            false => client_command(),
        };
        Program::start(command.args(["policy", "check"]).arg(policy)).finish(PATIENCE)
    };
    let unknown = check("no-such-user", false);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    let why = "p.toml:3:8: commands.x: found \"no-such-user\", expected a user of this machine (getent passwd)\n";
    assert!(unknown.stderr.ends_with(why), "{}", unknown.stderr);
    let ordinary = check("root", true);
    assert_eq!(ordinary.code, Some(2), "{}", ordinary.stderr);
    let why = "p.toml:3:8: commands.x: user is set, which only root can do; expected an entry \
               without it, which runs as the client's user\n";
    assert!(ordinary.stderr.ends_with(why), "{}", ordinary.stderr);
    if other().is_some() {
        let known = check(OTHER, false);
        assert_eq!(known.code, Some(0), "{}", known.stderr);
    }
}

#[test]
fn what_a_commands_own_user_can_change_is_right_for_that_user_and_an_error_for_root() {
    let Some(user) = other() else { return };
    let folder = Folder::new();
    set_mode(folder.path(), 0o755);
    let program = folder.file("own", "#!/bin/sh\nid -u\n", 0o755);
    std::os::unix::fs::chown(&program, Some(user.uid.as_raw()), None).expect("root may");
    let open = folder.file("open", "#!/bin/sh\n", 0o777);
    let id = user.uid;
    for (program, user, code, said) in [
        (&program, OTHER, 0, ""),
        (&program, "root", 2, "which others can change"),
        (&open, OTHER, 0, "warning: "),
        (&open, "root", 2, "which others can change"),
    ] {
        let text = format!("[commands.x]\nrun = [{program:?}]\nuser = \"{user}\"\n");
        let policy = folder.file("p.toml", &text, 0o600);
        let mut command = client_command();
        let checked =
            Program::start(command.args(["policy", "check"]).arg(&policy)).finish(PATIENCE);
        assert_eq!(checked.code, Some(code), "{}", checked.stderr);
        assert!(checked.stderr.contains(said), "{}", checked.stderr);
        assert_eq!(
            said.is_empty(),
            checked.stderr.is_empty(),
            "{}",
            checked.stderr
        );
        if said.is_empty() {
            let relay = Relay::start();
            let mut boss = relay.boss();
            let options = ["--policy", policy.to_str().expect("a plain path")];
            let _worker = Worker::start(&relay, &options);
            assert_eq!(boss.run(&["x"]).exited(0).text(), format!("{id}\n"));
        }
    }
}
