//! Whoever falls silent is gone within two heartbeats, whether something is on its way to it
//! or not.

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::time::{Duration, Instant};

use programs::{Process, Server};
use rustix::process::Signal;
use serde_json::json;
use support::Raw;

/// Real clients that are stopped; half of them have megabytes on their way to them.
const STOPPED: usize = 50;

/// The heartbeat, as it is where nobody says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long after two heartbeats everybody is gone, and told so.
const BESIDES: Duration = Duration::from_secs(1);

/// Waits until so many are ranked, and checks that their ranks are closed up.
#[track_caller]
fn expect_members(boss: &mut Raw, count: usize, deadline: Instant) {
    loop {
        let ranking = boss.result("members", &json!({}));
        let members = ranking["members"].as_array().expect("a list");
        let ranks = members.iter().map(|member| member["rank"].as_u64());
        assert!(ranks.eq((0..members.len() as u64).map(Some)), "{ranking}");
        if members.len() == count {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{} are still here",
            members.len()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn stopped_clients_are_gone_within_two_heartbeats() {
    let server = Server::start(&["100", "--quiet"]);
    let mut boss = server.raw("boss", 0);
    let workers: Vec<Process> = (0..STOPPED)
        .map(|n| {
            let name = format!("w{n}");
            Process::start(&mut server.client(&["work", "--slots", "8", "--name", &name]))
        })
        .collect();
    expect_members(
        &mut boss,
        STOPPED + 1,
        Instant::now() + Duration::from_secs(30),
    );
    for worker in &workers {
        worker.signal(Signal::STOP);
    }
    let stopped = Instant::now();
    let long = "x".repeat(700 << 10);
    let mut open = Vec::new();
    // One to each, and to every second one megabytes, which stay on their way.
    let short = (0..STOPPED).map(|to| (to, "short"));
    let megabytes = (0..STOPPED).map(|n| (n / 2 * 2, long.as_str()));
    for (n, (to, word)) in short.chain(megabytes).enumerate() {
        boss.send_line(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"s{n}\",\"method\":\"send\",\
             \"params\":{{\"to\":\"w{to}\",\"command\":[\"{word}\"]}}}}"
        ));
        open.push(json!(format!("s{n}")));
    }
    let deadline = stopped + HEARTBEAT * 2 + support::loosely(BESIDES);
    expect_members(&mut boss, 1, deadline);
    let gone = stopped.elapsed();
    for id in open {
        assert_eq!(boss.result_of(&id)["status"], "lost");
    }
    println!("all gone after {gone:?}");
    for worker in &workers {
        worker.signal(Signal::CONT);
    }
}
