//! One ranked client, as everybody at the server knows it.

pub(crate) mod executor_queue;
pub(crate) mod open_sends;

use crate::connection::Connection;
use crate::dispatch::refusal_limiter::RefusalLimiter;
use crate::member::executor_queue::ExecutorQueue;
use crate::member::open_sends::OpenSends;
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
    /// Who it is, as the start of three members of an object: its rank comes after it. A name
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
    /// Somebody is going to flush it soon.
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

    /// Whether it is the caller's to see to it that [`flush_as_asked`](Self::flush_as_asked) is
    /// called soon: something is for it, and nobody else is going to.
    pub(crate) fn ask_for_flush(&self) -> bool {
        self.connection.outbox.is_behind() && !self.flush_asked.swap(true, Ordering::AcqRel)
    }

    /// Writes what is for it, as the clock was asked to.
    pub(crate) fn flush_as_asked(&self) {
        // Before: who adds something from now on asks again. A swap, so that what those added
        // is seen who found it asked for already.
        self.flush_asked.swap(false, Ordering::AcqRel);
        self.connection.outbox.flush();
    }

    /// Who it is, for those who are commanded by it.
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
