//! The server's life: bound, then running, then drained.

use crate::config::Config;
#[cfg(not(shuttle))]
use crate::http;
use crate::hub::Hub;
use crate::join::acceptor::{self, Acceptor};
use crate::record;
#[cfg(not(shuttle))]
use crate::reloading;
#[cfg(not(shuttle))]
use crate::state::{self, State, StateError};
use crate::timers;
use crate::timers::timer_queue::Timer;
#[cfg(not(shuttle))]
use crate::tls::Encryption;
use common::net::listener::Listener;
#[cfg(not(shuttle))]
use common::net::tls::files::TlsFileError;
use common::sys::sync::atomic::Ordering;
use common::sys::sync::{Arc, Mutex};
use common::sys::thread;
use common::sys::thread::JoinHandle;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another program listens there.
    #[error(
        "{address} is in use; stop the program that listens there, or choose another address with {option}"
    )]
    InUse {
        /// The address.
        address: String,
        /// The option that gives it.
        option: &'static str,
    },
    /// It cannot listen there for another reason.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The system has no thread for it.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The system has no random bytes to name its run by.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// It cannot keep its state in the file that it was told to use.
    #[cfg(not(shuttle))]
    #[error("{0}")]
    State(StateError),
    /// It cannot encrypt with the files that it was told to use.
    #[cfg(not(shuttle))]
    #[error("{0}")]
    Tls(TlsFileError),
}

/// How a server shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Every client was told, and had the drain time.
    Drained,
    /// It was told to end at once.
    Aborted,
}

/// A server that listens, and serves no client yet.
pub struct Server {
    listener: Listener,
    #[cfg(not(shuttle))]
    http: Option<http::Bound>,
    hub: Arc<Hub>,
}

/// Stops a server from elsewhere; clones stop the same one.
#[derive(Clone)]
pub struct Handle(Arc<Hub>);

/// A server that runs on a thread of its own. Dropping it ends it at once and joins it.
pub struct Running {
    address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Result<Shutdown, ServerError>>>,
}

impl Server {
    /// Listens. Clients can dial in from now on; they are served once it runs.
    ///
    /// # Errors
    /// It cannot listen at the address.
    pub fn bind(config: Config) -> Result<Server, ServerError> {
        Server::listen(config, None)
    }

    /// Takes over a socket that listens already, in place of the address of the settings. Clients that
    /// have dialled in since then are served, too.
    ///
    /// # Errors
    /// As for [`Server::bind`].
    pub fn adopt(config: Config, socket: TcpListener) -> Result<Server, ServerError> {
        Server::listen(config, Some(socket))
    }

    fn listen(config: Config, socket: Option<TcpListener>) -> Result<Server, ServerError> {
        #[cfg(not(shuttle))]
        let tls = config.tls.clone().map(Encryption::load).transpose();
        #[cfg(not(shuttle))]
        let tls = tls.map_err(ServerError::Tls)?;
        // Before it listens: no client may dial a server that ends at once.
        #[cfg(not(shuttle))]
        let state = config.state.as_deref().map(State::open).transpose();
        #[cfg(not(shuttle))]
        let state = state.map_err(ServerError::State)?;
        let bound = match socket {
            None => Listener::bind(&config.listen),
            Some(socket) => Listener::adopt(socket),
        };
        let (listener, waker) =
            bound.map_err(|source| not_bound(&config.listen, "--listen", source))?;
        #[cfg(not(shuttle))]
        let http = match &config.http {
            None => None,
            Some(http) => Some(
                http::Bound::bind(&http.listen)
                    .map_err(|source| not_bound(&http.listen, "--http", source))?,
            ),
        };
        let mut run = [0; 16];
        getrandom::fill(&mut run).map_err(ServerError::Random)?;
        let mut hub = Hub::new(config, u128::from_ne_bytes(run), waker);
        hub.address = Some(listener.address());
        #[cfg(not(shuttle))]
        {
            (hub.tls, hub.state) = (tls, state);
        }
        Ok(Server {
            listener,
            #[cfg(not(shuttle))]
            http,
            hub: Arc::new(hub),
        })
    }

