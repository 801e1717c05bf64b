//! The audit log from outside: what is on record, and whether its lines hold together, by a check that
//! shares no code with the project.

use crate::support::auth::{Auth, ROLES, token};
use crate::support::{PATIENCE, Raw, Server, ranked, server_program, write_secret};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No record, and no file beside the log, may have it.
const CANARY: &str = "canary-5f3e9b";

pub(crate) struct Log(pub(crate) TempDir);

impl Log {
    pub(crate) fn new() -> Log {
        Log(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    pub(crate) fn server(&self, options: &[&str]) -> Server {
        let path = self.path();
        let audit = ["--audit", path.to_str().expect("text")];
        Server::start(20, &[&audit[..], options].concat())
    }

    /// Has the server's start on record, and then a folder where the file was.
    pub(crate) fn cannot_be_written(&self) {
        self.records(|last| last["type"] == "start");
        fs::remove_file(self.path()).expect("it is there");
        fs::create_dir(self.path()).expect("a folder");
    }

    /// The records, once there is one that is the last.
    pub(crate) fn records(&self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let records = records(&self.path());
            if records.last().is_some_and(&is_last) {
                return records;
            }
            assert!(Instant::now() < deadline, "too late: {records:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The records of a file; each has the hash of the line before it.
pub(crate) fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let whole = if text.ends_with('\n') {
        lines.len()
    } else {
        lines.len().saturating_sub(1)
    };
    let records: Vec<Value> = lines[..whole]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}")))
        .collect();
    let mut prev = "0".repeat(64);
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record["prev"], prev, "{record}");
        assert_eq!((&record["v"], &record["seq"]), (&json!(1), &json!(at + 1)));
        prev = Sha256::digest(lines[at])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
    }
    records
}

pub(crate) fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["type"] == kind)
        .collect()
}

/// A record without what differs from run to run.
pub(crate) fn plain(record: &Value) -> Value {
    let mut record = record.clone();
    let members = record.as_object_mut().expect("an object");
    for member in ["v", "seq", "ts", "prev", "ms"] {
        members.remove(member);
    }
    record
}

fn who(client: &Raw, rank: u64) -> Value {
    let mut who = client.identity(rank);
    who["address"] = json!(client.address().to_string());
    who["via"] = json!("plain");
    who["tier"] = json!(5);
    who
}

pub(crate) fn audit(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(server_program());
    let output = command.arg("audit").args(arguments).arg(file).output();
    output.expect("the program starts")
}

