//! Clients that stop reading, or read next to nothing: no other client notices, they cost
//! memory up to their bound, and they go. And a sender to thousands, which hears of its command at once.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::support::{IS_RELEASE, Pairs, Raw, Server, Still, Vitals, allow_many_sockets, loosely};
use serde_json::{Value, json};

/// Of some 50 clients these are in pairs; another one aims at the one that does not read. In a debug build
/// a few of them keep the machine as busy.
const PAIRS: usize = if IS_RELEASE { 24 } else { 6 };

/// What is sent to it once it has stopped, in how long, and the size of each command.
const AIMED: usize = if IS_RELEASE { 200 << 20 } else { 80 << 20 };
const AIM_FOR: Duration = Duration::from_secs(8);
const COMMAND: usize = 256 << 10;

/// For how long as much is sent to it in each second while it still reads.
const READS_FOR: Duration = Duration::from_secs(if IS_RELEASE { 5 } else { 3 });

/// What may wait for one client, and what the server may need besides.
const BOUND: usize = 64 << 20;
const BESIDES: usize = 16 << 20;

/// When it has to be gone after it stopped.
const GONE_WITHIN: Duration = Duration::from_secs(12);

#[test]
fn one_of_fifty_that_stops_reading_costs_the_others_nothing() {
    let server = Server::start(2 * PAIRS + 3, &[]);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let pairs = Pairs::start(server.address(), PAIRS);
    let mut slow = Still::join(&server, "slow", 1024);
    let mut last = Raw::join(&server, "last", 0);
    let before = vitals.resident();
    // To pass on so much costs the others time as well, whichever client it is for: so the slow
    // client reads at first.
    let aimed = Instant::now();
    let stopped = aimed + READS_FOR;
    let reading = std::thread::spawn(move || {
        slow.read_until(stopped);
        slow
    });
    // A client that ranks below it is told of its end.
    let end = std::thread::spawn(move || {
        let is_rank = |message: &Value| message["method"] == "rank";
        last.wait_within(
            loosely(GONE_WITHIN) + READS_FOR,
            "the end of the slow one",
            is_rank,
        );
        (Instant::now(), last)
    });
    let words = "x".repeat(COMMAND);
    let pause = AIM_FOR / (AIMED / COMMAND) as u32;
    let commands = AIMED / COMMAND + READS_FOR.div_duration_f64(pause) as usize;
    // What it no longer takes waits in the server; past the bound the client is `busy`.
    for n in 0..commands {
        let due = aimed + pause * n as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        boss.send_line(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"s{n}\",\"method\":\"send\",\
             \"params\":{{\"to\":\"slow\",\"command\":[\"{words}\"]}}}}"
        ));
    }
    let _slow = reading.join().expect("it has read");
    let (mut ended, mut lost) = (0, 0);
    while ended < commands {
        let within = loosely(GONE_WITHIN);
        let answer = boss.wait_within(within, "every send's end", |m| m["id"].is_string());
        ended += 1;
        match answer["result"]["status"].as_str() {
            Some("lost") => lost += 1,
            None => {
                // Its queue is full, or it is gone.
                let reason = answer["error"]["data"]["reason"].as_str();
                assert!(matches!(reason, Some("busy" | "no_target")), "{answer}");
            }
            Some(_) => panic!("{answer}"),
        }
    }
    let (end, _last) = end.join().expect("it is told");
    let gone = end - stopped;
    assert!(lost > 0, "some were given to it");
    assert!(gone <= loosely(GONE_WITHIN), "gone after {gone:?}");
    let more = vitals.most_resident().saturating_sub(before);
    assert!(more <= BOUND + BESIDES, "{} MiB more", more >> 20);
    let (read, unread) = (pairs.p99(aimed, stopped), pairs.p99(stopped, end));
    println!(
        "p99 {read:?} while the slow client reads, {unread:?} once it has stopped; {} MiB more; \
         gone after {gone:?}",
        more >> 20
    );
    expect_as_quick(unread, read);
    pairs.stop();
}

/// The figure itself is for a machine that does nothing else. Elsewhere what the machine does may
/// change at any moment; a client that is waited for costs the others ten seconds.
#[track_caller]
pub(crate) fn expect_as_quick(p99: Duration, quiet: Duration) {
    let allowed = if IS_RELEASE {
        quiet * 3 / 2
    } else {
        quiet * 10 + SECOND
    };
    assert!(p99 <= allowed, "{p99:?} instead of {quiet:?}");
}

/// How many take a trickle, what each of them is sent, and what of it they take in a second: a
/// third of what would be progress. A debug build takes long to pass on what all of them are sent.
const TRICKLING: usize = if IS_RELEASE { 64 } else { 16 };
const FOR_EACH: usize = 4;
const TRICKLE: usize = 2 << 10;
const SECOND: Duration = Duration::from_secs(1);

/// How many read slowly, and three times as much as would have to be.
const STEADY: usize = 2;
const STEADILY: usize = 20 << 10;
const FOR_EACH_STEADY: usize = 4 * FOR_EACH;

/// When such a client is not yet given up: it has ten seconds. And when it has to be gone, as a test
/// sees that looks once a second.
const STAYS: Duration = Duration::from_secs(9);
const TRICKLED_AWAY_WITHIN: Duration = Duration::from_secs(13);

/// How long clients that read steadily have to stay: longer than those that do not.
const STEADY_STAY: Duration = Duration::from_secs(if IS_RELEASE { 25 } else { 14 });

