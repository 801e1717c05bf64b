//! The client itself: what an embedding program holds. Dropping it leaves the server and
//! joins every thread it started, but for one that is dialling at that moment.

use crate::config::Config;
use crate::connection::backoff::Backoff;
use crate::connection::handshake;
use crate::connection::reconnect::{Reconnector, Shared};
use crate::connection::{Connection, PendingRequest};
use crate::error::{ConnectError, RequestError};
use crate::events::{ClientEvent, Disconnect, Events};
use crate::execute::executor::Executor;
use crate::execute::job::Job;
use crate::execute::workers::Workers;
use crate::send::command::Command;
use crate::send::pending_send::PendingSend;
use crate::send::send_handle::SendHandle;
use crate::watch::{self, Watch};
use common::limits::{ANSWER_GRACE, LINGER, MAX_MEMBERS_PAGE};
use common::sys::sync::Arc;
use common::sys::thread;
use common::wire::message;
use common::wire::name::Name;
use common::wire::{Empty, Joined, Members, MembersQuery, Selected, method};
use crossbeam_channel::RecvTimeoutError::Disconnected;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a server that gives signs of life may take to answer a plain question: several times
/// as long as one that gives none is believed to live.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long leaving waits for a thread without a connection: one that pauses ends at once, and one
/// that looks up a name or dials ends by itself.
const DIAL_LINGER: Duration = Duration::from_millis(100);

/// How often the pages of the ranking are asked for again because it changed meanwhile.
const PAGE_ATTEMPTS: u32 = 3;

