//! How many lines of the log one peer may cause: a peer that does much is no reason for a log
//! that cannot be read or kept. What is not shown is counted, and the count is told.
//!
//! A thread says which peer its lines are about from now on ([`about`]): a session of the server
//! names its client, a thread of a client names the sender of the command that it executes. Lines
//! about no peer are all shown, and at `debug` so are all lines.

use foldhash::fast::RandomState;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines about one peer that are shown in any second, besides the one that tells how many are
/// not: a hundred in all, several screens.
const MOST: usize = 99;

/// The time for which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Peers after which the silent ones are forgotten: each takes some hundred bytes.
const MANY: usize = 1024;

thread_local! {
    static SUBJECT: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// As long as it is held, the lines of its thread are about one peer.
#[derive(Debug)]
pub struct About(Option<Arc<str>>);

/// The lines of this thread are about `subject` from now on, until the value is dropped.
#[must_use]
pub fn about(subject: &str) -> About {
    About(SUBJECT.replace(Some(subject.into())))
}

/// All lines of this thread are shown until the value is dropped: each peer has one of these.
#[must_use]
pub fn unlimited() -> About {
    About(SUBJECT.take())
}

impl About {
    /// The peer has another name from now on.
    pub fn change(&self, subject: &str) {
        SUBJECT.set(Some(subject.into()));
    }
}

impl Drop for About {
    fn drop(&mut self) {
        SUBJECT.set(self.0.take());
    }
}

/// The peer that the lines of this thread are about.
pub(crate) fn subject() -> Option<Arc<str>> {
    SUBJECT.with_borrow(Clone::clone)
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Show,
    Hide,
    /// Hide it, and tell how many were hidden at this time.
    HideAndTell(Instant),
}

/// The lines that were logged of late. Its lock is none of [`sync`](crate::sys::sync): a line may
/// be logged while one of those is held, and nothing else is locked under this one.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    of: HashMap<Arc<str>, Count, RandomState>,
    /// How many peers there are when the silent ones are looked for again.
    look_at: usize,
}

#[derive(Debug, Default)]
struct Count {
    /// When lines were shown, at most [`MOST`] of them.
    shown: VecDeque<Instant>,
    hidden: u64,
}

impl LogLimit {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a line about a peer.
    #[inline(never)]
    pub(crate) fn count(&self, subject: &Arc<str>, now: Instant) -> Verdict {
        let mut counts = self.counts();
        if let Some(count) = counts.of.get_mut(subject) {
            return count.add(now);
        }
        counts.make_room(now);
        let count = counts.of.entry(Arc::clone(subject)).or_default();
        count.add(now)
    }

    /// How many lines were hidden; they are counted anew from now on.
    pub(crate) fn take_hidden(&self, subject: &Arc<str>) -> u64 {
        let mut counts = self.counts();
        let count = counts.of.get_mut(subject);
        count.map_or(0, |count| std::mem::take(&mut count.hidden))
    }
}

impl Counts {
    fn make_room(&mut self, now: Instant) {
        if self.of.len() >= self.look_at.max(MANY) {
            self.of.retain(|_, count| {
                count.forget(now);
                !count.shown.is_empty() || count.hidden > 0
            });
            self.look_at = 2 * self.of.len();
        }
    }
}

impl Count {
    fn add(&mut self, now: Instant) -> Verdict {
        self.forget(now);
        if self.shown.len() < MOST {
            self.shown.push_back(now);
            return Verdict::Show;
        }
        self.hidden += 1;
        match self.hidden {
            1 => Verdict::HideAndTell(now + WINDOW),
            _ => Verdict::Hide,
        }
    }

    fn forget(&mut self, now: Instant) {
        let is_over = |at: &mut Instant| now.saturating_duration_since(*at) >= WINDOW;
        while self.shown.pop_front_if(is_over).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_a_hundred_in_any_second_are_hidden_and_counted() {
        let limit = LogLimit::default();
        let (loud, quiet) = (Arc::from("loud"), Arc::from("quiet"));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let shown = |subject, ms, lines| {
            let verdicts = (0..lines).map(|_| limit.count(subject, at(ms)));
            verdicts.filter(|verdict| *verdict == Verdict::Show).count()
        };
        assert_eq!(shown(&loud, 900, 60), 60);
        assert_eq!(shown(&loud, 1800, 60), 39);
        // Any second, not the one that a clock shows.
        assert_eq!(shown(&loud, 1899, 9), 0);
        assert_eq!(shown(&loud, 1900, 90), 60);
        assert_eq!(shown(&quiet, 1900, 9), 9, "others are not counted with it");
        assert_eq!(
            (limit.take_hidden(&loud), limit.take_hidden(&quiet)),
            (60, 0)
        );
        assert_eq!(limit.count(&loud, at(1950)), Verdict::HideAndTell(at(2950)));
        assert_eq!(limit.count(&loud, at(1951)), Verdict::Hide);
        assert_eq!(limit.take_hidden(&loud), 2);
    }

    #[test]
    fn silent_peers_are_forgotten() {
        let limit = LogLimit::default();
        let start = Instant::now();
        for n in 0..100_000u32 {
            let subject = Arc::from(format!("client-{n}"));
            limit.count(&subject, start + Duration::from_millis(n.into()));
        }
        assert!(limit.counts().of.len() <= 2 * MANY + 2000);
    }

    #[test]
    fn a_subject_ends_with_its_scope() {
        assert_eq!(subject(), None);
        let outer = about("10.0.0.1");
        outer.change("web1");
        assert_eq!(subject().as_deref(), Some("web1"));
        {
            let _inner = about("boss");
            assert_eq!(subject().as_deref(), Some("boss"));
            let _any = unlimited();
            assert_eq!(subject(), None);
        }
        assert_eq!(subject().as_deref(), Some("web1"));
        drop(outer);
        assert_eq!(subject(), None);
    }
}
