//! What a program has of the client that starts it: no descriptor, signal, variable or memory.

use crate::executing::{
    Boss, Folder, PATIENCE, Program, Relay, Worker, by_policy, client_command, ordinary_client,
};
use crate::support::skipped;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Starts an executor the way a careless parent might: signals ignored and blocked, something
/// to read, a descriptor left open, variables of all kinds.
fn careless(relay: &Relay, policy: &str) -> Worker {
    let mut command = Command::new("/bin/sh");
    command
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/nowhere"),
            ("LANG", "C"),
            ("TZ", "UTC"),
        ])
        .envs([
            ("SECRET", "s"),
            ("PECKING_TOKEN", "t"),
            ("LD_LIBRARY_PATH", "/x"),
        ])
        .args([
            "-c",
            "trap '' HUP PIPE USR1; exec </etc/passwd 7</etc/passwd; \
             exec perl -e '$SIG{CHLD} = \"IGNORE\"; exec @ARGV' \"$0\" \"$@\"",
        ])
        .arg(env!("CARGO_BIN_EXE_pecking"));
    Worker::start_as(relay, &mut command, &["--policy", policy])
}

#[test]
fn a_program_starts_with_nothing_of_the_clients() {
    let relay = Relay::start();
    let _above = relay.raw("above", 0);
    let mut boss = relay.boss();
    let folder = Folder::new();
    let policy = r#"
        [commands.variables]
        run = ["/usr/bin/env", "-0"]
        env = { LANG = "C.UTF-8", GREETING = "a b\n=c", HOME = "/home/of/policy" }
        [commands.plain]
        run = ["/usr/bin/env", "-0"]
        [commands.files]
        run = ["/bin/ls", "-l", "/proc/self/fd"]
        [commands.self]
        run = ["/bin/cat", "/proc/self/status", "/proc/self/stat"]
    "#;
    folder.file("policy.toml", policy, 0o600);
    let _worker = careless(&relay, &folder.word("policy.toml"));

    let environment = |boss: &mut Boss, word: &str| -> BTreeMap<String, String> {
        let ran = boss.run(&[word]);
        let text = ran.exited(0).text();
        text.split_terminator('\0')
            .map(|variable| variable.split_once('=').expect("NAME=value"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let mut first = environment(&mut boss, "variables");
    let first_id = first.remove("PECKING_ID").expect("it has an id");
    let of_all = [
        ("PATH", "/usr/bin:/bin"),
        ("PECKING_FROM", "boss"),
        ("PECKING_FROM_RANK", "1"),
        ("PECKING_FROM_TIER", "5"),
        ("TZ", "UTC"),
    ];
    let expected = |own: &[(&str, &str)]| -> BTreeMap<String, String> {
        let all = of_all.iter().chain(own);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let own = [
        ("GREETING", "a b\n=c"),
        ("HOME", "/home/of/policy"),
        ("LANG", "C.UTF-8"),
        ("PECKING_COMMAND", "variables"),
    ];
    assert_eq!(first, expected(&own));
    let mut second = environment(&mut boss, "plain");
    let second_id = second.remove("PECKING_ID");
    assert_ne!(second_id, Some(first_id), "each run has its own");
    let own = [
        ("HOME", "/nowhere"),
        ("LANG", "C"),
        ("PECKING_COMMAND", "plain"),
    ];
    assert_eq!(second, expected(&own));

    let ran = boss.run(&["files"]);
    let text = ran.exited(0).text();
    let files: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(left, target)| (left.rsplit(' ').next().unwrap_or_default(), target))
        .collect();
    assert_eq!(files.get("0"), Some(&"/dev/null"), "{text}");
    assert!(
        files["1"].starts_with("pipe:") && files["2"].starts_with("pipe:"),
        "{text}"
    );
    assert_ne!(files["1"], files["2"], "{text}");
    // The last one is the folder that `ls` itself reads.
    assert_eq!(
        files.keys().copied().collect::<BTreeSet<_>>(),
        ["0", "1", "2", "3"].into(),
        "{text}"
    );

    let text = boss.run(&["self"]).text();
    for mask in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
        let line = text
            .lines()
            .find(|line| line.starts_with(mask))
            .expect(mask);
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
    let stat: Vec<&str> = text.lines().last().expect("stat").split(' ').collect();
    assert_eq!(stat[0], stat[4], "it leads a process group of its own");
}

#[test]
fn without_a_path_of_its_own_a_client_still_gives_one() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let mut command = client_command();
    command.env_clear();
    let _worker = Worker::start_as(&relay, &mut command, &["--allow-any", "--allow-root"]);
    let text = boss.run(&["env"]).exited(0).text();
    let names: BTreeSet<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
    let expected = [
        "PATH",
        "PECKING_COMMAND",
        "PECKING_FROM",
        "PECKING_FROM_RANK",
        "PECKING_FROM_TIER",
        "PECKING_ID",
    ];
    assert_eq!(names, expected.into(), "{text}");
}

#[test]
fn limits_hold() {
    let policy = r#"
        [commands.limits]
        run = ["/bin/sh", "-c", "ulimit -v; ulimit -n; ulimit -t"]
        memory = "64 MiB"
        open_files = 17
        cpu_seconds = 3
        [commands.none]
        run = ["/bin/sh", "-c", "ulimit -t"]
        [commands.eat]
        run = ["/usr/bin/perl", "-e", "my $x = 'x' x (256 << 20); print 'ate'"]
        memory = "64 MiB"
        [commands.spin]
        run = ["/bin/sh", "-c", "while :; do :; done"]
        cpu_seconds = 1
        [commands.spin-on]
        run = ["/bin/sh", "-c", "trap '' XCPU; while :; do :; done"]
        cpu_seconds = 1
    "#;
    let (_relay, mut boss, _worker, _folder) = by_policy(4, policy);
    let spin = boss.send(&["spin"]);
    let spin_on = boss.send(&["spin-on"]);
    assert_eq!(boss.run(&["limits"]).exited(0).text(), "65536\n17\n3\n");
    assert_eq!(boss.run(&["none"]).exited(0).text(), "unlimited\n");
    let ate = boss.run(&["eat"]);
    assert!(!ate.text().contains("ate"), "{}", ate.outcome);
    assert_eq!(boss.finish(&spin).outcome["signal"], "SIGXCPU");
    assert_eq!(boss.finish(&spin_on).outcome["signal"], "SIGKILL");
}

/// A text that is nowhere but where a test puts it, and says nothing of itself in its halves.
fn canary() -> (String, [String; 2]) {
    let seed = std::time::Instant::now();
    let half = |n: u8| {
        use std::hash::{BuildHasher, RandomState};
        let bits = RandomState::new().hash_one((seed, n));
        format!("{bits:016x}")
    };
    let halves = [half(0), half(1)];
    (halves.concat(), halves)
}

/// How often each of these stands in what a process can read of its own memory; none where the
/// system does not let it be read.
fn in_memory<const N: usize>(pid: u32, texts: [&str; N]) -> Option<[usize; N]> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = [0; N];
    for line in maps.lines().filter(|line| line.contains(" r")) {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (from, to) = (number(from)?, number(to)?);
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        // What the system keeps for itself cannot be read.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            for (count, text) in found.iter_mut().zip(texts) {
                *count += memchr::memmem::find_iter(&bytes, text).count();
            }
        }
    }
    Some(found)
}

