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
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::BTreeMap;
use std::io;
use std::mem;
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

/// The clients that watch. Sessions leave what changes, and wake up the thread.
#[derive(Default)]
pub(crate) struct Watching(Mutex<State>);

#[derive(Default)]
struct State {
    /// Wakes up the thread, while it runs.
    wake: Option<Sender<()>>,
    /// What the thread has not taken yet, by the member's number: that it watches from now on, or no
    /// more. Only the last change of a member counts, so they are no more than the members.
    changes: BTreeMap<u64, Option<Watcher>>,
    /// The last thread that was started.
    thread: Option<JoinHandle<()>>,
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
        if state.wake.is_none() {
            let (wake, woken) = bounded(1);
            let hub = Arc::clone(hub);
            let before = state.thread.take();
            let run = move || {
                // The one before has no watcher any more, and is about to end.
                before.map(JoinHandle::join);
                run(&hub, &woken);
            };
            state.thread = Some(thread::spawn("watch", run)?);
            state.wake = Some(wake);
        }
        connection.outbox.push(answer);
        let earlier = state.change(member, Some(watcher));
        drop(state);
        drop(earlier);
        Ok(())
    }

    /// Tells a client nothing more, if it watches.
    pub(crate) fn forget(&self, member: u64) {
        let earlier = role(&self.0).change(member, None);
        drop(earlier);
    }

    /// Ends the thread, once all sessions have ended.
    pub(crate) fn end(&self) {
        let mut state = role(&self.0);
        let thread = state.thread.take();
        state.wake = None;
        let changes = mem::take(&mut state.changes);
        drop(state);
        drop(changes);
        thread.map(JoinHandle::join);
    }

    /// Takes what has changed; `false`: there is no watcher, so the thread ends, and the next watcher
    /// starts another one.
    fn update(&self, watchers: &mut Vec<Watcher>) -> bool {
        let mut state = role(&self.0);
        let changes = mem::take(&mut state.changes);
        let has_changed = |watcher: &mut Watcher| changes.contains_key(&watcher.member);
        let gone: Vec<Watcher> = watchers.extract_if(.., has_changed).collect();
        watchers.extend(changes.into_values().flatten());
        let has_any = !watchers.is_empty();
        if !has_any {
            state.wake = None;
        }
        drop(state);
        drop(gone);
        has_any
    }
}

impl State {
    /// Leaves a change for the thread, if it runs. Returns the one that it has not taken.
    fn change(&mut self, member: u64, watcher: Option<Watcher>) -> Option<Watcher> {
        let Some(wake) = &self.wake else {
            return watcher;
        };
        // A full channel: it is going to look in any case.
        let _ = wake.try_send(());
        self.changes.insert(member, watcher).flatten()
    }
}

fn run(hub: &Arc<Hub>, woken: &Receiver<()>) {
    let mut watchers: Vec<Watcher> = Vec::new();
    let (mut next, mut second) = (Instant::now() + TICK, Instant::now());
    while hub.watching.update(&mut watchers) {
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
                watchers.retain_mut(|watcher| watcher.is_told(hub));
                let rest = (started.elapsed() * REST).min(LONGEST_REST);
                next = Instant::now() + rest.max(TICK);
            }
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
    fn of_many_changes_of_a_member_the_last_one_waits() {
        let (hub, connection, _far) = hub_and_connection();
        let (watching, (wake, woken)) = (Watching::default(), bounded(1));
        role(&watching.0).wake = Some(wake);
        let begin = |member: u64| {
            let reader = Reader::open(&hub);
            let begun = watching.begin(&hub, (member, &connection), reader, Vec::new());
            begun.expect("it runs");
        };
        for _ in 0..100 {
            begin(1);
            watching.forget(2);
            begin(2);
            watching.forget(1);
        }
        assert_eq!(role(&watching.0).changes.len(), 2);
        assert_eq!(woken.len(), 1);
        let mut watchers = Vec::new();
        assert!(watching.update(&mut watchers));
        let members = |all: &[Watcher]| all.iter().map(|one| one.member).collect::<Vec<_>>();
        assert_eq!(members(&watchers), [2]);
        begin(1);
        begin(2);
        assert!(watching.update(&mut watchers));
        assert_eq!(members(&watchers), [1, 2], "each once");
        watching.forget(1);
        watching.forget(2);
        assert!(!watching.update(&mut watchers));
        assert!(hub.telemetry.counting().is_none(), "no reader is left");
        watching.forget(3);
        assert!(role(&watching.0).changes.is_empty(), "no thread takes it");
    }

    #[test]
    fn a_watcher_for_which_something_waits_is_told_nothing_more() {
        let (hub, connection, _far) = hub_and_connection();
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
