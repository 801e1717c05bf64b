//! One ranked client, as everybody at the server knows it.

use crate::command::OpenSends;
use crate::connection::Connection;
use crate::loads::Load;
use crate::workload::Workload;
use common::protocol::Origin;
use common::sync::Arc;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicU32;

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
}

impl Member {
    pub(crate) fn new(
        id: u64,
        name: Box<str>,
        slots: u32,
        joined: u64,
        connection: Arc<Connection>,
        load: Arc<Load>,
    ) -> Member {
        Member {
            id,
            label: format!("\"member\":{id},\"name\":\"{name}\",\"rank\":").into(),
            name,
            slots,
            joined,
            connection,
            workload: Workload::new(slots, load),
            sends: OpenSends::default(),
            told_rank: AtomicU32::new(0),
        }
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

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
