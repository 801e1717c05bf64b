//! What a client comes back to its place with, after its connection broke.

use common::sys::sync::{Mutex, lock};
use common::wire::{Resumable, ResumeToken};
use std::sync::atomic::{AtomicU64, Ordering};
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
    tokens: Mutex<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    token: ResumeToken,
    /// The one before: the server may not know that its successor arrived.
    before: Option<ResumeToken>,
}

impl Hold {
    pub(crate) fn new(resumable: Resumable) -> Hold {
        let tokens = Tokens {
            token: resumable.token,
            before: None,
        };
        Hold {
            time: Duration::from_millis(resumable.hold_ms).min(LONGEST),
            received: AtomicU64::new(0),
            tokens: Mutex::new(tokens),
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

    /// What brings the client back, and what may if that does not.
    pub(crate) fn tokens(&self) -> Vec<ResumeToken> {
        let tokens = lock(&self.tokens);
        let both = [Some(&tokens.token), tokens.before.as_ref()];
        both.into_iter().flatten().cloned().collect()
    }

    /// The next token.
    pub(crate) fn renew(&self, used: ResumeToken, token: ResumeToken) {
        *lock(&self.tokens) = Tokens {
            token,
            before: Some(used),
        };
    }
}
