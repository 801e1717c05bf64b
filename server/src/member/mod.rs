//! One ranked client, as the threads of the server share it: its connection, what it executes
//! and what it sent. A caller asks the member, which hands its queue its own connection and
//! schedules the timers that the queue asks for.

pub(crate) mod executor_queue;
pub(crate) mod open_sends;

use crate::connection::Connection;
use crate::dispatch::command::Assignment;
use crate::dispatch::refusal_limiter::RefusalLimiter;
use crate::member::executor_queue::{
    Answered, Cancelled, ExecutorQueue, QueueBounds, Registered, TakenOut,
};
use crate::member::open_sends::OpenSends;
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::sys::sync::atomic::AtomicU32;
use common::wire::Origin;
use common::wire::name::Name;
use std::fmt;

/// Schedules checks of members' queues: the server's timers do.
pub(crate) trait Watch {
    fn watch(&self, member: &Arc<Member>, at: u64);
}

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
        })
    }

    /// Gives the client a command, or has it wait.
    pub(crate) fn register(
        self: &Arc<Self>,
        assignment: Assignment,
        line: &mut Line,
        bounds: QueueBounds<'_>,
        timers: &dyn Watch,
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
    pub(crate) fn answered(self: &Arc<Self>, id: u64, timers: &dyn Watch, now: u64) -> Answered {
        let (answered, watch) = self.queue.answered(id, &self.connection, now);
        self.watch(watch, timers);
        answered
    }

    /// Ends a command whose sender no longer wants it.
    pub(crate) fn cancel(self: &Arc<Self>, id: u64, timers: &dyn Watch, now: u64) -> Cancelled {
        let (cancelled, watch) = self.queue.cancel(id, &self.connection, now);
        self.watch(watch, timers);
        cancelled
    }

    /// Its client may send more of a command's output: the sender has consumed some.
    pub(crate) fn consumed(&self, id: u64, bytes: u64) {
        self.queue.consumed(id, bytes, &self.connection);
    }

    /// Checks the queue at a time that it asked for: takes out what should have been answered by
    /// `judged`, and starts what waits if there is room for it.
    pub(crate) fn take_overdue(
        self: &Arc<Self>,
        at: u64,
        judged: u64,
        now: u64,
        timers: &dyn Watch,
    ) -> Vec<TakenOut> {
        let (taken_out, watch) = self.queue.look(at, judged, now, &self.connection);
        self.watch(watch, timers);
        taken_out
    }

    /// Schedules the next check for overdue answers.
    fn watch(self: &Arc<Self>, at: Option<u64>, timers: &dyn Watch) {
        if let Some(at) = at {
            timers.watch(self, at);
        }
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
