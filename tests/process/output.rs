//! What commands write, on its way: while they run, whole, apart, within bounds and at the
//! reader's pace.

use crate::executing::{
    Boss, Folder, JITTER, PATIENCE, Program, Relay, Worker, anything, by_policy, client,
    client_for, eventually, start_client,
};
use crate::support::{Vitals, is_mostly};
use serde_json::json;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Without a window, what one command may write to one target's sender.
const SHARE: usize = 1 << 20;

/// Large amounts are for a build that is meant to be fast.
const IS_FAST: bool = !cfg!(debug_assertions);

#[test]
fn output_comes_while_the_command_runs() {
    let (_relay, mut boss, _worker) = anything(1);
    // A chunk is handed on when it is 100 ms old, and not with the next one, after 250 ms; the median
    // forgives a busy machine.
    let in_time = || median_delay(&mut boss) < Duration::from_millis(200);
    assert!(is_mostly(in_time));
}

/// How long lines of a program take that writes one now and then.
fn median_delay(boss: &mut Boss) -> Duration {
    let script = "for i in 1 2 3 4 5; do date +%s%N; sleep 0.25; done; echo err >&2; sleep 0.25";
    let id = boss.script(script, &json!({}));
    let mut delays = Vec::new();
    while delays.len() < 5 {
        let (params, bytes) = boss.output(&id);
        #[expect(clippy::disallowed_methods, reason = "as `date` has it")]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock");
        assert_eq!(params["stream"], "stdout");
        assert_eq!(
            (&params["name"], &params["rank"]),
            (&json!("client-2"), &json!(1))
        );
        // A client that was held up hands on two lines at once.
        for line in String::from_utf8(bytes).expect("digits").lines() {
            let written = Duration::from_nanos(line.parse().expect("nanoseconds"));
            delays.push(now.saturating_sub(written));
        }
    }
    delays.sort_unstable();
    assert_eq!(boss.output(&id).0["stream"], "stderr");
    boss.finish(&id).exited(0);
    delays[2]
}

#[test]
fn chunks_end_between_characters() {
    let (_relay, mut boss, _worker) = anything(1);
    // One character in two writes within the age of a chunk.
    let ran = boss.sh("printf 'a\\303'; sleep 0.02; printf '\\244b'; sleep 0.3; printf 'c'");
    assert_eq!(ran.exited(0).text(), "a\u{e4}bc");
    assert!(
        ran.chunks.iter().all(|(_, is_text)| *is_text),
        "{:?}",
        ran.chunks
    );
    // Characters of three bytes, written in pieces that are no multiple of three.
    let script =
        "yes '\u{65e5}\u{672c}\u{8a9e}' | tr -d '\\n' | head -c 300000 | dd bs=1000 2>/dev/null";
    for more in [
        json!({}),
        json!({"window": 1 << 20}),
        json!({"window": 10_000}),
    ] {
        let id = boss.script(script, &more);
        let ran = boss.finish(&id);
        assert_eq!(
            ran.exited(0).text(),
            "\u{65e5}\u{672c}\u{8a9e}".repeat(33_334)[..300_000]
        );
        if more["window"] != 10_000 {
            let odd = ran.chunks.iter().filter(|(_, is_text)| !is_text).count();
            assert_eq!(odd, 0, "{more}: all is text");
        }
    }
}

#[test]
fn a_character_in_two_late_writes_is_text() {
    let (_relay, mut boss, worker) = anything(1);
    let script = "printf '\\303'; sleep 0.3; printf '\\244b'; sleep 0.3; \
                  printf 'c\\342\\202'; sleep 0.3; printf '\\254'; sleep 0.3; printf d";
    let ran = boss.sh(script);
    assert_eq!(ran.exited(0).text(), "\u{e4}bc\u{20ac}d");
    let is_text = ran.chunks.iter().all(|(_, is_text)| *is_text);
    assert!(is_text && ran.outcome["stdout"].is_string(), "{ran:?}");
    // It waits without looking all the time.
    let vitals = Vitals::of(worker.0.id());
    let before = vitals.map(Vitals::cpu);
    let ran =
        boss.sh("printf '\\360\\237\\246'; sleep 1; printf '\\206'; sleep 0.3; printf '\\303'");
    assert_eq!(
        ran.exited(0).stdout,
        "\u{1f986}\u{c3}".as_bytes().split_last().expect("bytes").1
    );
    assert!(ran.chunks[0].1, "{ran:?}");
    if let (Some(vitals), Some(before)) = (vitals, before) {
        let took = vitals.cpu().saturating_sub(before);
        assert!(
            took < Duration::from_millis(300),
            "{took:?} of the processor"
        );
    }
}

