//! `pecking bench` at a terminal: how far it is, and its latencies as bars.

use std::num::NonZero;

use crate::bench::{eventually, members, words};
use crate::support::programs::Server;
use crate::support::terminal::Terminal;
use rustix::process::Signal;

#[test]
fn at_a_terminal_a_line_shows_how_far_it_is() {
    let server = Server::start(&[]);
    let mut observer = server.raw("observer", 0);
    let options = words(&["--duration", "1h"]);
    let mut terminal = Terminal::start(server.client(&options));
    terminal.wait_for("/s, 1 of 3600 s");
    eventually("it executes", || members(&mut observer).len() == 3);
    terminal.signal(Signal::INT);
    terminal.wait_for("interrupted");
    terminal.expect_end(130);
    let shown = terminal.shown();
    assert!(
        !shown.contains(" of 3600 s"),
        "it is gone in the end: {shown}"
    );
    assert!(
        shown.contains(" done"),
        "what was measured so far is there: {shown}"
    );
}

#[test]
fn at_a_terminal_latencies_are_bars_as_wide_as_it_is() {
    let server = Server::start(&[]);
    for columns in [80, 40].map(|columns| NonZero::new(columns).expect("some")) {
        let options = words(&["--count", "50"]);
        let mut terminal = Terminal::start_wide(server.client(&options), columns);
        terminal.expect_end(0);
        let rows = terminal.rows();
        let is_bar = |row: &&String| matches!(row.split_whitespace().nth(1), Some("µs" | "ms"));
        let bars: Vec<_> = rows.iter().filter(is_bar).collect();
        let counts = bars.iter().map(|row| {
            let mut words = row.split_whitespace().filter(|word| !word.starts_with('p'));
            words
                .next_back()
                .and_then(|count| count.parse::<u64>().ok())
        });
        assert_eq!(counts.sum::<Option<u64>>(), Some(50), "{rows:?}");
        for mark in ["p50", "p99", "p99.9", "█"] {
            assert!(
                bars.iter().any(|row| row.contains(mark)),
                "{mark}: {rows:?}"
            );
        }
    }
}
