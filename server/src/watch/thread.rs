//! One thread tells all clients that watch what has changed, ten times a second at most, and each only
//! once it has taken what it was told before. So one that does not read has one notification that
//! waits, and neither a session nor the timers wait for any of this.
//!
//! It is a small part of the server's work however many watch and however much happens: it rests
//! several times as long as it has worked.

use crate::hub::Hub;
use crate::watch::board::TICK_MS;
use crate::watch::watchers::Watcher;
use common::sys::sync::Arc;
use common::wire::message::notification_line;
use common::wire::method;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The pause between two notifications.
const TICK: Duration = Duration::from_millis(TICK_MS);

/// After a round, none begins for this many times as long as it took: so all watchers together take
/// a tenth of one processor at most.
const REST: u32 = 9;

/// The longest such rest: a round that a busy machine made longer says nothing about its cost.
const LONGEST_REST: Duration = Duration::from_secs(3);

/// How often a sample is taken.
const SECOND: Duration = Duration::from_secs(1);

/// Has a client told what changes, after the answer to its request.
///
/// # Errors
/// The system has no thread for it; the client was told nothing.
pub(crate) fn begin(hub: &Arc<Hub>, watcher: Watcher, answer: Vec<u8>) -> io::Result<()> {
    let run_for = Arc::clone(hub);
    hub.watchers
        .begin(watcher, answer, move |woken| run(&run_for, woken))
}

fn run(hub: &Arc<Hub>, woken: &Receiver<()>) {
    let mut watchers: Vec<Watcher> = Vec::new();
    let (mut next, mut second) = (Instant::now() + TICK, Instant::now());
    while hub.watchers.update(&mut watchers) {
        match woken.recv_deadline(next) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let started = Instant::now();
                if hub.config.http.is_none() && started >= second {
                    second = started + SECOND;
                    let load = hub.roster.look(|view| view.load());
                    hub.telemetry.end_second(load);
                }
                watchers.retain_mut(|watcher| is_told(hub, watcher));
                let rest = (started.elapsed() * REST).min(LONGEST_REST);
                next = Instant::now() + rest.max(TICK);
            }
        }
    }
}

/// Tells a client what has changed, if it has taken what it was told before. `false`: it is gone.
fn is_told(hub: &Hub, watcher: &mut Watcher) -> bool {
    let outbox = Arc::clone(&watcher.connection.outbox);
    if !outbox.is_open() {
        return false;
    }
    if outbox.is_behind() {
        return true;
    }
    let line = AssertUnwindSafe(|| {
        hub.tell(&mut watcher.reader, |watched| {
            notification_line(method::WATCHED, watched)
        })
    });
    match catch_unwind(line) {
        Ok(None) => {}
        Ok(Some(line)) => {
            outbox.push(line);
            outbox.flush();
            hub.timers.retry_stuck(&watcher.connection);
        }
        Err(_) => {
            log::error!("telling a client that watches panicked");
            watcher.connection.stream.shutdown();
            return false;
        }
    }
    true
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::connection::Connection;
    use crate::watch::reader::Reader;
    use common::memory::Memory;
    use common::net::listener::Listener;
    use common::net::stream::Stream;

    fn hub_and_connection() -> (Arc<Hub>, Arc<Connection>, Stream) {
        let (listener, waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.address().to_string();
        let far = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
        let near = listener.accept().expect("loopback").expect("not woken");
        let hub = Arc::new(Hub::new(Config::default(), 1, waker));
        let connection = Connection::new(Arc::new(near), &Memory::unlimited(), 1);
        (hub, Arc::new(connection), far)
    }

    #[test]
    fn a_watcher_for_which_something_waits_is_told_nothing_more() {
        let (hub, connection, _far) = hub_and_connection();
        let watcher = || Watcher::new(1, &connection, Reader::open(&hub.readers));
        let outbox = &connection.outbox;
        let mut first = watcher();
        assert!(is_told(&hub, &mut first), "the first state");
        assert!(!outbox.is_behind(), "it has gone");
        while !outbox.is_behind() {
            outbox.push(vec![b'x'; 1 << 20]);
            outbox.flush();
        }
        let waiting = outbox.waiting_bytes();
        let mut second = watcher();
        assert!(is_told(&hub, &mut second), "it is still here");
        assert!(outbox.waiting_bytes() <= waiting, "and nothing more waits");
        assert!(hub.telemetry.counting().is_some());
        drop((first, second));
        assert!(
            hub.telemetry.counting().is_none(),
            "with the last one it ends"
        );
        let mut third = watcher();
        outbox.close();
        assert!(!is_told(&hub, &mut third), "it is gone");
    }
}
