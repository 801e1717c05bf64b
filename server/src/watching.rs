//! The clients that watch: one thread tells all of them what has changed, ten times a second at most,
//! and each only once it has taken what it was told before. So one that does not read has one
//! notification that waits, and neither a session nor the timers wait for any of this.
//!
//! The thread starts with the first watcher and ends with the last one: a server without watchers
//! has none. It is a small part of the server's work however many watch and however much happens: it
//! rests several times as long as it has worked.

use crate::connection::Connection;
use crate::hub::Hub;
use crate::telemetry::board::TICK_MS;
use crate::telemetry::reader::Reader;
use common::sys::sync::{Arc, Mutex, role};
use common::sys::thread::{self, JoinHandle};
use common::wire::message::notification_line;
use common::wire::method;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
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

/// The clients that watch. Sessions tell the thread of a change by a channel.
#[derive(Default)]
pub(crate) struct Watching(Mutex<State>);

#[derive(Default)]
struct State {
    /// While the thread runs.
    changes: Option<Sender<Change>>,
    /// The last thread that was started.
    thread: Option<JoinHandle<()>>,
}

enum Change {
    Begin(Box<Watcher>),
    /// The member of this number watches no more.
    End(u64),
}

struct Watcher {
    member: u64,
    connection: Arc<Connection>,
    reader: Reader,
}

impl Watching {
    /// Has a client told what changes, after the answer to its request.
    ///
    /// # Errors
    /// The system has no thread for it; the client was told nothing.
    pub(crate) fn begin(
        &self,
        hub: &Arc<Hub>,
        (member, connection): (u64, &Arc<Connection>),
        reader: Reader,
        answer: Vec<u8>,
    ) -> io::Result<()> {
        let watcher = Watcher {
            member,
            connection: Arc::clone(connection),
            reader,
        };
        // A role: it starts a thread, and only sessions of watchers wait for it.
        let mut state = role(&self.0);
        let changes = match &state.changes {
            Some(changes) => changes.clone(),
            None => {
                let (changes, told) = unbounded();
                let hub = Arc::clone(hub);
                let before = state.thread.take();
                let run = move || {
                    // The one before has no watcher any more, and is about to end.
                    before.map(JoinHandle::join);
                    run(&hub, &told);
                };
                state.thread = Some(thread::spawn("watch", run)?);
                state.changes = Some(changes.clone());
                changes
            }
        };
        connection.outbox.push(answer);
        // The thread lives: it ends under this role alone.
        let _ = changes.send(Change::Begin(Box::new(watcher)));
        Ok(())
    }

    /// Tells a client nothing more, if it watches.
    pub(crate) fn forget(&self, member: u64) {
        let state = role(&self.0);
        if let Some(changes) = &state.changes {
            let _ = changes.send(Change::End(member));
        }
    }

    /// Ends the thread, once all sessions have ended.
    pub(crate) fn end(&self) {
        let mut state = role(&self.0);
        let thread = state.thread.take();
        state.changes = None;
        drop(state);
        thread.map(JoinHandle::join);
    }

    /// Whether the thread may end: no change has come meanwhile. From then on the next watcher starts
    /// another one.
    fn is_over(&self, changes: &Receiver<Change>) -> bool {
        let mut state = role(&self.0);
        let is_over = changes.is_empty();
        if is_over {
            state.changes = None;
        }
        is_over
    }
}

fn run(hub: &Arc<Hub>, changes: &Receiver<Change>) {
    let mut watchers: Vec<Watcher> = Vec::new();
    let (mut next, mut second) = (Instant::now() + TICK, Instant::now());
    loop {
        match changes.recv_deadline(next) {
            Ok(Change::Begin(watcher)) => watchers.push(*watcher),
            Ok(Change::End(member)) => watchers.retain(|watcher| watcher.member != member),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let started = Instant::now();
                if hub.config.http.is_none() && started >= second {
                    second = started + SECOND;
                    hub.telemetry.end_second(&hub.roster);
                }
                watchers.retain_mut(|watcher| watcher.is_told(hub));
                let rest = (started.elapsed() * REST).min(LONGEST_REST);
                next = Instant::now() + rest.max(TICK);
            }
        }
        if watchers.is_empty() && hub.watching.is_over(changes) {
            return;
        }
    }
}

impl Watcher {
    /// Tells it what has changed, if it has taken what it was told before. `false`: it is gone.
    fn is_told(&mut self, hub: &Hub) -> bool {
        let outbox = Arc::clone(&self.connection.outbox);
        if !outbox.is_open() {
            return false;
        }
        if outbox.is_behind() {
            return true;
        }
        let line = AssertUnwindSafe(|| {
            self.reader
                .tell(|watched| notification_line(method::WATCHED, watched))
        });
        match catch_unwind(line) {
            Ok(None) => {}
            Ok(Some(line)) => {
                outbox.push(line);
                outbox.flush();
                hub.timers.retry_stuck(&self.connection);
            }
            Err(_) => {
                log::error!("telling a client that watches panicked");
                self.connection.stream.shutdown();
                return false;
            }
        }
        true
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use common::memory::Memory;
    use common::net::listener::Listener;
    use common::net::stream::Stream;

    #[test]
    fn a_watcher_for_which_something_waits_is_told_nothing_more() {
        let (listener, waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.address().to_string();
        let _far = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
        let near = listener.accept().expect("loopback").expect("not woken");
        let hub = Arc::new(Hub::new(Config::default(), 1, waker));
        let connection = Arc::new(Connection::new(Arc::new(near), &Memory::unlimited(), 1));
        let watcher = || Watcher {
            member: 1,
            connection: Arc::clone(&connection),
            reader: Reader::open(&hub),
        };
        let outbox = &connection.outbox;
        let mut first = watcher();
        assert!(first.is_told(&hub), "the first state");
        assert!(!outbox.is_behind(), "it has gone");
        while !outbox.is_behind() {
            outbox.push(vec![b'x'; 1 << 20]);
            outbox.flush();
        }
        let waiting = outbox.waiting_bytes();
        let mut second = watcher();
        assert!(second.is_told(&hub), "it is still here");
        assert!(outbox.waiting_bytes() <= waiting, "and nothing more waits");
        assert!(hub.telemetry.counting().is_some());
        drop((first, second));
        assert!(
            hub.telemetry.counting().is_none(),
            "with the last one it ends"
        );
        let mut third = watcher();
        outbox.close();
        assert!(!third.is_told(&hub), "it is gone");
    }
}