#[test]
fn what_clients_do_is_on_record_by_what_their_connections_proved() {
    let log = Log::new();
    let token = log.0.path().join("token");
    write_secret(&token, CANARY);
    let mut server = log.server(&["--token-file", token.to_str().expect("text")]);
    let mut stranger = Raw::connect(&server);
    let from = stranger.address().to_string();
    let join = |name: &str, slots: u32, token: &str| json!({"protocol": 1, "name": name, "slots": slots, "token": token, "identity": "root"});
    let wrong = format!("{CANARY}x");
    let error = stranger.error("join", &join("boss", 0, &wrong));
    assert_eq!(error["code"], 2);
    let member = |name, slots| Raw::join_with(&server, join(name, slots, CANARY));
    let (mut boss, mut web1) = (member("boss", 0), member("web1", 1));

    let id = boss.command("web1", &["deploy", "v7 \"é"]);
    let execute = web1.execute();
    web1.output(&execute, "stdout", "four");
    web1.reply(&execute, &json!({"exit_code": 3, "stderr": "bytes"}));
    assert_eq!(boss.result_of(&id)["exit_code"], 3);
    let all = boss.command("web1,gone", &["status"]);
    web1.serve(1);
    boss.result_of(&all);
    let denied = web1.error("send", &json!({"to": "boss", "command": ["x"]}));
    assert_eq!(denied["code"], 8);
    let cancelled = boss.command("web1", &["sleep"]);
    let execute = web1.execute();
    for _ in 0..3 {
        boss.notify("cancel", &json!({"send": cancelled}));
    }
    web1.notification("cancel");
    boss.sync();
    web1.reply(&execute, &json!({"cancelled": true}));
    boss.result_of(&cancelled);
    let (boss_who, web1_who) = (who(&boss, 0), who(&web1, 1));
    let web1_member = web1.member();
    web1.leave();
    boss.sync();
    drop(boss);
    server.terminate();
    assert!(server.wait_exit(PATIENCE).success());

    let records = log.records(|last| last["type"] == "stop");
    let kinds: Vec<_> = records
        .iter()
        .map(|r| r["type"].as_str().expect("text"))
        .collect();
    let cmd = |at: usize| of_type(&records, "send")[at]["cmd"].clone();
    assert_eq!(
        plain(&records[1]),
        json!({
            "type": "denied", "method": "join", "reason": "unauthorized", "address": from,
            "message": "the token is not this server's", "showed": "a token without a key id",
        })
    );
    assert_eq!(
        plain(&records[2]),
        json!({"type": "join", "who": boss_who, "slots": 0})
    );
    assert_eq!(
        plain(of_type(&records, "send")[0]),
        json!({
            "type": "send", "cmd": cmd(0), "who": boss_who, "to": "web1", "targets": 1,
            "names": ["web1"], "words": ["deploy", "v7 \"é"],
        })
    );
    let outcomes = of_type(&records, "outcome");
    assert_eq!(
        plain(outcomes[0]),
        json!({
            "type": "outcome", "cmd": cmd(0), "member": web1_member, "name": "web1",
            "status": "done", "exit_code": 3, "bytes": 9,
        })
    );
    // The send to several has none: one is done with 0, the other was only named.
    assert_eq!(
        plain(of_type(&records, "end")[0]),
        json!({
            "type": "end", "cmd": cmd(1), "targets": 2, "done": 1, "absent": 1,
        })
    );
    assert_eq!(
        plain(of_type(&records, "denied")[1]),
        json!({
            "type": "denied", "method": "send", "reason": "outranked", "who": web1_who,
            "address": web1_who["address"], "to": "boss", "words": ["x"],
        })
    );
    let cancels = of_type(&records, "cancel");
    assert_eq!((cancels.len(), &cancels[0]["cmd"]), (1, &cmd(2)));
    assert_eq!(
        (outcomes.len(), &outcomes[1]["status"]),
        (2, &json!("cancelled"))
    );
    assert_eq!(
        plain(of_type(&records, "leave")[0]),
        json!({
            "type": "leave", "who": web1_who, "why": "on purpose",
        })
    );
    assert_eq!(kinds.last(), Some(&"stop"));
    assert!(
        !fs::read_to_string(log.path())
            .expect("text")
            .contains(CANARY)
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(log.path()).expect("a file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let verified = audit(&["verify"], &log.path());
    assert!(verified.status.success(), "{verified:?}");
    let shown = String::from_utf8(audit(&["show", "--failed"], &log.path()).stdout).expect("text");
    assert!(
        shown.contains("exit code 3") && !shown.contains(" stop "),
        "{shown}"
    );
}

#[test]
fn the_first_word_and_all_outcomes_can_be_kept() {
    let log = Log::new();
    let server = log.server(&["--audit-words", "first", "--audit-outcomes", "all"]);
    let [mut boss, mut one, mut two] = ranked(&server, [("boss", 0), ("one", 1), ("two", 1)]);
    for _ in 0..2 {
        let id = boss.command("below", &["deploy", CANARY]);
        one.serve(1);
        two.serve(1);
        boss.result_of(&id);
    }
    // An executor's message may repeat any word.
    let id = boss.command("one", &["deploy", CANARY]);
    let execute = one.execute();
    one.reply_error(&execute, 20, &format!("{CANARY:?} does not match"));
    assert_eq!(boss.result_of(&id)["status"], "refused");
    let ends = |last: &Value| last["status"] == "refused" && last["seq"] == 14;
    let records = log.records(ends);
    let sends = of_type(&records, "send");
    assert_eq!(sends[0]["words"], json!(["deploy"]));
    assert_eq!(sends[0]["words_count"], 2);
    assert_eq!(sends[0]["words_hmac"].as_str().map(str::len), Some(64));
    assert_eq!(sends[0]["words_hmac"], sends[1]["words_hmac"]);
    assert_eq!(of_type(&records, "outcome").len(), 5);
    assert!(
        !fs::read_to_string(log.path())
            .expect("text")
            .contains(CANARY)
    );
}

#[test]
fn what_is_on_record_has_identities_roles_and_rules_and_no_token() {
    let auth = Auth::new(ROLES)
        .with("dan", "deployer", "names = [\"dan\"]")
        .with("web1", "agent", "names = [\"web1\"]");
    let log = Log::new();
    let path = log.path();
    let server = auth.server(9, &["--audit", path.to_str().expect("text")]);
    let mut dan = Raw::connect(&server);
    let join = |name: &str| json!({"protocol": 1, "name": name, "token": token("dan")});
    let forbidden = dan.error("join", &join("web1"));
    assert_eq!(forbidden["code"], 11);
    dan.joined = dan.result("join", &join("dan"));
    let mut web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    let id = dan.command("web1", &["deploy", "v7"]);
    web1.serve(1);
    dan.result_of(&id);
    let error = dan.error("send", &json!({"to": "web1", "command": ["rm"]}));
    assert_eq!(error["code"], 11);
    let open = dan.command("web1", &["status"]);
    web1.execute();
    let text = auth.text().to_owned();
    auth.replace(&(text.clone() + "x = 1\n"));
    log.records(|last| last["type"] == "reload");
    auth.replace(&text);
    log.records(|last| last["type"] == "reload" && last.get("error").is_none());
    auth.without("dan");
    dan.wait_end("it is revoked");
    assert!(open.is_number());
    let records = log.records(|last| last["type"] == "leave");

    let who = json!({
        "identity": "dan", "role": "deployer", "tier": 3, "member": dan.joined["member"],
        "name": "dan", "rank": 0, "address": dan.address().to_string(), "via": "plain",
    });
    let (denied, sends) = (of_type(&records, "denied"), of_type(&records, "send"));
    assert_eq!(
        (&denied[0]["method"], &denied[0]["rule"]),
        (&json!("join"), &json!("dan.names"))
    );
    assert_eq!(
        (&denied[1]["who"], &denied[1]["rule"]),
        (&who, &json!("deployer.allow"))
    );
    assert_eq!(
        (&sends[0]["who"], &sends[0]["rule"]),
        (&who, &json!("deployer.allow[0]"))
    );
    let errors = of_type(&records, "reload")
        .into_iter()
        .map(|r| r["error"].is_string());
    assert_eq!(errors.collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(of_type(&records, "cancel")[0]["cmd"], sends[1]["cmd"]);
    assert_eq!(records.last().expect("a leave")["who"], who);
    let text = fs::read_to_string(log.path()).expect("text");
    assert!(!text.contains("canary"), "{text}");
    let shown = audit(&["show", "--identity", "dan"], &log.path()).stdout;
    let shown = String::from_utf8(shown).expect("text");
    assert!(
        shown.contains("dan (dan, role deployer, tier 3,"),
        "{shown}"
    );
    assert!(!shown.contains("join    web1"), "{shown}");
}

#[test]
fn what_becomes_of_credentials_and_of_their_clients_is_on_record() {
    let agents = |auth: Auth, ids: &[&str]| {
        let with = |auth: Auth, id: &&str| auth.with(id, "agent", &format!("names = [\"{id}\"]"));
        ids.iter().fold(auth, with)
    };
    let auth = agents(
        Auth::new(ROLES),
        &["gone", "named", "other", "moved", "stays"],
    )
    .with("twice", "agent", "connections = 1\nreplace = true")
    .with("bob", "deployer", "names = [\"bob\"]")
    .with("alice", "operator", "");
    let log = Log::new();
    let path = log.path();
    let server = auth.server(20, &["--audit", path.to_str().expect("text")]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let mut gone = auth.join(&server, "gone", json!({"name": "gone"}));
    let clients: Vec<Raw> = ["named", "other", "moved", "stays", "bob"]
        .map(|id| auth.join(&server, id, json!({"name": id})))
        .into();
    let _twice = [(); 2].map(|()| auth.join(&server, "twice", json!({})));
    let running = alice.command("gone", &["deploy", "v7"]);
    gone.execute();
    let mut text = auth.text().to_owned();
    let begin = text.find("[[credentials]]").expect("it has one");
    let entries: Vec<&str> = text[begin..].split("[[credentials]]").collect();
    let of = |id: &str| {
        let is = |entry: &&&str| entry.contains(&format!("\nid = \"{id}\"\n"));
        (*entries.iter().find(is).expect("an entry")).to_owned()
    };
    let (gone_entry, named, other, moved) = (of("gone"), of("named"), of("other"), of("moved"));
    for (before, after) in [
        (format!("[[credentials]]{gone_entry}"), String::new()),
        (named.clone(), named.replace("[\"named\"]", "[\"new\"]")),
        (other.clone(), other.replace("\"agent\"", "\"viewer\"")),
        (moved.clone(), moved + "from = [\"192.0.2.0/24\"]\n"),
        (
            "tier = 3\nmay = [\"send\"]\n".into(),
            "tier = 3\nmay = []\n".into(),
        ),
    ] {
        assert!(text.contains(&before), "{before}");
        text = text.replacen(&before, &after, 1);
    }
    text += "[[credentials]]\nid = \"new\"\nrole = \"agent\"\ncert = \"pecking:new\"\n";
    auth.replace(&text);
    assert_eq!(alice.result_of(&running)["status"], "lost");
    until("five have gone", || {
        of_type(&records(&path), "leave").len() == 6
    });
    let records = records(&path);
    assert_eq!(
        plain(of_type(&records, "reload")[0]),
        json!({
            "type": "reload", "file": auth.path(), "added": ["new"], "removed": ["gone"],
            "changed": ["named", "other", "moved", "bob"],
        })
    );
    let why = |identity: &str| {
        let leaves = of_type(&records, "leave");
        let leave = leaves
            .iter()
            .find(|leave| leave["who"]["identity"] == identity);
        leave.map(|leave| leave["why"].as_str().unwrap_or_default().to_owned())
    };
    for (identity, expected) in [
        ("gone", Some("revoked: its credential is gone")),
        (
            "named",
            Some("revoked: its credential no longer gives its name"),
        ),
        ("other", Some("revoked: its credential has another role")),
        (
            "moved",
            Some("revoked: its credential no longer counts at its address"),
        ),
        ("bob", Some("revoked: its role has lost a right")),
        (
            "twice",
            Some("replaced: another client with its credential has taken its place"),
        ),
        ("stays", None),
    ] {
        assert_eq!(why(identity).as_deref(), expected, "{identity}");
    }
    drop(clients);
    let shown = audit(&["show", "--failed"], &path).stdout;
    let shown = String::from_utf8(shown).expect("text");
    for part in [
        "why \"revoked: its credential is gone\"",
        "why \"replaced: another client",
        "lost, sent by alice: deploy v7",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains(" send "), "{shown}");
}

#[test]
fn a_command_that_waited_until_its_time_was_over_never_started_on_record() {
    let log = Log::new();
    let server = log.server(&[]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    let running = boss.command("worker", &["one"]);
    worker.execute();
    let params = json!({"to": "worker", "command": ["two"], "deadline_ms": 50});
    let waiting = boss.request("send", &params);
    assert_eq!(boss.result_of(&waiting)["status"], "timed_out");
    assert!(running.is_number());
    let records = log.records(|last| last["type"] == "outcome");
    let outcome = of_type(&records, "outcome")[0];
    assert_eq!(
        (&outcome["status"], &outcome["message"], outcome.get("ms")),
        (&json!("timed_out"), &json!("it never started"), None)
    );
}
