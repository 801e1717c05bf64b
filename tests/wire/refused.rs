//! What members above are told of commands that may not reach them, by the letter of the protocol.

use std::time::Instant;

use crate::support::{Server, Still, ranked};
use serde_json::{Value, json};

/// How many `refused` a second one client is told, whichever clients cause them.
const REFUSED_A_SECOND: u64 = 10;

#[test]
fn all_from_the_lowest_is_a_tally_of_outranked() {
    let server = Server::start(5, &[]);
    let [a, b, mut lowest] = ranked(&server, [("a", 1), ("b", 0), ("lowest", 1)]);
    let id = lowest.command("all", &["x"]);
    assert_eq!(lowest.next("accepted")["params"]["targets"], 2);
    let mut names = [
        lowest.notification("outcome"),
        lowest.notification("outcome"),
    ]
    .map(|outcome| outcome["name"].as_str().expect("a name").to_owned());
    names.sort();
    assert_eq!(names, ["a", "b"], "members above, with slots or without");
    assert_eq!(lowest.result_of(&id), json!({"targets": 2, "outranked": 2}));
    for selector in ["next", "below", "least-loaded"] {
        let id = lowest.command(selector, &["x"]);
        assert_eq!(lowest.error_of(&id)["code"], 7, "{selector}");
    }
    // Neither goes before both were asked, as that would be news.
    for client in &mut [a, b] {
        assert_eq!(client.notification("refused")["from"], lowest.origin(2));
        client.expect_nothing("it was told once");
    }
}

#[test]
fn long_words_are_left_out_of_refused() {
    let server = Server::start(5, &[]);
    let [mut top, mut low] = ranked(&server, [("top", 0), ("low", 1)]);
    let long = "w".repeat(2 << 10);
    let id = low.command("all", &["first", &long, &long, &long]);
    assert_eq!(low.result_of(&id), json!({"targets": 1, "outranked": 1}));
    let refused = top.notification("refused");
    assert_eq!(refused["from"], low.origin(1), "{refused}");
    assert_eq!(refused["truncated"], true, "{refused}");
    let words = refused["command"].as_array().expect("words");
    let bytes: usize = words.iter().filter_map(Value::as_str).map(str::len).sum();
    assert!(bytes <= 4 << 10, "{bytes} bytes");
    assert_eq!(words[0], "first", "{refused}");
}

#[test]
fn refused_comes_ten_times_a_second_at_most() {
    const SENDS: u64 = 200;
    let server = Server::start(5, &[]);
    let [mut top, mut low, mut lower] = ranked(&server, [("top", 0), ("low", 0), ("lower", 0)]);
    let started = Instant::now();
    for _ in 0..SENDS {
        low.command("top,missing", &["x"]);
        lower.command("top,missing", &["y"]);
    }
    for client in [&mut low, &mut lower] {
        for id in 1..=SENDS {
            // Two were used for joining and the first of these.
            let tally = client.result_of(&json!(id + 1));
            assert_eq!(tally, json!({"targets": 2, "outranked": 1, "absent": 1}));
        }
    }
    let seconds = started.elapsed().as_secs() + 1;
    let told = top.fence();
    let count = told.iter().filter(|m| m["method"] == "refused").count() as u64;
    // As seconds may be counted from the first or by the clock, one more may be touched.
    let most = REFUSED_A_SECOND * (seconds + 1);
    assert!(
        (REFUSED_A_SECOND..=most).contains(&count),
        "{count} in {seconds} s"
    );
}

#[test]
fn a_superior_that_much_waits_for_is_told_of_no_refusal() {
    // More than the buffers between it and the server take.
    const OUTPUTS: usize = 24;
    let server = Server::start(5, &[]);
    let mut top = Still::join_narrow(&server, "top", 0, 8 << 10);
    let [mut worker, mut low] = ranked(&server, [("worker", 1024), ("low", 0)]);
    let send = |id: String, to: &str| {
        let params = json!({"to": to, "command": ["x"]});
        json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": params})
    };
    for n in 0..OUTPUTS {
        top.send(&send(format!("out-{n}"), "worker"));
    }
    let text = "x".repeat(900 << 10);
    for _ in 0..OUTPUTS {
        let execute = worker.execute();
        worker.reply(&execute, &json!({"exit_code": 0, "stdout": text}));
    }
    worker.sync();
    let mut refused = |word: &str| {
        let id = low.request("send", &json!({"to": "top,!missing", "command": [word]}));
        assert_eq!(low.result_of(&id), json!({"targets": 1, "outranked": 1}));
    };
    (0..REFUSED_A_SECOND).for_each(|_| refused("early"));
    for _ in 0..OUTPUTS {
        let line: Value = serde_json::from_str(&top.read_line_quickly()).expect("JSON");
        assert_eq!(line["result"]["status"], "done", "and nothing else");
    }
    refused("late");
    let line: Value = serde_json::from_str(&top.read_line()).expect("JSON");
    assert_eq!(line["params"]["command"], json!(["late"]), "{line}");
}
