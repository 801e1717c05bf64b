//! Half of a crowd leaves at once: the others learn their new ranks soon, and are not told
//! once for each departure.

use std::time::{Duration, Instant};

use crate::support::{Raw, Server, Still};
use serde_json::{Value, json};

/// Rank lines that a survivor may be told. Departures are noticed one after another, and
/// news are told meanwhile, but not for more than a small part of the time.
const A_FEW: usize = 10;

/// What an exodus was like.
#[derive(Debug)]
struct Exodus {
    /// From the first departure until all that stay have been told their last ranks.
    settled: Duration,
    /// The most rank lines that one of them was told.
    most_told: usize,
}

/// Every second one of a crowd leaves at once.
fn exodus(crowd: usize) -> Exodus {
    crate::support::allow_many_sockets();
    let server = Server::start(crowd + 1, &[]);
    let mut observer = Raw::join(&server, "observer", 0);
    let join = |n| Still::join(&server, &format!("n{n}"), 1);
    let mut clients: Vec<Option<Still>> = (0..crowd).map(|n| Some(join(n))).collect();

    let started = Instant::now();
    let leavers = clients.iter_mut().step_by(2).filter_map(Option::take);
    leavers.for_each(Still::close);
    let mut survivors: Vec<Still> = clients.into_iter().flatten().collect();
    let last = survivors.len();
    let is_over =
        |observer: &mut Raw| observer.result("members", &json!({"limit": 1}))["total"] == last + 1;
    while !is_over(&mut observer) {
        assert!(
            started.elapsed() < crate::support::PATIENCE,
            "they have left"
        );
    }
    // A departure now would be news for the others.
    let told = survivors.iter_mut().zip(1..);
    let told = told.map(|(survivor, rank)| lines_until(survivor, rank));
    let most_told = told.max().unwrap_or(0);
    Exodus {
        settled: started.elapsed(),
        most_told,
    }
}

/// How many lines a survivor is told until it knows this rank.
fn lines_until(survivor: &mut Still, rank: usize) -> usize {
    let mut lines = 0;
    loop {
        let line: Value = serde_json::from_str(&survivor.read_line()).expect("a line of JSON");
        assert_eq!(line["method"], "rank", "nothing else is told: {line}");
        lines += 1;
        if line["params"]["rank"] == rank {
            return lines;
        }
    }
}

#[test]
fn half_of_a_thousand_leave_at_once() {
    let exodus = exodus(1_000);
    println!("{exodus:?}");
    assert!(exodus.most_told <= A_FEW, "{exodus:?}");
    assert!(exodus.settled < crate::support::PATIENCE, "{exodus:?}");
}

/// The full size: it needs 10,001 descriptors here and as many at the server.
#[test]
#[ignore = "it takes more descriptors than many systems allow"]
fn half_of_ten_thousand_leave_at_once() {
    let exodus = exodus(10_000);
    println!("{exodus:?}");
    assert!(exodus.most_told <= A_FEW, "{exodus:?}");
    assert!(exodus.settled <= Duration::from_secs(2), "{exodus:?}");
}
