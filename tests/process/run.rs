//! What is started for a command and what is not: exactly the words that were sent, in an
//! environment of their own, within the policy.

use crate::executing::{
    Boss, Folder, PATIENCE, Program, Relay, Worker, anything, by_policy, client_command,
    client_for, eventually, ordinary_client,
};
use crate::support::skipped;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// Words that break careless quoting.
fn hostile_words(canary: &str) -> Vec<String> {
    let fixed = [
        "",
        " ",
        "-",
        "--",
        "-n",
        "--help",
        "-rf",
        ";",
        "; id",
        "a;id",
        "&",
        "&&",
        "|",
        "||",
        "$(id)",
        "`id`",
        "${IFS}",
        "$HOME",
        "$0",
        "$@",
        "*",
        "?",
        "~",
        "~root",
        "{a,b}",
        "[a-z]",
        "!!",
        "#",
        "a b",
        "a\tb",
        "a\nb",
        "\n",
        "\r\n",
        "'",
        "\"",
        "\\",
        "\\n",
        "a'b\"c",
        ">x",
        "<x",
        "2>&1",
        "../",
        "../../etc/passwd",
        "/etc/passwd",
        ".",
        "..",
        "%s",
        "%n",
        "\u{1b}[2J",
        "\u{202e}x",
        "\u{7f}",
        "\u{9b}",
        "k\u{e4}se",
        "\u{1f986}",
        "\u{fffd}",
        "A=b",
        "PATH=/tmp",
        "nginx\n",
        "nginx;",
        "NGINX",
        "ngin\u{445}",
        "\u{212a}",
        "\u{feff}nginx",
        "nginx ",
    ];
    let mut all: Vec<String> = fixed.into_iter().map(String::from).collect();
    for around in [
        "; touch C",
        "$(touch C)",
        "`touch C`",
        "| touch C",
        "\ntouch C\n",
        ">C",
    ] {
        all.push(around.replace('C', canary));
        all.push(format!("nginx{}", around.replace('C', canary)));
        all.push(format!("'{}'", around.replace('C', canary)));
    }
    all
}

#[test]
fn each_word_is_one_argument_whatever_is_in_it() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = Folder::new();
    let canary = folder.word("canary");
    let words = hostile_words(&canary);
    let sent: Vec<&str> = ["/usr/bin/printf", "%s\\0"]
        .into_iter()
        .chain(words.iter().map(String::as_str))
        .collect();
    let ran = boss.run(&sent);
    ran.exited(0);
    let expected: Vec<u8> = words
        .iter()
        .flat_map(|w| [w.as_bytes(), b"\0"].concat())
        .collect();
    assert_eq!(ran.text(), String::from_utf8_lossy(&expected));
    assert!(ran.stderr.is_empty());
    assert!(!std::path::Path::new(&canary).exists());
    // The name it is called by is the word, found or not by the path.
    let ran = boss.run(&["cat", "/proc/self/cmdline"]);
    assert_eq!(ran.stdout, b"cat\0/proc/self/cmdline\0");
}

#[test]
fn ten_thousand_words() {
    let (_relay, mut boss, _worker) = anything(1);
    let mut words = vec!["/usr/bin/printf".to_owned(), "%s,".to_owned()];
    words.extend((0..10_000).map(|n| n.to_string()));
    let ran = boss.run(&words);
    ran.exited(0);
    let expected: String = (0..10_000).map(|n| format!("{n},")).collect();
    assert_eq!(ran.text(), expected);
}

