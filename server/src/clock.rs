//! The clock on the wall, for dates and for people. Nothing waits by it: it jumps, and what is due at
//! a time goes by the monotonic clock of the timers.

use std::time::SystemTime;

/// The time by the clock on the wall, which a date in an auth file or a certificate is held against.
/// What a server has to do at that date it does by the monotonic clock.
#[allow(clippy::disallowed_methods)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The time on the wall now, in milliseconds since 1970: for people, and for nothing that waits.
pub(crate) fn wall_ms() -> u64 {
    let since = wall_clock().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, crate::millis)
}
