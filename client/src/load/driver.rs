//! Serves many clients of a bench on one thread, each as soon as there is something to do for it.

use super::peer::{Peer, Role};
use super::report::Counts;
use super::sender::{Budget, Run, Sender};
use mio::{Events, Poll, Token};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const EVENTS: usize = 256;

/// How long a driver without events waits until it checks whether the run is over.
const TURN: Duration = Duration::from_millis(20);

/// How often a driver checks whether a sender has waited for too long.
const STALL_TICK: Duration = Duration::from_secs(1);

/// Some clients, and the poller of their connections.
pub(super) struct Driver {
    poll: Poll,
    events: Events,
    pub(super) peers: Vec<Peer>,
}

impl Driver {
    pub(super) fn new() -> io::Result<Driver> {
        Ok(Driver {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            peers: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, mut peer: Peer) -> io::Result<()> {
        peer.register(self.poll.registry(), Token(self.peers.len()))?;
        peer.serve(false)?;
        self.peers.push(peer);
        Ok(())
    }

    /// Waits for this long at most, and serves the clients that have something to do.
    pub(super) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        for event in &self.events {
            if let Some(peer) = self.peers.get_mut(event.token().0) {
                peer.serve(event.is_read_closed() || event.is_error())?;
            }
        }
        Ok(())
    }

    /// Makes its senders send this much, and serves all clients until the run is over.
    pub(super) fn run(&mut self, budget: Budget, run: &Run) -> io::Result<()> {
        for peer in &mut self.peers {
            if let Role::Send(sender) = &mut peer.role {
                sender.start(budget);
                peer.serve(false)?;
            }
        }
        let (mut is_sending, mut checked) = (true, Instant::now());
        while !run.is_over() {
            self.turn(TURN)?;
            let now = Instant::now();
            if is_sending && self.senders().all(|sender| sender.is_done(now)) {
                is_sending = false;
                run.sending.fetch_sub(1, Ordering::Relaxed);
            }
            if now.saturating_duration_since(checked) > STALL_TICK {
                checked = now;
                self.senders().try_for_each(|sender| sender.check(now))?;
            }
        }
        Ok(())
    }

    fn senders(&self) -> impl Iterator<Item = &Sender> {
        self.peers.iter().filter_map(Peer::sender)
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        self.senders().for_each(|sender| sender.count(counts));
    }
}
