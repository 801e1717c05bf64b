//! Detached commands: `run --detach`, `jobs`, `job` and `cancel`, and `&` at a prompt.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::run_rolling::service;
use crate::support::PATIENCE;
use crate::support::programs::{Ended, Process, Server, client, without_times};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Detaches a command; its job.
#[track_caller]
fn detach(server: &Server, words: &[&str]) -> String {
    let words = [&["run", "--detach"], words].concat();
    let ended = Ended::of(&mut server.client(&words));
    ended.expect_code(0);
    assert_eq!(ended.stderr, "");
    let job = ended.text().trim_end().to_owned();
    assert_eq!(job.len(), 32, "{job}");
    job
}

#[test]
fn a_detached_command_goes_on_and_is_shown_as_run_shows_it() {
    let server = Server::start(&["9"]);
    let [mut web1, mut web2] = ["web1", "web2"].map(|name| service(&server, name));
    let job = detach(&server, &["--to", "web*", "--", "backup", "it all"]);
    let executes = [web1.execute(), web2.execute()];
    assert_eq!(executes[0].command, ["backup", "it all"]);
    web1.output(&executes[0], "stdout", "half\n");
    web1.sync();
    let so_far = Ended::of(&mut server.client(&["job", &job]));
    so_far.expect_code(0);
    so_far.expect_stdout("web1: half\n");
    assert!(
        so_far.stderr.contains("it goes on; --follow waits"),
        "{}",
        so_far.stderr
    );

    let followed = Process::start(&mut server.client(&["job", &job, "--follow"]));
    followed.stdout.wait_for("web1: half\n");
    let interrupted = Process::start(&mut server.client(&["job", &job, "-f"]));
    interrupted.stdout.wait_for("web1: half\n");
    interrupted.signal(Signal::INT);
    let interrupted = interrupted.end();
    interrupted.expect_code(130);
    assert!(
        interrupted
            .stderr
            .contains("the command goes on; pecking cancel ")
    );
    for web in [&mut web1, &mut web2] {
        web.expect_nothing("no cancel");
    }
    web1.output(&executes[0], "stdout", "rest\n");
    followed.stdout.wait_for("web1: rest\n");
    web1.reply(&executes[0], &json!({"exit_code": 0}));
    web2.reply(
        &executes[1],
        &json!({"exit_code": 3, "stdout": "half\nrest\n"}),
    );
    let followed = followed.end();
    followed.expect_code(1);
    assert!(
        followed.stderr.contains("[web2, rank 2] done, exit code 3"),
        "{}",
        followed.stderr
    );

    let listed = Ended::of(&mut server.client(&["jobs"]));
    let listed = listed.text();
    let line = listed.lines().find(|line| line.starts_with(&job));
    let counts: Vec<&str> = line.into_iter().flat_map(str::split_whitespace).collect();
    // After the job, when it was sent, and by which client.
    assert_eq!(counts.get(5..7), Some(&["2/2", "1"][..]), "{listed}");

    let gathered = Ended::of(&mut server.client(&["job", "-b", &job]));
    gathered.expect_code(1);
    assert!(gathered.text().contains("web[1-2]"), "{}", gathered.text());
    Ended::of(&mut server.client(&["job", "--exit-code", &job])).expect_code(3);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let kept = ["job", "--quiet", "--output-dir", path, &job];
    let quiet = without_times(&Ended::of(&mut server.client(&kept)).stderr);
    assert_eq!(quiet, "[web2, rank 2] done, exit code 3 (TIME)\n");
    for name in ["web1", "web2"] {
        let file = folder.path().join(format!("{name}.stdout"));
        assert_eq!(
            std::fs::read_to_string(file).expect("a file"),
            "half\nrest\n"
        );
    }
    let json = Ended::of(&mut server.client(&["job", "--json", &job]));
    let lines: Vec<Value> = json
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let accepted = json!({"type": "accepted", "command": ["backup", "it all"], "to": "web*",
        "run": lines[0]["run"], "targets": 2});
    assert_eq!(lines[0], accepted);
    let last = lines.last().expect("a summary");
    assert_eq!(
        [&last["type"], &last["targets"]],
        [&json!("summary"), &json!(2)]
    );
}

