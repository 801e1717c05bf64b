//! What happens to a client beside its own sends.
//!
//! The queue is bounded by its count, and keeps little until the program asks for it. Events
//! without a place are counted, and the count is told as soon as there is a place again.

use crate::error::ConnectError;
use crate::execute::job::{Job, Origin};
use crate::execute::result::ExecutionResult;
use common::sys::sync::Arc;
use common::wire::{ByeReason, Resumed};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Events kept before the program asks for them: what happens between connecting and asking.
const KEPT_UNASKED: usize = 64;

/// Events kept for a reader that is behind: several bursts of a thousand commands.
const KEPT: usize = 16 << 10;

/// Something that happened to a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Its rank changed.
    Rank {
        /// The new rank; 0 is the highest.
        rank: u32,
        /// How many clients are ranked.
        members: u32,
    },
    /// A lower-ranked client tried to command this one; nothing ran.
    Refused {
        /// The client.
        from: Origin,
        /// What it wanted.
        words: Vec<String>,
        /// Words were left out.
        truncated: bool,
    },
    /// A command arrived to be executed here.
    JobReceived(Job),
    /// A command that was executed here has ended; its answer is on its way.
    JobFinished {
        /// Which.
        job: Job,
        /// The answer; at most 4 KiB of each of its texts are repeated here.
        answer: ExecutionResult,
    },
    /// The server said why it is about to close.
    Bye {
        /// For programs.
        reason: ByeReason,
        /// For people.
        message: String,
    },
    /// The connection broke, and the server holds this client's place
    /// ([`Config::hold`]): what runs goes on, and what is sent waits. If the reason is
    /// [`Disconnect::Bye`], the server stops and holds the rank alone for its next start: what was open
    /// has ended, and requests fail with [`RequestError::NotConnected`] meanwhile.
    ///
    /// [`Config::hold`]: crate::Config::hold
    /// [`RequestError::NotConnected`]: crate::RequestError::NotConnected
    Away {
        /// How it broke.
        reason: Disconnect,
        /// The rank that is held.
        rank: u32,
        /// How long it is, from now on.
        left: Duration,
    },
    /// This client is back in its place.
    Resumed {
        /// What was kept: everything, or the rank alone; then its open sends have ended as
        /// [`Lost`](crate::RequestError::Lost), and its running jobs are being stopped.
        kept: Resumed,
        /// Its rank now.
        rank: u32,
        /// How long there was no connection.
        after: Duration,
    },
    /// The connection is lost, and this client tries to come back
    /// ([`Config::reconnect`](crate::Config::reconnect)). Its open sends have ended as
    /// [`Lost`](crate::RequestError::Lost) before this, and its running jobs are being stopped.
    Lost(Disconnect),
    /// A try to come back has failed; there will be another one.
    NotYet {
        /// Why.
        error: Arc<ConnectError>,
        /// How long the next try waits.
        pause: Duration,
    },
    /// There is a connection again; its number is new, and its name if it had chosen none, unless a
    /// server that was started meanwhile has held its place ([`Config::hold`](crate::Config::hold)).
    Rejoined {
        /// The last rank that it was told on the connection that was lost.
        was: u32,
        /// Its rank now, below all of its tier that were here by then. After a restart of the
        /// server all clients come back, in an order that within a tier is chance.
        rank: u32,
        /// How many clients are ranked.
        members: u32,
    },
    /// The connection is over and there will be no other; always the last event.
    Disconnected(Disconnect),
    /// So many events found no place, because those before them were not taken.
    Missed(u64),
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// This client left.
    #[error("this client left")]
    Left,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server closed the connection and said why.
    #[error("{what}: {message}", what = said(*.reason))]
    Bye {
        /// For programs.
        reason: ByeReason,
        /// For people.
        message: String,
    },
    /// The server gave no sign of life.
    #[error("the server gave no sign of life")]
    Silent,
    /// The system ended the connection, and why.
    #[error("the connection failed: {0}")]
    Failed(String),
    /// The server broke the protocol so that the connection was of no use any more.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The connection was lost, and the server does not let this client in again, for a
    /// reason that waiting does not change.
    #[error("{0}")]
    NotAdmitted(String),
}

/// What the server did when it gave a reason.
fn said(reason: ByeReason) -> String {
    match reason.is_final() {
        true => format!("the server has ended this client ({})", reason.name()),
        false => "the server said bye".into(),
    }
}

impl Disconnect {
    /// Whether the server has said that this client is not to come back.
    pub fn is_final(&self) -> bool {
        matches!(self, Disconnect::Bye { reason, .. } if reason.is_final())
    }
}

/// The queue of events.
#[derive(Debug)]
pub(crate) struct Events {
    into: Sender<ClientEvent>,
    out: Receiver<ClientEvent>,
    asked_for: AtomicBool,
    missed: AtomicU64,
}

impl Events {
    pub(crate) fn new() -> Events {
        let (into, out) = unbounded();
        Events {
            into,
            out,
            asked_for: AtomicBool::new(false),
            missed: AtomicU64::new(0),
        }
    }

    /// The receiving end; from now on more is kept.
    pub(crate) fn receiver(&self) -> &Receiver<ClientEvent> {
        self.asked_for.store(true, Ordering::Relaxed);
        &self.out
    }

    /// Tells one event, or counts it if there is no place. It is made only if there is.
    pub(crate) fn tell(&self, event: impl FnOnce() -> ClientEvent) {
        let limit = match self.asked_for.load(Ordering::Relaxed) {
            true => KEPT,
            false => KEPT_UNASKED,
        };
        if self.out.len() >= limit {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tell_missed();
        let _ = self.into.send(event());
    }

    /// Tells the last event; there is always a place for it.
    pub(crate) fn tell_last(&self, reason: Disconnect) {
        self.tell_missed();
        let _ = self.into.send(ClientEvent::Disconnected(reason));
    }

    fn tell_missed(&self) {
        if self.missed.load(Ordering::Relaxed) > 0 {
            let missed = self.missed.swap(0, Ordering::Relaxed);
            let _ = self.into.send(ClientEvent::Missed(missed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(rank: u32) -> ClientEvent {
        ClientEvent::Rank { rank, members: 9 }
    }

    #[test]
    fn events_beyond_the_bound_are_counted() {
        let events = Events::new();
        for n in 0..KEPT_UNASKED as u32 + 5 {
            events.tell(|| rank(n));
        }
        events.tell_last(Disconnect::Closed);
        let all: Vec<_> = events.receiver().try_iter().collect();
        assert_eq!(all.len(), KEPT_UNASKED + 2);
        assert!(matches!(all[KEPT_UNASKED], ClientEvent::Missed(5)));
        let last = all.last().expect("events");
        assert!(matches!(
            last,
            ClientEvent::Disconnected(Disconnect::Closed)
        ));
    }

    #[test]
    fn a_reader_that_asked_for_events_may_be_further_behind() {
        let events = Events::new();
        let receiver = events.receiver().clone();
        for n in 0..1000 {
            events.tell(|| rank(n));
        }
        assert_eq!(receiver.len(), 1000);
    }
}
