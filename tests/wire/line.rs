//! The lines that carry the protocol, by its letter: how they end, how long they may be,
//! and what closes a connection.

use crate::support::{Raw, Server, ranked};
use serde_json::{Value, json};

/// The longest line where a test tells the server another bound than its default.
const BOUND: usize = 65_536;
/// The longest line before `join`.
const BOUND_BEFORE_JOIN: usize = 16 << 10;
/// The longest line unless the server is told otherwise.
const DEFAULT_BOUND: usize = 1 << 20;
/// The wrong lines after which the server has had enough.
const ENOUGH: usize = 16;

/// A ping that fills a line of exactly this length, its end included.
fn ping_of_length(length: usize, end: &str) -> Vec<u8> {
    let start = r#"{"jsonrpc":"2.0","id":"long","method":"ping","pad":""#;
    let rest = format!("\"}}{end}");
    let pad = "p".repeat(length - start.len() - rest.len());
    format!("{start}{pad}{rest}").into_bytes()
}

#[test]
fn a_line_ends_with_lf_or_crlf_and_an_empty_one_is_ignored() {
    let server = Server::start(5, &[]);
    let mut client = Raw::join(&server, "one", 1);
    client.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}\r\n");
    assert_eq!(client.result_of(&json!("a")), json!({}));
    client.send_bytes(b"\n\r\n\n\n\r\n");
    client.expect_nothing("empty lines are ignored");
    for _ in 0..4 * ENOUGH {
        client.send_bytes(b"\n");
    }
    client.expect_nothing("empty lines are no errors");
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let server = Server::start(5, &[]);
    let mut client = Raw::connect(&server);
    let lines = "{\"jsonrpc\":\"2.0\",\"id\":\"é😀\",\"method\":\"join\",\"params\":{\"protocol\":1}}\r\n\
                 {\"jsonrpc\":\"2.0\",\"id\":\"ü\",\"method\":\"ping\"}\n";
    client.send_pieces(lines.as_bytes().chunks(1));
    assert_eq!(client.result_of(&json!("é😀"))["rank"], 0);
    assert_eq!(client.result_of(&json!("ü")), json!({}));
}

#[test]
fn several_messages_may_come_in_one_write() {
    let server = Server::start(5, &[]);
    let mut client = Raw::connect(&server);
    client.send_bytes(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\",\"params\":{\"protocol\":1}}\n\
          {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n\
          {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"members\"}\n\
          \n{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"ping\"}\n\
          {\"jsonrpc\":\"2.0\",\"id\":\"half\",\"met",
    );
    assert_eq!(client.result_of(&json!(1))["name"], "client-1");
    assert_eq!(client.result_of(&json!(2)), json!({}));
    assert_eq!(client.result_of(&json!(3))["total"], 1);
    assert_eq!(client.result_of(&json!(4)), json!({}));
    client.send_bytes(b"hod\":\"ping\"}\n");
    assert_eq!(client.result_of(&json!("half")), json!({}));
}

#[test]
fn sixteen_wrong_lines_after_join_are_enough() {
    let server = Server::start(5, &[]);
    let wrong = [
        "not json",
        "[]",
        "\u{1}",
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
    ];
    let mut others = Raw::join(&server, "other", 1);
    let mut client = Raw::join(&server, "wrong", 1);
    for n in 1..=ENOUGH {
        client.send_line(wrong[n % wrong.len()]);
        let answer = client.next("an error");
        let code = answer["error"]["code"].as_i64();
        assert!(matches!(code, Some(-32700 | -32600)), "line {n}: {answer}");
        if n < ENOUGH {
            // Right lines in between change nothing.
            let id = client.request("ping", &json!({}));
            assert_eq!(client.next("the answer to ping")["id"], id, "line {n}");
        }
    }
    client.expect_bye("too_many_errors");
    // Before `join` one is enough, and its error is the last line.
    for line in wrong {
        let mut unjoined = Raw::connect(&server);
        let id = unjoined.request("ping", &json!({}));
        assert_eq!(unjoined.error_of(&id)["code"], 3);
        unjoined.send_bytes(b"\n\r\n");
        unjoined.send_line(line);
        let answer = unjoined.next("an error");
        let code = answer["error"]["code"].as_i64();
        assert!(matches!(code, Some(-32700 | -32600)), "{line}: {answer}");
        unjoined.expect_eof("closed");
    }
    others.expect_nothing("no other client notices");
}

#[test]
fn a_line_of_exactly_the_bound_is_taken() {
    let server = Server::start(5, &["--max-line", "65536"]);
    let by_default = Server::start(5, &[]);
    for (server, bound) in [(&server, BOUND), (&by_default, DEFAULT_BOUND)] {
        let mut client = Raw::join(server, "one", 1);
        assert_eq!(client.joined["max_line"], bound);
        for end in ["\n", "\r\n"] {
            client.send_bytes(&ping_of_length(bound, end));
            assert_eq!(client.result_of(&json!("long")), json!({}));
        }
        let mut unjoined = Raw::connect(server);
        unjoined.send_bytes(&ping_of_length(BOUND_BEFORE_JOIN, "\n"));
        assert_eq!(unjoined.error_of(&json!("long"))["code"], 3);
    }
}

