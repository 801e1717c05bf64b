//! What the deadlines of a connection ask for at a time: time logic alone, which neither looks at a
//! clock nor acts.

use super::Connection;
use crate::millis;
use common::limits::{LINE_DEADLINE, LINGER};
use common::sys::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a connection may take to join, also if bytes trickle in.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How often a connection that is behind is checked for progress.
const PROGRESS_TICK: Duration = Duration::from_millis(250);

/// What a connection's deadlines ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing until this time.
    LookAt(u64),
    /// The client has to be asked for a sign of life.
    Ping,
    /// It is time for the answer that the client may not join.
    Refuse,
    /// The client did not join in time.
    IdleHandshake,
    /// A line took too long.
    LineTooSlow,
    /// The client gave no sign of life.
    Silent,
    /// The client had time enough to read its last lines.
    Cut,
}

impl Connection {
    /// Checks its deadlines. `resumed` is when the server itself last stood still: no client is
    /// blamed for silence before that.
    pub(crate) fn verdict(&self, now: u64, heartbeat: Duration, resumed: u64) -> Verdict {
        let load = |time: &AtomicU64| time.load(Ordering::Relaxed);
        let after = |time: u64, wait: Duration| time.saturating_add(millis(wait));
        let closing = load(&self.closing);
        if closing > 0 {
            return due(after(closing.max(resumed), LINGER), now, Verdict::Cut);
        }
        if let Some(refusal) = self.refusal.get() {
            return due(refusal.0, now, Verdict::Refuse);
        }
        if !self.is_member() {
            // Once it has joined, its heartbeats may be due earlier than this.
            let soon = now.saturating_add(millis(heartbeat));
            let until = after(self.accepted.max(resumed), HANDSHAKE);
            return match due(until, now, Verdict::IdleHandshake) {
                Verdict::LookAt(at) => Verdict::LookAt(at.min(soon)),
                verdict => verdict,
            };
        }
        let mut next = now.saturating_add(millis(LINE_DEADLINE.min(heartbeat)));
        if self.outbox.is_behind() {
            next = next.min(after(now, PROGRESS_TICK));
        }
        let line_since = load(&self.line_since);
        // While much waits for it, it is not read from, so its line cannot end.
        if line_since > 0 && !self.outbox.is_over_half() {
            let until = after(line_since.max(resumed), LINE_DEADLINE);
            match due(until, now, Verdict::LineTooSlow) {
                Verdict::LookAt(at) => next = next.min(at),
                verdict => return verdict,
            }
        }
        let pinged = load(&self.pinged);
        let silence = match pinged > resumed {
            true => due(after(pinged, heartbeat), now, Verdict::Silent),
            false => due(
                after(load(&self.heard).max(resumed), heartbeat),
                now,
                Verdict::Ping,
            ),
        };
        match silence {
            Verdict::LookAt(at) => Verdict::LookAt(next.min(at)),
            verdict => verdict,
        }
    }
}

fn due(at: u64, now: u64, verdict: Verdict) -> Verdict {
    if now >= at {
        verdict
    } else {
        Verdict::LookAt(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::memory::Memory;
    use common::sys::sync::Arc;

    const HEARTBEAT: Duration = Duration::from_secs(5);

    fn connection(now: u64) -> Connection {
        let stream = Arc::clone(&crate::testing::member(1, "test", 0).connection.stream);
        Connection::new(stream, &Memory::unlimited(), now)
    }

    #[test]
    fn a_connection_that_does_not_join_in_time_is_closed() {
        let connection = connection(100);
        assert_eq!(
            connection.verdict(5099, HEARTBEAT, 0),
            Verdict::LookAt(5100)
        );
        let short = Duration::from_secs(1);
        assert_eq!(connection.verdict(200, short, 0), Verdict::LookAt(1200));
        connection.hear(5000);
        assert_eq!(
            connection.verdict(5100, HEARTBEAT, 0),
            Verdict::IdleHandshake
        );
        connection.finish(None, 5100);
        assert_eq!(
            connection.verdict(7099, HEARTBEAT, 0),
            Verdict::LookAt(7100)
        );
        assert_eq!(connection.verdict(7100, HEARTBEAT, 0), Verdict::Cut);
    }

    #[test]
    fn a_silent_member_is_asked_once_and_then_ends() {
        let connection = connection(100);
        connection.set_heard();
        assert!(connection.begin_joining() && !connection.turn_away(200));
        connection.end_joining(true);
        assert_eq!(
            connection.verdict(5099, HEARTBEAT, 0),
            Verdict::LookAt(5100)
        );
        assert_eq!(connection.verdict(5100, HEARTBEAT, 0), Verdict::Ping);
        connection.ask_for_life(7, 5100);
        assert!(!connection.is_ping(0) && !connection.is_ping(6));
        assert!(
            connection.is_ping(7) && !connection.is_ping(7),
            "it counts once"
        );
        assert_eq!(
            connection.verdict(10_099, HEARTBEAT, 0),
            Verdict::LookAt(10_100)
        );
        assert_eq!(connection.verdict(10_100, HEARTBEAT, 0), Verdict::Silent);
        // The server itself stood still: it asks again.
        assert_eq!(
            connection.verdict(20_000, HEARTBEAT, 19_000),
            Verdict::LookAt(24_000)
        );
        assert_eq!(connection.verdict(24_000, HEARTBEAT, 19_000), Verdict::Ping);
        connection.hear(24_000);
        assert_eq!(
            connection.verdict(24_001, HEARTBEAT, 0),
            Verdict::LookAt(29_000)
        );
    }

    #[test]
    fn a_line_that_never_ends_is_too_slow_at_any_heartbeat() {
        let connection = connection(100);
        connection.set_heard();
        assert!(connection.begin_joining() && !connection.turn_away(200));
        connection.end_joining(true);
        connection.set_partial_line(true, false, 500);
        connection.set_partial_line(true, true, 1000);
        connection.set_partial_line(true, false, 50_000);
        connection.hear(60_999);
        assert_eq!(
            connection.verdict(60_999, 3600 * HEARTBEAT, 0),
            Verdict::LookAt(61_000)
        );
        assert_eq!(
            connection.verdict(61_000, HEARTBEAT, 0),
            Verdict::LineTooSlow
        );
        connection.set_partial_line(false, true, 61_000);
        assert!(matches!(
            connection.verdict(61_000, HEARTBEAT, 0),
            Verdict::LookAt(_)
        ));
    }
}
