//! The machines that a server expects (`--expected`).

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::auth::{Auth, ROLES};
use crate::support::{PATIENCE, Raw, Server, put_file};

/// A file of expected machines in a folder of its own.
pub(crate) struct File {
    folder: TempDir,
}

impl File {
    pub(crate) fn new(text: &str) -> File {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File { folder };
        file.replace(text);
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("expected.toml")
    }

    fn replace(&self, text: &str) {
        put_file(&self.path(), text);
    }

    #[track_caller]
    fn server(&self, options: &[&str]) -> Server {
        let path = self.path();
        let expected = ["--expected", path.to_str().expect("UTF-8")];
        Server::start(999, &[&expected, options].concat())
    }
}

fn expected(client: &mut Raw, params: &Value) -> Value {
    let mut page = client.result("members", params);
    page["expected"].take()
}

#[test]
fn the_first_part_of_the_members_names_expected_machines_if_that_is_asked() {
    let file = File::new("names = [\"web[1-2]\", \"db\", \"boss\"]");
    let server = file.server(&[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let all = json!(["boss", "db", "web1", "web2"]);
    for (params, told) in [
        (json!({"expected": true}), &all),
        (json!({"expected": true, "from": 0, "limit": 0}), &all),
        (json!({"expected": true, "from": 1}), &Value::Null),
        (json!({"expected": false}), &Value::Null),
        (json!({}), &Value::Null),
    ] {
        assert_eq!(&expected(&mut boss, &params), told, "{params}");
    }
    let error = boss.error("members", &json!({"expected": 1}));
    assert_eq!(error["code"], -32602);
    let plain = Server::start(9, &[]);
    let mut boss = Raw::join(&plain, "boss", 0);
    let page = boss.result("members", &json!({"expected": true}));
    assert_eq!(page.get("expected"), None, "{page}");
    let watched = boss.result("watch", &json!({}));
    assert_eq!(watched["server"].get("expected_ms"), None, "{watched}");
}

#[test]
fn a_client_without_the_right_to_list_is_told_what_its_role_covers() {
    let auth = Auth::new(ROLES)
        .with("alice", "operator", "")
        .with("bob", "deployer", "names = [\"bob\"]")
        .with("web1", "agent", "names = [\"web1\"]");
    let file = File::new("names = [\"web[1-2]\", \"db\", \"bob\"]");
    let path = file.path();
    let server = auth.server(9, &["--expected", path.to_str().expect("UTF-8")]);
    for (id, told) in [
        ("alice", json!(["bob", "db", "web1", "web2"])),
        ("bob", json!(["bob", "web1", "web2"])),
        ("web1", json!(["web1"])),
    ] {
        let name = if id == "alice" {
            json!({})
        } else {
            json!({"name": id})
        };
        let mut client = auth.join(&server, id, name);
        let params = json!({"expected": true});
        assert_eq!(expected(&mut client, &params), told, "{id}");
    }
}

#[test]
fn an_answer_with_all_expected_machines_is_no_longer_than_a_line() {
    const MOST: usize = 1 << 20;
    const CLIENTS: usize = 300;
    let prefix = "x".repeat(59);
    let file = File::new(&format!("names = [\"{prefix}[10000-19999]\"]"));
    let server = file.server(&[]);
    let tags: serde_json::Map<String, Value> = (0..16)
        .map(|n| (format!("{n:a>32}"), json!("v".repeat(64))))
        .collect();
    let mut boss = Raw::join_with(&server, json!({"name": "boss", "rank_news": false}));
    let _many: Vec<Raw> = (0..CLIENTS)
        .map(|n| {
            let name = format!("{n:n>64}");
            Raw::join_with(
                &server,
                json!({"name": name, "tags": tags, "rank_news": false}),
            )
        })
        .collect();
    let id = boss.request("members", &json!({"expected": true}));
    let (page, line) = boss.next_line("the answer");
    assert_eq!(page["id"], id);
    let (named, shown) = (&page["result"]["expected"], &page["result"]["members"]);
    let [named, shown] = [named, shown].map(|list| list.as_array().expect("a list").len());
    assert_eq!(named, 10_000);
    assert!(line.len() < MOST, "{} bytes", line.len());
    assert!((100..=CLIENTS).contains(&shown), "{shown} members fit");
    assert!(
        line.len() > MOST - (16 << 10),
        "it ends long before: {}",
        line.len()
    );
    let rest = boss.result("members", &json!({"expected": true, "from": shown}));
    assert_eq!(
        shown + rest["members"].as_array().expect("a list").len(),
        CLIENTS + 1
    );
}

#[test]
fn a_file_that_changes_is_read_again_and_a_wrong_one_changes_nothing() {
    let file = File::new("names = [\"web1\"]");
    let server = file.server(&[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let ask = json!({"expected": true});
    assert_eq!(expected(&mut boss, &ask), json!(["web1"]));
    let first = boss.result("watch", &json!({}));
    let before = &first["server"]["expected_ms"];
    assert!(before.is_u64(), "{first}");
    file.replace("names = [\n\"web*\"]");
    let log = server.wait_stderr("the fault", |line| line.contains("expected.toml:2:1"));
    assert!(
        log.contains("the expected machines stay as they were"),
        "{log}"
    );
    assert_eq!(expected(&mut boss, &ask), json!(["web1"]));
    std::fs::remove_file(file.path()).expect("it is there");
    server.wait_stderr("that it is gone", |line| line.contains("No such file"));
    file.replace("names = [\"web[1-3]\"]");
    boss.wait_within(PATIENCE, "another time", |told| {
        let after = &told["params"]["server"]["expected_ms"];
        after.is_u64() && after != before
    });
    assert_eq!(expected(&mut boss, &ask), json!(["web1", "web2", "web3"]));
    server.wait_stderr("the names", |line| line.contains("3 machines are expected"));
    // Each once, however often the thread looked.
    let said = |what: &str| {
        let lines = server.stderr_lines();
        lines.iter().filter(|line| line.contains(what)).count()
    };
    assert_eq!(said("expected.toml:2:1"), 1);
    assert_eq!(said("No such file"), 1);
    assert_eq!(said("3 machines are expected"), 1);
}