#[test]
fn bytes_that_are_no_text_come_as_base64() {
    let (_relay, mut boss, _worker) = anything(1);
    let ran = boss.sh("printf '\\377\\000\\200'; printf 'e\\375' >&2");
    ran.exited(0);
    assert_eq!(
        (&ran.stdout[..], &ran.stderr[..]),
        (&b"\xff\0\x80"[..], &b"e\xfd"[..])
    );
    assert!(ran.outcome.get("stdout").is_none() && ran.outcome["stdout_base64"].is_string());
    // Text, then something else, then text; the first of a character that never ends.
    // Each waits until the one before has come.
    let folder = Folder::new();
    let seen = |n| folder.path().join(format!("seen-{n}"));
    let wait = |n| format!("until [ -e {} ]; do sleep 0.02; done", seen(n).display());
    let script = format!(
        "printf 'text'; {}; printf '\\377'; {}; printf 'text\\303'",
        wait(1),
        wait(2)
    );
    let id = boss.script(&script, &json!({}));
    for (n, kind, expected) in [(1, "text", &b"text"[..]), (2, "base64", b"\xff")] {
        let (params, bytes) = boss.output(&id);
        assert_eq!(bytes, expected);
        assert!(params[kind].is_string(), "{params}");
        std::fs::write(seen(n), "").expect("the folder is ours");
    }
    assert_eq!(boss.finish(&id).exited(0).stdout, b"text\xc3");
    // Text that JSON would make six times as long.
    let ran = boss.sh("head -c 100000 /dev/zero");
    assert!(ran.exited(0).stdout == vec![0; 100_000]);
}

#[test]
fn without_a_window_output_is_cut_and_the_command_runs_on() {
    let (_relay, mut boss, _worker) = anything(1);
    for (script, code) in [
        ("head -c 5000000 /dev/zero | tr '\\0' x; exit 7", 7),
        ("head -c 5000000 /dev/urandom; exit 8", 8),
        ("yes | head -c 900000; yes | head -c 900000 >&2; exit 9", 9),
    ] {
        let ran = boss.sh(script);
        ran.exited(code);
        assert_eq!(ran.outcome["truncated"], true, "{script}: {}", ran.outcome);
        assert_eq!(ran.stdout.len() + ran.stderr.len(), SHARE, "{script}");
    }
    let ran = boss.sh(&format!("yes | head -c {SHARE}"));
    assert!(
        ran.exited(0).outcome.get("truncated").is_none(),
        "{}",
        ran.outcome
    );
    assert_eq!(ran.stdout.len(), SHARE, "exactly its share is not cut");
}

#[test]
fn a_policys_bound_cuts_with_a_window_too() {
    let policy = r#"
        [commands.ten]
        run = ["/bin/sh", "-c", "printf 0123456789; printf abc >&2; exit 7"]
        max_output = "10 B"
        [commands.none]
        run = ["/bin/sh", "-c", "echo x; exit 7"]
        max_output = "0 B"
        [commands.much]
        run = ["/bin/sh", "-c", "yes | head -c 10000000; exit 7"]
        max_output = "100 KiB"
        [commands.more]
        run = ["/bin/sh", "-c", "yes | head -c 3000000; exit 7"]
        max_output = "2 MiB"
    "#;
    let (_relay, mut boss, _worker, _folder) = by_policy(1, policy);
    for more in [
        json!({}),
        json!({"window": 16 << 20}),
        json!({"window": 1000}),
    ] {
        for (command, most) in [("ten", 10), ("none", 0), ("much", 100 << 10)] {
            let id = boss.send_with(&[command], &more);
            let ran = boss.finish(&id);
            ran.exited(7);
            assert_eq!(
                ran.stdout.len() + ran.stderr.len(),
                most,
                "{command} {more}"
            );
            assert_eq!(ran.outcome["truncated"], true, "{command} {more}");
        }
    }
    let id = boss.send_with(&["more"], &json!({"window": 1 << 20}));
    assert_eq!(boss.finish(&id).exited(7).stdout.len(), 2 << 20);
    assert_eq!(boss.run(&["more"]).stdout.len(), SHARE);
}

