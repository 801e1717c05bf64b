//! Tells those who outrank a sender that it tried to command them, and not too often.

use crate::command::Target;
use crate::flushes::Flushes;
use crate::member::Member;
use common::limits::MAX_QUOTED;
use common::message::notification_line;
use common::outbox::Line;
use common::protocol::{Refused, Words, method};
use common::sync::Arc;
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::HashMap;

/// Notifications from one sender to one receiver in [`PERIOD_MS`].
const MOST: usize = 10;

/// See [`MOST`].
const PERIOD_MS: u64 = 1000;

/// Receivers to keep times of before those of long ago are thrown out, once a period.
const KEPT: usize = 1024;

/// One sender's `refused` notifications of late. More than are allowed are dropped: nobody
/// waits for them.
#[derive(Default)]
pub(crate) struct Refusals {
    /// By receiver, when each of the last ones was told, in a ring.
    told: HashMap<u64, ([u64; MOST], usize), RandomState>,
    /// When those of long ago were thrown out.
    pruned: u64,
}

/// The line for everybody who outranks a sender.
fn refused(sender: &Member, sender_rank: u32, words: Words<'_>) -> Arc<[u8]> {
    let (command, truncated) = clipped(words.to_vec());
    let refused = Refused {
        from: sender.origin(sender_rank),
        command: Cow::Owned(command),
        truncated,
    };
    notification_line(method::REFUSED, refused).into()
}

impl Refusals {
    /// Tells those who outrank a sender what it wanted. Whoever has much waiting already is
    /// spared: nobody below can fill his outbox with this.
    pub(crate) fn tell(
        &mut self,
        targets: &[Target],
        sender: &Member,
        sender_rank: u32,
        words: Words<'_>,
        now: u64,
        flushes: &mut Flushes<'_>,
    ) {
        let mut line = None;
        for target in targets {
            let outbox = &target.member.connection.outbox;
            if outbox.is_over_half() || !self.may_tell(target.member.id, now) {
                continue;
            }
            let line = line.get_or_insert_with(|| refused(sender, sender_rank, words));
            outbox.push(Line::Shared(Arc::clone(line)));
            flushes.add(&target.member);
        }
    }

    fn may_tell(&mut self, receiver: u64, now: u64) -> bool {
        let is_recent = |at: u64| at > 0 && now < at + PERIOD_MS;
        if self.told.len() >= KEPT && now >= self.pruned + PERIOD_MS {
            self.pruned = now;
            self.told
                .retain(|_, (times, _)| times.iter().any(|at| is_recent(*at)));
        }
        let (times, oldest) = self.told.entry(receiver).or_default();
        if is_recent(times[*oldest]) {
            return false;
        }
        times[*oldest] = now;
        *oldest = (*oldest + 1) % MOST;
        true
    }
}

/// The first words, as many as fit; the one that does not is cut.
fn clipped(words: Vec<String>) -> (Vec<String>, bool) {
    let mut left = MAX_QUOTED;
    let mut kept = Vec::new();
    for mut word in words {
        if word.len() > left || left == 0 {
            word.truncate(word.floor_char_boundary(left));
            kept.push(word);
            return (kept, true);
        }
        // An empty word costs something, too.
        left -= word.len().max(1);
        kept.push(word);
    }
    (kept, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_and_receiver() {
        let mut refusals = Refusals::default();
        let told = |refusals: &mut Refusals, receiver, now| {
            (0..100)
                .filter(|_| refusals.may_tell(receiver, now))
                .count()
        };
        assert_eq!(told(&mut refusals, 1, 5), MOST);
        assert_eq!(told(&mut refusals, 2, 500), MOST);
        assert_eq!(told(&mut refusals, 1, 1004), 0);
        assert_eq!(told(&mut refusals, 1, 1005), MOST);
        for receiver in 0..10 * KEPT as u64 {
            assert!(refusals.may_tell(receiver, 1_000_000 + 2 * receiver));
        }
        assert!(refusals.told.len() <= 2 * KEPT);
    }

    #[test]
    fn long_commands_are_cut() {
        let words = vec!["a".to_owned(), "ä".repeat(MAX_QUOTED), "b".to_owned()];
        let (kept, truncated) = clipped(words);
        assert!(truncated && kept.len() == 2);
        assert!(kept[1].len() < MAX_QUOTED && kept[1].len() > MAX_QUOTED - 4);
        let (kept, truncated) = clipped(vec![String::new(); 10 * MAX_QUOTED]);
        assert!(truncated && kept.len() == MAX_QUOTED + 1);
        assert_eq!(clipped(vec!["x".into()]), (vec!["x".into()], false));
    }
}
