//! What the reader thread, the workers and the owner of a client share: where to write,
//! what is open, who this client is, and how the connection ended.
//!
//! Taking a request out of the table of open ones is the single act that decides its end.

use crate::error::RequestError;
use crate::events::{Disconnect, Events};
use crate::sent::{OpenSend, SendEvent};
use crate::workers::Workers;
use common::outbox::Outbox;
use common::protocol::{Joined, Tally};
use common::sync::{Arc, Mutex, lock};
use common::transport::Stream;
use crossbeam_channel::Sender;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What a call, a request with one plain answer, is waiting for.
pub(crate) type CallResult = Result<Box<RawValue>, RequestError>;

/// A request that was not answered yet.
pub(crate) enum Open {
    Send(OpenSend),
    Call(Sender<CallResult>),
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Open>,
    /// The connection is over: nothing is opened any more.
    closed: bool,
}

pub(crate) struct Link {
    pub(crate) stream: Arc<Stream>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) events: Arc<Events>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) heartbeat: Duration,
    pub(crate) joined: Joined,
    rank: AtomicU32,
    members: AtomicU32,
    next_id: AtomicU64,
    table: Mutex<Table>,
    leaving: AtomicBool,
    disconnect: Mutex<Option<Disconnect>>,
}

impl Link {
    pub(crate) fn new(
        stream: Arc<Stream>,
        outbox: Arc<Outbox>,
        events: Arc<Events>,
        workers: Arc<Workers>,
        heartbeat: Duration,
        joined: Joined,
    ) -> Link {
        Link {
            stream,
            outbox,
            events,
            workers,
            heartbeat,
            rank: AtomicU32::new(joined.rank),
            members: AtomicU32::new(joined.members),
            joined,
            next_id: AtomicU64::new(crate::handshake::JOIN_ID + 1),
            table: Mutex::default(),
            leaving: AtomicBool::new(false),
            disconnect: Mutex::default(),
        }
    }

    /// Queues a line and writes what can be written; says whether it was taken.
    pub(crate) fn tell(&self, line: Vec<u8>) -> bool {
        let taken = self.outbox.push(line);
        self.outbox.flush();
        taken
    }

    pub(crate) fn standing(&self) -> (u32, u32) {
        let load = |value: &AtomicU32| value.load(Ordering::Relaxed);
        (load(&self.rank), load(&self.members))
    }

    pub(crate) fn set_standing(&self, rank: u32, members: u32) {
        self.rank.store(rank, Ordering::Relaxed);
        self.members.store(members, Ordering::Relaxed);
    }

    /// Opens a request and writes it. The line is made for the id that it gets; waits for
    /// room, so this is not for the reader thread.
    pub(crate) fn request(
        &self,
        open: Open,
        line: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<u64, RequestError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let line = line(id);
        let max = self.joined.max_line;
        if line.len() > max {
            let bytes = line.len();
            return Err(RequestError::TooLong { bytes, max });
        }
        self.outbox.wait_for_room();
        {
            let mut table = lock(&self.table);
            if table.closed {
                return Err(RequestError::NotConnected);
            }
            table.open.insert(id, open);
        }
        if self.tell(line) {
            return Ok(id);
        }
        // It was never written. Where the connection's end has taken it out already, its
        // `lost` goes nowhere, since the handle was not given out.
        self.take(id);
        Err(RequestError::NotConnected)
    }

    /// Takes a request out of the table: whoever gets it decides its end.
    pub(crate) fn take(&self, id: u64) -> Option<Open> {
        lock(&self.table).open.remove(&id)
    }

    /// Looks at an open send.
    pub(crate) fn with_send<T>(&self, id: u64, look: impl FnOnce(&mut OpenSend) -> T) -> Option<T> {
        match lock(&self.table).open.get_mut(&id) {
            Some(Open::Send(send)) => Some(look(send)),
            _ => None,
        }
    }

    /// From now on the end of the connection is what this client wants.
    pub(crate) fn set_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(crate) fn disconnect(&self) -> Option<Disconnect> {
        lock(&self.disconnect).clone()
    }

    /// The connection is over: every open request ends as lost, every job is stopped.
    /// The reader thread does this, once, as the last thing.
    pub(crate) fn end(&self, reason: Disconnect) {
        self.outbox.close();
        let open = {
            let mut table = lock(&self.table);
            table.closed = true;
            std::mem::take(&mut table.open)
        };
        lock(&self.disconnect).get_or_insert(reason.clone());
        for open in open.into_values() {
            open.fail(RequestError::Lost);
        }
        self.workers.close();
        self.events.tell_last(reason);
    }
}

impl Open {
    /// Ends a request that was not done. Where nobody waits any more, nobody is told.
    pub(crate) fn fail(self, error: RequestError) {
        match self {
            Open::Send(send) => send.end(Err(error)),
            Open::Call(waiting) => drop(waiting.send(Err(error))),
        }
    }
}

impl OpenSend {
    /// Tells the last event of a send.
    pub(crate) fn end(self, how: Result<Tally, RequestError>) {
        let _ = self.events.send(SendEvent::End(how));
    }
}
