//! Detached commands, by the letter of the protocol: they go on after their sender has ended, and
//! what became of them is asked for.

use std::time::{Duration, SystemTime};

use crate::audit::{Log, of_type};
use crate::support::auth::{Auth, ROLES};
use crate::support::{Raw, Server, pair, ranked, tunnel};
use serde_json::{Value, json};

pub(crate) const INVALID_PARAMS: i64 = -32602;
pub(crate) const ID: &str = "00112233445566778899aabbccddeeff";

#[track_caller]
pub(crate) fn detach(sender: &mut Raw, to: &str, words: &[&str]) -> Value {
    let params = json!({"to": to, "command": words, "detach": true});
    sender.result("send", &params)["job"].clone()
}

/// All events of a job up to its end, without their numbers, which grow.
#[track_caller]
pub(crate) fn until_end(client: &mut Raw, job: &Value) -> Vec<Value> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let params = json!({"job": job, "after": after, "wait": true});
        let page = client.result("job", &params);
        for event in page["events"].as_array().expect("events") {
            let n = event["n"].as_u64().expect("a number");
            assert!(n > after, "{event}");
            after = n;
            let mut event = event.clone();
            event.as_object_mut().expect("an object").remove("n");
            all.push(event);
        }
        if page["open"] == false && page["last"] == after {
            return all;
        }
    }
}

#[track_caller]
pub(crate) fn outcomes(client: &mut Raw, job: &Value) -> Vec<Value> {
    let events = until_end(client, job);
    let outcomes = events.iter().map(|event| event["outcome"].clone());
    outcomes.filter(|outcome| !outcome.is_null()).collect()
}

#[track_caller]
pub(crate) fn code(client: &mut Raw, method: &str, params: &Value) -> i64 {
    client.error(method, params)["code"]
        .as_i64()
        .expect("a code")
}

#[test]
fn a_detached_command_outlives_its_sender_and_another_client_asks_for_it() {
    let server = Server::start(9, &[]);
    let [mut boss, mut web1] = ranked(&server, [("boss", 0), ("web1", 1)]);
    let detached = boss.result("send", &json!({"command": ["build"], "detach": ID}));
    assert_eq!(detached, json!({"job": ID, "targets": 1}));
    let execute = web1.execute();
    assert_eq!(
        execute.params["timeout_ms"], 86_400_000,
        "a day, unless it is said"
    );
    assert_eq!(execute.params["from"], boss.origin(0));
    web1.output(&execute, "stdout", "half ");
    boss.leave();
    web1.expect_nothing("no cancel");
    web1.output(&execute, "stdout", "done\n");
    web1.notify(
        "output",
        &json!({"id": execute.id, "stream": "stderr", "base64": "/w=="}),
    );
    web1.reply(&execute, &json!({"exit_code": 3, "stdout": "rest"}));

    let mut boss = Raw::join(&server, "boss", 0);
    let mut events = until_end(&mut boss, &json!(ID));
    let outcome = events.pop().expect("an outcome")["outcome"].clone();
    let told = json!({"member": 2, "name": "web1", "rank": 1});
    let mut texts = (String::new(), String::new());
    for event in &events {
        let output = &event["output"];
        for (key, value) in told.as_object().expect("an object") {
            assert_eq!(output[key], *value, "{event}");
        }
        match output["stream"].as_str() {
            Some("stdout") => texts.0 += output["text"].as_str().expect("text"),
            _ => texts.1 += output["base64"].as_str().expect("no text"),
        }
    }
    assert_eq!(texts, ("half done\n".into(), "/w==".into()));
    assert_eq!(outcome["status"], "done", "{outcome}");
    assert_eq!(outcome["stdout"], "rest");
    assert_eq!(outcome["exit_code"], 3);
    assert!(outcome.get("send").is_none() && outcome["elapsed_ms"].is_u64());
    let jobs = boss.result("jobs", &json!({}));
    let job = &jobs["jobs"][0];
    assert!(job["sent_ms"].is_u64(), "{job}");
    let mut job = job.clone();
    job.as_object_mut().expect("an object").remove("sent_ms");
    let expected = json!({"job": ID, "command": ["build"], "by": "boss", "targets": 1,
        "tally": {"targets": 1, "done": 1}, "not_zero": 1, "open": false});
    assert_eq!(job, expected);
    assert_eq!(jobs["total"], 1);
}

