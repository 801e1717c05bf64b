//! One queue for everything that is due at a time: heartbeats, handshakes, lines that take
//! too long, time-outs taken over, rank news, the drain. A socket's own read time-out would
//! wake every idle client's thread for nothing, and starts anew with every byte.
//!
//! The queue only says what is due; [`run`](super::run) does it. Times are milliseconds since the
//! server started, from the system's monotonic clock, so a wall clock that jumps changes
//! nothing.

use crate::connection::Connection;
use crate::member::Member;
use common::net::outbox::Outbox;
use common::sys::sync::{Arc, Condvar, Mutex, Weak, lock, wait_timeout};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Something to look at.
#[derive(Debug)]
pub(crate) enum Timer {
    /// A connection's deadlines.
    Deadlines(Weak<Connection>),
    /// A target's commands, at the time at which this was asked for: some should have been
    /// answered by then, or can be started.
    Overdue(Weak<Member>, u64),
    /// A client that something waits for, for company that did not come.
    Flush(Weak<Member>),
    /// An outbox that there was no thread for to catch up with.
    Retry(Weak<Outbox>),
    /// Ranks that changed.
    RankNews,
    /// More is kept than may be.
    MakeRoom,
    /// The next step of the drain.
    Drain,
}

impl Timer {
    /// Whether those have gone whom this is about.
    fn is_moot(&self) -> bool {
        match self {
            Timer::Deadlines(connection) => connection.strong_count() == 0,
            Timer::Overdue(member, _) | Timer::Flush(member) => member.strong_count() == 0,
            Timer::Retry(outbox) => outbox.strong_count() == 0,
            Timer::RankNews | Timer::MakeRoom | Timer::Drain => false,
        }
    }
}

struct Entry {
    at: u64,
    /// Entries of the same time keep their order.
    order: u64,
    due: Timer,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Default)]
struct Schedule {
    entries: BinaryHeap<Reverse<Entry>>,
    /// With this many entries, those about somebody who has gone are dropped.
    tidy_at: usize,
    scheduled: u64,
    stopped: bool,
    /// When the timer thread looked last, and when it meant to look again at the latest.
    looked: u64,
    wakes: u64,
    stood_still: StoodStill,
}

pub(crate) struct TimerQueue {
    start: Instant,
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

/// The longest the timer thread sleeps at a time, so that it notices when the server stood still.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// When to try again to write what there was no thread to catch up with.
const STUCK_RETRY_MS: u64 = 50;

/// A look that came this much later than it was meant to did so because the server itself
/// stood still: no scheduler keeps a thread waiting that long.
const STOOD_STILL_MS: u64 = 1000;

/// Fewer entries than this are not worth a look at whether some are about nobody.
const TIDY_FROM: usize = 256;

/// What is due.
pub(crate) struct Tick {
    pub(crate) due: Timer,
    /// The time by which it is judged: what passes between this and the judgement is noticed
    /// only by the next look.
    pub(crate) now: u64,
    pub(crate) stood_still: StoodStill,
}

/// When the server last stood still: nobody is blamed for what did not come then. Zeros, if
/// it never did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoodStill {
    /// When it was last seen to go.
    pub(crate) from: u64,
    /// When it went on.
    pub(crate) until: u64,
}