    /// The address that it listens at; with port 0 asked for, the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The address at which it shows itself over HTTP, if it does.
    #[cfg(not(shuttle))]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(http::Bound::address)
    }

    /// A handle that stops it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.hub))
    }

    /// Serves until a [`Handle`] stops it; every thread that it started has ended then, but for one that
    /// a folder on a network keeps waiting for a file.
    ///
    /// # Errors
    /// The system has no thread for the timers, or none for sessions.
    pub fn run(self) -> Result<Shutdown, ServerError> {
        let Server { listener, hub, .. } = &self;
        log::info!(
            "listening on {} for {} clients",
            self.address(),
            hub.config.max_clients
        );
        if let Some(audit) = &hub.config.audit {
            record::start(audit, self.address());
        }
        hub.config.transcript.starting(hub.config.max_clients);
        #[cfg(not(shuttle))]
        let calculators = hub.tls.as_ref().map(|tls| tls.calculators.start());
        #[cfg(not(shuttle))]
        let calculators = calculators.transpose().map_err(ServerError::Thread)?;
        #[cfg(not(shuttle))]
        let writer = state::begin(hub).map_err(ServerError::State)?;
        #[cfg(not(shuttle))]
        let kept = writer.map(|writer| writer.start(hub)).transpose();
        #[cfg(not(shuttle))]
        let kept = kept.map_err(ServerError::Thread)?;
        #[cfg(not(shuttle))]
        let reloaders = reloading::start(hub).map_err(ServerError::Thread)?;
        #[cfg(not(shuttle))]
        let shown = self.http.as_ref().map(|bound| bound.start(hub));
        #[cfg(not(shuttle))]
        let shown = shown.transpose().map_err(ServerError::Thread)?;
        // Last of those that can fail: the others end when they are dropped.
        let timer_hub = Arc::clone(hub);
        let timer_thread = thread::spawn("timers", move || timers::run(&timer_hub))
            .map_err(ServerError::Thread)?;
        let acceptor = Mutex::new(Acceptor::new(listener));
        let started = std::thread::scope(|threads| acceptor::start(&acceptor, hub, threads));
        #[cfg(not(shuttle))]
        drop((shown, calculators));
        hub.watchers.end();
        hub.timers.stop();
        let _ = timer_thread.join();
        #[cfg(not(shuttle))]
        drop((reloaders, kept));
        started.map_err(ServerError::Thread)?;
        let aborted = hub.abort_requested.load(Ordering::Acquire);
        if let Some(audit) = &hub.config.audit {
            record::stop(audit, if aborted { "ended at once" } else { "drained" });
        }
        log::info!("stopped");
        Ok(if aborted {
            Shutdown::Aborted
        } else {
            Shutdown::Drained
        })
    }

    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// The system has no thread for it.
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
    /// to every client, and ends.
    pub fn stop(&self) {
        if !self.0.drain_requested.swap(true, Ordering::AcqRel) {
            self.0.timers.schedule(self.0.timers.now(), Timer::Drain);
        }
    }

    /// Has the server end at once.
    pub fn abort(&self) {
        self.0.abort_requested.store(true, Ordering::Release);
        self.stop();
    }

    /// Has the server read the auth file, the file of expected machines and the certificates again if
    /// they have changed, at once and not when it looks the next time.
    pub fn reload(&self) {
        // A full channel: it is going to look in any case.
        #[cfg(not(shuttle))]
        for (ask, _) in &self.0.files_asked {
            let _ = ask.try_send(());
        }
    }

    /// How long ago its timers were looked at: about a second at most, unless it stands still.
    pub fn since_last_look(&self) -> Duration {
        self.0.timers.since_last_look()
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.drain_requested.load(Ordering::Acquire)
    }

    /// How many clients are connected, ranked or not.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.0.connections().len()
    }

    /// What its threads share.
    #[cfg(test)]
    pub(crate) fn hub(&self) -> &Hub {
        &self.0
    }

    /// How many clients are ranked.
    pub fn clients(&self) -> usize {
        self.0.roster.len()
    }
}

/// Why an address that an option gives cannot be listened at.
fn not_bound(address: &str, option: &'static str, source: io::Error) -> ServerError {
    let address = address.to_owned();
    match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::InUse { address, option },
        _ => ServerError::Listen { address, source },
    }
}

impl Running {
    /// The address that it listens at.
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
    pub fn stop(mut self) -> Result<Shutdown, ServerError> {
        self.handle.stop();
        self.join()
    }

    fn join(&mut self) -> Result<Shutdown, ServerError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Shutdown::Aborted),
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
