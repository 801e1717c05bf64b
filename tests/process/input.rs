//! The input of real programs: whole, at their pace, and never an end that its sender has not said.

use crate::executing::{
    Boss, Folder, JITTER, PATIENCE, Relay, STUBBORN, Worker, anything, by_policy, client, pids,
    wait_until_gone,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Instant;

/// How much input is under way at the most here.
const WINDOW: usize = 1 << 20;

/// What a program's pipe holds at least that it does not read.
const PIPE: usize = 64 << 10;

/// Sends a script for a shell that has input.
#[track_caller]
fn script(boss: &mut Boss, script: &str, mut more: Value) -> Value {
    more["stdin"] = WINDOW.into();
    boss.script(script, &more)
}

/// Says some input, in pieces that fit into a line.
fn piece(boss: &Boss, id: &Value, bytes: &[u8]) {
    for bytes in bytes.chunks(WINDOW / 2) {
        let piece = STANDARD.encode(bytes);
        boss.raw
            .notify("input", &json!({"send": id, "base64": piece}));
    }
}

fn end(boss: &Boss, id: &Value) {
    boss.raw.notify("input", &json!({"send": id, "end": true}));
}

/// Waits until the sender is told that so much was consumed.
#[track_caller]
fn wait_consumed(boss: &mut Boss, id: &Value, bytes: usize) {
    boss.raw
        .wait_within(PATIENCE, "input that is consumed", |message| {
            message["method"] == "input_consumed"
                && message["params"] == json!({"send": id, "consumed": bytes})
        });
}

/// Bytes of every value, in no simple order.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * at / 7 + at) as u8).collect()
}

#[test]
fn a_program_reads_what_its_sender_says_to_the_byte() {
    let (_relay, mut boss, _worker) = anything(1);
    let folder = Folder::new();
    let all = bytes(3 << 20);
    for (size, of) in [(1, 300), (1000, 100_000), (WINDOW / 2, all.len())] {
        let cat = format!("cat > {}; echo read", folder.word("file"));
        let id = script(&mut boss, &cat, json!({}));
        for (at, part) in all[..of].chunks(size).enumerate() {
            piece(&boss, &id, part);
            wait_consumed(&mut boss, &id, at * size + part.len());
        }
        end(&boss, &id);
        assert_eq!(boss.finish(&id).exited(0).text(), "read\n");
        let file = std::fs::read(folder.path().join("file")).expect("a file");
        assert!(file == all[..of], "pieces of {size}");
    }
}

#[test]
fn pieces_that_come_before_the_program_starts_are_not_lost() {
    let (_relay, mut boss, _worker) = anything(1);
    for _ in 0..20 {
        let id = script(&mut boss, "cat", json!({}));
        boss.raw
            .notify("input", &json!({"send": id, "text": "one ä\n"}));
        boss.raw
            .notify("input", &json!({"send": id, "text": "two", "end": true}));
        assert_eq!(boss.finish(&id).exited(0).text(), "one ä\ntwo");
    }
    let id = boss.run_later("cat; echo empty");
    assert_eq!(boss.finish(&id).exited(0).text(), "empty\n");
    let id = script(&mut boss, "cat; echo empty", json!({}));
    end(&boss, &id);
    assert_eq!(boss.finish(&id).exited(0).text(), "empty\n");
}

#[test]
fn a_program_that_does_not_read_holds_its_sender_up_and_is_ended_like_any_other() {
    let (_relay, mut boss, _worker) = anything(2);
    for (more, status, is_cancelled) in [
        (json!({"timeout_ms": 300}), "timed_out", false),
        (json!({"deadline_ms": 300}), "timed_out", false),
        (json!({}), "cancelled", true),
    ] {
        let id = script(&mut boss, "echo up; exec sleep 1000", more);
        piece(&boss, &id, &bytes(WINDOW));
        if is_cancelled {
            boss.output(&id);
            let told = |message: &Value| {
                let params = &message["params"];
                (params["send"] == id).then(|| params["consumed"].as_u64())?
            };
            let is_full = |message: &Value| told(message) >= Some(PIPE as u64 / 2);
            let full = boss
                .raw
                .wait_within(PATIENCE, "a pipe that is full", is_full);
            // Time in which it could read more.
            boss.sh("sleep 0.3").exited(0);
            let later = boss.raw.fence();
            let most = later.iter().chain([&full]).filter_map(told).max();
            assert!(most < Some(2 * PIPE as u64), "{most:?}");
            boss.cancel(&id);
        }
        let since = Instant::now();
        let ran = boss.finish(&id);
        assert_eq!(ran.status(), status, "{}", ran.outcome);
        assert!(since.elapsed() < STUBBORN + JITTER);
    }
}

