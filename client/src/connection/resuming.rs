//! How a client comes back after its connection broke: it dials the same server again and again,
//! while that holds its place, and goes on where it was. Its programs go on meanwhile.
//!
//! The connection that broke is neither read nor closed until the server has answered: a close
//! would tell the server that this client has left.

use super::Connection;
use super::handshake::{self, Handshake, Resuming};
use super::hold::Hold;
use crate::config::{Config, ConnectError};
use crate::events::Disconnect;
use common::net::line_reader::LineReader;
use common::net::outbox::Cut;
use common::sys::sync::Arc;
use common::wire::Resumed;
use common::wire::message::Code;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long before the server gives the place up this client does: to kill programs takes
/// milliseconds, on a loaded machine some hundred.
const MARGIN: Duration = Duration::from_millis(500);

/// The first pause is at most this long: a cable that is plugged in again, or a server that was
/// only unreachable, is there at once.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// And no later one is longer, nor shorter than a fraction of it: so clients that lost the same
/// server do not come at the same moment.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);

/// What became of a place.
pub(super) enum Return {
    /// The connection goes on, and this is what was read of it.
    Lines(LineReader),
    /// The place alone is kept, for another connection, after so long.
    Rank(Box<Handshake>, Duration),
    /// The server holds none.
    Gone,
    /// It was held for as long as it is.
    Over,
    /// This client leaves.
    Left,
}

/// A connection that broke and may come back.
pub(super) struct Absence<'a> {
    connection: &'a Arc<Connection>,
    hold: &'a Hold,
    since: Instant,
    until: Instant,
}

impl<'a> Absence<'a> {
    /// Begins, if the place is held and the server has not said that it is over.
    pub(super) fn begin(
        connection: &'a Arc<Connection>,
        reason: &Disconnect,
    ) -> Option<Absence<'a>> {
        let hold = connection.hold.as_deref()?;
        let is_broken = matches!(
            reason,
            Disconnect::Closed | Disconnect::Silent | Disconnect::Failed(_)
        );
        let written = connection.outbox.acknowledged_at();
        if !is_broken || !connection.outbox.is_open() {
            return None;
        }
        connection.outbox.unplug(Cut::Broken);
        let since = Instant::now();
        let until = written.unwrap_or(since) + hold.time.saturating_sub(MARGIN);
        Some(Absence {
            connection,
            hold,
            since,
            until,
        })
    }

    /// How long the place is held yet.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// For how long there has been no connection.
    pub(super) fn length(&self) -> Duration {
        self.since.elapsed()
    }

    /// Dials until the place is resumed or gone.
    pub(super) fn come_back(&self, config: &Config, stop: &Receiver<()>) -> Return {
        let mut pause = FIRST_PAUSE.mul_f64(fastrand::f64());
        loop {
            match stop.recv_timeout(pause.min(self.left())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Return::Left,
            }
            if self.left().is_zero() {
                return Return::Over;
            }
            if let Some(end) = self.try_tokens(config) {
                return end;
            }
            pause = PAUSE.mul_f64(0.3 + 0.7 * fastrand::f64());
        }
    }

    /// One try, with the token before if the server does not know the last; `None`: there may be
    /// another one.
    fn try_tokens(&self, config: &Config) -> Option<Return> {
        for token in self.hold.tokens() {
            let written = Instant::now();
            let resuming = Resuming {
                server: self.connection.stream.peer(),
                token: &token,
                received: self.hold.received(),
                timeout: TRY.min(self.left()),
            };
            match handshake::resume(config, &resuming) {
                Ok(mut back) => {
                    let next = back.joined.resume.clone();
                    match (back.joined.resumed, next) {
                        (Some(Resumed::Rank), _) => {
                            return Some(Return::Rank(Box::new(back), self.length()));
                        }
                        (Some(Resumed::Lines), Some(next)) => {
                            back.joined.resume = None;
                            self.hold.renew(token, next.token);
                            return Some(self.go_on(back, written));
                        }
                        _ => return Some(Return::Gone),
                    }
                }
                Err(ConnectError::Refused { error, .. }) if error.is(Code::NotResumable) => {}
                Err(error) if error.is_final() && !error.is_about_trust() => {
                    return Some(Return::Gone);
                }
                Err(_) => return None,
            }
        }
        Some(Return::Gone)
    }

    /// Goes on over another connection.
    fn go_on(&self, back: Handshake, written: Instant) -> Return {
        let Handshake {
            stream,
            joined,
            lines,
            ..
        } = back;
        let connection = self.connection;
        let received = joined.received.unwrap_or(u64::MAX);
        if !connection.outbox.resume(&stream, received, &[], written) {
            log::warn!("the server has received {received} lines of this client, as it says");
            stream.abort();
            return Return::Gone;
        }
        connection.prepare_for_the_end();
        connection.set_standing(joined.rank, joined.members);
        // At once: until something arrives, the server takes the token before, too.
        connection.outbox.say_received(self.hold.received());
        connection.outbox.flush();
        Return::Lines(lines)
    }
}
