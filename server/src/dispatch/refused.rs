//! Tells the clients that outrank a sender that it tried to command them among others, and not too often
//! (`member/refusal_limiter.rs`). Of a command to one superior alone only the sender hears.

use crate::dispatch::command::Target;
use crate::dispatch::flush_set::FlushSet;
use crate::member::Member;
use common::limits::MAX_QUOTED;
use common::memory::Charge;
use common::net::outbox::Line;
use common::wire::message::notification_line;
use common::wire::{Refused, Words, method};
use std::borrow::Cow;

/// Bytes that may wait for a receiver before it is spared: what it waits for itself comes first.
/// A client that takes less than this in ten seconds is a slow consumer.
const MOST_WAITING: usize = 64 << 10;

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
