//! What the API says.

use serde_json::{Value, json};

use crate::support::auth::{Auth, ROLES, token};
use crate::support::{Raw, Server, ranked};
use crate::visitor::Shown;

fn names(members: &Value) -> Vec<&str> {
    let members = members["members"].as_array().expect("a list");
    members
        .iter()
        .map(|m| m["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn members_and_commands_are_shown_as_they_are() {
    let shown = Shown::start(9, &[]);
    let [mut boss, mut web, mut db] = ranked(&shown.server, [("boss", 0), ("web", 1), ("db", 2)]);
    assert_eq!(names(&shown.json("/api/v1/members")), ["boss", "web", "db"]);
    let page = shown.json("/api/v1/members?from=1&limit=1");
    assert_eq!((names(&page), &page["total"]), (vec!["web"], &json!(3)));

    let id = boss.command("all", &["deploy", "<b>\u{202e}'now'</b>"]);
    let (at_web, at_db) = (web.execute(), db.execute());
    let running = shown.json("/api/v1/commands");
    let command = &running["commands"][0];
    assert_eq!(
        command["command"],
        json!(["deploy", "<b>\u{202e}'now'</b>"])
    );
    assert_eq!(
        (&command["targets"], &command["outcomes"]),
        (&json!(2), &json!({}))
    );
    assert_eq!(
        command["from"],
        json!({"member": 1, "name": "boss", "rank": 0})
    );
    assert_eq!(shown.json("/api/v1/members")["members"][1]["running"], 1);

    web.reply(&at_web, &json!({"exit_code": 3}));
    db.reply_error(&at_db, 20, "not \u{1b}[31mthat");
    boss.result_of(&id);
    let path = format!("/api/v1/commands/{}", command["id"]);
    let details = shown.json(&path);
    assert_eq!(
        details["command"]["outcomes"],
        json!({"done": 1, "refused": 1})
    );
    assert_eq!(details["command"]["not_zero"], 1);
    assert!(details["command"]["ended_ms"].as_u64() >= details["command"]["at_ms"].as_u64());
    let at = &details["at"];
    assert_eq!(
        (&at[0]["name"], &at[0]["status"], &at[0]["exit_code"]),
        (&json!("web"), &json!("done"), &json!(3))
    );
    assert_eq!(
        (&at[1]["name"], &at[1]["status"]),
        (&json!("db"), &json!("refused"))
    );
    assert_eq!(at[1]["message"], "not \u{1b}[31mthat");

    // A session adds what it counted at the end of a batch of input.
    let facts = shown.wait_json("/api/v1/server", "what was counted", |facts| {
        facts["commands"] == 1 && facts["outcomes"]["refused"] == 1
    });
    assert_eq!(
        (&facts["members"], &facts["max"], &facts["commands"]),
        (&json!(3), &json!(9), &json!(1))
    );
    assert_eq!(facts["outcomes"]["done"], 1);
    web.leave();
    let facts = shown.wait_json("/api/v1/server", "a departure", |facts| {
        facts["departed"] != json!([])
    });
    assert_eq!(
        (&facts["departed"][0]["name"], &facts["members"]),
        (&json!("web"), &json!(2))
    );
    assert_eq!(names(&shown.json("/api/v1/members")), ["boss", "db"]);
}

#[test]
fn those_that_left_are_those_that_can_be_missed() {
    let shown = Shown::start(9, &[]);
    let [_boss, web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    for passes in [json!({"name": "script", "slots": 0}), json!({"slots": 1})] {
        Raw::join_with(&shown.server, passes).leave();
    }
    shown.wait_json("/api/v1/server", "those that pass are gone", |facts| {
        facts["members"] == 2
    });
    web.leave();
    let facts = shown.wait_json("/api/v1/server", "a departure", |facts| {
        facts["members"] == 1 && facts["departed"] != json!([])
    });
    let departed = facts["departed"].as_array().expect("a list");
    let departed: Vec<_> = departed.iter().map(|one| &one["name"]).collect();
    assert_eq!(departed, ["web"]);
}

#[test]
fn expected_machines_are_named_to_those_that_may_list() {
    let auth = Auth::new(ROLES)
        .with("alice", "operator", "")
        .with("bob", "deployer", "");
    let file = auth.path().with_file_name("expected.toml");
    std::fs::write(&file, "names = [\"web[1-2]\", \"db\"]").expect("a file");
    let [http, file] = [
        &["--http", "127.0.0.1:0"][..],
        &["--expected", file.to_str().expect("UTF-8")],
    ];
    let shown = Shown::of(auth.server(9, &[http, file].concat()));
    let server = |id: &str| {
        let token = format!("Authorization: Bearer {}", token(id));
        let answer = shown.get_with("/api/v1/server", &[&token]);
        serde_json::from_str::<Value>(&answer.body).expect("JSON")
    };
    let (alice, bob) = (server("alice"), server("bob"));
    assert_eq!(alice["expected"], json!(["db", "web1", "web2"]));
    assert!(alice["expected_ms"].is_u64(), "{alice}");
    assert_eq!(bob["expected"], Value::Null);
    let plain = Shown::start(9, &[]).json("/api/v1/server");
    for name in ["expected", "expected_ms"] {
        assert_eq!(plain.get(name), None, "{name}");
    }
}

#[test]
fn long_words_are_cut_and_the_newest_commands_are_kept() {
    let shown = Shown::start(9, &[]);
    let [mut boss, mut web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    boss.command("web", &["echo", &"x".repeat(5000)]);
    web.serve(1);
    let commands = shown.json("/api/v1/commands");
    assert_eq!(commands["commands"][0]["command"], json!(["echo", "…"]));
    let missing = shown.get("/api/v1/commands/999999");
    assert_eq!(missing.status, 404, "{}", missing.body);
    // Of a flood some are kept, all are counted, and the newest come first.
    for n in 0..700 {
        boss.command("web", &["n", &n.to_string()]);
        web.serve(1);
    }
    let path = "/api/v1/commands?limit=9999";
    let commands = shown.wait_json(path, "all", |commands| commands["total"] == 701);
    let list = commands["commands"].as_array().expect("a list");
    assert!((100..=512).contains(&list.len()), "{}", list.len());
    let ids: Vec<_> = list.iter().map(|c| c["id"].as_u64()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
}

#[test]
fn a_server_that_drains_lives_and_is_not_ready() {
    let shown = Shown::start(9, &["--drain", "20s"]);
    let [mut boss, mut web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(shown.get(path).status, 200, "{path}");
    }
    boss.command("web", &["long"]);
    let execute = web.execute();
    shown.server.terminate();
    let facts = shown.wait_json("/api/v1/server", "the drain", |facts| {
        facts["draining"] == true
    });
    assert_eq!(facts["members"], 2);
    let ready = shown.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    assert_eq!(shown.get("/healthz").status, 200);
    web.reply(&execute, &json!({"exit_code": 0}));
    let mut server: Server = shown.server;
    assert!(server.wait_exit(crate::support::PATIENCE).success());
}

#[test]
fn a_connection_answers_one_request_after_another() {
    use std::io::{Read, Write};
    let shown = Shown::start(9, &[]);
    let mut socket = shown.dial();
    let one = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", shown.address);
    let last = one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    socket
        .write_all(format!("{one}{one}{last}").as_bytes())
        .expect("it is taken");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("answers");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
}
