//! Holds the document of what is shown to what is shown: its examples have the members that answers
//! have, and its table the metrics that there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::watched::shape;
use crate::support::{Raw, ranked};
use crate::visitor::Shown;

const DOCUMENT: &str = include_str!("../../docs/http.md");

/// The examples, by what is asked for.
fn examples() -> Vec<(&'static str, Value)> {
    let parts = DOCUMENT.split("<!-- GET ").skip(1);
    let example = |part: &'static str| {
        let (path, rest) = part.split_once(" -->\n```json\n").expect("an example");
        let (text, _) = rest.split_once("\n```").expect("its end");
        let value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{path}: {e}"));
        (path, value)
    };
    parts.map(example).collect()
}

/// Puts what several events say together.
fn merge(all: &mut Value, event: &Value) {
    match (all, event) {
        (Value::Object(all), Value::Object(event)) => {
            for (name, value) in event {
                merge(all.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (all, event) if all.is_null() => *all = event.clone(),
        _ => {}
    }
}

#[test]
fn examples_are_what_is_answered() {
    let shown = Shown::start(9, &[]);
    let mut boss = Raw::join(&shown.server, "boss", 0);
    let mut web = Raw::join_with(
        &shown.server,
        json!({"name": "web", "slots": 1, "tags": {"role": "web"}}),
    );
    Raw::join(&shown.server, "db", 1).leave();
    let id = boss.command("web", &["uptime", "-p"]);
    let execute = web.execute();
    web.reply(&execute, &json!({"exit_code": 3}));
    boss.result_of(&id);
    let server = shown.wait_json("/api/v1/server", "a departure and a sample", |server| {
        server["departed"] != json!([]) && server["history"] != json!([])
    });
    let commands = shown.json("/api/v1/commands?limit=1");
    let id = commands["commands"][0]["id"].to_string();
    let mut paths = BTreeSet::new();
    for (path, example) in examples() {
        let said = match path {
            "/api/v1/server" => server.clone(),
            "/api/v1/commands" => commands.clone(),
            "/api/v1/events" => {
                let mut all = Value::Null;
                let mut events = shown.events();
                events.wait("all of an event", |event| {
                    merge(&mut all, event);
                    ["members", "departed", "commands", "samples"]
                        .iter()
                        .all(|part| !all[part].is_null())
                });
                all
            }
            path => {
                let answer = shown.get(&path.replace("ID", &id));
                serde_json::from_str(&answer.body).expect("JSON")
            }
        };
        assert_eq!(shape(&example), shape(&said), "{path}: {said}");
        paths.insert(path.split(['?', ' ']).next().unwrap_or(path));
    }
    for path in ["server", "members", "commands", "events"] {
        assert!(paths.contains(format!("/api/v1/{path}").as_str()), "{path}");
    }
}

#[test]
fn the_table_has_the_metrics_that_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("audit.log");
    let names = folder.path().join("expected.toml");
    std::fs::write(&names, "names = []").expect("a file");
    let [log, names] = [&log, &names].map(|file| file.to_str().expect("UTF-8"));
    let shown = Shown::start(9, &["--audit", log, "--expected", names]);
    let [mut boss, mut web] = ranked(&shown.server, [("boss", 0), ("web", 1)]);
    boss.error("send", &json!({"command": ["x"], "to": "missing"}));
    let id = boss.command("web", &["x"]);
    web.serve(1);
    boss.result_of(&id);
    let text = shown.get("/metrics").body;
    let is: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("a kind");
            let series = text.lines().find(|line| {
                line.starts_with(&format!("{name}{{"))
                    || line.starts_with(&format!("{name}_bucket{{"))
            });
            let labels = series
                .and_then(|line| line.split(['{', '}']).nth(1))
                .unwrap_or_default();
            let labels: Vec<&str> = labels
                .split(',')
                .filter_map(|label| Some(label.split_once('=')?.0))
                .collect();
            format!("{name} {kind} {}", labels.join(","))
        })
        .collect();
    let (_, table) = DOCUMENT.split_once("## Metrics").expect("a table");
    let told: BTreeSet<String> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<String> = line
                .split('|')
                .map(|cell| cell.replace('`', "").trim().to_owned())
                .collect();
            format!("{} {} {}", cells[1], cells[2], cells[3].replace(", ", ","))
        })
        .collect();
    assert_eq!(told, is);
}