#[test]
fn a_command_waits_for_its_reader() {
    const WINDOW: usize = 64 << 10;
    const ALL: usize = 1 << 20;
    let (_relay, mut boss, _worker) = anything(2);
    let folder = Folder::new();
    let marker = folder.word("written");
    let script = format!("seq 1000000 | head -c {ALL}; echo >{marker}; exit 7");
    let id = boss.script(&script, &json!({"window": WINDOW}));
    let (mut came, mut member) = (Vec::new(), json!(0));
    while came.len() < WINDOW {
        let (params, bytes) = boss.output(&id);
        member = params["member"].clone();
        came.extend(bytes);
    }
    // Others are not disturbed, and in the meantime nothing more comes.
    let mut latencies: Vec<Duration> = (0..20)
        .map(|_| {
            let since = Instant::now();
            boss.sh("sleep 0.02").exited(0);
            since.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    // The median forgives a machine that runs other tests.
    assert!(latencies[10] < JITTER, "{latencies:?}");
    assert_eq!(came.len(), WINDOW);
    assert!(
        !std::path::Path::new(&marker).exists(),
        "the command itself waits"
    );
    boss.consumed(&id, &member, WINDOW);
    let ran = boss.finish(&id);
    ran.exited(7);
    came.extend(&ran.stdout);
    let expected: String = (1..=1_000_000)
        .map(|n| format!("{n}\n"))
        .take(170_000)
        .collect();
    assert!(
        came == expected.as_bytes()[..ALL],
        "byte for byte: {}",
        came.len()
    );
    assert!(ran.outcome.get("truncated").is_none(), "{}", ran.outcome);
}

#[test]
fn credit_beyond_the_window_does_not_count() {
    let (_relay, mut boss, _worker) = anything(1);
    let id = boss.script("seq 100000", &json!({"window": 1024}));
    let (mut came, mut member) = (0, json!(0));
    for until in [1024, 2048] {
        while came < until {
            let (params, bytes) = boss.output(&id);
            came += bytes.len();
            member = params["member"].clone();
        }
        let comes = boss.raw.comes_within(Duration::from_millis(300));
        assert!(!comes && came == until, "a window is a window: {came}");
        // Far more than ever came.
        boss.consumed(&id, &member, usize::MAX >> 1);
    }
    assert_eq!(boss.finish(&id).exited(0).stdout.len() + came, 588_895);
}

/// So many bytes without a newline through `run`, in bounded time.
#[test]
fn an_endless_line() {
    let bytes: usize = if IS_FAST { 1 << 30 } else { 24 << 20 };
    let relay = Relay::start();
    let script = format!("head -c {bytes} /dev/zero | tr '\\0' x");
    let words = ["run", "--wait-for", "1", "--", "/bin/sh", "-c", &script];
    let (mut sender, mut stdout) = Program::start_unread(&mut client_for(&relay, &words));
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let _worker = Worker::start(&relay, &["--allow-any", "--allow-root"]);
    let since = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    let expected = vec![b'x'; buffer.len()];
    let mut came = 0;
    loop {
        let read = stdout.read(&mut buffer).expect("a pipe");
        if read == 0 {
            break;
        }
        assert!(buffer[..read] == expected[..read]);
        assert!(
            since.elapsed() < PATIENCE * 2,
            "{came} bytes in {:?}",
            since.elapsed()
        );
        came += read;
    }
    assert_eq!(came, bytes);
    let status = sender.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");
}

/// A sender that waits for so many executors, which join then.
fn run_with_workers(words: &[&str], workers: &[&str]) -> (Relay, Program, Vec<Worker>) {
    let relay = Relay::start();
    let number = workers.len().to_string();
    let words = [&["run", "--wait-for", &number], words].concat();
    let sender = start_client(&relay, &words);
    eventually("it has joined", PATIENCE, || relay.clients() == 1);
    let start =
        |name: &&str| Worker::start(&relay, &["--allow-any", "--allow-root", "--name", name]);
    let workers = workers.iter().map(start).collect();
    (relay, sender, workers)
}

#[test]
fn bytes_come_through_as_they_are() {
    let bytes = if IS_FAST { 200 << 20 } else { 16 << 20 };
    let folder = Folder::new();
    let path = folder.word("random");
    let mut random = Vec::new();
    std::fs::File::open("/dev/urandom")
        .and_then(|file| file.take(bytes).read_to_end(&mut random))
        .and_then(|_| std::fs::write(&path, &random))
        .expect("random bytes in a file");
    let (_relay, sender, _workers) = run_with_workers(&["--", "cat", &path], &["web1"]);
    let ended = sender.finish(PATIENCE * 2);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout == random,
        "{} of {bytes} bytes",
        ended.stdout.len()
    );
    assert!(
        ended.stderr.lines().count() <= 1,
        "at most that it waits for a client: {}",
        ended.stderr
    );
}

#[test]
fn one_targets_streams_stay_apart_and_exact() {
    let script = "printf 'out\\033[2J\\377'; printf 'err\\000\\n' >&2; exit 7";
    // One is one, also where there might have been several.
    for to in ["next", "below"] {
        let words = ["--to", to, "--", "/bin/sh", "-c", script];
        let (_relay, sender, _workers) = run_with_workers(&words, &["web1"]);
        let ended = sender.finish(PATIENCE);
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.stdout, b"out\x1b[2J\xff", "{to}");
        // Before that at most that it waits for a client.
        let rest = ended.stderr.lines().skip_while(|line| *line != "err\0");
        let rest: Vec<&str> = rest.collect();
        let is_first = ended.stderr.lines().count() <= rest.len() + 1;
        let said = rest.get(1).copied().unwrap_or_default();
        assert!(
            is_first && said.starts_with("[web1, rank 1] done, exit code 7"),
            "{to}: {}",
            ended.stderr
        );
    }
}

