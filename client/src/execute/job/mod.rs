//! A command to execute here: its sender, its words, and whether it is still wanted.

pub(crate) mod input;
pub(crate) mod input_buffer;

use crate::line_piece::piece_len;
use common::net::outbox::Outbox;
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait, wait_timeout};
use common::wire::OutputStream;
use common::wire::fast_encode::execution_output;
use common::wire::message::Id;
use input_buffer::InputBuffer;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The sender of a command: its number, its name, and its rank when the server took it.
pub type Origin = common::wire::Origin<'static>;

/// How often a thread that waits for credit or input checks, should a wake-up be missed.
const TICK: Duration = Duration::from_secs(1);

/// Why a job is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its sender no longer wants it, or has gone.
    Cancelled,
    /// Its time is over.
    TimedOut,
    /// The connection is gone, and the result could not be told.
    Disconnected,
    /// The same, for as long as the server held this client's place: it takes the command for
    /// lost from now on, so it ends at once.
    GivenUp,
}

/// What is called when something has changed that an executor may wait for.
type Waker = Arc<dyn Fn() + Send + Sync>;

/// The connection for a job's output and its result.
pub(crate) struct ReplyTo {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) max_line: usize,
}

/// One command to execute. Clones are the same job.
#[derive(Clone, derive_more::Debug)]
#[debug("Job({}, {:?})", _0.id, _0.words)]
pub struct Job(Arc<Inner>);

struct Inner {
    id: Id,
    origin: Origin,
    words: Vec<String>,
    received: Instant,
    timeout: Option<Duration>,
    window: Option<u64>,
    /// Bytes of output that were sent so far.
    sent: AtomicU64,
    /// How much of the window is not in use.
    credit: AtomicU64,
    reply_to: ReplyTo,
    has_input: bool,
    stop: Mutex<JobState>,
    /// It is stopped, or there is more credit or input.
    changed: Condvar,
}

#[derive(Default)]
struct JobState {
    reason: Option<StopReason>,
    /// If it has input.
    input: Option<Box<InputBuffer>>,
    waker: Option<Waker>,
}

