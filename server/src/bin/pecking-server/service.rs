//! The server as a service of systemd: the socket that it may be handed, and what it tells (sd_notify(3)):
//! that it listens, how many members there are, that it is alive, and that it stops.
//!
//! A program that no service manager started is handed nothing and tells nothing: then this does
//! nothing, and SIGHUP drains as it does in a terminal that is closed.

use anyhow::{Context, bail};
use common::sys::thread;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use listenfd::ListenFd;
use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;
use server::Handle;
use std::net::TcpListener;
use std::time::Duration;

/// How often it looks whether the number of members has changed: what `systemctl status` shows is a
/// second old at most, and a look is two short locks.
const LOOK: Duration = Duration::from_secs(1);

/// The variable by which a service manager says where it listens.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The listening socket that the service manager hands over (`LISTEN_FDS`), if it does. To be asked
/// for once, before any thread starts.
///
/// # Errors
/// What it hands over is not one listening TCP socket.
pub(crate) fn socket() -> anyhow::Result<Option<TcpListener>> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 1 {
        bail!(
            "LISTEN_FDS={}: expected one socket, that of one ListenStream=",
            handed.len()
        );
    }
    let socket = handed.take_tcp_listener(0);
    socket.context("LISTEN_FDS: expected a listening TCP socket (ListenStream=HOST:PORT)")
}

/// SIGHUP, kept from ending a service.
#[derive(Clone, Copy)]
pub(crate) struct Hangup(SigSet);

impl Hangup {
    /// Keeps the signal for [`Service::start`], if a service manager started this program. Before any
    /// thread starts, so that none of them takes it.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn keep() -> anyhow::Result<Option<Hangup>> {
        if std::env::var_os(NOTIFY_SOCKET).is_none() {
            return Ok(None);
        }
        let hangup = SigSet::from(Signal::SIGHUP);
        hangup.thread_block().context("cannot handle signals")?;
        Ok(Some(Hangup(hangup)))
    }
}

/// Tells the service manager how the server is, until it is dropped.
pub(crate) struct Service {
    over: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    /// Tells that the server listens, and from now on how it is. SIGHUP has it read its files again.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(
        hangup: Option<Hangup>,
        handle: &Handle,
        most: u32,
    ) -> anyhow::Result<Option<Service>> {
        let Some(hangup) = hangup else {
            return Ok(None);
        };
        let reloads = handle.clone();
        // Nothing joins it: it waits for a signal as long as the program runs.
        thread::spawn("reload", move || reload(hangup, &reloads))
            .context("cannot start a thread")?;
        let (over, is_over) = bounded(0);
        let mut told = Told {
            handle: handle.clone(),
            most,
            watchdog: sd_notify::watchdog_enabled(),
            status: String::new(),
        };
        told.tell(&[NotifyState::Ready]);
        let pause = told
            .watchdog
            .map_or(LOOK, |watchdog| LOOK.min(watchdog / 2));
        let thread = thread::spawn("service", move || {
            while let Err(RecvTimeoutError::Timeout) = is_over.recv_timeout(pause) {
                told.tell(&[]);
            }
            told.tell(&[NotifyState::Stopping]);
        });
        Ok(Some(Service {
            over: Some(over),
            thread: Some(thread.context("cannot start a thread")?),
        }))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.over = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn reload(Hangup(hangup): Hangup, handle: &Handle) {
    while hangup.wait().is_ok() {
        log::info!(
            "SIGHUP: what has changed of the auth file, the expected machines and the certificates is read again"
        );
        handle.reload();
    }
}

/// What the service manager has been told.
struct Told {
    handle: Handle,
    most: u32,
    watchdog: Option<Duration>,
    status: String,
}

impl Told {
    /// Tells this, how many members there are if that has changed, and that the server is alive if its
    /// timers run: all clients need them.
    fn tell(&mut self, states: &[NotifyState<'_>]) {
        let mut states = states.to_vec();
        let status = self.members();
        if status != self.status {
            states.push(NotifyState::Status(&status));
        }
        let is_alive = |watchdog| self.handle.since_last_look() < watchdog;
        if self.watchdog.is_some_and(is_alive) {
            states.push(NotifyState::Watchdog);
        }
        if !states.is_empty()
            && let Err(error) = sd_notify::notify(&states)
        {
            log::debug!("the service manager cannot be told: {error}");
        }
        self.status = status;
    }

    fn members(&self) -> String {
        let members = self.handle.clients();
        match self.handle.is_stopping() {
            true => format!("draining, {members} members left"),
            false => format!("{members} of at most {} members", self.most),
        }
    }
}
