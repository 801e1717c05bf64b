//! How long to wait before the next try to reach a server: not at all before the first, then
//! ever longer, and never as long as somebody else who lost the same server.

use std::time::Duration;

/// The longest that the second try waits: a server that was only started again listens by
/// then.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause: what a server that comes back after a night still finds its clients
/// within, at two tries a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses between tries: exponential back-off with full jitter, from 0.1 s to 30 s; the first
/// try is made at once.
///
/// Each pause is drawn evenly from zero up to a limit, which is all that was waited so far.
/// So the limit doubles at most, and whoever keeps trying is back within the time that
/// the server was away, counted from its return.
///
/// ```
/// let mut pauses = client::Pauses::new();
/// assert!(pauses.next_pause().is_zero());
/// assert!(pauses.next_pause().as_secs_f64() <= 0.1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    /// All pauses so far; `None` before the first try.
    waited: Option<Duration>,
}

impl Pauses {
    /// Before the first try.
    pub fn new() -> Pauses {
        Pauses::default()
    }

    /// How long to wait before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let Some(waited) = self.waited else {
            self.waited = Some(Duration::ZERO);
            return Duration::ZERO;
        };
        let pause = waited.clamp(FIRST, LONGEST).mul_f64(fastrand::f64());
        self.waited = Some(waited + pause);
        pause
    }

    /// The server is there, after all: the next pause is as short as the first one that is not
    /// zero, and those after it grow again.
    pub fn begin_again(&mut self) {
        self.waited = Some(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_longer_than_the_server_was_away() {
        for _ in 0..1000 {
            let (mut pauses, mut away) = (Pauses::new(), Duration::ZERO);
            for n in 0..40 {
                let pause = pauses.next_pause();
                let limit = FIRST * 2_u32.saturating_pow(n).min(300);
                assert!(pause <= limit, "pause {n}: {pause:?}");
                assert!(pause <= away.clamp(FIRST, LONGEST), "{away:?}: {pause:?}");
                away += pause;
            }
            assert!(away > LONGEST, "it grows: {away:?}");
        }
    }

    #[test]
    fn those_who_lost_the_same_server_do_not_come_at_the_same_time() {
        let mut all: Vec<Duration> = (0..100).map(|_| tenth_pause()).collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 90, "{all:?}");
    }

    fn tenth_pause() -> Duration {
        let mut pauses = Pauses::new();
        (0..10).fold(Duration::ZERO, |_, _| pauses.next_pause())
    }
}