/// A client that has joined a server. All of it can be used from any thread.
///
/// With [`Config::reconnect`] it outlives its connection. When that is lost, open sends end as
/// [`RequestError::Lost`], running jobs are stopped, and [`ClientEvent::Lost`] is told. It dials
/// again after the pauses of [`Backoff`](crate::Backoff), until the server lets it in below those of
/// its tier that are here then ([`ClientEvent::Rejoined`]). Nothing is sent a second time. Meanwhile,
/// requests fail with [`RequestError::NotConnected`]. Only a refusal that
/// [is final](ConnectError::is_final) is the end. The first connection is tried once in any case.
///
/// ```
/// # use client::{Client, ClientEvent, Config, Simulation};
/// # let bind = |listen: String| server::Server::bind(server::Config { listen, ..Default::default() });
/// # let running = bind("127.0.0.1:0".into())?.spawn()?;
/// # let address = running.address().to_string();
/// let config = Config {
///     server: address.clone(),
///     reconnect: true,
///     ..Config::default()
/// };
/// let client = Client::connect(&config, Simulation)?;
/// running.stop()?;
/// # let _running = bind(address)?.spawn()?;
/// // Another server listens there now.
/// let back = client.events().iter().find_map(|event| match event {
///     ClientEvent::Rejoined { was, rank, .. } => Some((was, rank)),
///     _ => None,
/// });
/// assert_eq!(back, Some((0, 0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    reconnector: Option<JoinHandle<()>>,
    /// Dropped when this client leaves, which ends a pause.
    stop: Option<Sender<()>>,
    /// Disconnected once the thread that reads is about to end.
    reconnector_runs: Receiver<()>,
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
        let handshake = handshake::join(config, None)?;
        let events = Arc::new(Events::new());
        let workers = Workers::new(executor, Arc::clone(&events), config);
        let (shared, lines) = Shared::begin(handshake, events, Arc::new(workers));
        let shared = Arc::new(shared);
        let (stop, stopped) = bounded(0);
        let (running, reconnector_runs) = bounded(0);
        let reconnector = Reconnector {
            shared: Arc::clone(&shared),
            config: config.clone(),
            stop: stopped,
            _running: running,
            backoff: Backoff::new(),
            end: None,
        };
        // If there is no thread, dropping the reconnector closes the connection.
        let handle = thread::spawn("reader", move || reconnector.run(lines));
        let handle = handle.map_err(|source| ConnectError::NoThread {
            server: config.server.clone(),
            source,
        })?;
        Ok(Client {
            shared,
            reconnector: Some(handle),
            stop: Some(stop),
            reconnector_runs,
        })
    }

    fn connection(&self) -> Arc<Connection> {
        self.shared.connection()
    }

    /// Whether there is a connection, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// The number that the server gave this client, never used again while it runs.
    pub fn member(&self) -> u64 {
        self.connection().joined.member
    }

    /// This client's name.
    pub fn name(&self) -> String {
        self.connection().joined.name.to_string()
    }

    /// This client's rank as the server told it last; 0 is the highest.
    pub fn rank(&self) -> u32 {
        self.connection().standing().0
    }

    /// How many clients are ranked, as the server told it last together with the rank: those
    /// that came since and rank below change nothing for this client, and are not counted.
    pub fn ranked(&self) -> u32 {
        self.connection().standing().1
    }

    /// What `join` was answered, the last time.
    pub fn joined(&self) -> Arc<Joined> {
        Arc::clone(&self.connection().joined)
    }

    /// Sends a command. Waits only while more than half of an outbox is waiting for the
    /// server to take it.
    ///
    /// # Errors
    /// It was not sent: there is no connection, or it is too long. What the server says
    /// against it comes through the handle.
    pub fn send(&self, command: impl Borrow<Command>) -> Result<SendHandle, RequestError> {
        let command = command.borrow();
        let (into, events) = unbounded();
        let pending = PendingSend::new(into, command);
        let input = pending.input();
        let open = PendingRequest::Send(pending);
        let connection = self.connection();
        let id = connection.request(open, |id| command.request_line(id))?;
        let (outbox, max_line) = (&connection.outbox, connection.joined.max_line);
        Ok(SendHandle::new(id, events, outbox, max_line, input))
    }

    /// A page of the ranking, from a rank on.
    ///
    /// # Errors
    /// The server did not answer, or not with that.
    pub fn members(&self, from: u32, limit: usize) -> Result<Members, RequestError> {
        let query = MembersQuery {
            from: Some(from.into()),
            limit: Some(limit as u64),
            expected: None,
        };
        self.call(method::MEMBERS, query)
    }

    /// The names of the machines that the server expects (its option `--expected`), in order, as far as
    /// this client may see them; `None` if it was not told of any.
    ///
    /// # Errors
    /// The server did not answer, or not with that.
    pub fn expected(&self) -> Result<Option<Vec<Name<'static>>>, RequestError> {
        let query = MembersQuery {
            from: None,
            limit: Some(0),
            expected: Some(true),
        };
        let members: Members = self.call(method::MEMBERS, query)?;
        Ok(members.expected)
    }

    /// What a command would reach now, and what would become of it there: all of its targets, page
    /// by page. Nothing is sent to any of them, and when it is sent they may be others. A command without
    /// words asks what some command would reach.
    ///
    /// # Errors
    /// The server did not answer, or would not take the command: the errors are those of sending it.
    pub fn select(&self, command: impl Borrow<Command>) -> Result<Selected, RequestError> {
        let command = command.borrow();
        let page = |from: usize| -> Result<Selected, RequestError> {
            self.call(method::SELECT, command.query(from))
        };
        let mut selected = page(0)?;
        while selected.targets.len() < selected.total as usize {
            let next = page(selected.targets.len())?;
            if next.targets.is_empty() {
                break;
            }
            selected.total = next.total;
            selected.targets.extend(next.targets);
        }
        Ok(selected)
    }

    /// The whole ranking, page by page. If it changes between two pages, they are asked for again,
    /// a few times; no client is named twice in any case.
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
        let (mut is_whole, mut from) = (true, ranking.members.len());
        // A page may have fewer than were asked for.
        while from < ranking.total as usize {
            let from_now = u32::try_from(from).unwrap_or(u32::MAX);
            let page = self.members(from_now, MAX_MEMBERS_PAGE)?;
            is_whole &= page.total == total;
            ranking.total = page.total;
            if page.members.is_empty() {
                break;
            }
            from += page.members.len();
            let new = page.members.into_iter().filter(|m| seen.insert(m.member));
            ranking.members.extend(new);
        }
        Ok((ranking, is_whole))
    }

    /// Watches the server: its members, and the commands that it relays, as they change. A client
    /// watches once at a time, and anew after it has [rejoined](ClientEvent::Rejoined).
    ///
    /// # Errors
    /// The server did not answer, or this client may not list clients.
    pub fn watch(&self) -> Result<Watch, RequestError> {
        let (into, told) = bounded(watch::KEPT);
        let (answer, waiting) = bounded(1);
        let line = |id: u64| message::request_line(&id.into(), method::WATCH, Empty {});
        let connection = self.connection();
        let id = connection.request(PendingRequest::Watch(into, answer), line)?;
        wait_answer(&connection, id, &waiting)?;
        Ok(Watch {
            id,
            told,
            connection,
        })
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
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Serialize,
    ) -> Result<T, RequestError> {
        self.call_line(|id| message::request_line(&id.into(), method, params))
    }

    /// The same, with the line of the question.
    pub(crate) fn call_line<T: DeserializeOwned>(
        &self,
        line: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<T, RequestError> {
        let (answer, waiting) = bounded(1);
        let connection = self.connection();
        let id = connection.request(PendingRequest::Call(answer), line)?;
        let raw = wait_answer(&connection, id, &waiting)?;
        message::result(&raw).map_err(|e| RequestError::Malformed(e.to_string()))
    }

    /// What happens to this client beside its own sends. There is one queue, which costs nothing
    /// until something happens, keeps little until the first call, and is bounded after that.
    pub fn events(&self) -> &Receiver<ClientEvent> {
        self.shared.events.receiver()
    }

    /// What runs here, and what waits for it, in the order of arrival.
    pub fn jobs(&self) -> Vec<Job> {
        self.shared.workers.jobs()
    }

    /// Why the connection is over for good, once it is.
    pub fn disconnect(&self) -> Option<Disconnect> {
        self.shared.disconnect()
    }

    /// Leaves the server: what this client sent is cancelled, what it executes is stopped.
    /// Returns once its threads have ended, or after a few seconds if the server or an executor
    /// does not end. The same as dropping it.
    pub fn leave(self) {
        drop(self);
    }
}

/// The answer to a request, for which there is no more waiting after a while.
fn wait_answer<T>(
    connection: &Connection,
    id: u64,
    waiting: &Receiver<Result<T, RequestError>>,
) -> Result<T, RequestError> {
    waiting.recv_timeout(CALL_TIMEOUT).unwrap_or_else(|_| {
        connection.take(id);
        Err(RequestError::TimedOut(CALL_TIMEOUT))
    })
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(reconnector) = self.reconnector.take() else {
            return;
        };
        let (connection, is_away) = self.shared.leave();
        self.stop = None;
        let goodbye = message::notification_line(method::LEAVE, Empty {});
        connection.outbox.finish_with(goodbye);
        connection.outbox.flush();
        self.shared.workers.close();
        // The server closes after what it has queued.
        let patience = if is_away { DIAL_LINGER } else { LINGER };
        let has_ended = self.reconnector_runs.recv_timeout(patience) == Err(Disconnected);
        connection.outbox.close();
        let is_own = reconnector.thread().id() == std::thread::current().id();
        if !is_own && (has_ended || !is_away) {
            let _ = reconnector.join();
        }
        self.shared.workers.join(Instant::now() + ANSWER_GRACE);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, rank {})", self.name(), self.rank())
    }
}
