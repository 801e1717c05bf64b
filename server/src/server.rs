//! The server's life: bound, then running, then drained.

use crate::clock::Due;
use crate::config::Config;
use crate::connection::Connection;
use crate::hub::Hub;
use crate::strangers::Courtesy;
use crate::{keeper, session};
use common::limits::MAX_LINE_BEFORE_JOIN;
use common::message::{Code, RpcError, error_line};
use common::sync::Arc;
use common::sync::atomic::Ordering;
use common::thread;
use common::thread::JoinHandle;
use common::transport::{Listener, Stream};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::thread::{Builder, Scope};
use std::time::Duration;

/// Bytes of a session's stack. A session calls nothing that recurses: JSON of any depth is
/// skipped without recursion, and what is parsed is flat.
const SESSION_STACK: usize = 256 << 10;

/// How often it is logged that connections cannot be served.
const TROUBLE_LOG_MS: u64 = 1000;

/// How long accepting pauses where the system has no descriptors left. Nobody tells when it
/// has some again, and whoever waits meanwhile is served then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are taken from somebody who is refused without a thread: what it said before
/// the refusal, which would be lost if something unread were left at the end.
const REFUSED_BYTES: usize = MAX_LINE_BEFORE_JOIN;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody else listens there.
    #[error("{address} is in use; stop who listens there, or choose another address with --listen")]
    InUse {
        /// Where.
        address: String,
    },
    /// It cannot listen there for another reason.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The system has no thread for it.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everybody was told, and had the drain time.
    Drained,
    /// It was told to end at once.
    Aborted,
}

/// A server that listens, and serves nobody yet.
pub struct Server {
    listener: Listener,
    hub: Arc<Hub>,
}

/// Stops a server from elsewhere; clones stop the same one.
#[derive(Clone)]
pub struct Handle(Arc<Hub>);

/// A server that runs on a thread of its own. Dropping it ends it at once and joins it.
pub struct Running {
    address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Result<Ended, ServerError>>>,
}

impl Server {
    /// Listens. Clients can dial in from now on; they are served once it runs.
    ///
    /// # Errors
    /// Where it cannot listen at the address.
    pub fn bind(config: Config) -> Result<Server, ServerError> {
        let (listener, waker) = Listener::bind(&config.listen).map_err(|source| {
            let address = config.listen.clone();
            match source.kind() {
                io::ErrorKind::AddrInUse => ServerError::InUse { address },
                _ => ServerError::Listen { address, source },
            }
        })?;
        Ok(Server {
            listener,
            hub: Arc::new(Hub::new(config, waker)),
        })
    }

    /// Where it listens; with port 0 asked for, the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// A handle that stops it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.hub))
    }

    /// Serves until a [`Handle`] stops it; every thread that it started has ended then.
    ///
    /// # Errors
    /// Where the system has no thread for the clock.
    pub fn run(self) -> Result<Ended, ServerError> {
        let Server { listener, hub } = &self;
        log::info!(
            "listening on {} for {} clients",
            self.address(),
            hub.config.max_clients
        );
        hub.config.transcript.starting(hub.config.max_clients);
        let clock_hub = Arc::clone(hub);
        let clock =
            thread::spawn("clock", move || keeper::run(&clock_hub)).map_err(ServerError::Thread)?;
        std::thread::scope(|sessions| accept(hub, listener, sessions));
        hub.clock.stop();
        let _ = clock.join();
        let aborted = hub.abort_requested.load(Ordering::Acquire);
        log::info!("stopped");
        Ok(if aborted {
            Ended::Aborted
        } else {
            Ended::Drained
        })
    }

    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// Where the system has no thread for it.
    pub fn spawn(self) -> Result<Running, ServerError> {
        let (address, handle) = (self.address(), self.handle());
        let thread = thread::spawn("server", move || self.run()).map_err(ServerError::Thread)?;
        let thread = Some(thread);
        Ok(Running {
            address,
            handle,
            thread,
        })
    }
}

