//! What a client comes back to its place with, after its connection broke.

use common::sys::sync::{Mutex, lock};
use common::wire::{Resumable, ResumeToken};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The longest hold that is believed of a server: a client that lost its server goes on with what it
/// runs no longer than that.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The place that the server holds.
#[derive(Debug)]
pub(crate) struct Hold {
    /// How long it does after the last line that it received.
    pub(crate) time: Duration,
    /// Lines of the server's that were received over all connections; `ack`s do not count.
    received: AtomicU64,
    /// The server stops, and holds the place for its next start.
    outlives_server: AtomicBool,
    /// What brings the client back, and the one before, if there was one: the server may not know that
    /// its successor arrived.
    tokens: Mutex<Vec<ResumeToken>>,
}

impl Hold {
    /// The place of a `join`; `before` is what that has shown to come back.
    pub(crate) fn new(resumable: Resumable, before: Option<ResumeToken>) -> Hold {
        let tokens = [Some(resumable.token), before].into_iter().flatten();
        Hold {
            time: Duration::from_millis(resumable.hold_ms).min(LONGEST),
            received: AtomicU64::new(0),
            outlives_server: AtomicBool::new(false),
            tokens: Mutex::new(tokens.collect()),
        }
    }

    /// Lines of the server's that were received.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Only the thread that reads calls this.
    pub(crate) fn set_received(&self, lines: u64) {
        self.received.store(lines, Ordering::Relaxed);
    }

    /// The server stops, and holds the place for its next start: no line goes on there.
    pub(crate) fn set_outlives_server(&self) {
        self.outlives_server.store(true, Ordering::Relaxed);
    }

    pub(crate) fn outlives_server(&self) -> bool {
        self.outlives_server.load(Ordering::Relaxed)
    }

    /// What brings the client back, and what may if that does not.
    pub(crate) fn tokens(&self) -> Vec<ResumeToken> {
        lock(&self.tokens).clone()
    }

    /// The next token.
    pub(crate) fn renew(&self, used: ResumeToken, token: ResumeToken) {
        *lock(&self.tokens) = vec![token, used];
    }
}
