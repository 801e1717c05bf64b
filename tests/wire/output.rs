//! What commands write while they run, its bounds and its windows, by the letter of the
//! protocol.

use std::sync::mpsc::{TryRecvError, channel};

use crate::support::{Execute, Raw, Server, Still, ranked};
use serde_json::{Value, json};

/// A server, a sender that executes nothing, and one executor.
fn pair(slots: u32) -> (Server, Raw, Raw) {
    let server = Server::start(9, &[]);
    let [boss, worker] = ranked(&server, [("boss", 0), ("worker", slots)]);
    (server, boss, worker)
}

/// The number of bytes that `output` notifications carry, all of one stream as text.
#[track_caller]
fn bytes_of(outputs: &[Value]) -> usize {
    let text = |message: &Value| {
        assert_eq!(message["method"], "output", "{message}");
        message["params"]["text"].as_str().expect("text").len()
    };
    outputs.iter().map(text).sum()
}

#[test]
fn output_comes_while_a_command_runs_and_before_its_outcome() {
    let server = Server::start(9, &[]);
    let [mut boss, mut one, mut two] = ranked(&server, [("boss", 0), ("one", 1), ("two", 1)]);
    let id = boss.command("below", &["x"]);
    let accepted = boss.next("accepted");
    assert_eq!(accepted["params"]["send"], id);
    for (client, rank) in [(&mut one, 1), (&mut two, 2)] {
        let execute = client.execute();
        for (stream, kind, data) in [
            ("stdout", "text", "first é\n"),
            ("stderr", "text", "second\u{0}"),
            ("stdout", "base64", "//4="),
            ("stdout", "text", "last"),
        ] {
            let params = json!({"id": execute.id, "stream": stream, kind: data});
            client.notify("output", &params);
            let mut expected = client.identity(rank);
            expected["send"] = id.clone();
            expected["stream"] = json!(stream);
            expected[kind] = json!(data);
            let output = boss.next("an output");
            assert_eq!(output["method"], "output");
            assert_eq!(output["params"], expected);
        }
        client.reply(&execute, &json!({"exit_code": 0, "stdout": "the rest"}));
        assert_eq!(boss.next("an outcome")["params"]["stdout"], "the rest");
        client.output(&execute, "stdout", "too late");
        client.fence();
    }
    assert_eq!(boss.result_of(&id), json!({"targets": 2, "done": 2}));
    boss.expect_nothing("what came after the answer went nowhere");
}

#[test]
fn output_is_cut_after_its_share() {
    const CHUNK: usize = 100_000;
    const SHARE: usize = 1 << 20;
    let (_server, mut boss, mut worker) = pair(1);
    for (chunks, rest, cut) in [(10, 40_000, false), (11, 10, true), (10, 60_000, true)] {
        let id = boss.command("worker", &["x"]);
        let execute = worker.execute();
        assert_eq!(execute.params.get("window"), None);
        for _ in 0..chunks {
            worker.output(&execute, "stdout", &"o".repeat(CHUNK));
        }
        worker.reply(
            &execute,
            &json!({"exit_code": 5, "stdout": "r".repeat(rest)}),
        );
        let got = boss.result_of(&id);
        let in_outcome = got["stdout"].as_str().map_or(0, str::len);
        let total = bytes_of(&boss.fence()) + in_outcome;
        assert_eq!(got["exit_code"], 5, "the command ran on");
        assert!(
            total <= SHARE,
            "{total} bytes of {chunks} chunks and {rest}"
        );
        if cut {
            assert_eq!(got["truncated"], true);
            // Where in a piece it cuts is open.
            assert!(
                total + CHUNK > SHARE,
                "{total} bytes of {chunks} chunks and {rest}"
            );
        } else {
            assert_eq!(total, chunks * CHUNK + rest);
            assert_eq!(got.get("truncated"), None);
        }
    }
}

