//! The words of a command: each reaches the program as it is, or a policy refuses it, and no shell reads
//! them.

use crate::executing::{Folder, PATIENCE, Program, anything, by_policy, client_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

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
    worker.0.stderr.wait_for(" received from ", PATIENCE);
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
