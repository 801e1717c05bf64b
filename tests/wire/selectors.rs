//! The targets that each selector finds, by the letter of the protocol.

use crate::support::{Raw, Server, ranked};
use serde_json::{Value, json};

use Finds::{Error, Many, Missing, One};

/// What a selector comes to.
enum Finds {
    /// One target: its outcome is the answer.
    One(&'static str),
    /// Many: those that execute, and those that rank above.
    Many(&'static [&'static str], &'static [&'static str]),
    /// The same, and those that an item names and that are absent: by name where they are
    /// here, else as the outcome names them.
    Missing(
        &'static [&'static str],
        &'static [&'static str],
        &'static [&'static str],
    ),
    /// An error instead.
    Error(i64),
}

/// The cast of the selectors' tests, in rank order; `me` sends.
const CAST: [(&str, u32); 7] = [
    ("top", 1),
    ("me", 0),
    ("zero", 0),
    ("web1", 1),
    ("web2", 1),
    ("db1", 1),
    ("idle", 0),
];
const ME: usize = 1;

fn index(name: &str) -> usize {
    let found = CAST.iter().position(|(known, _)| *known == name);
    found.expect("one of the cast")
}

/// Sends to one selector, has its targets execute, and checks that each client is told what
/// it should be, and nothing else.
#[track_caller]
fn check(cast: &mut [Raw; 7], selector: Option<&str>, finds: &Finds) {
    let shown = selector.unwrap_or("(none)");
    let mut params = json!({"command": ["run", shown]});
    if let Some(selector) = selector {
        params["to"] = json!(selector);
    }
    let id = cast[ME].request("send", &params);
    match finds {
        Error(code) => {
            let error = cast[ME].error_of(&id);
            assert_eq!(error["code"], *code, "{shown}: {error}");
        }
        One(name) => {
            assert_eq!(cast[index(name)].serve(1), [format!("run {shown}")]);
            let outcome = cast[ME].result_of(&id);
            let expected = done(&cast[index(name)], index(name), shown);
            assert_eq!(without_time(outcome), expected, "{shown}");
        }
        Many(lower, higher) => check_many(cast, shown, &id, lower, higher, &[]),
        Missing(lower, higher, absent) => check_many(cast, shown, &id, lower, higher, absent),
    }
    // A client that is named alone may be told of it or not: the table of errors leaves it open.
    if matches!(finds, Error(8)) {
        let told = cast[0].fence();
        assert!(
            told.iter().all(|m| m["method"] == "refused"),
            "{shown}: {told:?}"
        );
    }
    for client in cast {
        client.expect_nothing(&format!("all was read for {shown}"));
    }
}

#[track_caller]
fn check_many(
    cast: &mut [Raw; 7],
    shown: &str,
    id: &Value,
    lower: &[&str],
    higher: &[&str],
    absent: &[&str],
) {
    let accepted = cast[ME].next("accepted");
    let targets = lower.len() + higher.len() + absent.len();
    let expected = json!({"send": id, "targets": targets});
    assert_eq!(accepted["method"], "accepted", "{shown}: {accepted}");
    assert_eq!(accepted["params"], expected, "{shown}");
    let mut expected = Vec::new();
    for name in lower {
        assert_eq!(cast[index(name)].serve(1), [format!("run {shown}")]);
        expected.push(done(&cast[index(name)], index(name), shown));
    }
    for name in higher {
        let rank = index(name);
        let refused = cast[rank].notification("refused");
        let from = cast[ME].origin(ME as u64);
        assert_eq!(refused, json!({"from": from, "command": ["run", shown]}));
        let mut outranked = cast[rank].identity(rank as u64);
        outranked["status"] = json!("outranked");
        expected.push(outranked);
    }
    for name in absent {
        let here = CAST.iter().position(|(known, _)| known == name);
        let number = name.strip_prefix('#').map(str::parse::<u64>);
        let mut outcome = match (here, number, name.parse::<u32>()) {
            (Some(rank), ..) => cast[rank].identity(rank as u64),
            (None, Some(number), _) => json!({"member": number.expect("a number")}),
            (None, None, Ok(rank)) => json!({"rank": rank}),
            (None, None, Err(_)) => json!({"name": name}),
        };
        outcome["status"] = json!("absent");
        expected.push(outcome);
    }
    for _ in 0..targets {
        let outcome = cast[ME].next("an outcome");
        assert_eq!(outcome["method"], "outcome", "{shown}: {outcome}");
        let mut outcome = without_time(outcome["params"].clone());
        assert_eq!(outcome["send"], *id, "{shown}");
        outcome.as_object_mut().expect("an object").remove("send");
        if outcome["status"] == "absent" {
            let message = outcome.as_object_mut().and_then(|o| o.remove("message"));
            let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
            let why = match ["member", "name", "rank"].map(|of| outcome.get(of).is_some()) {
                [true, true, true] => "has no slots",
                [true, ..] => "no client here has the member number",
                [_, true, _] => "no client here has the name",
                _ => "there is no rank",
            };
            assert!(message.contains(why), "{shown}: {message}");
        }
        let found = expected.iter().position(|expected| *expected == outcome);
        let found = found.unwrap_or_else(|| panic!("{shown}: {outcome} is none of {expected:#?}"));
        expected.remove(found);
    }
    let mut tally = json!({"targets": targets});
    for (status, count) in [
        ("done", lower.len()),
        ("outranked", higher.len()),
        ("absent", absent.len()),
    ] {
        if count > 0 {
            tally[status] = json!(count);
        }
    }
    let last = cast[ME].next("the tally");
    assert_eq!(last, json!({"jsonrpc": "2.0", "id": id, "result": tally}));
}