#[test]
fn many_targets_share_sixteen_mebibytes() {
    const TARGETS: usize = 32;
    const SHARE: usize = (16 << 20) / TARGETS;
    let server = Server::start(TARGETS + 1, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut workers: Vec<Raw> = (0..TARGETS)
        .map(|n| Raw::join(&server, &format!("w{n}"), 1))
        .collect();
    let id = boss.command("below", &["x"]);
    let executes: Vec<Execute> = workers.iter_mut().map(Raw::execute).collect();
    worker_says(&workers[0], &executes[0], &[SHARE - 10, 10]);
    worker_says(&workers[1], &executes[1], &[SHARE - 10, 11]);
    for (worker, execute) in workers.iter().zip(&executes) {
        worker.reply(execute, &json!({"exit_code": 0}));
    }
    let tally = json!({"targets": TARGETS, "done": TARGETS});
    assert_eq!(boss.result_of(&id), tally);
    let came = boss.fence();
    let cut = |message: &&Value| message["params"]["truncated"] == true;
    let cut: Vec<&Value> = came.iter().filter(cut).collect();
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert_eq!(cut[0]["params"]["name"], "w1");
    let outputs: Vec<Value> = came
        .into_iter()
        .filter(|message| message["params"]["name"] == "w0" && message["method"] == "output")
        .collect();
    assert_eq!(
        bytes_of(&outputs),
        SHARE,
        "the one that kept to its share lost nothing"
    );
}

/// Has an executor write pieces of these lengths.
fn worker_says(worker: &Raw, execute: &Execute, lengths: &[usize]) {
    for length in lengths {
        worker.output(execute, "stdout", &"o".repeat(*length));
    }
}

#[test]
fn a_window_is_shared_among_the_targets() {
    let server = Server::start(9, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut workers = ranked(&server, [("a", 9), ("b", 9), ("c", 9), ("d", 9)]);
    for (to, window, share) in [
        ("a", 1, 1024),
        ("a", 1024, 1024),
        ("a", 100_000, 100_000),
        ("a", 16 << 20, 16 << 20),
        ("below", 400_000, 100_000),
        ("below", 2048, 1024),
        ("a,b", 16 << 20, 8 << 20),
    ] {
        let id = boss.request(
            "send",
            &json!({"to": to, "command": ["x"], "window": window}),
        );
        let count = if to == "a" {
            1
        } else if to == "a,b" {
            2
        } else {
            4
        };
        for worker in &mut workers[..count] {
            let execute = worker.execute();
            assert_eq!(execute.params["window"], share, "{to} {window}");
            worker.reply(&execute, &json!({"exit_code": 0}));
        }
        boss.result_of(&id);
    }
}

#[test]
fn an_executor_is_held_to_its_window_and_told_what_was_consumed() {
    const WINDOW: usize = 4096;
    let (_server, mut boss, mut worker) = pair(2);
    let params = json!({"to": "worker", "command": ["x"], "window": WINDOW});
    let [kept, broken] = [boss.request("send", &params), boss.request("send", &params)];
    let executes = [worker.execute(), worker.execute()];
    let member = worker.member();
    // Far more than without a window would be possible, as it is consumed.
    for _ in 0..400 {
        worker_says(&worker, &executes[0], &[WINDOW]);
        assert_eq!(
            boss.notification("output")["text"].as_str().map(str::len),
            Some(WINDOW)
        );
        let half = json!({"send": kept, "member": member, "bytes": WINDOW / 2});
        for _ in 0..2 {
            boss.notify("consumed", &half);
            let consumed = worker.next("consumed");
            assert_eq!(consumed["method"], "consumed");
            let expected = json!({"id": executes[0].id, "bytes": WINDOW / 2});
            assert_eq!(consumed["params"], expected);
        }
    }
    for params in [
        json!({"send": 99, "member": member, "bytes": 1}),
        json!({"send": kept, "member": 4711, "bytes": 1}),
        json!({"send": kept, "member": member}),
        json!({"send": kept, "member": member, "bytes": "1"}),
        json!({"member": member, "bytes": 1}),
    ] {
        boss.notify("consumed", &params);
        boss.expect_nothing("a notification is never answered");
        worker.expect_nothing(&params.to_string());
    }
    worker_says(&worker, &executes[1], &[WINDOW, 100, 100]);
    for execute in &executes {
        worker.reply(execute, &json!({"exit_code": 0}));
    }
    assert_eq!(
        boss.result_of(&kept).get("truncated"),
        None,
        "nothing was cut"
    );
    assert_eq!(boss.result_of(&broken)["truncated"], true);
    assert!(bytes_of(&boss.fence()) <= WINDOW);
}

#[test]
fn a_send_to_many_is_accepted_before_its_output_while_another_sender_writes_to_its_target() {
    // It takes long enough to give all of these a command that the first one answers meanwhile.
    const CROWD: usize = 200;
    const SENDS: usize = 64;
    let server = Server::start(CROWD + 3, &[]);
    let [mut boss, mut other] = ranked(&server, [("boss", 0), ("other", 0)]);
    let mut worker = Raw::join(&server, "worker", 1024);
    let crowd = (0..CROWD).map(|n| Still::join(&server, &format!("still-{n}"), 1));
    let _crowd: Vec<Still> = crowd.collect();
    let (stop, stopped) = channel::<()>();
    let disturbing = std::thread::spawn(move || {
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let id = other.command("worker", &["theirs"]);
            other.result_of(&id);
        }
        let id = other.command("worker", &["the end"]);
        other.result_of(&id);
    });
    let executing = std::thread::spawn(move || {
        loop {
            let execute = worker.execute();
            worker.output(&execute, "stdout", "x");
            worker.reply(&execute, &json!({"exit_code": 0}));
            if execute.command == ["the end"] {
                return;
            }
        }
    });
    let sends: String = (0..SENDS)
        .map(|id| {
            let params = json!({"to": "below", "command": ["ours"]});
            let send = json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": params});
            format!("{send}\n")
        })
        .collect();
    boss.send_bytes(sends.as_bytes());
    let mut said = vec![Vec::new(); SENDS];
    while said.iter().map(Vec::len).sum::<usize>() < 3 * SENDS {
        let message = boss.next("what is said of many sends");
        let id = message["params"]["send"].as_u64().expect("a send");
        said[id as usize].push(message["method"].clone());
    }
    drop(stop);
    disturbing.join().expect("every command had its outcome");
    executing.join().expect("the end came");
    let wrong = |said: &&Vec<Value>| **said != ["accepted", "output", "outcome"];
    let wrong: Vec<_> = said.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{} of {SENDS}: {wrong:?}", wrong.len());
}