impl Job {
    pub(crate) fn new(
        id: Id,
        origin: Origin,
        words: Vec<String>,
        timeout: Option<Duration>,
        window: Option<u64>,
        has_input: bool,
        reply_to: ReplyTo,
    ) -> Job {
        let state = JobState {
            input: has_input.then(Box::default),
            ..JobState::default()
        };
        Job(Arc::new(Inner {
            id,
            origin,
            words,
            received: Instant::now(),
            timeout,
            window,
            sent: AtomicU64::new(0),
            credit: AtomicU64::new(window.unwrap_or(u64::MAX)),
            reply_to,
            has_input,
            stop: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// The id that the server gave it, the same for all targets of one command.
    pub fn id(&self) -> &Id {
        &self.0.id
    }

    /// The client that sent it.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The program or command word, then its arguments; never empty.
    pub fn words(&self) -> &[String] {
        &self.0.words
    }

    /// When it arrived.
    pub fn received(&self) -> Instant {
        self.0.received
    }

    /// Its place in the order of arrival, which no other job has as long as this one lives.
    pub(crate) fn place(&self) -> (Instant, usize) {
        (self.0.received, Arc::as_ptr(&self.0).addr())
    }

    /// How long it may take from when it arrived.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }

    /// When its time is over.
    pub fn deadline(&self) -> Option<Instant> {
        let timeout = self.0.timeout?;
        self.0.received.checked_add(timeout)
    }

    /// How many bytes of its output may be on their way to the sender at a time; without
    /// a window, output is cut at a bound instead.
    pub fn window(&self) -> Option<u64> {
        self.0.window
    }

    /// Writes some of the command's output to its sender, while it runs. With a window, waits for
    /// room in it; a job that is no longer wanted drops the rest. Returns whether all of it went.
    pub fn write(&self, stream: OutputStream, bytes: &[u8]) -> bool {
        let reply_to = self.reply_to();
        let mut left = bytes;
        while !left.is_empty() {
            reply_to.outbox.wait_for_room();
            let Some(credit) = self.wait_for_credit() else {
                return false;
            };
            let most = usize::try_from(credit).unwrap_or(usize::MAX);
            let (piece, rest) = left.split_at(piece_len(left, most, reply_to.max_line));
            self.spend(piece.len() as u64);
            self.send(stream, piece);
            left = rest;
        }
        true
    }

    /// Sends a piece as lines that the server takes. Its credit was taken already.
    pub(crate) fn send(&self, stream: OutputStream, bytes: &[u8]) {
        let reply_to = self.reply_to();
        if bytes.is_empty() {
            return;
        }
        self.0.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // The ids of a server are integers.
        let id = self.id().number().unwrap_or_default();
        let mut lines = Vec::new();
        let mut left = bytes;
        while !left.is_empty() {
            let (piece, rest) = left.split_at(piece_len(left, left.len(), reply_to.max_line));
            execution_output(&mut lines, id, stream, piece);
            left = rest;
        }
        reply_to.outbox.push(lines);
        reply_to.outbox.flush();
    }

    /// How many bytes of output were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Whether so much waits for the server that nothing more should be sent to it.
    pub(crate) fn is_held_up(&self) -> bool {
        self.reply_to().outbox.is_over_half()
    }

    /// How many bytes of output may be sent now; all that there are without a window.
    pub(crate) fn credit(&self) -> u64 {
        self.0.credit.load(Ordering::Relaxed)
    }

    /// Takes credit for output that will be sent.
    pub(crate) fn spend(&self, bytes: u64) {
        if self.0.window.is_some() {
            self.0.credit.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// The sender got through with some output.
    pub(crate) fn add_credit(&self, bytes: u64) {
        let Some(window) = self.0.window else { return };
        let add = |credit: u64| Some(credit.saturating_add(bytes).min(window));
        let before = self
            .0
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        // A thread waits for credit only if there is none.
        if before == Ok(0) {
            self.wake();
        }
    }

    /// Waits until something may be sent; `None` once the job is no longer wanted.
    fn wait_for_credit(&self) -> Option<u64> {
        self.wait_for(|_| Some(self.credit()).filter(|credit| *credit > 0))
    }

    /// Waits until there is something to take; `None` once the job is no longer wanted.
    fn wait_for<T>(&self, mut take: impl FnMut(&mut JobState) -> Option<T>) -> Option<T> {
        let mut state = lock(&self.0.stop);
        loop {
            if let Some(taken) = take(&mut state) {
                return Some(taken);
            }
            if state.reason.is_some() || self.is_late() {
                return None;
            }
            let left = self.deadline();
            let left = left.map(|at| at.saturating_duration_since(Instant::now()));
            let at_most = left.map_or(TICK, |left| left.min(TICK));
            state = wait_timeout(&self.0.changed, state, at_most);
        }
    }

    /// The connection for its output and its result.
    pub(crate) fn reply_to(&self) -> &ReplyTo {
        &self.0.reply_to
    }

    /// Sets the function to call whenever it is stopped or has more credit or input.
    pub(crate) fn set_waker(&self, waker: impl Fn() + Send + Sync + 'static) {
        lock(&self.0.stop).waker = Some(Arc::new(waker));
    }

    pub(crate) fn forget_waker(&self) {
        let waker = lock(&self.0.stop).waker.take();
        drop(waker);
    }

    fn wake(&self) {
        let waker = lock(&self.0.stop).waker.clone();
        self.0.changed.notify_all();
        if let Some(waker) = waker {
            waker();
        }
    }

    fn is_late(&self) -> bool {
        self.deadline().is_some_and(|at| at <= Instant::now())
    }

    /// Why it is no longer wanted, once that is so.
    pub fn stop_reason(&self) -> Option<StopReason> {
        let known = lock(&self.0.stop).reason;
        if known.is_none() && self.is_late() {
            // The first reason stays, whichever it is.
            return Some(self.stop_because(StopReason::TimedOut));
        }
        known
    }

    /// Waits until it is no longer wanted, its time being over included, or until
    /// `deadline` passes.
    pub fn wait_for_stop(&self, deadline: Option<Instant>) -> Option<StopReason> {
        let until = [self.deadline(), deadline].into_iter().flatten().min();
        let mut state = lock(&self.0.stop);
        while state.reason.is_none() {
            let Some(until) = until else {
                state = wait(&self.0.changed, state);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return self.stop_reason();
            }
            state = wait_timeout(&self.0.changed, state, left);
        }
        state.reason
    }

    /// Makes it no longer wanted; returns why it is, which may be an earlier reason.
    pub(crate) fn stop_because(&self, reason: StopReason) -> StopReason {
        let mut state = lock(&self.0.stop);
        let reason = match reason {
            // It ends at once, whatever else has ended it.
            StopReason::GivenUp => *state.reason.insert(reason),
            _ => *state.reason.get_or_insert(reason),
        };
        drop(state);
        self.wake();
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::memory::Memory;
    use common::net::stream::Stream;

    impl Job {
        /// A job with a connection that no server reads.
        pub(crate) fn of_test(id: i64, words: &[&str], timeout: Option<Duration>) -> Job {
            Job::made(id, words, timeout, false)
        }

        /// The same, with input.
        pub(crate) fn with_input_of_test(id: i64) -> Job {
            Job::made(id, &["read"], None, true)
        }

        fn made(id: i64, words: &[&str], timeout: Option<Duration>, has_input: bool) -> Job {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            let address = listener.local_addr().expect("an address").to_string();
            let stream = Stream::connect(&address, Duration::from_secs(5)).expect("a listener");
            let reply_to = ReplyTo {
                outbox: Arc::new(Outbox::new(Arc::new(stream), None, Memory::unlimited())),
                max_line: 1 << 20,
            };
            let origin = Origin {
                member: 1,
                name: common::wire::name::Name::known("boss"),
                rank: 0,
                tier: None,
                identity: None,
                role: None,
            };
            let words = words.iter().map(ToString::to_string).collect();
            let id = Id::Integer(id);
            Job::new(id, origin, words, timeout, None, has_input, reply_to)
        }
    }

    fn job(timeout: Option<Duration>) -> Job {
        Job::of_test(7, &["print"], timeout)
    }

    #[test]
    fn a_wait_ends_with_the_cancel() {
        let job = job(None);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| job.wait_for_stop(None));
            job.stop_because(StopReason::Cancelled);
            assert_eq!(
                waiting.join().expect("no panic"),
                Some(StopReason::Cancelled)
            );
        });
    }

    #[test]
    fn the_first_reason_stays() {
        let late = job(Some(Duration::ZERO));
        assert_eq!(late.wait_for_stop(None), Some(StopReason::TimedOut));
        assert_eq!(
            late.stop_because(StopReason::Cancelled),
            StopReason::TimedOut
        );
        let cancelled = job(Some(Duration::from_secs(3600)));
        assert_eq!(cancelled.stop_reason(), None);
        cancelled.stop_because(StopReason::Cancelled);
        assert_eq!(cancelled.stop_reason(), Some(StopReason::Cancelled));
    }

    #[test]
    fn a_wait_has_its_own_deadline_too() {
        let job = job(Some(Duration::from_secs(3600)));
        assert_eq!(job.wait_for_stop(Some(Instant::now())), None);
    }

    #[test]
    fn a_timeout_beyond_all_clocks_is_none() {
        assert_eq!(job(Some(Duration::MAX)).deadline(), None);
        assert_eq!(job(Some(Duration::MAX)).stop_reason(), None);
    }
}
