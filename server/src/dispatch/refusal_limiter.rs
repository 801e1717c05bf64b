//! Tells the clients that outrank a sender that it tried to command them, and not too often. What
//! that takes of memory is a few bytes for each client, however many senders there are.

use crate::dispatch::command::Target;
use crate::dispatch::flush_set::FlushSet;
use crate::member::Member;
use common::limits::MAX_QUOTED;
use common::memory::Charge;
use common::net::outbox::Line;
use common::sys::sync::{Mutex, lock};
use common::wire::message::notification_line;
use common::wire::{Refused, Words, method};
use std::borrow::Cow;

/// `refused` notifications to one receiver in [`PERIOD_MS`], whichever clients cause them: more than a
/// person reads, and at the longest 400 kbit/s.
const MOST: u32 = 10;

/// See [`MOST`].
const PERIOD_MS: u64 = 1000;

/// Bytes that may wait for a receiver before it is spared: what it waits for itself comes first.
/// A client that takes less than this in ten seconds is a slow consumer.
const MOST_WAITING: usize = 64 << 10;

/// The `refused` notifications to one receiver of late. More than are allowed are dropped: no
/// client waits for them.
#[derive(Default)]
pub(crate) struct RefusalLimiter(Mutex<Period>);

#[derive(Default)]
struct Period {
    began: u64,
    told: u32,
}

/// The line for the clients that outrank a sender.
fn refused(sender: &Member, sender_rank: u32, words: Words<'_>) -> Line {
    let (command, truncated) = clipped(words.to_vec(), MAX_QUOTED);
    let refused = Refused {
        from: sender.origin(sender_rank),
        command: Cow::Owned(command),
        truncated,
    };
    Line::shared(
        notification_line(method::REFUSED, refused),
        Charge::default(),
    )
}

/// Tells the clients that outrank a sender what it wanted.
#[inline(never)]
pub(crate) fn tell(
    targets: &[Target],
    sender: &Member,
    sender_rank: u32,
    words: Words<'_>,
    now: u64,
    flushes: &mut FlushSet<'_>,
) {
    let mut line = None;
    for target in targets {
        let outbox = &target.member.connection.outbox;
        if outbox.waiting_bytes() > MOST_WAITING || !target.member.refusal_limiter.may_tell(now) {
            continue;
        }
        let line = line.get_or_insert_with(|| refused(sender, sender_rank, words));
        outbox.push_from(line);
        flushes.add(&target.member.connection);
    }
}

impl RefusalLimiter {
    /// Whether one more may be told now, which counts it.
    fn may_tell(&self, now: u64) -> bool {
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

/// The first words, as many as fit into so many bytes; the one that does not is cut.
pub(crate) fn clipped(words: Vec<String>, most: usize) -> (Vec<String>, bool) {
    let mut left = most;
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
    fn a_receiver_is_told_ten_in_a_second() {
        let refusals = RefusalLimiter::default();
        let told = |now| (0..100).filter(|_| refusals.may_tell(now)).count() as u32;
        assert!(refusals.may_tell(5));
        assert_eq!(told(500), MOST - 1);
        assert_eq!(told(1004), 0);
        assert_eq!(told(1005), MOST);
        assert_eq!(told(1_000_000), MOST);
    }

    #[test]
    fn long_commands_are_cut() {
        let words = vec!["a".to_owned(), "ä".repeat(MAX_QUOTED), "b".to_owned()];
        let (kept, truncated) = clipped(words, MAX_QUOTED);
        assert!(truncated && kept.len() == 2);
        assert!(kept[1].len() < MAX_QUOTED && kept[1].len() > MAX_QUOTED - 4);
        let (kept, truncated) = clipped(vec![String::new(); 10 * MAX_QUOTED], MAX_QUOTED);
        assert!(truncated && kept.len() == MAX_QUOTED + 1);
        assert_eq!(
            clipped(vec!["x".into()], MAX_QUOTED),
            (vec!["x".into()], false)
        );
    }
}
