//! What the server keeps for its clients, within `--max-memory`. Commands that wait have a share of
//! their own, past which a `send` is `busy`; buffers of clients that say nothing are given back early.
//! If more is kept all the same, connections end ([`memory_shortage`](crate::memory_shortage)).

use common::memory::{Charge, Memory};
use common::sys::sync::Arc;
use common::sys::sync::atomic::AtomicBool;

/// The part of the limit that is for commands that wait for their targets.
const COMMANDS_PART: usize = 2;

/// With less than this part of the limit in use, sessions keep large buffers: together with the
/// commands that leaves a quarter of it for outboxes and lines.
const BUFFERS_PART: usize = 4;

/// Bytes that each target of a command costs: its place in the list of targets, and in the table
/// of what it executes or has waiting.
const TARGET: usize = 256;

/// What the server keeps for its clients.
pub(crate) struct MemoryBudget {
    /// All of it.
    pub(crate) all: Arc<Memory>,
    /// Commands that wait.
    pub(crate) commands: Arc<Memory>,
    limit: usize,
    /// The timer thread was asked to make room.
    pub(crate) asked: AtomicBool,
}

impl MemoryBudget {
    pub(crate) fn new(limit: usize) -> MemoryBudget {
        let all = Memory::new(limit);
        let commands = Memory::part_of(&all, limit / COMMANDS_PART);
        MemoryBudget {
            all,
            commands,
            limit,
            asked: AtomicBool::new(false),
        }
    }

    /// Room for a command with so many targets and bytes of words, if there is some: for what it
    /// needs until it ends. Its line is counted in the queue. A single target is not counted: as
    /// many sends as a client may have open are a mebibyte. The input that may be under way is.
    pub(crate) fn room_for(&self, targets: usize, words: usize, input: usize) -> Option<Charge> {
        let bytes = targets.saturating_mul(TARGET).saturating_add(input);
        let has_room = self.commands.has_room(bytes.saturating_add(words));
        has_room.then(|| match (targets, input) {
            (..=1, 0) => Charge::default(),
            _ => Charge::new(&self.commands, bytes),
        })
    }

    /// Whether sessions give large buffers back.
    pub(crate) fn is_scarce(&self) -> bool {
        self.all.kept() > self.limit / BUFFERS_PART
    }
}
