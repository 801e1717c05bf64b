//! Where connections come in. One thread at a time stands at the door; whoever comes is
//! served by that thread, and the one behind it steps up. So a client that dials in waits for
//! one thread to wake up, and not for another to be started: that is done behind its back, by
//! who steps up.

use crate::connection::{Connection, bye_line};
use crate::hub::Hub;
use crate::join::handshakes::Courtesy;
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

/// How long accepting pauses where the system has no descriptors left. Nobody tells when it
/// has some again, and whoever waits meanwhile is served then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are taken from somebody who is refused without a thread: what it said before
/// the refusal, which would be lost if something unread were left at the end.
const REFUSED_BYTES: usize = MAX_LINE_BEFORE_JOIN;

/// What belongs to the thread at the door.
pub(crate) struct Door<'a> {
    listener: &'a Listener,
    /// What goes wrong with connections.
    trouble: ThrottledLog,
    courtesy: Courtesy,
    /// Whether a thread stands behind it.
    is_backed: bool,
    /// Nobody is let in any more.
    is_closed: bool,
}

impl<'a> Door<'a> {
    pub(crate) fn new(listener: &'a Listener) -> Door<'a> {
        Door {
            listener,
            trouble: ThrottledLog::new(log::Level::Warn),
            courtesy: Courtesy::default(),
            is_backed: false,
            is_closed: false,
        }
    }
}

/// Starts a thread that waits for its turn at the door and serves whoever comes then, and that
/// sees to it that another one stands behind it meanwhile: so every connection has a thread of
/// its own, until the hub has the listener woken. The scope joins them all.
///
/// # Errors
/// Where the system has no thread.
pub(crate) fn open<'scope, 'env>(
    door: &'scope Mutex<Door<'env>>,
    hub: &'scope Arc<Hub>,
    threads: &'scope Scope<'scope, 'env>,
) -> io::Result<()> {
    let builder = Builder::new()
        .name("session".into())
        .stack_size(SESSION_STACK);
    builder.spawn_scoped(threads, move || {
        let receive = AssertUnwindSafe(|| receive(door, hub, threads));
        let Ok(received) = catch_unwind(receive) else {
            log::error!("who stood at the door panicked; another one takes its place");
            let _ = open(door, hub, threads);
            return;
        };
        if let Some((connection, number)) = received {
            session::serve(hub, &connection);
            hub.disconnected(number);
        }
    })?;
    Ok(())
}

/// Waits for its turn at the door, and for somebody to come; the connection, and the number
/// that it is known by. `None` once nobody is let in any more.
#[inline(never)]
fn receive<'scope, 'env>(
    door_of_all: &'scope Mutex<Door<'env>>,
    hub: &'scope Arc<Hub>,
    threads: &'scope Scope<'scope, 'env>,
) -> Option<(Arc<Connection>, u64)> {
    let mut door = role(door_of_all);
    door.is_backed = false;
    if door.is_closed {
        return None;
    }
    let back = |door: &mut Door<'_>| {
        let backed = if door.is_backed {
            Ok(())
        } else {
            open(door_of_all, hub, threads)
        };
        door.is_backed = backed.is_ok();
        backed
    };
    loop {
        let _ = back(&mut door);
        let stream = next(&mut door, hub)?;
        let peer = stream.peer();
        // There may be threads again by now.
        match back(&mut door) {
            Ok(()) => return Some(let_in(hub, stream)),
            Err(e) => {
                let now = hub.clock.now();
                door.trouble
                    .log(now, format_args!("{peer}: no thread for it: {e}"));
                refuse(
                    hub,
                    &stream,
                    &no_means("the server has no thread for you; try again later"),
                );
            }
        }
    }
}

/// The next connection for which there is room.
fn next(door: &mut Door<'_>, hub: &Hub) -> Option<Stream> {
    loop {
        match door.listener.accept() {
            Ok(Some(stream)) => {
                let (peer, now) = (stream.peer(), hub.clock.now());
                let strangers = &hub.strangers;
                if guesses_in_vain(hub, peer.ip(), now) {
                    let what = format_args!("{peer} may not join: {GUESSED_TOO_OFTEN}");
                    hub.token_log.log(now, what);
                    let line = bye_line(ByeReason::IdleHandshake, GUESSED_TOO_OFTEN);
                    refuse(hub, &stream, &line);
                    continue;
                }
                if strangers.make_room(peer.ip(), now, &mut door.courtesy) {
                    return Some(stream);
                }
                door.trouble
                    .log(now, format_args!("{peer}: no room for it"));
                refuse(
                    hub,
                    &stream,
                    &no_means("the server has no room for you; try again later"),
                );
            }
            Ok(None) => {
                door.is_closed = true;
                return None;
            }
            Err(e) => {
                let now = hub.clock.now();
                door.trouble
                    .log(now, format_args!("cannot accept a connection: {e}"));
                if !hub.strangers.make_room_in_need(now) {
                    std::thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }
}

fn let_in(hub: &Hub, stream: Stream) -> (Arc<Connection>, u64) {
    stream.set_unacknowledged_timeout(unacknowledged(hub.config.heartbeat));
    #[cfg(not(shuttle))]
    let stream = match hub.tls {
        Some(_) => stream.undecided(),
        None => stream,
    };
    let connection = Connection::new(Arc::new(stream), &hub.keeping.all, hub.clock.now());
    let connection = Arc::new(connection);
    let number = hub.connected(&connection);
    (connection, number)
}

/// Whether a newcomer's token would not be looked at, and it would push out another connection of
/// its address for that. To take such a newcomer costs two threads a switch, and to refuse it at
/// the door a tenth of that: else a flood of wrong tokens is faster than the door, and the right
/// one waits behind it.
fn guesses_in_vain(hub: &Hub, address: IpAddr, now: u64) -> bool {
    hub.throttle.refuses(address, now) && hub.strangers.has_all_places(address)
}

const GUESSED_TOO_OFTEN: &str = "too many wrong tokens came from your address; try again later";

/// The error for a connection that the server has no means to serve.
fn no_means(why: &str) -> Vec<u8> {
    error_line(None, &RpcError::new(Code::Internal, why))
}

/// Tells a connection with a line why it is not served, without waiting for it. What it reads
/// into must not be in the frame of its caller: every session's thread has been there, and keeps
/// the memory that its stack ever had.
#[inline(never)]
fn refuse(hub: &Hub, stream: &Stream, line: &[u8]) {
    // A client that expects TLS has no use for a line.
    if hub.config.tls.is_none() {
        let _ = stream.write_now(line);
    }
    stream.shutdown_write();
    let mut said = [0; REFUSED_BYTES];
    if stream.has_unread() {
        let _ = (&*stream).read(&mut said);
    }
    stream.close();
}