#[test]
fn a_program_that_cannot_be_started_says_why() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = Folder::new();
    folder.file("plain", "#!/bin/true\n", 0o644);
    folder.file("no-shebang", "echo a shell ran this\n", 0o755);
    folder.file("empty", "", 0o755);
    folder.file("odd", "#!/no/such/interpreter\n", 0o755);
    folder.file("good", "#!/bin/sh\necho good\n", 0o755);
    let path = |name: &str| folder.word(name);
    let long = "x".repeat(200_000);
    let long_argument = ["/bin/true", &long];
    for (words, status, message) in [
        (&[path("missing").as_str()][..], "not_found", "No such file"),
        (&[path("odd").as_str()], "not_found", "No such file"),
        (
            &["no-such-program-anywhere"],
            "not_found",
            "no-such-program-anywhere",
        ),
        (&[""], "not_found", "no program"),
        (&["."], "not_found", "no program"),
        (&[path("plain").as_str()], "failed", "Permission denied"),
        (&["/"], "failed", "Permission denied"),
        (
            &[path("no-shebang").as_str()],
            "failed",
            "Exec format error",
        ),
        (&[path("empty").as_str()], "failed", "Exec format error"),
        (
            &[&format!("{}/x", path("good"))],
            "failed",
            "Not a directory",
        ),
        (&long_argument, "failed", "Argument list too long"),
        (&["/bin/echo", "a\0b"], "failed", "NUL"),
        (&["echo\0", "a"], "failed", "NUL"),
        (&["/bin/echo\0", "a"], "failed", "NUL"),
    ] {
        let ran = boss.run(words);
        let shown = &words[0][..words[0].len().min(60)];
        assert_eq!(ran.status(), status, "{shown:?}: {}", ran.outcome);
        assert!(
            ran.message().contains(message),
            "{shown:?}: {}",
            ran.message()
        );
        assert!(ran.stdout.is_empty() && ran.outcome["exit_code"].is_null());
    }
    let ran = boss.run(&[path("good")]);
    assert_eq!(ran.exited(0).text(), "good\n");
}

#[test]
fn a_program_may_be_gone_after_the_policy_was_loaded() {
    let folder = Folder::new();
    for name in ["program", "script"] {
        folder.file(name, "#!/bin/sh\npwd\n", 0o755);
    }
    let cwd = folder.word("cwd");
    std::fs::create_dir(&cwd).expect("a folder");
    let policy = format!(
        "[commands.gone]\nrun = [{:?}]\n[commands.changed]\nrun = [{:?}]\n\
         [commands.there]\nrun = [\"/bin/pwd\"]\ncwd = {cwd:?}\n",
        folder.word("program"),
        folder.word("script"),
    );
    let (_relay, mut boss, _worker, _policy) = by_policy(1, &policy);
    let there = boss.run(&["there"]);
    assert_eq!(there.exited(0).text(), format!("{cwd}\n"));
    std::fs::remove_dir(&cwd).expect("it was there");
    std::fs::remove_file(folder.word("program")).expect("it was there");
    folder.file("script", "echo a shell ran this\n", 0o755);
    for (word, status, message) in [
        ("gone", "not_found", "No such file"),
        ("changed", "failed", "Exec format error"),
        ("there", "failed", "No such file"),
    ] {
        let ran = boss.run(&[word]);
        assert_eq!(ran.status(), status, "{}", ran.outcome);
        assert!(ran.message().contains(message), "{}", ran.message());
    }
    assert!(
        boss.run(&["there"]).message().contains(&cwd),
        "it names the folder"
    );
}

const POLICY: &str = r#"
[commands.logs]
run = ["/usr/bin/printf", "%s\\0", "-u"]
args = ["[a-z][a-z0-9-]{0,31}"]
[commands.say]
run = ["/usr/bin/printf", "%s\\0"]
rest = "(?s).*"
[commands.count]
run = ["/usr/bin/printf", "%s\\0"]
args = ["[0-9]{2}"]
rest = "[a-z/]+"
"#;

/// What a policy's command writes for words it takes, by the policy above read by a person.
fn expected(words: &[String]) -> Option<Vec<String>> {
    let lower = |c: char| c.is_ascii_lowercase();
    let is_unit = |word: &str| {
        word.len() <= 32
            && word.starts_with(lower)
            && word
                .chars()
                .all(|c| lower(c) || c.is_ascii_digit() || c == '-')
    };
    let is_number = |word: &str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_digit());
    let is_path = |word: &String| !word.is_empty() && word.chars().all(|c| lower(c) || c == '/');
    let (name, rest) = words.split_first()?;
    match (name.as_str(), rest) {
        ("logs", [unit]) if is_unit(unit) => Some(vec!["-u".into(), unit.clone()]),
        ("say", rest) => Some(rest.to_vec()),
        ("count", [number, rest @ ..]) if is_number(number) && rest.iter().all(is_path) => {
            Some([std::slice::from_ref(number), rest].concat())
        }
        _ => None,
    }
}