#[test]
fn a_token_is_nowhere_in_the_memory_of_a_client_that_has_joined() {
    let (token, [first, second]) = canary();
    let folder = Folder::new();
    let file = folder.file("token", &format!("{token}\n"), 0o600);
    let file = file.to_str().expect("a plain path");
    let relay = Relay::start_with(Some(&token));
    let words = ["--name", "a-name-to-find", "--token-file", file];
    let options = [&words[..], &["--allow-any", "--allow-root"]].concat();
    let mut command = client_command();
    let worker = Worker::start_as(&relay, command.env("RUST_LOG", "trace"), &options);
    let look = || in_memory(worker.0.id(), ["a-name-to-find", &first, &second]);
    let Some([named, ..]) = look() else {
        return skipped("the system does not let the memory of another process be read");
    };
    assert!(named > 0, "what is in memory is found");
    assert_eq!(
        look().map(|[_, first, second]| (first, second)),
        Some((0, 0))
    );
}

#[test]
fn a_command_cannot_read_the_memory_of_its_client() {
    // Root may read everything.
    let folder = Folder::new();
    let mut command = ordinary_client(&folder);
    let relay = Relay::start();
    let mut boss = relay.boss();
    let _worker = Worker::start_as(&relay, &mut command, &["--allow-any"]);
    for file in ["mem", "environ", "maps"] {
        let script = format!("head -c 1 /proc/$PPID/{file} 2>&1; kill -0 $PPID && echo is there");
        let ran = boss.run(&["sh", "-c", &script]);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(said.contains("Permission denied"), "{file}: {said}");
        assert!(said.ends_with("is there\n"), "{file}: {said}");
    }
}

