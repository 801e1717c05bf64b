//! The pauses between tries to reach a server: a moment before the first, then in step with how
//! long the server is away, and random, so that clients do not come back at the same moment. A client
//! whose place is held has other ones ([`resuming`](super::resuming)).

use std::ops::Range;
use std::time::Duration;

/// The pause before the first try. A server that is killed takes connections for as long as its
/// system closes those that it had, and resets them then: 0.55 s for ten thousand on two cores,
/// which the clients share.
const FIRST: Range<Duration> = Duration::from_millis(600)..Duration::from_millis(1000);

/// The least limit of a pause: a server that was only started again listens by then.
const LEAST: Duration = Duration::from_millis(100);

/// Up to this the limit is all that was waited: fewer tries than a part of it would take, and
/// a second is hardly noticed.
const SHORT: Duration = Duration::from_secs(1);

/// Of a longer time the limit is one part in this many: a client is back soon after its server, and
/// makes half as many tries again as with all of that time.
const PART: u32 = 5;

/// The longest pause: two tries a minute, after a night without a server.
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses between tries, with full jitter. The first try is made after 0.6 s to 1 s.
///
/// Each later pause is drawn evenly from zero up to a limit. That is all that was waited so far,
/// from 0.1 s up to 1 s, then a fifth of it, up to 30 s. So a client that keeps trying is back
/// within a second of its server's return, or within a fifth of the time that the server was
/// away, and thousands do not come at the same moment.
///
/// ```
/// let mut backoff = client::Backoff::new();
/// let first = backoff.next_pause();
/// assert!((0.6..1.0).contains(&first.as_secs_f64()));
/// assert!(backoff.next_pause() <= first);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    /// All pauses so far; `None` before the first try.
    waited: Option<Duration>,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            waited: None,
            longest: LONGEST,
        }
    }
}

impl Backoff {
    /// Before the first try.
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// For a server that is there and has to be asked again: the first pause is 0.1 s at the
    /// most, and none is longer than this.
    pub fn polling(longest: Duration) -> Backoff {
        Backoff {
            waited: Some(Duration::ZERO),
            longest,
        }
    }

    /// How long to wait before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let (pause, waited) = match self.waited {
            None => {
                let more = (FIRST.end - FIRST.start).mul_f64(fastrand::f64());
                (FIRST.start + more, Duration::ZERO)
            }
            Some(waited) => {
                let limit = limit(waited).min(self.longest);
                (limit.mul_f64(fastrand::f64()), waited)
            }
        };
        self.waited = Some(waited + pause);
        pause
    }

    /// From now on no pause is longer than this, or than usual.
    pub(crate) fn set_longest(&mut self, longest: Option<Duration>) {
        self.longest = longest.unwrap_or(LONGEST).min(LONGEST);
    }

    /// The server is there: the next pause is 0.1 s at the most, and later ones grow again.
    pub fn reset(&mut self) {
        self.waited = Some(Duration::ZERO);
    }
}

/// The longest pause after so much waiting.
fn limit(waited: Duration) -> Duration {
    waited.min(SHORT).max(waited / PART).clamp(LEAST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients that lose the same server.
    const CLIENTS: usize = 2000;

    /// For each, how long after its return the server has it back, and how many tries before that
    /// found none.
    fn returns(away: Duration) -> Vec<(Duration, usize)> {
        let one = |_| {
            let (mut pauses, mut waited, mut tries) = (Backoff::new(), Duration::ZERO, 0);
            loop {
                waited += pauses.next_pause();
                if waited >= away {
                    return (waited - away, tries);
                }
                tries += 1;
            }
        };
        (0..CLIENTS).map(one).collect()
    }

    #[test]
    fn clients_are_back_within_a_fifth_of_the_time_that_the_server_was_away_or_a_second() {
        // The mean of tries if the limit is all that was waited, however long, and the first try is
        // made at once: 8.6, 13.9 and 19.4.
        for (away, latest, tries) in [(1, 1.0, 8.6), (8, 1.6, 2.0 * 13.9), (60, 12.0, 2.5 * 19.4)] {
            let returns = returns(Duration::from_secs(away));
            let last = returns.iter().map(|(after, _)| *after).max();
            let last = last.unwrap_or_default().as_secs_f64();
            assert!(last <= latest, "{away} s away: the last after {last:.2} s");
            let mean = returns.iter().map(|(_, tries)| *tries).sum::<usize>() as f64;
            let mean = mean / CLIENTS as f64;
            assert!(mean <= tries, "{away} s away: {mean:.1} tries");
        }
    }

    #[test]
    fn no_pause_is_longer_than_its_limit_and_pauses_grow() {
        for _ in 0..1000 {
            let (mut pauses, mut waited) = (Backoff::new(), Duration::ZERO);
            for n in 0..100 {
                let pause = pauses.next_pause();
                let most = if n == 0 { FIRST.end } else { limit(waited) };
                assert!(pause <= most, "pause {n}: {pause:?} after {waited:?}");
                waited += pause;
            }
            assert!(waited > LONGEST, "it grows: {waited:?}");
            pauses.reset();
            assert!(pauses.next_pause() <= LEAST);
        }
        assert_eq!(limit(Duration::from_secs(3600)), LONGEST);
    }

    #[test]
    fn polling_pauses_start_short_and_stay_below_their_limit() {
        let longest = Duration::from_millis(300);
        let mut backoff = Backoff::polling(longest);
        assert!(backoff.next_pause() <= LEAST);
        assert!((0..100).all(|_| backoff.next_pause() <= longest));
    }

    #[test]
    fn first_tries_and_later_ones_are_spread() {
        let mut crowd: Vec<Backoff> = (0..CLIENTS).map(|_| Backoff::new()).collect();
        for n in 0..10 {
            let mut all: Vec<Duration> = crowd.iter_mut().map(Backoff::next_pause).collect();
            all.sort_unstable();
            all.dedup();
            assert!(all.len() > CLIENTS * 9 / 10, "pause {n}: {}", all.len());
        }
    }
}