#[test]
fn hostile_commands_start_nothing_but_what_the_policy_names() {
    let (_relay, mut boss, worker, folder) = by_policy(2, POLICY);
    let canary = folder.word("canary");
    let hostile = hostile_words(&canary);
    let mut commands: Vec<Vec<String>> = Vec::new();
    let names = [
        "logs",
        "say",
        "count",
        "",
        "Logs",
        "logs ",
        "logs\n",
        "l\u{3bf}gs",
        "./logs",
        "log",
        "/usr/bin/printf",
        "printf",
        "sh",
        "/bin/sh",
        "logs\u{200b}",
        "\u{202e}sgol",
    ];
    for word in &hostile {
        commands.extend([
            vec![word.clone()],
            vec!["logs".into(), word.clone()],
            vec!["say".into(), word.clone(), word.clone()],
            vec!["count".into(), "07".into(), word.clone()],
            vec!["count".into(), "07".into(), "a/b".into(), word.clone()],
            vec!["count".into(), word.clone()],
            vec!["sh".into(), "-c".into(), word.clone()],
        ]);
    }
    for name in names {
        commands.push(vec![name.into()]);
        commands.push(vec![name.into(), "nginx".into()]);
        commands.push(vec![name.into(), "07".into(), "a/b".into()]);
    }
    let many = |name: &str, word: &str| -> Vec<String> {
        [name]
            .into_iter()
            .chain([word; 9_999])
            .map(String::from)
            .collect()
    };
    commands.extend([
        many("logs", "a"),
        many("say", ""),
        many("count", "07"),
        many("x", "y"),
    ]);
    assert!(commands.len() > 300);
    let mut sent: Vec<(Vec<String>, Value)> = Vec::new();
    let mut started = 0;
    for batch in commands.chunks(100) {
        for words in batch {
            let id = boss.send(words);
            sent.push((words.clone(), id));
        }
        for (words, id) in sent.drain(..) {
            let ran = boss.finish(&id);
            let shown = format!("{:.80?}: {}", words, ran.outcome);
            match expected(&words) {
                Some(written) => {
                    started += 1;
                    // `printf` says its format once even where there is nothing to say.
                    let written = if written.is_empty() {
                        vec![String::new()]
                    } else {
                        written
                    };
                    let written: String = written.iter().map(|w| format!("{w}\0")).collect();
                    assert!(ran.exited(0).text() == written, "{shown}");
                }
                None => {
                    assert_eq!(ran.status(), "refused", "{shown}");
                    assert!(
                        !ran.message().is_empty() && ran.stdout.is_empty(),
                        "{shown}"
                    );
                    assert!(
                        !ran.message().contains(['\n', '\u{1b}', '\u{202e}']),
                        "{shown}"
                    );
                    assert!(ran.message().len() < 5000, "{shown}");
                }
            }
        }
    }
    assert!(started > 60, "{started} were right");
    assert!(!std::path::Path::new(&canary).exists());
    let log = worker.log();
    let is_record =
        |line: &String| line.starts_with("20") && !line.contains(['\u{1b}', '\u{202e}']);
    let odd: Vec<_> = log.iter().filter(|line| !is_record(line)).take(3).collect();
    assert!(odd.is_empty(), "one record is one line: {odd:#?}");
}

#[test]
fn a_nul_fails_where_the_policy_would_take_it() {
    let (_relay, mut boss, _worker, _folder) = by_policy(1, POLICY);
    let ran = boss.run(&["say", "a\0b"]);
    assert_eq!(ran.status(), "failed", "{}", ran.outcome);
    assert!(ran.message().contains("NUL"), "{}", ran.message());
    assert_eq!(boss.run(&["logs", "nginx\0"]).status(), "refused");
}