/// The outcome of a command that was served.
fn done(target: &Raw, rank: usize, shown: &str) -> Value {
    let mut outcome = target.identity(rank as u64);
    outcome["status"] = json!("done");
    outcome["exit_code"] = json!(0);
    outcome["stdout"] = json!(format!("run {shown}"));
    outcome
}

/// An outcome without how long it took, which only has to be there.
#[track_caller]
fn without_time(mut outcome: Value) -> Value {
    let members = outcome.as_object_mut().expect("an outcome is an object");
    let elapsed = members.remove("elapsed_ms");
    if members["status"] == "done" {
        let elapsed = elapsed.as_ref().and_then(Value::as_u64);
        assert!(elapsed.is_some_and(|ms| ms < 60_000), "{members:?}");
    }
    outcome
}

#[test]
fn each_selector_finds_its_targets() {
    const LOWER: &[&str] = &["web1", "web2", "db1"];
    let server = Server::start(10, &[]);
    let mut cast = CAST.map(|(name, slots)| {
        let (role, dc) = match name {
            "top" => ("boss", "fra9"),
            "web1" => ("web", "fra1"),
            "web2" => ("web", "ams2"),
            "db1" => ("db", "fra2"),
            name => ("none", name),
        };
        let tags = json!({"role": role, "dc": dc});
        let params = json!({"name": name, "slots": slots, "tags": tags, "rank_news": false});
        Raw::join_with(&server, params)
    });
    for (selector, finds) in [
        ("next", One("web1")),
        ("least-loaded", One("web1")),
        ("below", Many(LOWER, &[])),
        ("all", Many(LOWER, &["top"])),
        // A single rank or name is of kind one; a list, a range, a pattern are not.
        ("3", One("web1")),
        ("db1", One("db1")),
        ("3,4", Many(&["web1", "web2"], &[])),
        ("4,3", Many(&["web1", "web2"], &[])),
        ("web1,5", Many(&["web1", "db1"], &[])),
        ("3-3", Many(&["web1"], &[])),
        ("web?", Many(&["web1", "web2"], &[])),
        ("db*", Many(&["db1"], &[])),
        ("w*2", Many(&["web2"], &[])),
        ("*1", Many(&["web1", "db1"], &[])),
        // A range and a pattern find what they find: oneself and those with no slots are left out.
        ("2-4", Many(&["web1", "web2"], &[])),
        ("1-6", Many(LOWER, &[])),
        ("me,db1", Many(&["db1"], &[])),
        // What is named one by one and cannot execute is said.
        ("zero,web1,idle", Missing(&["web1"], &[], &["zero", "idle"])),
        ("web1,nope,99", Missing(&["web1"], &[], &["nope", "99"])),
        ("web1,Web2", Missing(&["web1"], &[], &["Web2"])),
        ("idle,zero", Missing(&[], &[], &["idle", "zero"])),
        ("nope,7", Missing(&[], &[], &["nope", "7"])),
        ("me,nope", Missing(&[], &[], &["nope"])),
        ("top,nope", Missing(&[], &["top"], &["nope"])),
        // Once each, however it is named; a name that no client has once for each text.
        ("idle,6,06,1-6", Missing(LOWER, &[], &["idle"])),
        (
            "nope,nope,Nope,9,09",
            Missing(&[], &[], &["nope", "Nope", "9"]),
        ),
        // An exclusion beats it, and what it names is not missed.
        ("web1,nope,!nope", Many(&["web1"], &[])),
        ("web1,nope,9,idle,!n*,!8-10,!6", Many(&["web1"], &[])),
        ("web1,idle,!nope", Missing(&["web1"], &[], &["idle"])),
        ("5-4294967295", Many(&["db1"], &[])),
        // Each is selected once.
        ("3,web1,3-4,web*", Many(&["web1", "web2"], &[])),
        // Members above have an outcome of their own.
        ("0-9", Many(LOWER, &["top"])),
        ("*", Many(LOWER, &["top"])),
        ("0-0", Many(&[], &["top"])),
        ("top,db1", Many(&["db1"], &["top"])),
        // Exclusions, wherever they stand; a list of nothing else starts from `below`.
        ("1-9,!web*", Many(&["db1"], &[])),
        ("!web*,1-9", Many(&["db1"], &[])),
        ("web*,!3", Many(&["web2"], &[])),
        ("0-9,!top,!4-5", Many(&["web1"], &[])),
        ("!web*", Many(&["db1"], &[])),
        ("!3", Many(&["web2", "db1"], &[])),
        ("!3-4", Many(&["db1"], &[])),
        ("!db1,!web1", Many(&["web2"], &[])),
        ("!missing", Many(LOWER, &[])),
        ("!top", Many(LOWER, &[])),
        // Members have the numbers 1 to 7, in rank order.
        ("#4", One("web1")),
        ("#04", One("web1")),
        ("#1", Error(8)),
        ("#2", Error(7)),
        ("#3", Error(7)),
        ("#8", Error(7)),
        ("#4,#4,web1", Many(&["web1"], &[])),
        ("#1,#4,#2", Many(&["web1"], &["top"])),
        ("#4,#3,#99,#099", Missing(&["web1"], &[], &["zero", "#99"])),
        ("idle,6,#7", Missing(&[], &[], &["idle"])),
        ("#99,!#99", Error(7)),
        ("0-9,!#1,!#4", Many(&["web2", "db1"], &[])),
        ("!#4", Many(&["web2", "db1"], &[])),
        // A node set is a list of the names that it expands to.
        ("web[1]", Many(&["web1"], &[])),
        ("web[1-2]", Many(&["web1", "web2"], &[])),
        ("web[1-3,2]", Missing(&["web1", "web2"], &[], &["web3"])),
        ("web[01-02]", Missing(&[], &[], &["web01", "web02"])),
        ("web[1-3],!web[3],db[1]", Many(LOWER, &[])),
        ("!web[1-9]", Many(&["db1"], &[])),
        // Tags find what they find.
        ("role=web", Many(&["web1", "web2"], &[])),
        ("role=w*", Many(&["web1", "web2"], &[])),
        ("dc=fra*", Many(&["web1", "db1"], &["top"])),
        ("role=web&dc=fra1", Many(&["web1"], &[])),
        ("role=web&dc=fra1,db1", Many(&["web1", "db1"], &[])),
        ("web[1-9]&dc=*2", Many(&["web2"], &[])),
        ("3-5&!4", Error(-32602)),
        ("3-5&web*", Many(&["web1", "web2"], &[])),
        ("!role=web", Many(&["db1"], &[])),
        ("1-9,!role=web&dc=fra1", Many(&["web2", "db1"], &[])),
        ("role=mail", Error(7)),
        ("dc=idle", Error(7)),
        ("nope&nope2", Error(7)),
        // One of those that a list finds below.
        ("next:web2,db1", One("web2")),
        ("next:#6", One("db1")),
        ("next:role=web&dc=ams2", One("web2")),
        ("next:!web1", One("web2")),
        ("next:0-9", One("web1")),
        ("least-loaded:db*,web2", One("web2")),
        ("least-loaded:top,nope,db1", One("db1")),
        ("next:top", Error(7)),
        ("next:nope", Error(7)),
        ("least-loaded:idle,me", Error(7)),
        // No target at all.
        ("me", Error(7)),
        ("1", Error(7)),
        ("zero", Error(7)),
        ("2", Error(7)),
        ("nope,!nope", Error(7)),
        ("idle,6,!idle", Error(7)),
        ("me,1", Error(7)),
        ("6-6", Error(7)),
        ("missing", Error(7)),
        ("missing*", Error(7)),
        ("99", Error(7)),
        ("4294967295", Error(7)),
        ("10.0.0.7", Error(7)),
        ("1-2-3", Error(7)),
        ("Web1", Error(7)),
        // A pattern of digits matches names, and no ranks.
        ("3*", Error(7)),
        ("?", Error(7)),
        ("50-60", Error(7)),
        ("web1,!web1", Error(7)),
        ("0,!0", Error(7)),
        ("!*", Error(7)),
        // One that ranks above, named alone.
        ("top", Error(8)),
        ("0", Error(8)),
    ] {
        check(&mut cast, Some(selector), &finds);
    }
}

