//! `pecking run --json` against its document: each line has the members that the document has for
//! its type, and each member that the document has is in some line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::Raw;
use crate::support::programs::{Ended, Server};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What the document says of a member: the kind of its value, and whether it is always there.
type Members = BTreeMap<String, (String, bool)>;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("JSON.md");
    std::fs::read_to_string(path).expect("the document")
}

/// The lines that the document has as examples.
fn examples() -> Vec<Value> {
    let document = document();
    let lines = document.lines().filter(|line| line.starts_with("    {"));
    let lines = lines.map(|line| serde_json::from_str(line).expect("an example is JSON"));
    lines.collect()
}

/// The tables of the document, by the type that they are of.
fn documented() -> BTreeMap<String, Members> {
    let document = document();
    let mut types = BTreeMap::new();
    for section in document.split("\n## `").skip(1) {
        let (kind, rest) = section.split_once('`').expect("a type");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
        let members = rows.map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let name = cells[0].trim_end_matches('`').to_owned();
            (name, (cells[1].to_owned(), cells[2] == "yes"))
        });
        types.insert(kind.to_owned(), members.collect::<Members>());
    }
    types
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    }
}

fn lines(ended: &Ended) -> Vec<Value> {
    let lines = ended.text().lines();
    let read = |line| serde_json::from_str(line).expect("each line is JSON");
    lines.map(read).collect()
}

fn types(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["type"].as_str().expect("a type"))
        .collect()
}

/// A run to targets that end in many ways.
fn many_ends(server: &Server) -> Vec<Value> {
    let words = ["--to", "web[1-6],nope", "--json", "--", "x", "y z"];
    let names = ["web1", "web2", "web3", "web4", "web5", "web6"];
    let (run, mut webs) = server.run(&words, names.map(|name| (name, 1)));
    let executes = webs.each_mut().map(Raw::execute);
    webs[0].output(&executes[0], "stdout", "a\nb");
    run.stdout.wait_for("\"text\"");
    webs[0].reply(
        &executes[0],
        &json!({"exit_code": 0, "stdout_base64": "/wA="}),
    );
    let left = json!({"ended": 1, "running": 2});
    webs[1].reply(&executes[1], &json!({"exit_code": 3, "leftovers": left}));
    webs[2].reply(
        &executes[2],
        &json!({"signal": "SIGSEGV", "truncated": true}),
    );
    webs[3].reply_error(&executes[3], 20, "no\n");
    webs[4].reply(
        &executes[4],
        &json!({"timed_out": true, "signal": "SIGTERM"}),
    );
    let [.., lost] = webs;
    lost.leave();
    let ended = run.end();
    ended.expect_code(3);
    // What is told as lines is not told again.
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    lines(&ended)
}

/// A run that loses its server, one that nothing executes, one to a single target, and a dry run.
fn others() -> Vec<Value> {
    let mut all = Vec::new();
    let mut server = Server::start(&[]);
    let (run, mut webs) = server.run(
        &["--json", "--to", "below", "--", "x"],
        [("a", 1), ("b", 1)],
    );
    let executes = webs.each_mut().map(Raw::execute);
    webs[0].reply(&executes[0], &json!({"exit_code": 0}));
    run.stdout.wait_for("outcome");
    server.process.signal(Signal::KILL);
    let ended = run.end();
    let lost = lines(ended.expect_code(3));
    assert_eq!(types(&lost)[types(&lost).len() - 2..], ["error", "summary"]);
    assert_eq!(lost.last().expect("a summary")["missing"], 1);
    all.extend(lost);
    drop(webs);

    server.replace(&[]);
    let mut command = server.client(&["run", "--json", "--", "x"]);
    let none = lines(Ended::of(&mut command).expect_code(4));
    assert_eq!(
        (types(&none), &none[0]["error"]),
        (vec!["error"], &json!("no_target"))
    );
    all.extend(none);

    let words = ["--json", "--exit-code", "--", "x"];
    let (run, [mut web1]) = server.run(&words, [("web1", 1)]);
    let execute = web1.execute();
    web1.reply(&execute, &json!({"exit_code": 7, "stdout": "out"}));
    let ended = run.end();
    let one = lines(ended.expect_code(7));
    let expected = ["accepted", "started", "output", "outcome", "summary"];
    assert_eq!(types(&one), expected);
    assert_eq!(
        (&one[1]["name"], &one[4]["exit_code"]),
        (&json!("web1"), &json!(7))
    );
    all.extend(one);

    let words = ["--json", "--batch", "1", "--to", "web[2-3],nope", "--", "x"];
    let (run, webs) = server.run(&words, [("web2", 1), ("web3", 1)]);
    let rolling = run.end();
    let rolling = lines(rolling.expect_code(4));
    let expected = "accepted target target target outcome error outcome outcome summary";
    assert_eq!(types(&rolling).join(" "), expected);
    all.extend(rolling);
    let words = ["--json", "--batch", "1", "--to", "web4", "--", "x"];
    let (run, [mut web4]) = server.run(&words, [("web4", 1)]);
    let execute = web4.execute();
    web4.reply(&execute, &json!({"exit_code": 0}));
    let rolling = run.end();
    let rolling = lines(rolling.expect_code(0));
    let expected = "accepted target batch started outcome summary";
    assert_eq!(types(&rolling).join(" "), expected);
    all.extend(rolling);
    drop(webs);

    let _web5 = server.raw_with(json!({"name": "web5", "tier": 9, "rank_news": false}));
    let words = ["run", "--json", "--stdin", "--to", "web5", "--", "x"];
    let with_input = lines(Ended::of(&mut server.client(&words)).expect_code(1));
    assert_eq!(with_input[0]["stdin"], true, "{with_input:?}");
    all.extend(with_input);
    let mut agent = server.low("agent");
    let words = ["run", "--detach", "--json", "--to", "agent", "--", "x"];
    let detached = lines(Ended::of(&mut server.client(&words)).expect_code(0));
    assert_eq!(types(&detached), ["detached"]);
    agent.execute();
    let job = detached[0]["job"].as_str().expect("an id").to_owned();
    all.extend(detached);
    let so_far = lines(Ended::of(&mut server.client(&["job", "--json", &job])).expect_code(0));
    let summary = so_far.last().expect("a summary");
    assert_eq!(
        (&summary["open"], &summary["missing"]),
        (&json!(1), &json!(0))
    );
    all.extend(so_far);

    let mut dry = server.client(&["run", "--dry-run", "--json", "--to", "web1,nope", "--", "x"]);
    let dry = lines(Ended::of(&mut dry).expect_code(5));
    assert_eq!(types(&dry), ["target", "target"]);
    all.extend(dry);
    drop(server);
    all
}