#[test]
fn a_longer_line_ends_the_connection() {
    let server = Server::start(5, &["--max-line", "65536"]);
    let by_default = Server::start(5, &[]);
    let mut other = Raw::join(&server, "other", 1);
    for (what, server, joins, bound) in [
        ("joined", &server, true, BOUND),
        ("joined, default bound", &by_default, true, DEFAULT_BOUND),
        ("not joined", &server, false, BOUND_BEFORE_JOIN),
        (
            "not joined, default bound",
            &by_default,
            false,
            BOUND_BEFORE_JOIN,
        ),
    ] {
        let whole = ping_of_length(bound + 1, "\n");
        let endless = vec![b'x'; bound + 1];
        for (kind, bytes) in [("with its end", whole), ("without an end", endless)] {
            let mut client = Raw::connect(server);
            if joins {
                client.join_as(&format!("long-{}", kind.len()), 1);
            }
            client.send_bytes(&bytes);
            let answer = client.next(&format!("an error ({what}, {kind})"));
            assert_eq!(answer["error"]["code"], -32600, "{what}, {kind}: {answer}");
            assert_eq!(answer["id"], Value::Null, "{what}, {kind}: {answer}");
            client.expect_eof(&format!("closed ({what}, {kind})"));
        }
    }
    other.expect_nothing("no other client notices");
}

#[test]
fn a_client_that_was_closed_is_gone() {
    let server = Server::start(5, &[]);
    let mut observer = Raw::join(&server, "observer", 1);
    let endless = vec![b'x'; DEFAULT_BOUND + 1];
    let leave = br#"{"jsonrpc":"2.0","method":"leave"}"#;
    let wrong = "[]\n".repeat(ENOUGH);
    for (what, bytes) in [
        ("a long line", &endless[..]),
        ("too many wrong lines", wrong.as_bytes()),
        ("leave", &[leave, &b"\n"[..]].concat()),
    ] {
        // More than once: it must not be a matter of luck.
        for _ in 0..5 {
            let mut client = Raw::join(&server, "same", 1);
            client.send_bytes(bytes);
            // It keeps its own half open, and sees that the server's is closed.
            client.wait_end(what);
            let here = observer.result("members", &json!({}));
            assert_eq!(here["total"], 1, "{what}: {here}");
        }
    }
}

#[test]
fn a_client_that_goes_on_with_an_endless_line_is_still_told_why() {
    let server = Server::start(5, &["--max-line", "65536"]);
    let mut client = Raw::join(&server, "long", 1);
    // Ten lines' worth; the server may close in the middle of it.
    let written = client.try_send(&vec![b'x'; 10 * BOUND]);
    drop(written);
    let answer = client.next("an error");
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    client.expect_eof("closed");
}

#[test]
fn half_a_close_is_a_leave() {
    let server = Server::start(5, &[]);
    let [_boss, mut goes, mut stays] = ranked(&server, [("boss", 0), ("goes", 1), ("stays", 1)]);
    goes.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi");
    goes.close_sending();
    assert_eq!(stays.notification("rank"), json!({"rank": 1, "members": 2}));
    goes.wait_end("the end after half a close");
}

#[test]
fn what_was_asked_before_half_a_close_is_answered() {
    let server = Server::start(5, &[]);
    let mut client = Raw::connect(&server);
    client.send_bytes(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\",\"params\":{\"protocol\":1}}\n\
          {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"members\"}\n",
    );
    client.close_sending();
    assert_eq!(client.result_of(&json!(1))["rank"], 0);
    assert_eq!(client.result_of(&json!(2))["total"], 1);
    client.expect_eof("closed");
}

#[test]
fn a_full_line_of_an_executor_reaches_the_sender_whole_and_unescaped() {
    let server = Server::start(5, &["--max-line", "65536"]);
    let [mut boss, mut worker] = ranked(&server, [("boss", 0), ("worker", 1)]);
    boss.request_as(
        &json!("i".repeat(128)),
        "send",
        &json!({"command": ["é/\u{2028}😀"]}),
    );
    let (message, text) = worker.next_line("an execute");
    assert!(text.contains("é/\u{2028}😀"), "{text}");
    let start = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"exit_code":0,"stdout":""#,
        message["id"]
    );
    let pad = BOUND - start.len() - "\"}}\n".len();
    let stdout = format!("{}{}", "é".repeat(pad / 2), "/".repeat(pad % 2));
    worker.send_bytes(format!("{start}{stdout}\"}}}}\n").as_bytes());
    let (answer, text) = boss.next_line("the outcome");
    assert_eq!(answer["result"]["stdout"], stdout);
    assert_eq!(answer["result"].get("truncated"), None);
    assert!(text.len() <= BOUND + (4 << 10), "{} bytes", text.len());
}