#[test]
fn without_a_selector_the_dispatch_option_finds_the_targets() {
    for (options, finds) in [
        (&[][..], One("web1")),
        (&["--dispatch", "next"], One("web1")),
        (&["--dispatch", "least-loaded"], One("web1")),
        (
            &["--dispatch", "all"],
            Many(&["web1", "web2", "db1"], &["top"]),
        ),
        (&["--dispatch", "1-9,!web*"], Many(&["db1"], &[])),
        (&["--dispatch", "db1"], One("db1")),
        (&["--dispatch", "#6"], One("db1")),
        (&["--dispatch", "next:!web[1-2]"], One("db1")),
    ] {
        let server = Server::start(10, options);
        let mut cast = ranked(&server, CAST);
        check(&mut cast, None, &finds);
        check(&mut cast, Some("web2"), &One("web2"));
    }
}

#[test]
fn output_and_window_are_not_shared_with_absent_targets() {
    let server = Server::start(5, &[]);
    let [mut boss, mut worker, _idle] = ranked(&server, [("boss", 0), ("worker", 1), ("idle", 0)]);
    let send = json!({"to": "worker,idle,nope,9", "command": ["x"], "window": 65_536});
    let id = boss.request("send", &send);
    let execute = worker.execute();
    assert_eq!(execute.params["window"], 65_536);
    worker.reply(&execute, &json!({"exit_code": 0}));
    assert_eq!(boss.result_of(&id)["absent"], 3);
    // Shared with so many, one would have a quarter of this.
    let unknown: Vec<String> = (2..65).map(|rank| format!("n{rank},{rank}")).collect();
    let id = boss.command(&format!("worker,{}", unknown.join(",")), &["x"]);
    let execute = worker.execute();
    let much = "x".repeat(512 << 10);
    worker.output(&execute, "stdout", &much);
    worker.output(&execute, "stdout", &much);
    worker.reply(&execute, &json!({"exit_code": 0}));
    let is_cut = |message: &Value| message["params"]["truncated"] == true;
    assert_eq!(boss.result_of(&id)["done"], 1);
    assert!(
        !boss.fence().iter().any(is_cut),
        "one target may write 1 MiB"
    );
}