#[test]
fn each_json_line_is_as_documented_and_all_that_is_documented_comes() {
    let documented = documented();
    let server = Server::start(&["9"]);
    let many = many_ends(&server);
    assert_eq!(types(&many)[0], "accepted");
    let summary = many.last().expect("a summary");
    assert_eq!(summary["exit_codes"], json!({"3": ["web2"]}));
    assert_eq!(summary["signals"], json!({"SIGSEGV": ["web3"]}));
    let statuses =
        json!({"refused": ["web4"], "absent": ["nope"], "timed_out": ["web5"], "lost": ["web6"]});
    assert_eq!(summary["statuses"], statuses);

    let mut seen = BTreeSet::new();
    let examples = examples();
    let came = many.into_iter().chain(others()).map(|line| (line, true));
    for (line, has_come) in came.chain(examples.into_iter().map(|line| (line, false))) {
        let line = line.as_object().expect("an object");
        let kind = line["type"].as_str().expect("a type");
        let members = documented
            .get(kind)
            .unwrap_or_else(|| panic!("{kind} is not documented"));
        for (name, value) in line.iter().filter(|(name, _)| *name != "type") {
            let of = members.get(name).map(|(of, _)| of.as_str());
            assert_eq!(of, Some(kind_of(value)), "{kind}: {name}: {value}");
            if has_come {
                seen.insert((kind.to_owned(), name.clone()));
            }
        }
        let always = members.iter().filter(|(_, (_, is_always))| *is_always);
        for (name, _) in always {
            assert!(line.contains_key(name), "{kind} without {name}: {line:?}");
        }
    }
    for (kind, members) in &documented {
        for name in members.keys() {
            let is_seen = seen.contains(&(kind.clone(), name.clone()));
            assert!(is_seen, "{name} of {kind} never comes");
        }
    }
}

#[test]
fn what_goes_wrong_before_a_run_is_a_json_line_too() {
    let server = Server::start(&["1"]);
    let _full = server.raw("boss", 0);
    for (words, code, error) in [
        (&["run", "--json", "--", "x"][..], 255, "full"),
        (&["run", "--json", "--exit-code", "--", "x"], 255, "full"),
        (
            &["run", "--json", "--output-dir", "/dev/null/x", "--", "x"],
            2,
            "usage",
        ),
    ] {
        let ended = Ended::of(&mut server.client(words));
        ended.expect_code(code);
        let lines = lines(&ended);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let expected = json!([error, code]);
        assert_eq!(
            json!([lines[0]["error"], lines[0]["exit_code"]]),
            expected,
            "{words:?}"
        );
    }
}

#[test]
fn output_goes_to_a_file_for_each_target_and_stream_and_a_fault_is_said_at_the_end() {
    let server = Server::start(&[]);
    let there = tempfile::tempdir().expect("a folder");
    let folder = there.path().join("new/out");
    std::fs::create_dir_all(folder.join("web2.stderr")).expect("a folder in the way");
    let path = folder.to_str().expect("text");
    let words = ["--output-dir", path, "--to", "below", "--", "x"];
    let (run, mut webs) = server.run(&words, [("web1", 1), ("web2", 1)]);
    let executes = webs.each_mut().map(Raw::execute);
    webs[0].reply(
        &executes[0],
        &json!({"exit_code": 0, "stdout_base64": "/wA="}),
    );
    run.stdout.wait_for("web1: ");
    webs[1].reply(
        &executes[1],
        &json!({"exit_code": 0, "stdout": "b", "stderr": "lost\n"}),
    );
    let ended = run.end();
    ended
        .expect_code(1)
        .expect_stdout(b"web1: \xff\x00\nweb2: b\n");
    let said = format!("cannot write to {path}/web2.stderr; what came is not all there: ");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    let kept = |name: &str| std::fs::read(folder.join(name)).expect(name);
    assert_eq!(kept("web1.stdout"), b"\xff\x00");
    assert_eq!(
        (kept("web1.stderr"), kept("web2.stdout")),
        (vec![], b"b".to_vec())
    );
}