#[test]
fn several_targets_lines_are_whole_and_named() {
    const LINES: usize = 3000;
    /// Longer than a target's share of the window.
    const LONG: usize = 1_000_000;
    let script = format!(
        "for i in $(seq {LINES}); do printf '%s ' $i; echo rest of it; done; \
         head -c {LONG} /dev/zero | tr '\\0' x; echo; printf end; echo to stderr >&2"
    );
    let words = ["--to", "web*", "--", "/bin/sh", "-c", &script];
    let names = ["web1", "web2", "web3", "web4", "web5"];
    let (_relay, sender, _workers) = run_with_workers(&words, &names);
    let ended = sender.finish(PATIENCE * 2);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let text = String::from_utf8(ended.stdout).expect("text");
    assert!(text.ends_with('\n'));
    for name in names {
        let prefix = format!("{name}: ");
        let own: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        let (numbered, rest) = own.split_at(LINES);
        for (line, n) in numbered.iter().zip(1..) {
            assert_eq!(*line, format!("{n} rest of it"));
        }
        let [long, last] = rest else {
            panic!("{} lines instead of two", rest.len());
        };
        assert_eq!(*last, "end");
        assert!(*long == "x".repeat(LONG), "{} bytes", long.len());
        assert!(
            ended.stderr.contains(&format!("{prefix}to stderr\n")),
            "{}",
            ended.stderr
        );
    }
    let known = |line: &str| {
        names
            .iter()
            .any(|name| line.starts_with(&format!("{name}: ")))
    };
    assert!(text.lines().all(known), "every line names its target");
}

#[test]
fn what_an_executor_prints_itself_stays_its_own() {
    // `members` and the like print nothing of what runs elsewhere.
    let (relay, mut boss, worker) = anything(1);
    boss.sh("echo secret").exited(0);
    let listed = client(&relay, &["members"]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("secret"));
    assert!(!worker.0.stdout.text().contains("secret"));
    assert!(!worker.log().iter().any(|line| line.starts_with("secret")));
}
