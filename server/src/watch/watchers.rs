//! The clients that watch, as sessions hand them to the thread that tells them ([`thread`](super::thread)).
//!
//! The thread starts with the first watcher and ends with the last one: a server without watchers
//! has none.

use crate::connection::Connection;
use crate::watch::reader::Reader;
use common::sys::sync::{Arc, Mutex, role};
use common::sys::thread::{self, JoinHandle};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io;
use std::mem;

/// The clients that watch. Sessions leave what changes, and wake up the thread.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<State>);

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

/// A client that watches.
pub(crate) struct Watcher {
    member: u64,
    pub(super) connection: Arc<Connection>,
    pub(super) reader: Reader,
}

impl Watcher {
    /// The client with this number, whose reader was told what its answer says.
    pub(crate) fn new(member: u64, connection: &Arc<Connection>, reader: Reader) -> Watcher {
        Watcher {
            member,
            connection: Arc::clone(connection),
            reader,
        }
    }
}

impl Watchers {
    /// Has a client told what changes, after the answer to its request. The thread that tells them does
    /// `run`.
    ///
    /// # Errors
    /// The system has no thread for it; the client was told nothing.
    pub(super) fn begin(
        &self,
        watcher: Watcher,
        answer: Vec<u8>,
        run: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> io::Result<()> {
        // A role: it starts a thread, and only sessions of watchers wait for it.
        let mut state = role(&self.0);
        if state.wake.is_none() {
            let (wake, woken) = bounded(1);
            let before = state.thread.take();
            let run = move || {
                // The one before has no watcher any more, and is about to end.
                before.map(JoinHandle::join);
                run(&woken);
            };
            state.thread = Some(thread::spawn("watch", run)?);
            state.wake = Some(wake);
        }
        watcher.connection.outbox.push(answer);
        let earlier = state.change(watcher.member, Some(watcher));
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
    pub(super) fn update(&self, watchers: &mut Vec<Watcher>) -> bool {
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;
    use crate::testing::member;
    use crate::watch::reader::Readers;

    #[test]
    fn of_many_changes_of_a_member_the_last_one_waits() {
        let telemetry = Telemetry::new(false);
        let readers = Arc::new(Readers::new(&telemetry));
        let connection = &member(1, "watcher", 0).connection;
        let (inbox, (wake, woken)) = (Watchers::default(), bounded(1));
        role(&inbox.0).wake = Some(wake);
        let begin = |member: u64| {
            let watcher = Watcher::new(member, connection, Reader::open(&readers));
            let begun = inbox.begin(watcher, Vec::new(), |_| unreachable!("it runs"));
            begun.expect("it runs");
        };
        for _ in 0..100 {
            begin(1);
            inbox.forget(2);
            begin(2);
            inbox.forget(1);
        }
        assert_eq!(role(&inbox.0).changes.len(), 2);
        assert_eq!(woken.len(), 1);
        let mut watchers = Vec::new();
        assert!(inbox.update(&mut watchers));
        let members = |all: &[Watcher]| all.iter().map(|one| one.member).collect::<Vec<_>>();
        assert_eq!(members(&watchers), [2]);
        begin(1);
        begin(2);
        assert!(inbox.update(&mut watchers));
        assert_eq!(members(&watchers), [1, 2], "each once");
        inbox.forget(1);
        inbox.forget(2);
        assert!(!inbox.update(&mut watchers));
        assert!(telemetry.counting().is_none(), "no reader is left");
        inbox.forget(3);
        assert!(role(&inbox.0).changes.is_empty(), "no thread takes it");
    }
}