impl TimerQueue {
    pub(crate) fn new() -> TimerQueue {
        TimerQueue {
            start: Instant::now(),
            schedule: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Milliseconds since the server started; never 0, which stands for "not".
    pub(crate) fn now(&self) -> u64 {
        millis(self.start.elapsed()).saturating_add(1)
    }

    /// Has something looked at, at a time. The timer thread is only woken where this is
    /// earlier than all that it waits for.
    pub(crate) fn schedule(&self, at: u64, due: Timer) {
        let mut schedule = lock(&self.schedule);
        let is_first = schedule.entries.peek().is_none_or(|Reverse(e)| at < e.at);
        schedule.push(at, due);
        drop(schedule);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Has an outbox flushed again before long that could not be written for want of a thread.
    pub(crate) fn retry_stuck(&self, outbox: &Arc<Outbox>) {
        if outbox.wants_retry() {
            let soon = self.now() + STUCK_RETRY_MS;
            self.schedule(soon, Timer::Retry(Arc::downgrade(outbox)));
        }
    }

    /// Waits for the next that is due; `None` once the timer thread was stopped.
    pub(crate) fn next(&self) -> Option<Tick> {
        let mut schedule = lock(&self.schedule);
        loop {
            if schedule.stopped {
                return None;
            }
            let now = self.now();
            schedule.look(now);
            let wait = match schedule.entries.peek() {
                None => LONGEST_SLEEP,
                Some(Reverse(entry)) if entry.at > now => {
                    Duration::from_millis(entry.at - now).min(LONGEST_SLEEP)
                }
                Some(_) => {
                    let Reverse(Entry { due, .. }) = schedule.entries.pop()?;
                    let stood_still = schedule.stood_still;
                    return Some(Tick {
                        due,
                        now,
                        stood_still,
                    });
                }
            };
            schedule.wakes = now.saturating_add(millis(wait));
            schedule = wait_timeout(&self.changed, schedule, wait);
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.schedule).stopped = true;
        self.changed.notify_one();
    }
}

impl Schedule {
    fn push(&mut self, at: u64, due: Timer) {
        if self.entries.len() >= self.tidy_at {
            self.tidy();
        }
        self.scheduled += 1;
        let order = self.scheduled;
        self.entries.push(Reverse(Entry { at, order, due }));
    }

    /// Drops what is about somebody who has gone: an entry keeps his memory until it is due,
    /// which can be a command's whole time-out later. Before this is done again there must be
    /// twice as many as are left, so it costs each entry no more than a look or two.
    fn tidy(&mut self) {
        self.entries.retain(|Reverse(entry)| !entry.due.is_moot());
        self.tidy_at = (2 * self.entries.len()).max(TIDY_FROM);
    }

    /// Notes that the timer thread looks, and whether it did not for too long: asleep, or
    /// busy with what was due.
    fn look(&mut self, now: u64) {
        if now > self.looked.max(self.wakes).saturating_add(STOOD_STILL_MS) {
            self.stood_still = StoodStill {
                from: self.looked,
                until: now,
            };
        }
        self.looked = now;
        self.wakes = 0;
    }
}

/// A duration in whole milliseconds, as far as they can be counted.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_the_order_of_its_time() {
        let timers = TimerQueue::new();
        let now = timers.now();
        timers.schedule(now + 20, Timer::Drain);
        timers.schedule(now, Timer::RankNews);
        timers.schedule(now + 20, Timer::RankNews);
        let order: Vec<Tick> = (0..3).filter_map(|_| timers.next()).collect();
        assert!(matches!(order[0].due, Timer::RankNews));
        assert!(matches!(order[1].due, Timer::Drain));
        assert!(matches!(order[2].due, Timer::RankNews));
        assert!(timers.now() >= now + 20);
    }

    #[test]
    fn what_is_about_somebody_who_has_gone_is_dropped_long_before_it_is_due() {
        let timers = TimerQueue::new();
        let far = timers.now() + 3_600_000;
        let overdue = |member: &Arc<Member>| Timer::Overdue(Arc::downgrade(member), far);
        let here = crate::testing::member(0, "here", 1);
        timers.schedule(far, overdue(&here));
        timers.schedule(far, Timer::Drain);
        for n in 1..=4 * TIDY_FROM as u64 {
            timers.schedule(far, overdue(&crate::testing::member(n, "gone", 1)));
        }
        let schedule = lock(&timers.schedule);
        let entries = schedule.entries.iter();
        let kept = entries.filter(|Reverse(entry)| !entry.due.is_moot());
        assert_eq!(kept.count(), 2, "what is not about those who have gone");
        assert!(schedule.entries.len() <= TIDY_FROM);
    }

    #[test]
    fn standing_still_is_noticed_asleep_or_awake() {
        let mut schedule = Schedule::default();
        schedule.look(100);
        schedule.look(1100);
        let never = StoodStill::default();
        assert_eq!(schedule.stood_still, never, "it was busy for a second");
        let stood_still = |from, until| StoodStill { from, until };
        schedule.look(2101);
        assert_eq!(schedule.stood_still, stood_still(1100, 2101));
        schedule.wakes = 5000;
        schedule.look(6000);
        let the_same = stood_still(1100, 2101);
        assert_eq!(schedule.stood_still, the_same, "it meant to sleep so long");
        schedule.wakes = 7000;
        schedule.look(8001);
        assert_eq!(schedule.stood_still, stood_still(6000, 8001));
    }

    #[test]
    fn an_earlier_entry_and_a_stop_end_the_wait() {
        let timers = TimerQueue::new();
        timers.schedule(timers.now() + 3_600_000, Timer::Drain);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| timers.next());
            timers.schedule(timers.now(), Timer::RankNews);
            let tick = first.join().expect("no panic").expect("not stopped");
            assert!(matches!(tick.due, Timer::RankNews));
            let second = scope.spawn(|| timers.next());
            timers.stop();
            assert!(second.join().expect("no panic").is_none());
        });
    }
}
