//! Everything that is due at a time: heartbeats, handshakes, lines that take too long, time-outs that
//! the server takes over, rank news, the drain. A read time-out of each socket would wake every idle
//! client's thread for nothing, and starts anew with every byte.
//!
//! The queue says what is due and does nothing itself. Times are milliseconds since the server
//! started, from the system's monotonic clock, so a wall clock that jumps changes nothing.

use crate::connection::Connection;
use crate::millis;
use crate::ranking::rank_key::RankKey;
use common::sys::sync::{Arc, Condvar, Mutex, Weak, lock, wait_timeout};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What is to be done at a time. One about a member names it by its key, so that it keeps nothing of a
/// member that has left.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Check a connection's deadlines.
    Deadlines(Weak<Connection>),
    /// Write what waits in a connection's outbox: for lines that did not come, or as there was no
    /// thread to catch up with.
    Flush(Weak<Connection>),
    /// Check the commands of the member with this key, at the time at which this was asked for: some
    /// should have been answered by then, or can be started.
    Overdue(RankKey, u64),
    /// Give up the place of a member that is away, if it is to be over at this time.
    HoldOver(RankKey, u64),
    /// Tell the members below one that joined above them, if it is still here.
    Joined(RankKey),
    /// Tell the clients that wait for news of a detached command.
    News(Arc<dyn News>),
    /// Forget jobs that have ended long ago.
    Jobs,
    /// Tell members their new ranks.
    RankNews,
    /// End members whose credentials have ended.
    Expiry,
    /// Free memory.
    MakeRoom,
    /// Take the next step of the drain.
    Drain,
}

/// What clients wait for news of: a detached command.
pub(crate) trait News: fmt::Debug + Send + Sync {
    /// Tells the clients that wait.
    fn tell_news(self: Arc<Self>, timers: &TimerQueue);
}

#[derive(Default)]
struct Schedule {
    /// By time; timers of the same time keep their order.
    timers: BTreeMap<(u64, u64), Timer>,
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

/// When to try again to write to a connection that there was no thread for to catch up with.
const STUCK_RETRY_MS: u64 = 50;

/// A look that came this much later than it was meant to did so because the server itself
/// stood still: no scheduler keeps a thread waiting that long.
const STOOD_STILL_MS: u64 = 1000;

/// A timer that is due.
pub(crate) struct Tick {
    pub(crate) due: Timer,
    /// The time by which it is judged: what passes between this and the judgement is noticed
    /// only by the next look.
    pub(crate) now: u64,
    pub(crate) stood_still: StoodStill,
}

/// When the server last stood still: no client is blamed for what did not come then. Zeros, if
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

    /// How long ago the timer thread looked last.
    pub(crate) fn since_last_look(&self) -> Duration {
        let looked = lock(&self.schedule).looked;
        Duration::from_millis(self.now().saturating_sub(looked))
    }

    /// Schedules a timer. The timer thread only wakes up if this is earlier than all that it waits
    /// for.
    pub(crate) fn schedule(&self, at: u64, timer: Timer) {
        let mut schedule = lock(&self.schedule);
        let first = schedule.timers.first_key_value();
        let is_first = first.is_none_or(|((first, _), _)| at < *first);
        schedule.scheduled += 1;
        let order = schedule.scheduled;
        schedule.timers.insert((at, order), timer);
        drop(schedule);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Schedules another flush if the system had no thread to catch up with a connection.
    pub(crate) fn retry_stuck(&self, connection: &Arc<Connection>) {
        if connection.outbox.is_stuck() {
            self.schedule_flush(connection, STUCK_RETRY_MS);
        }
    }

    /// Schedules a flush of a connection in a while, unless one is scheduled.
    pub(crate) fn schedule_flush(&self, connection: &Arc<Connection>, ms: u64) {
        if connection.ask_for_flush() {
            self.schedule(self.now() + ms, Timer::Flush(Arc::downgrade(connection)));
        }
    }

    /// Waits for the next timer that is due; `None` once the queue is stopped.
    pub(crate) fn next(&self) -> Option<Tick> {
        let mut schedule = lock(&self.schedule);
        loop {
            if schedule.stopped {
                return None;
            }
            let now = self.now();
            schedule.look(now);
            let wait = match schedule.timers.first_entry() {
                None => LONGEST_SLEEP,
                Some(first) if first.key().0 > now => {
                    Duration::from_millis(first.key().0 - now).min(LONGEST_SLEEP)
                }
                Some(first) => {
                    return Some(Tick {
                        due: first.remove(),
                        now,
                        stood_still: schedule.stood_still,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_the_order_of_their_times() {
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
    fn a_server_that_stood_still_notices_it_asleep_or_awake() {
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
    fn an_earlier_timer_and_a_stop_end_the_wait() {
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
