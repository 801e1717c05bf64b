//! Log lines that any peer can cause, as often as it likes: one a second is written, and the next
//! one says how many were left out.

use common::sys::sync::{Mutex, lock};
use log::Level;
use std::fmt;

/// How long the log is quiet after a line: often enough for an operator, and a disk does not fill.
const PAUSE_MS: u64 = 1000;

/// One kind of line.
pub(crate) struct ThrottledLog {
    level: Level,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    quiet_until: u64,
    left_out: u64,
}

impl ThrottledLog {
    pub(crate) fn new(level: Level) -> ThrottledLog {
        ThrottledLog {
            level,
            state: Mutex::default(),
        }
    }

    /// Logs a line, unless one was logged just before.
    pub(crate) fn log(&self, now: u64, what: fmt::Arguments<'_>) {
        match self.left_out_before(now) {
            None => {}
            Some(0) => log::log!(self.level, "{what}"),
            Some(n) => log::log!(self.level, "{what}; before that {n} more like it"),
        }
    }

    /// How many lines were left out before this one; `None` if it is left out, too.
    fn left_out_before(&self, now: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        if now < state.quiet_until {
            state.left_out += 1;
            return None;
        }
        state.quiet_until = now + PAUSE_MS;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_within_a_second_are_counted_and_the_next_one_says_how_many() {
        let log = ThrottledLog::new(Level::Warn);
        let times = [10, 11, 1009, 1010, 1011, 5000];
        let said = times.map(|now| log.left_out_before(now));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