impl Handle {
    /// Has the server drain: it takes nothing new, gives what runs the drain time, says `bye`
    /// to everybody, and ends.
    pub fn stop(&self) {
        if !self.0.drain_requested.swap(true, Ordering::AcqRel) {
            self.0.clock.schedule(self.0.clock.now(), Due::Drain);
        }
    }

    /// Has the server end at once.
    pub fn abort(&self) {
        self.0.abort_requested.store(true, Ordering::Release);
        self.stop();
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.drain_requested.load(Ordering::Acquire)
    }

    /// How many are connected, ranked or not.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.0.connections().len()
    }

    /// How many clients are ranked.
    pub fn clients(&self) -> usize {
        self.0.roster.len()
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that stops it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Has it drain, and waits until it has ended.
    ///
    /// # Errors
    /// What [`Server::run`] gave.
    pub fn stop(mut self) -> Result<Ended, ServerError> {
        self.handle.stop();
        self.join()
    }

    fn join(&mut self) -> Result<Ended, ServerError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Ended::Aborted),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.abort();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Gives every connection a thread of its own, until the hub has the listener woken. The
/// scope joins them all.
fn accept<'scope>(hub: &'scope Arc<Hub>, listener: &Listener, sessions: &'scope Scope<'scope, '_>) {
    let mut trouble = Trouble::default();
    let mut courtesy = Courtesy::default();
    loop {
        match listener.accept() {
            Ok(Some(stream)) => {
                let (peer, now) = (stream.peer(), hub.clock.now());
                if hub.strangers.make_room(peer.ip(), now, &mut courtesy) {
                    start_session(hub, stream, sessions, &mut trouble);
                } else {
                    trouble.warn(now, format_args!("{peer}: no room for it"));
                    refuse(&stream, "the server has no room for you; try again later");
                }
            }
            Ok(None) => return,
            Err(e) => {
                let now = hub.clock.now();
                trouble.warn(now, format_args!("cannot accept a connection: {e}"));
                if !hub.strangers.make_room_in_need(now) {
                    std::thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }
}

fn start_session<'scope>(
    hub: &'scope Arc<Hub>,
    stream: Stream,
    sessions: &'scope Scope<'scope, '_>,
    trouble: &mut Trouble,
) {
    let (peer, now) = (stream.peer(), hub.clock.now());
    stream.set_unacknowledged_timeout(hub.config.heartbeat.saturating_mul(2));
    let stream = Arc::new(stream);
    let connection = Arc::new(Connection::new(Arc::clone(&stream), now));
    let number = hub.connected(&connection);
    let builder = Builder::new()
        .name("session".into())
        .stack_size(SESSION_STACK);
    let started = builder.spawn_scoped(sessions, move || {
        session::serve(hub, &connection);
        hub.disconnected(number);
    });
    if let Err(e) = started {
        trouble.warn(now, format_args!("{peer}: no thread for it: {e}"));
        refuse(&stream, "the server has no thread for you; try again later");
        hub.disconnected(number);
    }
}

/// Tells somebody why it is not served, without waiting for it.
fn refuse(stream: &Stream, why: &str) {
    let error = RpcError::new(Code::Internal, why);
    let _ = stream.write_now(&error_line(None, &error));
    stream.shutdown_write();
    let mut said = [0; REFUSED_BYTES];
    if stream.has_unread() {
        let _ = (&*stream).read(&mut said);
    }
    stream.close();
}

/// What goes wrong with connections, logged now and then, whoever causes it how often.
#[derive(Default)]
struct Trouble {
    quiet_until: u64,
    unsaid: u64,
}

impl Trouble {
    fn warn(&mut self, now: u64, what: std::fmt::Arguments<'_>) {
        if now < self.quiet_until {
            self.unsaid += 1;
            return;
        }
        match std::mem::take(&mut self.unsaid) {
            0 => log::warn!("{what}"),
            unsaid => log::warn!("{what}; before that {unsaid} more like it"),
        }
        self.quiet_until = now + TROUBLE_LOG_MS;
    }
}
