//! `job` requests that wait for news of a detached command, by the letter of the protocol.

use std::time::{Duration, Instant};

use crate::jobs::{code, detach};
use crate::support::{PATIENCE, pair};
use serde_json::{Value, json};

const BUSY: i64 = 9;

/// The longest that a server may keep a `job` request waiting.
const WAIT: Duration = Duration::from_secs(30);

#[test]
fn sixteen_requests_wait_and_each_is_answered_in_time() {
    let (_server, mut boss, mut worker) = pair(1);
    let job = detach(&mut boss, "worker", &["x"]);
    let execute = worker.execute();
    let started = Instant::now();
    let waits = [(); 16].map(|()| boss.request("job", &json!({"job": job, "wait": true})));
    assert_eq!(
        code(&mut boss, "job", &json!({"job": job, "wait": true})),
        BUSY
    );
    boss.result("job", &json!({"job": job}));
    let again = json!({"jsonrpc": "2.0", "id": waits[0], "method": "ping"});
    boss.send(&again);
    let error = boss.error_of(&Value::Null);
    assert_eq!(error["data"]["id"], waits[0], "its id is open: {error}");
    boss.notify("cancel", &json!({"send": waits[0]}));
    for wait in &waits {
        let page = boss.wait_within(WAIT + PATIENCE, "its answer", |m| m["id"] == *wait);
        assert_eq!(
            page["result"],
            json!({"events": [], "open": true, "last": 0})
        );
    }
    assert!(started.elapsed() >= WAIT - Duration::from_millis(50));
    let waiting = boss.request("job", &json!({"job": job, "wait": true}));
    worker.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&waiting)["open"], false);
}

#[test]
fn news_end_a_wait_and_only_news() {
    let (_server, mut boss, mut worker) = pair(1);
    let job = detach(&mut boss, "worker", &["x"]);
    let execute = worker.execute();
    let wait = |after: u64| json!({"job": job, "after": after, "wait": true});
    let at_once = boss.result("job", &json!({"job": job}));
    assert_eq!(at_once, json!({"events": [], "open": true, "last": 0}));
    let waiting = boss.request("job", &wait(0));
    boss.sync();
    boss.expect_nothing("nothing has happened");
    worker.output(&execute, "stdout", "a");
    let page = boss.result_of(&waiting);
    assert_eq!(page["events"][0]["output"]["text"], "a", "{page}");
    assert_eq!([&page["open"], &page["last"]], [&json!(true), &json!(1)]);
    let waiting = boss.request("job", &wait(1));
    boss.sync();
    worker.reply(&execute, &json!({"exit_code": 0}));
    let page = boss.result_of(&waiting);
    assert_eq!(page["events"][0]["n"], 2, "{page}");
    assert_eq!([&page["open"], &page["last"]], [&json!(false), &json!(2)]);
    let ended = boss.result("job", &wait(2));
    assert_eq!(ended, json!({"events": [], "open": false, "last": 2}));
    assert_eq!(boss.result("job", &wait(99))["events"], json!([]));
}