#[test]
fn jobs_are_listed_and_cancelled() {
    let server = Server::start(&["9"]);
    let empty = Ended::of(&mut server.client(&["jobs"]));
    empty.expect_code(0);
    empty.expect_stdout("the server keeps no detached command of yours\n");
    let mut web1 = service(&server, "web1");
    let [first, second] = [
        ["--to", "web1", "--", "one"],
        ["--to", "web1", "--", "two words"],
    ]
    .map(|words| detach(&server, &words));
    let execute = web1.execute();
    let table = Ended::of(&mut server.client(&["jobs"]));
    let rows: Vec<String> = without_times(table.text())
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(rows[0].starts_with("JOB"), "{rows:?}");
    assert!(
        rows[1].starts_with(&second) && rows[1].ends_with("0/1       0  web1  'two words'"),
        "{rows:?}"
    );
    assert!(rows[2].starts_with(&first), "{rows:?}");
    let names = Ended::of(&mut server.client(&["jobs", "-o", "name"]));
    names.expect_stdout(format!("{second}\n{first}\n"));
    let json = Ended::of(&mut server.client(&["jobs", "--json"]));
    let listed: Value = serde_json::from_str(json.text()).expect("JSON");
    assert_eq!(listed["jobs"][1]["job"], *first);

    Ended::of(&mut server.client(&["cancel", &first])).expect_code(0);
    assert_eq!(web1.notification("cancel"), json!({"id": execute.id}));
    Ended::of(&mut server.client(&["cancel", &second])).expect_code(0);
    let cancelled = Ended::of(&mut server.client(&["job", &second, "--follow"]));
    cancelled.expect_code(130);
    web1.reply(&execute, &json!({"signal": "SIGTERM", "cancelled": true}));
    Ended::of(&mut server.client(&["job", &first, "--follow"])).expect_code(130);
}

#[test]
fn what_is_wrong_is_one_line() {
    let server = Server::start(&["9"]);
    let unknown = "00112233445566778899aabbccddeeff";
    for (words, code, parts) in [
        (&["job", "x"][..], 2, &["'x'", "32 hex digits"][..]),
        (&["cancel", "7"], 2, &["'7'", "32 hex digits"]),
        (
            &["job", unknown],
            2,
            &["there is no job 00112233445566778899aabbccddeeff"],
        ),
        (
            &["cancel", unknown],
            2,
            &["there is no job 00112233445566778899aabbccddeeff"],
        ),
        (
            &["run", "--detach", "--stdin", "x"],
            2,
            &["--detach", "--stdin"],
        ),
        (
            &["run", "--detach", "--batch", "2", "x"],
            2,
            &["--detach", "--batch"],
        ),
        (
            &["run", "--detach", "-b", "x"],
            2,
            &["--detach", "--gather"],
        ),
        (&["run", "--detach", "x"], 4, &["no client is below"]),
        (&["job", "--save", "f", unknown], 2, &["--save"]),
    ] {
        let ended = Ended::of(&mut server.client(words));
        ended.expect_code(code).expect_one_line(parts);
    }
    let json = Ended::of(&mut server.client(&["run", "--detach", "--json", "x"]));
    let line: Value = serde_json::from_str(json.expect_code(4).text()).expect("JSON");
    assert_eq!(line["error"], "no_target");
}

#[test]
fn a_command_that_waits_and_one_whose_sender_is_killed_go_on() {
    let server = Server::start(&["9"]);
    let mut web1 = service(&server, "web1");
    let mut sender = Process::start_fed(&mut server.client(&["--slots", "0"]));
    sender.feed("@web1 long &\n@web1 print\n");
    sender
        .stdout
        .wait_for("command sent; it goes on as job &1, ");
    let long = web1.execute();
    sender.stdout.wait_for("print command sent.");
    sender.signal(Signal::KILL);
    sender.reap();
    web1.expect_nothing("what waited is gone with its sender, and what is detached goes on");
    web1.reply(&long, &json!({"exit_code": 0, "stdout": "done\n"}));
    let ids = Ended::of(&mut server.client(&["jobs", "-o", "name"]));
    let job = ids.text().trim_end().to_owned();
    let ended = Ended::of(&mut server.client(&["job", &job]));
    ended.expect_code(0).expect_stdout("done\n");
}

#[test]
fn a_prompt_detaches_lists_and_goes_on_with_a_job() {
    let server = Server::start(&["9"]);
    let mut web1 = service(&server, "web1");
    let mut lines = Process::start_fed(&mut server.client(&["--slots", "0"]));
    lines.feed("@web1 make all &\n:jobs\n");
    let execute = web1.execute();
    assert_eq!(execute.command, ["make", "all"]);
    lines.stdout.wait_for("Detached, the newest first");
    lines
        .stdout
        .wait_for("&1  make all to web1 (0 of 1 ended), sent ");
    lines.feed(":fg 1\n:whoami\n");
    web1.output(&execute, "stdout", "half\n");
    lines.stdout.wait_for("half\n");
    web1.reply(&execute, &json!({"exit_code": 3}));
    lines.stdout.wait_for("done, exit code 3");
    lines.stdout.wait_for("You are ");
    lines.feed(":jobs\n");
    lines
        .stdout
        .wait_for("&1  make all to web1 (ended, 1 failed), sent ");
    lines.feed("@web1 make more &\n");
    let more = web1.execute();
    lines.feed(":cancel &2\n");
    lines.stdout.wait_for("Cancelling job &2.");
    web1.wait_for("its cancel", |message| {
        message["method"] == "cancel" && message["params"]["id"] == more.id
    });
    lines.feed(":fg 9\n");
    lines
        .stderr
        .wait_for("\"9\" is no detached command; :jobs shows them");
    lines.feed_no_more();
    lines.end().expect_code(2);
}