#[test]
fn what_cannot_be_detached_is_named() {
    let (_server, mut boss, mut worker) = pair(1);
    for (name, value) in [
        ("stdin", json!(true)),
        ("stdin", json!(10)),
        ("window", json!(65536)),
        ("progress", json!(true)),
        ("detach", json!(1)),
        ("detach", json!("")),
        ("detach", json!(&ID[1..])),
        ("detach", json!(format!("{ID}0"))),
        ("detach", json!(ID.replace('f', "g"))),
        ("detach", json!({})),
        ("deadline_ms", json!(0)),
    ] {
        let mut params = json!({"command": ["x"], "detach": true});
        params[name] = value;
        let error = boss.error("send", &params);
        assert_eq!(error["code"], INVALID_PARAMS, "{params}: {error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(name), "{params}: {message}");
    }
    for params in [
        json!({"job": 1}),
        json!({"job": "x"}),
        json!({}),
        json!({"job": ID}),
        json!({"job": ID, "after": -1}),
        json!({"job": ID, "wait": 1}),
    ] {
        assert_eq!(code(&mut boss, "job", &params), INVALID_PARAMS, "{params}");
    }
    assert_eq!(
        code(&mut boss, "cancel_job", &json!({"job": ID})),
        INVALID_PARAMS
    );
    worker.expect_nothing("nothing ran");
    for not in [json!(false), Value::Null] {
        let id = boss.request("send", &json!({"command": ["x"], "detach": not}));
        worker.serve(1);
        assert_eq!(boss.result_of(&id)["status"], "done", "{not}");
    }
    let taken = json!({"command": ["x"], "detach": ID, "progress": false, "stdin": false});
    boss.result("send", &taken);
    assert_eq!(
        code(&mut boss, "send", &taken),
        INVALID_PARAMS,
        "it is in use"
    );
    worker.serve(1);
    outcomes(&mut boss, &json!(ID));
    assert_eq!(
        code(&mut boss, "send", &taken),
        INVALID_PARAMS,
        "while it is kept"
    );
    worker.expect_nothing("it ran once");
}

#[test]
fn a_send_that_reaches_nothing_is_an_error_and_no_job() {
    let (_server, mut boss, mut worker) = pair(1);
    let params = |to: &str| json!({"to": to, "command": ["x"], "detach": true});
    for (to, expected) in [("nope", 7), ("7-3", INVALID_PARAMS)] {
        assert_eq!(code(&mut boss, "send", &params(to)), expected, "{to}");
    }
    assert_eq!(code(&mut worker, "send", &params("0")), 8);
    assert_eq!(
        boss.result("jobs", &json!({})),
        json!({"jobs": [], "total": 0})
    );
}

#[test]
fn several_targets_have_an_outcome_each_and_the_sender_hears_nothing() {
    let server = Server::start(9, &[]);
    let [mut top, mut boss, mut web1, mut web2] =
        ranked(&server, [("top", 0), ("boss", 0), ("web1", 1), ("web2", 1)]);
    let job = boss.result(
        "send",
        &json!({"to": "top,web*,nope", "command": ["x"], "detach": true}),
    );
    assert_eq!(job["targets"], 4);
    assert_eq!(top.notification("refused")["command"], json!(["x"]));
    web1.serve(1);
    drop(web2.execute());
    drop(web2);
    let mut all = outcomes(&mut boss, &job["job"]);
    all.sort_by_key(|outcome| outcome["name"].to_string());
    let told = all
        .iter()
        .map(|outcome| (&outcome["name"], &outcome["status"]));
    let told: Vec<String> = told
        .map(|(name, status)| format!("{name} {status}"))
        .collect();
    assert_eq!(
        told,
        [
            "\"nope\" \"absent\"",
            "\"top\" \"outranked\"",
            "\"web1\" \"done\"",
            "\"web2\" \"lost\""
        ]
    );
    boss.expect_nothing("no notification of a detached command");
    let job = &boss.result("jobs", &json!({}))["jobs"][0].clone();
    let tally = json!({"targets": 4, "done": 1, "outranked": 1, "absent": 1, "lost": 1});
    assert_eq!(job["tally"], tally);
    assert_eq!(job["to"], "top,web*,nope");
}

#[test]
fn a_job_is_cancelled_wherever_it_stands_and_once() {
    let server = Server::start(9, &[]);
    let [mut boss, mut web1, mut web2] = ranked(&server, [("boss", 0), ("web1", 1), ("web2", 1)]);
    boss.command("web2", &["blocker"]);
    web2.execute();
    let job = detach(&mut boss, "below", &["x"]);
    let execute = web1.execute();
    for _ in 0..2 {
        assert_eq!(boss.result("cancel_job", &json!({"job": job})), json!({}));
    }
    assert_eq!(web1.notification("cancel"), json!({"id": execute.id}));
    web1.reply(&execute, &json!({"signal": "SIGTERM", "cancelled": true}));
    for outcome in outcomes(&mut boss, &job) {
        assert_eq!(outcome["status"], "cancelled", "{outcome}");
    }
    assert_eq!(boss.result("cancel_job", &json!({"job": job})), json!({}));
    web1.expect_nothing("one cancel");
}

#[test]
fn a_deadline_ends_a_job_without_its_sender() {
    let (server, mut boss, mut worker) = pair(1);
    boss.command("worker", &["blocker"]);
    let blocker = worker.execute();
    let params = json!({"command": ["x"], "detach": ID, "deadline_ms": 200});
    boss.result("send", &params);
    let mut other = Raw::join(&server, "other", 0);
    let outcome = outcomes(&mut other, &json!(ID)).remove(0);
    assert_eq!(outcome["status"], "timed_out");
    worker.reply(&blocker, &json!({"exit_code": 0}));
}

#[test]
fn a_tier_is_shown_its_own_jobs_and_those_of_lower_ones_and_the_id_is_the_key() {
    let server = Server::start(9, &[]);
    let join = |name: &str, tier: u8| {
        Raw::join_with(&server, json!({"name": name, "tier": tier, "slots": 0}))
    };
    let [mut high, mut middle, mut low] =
        [("high", 5), ("middle", 6), ("low", 7)].map(|(name, tier)| join(name, tier));
    let mut worker = Raw::join_with(&server, json!({"name": "worker", "tier": 9}));
    let jobs = [&mut high, &mut middle, &mut low].map(|client| detach(client, "worker", &["x"]));
    worker.serve(3);
    for (client, shown) in [(&mut high, 3), (&mut middle, 2), (&mut low, 1)] {
        let list = client.result("jobs", &json!({}));
        assert_eq!(list["total"], shown, "{list}");
        let newest = &list["jobs"][0];
        assert_eq!([&newest["job"], &newest["by"]], [&jobs[2], &json!("low")]);
    }
    assert_eq!(outcomes(&mut low, &jobs[0])[0]["status"], "done");
    assert_eq!(
        low.result("cancel_job", &json!({"job": jobs[0]})),
        json!({})
    );
}

/// Operators, one that may send little, and an agent.
fn auth() -> Auth {
    Auth::new(ROLES)
        .with("alice", "operator", "")
        .with("bob", "operator", "")
        .with("dora", "deployer", "")
        .with("web1", "agent", "names = [\"web1\"]")
}

#[test]
fn with_identities_only_the_owner_may_ask() {
    let auth = auth();
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let mut bob = auth.join(&server, "bob", json!({}));
    let mut web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    let job = detach(&mut alice, "web1", &["x"]);
    let origin = web1.execute().params["from"].clone();
    assert_eq!(
        [&origin["identity"], &origin["role"]],
        ["alice", "operator"]
    );
    let asked = json!({"job": job});
    let unknown = json!({"job": ID});
    for method in ["job", "cancel_job"] {
        let foreign = bob.error(method, &asked);
        assert_eq!(
            foreign,
            bob.error(method, &unknown),
            "the same message for both"
        );
        assert_eq!(foreign["code"], INVALID_PARAMS);
    }
    assert_eq!(bob.result("jobs", &json!({}))["total"], 0);
    let mut twin = auth.join(&server, "alice", json!({}));
    assert_eq!(twin.result("jobs", &json!({}))["jobs"][0]["job"], job);
    twin.result("cancel_job", &asked);
    web1.notification("cancel");
    let mut dora = auth.join(&server, "dora", json!({}));
    let forbidden = json!({"to": "web1", "command": ["x"], "detach": true});
    assert_eq!(code(&mut dora, "send", &forbidden), 11);
    assert_eq!(code(&mut web1, "send", &forbidden), 11, "no right to send");
}

#[test]
fn a_revoked_owners_jobs_are_cancelled_and_those_of_an_expired_one_go_on() {
    // A credential's end is a matter of the clock on the wall.
    #[allow(clippy::disallowed_methods)]
    let soon = SystemTime::now() + Duration::from_secs(4);
    let expires = format!("expires = {}", humantime::format_rfc3339_seconds(soon));
    let auth = auth().with("erin", "operator", &expires);
    let server = auth.server(9, &[]);
    let quiet = json!({"name": "web1", "slots": 3, "rank_news": false});
    let mut web1 = auth.join(&server, "web1", quiet);
    let mut bob = auth.join(&server, "bob", json!({}));
    let mut erin = auth.join(&server, "erin", json!({}));
    let jobs = [&mut bob, &mut erin].map(|client| detach(client, "web1", &["x"]));
    let (of_bob, of_erin) = (web1.execute(), web1.execute());
    bob.leave();
    erin.expect_bye_after_ranks("expired");
    web1.expect_nothing("its job goes on");
    auth.without("bob");
    assert_eq!(web1.notification("cancel"), json!({"id": of_bob.id}));
    web1.reply(&of_bob, &json!({"exit_code": 0}));
    web1.reply(&of_erin, &json!({"exit_code": 0}));
    web1.expect_nothing("only one was cancelled");
    assert_ne!(jobs[0], jobs[1]);
}

#[test]
fn a_drain_ends_jobs_as_everything_else() {
    let server = Server::start(9, &["--drain", "300ms"]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let running = detach(&mut boss, "worker", &["x"]);
    worker.execute();
    let waiting = detach(&mut boss, "worker", &["y"]);
    let news = |after: u64, job: &Value| json!({"job": job, "after": after, "wait": true});
    let [first, second] = [&waiting, &running].map(|job| boss.request("job", &news(0, job)));
    boss.sync();
    server.terminate();
    let status = |page: &Value| page["events"][0]["outcome"]["status"].clone();
    assert_eq!(status(&boss.result_of(&first)), "cancelled");
    let params = json!({"command": ["x"], "detach": true});
    assert_eq!(code(&mut boss, "send", &params), 10);
    assert_eq!(status(&boss.result_of(&second)), "lost");
    boss.expect_bye("shutting_down");
}

#[test]
fn a_detached_command_is_on_record_and_so_is_the_client_that_cancels_it() {
    let log = Log::new();
    let server = log.server(&[]);
    let [mut boss, mut other] = ranked(&server, [("boss", 0), ("other", 0)]);
    let mut worker = Raw::join(&server, "worker", 1);
    let boss_id = boss.member();
    let job = detach(&mut boss, "worker,nope", &["x"]);
    let execute = worker.execute();
    boss.leave();
    other.result("cancel_job", &json!({"job": job}));
    worker.reply(&execute, &json!({"exit_code": 1, "cancelled": true}));
    let records = log.records(|last| last["type"] == "end");
    assert!(
        !records
            .iter()
            .any(|r| r.to_string().contains(job.as_str().expect("an id")))
    );
    let sent = of_type(&records, "send")[0]["who"].clone();
    assert_eq!(sent["member"], boss_id);
    let carrier = if tunnel::is_carrier() { "tls" } else { "plain" };
    assert_eq!([&sent["name"], &sent["via"]], ["boss", carrier]);
    let cancel = of_type(&records, "cancel");
    assert_eq!(cancel.len(), 1);
    assert_eq!(cancel[0]["who"]["name"], "other");
    let end = of_type(&records, "end");
    let ended = json!({"targets": 2, "cancelled": 1, "absent": 1});
    for (status, count) in ended.as_object().expect("an object") {
        assert_eq!(end[0][status], *count, "{}", end[0]);
    }
}

#[test]
fn a_target_that_is_lost_is_lost_in_the_job() {
    let server = Server::start(9, &[]);
    let [mut boss, mut web1] = ranked(&server, [("boss", 0), ("web1", 2)]);
    let jobs = [(); 2].map(|()| detach(&mut boss, "web1", &["x"]));
    let execute = web1.execute();
    web1.output(&execute, "stdout", "so far");
    web1.sync();
    drop(web1);
    for job in &jobs {
        let outcome = outcomes(&mut boss, job).remove(0);
        assert_eq!(
            [&outcome["status"], &outcome["started"]],
            [&json!("lost"), &json!(true)]
        );
    }
    let events = until_end(&mut boss, &jobs[0]);
    assert_eq!(events[0]["output"]["text"], "so far");
}