#[test]
fn a_client_alone_has_no_target() {
    let server = Server::start(5, &[]);
    let mut boss = Raw::join(&server, "boss", 4);
    for selector in [
        "next",
        "below",
        "all",
        "least-loaded",
        "*",
        "0-9",
        "0",
        "boss",
        "!x",
    ] {
        let id = boss.command(selector, &["x"]);
        assert_eq!(boss.error_of(&id)["code"], 7, "{selector}");
    }
    boss.expect_nothing("no selector of kind many was accepted");
}

#[test]
fn a_list_that_finds_no_client_is_named() {
    let server = Server::start(5, &[]);
    let [mut boss, _worker] = ranked(&server, [("boss", 1), ("worker", 1)]);
    for (selector, expected) in [
        ("role=none", "\"role=none\": the selector finds no client"),
        ("next:x*", "\"next:x*\": the list finds no client"),
    ] {
        let id = boss.command(selector, &["x"]);
        let error = boss.error_of(&id);
        let message = error["message"].as_str().expect("a message");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_client_that_moved_up_commands_no_others_than_before() {
    let server = Server::start(5, &[]);
    let [top, mut boss, mut worker] = ranked(&server, [("top", 1), ("boss", 1), ("worker", 1)]);
    let id = worker.command("all", &["x"]);
    assert_eq!(worker.result_of(&id)["outranked"], 2);
    boss.notification("refused");
    top.leave();
    boss.notification("rank");
    worker.notification("rank");
    let id = worker.command("boss", &["x"]);
    assert_eq!(worker.error_of(&id)["code"], 8);
    let id = boss.command("next", &["x"]);
    worker.serve(1);
    assert_eq!(boss.result_of(&id)["status"], "done");
}