#[test]
fn roots_programs_have_a_mask_and_groups_of_their_own() {
    const RIGHTS: &str = r#"
        [commands.plain]
        run = ["/bin/sh", "-c", "umask; id -G"]
        [commands.own]
        run = ["/bin/sh", "-c", "umask; id -G"]
        umask = "077"
    "#;
    let warning = "commands run as root here, with every right on this machine: run the client as a user of its own";
    let folder = Folder::new();
    if rustix::process::geteuid().is_root() {
        let relay = Relay::start();
        let mut boss = relay.boss();
        let policy = format!("{RIGHTS}\ngroups = [\"4\", \"24\"]\n");
        let policy = folder.file("policy.toml", &policy, 0o600);
        let mut careless = Command::new("perl");
        careless.env_remove("RUST_LOG").args([
            "-e",
            "$) = '0 5 6 7'; umask 0; exec @ARGV",
            env!("CARGO_BIN_EXE_pecking"),
        ]);
        let options = ["--policy", policy.to_str().expect("a plain path")];
        let worker = Worker::start_as(&relay, &mut careless, &options);
        assert_eq!(boss.run(&["plain"]).exited(0).text(), "0022\n0\n");
        assert_eq!(boss.run(&["own"]).exited(0).text(), "0077\n0 4 24\n");
        assert_eq!(worker.log().join("\n").matches(warning).count(), 1);
    } else {
        skipped("only root can take groups away");
    }
    // Other users have what they have, and are not warned.
    let relay = Relay::start();
    let mut boss = relay.boss();
    let policy = folder.file("ordinary.toml", RIGHTS, 0o644);
    let options = ["--policy", policy.to_str().expect("a plain path")];
    let worker = Worker::start_as(&relay, &mut ordinary_client(&folder), &options);
    let own = boss.run(&["own"]).exited(0).text();
    assert!(own.starts_with("0077\n"), "{own}");
    boss.run(&["plain"]).exited(0);
    assert!(!worker.log().join("\n").contains("run as root"));
    // Nor can they set groups.
    let policy = format!("{RIGHTS}\ngroups = [\"4\"]\n");
    let policy = folder.file("groups.toml", &policy, 0o644);
    let mut check = ordinary_client(&folder);
    let checked = check.args(["policy", "check"]).arg(policy);
    let checked = Program::start(checked).finish(PATIENCE);
    assert_eq!(checked.code, Some(2), "{}", checked.stderr);
    let why = ":8:10: commands.own: groups is set, which only root can do";
    assert!(checked.stderr.contains(why), "{}", checked.stderr);
}