#[test]
fn words_that_are_no_text_start_nothing() {
    let policy = "[commands.touch]\nrun = [\"/usr/bin/touch\"]\nrest = \"(?s).*\"\n";
    let (relay, mut boss, worker, folder) = by_policy(1, policy);
    for (n, odd) in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\\ud800",
        b"\\udc00",
    ]
    .into_iter()
    .enumerate()
    {
        let word = [folder.word("canary").as_bytes(), odd].concat();
        let head = format!(r#"{{"jsonrpc":"2.0","id":"{n}","method":"send","params":"#);
        let params = [
            &br#"{"to":"next","command":["touch",""#[..],
            &word,
            br#""]}}"#,
        ]
        .concat();
        boss.raw
            .send_bytes(&[head.as_bytes(), &params, b"\n"].concat());
        let answer = boss.raw.next("an error");
        let code = answer["error"]["code"].as_i64();
        assert!(matches!(code, Some(-32700 | -32602)), "{odd:?}: {answer}");
    }
    let mut sender = client_for(&relay, &["run", "--", "touch"]);
    sender.arg(OsStr::from_bytes(b"\xff"));
    let ended = Program::start(&mut sender).finish(PATIENCE);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("UTF-8"), "{}", ended.stderr);
    let word = folder.word("text");
    boss.run(&["touch", &word]).exited(0);
    let there: BTreeSet<OsString> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(there, ["policy.toml".into(), "text".into()].into());
    let received = |line: &&String| line.contains(" received from ");
    assert_eq!(worker.log().iter().filter(received).count(), 1);
}

#[test]
fn a_refusal_says_what_would_be_accepted() {
    let (_relay, mut boss, _worker, _folder) = by_policy(1, POLICY);
    for (words, accepted) in [
        (&["reboot"][..], "count, logs, say"),
        (&["logs"], "[a-z][a-z0-9-]{0,31}"),
        (&["logs", "a", "b"], "1 word"),
        (&["logs", "A"], "[a-z][a-z0-9-]{0,31}"),
        (&["count", "07", "a", "B"], "[a-z/]+"),
    ] {
        let ran = boss.run(words);
        assert_eq!(ran.status(), "refused", "{}", ran.outcome);
        assert!(
            ran.message().contains(accepted),
            "{words:?}: {}",
            ran.message()
        );
    }
}

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

#[test]
fn how_it_ended_is_told_and_both_streams_apart() {
    let (_relay, mut boss, _worker) = anything(1);
    for code in [0, 1, 7, 126, 255] {
        boss.sh(&format!("exit {code}")).exited(code);
    }
    for (signal, name) in [
        ("SEGV", "SIGSEGV"),
        ("KILL", "SIGKILL"),
        ("TERM", "SIGTERM"),
        ("ABRT", "SIGABRT"),
        ("USR1", "SIGUSR1"),
        ("PIPE", "SIGPIPE"),
    ] {
        let ran = boss.sh(&format!("echo before; kill -{signal} $$"));
        assert_eq!(ran.status(), "done", "{}", ran.outcome);
        assert_eq!(ran.outcome["signal"], name, "{}", ran.outcome);
        assert!(ran.outcome.get("exit_code").is_none(), "{}", ran.outcome);
        assert_eq!(ran.text(), "before\n");
    }
    let ran = boss.sh("echo out; echo err >&2; echo out2; echo err2 >&2; exit 3");
    ran.exited(3);
    assert_eq!(
        (ran.text().as_str(), &ran.stderr[..]),
        ("out\nout2\n", &b"err\nerr2\n"[..])
    );
    assert!(ran.outcome["elapsed_ms"].is_u64(), "{}", ran.outcome);
    assert!(boss.sh("sleep 0.2").outcome["elapsed_ms"].as_u64() >= Some(200));
    assert!(ran.outcome.get("truncated").is_none(), "{}", ran.outcome);
}

#[test]
fn standard_input_is_empty_whatever_the_clients_is() {
    let relay = Relay::start();
    let mut boss = relay.boss();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" </etc/passwd"])
        .arg(env!("CARGO_BIN_EXE_pecking"));
    let _worker = Worker::start_as(&relay, &mut command, &["--allow-any", "--allow-root"]);
    assert_eq!(boss.run(&["cat"]).exited(0).text(), "");
    boss.sh("read line").exited(1);
}

