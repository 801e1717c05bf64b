//! Clients that come and go leave nothing behind at the server, however they go.

use std::time::{Duration, Instant};

use crate::support::{
    IS_RELEASE, PATIENCE, Raw, Server, Still, Vitals, allow_many_sockets, alone, loosely, tunnel,
};
use serde_json::json;

/// How many come and go in one round.
const VISITORS: usize = if IS_RELEASE { 10_000 } else { 3_000 };

/// How long what they left may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// What one of the later rounds may need more than the one before: less than 350 bytes a client.
const MORE: usize = 1 << 20;

/// Rounds until then.
const MOST_ROUNDS: usize = 4;

/// A third each goes by a reset, in the middle of its handshake, and in the middle of a
/// command.
fn visit(server: &Server, boss: &mut Raw, n: usize) {
    match n % 3 {
        0 => Still::join(server, &format!("visitor-{n}"), 1).reset(),
        1 => {
            let half = Raw::connect(server);
            half.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"join\",\"par");
        }
        _ => {
            let name = format!("visitor-{n}");
            let mut visitor = Still::join(server, &name, 1);
            let id = boss.command(&name, &["x"]);
            // Its rank may have changed first.
            while !visitor.read_line_quickly().contains("\"execute\"") {}
            visitor.close();
            let outcome = boss.result_of(&id);
            assert_eq!(
                [&outcome["status"], &outcome["started"]],
                [&json!("lost"), &json!(true)]
            );
        }
    }
}

/// Descriptors and threads, once they have stayed the same for a while: the thread that is to
/// serve the next client is started after the last one is served.
fn settled(vitals: Vitals) -> (usize, usize) {
    const A_WHILE: usize = 20;
    let deadline = Instant::now() + PATIENCE;
    let (mut seen, mut same) = ((0, 0), 0);
    while same < A_WHILE {
        assert!(
            Instant::now() < deadline,
            "{seen:?} descriptors and threads do not stay"
        );
        let now = (vitals.descriptors(), vitals.threads());
        same = if now == seen { same + 1 } else { 0 };
        seen = now;
        std::thread::sleep(Duration::from_millis(10));
    }
    seen
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let _turn = alone();
    let server = Server::start(100, &[]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let before = settled(vitals);
    let mut round = || {
        for n in 0..VISITORS {
            visit(&server, &mut boss, n);
        }
        let deadline = Instant::now() + loosely(GONE_WITHIN);
        while (vitals.descriptors(), vitals.threads()) != before {
            let now = (vitals.descriptors(), vitals.threads());
            assert!(
                Instant::now() < deadline,
                "{now:?} descriptors and threads, {before:?} before"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        vitals.resident()
    };
    // What leaks grows with every round. What threads leave with their allocator depends on which of
    // them run at the same time, and settles.
    let mut resident = vec![round(), round()];
    let mut has_settled = resident[1] <= resident[0] + MORE;
    while !has_settled && resident.len() < MOST_ROUNDS {
        resident.push(round());
        has_settled = resident.windows(2).any(|two| two[1] <= two[0] + MORE);
    }
    println!("resident after each round: {resident:?}");
    assert!(has_settled, "{resident:?} bytes");
    assert_eq!(boss.result("members", &json!({}))["total"], 1);
}

/// Clients that join and then say nothing.
const IDLE: usize = 500;

/// The most memory that an idle client may cost the server: 12.4 KiB measured in a release build and
/// 24.4 KiB in a debug build, with slack for less than one page more. So a buffer in the frame that
/// every session keeps is noticed.
const IDLE_COSTS: usize = if IS_RELEASE { 14 << 10 } else { 27 << 10 };

/// And what it may cost more if it is encrypted.
const TLS_COSTS: usize = 10 << 10;

#[test]
fn an_idle_client_costs_a_few_pages_of_memory() {
    allow_many_sockets();
    let server = Server::start(IDLE + 1, &["--heartbeat", "10m"]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let first = Still::join(&server, "first", 0);
    settled(vitals);
    let before = vitals.resident();
    let join = |n| Still::join(&server, &format!("idle-{n}"), 1);
    let idle: Vec<Still> = (0..IDLE).map(join).collect();
    settled(vitals);
    let each = (vitals.resident().saturating_sub(before)) / IDLE;
    println!("{each} bytes for each idle client");
    let tls_costs = if tunnel::is_carrier() { TLS_COSTS } else { 0 };
    let allowed = IDLE_COSTS + tls_costs;
    assert!(each <= allowed, "{each} bytes for each idle client");
    drop((first, idle));
}
