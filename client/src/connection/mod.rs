//! One connection, as the reader thread and the owner of a client share it: the outbox, the open
//! requests, and the client's rank.
//!
//! Taking a request out of the table of open ones is the single act that decides its end.

mod answers;
pub(crate) mod backoff;
pub(crate) mod handshake;
mod hold;
pub(crate) mod reader;
pub(crate) mod reconnect;
mod resuming;
mod tls_failure;

use crate::connection::handshake::Handshake;
use crate::connection::hold::Hold;
use crate::error::RequestError;
use crate::events::Events;
use crate::execute::workers::Workers;
use crate::process::watchdog;
use crate::send::pending_send::PendingSend;
use common::limits::unacknowledged;
use common::net::line_reader::LineReader;
use common::net::outbox::Outbox;
use common::net::stream::Stream;
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::watch::Watched;
use common::wire::{Ack, Joined};
use crossbeam_channel::{Sender, bounded};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The heartbeats that are believed of a server: none that would keep a thread busy, none
/// that would leave a dead server unnoticed for a day.
const HEARTBEATS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// What a watch gives: the first state, then what has changed.
pub(crate) type Told = Box<Watched<'static>>;

/// A request that was not answered yet.
pub(crate) enum PendingRequest {
    Send(PendingSend),
    /// With one plain answer.
    Call(Sender<Result<Box<RawValue>, RequestError>>),
    /// What is told goes into the first, from the answer on.
    Watch(Sender<Told>, Sender<Result<(), RequestError>>),
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, PendingRequest>,
    /// The connection is over: nothing is opened any more.
    closed: bool,
}

pub(crate) struct Connection {
    pub(crate) stream: Arc<Stream>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) events: Arc<Events>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) heartbeat: Duration,
    pub(crate) joined: Arc<Joined>,
    /// The place that the server holds, if this client has asked for that.
    hold: Option<Box<Hold>>,
    since: Instant,
    rank: AtomicU32,
    members: AtomicU32,
    next_id: Arc<AtomicU64>,
    table: Mutex<Table>,
    /// Where what the server tells goes, if this client watches, since the request of this number.
    watch: Mutex<Option<(u64, Sender<Told>)>>,
}

impl Connection {
    /// A connection that has joined, and what goes on reading it.
    pub(crate) fn new(
        handshake: Handshake,
        events: &Arc<Events>,
        workers: &Arc<Workers>,
        next_id: &Arc<AtomicU64>,
    ) -> (Connection, LineReader) {
        let Handshake {
            stream,
            outbox,
            lines,
            mut joined,
            shown,
        } = handshake;
        let hold = joined
            .resume
            .take()
            .map(|it| Box::new(Hold::new(it, shown)));
        if hold.is_some() {
            keep_freed_memory();
            outbox.keep(Ack::line);
            outbox.note_times();
            // At once: until something arrives, the server takes every end for a leave.
            outbox.say_received(0);
            outbox.flush();
        }
        let heartbeat = Duration::from_millis(joined.heartbeat_ms);
        let heartbeat = heartbeat.clamp(*HEARTBEATS.start(), *HEARTBEATS.end());
        let connection = Connection {
            stream,
            outbox,
            events: Arc::clone(events),
            workers: Arc::clone(workers),
            heartbeat,
            since: Instant::now(),
            rank: AtomicU32::new(joined.rank),
            members: AtomicU32::new(joined.members),
            joined: Arc::new(joined),
            hold,
            next_id: Arc::clone(next_id),
            table: Mutex::default(),
            watch: Mutex::default(),
        };
        connection.prepare_for_the_end();
        (connection, lines)
    }

    /// What is on its way to a server that is gone must not hide that it is gone, and a client that
    /// is killed must not look like one that may come back.
    fn prepare_for_the_end(&self) {
        if self.hold.is_some()
            && let Ok(socket) = self.stream.descriptor()
        {
            watchdog::watch_socket(&*socket);
        }
        self.stream
            .set_unacknowledged_timeout(unacknowledged(self.heartbeat));
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

    /// A number for a request, never given before.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes a request of which the answer is dropped. Without a connection there is nothing to ask.
    pub(crate) fn ask_without_waiting(&self, line: impl FnOnce(u64) -> Vec<u8>) {
        let (answer, _) = bounded(1);
        let _ = self.request(PendingRequest::Call(answer), line);
    }

    /// Opens a request and writes it. The line is made for the id that it gets; waits for
    /// room, so this is not for the reader thread.
    pub(crate) fn request(
        &self,
        open: PendingRequest,
        line: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<u64, RequestError> {
        let id = self.new_id();
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
        // It was never written. If the end of the connection has taken it out already, its `lost`
        // goes nowhere, since the handle was not given out.
        self.take(id);
        Err(RequestError::NotConnected)
    }

    /// Takes a request out of the table: the caller that gets it decides its end.
    pub(crate) fn take(&self, id: u64) -> Option<PendingRequest> {
        lock(&self.table).open.remove(&id)
    }

    pub(crate) fn with_send<T>(
        &self,
        id: u64,
        look: impl FnOnce(&mut PendingSend) -> T,
    ) -> Option<T> {
        match lock(&self.table).open.get_mut(&id) {
            Some(PendingRequest::Send(send)) => Some(look(send)),
            _ => None,
        }
    }

    /// From now on what the server tells goes there.
    pub(crate) fn begin_watch(&self, id: u64, into: Sender<Told>) {
        let before = lock(&self.watch).replace((id, into));
        drop(before);
    }

    /// Passes on what the server tells. A program that is too far behind hears the end.
    pub(crate) fn tell_watch(&self, told: Told) {
        let mut watch = lock(&self.watch);
        if watch
            .as_ref()
            .is_some_and(|(_, into)| into.try_send(told).is_err())
        {
            *watch = None;
        }
    }

    /// Ends the watch of this number; says whether the server goes on to tell.
    pub(crate) fn stop_watch(&self, id: u64) -> bool {
        let mut watch = lock(&self.watch);
        let is_other = watch.as_ref().is_some_and(|(other, _)| *other != id);
        if !is_other {
            *watch = None;
        }
        !is_other
    }

    /// The connection is over: every open request ends as lost.
    pub(crate) fn end(&self) {
        self.outbox.close();
        *lock(&self.watch) = None;
        let open = {
            let mut table = lock(&self.table);
            table.closed = true;
            std::mem::take(&mut table.open)
        };
        for open in open.into_values() {
            open.fail(RequestError::Lost);
        }
    }
}

impl PendingRequest {
    pub(crate) fn fail(self, error: RequestError) {
        match self {
            PendingRequest::Send(send) => send.end(Err(error)),
            PendingRequest::Call(waiting) => drop(waiting.send(Err(error))),
            PendingRequest::Watch(_, waiting) => drop(waiting.send(Err(error))),
        }
    }
}

/// Has the allocator keep a few megabytes that are freed. What is written to a server that holds the place
/// is kept until it is acknowledged, so that streamed output takes and frees as much as the sockets have room
/// for, again and again. glibc's allocator gives that back to the system each time, unless the process has
/// once freed as large a block (`M_TRIM_THRESHOLD` in mallopt(3)); no page of it is touched.
fn keep_freed_memory() {
    const BLOCK: usize = 4 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}
