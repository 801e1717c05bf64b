//! How often one client is told that lower-ranked ones tried to command it: a few bytes for each
//! client, however many senders there are.

use common::sys::sync::{Mutex, lock};

/// `refused` notifications to one receiver in [`PERIOD_MS`], whichever clients cause them: more than a
/// person reads, and at the longest 400 kbit/s.
const MOST: u32 = 10;

/// See [`MOST`].
const PERIOD_MS: u64 = 1000;

/// The `refused` notifications to one receiver of late. More than are allowed are dropped: no
/// client waits for them.
#[derive(Default)]
pub(crate) struct RefusalLimiter(Mutex<Period>);

#[derive(Default)]
struct Period {
    began: u64,
    told: u32,
}

impl RefusalLimiter {
    /// Whether one more may be told now, which counts it.
    pub(crate) fn may_tell(&self, now: u64) -> bool {
        let mut period = lock(&self.0);
        if period.told == 0 || now >= period.began + PERIOD_MS {
            *period = Period {
                began: now,
                told: 0,
            };
        }
        let may_tell = period.told < MOST;
        period.told += u32::from(may_tell);
        may_tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_told_ten_in_a_second() {
        let refusals = RefusalLimiter::default();
        let told = |now| (0..100).filter(|_| refusals.may_tell(now)).count() as u32;
        assert!(refusals.may_tell(5));
        assert_eq!(told(500), MOST - 1);
        assert_eq!(told(1004), 0);
        assert_eq!(told(1005), MOST);
        assert_eq!(told(1_000_000), MOST);
    }
}
