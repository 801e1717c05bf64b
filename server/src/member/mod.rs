//! One ranked client, as the threads of the server share it: its connection, what it executes
//! and what it sent. A caller asks the member, which hands its queue its own connection and
//! schedules the looks that the queue wants.

pub(crate) mod executor_queue;
pub(crate) mod open_sends;

use crate::connection::Connection;
use crate::dispatch::command::Assignment;
use crate::dispatch::refusal_limiter::RefusalLimiter;
use crate::member::executor_queue::{
    Answered, Cancelled, ExecutorQueue, QueueBounds, Registered, TakenOut,
};
use crate::member::open_sends::OpenSends;
use crate::timers::timer_queue::{Timer, TimerQueue};
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::sys::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use common::wire::Origin;
use common::wire::name::Name;
use std::fmt;

/// One ranked client. Its rank is not in here: the roster knows it, and it changes.
pub(crate) struct Member {
    /// Never used again while the server runs; grows in the order of joining, which is the
    /// order of ranks.
    pub(crate) id: u64,
    pub(crate) name: Box<str>,
    /// Its identity, as the start of three members of an object: its rank comes after it. A name
    /// needs no escapes.
    pub(crate) label: Box<str>,
    /// How many commands it executes at once; 0: it only sends.
    pub(crate) slots: u32,
    /// When it joined.
    pub(crate) joined: u64,
    pub(crate) connection: Arc<Connection>,
    /// What it executes.
    pub(crate) queue: ExecutorQueue,
    /// What it sent.
    pub(crate) sends: OpenSends,
    /// What it was told of those below it that wanted to command it.
    pub(crate) refusal_limiter: RefusalLimiter,
    /// The rank it was told last.
    pub(crate) told_rank: AtomicU32,
    /// A flush is scheduled.
    flush_asked: AtomicBool,
}

impl Member {
    #[inline(never)]
    pub(crate) fn new(
        id: u64,
        name: Box<str>,
        slots: u32,
        joined: u64,
        connection: Arc<Connection>,
    ) -> Arc<Member> {
        Arc::new(Member {
            id,
            label: label(id, &name),
            name,
            slots,
            joined,
            connection,
            queue: ExecutorQueue::new(slots),
            sends: OpenSends::default(),
            refusal_limiter: RefusalLimiter::default(),
            told_rank: AtomicU32::new(0),
            flush_asked: AtomicBool::new(false),
        })
    }

    /// Gives the client a command, or has it wait.
    pub(crate) fn register(
        self: &Arc<Self>,
        assignment: Assignment,
        line: &mut Line,
        bounds: QueueBounds<'_>,
        timers: &TimerQueue,
        now: u64,
    ) -> Registered {
        let connection = &self.connection;
        let (registered, watch) = self
            .queue
            .register(connection, assignment, line, bounds, now);
        self.watch(watch, timers);
        registered
    }

    /// Takes a command out that the client has answered, and gives it the next ones.
    pub(crate) fn answered(self: &Arc<Self>, id: u64, timers: &TimerQueue, now: u64) -> Answered {
        let (answered, watch) = self.queue.answered(id, &self.connection, now);
        self.watch(watch, timers);
        answered
    }

    /// Ends a command whose sender no longer wants it.
    pub(crate) fn cancel(self: &Arc<Self>, id: u64, timers: &TimerQueue) -> Cancelled {
        let (cancelled, watch) = self.queue.cancel(id, &self.connection, timers.now());
        self.watch(watch, timers);
        cancelled
    }

    /// Its client may send more of a command's output: the sender has consumed some.
    pub(crate) fn consumed(&self, id: u64, bytes: u64) {
        self.queue.consumed(id, bytes, &self.connection);
    }

    /// Looks at the time that the timer thread was asked for: takes out what should have been answered
    /// by `judged`, and starts what waits if there is room for it.
    pub(crate) fn take_overdue(
        self: &Arc<Self>,
        at: u64,
        judged: u64,
        now: u64,
        timers: &TimerQueue,
    ) -> Vec<TakenOut> {
        let (taken_out, watch) = self.queue.look(at, judged, now, &self.connection);
        self.watch(watch, timers);
        taken_out
    }

    /// Schedules the next look for overdue answers.
    fn watch(self: &Arc<Self>, at: Option<u64>, timers: &TimerQueue) {
        if let Some(at) = at {
            timers.schedule(at, Timer::Overdue(Arc::downgrade(self), at));
        }
    }

    /// Whether it is the caller's to see to it that [`flush_as_asked`](Self::flush_as_asked) is
    /// called soon: something waits for it, and no other thread is going to.
    pub(crate) fn ask_for_flush(&self) -> bool {
        self.connection.outbox.is_behind() && !self.flush_asked.swap(true, Ordering::AcqRel)
    }

    /// Writes what is for it, as the timer thread was asked to.
    pub(crate) fn flush_as_asked(&self) {
        // Before the flush: a thread that adds something from now on asks again. A swap, so that
        // this flush sees what the threads added that found it asked for already.
        self.flush_asked.swap(false, Ordering::AcqRel);
        self.connection.outbox.flush();
    }

    /// Its identity, for the clients that it commands.
    pub(crate) fn origin(&self, rank: u32) -> Origin<'_> {
        Origin {
            member: self.id,
            name: Name::known(&*self.name),
            rank,
        }
    }
}

/// Made by hand: a formatter needs more of the stack than everything else that a session does
/// until its client is ranked.
fn label(id: u64, name: &str) -> Box<str> {
    let mut digits = itoa::Buffer::new();
    let id = digits.format(id);
    ["\"member\":", id, ",\"name\":\"", name, "\",\"rank\":"]
        .concat()
        .into()
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