#[test]
fn a_follower_goes_on_over_a_broken_connection() {
    use crate::support::proxy::Proxy;
    let server = Server::start(&["9"]);
    let mut web1 = service(&server, "web1");
    let job = detach(&server, &["--to", "web1", "--", "x"]);
    let execute = web1.execute();
    let proxy = Proxy::to(server.address());
    let words = ["job", "--hold", "--follow", &job];
    let mut command = client(&["--server", &proxy.address().to_string()]);
    let followed = Process::start(command.args(words));
    web1.output(&execute, "stdout", "1\n");
    followed.stdout.wait_for("1\n");
    proxy.reset();
    web1.output(&execute, "stdout", "2\n");
    followed.stdout.wait_for("1\n2\n");
    web1.reply(&execute, &json!({"exit_code": 0, "stdout": "3\n"}));
    followed.end().expect_code(0).expect_stdout("1\n2\n3\n");
}

/// A server that a test plays.
struct Played(TcpListener);

/// A client of it, line by line.
struct Line {
    reader: BufReader<TcpStream>,
}

impl Played {
    /// The next client, which has joined.
    #[track_caller]
    fn join(&self) -> Line {
        let (stream, _) = self.0.accept().expect("a client dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut line = Line {
            reader: BufReader::new(stream),
        };
        let joined = json!({"member": 7, "name": "client-7", "rank": 0, "tier": 5, "members": 1,
            "heartbeat_ms": 60_000, "max_line": 1 << 20, "run": "8c1f20d7a3b94e56b0d2f4e6a8c0e1f3"});
        line.answer("join", &json!({"result": joined}));
        line
    }
}

impl Line {
    /// Reads a request, which is one of this method; its parameters and its id.
    #[track_caller]
    fn request(&mut self, method: &str) -> (Value, Value) {
        let mut text = String::new();
        self.reader.read_line(&mut text).expect("a line");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(message["method"], method, "{text}");
        (message["params"].clone(), message["id"].clone())
    }

    #[track_caller]
    fn answer(&mut self, method: &str, answer: &Value) -> Value {
        let (params, id) = self.request(method);
        let mut line = json!({"jsonrpc": "2.0", "id": id});
        for (key, value) in answer.as_object().expect("an object") {
            line[key] = value.clone();
        }
        let written = self
            .reader
            .get_mut()
            .write_all(format!("{line}\n").as_bytes());
        written.expect("it reads");
        params
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_and_nothing_runs_twice() {
    for was_taken in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        let server = Played(listener);
        let words = ["run", "--detach", "--to", "web1", "--", "x"];
        let run = Process::start(client(&["--server", &address]).args(words));
        let mut first = server.join();
        let (sent, _) = first.request("send");
        let id = sent["detach"].clone();
        assert_eq!(id.as_str().map(str::len), Some(32), "{sent}");
        assert!(
            sent.get("window").is_none() && sent.get("progress").is_none(),
            "{sent}"
        );
        drop(first);

        let mut second = server.join();
        match was_taken {
            true => {
                let page = json!({"events": [], "open": true, "last": 0});
                assert_eq!(second.answer("job", &json!({"result": page}))["job"], id);
                let job = json!({"job": id, "command": ["x"], "sent_ms": 1, "by": "client-7",
                    "targets": 1, "tally": {"targets": 0}, "open": true});
                second.answer("jobs", &json!({"result": {"jobs": [job], "total": 1}}));
            }
            false => {
                let unknown =
                    json!({"code": -32602, "message": "no", "data": {"reason": "invalid_params"}});
                second.answer("job", &json!({"error": unknown}));
                let taken = json!({"result": {"job": id, "targets": 1}});
                assert_eq!(second.answer("send", &taken)["detach"], id);
            }
        }
        let ended = run.end_within(PATIENCE + Duration::from_secs(10));
        let id = id.as_str().expect("a text");
        ended.expect_code(0).expect_stdout(format!("{id}\n"));
        assert!(
            ended.stderr.contains("asking for the job"),
            "{}",
            ended.stderr
        );
    }
}
