//! Accepts connections. One thread at a time waits in `accept`, and serves the connection that it
//! gets; the thread behind it takes its place and starts another one to wait there. So a join waits
//! until one thread wakes up, and for no thread to start.

use crate::connection::{Connection, bye_line};
use crate::hub::Hub;
use crate::session;
use crate::throttled_log::ThrottledLog;
use common::limits::{MAX_LINE_BEFORE_JOIN, unacknowledged};
use common::net::listener::Listener;
use common::net::stream::Stream;
use common::sys::sync::{Arc, Mutex, role};
use common::wire::ByeReason;
use common::wire::message::{Code, RpcError, error_line};
use std::io::{self, Read};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, Scope};
use std::time::Duration;

/// Bytes of a session's stack. A session calls nothing that recurses: JSON of any depth is
/// skipped without recursion, and what is parsed is flat.
const SESSION_STACK: usize = 256 << 10;

/// The pause after the system had no descriptor for a connection. Nothing tells the server when
/// there is one again; the connections that wait meanwhile are accepted then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are read from a connection that is refused: what it sent before the refusal. The
/// system would discard the refusal if anything unread were left at the close.
const REFUSED_BYTES: usize = MAX_LINE_BEFORE_JOIN;

/// What belongs to the thread that accepts.
pub(crate) struct Acceptor<'a> {
    listener: &'a Listener,
    trouble: ThrottledLog,
    /// Whether a thread waits to accept next.
    has_next: bool,
    /// No connection is accepted any more.
    is_closed: bool,
}

impl<'a> Acceptor<'a> {
    pub(crate) fn new(listener: &'a Listener) -> Acceptor<'a> {
        Acceptor {
            listener,
            trouble: ThrottledLog::new(log::Level::Warn),
            has_next: false,
            is_closed: false,
        }
    }
}

/// Starts a thread that waits for its turn to accept, starts the thread that accepts next, and serves
/// the connection that it gets. That goes on until the hub wakes the listener. The scope joins all of
/// these threads.
///
/// # Errors
/// The system has no thread.
pub(crate) fn start<'scope, 'env>(
    acceptor: &'scope Mutex<Acceptor<'env>>,
    hub: &'scope Arc<Hub>,
    threads: &'scope Scope<'scope, 'env>,
) -> io::Result<()> {
    let builder = Builder::new()
        .name("session".into())
        .stack_size(SESSION_STACK);
    builder.spawn_scoped(threads, move || {
        let receive = AssertUnwindSafe(|| receive(acceptor, hub, threads));
        let Ok(received) = catch_unwind(receive) else {
            log::error!("accepting a connection panicked");
            let _ = start(acceptor, hub, threads);
            return;
        };
        if let Some(connection) = received {
            session::serve(hub, connection);
        }
    })?;
    Ok(())
}

/// Waits for its turn to accept, and for a connection that can be served. `None`: no connection is
/// accepted any more.
#[inline(never)]
fn receive<'scope, 'env>(
    shared: &'scope Mutex<Acceptor<'env>>,
    hub: &'scope Arc<Hub>,
    threads: &'scope Scope<'scope, 'env>,
) -> Option<Arc<Connection>> {
    let mut acceptor = role(shared);
    acceptor.has_next = false;
    if acceptor.is_closed {
        return None;
    }
    let start_next = |acceptor: &mut Acceptor<'_>| {
        let started = if acceptor.has_next {
            Ok(())
        } else {
            start(shared, hub, threads)
        };
        acceptor.has_next = started.is_ok();
        started
    };
    loop {
        let _ = start_next(&mut acceptor);
        let stream = next(&mut acceptor, hub)?;
        let peer = stream.peer();
        // If the system had no thread before, it may have one by now.
        match start_next(&mut acceptor) {
            Ok(()) => return Some(admit(hub, stream)),
            Err(e) => {
                let now = hub.timers.now();
                acceptor
                    .trouble
                    .log(now, format_args!("{peer}: no thread for it: {e}"));
                refuse(hub, &stream, &lacks("thread"));
            }
        }
    }
}

/// The next connection for which there is room.
#[inline(never)]
fn next(acceptor: &mut Acceptor<'_>, hub: &Hub) -> Option<Stream> {
    loop {
        match acceptor.listener.accept() {
            Ok(Some(stream)) => {
                let (peer, now) = (stream.peer(), hub.timers.now());
                let handshakes = &hub.handshakes;
                if guesses_in_vain(hub, peer.ip(), now) {
                    let what = format_args!("{peer} may not join: {GUESSED_TOO_OFTEN}");
                    hub.token_log.log(now, what);
                    let line = bye_line(ByeReason::IdleHandshake, GUESSED_TOO_OFTEN);
                    refuse(hub, &stream, &line);
                    continue;
                }
                if handshakes.make_room(peer.ip(), now) {
                    return Some(stream);
                }
                acceptor
                    .trouble
                    .log(now, format_args!("{peer}: no room for it"));
                refuse(hub, &stream, &lacks("room"));
            }
            Ok(None) => {
                acceptor.is_closed = true;
                return None;
            }
            Err(e) => {
                let now = hub.timers.now();
                acceptor
                    .trouble
                    .log(now, format_args!("cannot accept a connection: {e}"));
                if !hub.handshakes.make_room_in_need(now) {
                    std::thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }
}

#[inline(never)]
fn admit(hub: &Hub, stream: Stream) -> Arc<Connection> {
    stream.set_unacknowledged_timeout(unacknowledged(hub.config.heartbeat));
    #[cfg(not(shuttle))]
    let stream = match hub.tls {
        Some(_) => stream.undecided(),
        None => stream,
    };
    let connection = Connection::new(Arc::new(stream), &hub.budget.all, hub.timers.now());
    let connection = Arc::new(connection.counted(&hub.telemetry));
    hub.connected(&connection);
    connection
}

/// Whether the server would not check a newcomer's token, and would close another connection of its
/// address to make room. To refuse such a newcomer here costs a tenth of handing it to a session:
/// otherwise a flood of wrong tokens is faster than the acceptor, and the right token waits behind
/// it.
fn guesses_in_vain(hub: &Hub, address: IpAddr, now: u64) -> bool {
    hub.throttle.refuses(address, now) && hub.handshakes.has_all_places(address)
}

const GUESSED_TOO_OFTEN: &str = "too many wrong tokens came from your address; try again later";

/// The error for a connection that the server has no means to serve.
fn lacks(means: &str) -> Vec<u8> {
    let message = format!("the server has no {means} for you; try again later");
    error_line(None, &RpcError::new(Code::Internal, message))
}

/// Tells a connection why it is not served, and closes it without waiting. Its buffer is in a frame
/// of its own: every session's thread passes through the caller, and a stack keeps the memory that it
/// once used.
#[inline(never)]
fn refuse(hub: &Hub, stream: &Stream, line: &[u8]) {
    // A client that expects TLS has no use for a line.
    if hub.config.tls.is_none() {
        let _ = stream.write_now(line);
    }
    stream.shutdown_write();
    let mut sent = [0; REFUSED_BYTES];
    if stream.has_unread() {
        let _ = (&*stream).read(&mut sent);
    }
    stream.close();
}
