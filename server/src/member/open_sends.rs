//! The sends that one client has open, by the client's own request ids, and its requests for news of
//! jobs that wait.
//!
//! A send is open from when the server takes it until its answer is queued; no other request of
//! the client may have its id meanwhile. Once the server ends the client, no other send opens.

use crate::dispatch::command::Command;
use common::sys::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::message::Id;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What became of opening a send.
pub(crate) enum Opened {
    New,
    /// Its id is still in use.
    IsOpen,
    /// As many are open as may be.
    Full,
    /// The server ends the client.
    Gone,
}

/// The sends that one client has open, by the client's own ids.
#[derive(Default)]
pub(crate) struct OpenSends {
    /// Without a command it is no send: it waits for news of a job.
    by_id: Mutex<HashMap<Id, Option<Arc<Command>>, RandomState>>,
    /// How many of them wait.
    waits: AtomicU8,
    /// Set before all are taken, so that those that open later find it set.
    have_ended: AtomicBool,
}

impl OpenSends {
    /// Opens a send, unless that many are open, or one with its id, or the client ends.
    #[inline(always)]
    pub(crate) fn open(&self, command: &Arc<Command>, most: usize) -> Opened {
        let mut by_id = lock(&self.by_id);
        if self.have_ended() {
            return Opened::Gone;
        }
        let waits = usize::from(self.waits.load(Ordering::Relaxed));
        let is_full = by_id.len() >= most.saturating_add(waits);
        match by_id.entry(command.send.clone()) {
            Entry::Occupied(_) => Opened::IsOpen,
            Entry::Vacant(_) if is_full => Opened::Full,
            Entry::Vacant(free) => {
                free.insert(Some(Arc::clone(command)));
                Opened::New
            }
        }
    }

    /// Closes a send in the act of pushing its answer.
    pub(crate) fn close(&self, send: &Id, push_answer: impl FnOnce() -> bool) {
        let mut by_id = lock(&self.by_id);
        let closed = by_id.remove(send);
        push_answer();
        drop(by_id);
        // It may be the last handle to other members: let go of it without the lock.
        drop(closed);
    }

    pub(crate) fn get(&self, send: &Id) -> Option<Arc<Command>> {
        lock(&self.by_id).get(send).cloned().flatten()
    }

    /// Opens a request that waits for news, unless that many do.
    pub(crate) fn open_wait(&self, id: &Id, most: u8) -> Opened {
        let mut by_id = lock(&self.by_id);
        let waits = self.waits.load(Ordering::Relaxed);
        if self.have_ended() {
            return Opened::Gone;
        }
        match by_id.entry(id.clone()) {
            Entry::Occupied(_) => Opened::IsOpen,
            Entry::Vacant(_) if waits >= most => Opened::Full,
            Entry::Vacant(free) => {
                free.insert(None);
                self.waits.store(waits + 1, Ordering::Relaxed);
                Opened::New
            }
        }
    }

    /// Closes such a request in the act of pushing its answer, unless the client has ended.
    pub(crate) fn close_wait(&self, id: &Id, push_answer: impl FnOnce() -> bool) {
        let mut by_id = lock(&self.by_id);
        if by_id.get(id).is_some_and(Option::is_none) {
            by_id.remove(id);
            let waits = self.waits.load(Ordering::Relaxed);
            self.waits.store(waits.saturating_sub(1), Ordering::Relaxed);
            push_answer();
        }
    }

    pub(crate) fn is_open(&self, send: &Id) -> bool {
        lock(&self.by_id).contains_key(send)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.by_id).len()
    }

    /// The server ends the client: once [all are taken](Self::take_all), no other one opens. Takes no
    /// lock.
    pub(crate) fn end(&self) {
        self.have_ended.store(true, Ordering::Release);
    }

    /// Whether the server ends the client.
    pub(crate) fn have_ended(&self) -> bool {
        self.have_ended.load(Ordering::Acquire)
    }

    pub(crate) fn take_all(&self) -> Vec<Arc<Command>> {
        lock(&self.by_id)
            .drain()
            .filter_map(|(_, command)| command)
            .collect()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::testing::{command, member};

    #[test]
    fn a_send_opens_once_while_there_is_room_and_its_client_is_here() {
        let (sender, target) = (member(1, "sender", 0), member(2, "target", 1));
        let sends = OpenSends::default();
        let open = |id| sends.open(&command(id, &sender, &target, None), 2);
        assert!(matches!(open(1), Opened::New));
        assert!(matches!(open(1), Opened::IsOpen));
        assert!(matches!(open(2), Opened::New));
        assert!(matches!(open(3), Opened::Full));
        let wait = |id: u64| sends.open_wait(&id.into(), 2);
        assert!(matches!(wait(2), Opened::IsOpen));
        assert!(matches!(wait(8), Opened::New) && matches!(wait(9), Opened::New));
        assert!(matches!(wait(10), Opened::Full));
        assert!(matches!(open(8), Opened::IsOpen) && matches!(open(3), Opened::Full));
        assert!(sends.get(&8.into()).is_none() && sends.is_open(&8.into()));
        let mut answered = false;
        for _ in 0..2 {
            sends.close_wait(&8.into(), || !std::mem::replace(&mut answered, true));
            sends.close_wait(&2.into(), || unreachable!("it is a send"));
        }
        assert!(answered && matches!(wait(10), Opened::New));
        sends.end();
        assert_eq!(sends.take_all().len(), 2);
        assert!(matches!(open(4), Opened::Gone));
    }
}