#[test]
fn as_many_run_at_once_as_there_are_slots() {
    const SLOTS: usize = 3;
    let (_relay, mut boss, _worker) = anything(SLOTS as u32);
    let folder = Folder::new();
    let go = folder.word("go");
    // Each says that it runs, and goes on once the file is there.
    let script = format!("echo runs; while ! [ -e {go} ]; do sleep 0.01; done");
    let ids: Vec<Value> = (0..SLOTS * 2)
        .map(|_| boss.script(&script, &json!({})))
        .collect();
    for id in &ids[..SLOTS] {
        assert_eq!(boss.output(id).1, b"runs\n");
    }
    let running = boss.raw.result("members", &json!({}));
    let worker = &running["members"][1];
    assert_eq!(
        (&worker["running"], &worker["queued"]),
        (&json!(3), &json!(3))
    );
    folder.file("go", "", 0o600);
    for id in &ids {
        boss.finish(id).exited(0);
    }
}

#[test]
fn one_slot_runs_in_the_order_of_arrival() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = Folder::new();
    let log = folder.word("log");
    let ids: Vec<Value> = (0..50)
        .map(|n| boss.script(&format!("echo {n} >>{log}"), &json!({})))
        .collect();
    for id in &ids {
        boss.finish(id).exited(0);
    }
    let expected: String = (0..50).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        std::fs::read_to_string(&log).expect("it was written"),
        expected
    );
}

#[test]
fn a_commands_own_slots_within_the_clients() {
    let folder = Folder::new();
    let log = folder.word("log");
    let policy = format!(
        "[commands.one]\nrun = [\"/bin/sh\", \"-c\", \"echo +$0 >>{log}; sleep 0.02; echo -$0 >>{log}\"]\n\
         args = [\"[0-9]+\"]\nslots = 1\n[commands.other]\nrun = [\"/bin/true\"]\n"
    );
    let (_relay, mut boss, _worker, _policy) = by_policy(4, &policy);
    let ids: Vec<Value> = (0..20)
        .map(|n| boss.send(&["one".to_owned(), n.to_string()]))
        .collect();
    // What waits for a slot can be cancelled there.
    boss.cancel(&ids[2]);
    let other = boss.send(&["other"]);
    for (n, id) in ids.iter().enumerate() {
        let ran = boss.finish(id);
        match n {
            2 if ran.status() == "cancelled" => assert!(ran.outcome["exit_code"].is_null()),
            _ => drop(ran.exited(0)),
        }
    }
    boss.finish(&other).exited(0);
    let text = std::fs::read_to_string(&log).expect("it was written");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.ends_with('2') || line.len() > 2)
        .collect();
    let expected: Vec<String> = (0..20)
        .filter(|n| *n != 2)
        .flat_map(|n| [format!("+{n}"), format!("-{n}")])
        .collect();
    assert_eq!(lines, expected, "one at a time, first come, first served");
}

#[test]
fn a_command_that_waits_for_its_own_slot_has_its_time() {
    let policy = "[commands.one]\nrun = [\"/bin/sleep\"]\nargs = [\".*\"]\nslots = 1\n";
    let (_relay, mut boss, worker, _folder) = by_policy(2, policy);
    let first = boss.send(&["one", "1000"]);
    let second = boss.send_with(&["one", "1000"], &json!({"timeout_ms": 200}));
    let ran = boss.finish(&second);
    assert_eq!(ran.status(), "timed_out", "{}", ran.outcome);
    assert!(ran.outcome["exit_code"].is_null() && ran.outcome["signal"].is_null());
    // The client says so, not the server, which would wait for that.
    let elapsed = ran.outcome["elapsed_ms"].as_u64().expect("it was given");
    assert!((200..2000).contains(&elapsed), "{}", ran.outcome);
    boss.cancel(&first);
    assert_eq!(boss.finish(&first).outcome["signal"], "SIGTERM");
    eventually("nothing is left", PATIENCE, || {
        crate::executing::children(worker.id()).is_empty()
    });
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
