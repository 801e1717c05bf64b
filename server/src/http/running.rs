//! The life of the HTTP side of a server: bound, then running, then ended with it.

use super::connections::{Connections, Visit};
use super::drive::{self, Wants};
use super::encrypt;
use super::guard::Hosts;
use super::routes::{self, Shared};
use crate::hub::Hub;
use common::net::listener::{Listener, Waker};
use common::net::stream::Stream;
use common::sys::sync::Arc;
use common::sys::thread::{self, JoinHandle};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Bytes of the stack of a connection's thread: hyper's state machine is flat, and what answers is
/// made on the heap.
const STACK: usize = 512 << 10;

/// The pause after the system had no descriptor or no thread for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often a sample is taken, and connections are looked at.
const SECOND: Duration = Duration::from_secs(1);

/// An address that is listened at.
pub(crate) struct Bound {
    listener: Arc<Listener>,
    waker: Waker,
}

/// The running threads; dropping it ends them.
pub(crate) struct Running<'a> {
    bound: &'a Bound,
    connections: Arc<Connections>,
    clock: Option<(Sender<()>, JoinHandle<()>)>,
    acceptor: Option<JoinHandle<()>>,
}

impl Bound {
    /// Listens.
    ///
    /// # Errors
    /// It cannot listen there.
    pub(crate) fn bind(address: &str) -> io::Result<Bound> {
        let (listener, waker) = Listener::bind(address)?;
        let listener = Arc::new(listener);
        Ok(Bound { listener, waker })
    }

    /// Where it listens; if port 0 was asked for, with the port that it got.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until what it returns is dropped.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(&self, hub: &Arc<Hub>) -> io::Result<Running<'_>> {
        let shared = Arc::new(Shared {
            hosts: Hosts::of(hub),
            hub: Arc::clone(hub),
            connections: Arc::default(),
        });
        let mut running = Running {
            bound: self,
            connections: Arc::clone(&shared.connections),
            clock: None,
            acceptor: None,
        };
        let (end, ended) = bounded(0);
        let clock_shared = Arc::clone(&shared);
        let clock = thread::spawn("http-clock", move || keep_time(&clock_shared, &ended))?;
        running.clock = Some((end, clock));
        let listener = Arc::clone(&self.listener);
        let acceptor = thread::spawn("http-accept", move || accept(&listener, &shared))?;
        running.acceptor = Some(acceptor);
        log::info!("http: listening on {}", self.address());
        Ok(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.bound.waker.wake();
        self.connections.end();
        if let Some((end, clock)) = self.clock.take() {
            drop(end);
            let _ = clock.join();
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Accepts connections, and starts a thread for each. Ends when all of these have.
fn accept(listener: &Listener, shared: &Arc<Shared>) {
    std::thread::scope(|threads| {
        loop {
            let stream = match listener.accept() {
                Ok(Some(stream)) => stream,
                Ok(None) => return shared.connections.end(),
                Err(e) => {
                    log::warn!("http: cannot accept a connection: {e}");
                    std::thread::sleep(ACCEPT_PAUSE);
                    continue;
                }
            };
            let stream = match shared.hub.tls {
                Some(_) => stream.undecided(),
                None => stream,
            };
            let now = shared.hub.timers.now();
            let Some(visit) = shared.connections.admit(Arc::new(stream), now) else {
                log::debug!("http: no room for a connection");
                continue;
            };
            let builder = Builder::new().name("http".into()).stack_size(STACK);
            let its = Arc::clone(&visit);
            let started = builder.spawn_scoped(threads, move || {
                let answer = AssertUnwindSafe(|| answer(shared, &its));
                if catch_unwind(answer).is_err() {
                    log::error!("http: {}: its thread panicked", its.stream.peer());
                }
                its.stream.close();
                shared.connections.leave(&its);
            });
            if let Err(e) = started {
                log::warn!("http: no thread for a connection: {e}");
                shared.connections.leave(&visit);
                std::thread::sleep(ACCEPT_PAUSE);
            }
        }
    });
}

fn answer(shared: &Arc<Shared>, visit: &Arc<Visit>) {
    if let Err(e) = encrypt::encrypt(&shared.hub, &visit.stream) {
        log::debug!("http: {}: {e}", visit.stream.peer());
        return;
    }
    let wants: Rc<Wants> = Rc::default();
    drive::serve(visit, &shared.hub.timers, &wants, |request| {
        visit.ask(shared.hub.timers.now());
        routes::answer(shared, visit, &wants, request)
    });
    linger(&visit.stream);
}

/// Drops what the client still says: with something unread, a close would take away the last answer
/// (RFC 9293 §3.10.7.1). The clock ends it.
fn linger(stream: &Stream) {
    stream.shutdown_write();
    stream.drop_input();
}

/// Takes a sample each second, and looks at connections.
fn keep_time(shared: &Shared, ended: &Receiver<()>) {
    let mut next = Instant::now();
    loop {
        let hub = &shared.hub;
        let load = hub.roster.look(|view| view.load());
        hub.telemetry.end_second(load);
        shared.connections.sweep(hub.timers.now());
        next = (next + SECOND).max(Instant::now());
        match ended.recv_deadline(next) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