#[test]
fn a_program_that_closes_its_input_has_the_rest_consumed_unread() {
    let (_relay, mut boss, _worker) = anything(1);
    let id = script(
        &mut boss,
        "head -c 3; exec <&-; echo closed; read -r -t 60 x < /dev/zero; sleep 1000",
        json!({}),
    );
    for round in 1..=3 {
        piece(&boss, &id, &[b'x'; WINDOW]);
        wait_consumed(&mut boss, &id, round * WINDOW);
    }
    boss.cancel(&id);
    let ran = boss.finish(&id);
    assert_eq!(ran.status(), "cancelled");
    assert!(ran.text().starts_with("xxx"), "{:?}", ran.text());
    // One that ends without reading does not hold its sender up either.
    let id = script(&mut boss, "exit 7", json!({}));
    piece(&boss, &id, &[b'x'; WINDOW]);
    boss.finish(&id).exited(7);
}

#[test]
fn a_program_that_is_ended_never_reads_an_end_that_its_sender_has_not_said() {
    let relay = Relay::start();
    let (mut boss, mut leaver) = (relay.boss(), Boss::new(relay.raw("leaver", 0)));
    let options = ["--allow-any", "--allow-root", "--slots", "3"];
    let _worker = Worker::start(&relay, &options);
    let folder = Folder::new();
    let whole = |how: &str| folder.path().join(format!("{how}.whole"));
    let start = |boss: &mut Boss, how: &str, more: Value| {
        let stubborn = format!(
            "trap '' TERM; echo pid $$; cat > {}; touch {}",
            folder.word(&format!("{how}.part")),
            whole(how).display()
        );
        let id = script(boss, &stubborn, more);
        piece(boss, &id, b"a part");
        let printed = boss.output(&id).1;
        (id, pids(&String::from_utf8_lossy(&printed)))
    };
    // All at once, as each of them takes until SIGKILL.
    let (timed, _) = start(&mut boss, "time", json!({"timeout_ms": 1000}));
    let (cancelled, _) = start(&mut boss, "cancel", json!({}));
    let (_, left) = start(&mut leaver, "leave", json!({}));
    boss.cancel(&cancelled);
    leaver.raw.leave();
    assert_eq!(boss.finish(&cancelled).status(), "cancelled");
    assert_eq!(boss.finish(&timed).status(), "timed_out");
    wait_until_gone(&left, PATIENCE);
    for how in ["time", "cancel", "leave"] {
        assert!(!whole(how).exists(), "{how}");
    }
}

const POLICY: &str = r#"
[commands.put]
run = ["/bin/sh", "-c", "cat >/dev/null; echo took"]
stdin = true
slots = 1
[commands.uptime]
run = ["/bin/echo", "up"]
"#;

#[test]
fn an_entry_of_a_policy_has_input_exactly_if_it_says_so() {
    let (_relay, mut boss, _worker, folder) = by_policy(2, POLICY);
    let with = json!({"stdin": true});
    for (word, more, says) in [
        ("put", json!({}), "sent without"),
        ("uptime", with.clone(), "takes no input"),
    ] {
        let id = boss.send_with(&[word], &more);
        let ran = boss.finish(&id);
        assert_eq!(ran.status(), "refused", "{word}: {}", ran.outcome);
        assert!(ran.message().contains(says), "{word}: {}", ran.message());
    }
    boss.run(&["uptime"]).exited(0);
    // Its one slot is taken, and a command with input does not wait for it.
    let first = boss.send_with(&["put"], &with);
    piece(&boss, &first, b"x");
    wait_consumed(&mut boss, &first, 1);
    let second = boss.send_with(&["put"], &with);
    let ran = boss.finish(&second);
    assert_eq!(ran.status(), "failed", "{}", ran.outcome);
    assert!(ran.message().contains("does not wait"), "{}", ran.message());
    end(&boss, &first);
    assert_eq!(boss.finish(&first).exited(0).text(), "took\n");
    let relay = Relay::start();
    let checked = client(&relay, &["policy", "check", &folder.word("policy.toml")]);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("(stdin true, slots 1)"), "{text}");
    let tried = client(
        &relay,
        &["policy", "try", &folder.word("policy.toml"), "put"],
    );
    let text = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(text.contains("stdin true"), "{text}");
}

#[test]
fn a_client_that_takes_no_input_is_given_none() {
    let without = "[commands.uptime]\nrun = [\"/bin/echo\", \"up\"]\n";
    let (relay, mut boss, worker, _folder) = by_policy(1, without);
    let id = boss.send_with(&["uptime"], &json!({"stdin": true}));
    let ran = boss.finish(&id);
    assert_eq!(ran.status(), "failed", "{}", ran.outcome);
    assert!(ran.message().contains("takes no input"), "{}", ran.outcome);
    drop(worker);
    // Nor does the simulation take any.
    let _worker = Worker::start(&relay, &[]);
    let id = boss.send_with(&["print"], &json!({"stdin": true}));
    assert_eq!(boss.finish(&id).status(), "failed");
}
