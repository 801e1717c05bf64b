//! What detached commands, and what is kept of them, may take, by the letter of the protocol.

use std::time::{Duration, Instant};

use crate::jobs::{ID, INVALID_PARAMS, code, detach, outcomes, until_end};
use crate::support::{PATIENCE, Raw, Server, pair, ranked};
use serde_json::{Value, json};

const BUSY: i64 = 9;

#[test]
fn an_owner_has_a_quarter_of_a_queue_and_many_are_busy_there() {
    let server = Server::start(9, &["--max-queue", "12"]);
    let [mut boss, mut other, mut twin] = ranked(&server, [("boss", 0), ("other", 0), ("twin", 0)]);
    let mut worker = Raw::join(&server, "worker", 1);
    boss.command("worker", &["blocker"]);
    worker.execute();
    for client in [&mut boss, &mut other, &mut twin] {
        detach(client, "worker", &["x"]);
    }
    let one = json!({"to": "worker", "command": ["3"], "detach": ID});
    assert_eq!(code(&mut boss, "send", &one), BUSY, "a quarter of 12");
    assert_eq!(
        code(&mut other, "job", &json!({"job": ID})),
        INVALID_PARAMS,
        "it is no job"
    );
    let many = json!({"to": "worker,nope", "command": ["3"], "detach": ID});
    boss.result("send", &many);
    let mut all = outcomes(&mut boss, &json!(ID));
    all.sort_by_key(|outcome| outcome["name"].to_string());
    assert_eq!([&all[0]["status"], &all[1]["status"]], ["absent", "busy"]);
    for n in 0..6 {
        boss.command("worker", &[&n.to_string()]);
    }
    boss.sync();
    let id = boss.command("worker", &["past the half of a sender"]);
    assert_eq!(
        boss.error_of(&id)["code"],
        BUSY,
        "plain ones count by themselves"
    );
}

#[test]
fn an_owner_has_so_many_open_and_those_beyond_are_busy() {
    let server = Server::start(9, &["--max-queue", "4000"]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let detached = json!({"to": "worker", "command": ["x"], "detach": true});
    let ids: Vec<Value> = (0..256).map(|_| boss.request("send", &detached)).collect();
    for id in &ids {
        boss.result_of(id);
    }
    assert_eq!(code(&mut boss, "send", &detached), BUSY);
    let many = json!({"to": "worker,worker", "command": ["x"], "detach": ID});
    boss.result("send", &many);
    assert_eq!(outcomes(&mut boss, &json!(ID))[0]["status"], "busy");
    let plain = boss.command("worker", &["plain"]);
    worker.serve(257);
    assert_eq!(boss.result_of(&plain)["status"], "done");
    let job = detach(&mut boss, "worker", &["again"]);
    worker.serve(1);
    assert_eq!(outcomes(&mut boss, &job)[0]["status"], "done");
    let page = boss.result("jobs", &json!({"from": 256, "limit": 5}));
    assert_eq!(page["total"], 258);
    assert_eq!(page["jobs"].as_array().expect("jobs").len(), 2);
    let newest = boss.result("jobs", &json!({"limit": 1}));
    assert_eq!(newest["jobs"][0]["job"], job, "the newest is first");
}

#[test]
fn output_is_cut_at_the_share_of_its_target_and_that_is_said() {
    let (_server, mut boss, mut worker) = pair(1);
    let job = detach(&mut boss, "worker", &["x"]);
    let execute = worker.execute();
    let piece = "x".repeat(300_000);
    for _ in 0..4 {
        worker.output(&execute, "stdout", &piece);
    }
    worker.reply(&execute, &json!({"exit_code": 0, "stdout": "rest"}));
    let events = until_end(&mut boss, &job);
    let texts = events.iter().map(|event| event["output"]["text"].as_str());
    let output: usize = texts.flatten().map(str::len).sum();
    assert_eq!(output, 1 << 20);
    let outcome = &events.last().expect("an outcome")["outcome"];
    assert_eq!(outcome["truncated"], true, "{outcome}");
    let whole = boss.result("job", &json!({"job": job}));
    assert!(
        whole.to_string().len() <= 512 << 10,
        "an answer has a bound"
    );
    assert!(whole["last"].as_u64() > whole["events"][0]["n"].as_u64());
}

#[test]
fn words_and_selectors_are_cut_in_the_list() {
    let (_server, mut boss, mut worker) = pair(1);
    let long = "ä".repeat(1000);
    let to = format!("worker,{}", ["nope"; 100].join(","));
    let params = json!({"to": to, "command": ["x", long, "y"], "detach": true});
    boss.result("send", &params);
    worker.serve(1);
    let job = boss.result("jobs", &json!({}))["jobs"][0].clone();
    let words = job["command"].as_array().expect("words");
    let bytes: usize = words
        .iter()
        .map(|word| word.as_str().map_or(0, str::len))
        .sum();
    assert!(words.len() == 2 && (250..=256).contains(&bytes), "{job}");
    assert_eq!(job["to"], to[..256]);
}

#[test]
fn what_has_ended_is_forgotten_after_its_time() {
    let server = Server::start(9, &["--keep-jobs", "0s"]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let [ended, open] = [(); 2].map(|()| detach(&mut boss, "worker", &["x"]));
    worker.serve(1);
    assert_eq!(outcomes(&mut boss, &ended)[0]["status"], "done");
    let deadline = Instant::now() + PATIENCE;
    while boss.result("jobs", &json!({}))["total"] == 2 {
        assert!(Instant::now() < deadline, "it stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        code(&mut boss, "job", &json!({"job": ended})),
        INVALID_PARAMS
    );
    assert_eq!(boss.result("job", &json!({"job": open}))["open"], true);
}

#[test]
fn what_jobs_keep_counts_as_memory_and_never_makes_a_plain_send_busy() {
    let server = Server::start(9, &["--max-memory", "16MiB"]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    // A quarter of a quarter of that is for one owner: the eighth job has no room beside the others.
    let piece = "x".repeat(250_000);
    let jobs: Vec<Value> = (0..8)
        .map(|_| {
            let job = detach(&mut boss, "worker", &["x"]);
            let execute = worker.execute();
            worker.output(&execute, "stdout", &piece);
            worker.reply(&execute, &json!({"exit_code": 0}));
            outcomes(&mut boss, &job);
            job
        })
        .collect();
    let list = boss.result("jobs", &json!({}));
    let kept = list["total"].as_u64().expect("a number");
    assert!((3..=4).contains(&kept), "{kept} of 8 fit into a mebibyte");
    assert_eq!(list["jobs"][0]["job"], jobs[7], "the oldest went first");
    let big = detach(&mut boss, "worker", &["x"]);
    let execute = worker.execute();
    for _ in 0..5 {
        worker.output(&execute, "stdout", &piece);
    }
    worker.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(outcomes(&mut boss, &big)[0]["truncated"], true);
    let plain = boss.command("worker", &["plain"]);
    worker.serve(1);
    assert_eq!(boss.result_of(&plain)["status"], "done");
}
