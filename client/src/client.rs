//! The client itself: what an embedding program holds. Dropping it leaves the server and
//! joins every thread it started.

use crate::config::{Config, ConnectError};
use crate::error::RequestError;
use crate::events::{ClientEvent, Disconnect, Events};
use crate::executor::Executor;
use crate::handshake::{self, Handshake};
use crate::job::Job;
use crate::link::{Link, Open};
use crate::reader::Reader;
use crate::sent::{Command, OpenSend, Sent};
use crate::workers::Workers;
use common::limits::{ANSWER_GRACE, LINGER, MAX_MEMBERS_PAGE};
use common::message;
use common::protocol::{Empty, Joined, Member, Members, MembersQuery, method};
use common::sync::{Arc, Mutex, lock};
use common::thread;
use crossbeam_channel::{Receiver, bounded, unbounded};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a server that gives signs of life may take to answer a plain question: as
/// long as one that gives none is believed to live, several times over.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The heartbeats that are believed of a server: none that would keep a thread busy, none
/// that would leave a dead server unnoticed for a day.
const HEARTBEATS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(3600);

/// How often the pages of the ranking are asked for again because it changed meanwhile.
const PAGE_ATTEMPTS: u32 = 3;

/// A client that has joined a server. All of it can be used from any thread.
pub struct Client {
    link: Arc<Link>,
    reader: Mutex<Option<JoinHandle<()>>>,
    /// Disconnected once the reader thread is about to end.
    reader_runs: Receiver<()>,
}

impl Client {
    /// Connects to a server and joins it; the executor executes what higher-ranked
    /// clients command from now on.
    ///
    /// # Errors
    /// There is no server, it did not let this client in, or something else answered.
    pub fn connect(
        config: impl Borrow<Config>,
        executor: impl Executor,
    ) -> Result<Client, ConnectError> {
        let config = config.borrow();
        let Handshake {
            stream,
            outbox,
            lines,
            joined,
        } = handshake::join(config)?;
        let heartbeat = Duration::from_millis(joined.heartbeat_ms);
        let heartbeat = heartbeat.clamp(*HEARTBEATS.start(), *HEARTBEATS.end());
        // What is on its way to a server that is gone must not hide that it is gone.
        stream.set_unacknowledged_timeout(heartbeat * 2);
        let events = Arc::new(Events::new());
        let workers = Arc::new(Workers::new(
            executor,
            Arc::clone(&outbox),
            Arc::clone(&events),
            config.slots,
            joined.max_line,
        ));
        let link = Link::new(stream, outbox, events, workers, heartbeat, joined);
        let link = Arc::new(link);
        let (running, reader_runs) = bounded(0);
        let reader = Reader::new(Arc::clone(&link), lines, running);
        let handle = thread::spawn("reader", move || reader.run());
        let handle = handle.map_err(|source| {
            link.outbox.close();
            ConnectError::NoThread {
                server: config.server.clone(),
                source,
            }
        })?;
        Ok(Client {
            link,
            reader: Mutex::new(Some(handle)),
            reader_runs,
        })
    }

    /// The number that the server gave this client, never used again while it runs.
    pub fn member(&self) -> u64 {
        self.link.joined.member
    }

    /// This client's name.
    pub fn name(&self) -> &str {
        &self.link.joined.name
    }

    /// This client's rank as the server told it last; 0 is the highest.
    pub fn rank(&self) -> u32 {
        self.link.standing().0
    }

    /// How many clients are ranked, as the server told it last together with the rank:
    /// newcomers rank below and change nothing for this client, so they are not counted.
    pub fn ranked(&self) -> u32 {
        self.link.standing().1
    }

    /// What `join` was answered.
    pub fn joined(&self) -> &Joined {
        &self.link.joined
    }

    /// Sends a command. Waits only while more than half of an outbox is waiting for the
    /// server to take it.
    ///
    /// # Errors
    /// It was not sent: the connection is over, or it is too long. What the server says
    /// against it comes through the handle.
    pub fn send(&self, command: impl Borrow<Command>) -> Result<Sent, RequestError> {
        let command = command.borrow();
        let (into, events) = unbounded();
        let open = Open::Send(OpenSend::new(into, command.bytes_ahead()));
        let id = self.link.request(open, |id| command.request_line(id))?;
        Ok(Sent::new(id, events, Arc::clone(&self.link)))
    }

