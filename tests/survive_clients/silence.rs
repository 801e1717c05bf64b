//! A client that falls silent is gone within two heartbeats, whether something is on its way to it
//! or not.

use std::time::{Duration, Instant};

use crate::support::programs::{Process, Server};
use crate::support::{IS_RELEASE, Raw};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Real clients that are stopped; half of them have megabytes on their way to them.
const STOPPED: usize = 50;

/// Bytes of a long command.
const LONG: usize = 900 << 10;

/// How many of these are on their way to each of that half: more than sockets hold, so that some
/// wait at the server. A debug build would need too long to write that many.
const SOME: usize = if IS_RELEASE { 5 } else { 2 };

/// And to the first few of it: more than half of what makes a client a slow consumer at once.
const MANY: usize = 40;
const MANY_TO: usize = 2;

/// How long it may take until all that is on its way.
const UNDER_WAY_WITHIN: Duration = Duration::from_secs(30);

/// The default heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long the server holds their places, besides two heartbeats.
const HOLD: Duration = Duration::from_secs(1);

/// How long after that all clients are away, or gone, and told so.
const BESIDES: Duration = Duration::from_secs(1);

fn is_ranked(_: &Value) -> bool {
    true
}

fn has_connection(member: &Value) -> bool {
    member.get("away_ms").is_none()
}

/// Waits until so many are like that, and checks that the ranks of all are closed up.
#[track_caller]
fn expect_members(boss: &mut Raw, count: usize, is_so: fn(&Value) -> bool, deadline: Instant) {
    loop {
        let ranking = boss.result("members", &json!({}));
        let members = ranking["members"].as_array().expect("a list");
        let ranks = members.iter().map(|member| member["rank"].as_u64());
        assert!(ranks.eq((0..members.len() as u64).map(Some)), "{ranking}");
        let here = members.iter().filter(|member| is_so(member)).count();
        if here == count {
            return;
        }
        assert!(Instant::now() < deadline, "{here} are still here");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn stopped_clients_are_away_within_two_heartbeats_and_gone_after_the_hold() {
    let server = Server::start(&["100", "--quiet", "--hold", "1s"]);
    let mut boss = server.raw("boss", 0);
    let workers: Vec<Process> = (0..STOPPED)
        .map(|n| {
            let name = format!("w{n}");
            let slots = MANY.to_string();
            Process::start(&mut server.client(&["work", "--slots", &slots, "--name", &name]))
        })
        .collect();
    expect_members(
        &mut boss,
        STOPPED + 1,
        is_ranked,
        Instant::now() + Duration::from_secs(30),
    );
    for worker in &workers {
        worker.signal(Signal::STOP);
    }
    let stopped = Instant::now();
    let long = "x".repeat(LONG);
    // Megabytes to every second one, which stay on their way; and something to each.
    let names: Vec<String> = (0..STOPPED).map(|n| format!("w{n}")).collect();
    let half: Vec<&str> = names.iter().step_by(2).map(String::as_str).collect();
    let most = std::iter::repeat_n((&half[..MANY_TO], long.as_str()), MANY - SOME);
    let some = std::iter::repeat_n((&half[..], long.as_str()), SOME);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let sends = most.chain(some).chain([(&all[..], "short")]);
    let open: Vec<_> = sends
        .map(|(to, word)| (boss.command(&to.join(","), &[word]), to.len()))
        .collect();
    let ping = boss.request("ping", &json!({}));
    let is_pong = |m: &Value| m["id"] == ping && m.get("method").is_none();
    boss.wait_within(UNDER_WAY_WITHIN, "that all is on its way", is_pong);
    let on_its_way = Instant::now();
    // A client with a socket that takes bytes is alive, and a debug build writes for seconds.
    let silent = if IS_RELEASE { stopped } else { on_its_way };
    let deadline = silent + HEARTBEAT * 2 + crate::support::loosely(BESIDES);
    expect_members(&mut boss, 1, has_connection, deadline);
    let away = stopped.elapsed();
    expect_members(&mut boss, 1, is_ranked, deadline + HOLD);
    let gone = stopped.elapsed();
    // A machine that takes longer to write all that sends the last of it to clients that are gone.
    let may_be_gone = on_its_way - stopped >= HEARTBEAT;
    for (id, targets) in open {
        let tally = boss.result_of(&id);
        let count = |status: &str| tally[status].as_u64().unwrap_or(0) as usize;
        assert_eq!(count("lost") + count("absent"), targets, "{tally}");
        assert!(may_be_gone || count("absent") == 0, "{tally}");
    }
    println!(
        "all on its way after {:?}, all away after {away:?}, gone after {gone:?}",
        on_its_way - stopped
    );
    for worker in &workers {
        worker.signal(Signal::CONT);
    }
}
