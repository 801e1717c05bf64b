//! The places that outlive a server: `--state FILE` keeps number, name, tier, credential and the
//! hashes of the tokens of each member that holds its place. The next start of the server holds
//! those places as if their clients were away; a client comes back to its rank, and to nothing
//! else.
//!
//! The roster is what counts, and a thread of its own (`writer`) compares it with what is written,
//! soon after something has changed. So neither a join nor a command waits for a disk, what is
//! still to be written needs no room, and the file says again what is so as soon as it can be
//! written. What changed in the moment before a `kill -9`, or in the second before a power failure,
//! may not be in it: such a client joins anew.

mod file;
mod kept;
mod places;
mod record;
mod writer;

pub use file::{NoState, StateError, check};
pub(crate) use writer::begin;

use crate::member::Member;
use common::sys::sync::atomic::{AtomicU64, Ordering};
use common::sys::sync::{Mutex, lock};
use crossbeam_channel::{Receiver, Sender, bounded};
use file::StateFile;
use record::{Kept, Replay};
use std::path::{Path, PathBuf};

/// How many numbers are reserved ahead: more members than join in the second or two that the file
/// may lag behind. A server that was killed begins behind them, so no number is given twice.
const AHEAD: u64 = 1 << 14;

/// The state of a server, as its threads share it.
#[derive(Debug)]
pub(crate) struct State {
    file: PathBuf,
    /// Wakes up the thread that writes.
    asked: (Sender<()>, Receiver<()>),
    /// The number from which on none is reserved.
    reserved: AtomicU64,
    /// The places of members that were told that the server stops.
    kept: Mutex<Vec<Kept>>,
    /// Until the server runs.
    opened: Mutex<Option<(StateFile, Replay)>>,
}

impl State {
    /// Opens a state file, or makes it. Nothing in it changes before the server runs.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn open(named: &Path) -> Result<State, StateError> {
        let opened = StateFile::open(named).map_err(|reason| reason.of(named))?;
        Ok(State {
            file: named.to_owned(),
            asked: bounded(1),
            reserved: AtomicU64::new(0),
            kept: Mutex::default(),
            opened: Mutex::new(Some(opened)),
        })
    }

    /// A place has changed, or is held no more.
    pub(crate) fn has_changed(&self) {
        // A full channel: the thread is going to look in any case.
        let _ = self.asked.0.try_send(());
    }

    /// A member has this number.
    pub(crate) fn has_given(&self, number: u64) {
        if number.saturating_add(AHEAD / 2) >= self.reserved.load(Ordering::Relaxed) {
            self.has_changed();
        }
    }

    /// Holds the place of a member for the next start of the server; the member may end now.
    pub(crate) fn keep(&self, member: &Member) {
        if let Some(hold) = member.connection.hold() {
            let kept = Kept::of(member, hold.tokens());
            lock(&self.kept).push(kept);
            self.has_changed();
        }
    }
}

#[cfg(test)]
mod tests;