    /// A page of the ranking, from a rank on.
    ///
    /// # Errors
    /// The server did not answer, or not with that.
    pub fn members(&self, from: u32, limit: usize) -> Result<Members, RequestError> {
        let query = MembersQuery {
            from: Some(from.into()),
            limit: Some(limit as u64),
        };
        self.call(method::MEMBERS, query)
    }

    /// The whole ranking, page by page. Where it changes between two pages they are asked
    /// for again, a few times; nobody is named twice in any case.
    ///
    /// # Errors
    /// The server did not answer, or not with that.
    pub fn all_members(&self) -> Result<Members, RequestError> {
        let mut attempt = 1;
        loop {
            let (ranking, is_whole) = self.pages()?;
            if is_whole || attempt == PAGE_ATTEMPTS {
                return Ok(ranking);
            }
            attempt += 1;
        }
    }

    /// The pages of the ranking, and whether it stayed the same between them.
    fn pages(&self) -> Result<(Members, bool), RequestError> {
        let mut ranking = self.members(0, MAX_MEMBERS_PAGE)?;
        let total = ranking.total;
        let mut seen: HashSet<u64> = ranking.members.iter().map(|m| m.member).collect();
        let mut is_whole = true;
        while let Some(next) = next_rank(&ranking.members).filter(|rank| *rank < ranking.total) {
            let page = self.members(next, MAX_MEMBERS_PAGE)?;
            is_whole &= page.total == total;
            ranking.total = page.total;
            let before = ranking.members.len();
            let new = page.members.into_iter().filter(|m| seen.insert(m.member));
            ranking.members.extend(new);
            if ranking.members.len() == before {
                break;
            }
        }
        Ok((ranking, is_whole))
    }

    /// Asks the server for a sign of life; says how long it took.
    ///
    /// # Errors
    /// The server did not answer.
    pub fn ping(&self) -> Result<Duration, RequestError> {
        let asked = Instant::now();
        let _: Empty = self.call(method::PING, Empty {})?;
        Ok(asked.elapsed())
    }

    /// Asks a question with one plain answer.
    fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Serialize,
    ) -> Result<T, RequestError> {
        let (answer, waiting) = bounded(1);
        let line = |id: u64| message::request_line(id.into(), method, params);
        let id = self.link.request(Open::Call(answer), line)?;
        let raw = match waiting.recv_timeout(CALL_TIMEOUT) {
            Ok(answer) => answer?,
            Err(_) => {
                self.link.take(id);
                return Err(RequestError::TimedOut(CALL_TIMEOUT));
            }
        };
        message::result(&raw).map_err(|e| RequestError::Malformed(e.to_string()))
    }

    /// What happens to this client beside its own sends. Everybody who asks gets the same
    /// queue. It costs nothing until something happens, keeps little until somebody asks
    /// for it the first time, and is bounded after that.
    pub fn events(&self) -> &Receiver<ClientEvent> {
        self.link.events.receiver()
    }

    /// What runs here, and what waits for it, in the order of arrival.
    pub fn jobs(&self) -> Vec<Job> {
        self.link.workers.jobs()
    }

    /// Why the connection is over, once it is.
    pub fn disconnect(&self) -> Option<Disconnect> {
        self.link.disconnect()
    }

    /// Leaves the server: what this client sent is cancelled, what it executes is stopped.
    /// Returns once its threads have ended, or after a few seconds where the server or an
    /// executor does not come to an end. The same as dropping it.
    pub fn leave(self) {
        drop(self);
    }

    fn close(&self) {
        let Some(reader) = lock(&self.reader).take() else {
            return;
        };
        self.link.set_leaving();
        let goodbye = message::notification_line(method::LEAVE, Empty {});
        self.link.outbox.finish_with(goodbye);
        self.link.outbox.flush();
        self.link.workers.close();
        // The server closes after what it has queued; a server that does not is not
        // waited for any longer.
        let _ = self.reader_runs.recv_timeout(LINGER);
        self.link.outbox.close();
        if reader.thread().id() != std::thread::current().id() {
            let _ = reader.join();
        }
        self.link.workers.join(Instant::now() + ANSWER_GRACE);
    }
}

fn next_rank(members: &[Member]) -> Option<u32> {
    members.last().and_then(|last| last.rank.checked_add(1))
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name())
            .field("member", &self.member())
            .field("rank", &self.rank())
            .field("server", &self.link.stream.peer())
            .finish()
    }
}
