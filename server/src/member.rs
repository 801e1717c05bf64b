//! One ranked client, as everybody at the server knows it.

use crate::command::OpenSends;
use crate::connection::Connection;
use crate::loads::Load;
use crate::workload::Workload;
use common::message::Id;
use common::outbox::Line;
use common::protocol::Origin;
use common::sync::Arc;
use common::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::borrow::Cow;
use std::fmt;

/// What a client is told something as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Executor,
    Sender,
}

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
    pub(crate) workload: Workload,
    /// What it sent.
    pub(crate) sends: OpenSends,
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
        load: Arc<Load>,
    ) -> Arc<Member> {
        Arc::new(Member {
            id,
            label: label(id, &name),
            name,
            slots,
            joined,
            connection,
            workload: Workload::new(slots, load),
            sends: OpenSends::default(),
            told_rank: AtomicU32::new(0),
            flush_asked: AtomicBool::new(false),
        })
    }

    /// Has it told something, at the next flush.
    pub(crate) fn tell(&self, line: &mut Line) {
        self.sends.tell(&self.connection.outbox, line);
    }

    /// Has one of its sends answered, at the next flush.
    pub(crate) fn answer(&self, send: &Id, line: &mut Line) {
        self.sends.close(send, &self.connection.outbox, line);
    }

    /// Moves what is for it, in a role, to its outbox.
    fn hand_over(&self, role: Role) {
        match role {
            Role::Executor => self.workload.hand_over(&self.connection.outbox),
            Role::Sender => self.sends.hand_over(&self.connection.outbox),
        }
    }

    /// Moves all that is for it to its outbox.
    pub(crate) fn hand_over_all(&self) {
        self.hand_over(Role::Executor);
        self.hand_over(Role::Sender);
    }

    /// Writes what is for it, in a role, as far as its socket takes that without blocking.
    pub(crate) fn flush(&self, role: Role) {
        self.hand_over(role);
        self.connection.outbox.flush();
    }

    /// Whether it is the caller's to see to it that [`flush_as_asked`](Self::flush_as_asked) is
    /// called soon: something is for it, and nobody else is going to.
    pub(crate) fn ask_for_flush(&self) -> bool {
        let is_waiting = self.sends.has_unsent() || self.connection.outbox.is_behind();
        is_waiting && !self.flush_asked.swap(true, Ordering::AcqRel)
    }

    /// [`flush`](Self::flush), as somebody was asked to.
    pub(crate) fn flush_as_asked(&self) {
        // Before: who adds something from now on asks again. A swap, so that what those added
        // is seen who found it asked for already.
        self.flush_asked.swap(false, Ordering::AcqRel);
        self.flush(Role::Sender);
    }

    /// Who it is, for those who are commanded by it.
    pub(crate) fn origin(&self, rank: u32) -> Origin<'_> {
        Origin {
            member: self.id,
            name: Cow::Borrowed(&self.name),
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