/// What a newcomer may have to wait for meanwhile.
const JOINS_WITHIN: Duration = Duration::from_millis(100);

/// So many clients that read as slowly as they are made to, each with a buffer of so many
/// bytes.
fn slow(server: &Server, name: &str, count: usize, bytes: usize) -> Vec<Still> {
    let join = |n| Still::join_narrow(server, &format!("{name}-{n}"), 64, bytes);
    (0..count).map(join).collect()
}

/// Aims at each of them more than they take in the time; the sends that this makes.
fn aim(boss: &mut Raw, name: &str, count: usize, for_each: usize) -> Vec<Value> {
    let words = "x".repeat(900 << 10);
    let aim = |n| boss.command(&format!("{name}-{}", n % count), &[&words]);
    (0..count * for_each).map(aim).collect()
}

/// Has them read on a thread of its own, which is not kept waiting by what else is tested, until
/// what this gives is dropped.
fn read_steadily(mut steady: Vec<Still>) -> Sender<()> {
    const PARTS: u32 = 4;
    let (reading, stopped) = channel();
    std::thread::spawn(move || {
        while stopped.recv_timeout(SECOND / PARTS) == Err(RecvTimeoutError::Timeout) {
            for one in &mut steady {
                one.take(STEADILY / PARTS as usize);
            }
        }
    });
    reading
}

#[test]
fn clients_that_read_a_trickle_are_closed_in_time_and_delay_no_others() {
    let others = 2 * PAIRS + STEADY + 1;
    let server = Server::start(others + TRICKLING + 1, &[]);
    let mut boss = Raw::join(&server, "boss", 0);
    let pairs = Pairs::start(server.address(), PAIRS);
    let reading = read_steadily(slow(&server, "steady", STEADY, 2 * STEADILY));
    let mut trickling = slow(&server, "slow", TRICKLING, 2 * TRICKLE);
    let began = Instant::now();
    std::thread::sleep(2 * SECOND);
    let aimed = Instant::now();
    aim(&mut boss, "steady", STEADY, FOR_EACH_STEADY);
    let ids = aim(&mut boss, "slow", TRICKLING, FOR_EACH);
    boss.sync();
    // What it costs to pass on all that is not what is asked here.
    let waiting = Instant::now();
    let (mut taken, mut slowest) = (vec![0; TRICKLING], Duration::ZERO);
    let gone = loop {
        let looked = Instant::now();
        for (one, taken) in trickling.iter_mut().zip(&mut taken) {
            *taken += one.take(TRICKLE);
        }
        let joining = Instant::now();
        let newcomer = Raw::join(&server, "newcomer", 1);
        slowest = slowest.max(joining.elapsed());
        newcomer.leave();
        let members = boss.result("members", &json!({}));
        let here = members["total"].as_u64().expect("a number") as usize;
        let ranks = members["members"].as_array().expect("a list").iter();
        assert!(ranks.zip(0..).all(|(member, rank)| member["rank"] == rank));
        let now = waiting.elapsed();
        if here == others {
            break now;
        }
        let all = others + TRICKLING;
        assert!(
            here == all || aimed.elapsed() >= STAYS,
            "{here} of {all} at {now:?}"
        );
        let promised = loosely(TRICKLED_AWAY_WITHIN);
        assert!(now <= promised, "{here} of {others} at {now:?}");
        std::thread::sleep(SECOND.saturating_sub(looked.elapsed()));
    };
    let with_them = pairs.p99(waiting, Instant::now());
    while waiting.elapsed() < STEADY_STAY {
        std::thread::sleep(SECOND);
        let members = boss.result("members", &json!({}));
        assert_eq!(members["total"], others, "clients that read steadily stay");
    }
    drop(reading);
    for id in &ids {
        assert_eq!(boss.result_of(id)["status"], "lost");
    }
    let least = taken.iter().min().copied().unwrap_or_default();
    assert!(
        least >= 4 * TRICKLE,
        "they took something all the time: {taken:?}"
    );
    let quiet = pairs.p99(began, aimed);
    println!("gone after {gone:?}; a newcomer took {slowest:?}; p99 {quiet:?}, then {with_them:?}");
    assert!(slowest <= loosely(JOINS_WITHIN), "{slowest:?} to join");
    expect_as_quick(with_them, quiet);
    pairs.stop();
}

/// How many a command is for, how soon its sender has the first word of it, and how often that
/// is tried: a machine that does other work does not do it all the time.
const THOUSANDS: usize = if IS_RELEASE { 10_000 } else { 1_000 };
const FIRST_WORD_WITHIN: Duration = Duration::from_millis(3);
const TRIES: usize = 8;

#[test]
fn a_sender_to_thousands_has_the_first_word_at_once() {
    allow_many_sockets();
    let server = Server::start(THOUSANDS + 1, &["--heartbeat", "10m"]);
    let mut boss = Raw::join(&server, "boss", 0);
    let crowd = (0..THOUSANDS).map(|n| Still::join(&server, &format!("n{n}"), 1024));
    let _crowd: Vec<Still> = crowd.collect();
    let first_words = (0..TRIES).map(|_| {
        boss.sync();
        let began = Instant::now();
        boss.command("below", &["x"]);
        boss.notification("accepted");
        began.elapsed()
    });
    let first_words: Vec<Duration> = first_words.collect();
    println!("first words after {first_words:?}");
    let first = first_words.iter().min().expect("it was tried");
    assert!(*first <= loosely(FIRST_WORD_WITHIN), "{first_words:?}");
}
