//! Looking at processes from outside.

use std::fs;
use std::time::{Duration, Instant};

/// Waits until a condition holds that another process brings about.
#[track_caller]
pub(crate) fn eventually(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The numbers behind the word `pid` in what scripts print.
pub(crate) fn pids(text: &str) -> Vec<u32> {
    let mut words = text.split_whitespace();
    let mut pids = Vec::new();
    while words.any(|word| word == "pid") {
        pids.extend(words.next().and_then(|word| word.parse::<u32>().ok()));
    }
    pids
}

/// A process's state letter and its parent; none where there is no such process.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let letter = rest.next()?.chars().next()?;
    Some((letter, rest.next()?.parse().ok()?))
}

/// Whether a process has ended; it may wait to be reaped.
pub(crate) fn has_gone(pid: u32) -> bool {
    state(pid).is_none_or(|(letter, _)| letter == 'Z' || letter == 'X')
}

#[track_caller]
pub(crate) fn wait_until_gone(pids: &[u32], within: Duration) {
    assert!(!pids.is_empty(), "there is a process to wait for");
    for pid in pids {
        eventually(&format!("the end of {pid}"), within, || has_gone(*pid));
    }
}

/// The children of a process, each with its state's letter.
pub(crate) fn children(parent: u32) -> Vec<(u32, char)> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| match state(pid)? {
        (letter, of) if of == parent => Some((pid, letter)),
        _ => None,
    })
    .collect()
}
