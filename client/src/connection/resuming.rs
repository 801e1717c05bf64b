//! How a client comes back after its connection broke: it dials the same server again and again,
//! while that holds its place, and goes on where it was. Its programs go on meanwhile.
//!
//! If the server stops and holds the place for its next start, the client does the same, but what is
//! open ends at once. And a client that was away for longer than the hold tries for its place once
//! more when it dials anew: a server that was started meanwhile holds it, too.
//!
//! The connection that broke is neither read nor closed until the server has answered: a close
//! would tell the server that this client has left.

use super::Connection;
use super::handshake::{self, Handshake, Resuming};
use super::hold::Hold;
use crate::config::Config;
use crate::error::ConnectError;
use crate::events::Disconnect;
use common::net::line_reader::LineReader;
use common::net::outbox::Cut;
use common::sys::sync::Arc;
use common::wire::message::Code;
use common::wire::{ResumeToken, Resumed};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io::ErrorKind;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long before the server gives the place up this client does: to kill programs takes
/// milliseconds, on a loaded machine some hundred.
const MARGIN: Duration = Duration::from_millis(500);

/// The first pause is at most this long, apart from a turn: a cable that is plugged in again, or a server that was
/// only unreachable, is there at once.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// And no later one is longer, nor shorter than a fraction of it: so clients that lost the same
/// server do not come at the same moment.
const PAUSE: Duration = Duration::from_secs(1);

/// A client's turn: for each client above it, a pause is so much longer while the server is down, as
/// all of them wait for it then. So 1,500 a second come back on average, highest ranks first, and half of
/// ten thousand within three seconds. Without that 8,000 a second do, keep two cores busy, and have
/// others wait ten times as long as usual.
const TURN: Duration = Duration::from_micros(650);

/// A turn takes at most one part in so many of what is left of the hold, so that the last client, too,
/// tries several times while its place is held.
const TURN_PART: u32 = 4;

/// How long a try may take: the first one so long, and each later one twice as long as one that got
/// no answer in time. Ten thousand clients that come back over TLS at once keep two cores busy for
/// five seconds: if each of them gave up after two, the server would work for none of them.
const TRY: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(4);

/// As many lines as no client has received: what was open has ended at this end, so the place alone is
/// to be resumed. A number that every reader of JSON takes as it is.
const NO_LINES: u64 = (1 << 53) - 1;

/// What is kept of a place that a client has come back to.
pub(super) enum Kept {
    /// The connection goes on, and this is what was read of it.
    Lines(LineReader),
    /// The place alone is kept, for another connection.
    Rank(Box<Handshake>),
}

/// Why a client is not back in its place.
pub(super) enum NotBack {
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
    /// The connection has not just fallen silent, as it does if the network is gone.
    was_ended: bool,
}

impl<'a> Absence<'a> {
    /// Begins, if the place is held and the server has not said that it is over.
    pub(super) fn begin(
        connection: &'a Arc<Connection>,
        reason: &Disconnect,
    ) -> Option<Absence<'a>> {
        let hold = connection.hold.as_deref()?;
        let is_broken = match reason {
            Disconnect::Closed | Disconnect::Silent | Disconnect::Failed(_) => {
                connection.outbox.is_open()
            }
            _ => false,
        };
        if !is_broken && !hold.outlives_server() {
            return None;
        }
        let written = connection.outbox.acknowledged_at();
        connection.outbox.unplug(Cut::Broken);
        let since = Instant::now();
        // A server that stops counts anew from its next start.
        let from = written.filter(|_| !hold.outlives_server());
        let until = from.unwrap_or(since) + hold.time.saturating_sub(MARGIN);
        Some(Absence {
            connection,
            hold,
            since,
            until,
            was_ended: !matches!(reason, Disconnect::Silent),
        })
    }

    /// Whether the place alone is held: what is open has to end before the client comes back.
    pub(super) fn is_of_rank(&self) -> bool {
        self.hold.outlives_server()
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
    pub(super) fn come_back(&self, config: &Config, stop: &Receiver<()>) -> Result<Kept, NotBack> {
        let mut pause = FIRST_PAUSE.mul_f64(fastrand::f64());
        let mut patience = TRY.start;
        let mut is_down = self.was_ended;
        loop {
            if is_down {
                pause += turn(self.connection.standing().0, self.left());
            }
            match stop.recv_timeout(pause.min(self.left())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Err(NotBack::Left),
            }
            if self.left().is_zero() {
                return Err(NotBack::Over);
            }
            match self.try_tokens(config, patience) {
                Ok(kept) => return kept.ok_or(NotBack::Gone),
                Err(error) => {
                    is_down = means_down(&error);
                    if let ConnectError::TimedOut { .. } = error {
                        patience = TRY.end.min(patience * 2);
                    }
                }
            }
            pause = PAUSE.mul_f64(0.3 + 0.7 * fastrand::f64());
        }
    }

    /// One try, with the token before if the server does not know the last; nothing is kept if it
    /// holds no such place.
    ///
    /// # Errors
    /// There may be another one.
    fn try_tokens(
        &self,
        config: &Config,
        patience: Duration,
    ) -> Result<Option<Kept>, ConnectError> {
        let received = match self.is_of_rank() {
            true => NO_LINES,
            false => self.hold.received(),
        };
        for token in self.hold.tokens() {
            let written = Instant::now();
            let resuming = Resuming {
                server: Some(self.connection.stream.peer()),
                token: &token,
                received,
                timeout: patience.min(self.left()),
            };
            match handshake::join(config, Some(&resuming)) {
                Ok(mut back) => {
                    let next = back.joined.resume.clone();
                    match (back.joined.resumed, next) {
                        (Some(Resumed::Rank), _) => {
                            return Ok(Some(Kept::Rank(Box::new(back))));
                        }
                        (Some(Resumed::Lines), Some(next)) => {
                            back.joined.resume = None;
                            self.hold.renew(token, next.token);
                            return Ok(self.go_on(back, written));
                        }
                        _ => return Ok(None),
                    }
                }
                Err(ConnectError::Refused { error, .. }) if error.is(Code::NotResumable) => {}
                Err(error) if error.is_final() && !error.is_about_trust() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Goes on over another connection, if the two ends agree on what was received.
    fn go_on(&self, back: Handshake, written: Instant) -> Option<Kept> {
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
            return None;
        }
        connection.prepare_for_the_end();
        connection.set_standing(joined.rank, joined.members);
        // At once: until something arrives, the server takes the token before, too.
        connection.outbox.say_received(self.hold.received());
        connection.outbox.flush();
        Some(Kept::Lines(lines))
    }
}

/// How much longer than otherwise a client of that rank pauses while the server is down, with so
/// much left of its hold.
fn turn(rank: u32, left: Duration) -> Duration {
    TURN.saturating_mul(rank).min(left / TURN_PART)
}

/// Whether a try says that the server is down, and its machine is not: nothing listens there, what
/// listened has died with this connection in its queue, or the server is about to end.
fn means_down(error: &ConnectError) -> bool {
    match error {
        ConnectError::Unreachable { source, .. } => matches!(
            source.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
        ),
        ConnectError::Refused { error, .. } => error.is(Code::ShuttingDown),
        _ => false,
    }
}

/// The place that a client had which was away for longer than it is held: the next start of its
/// server may hold it.
pub(super) struct FormerPlace {
    tokens: Vec<ResumeToken>,
    time: Duration,
}

impl FormerPlace {
    pub(super) fn of(connection: &Connection) -> Option<FormerPlace> {
        let hold = connection.hold.as_deref()?;
        Some(FormerPlace {
            tokens: hold.tokens(),
            time: hold.time,
        })
    }

    /// The longest pause between two tries: with less than half of the hold, a try or two come while
    /// a server holds the place that was started meanwhile.
    pub(super) fn longest_pause(&self) -> Duration {
        self.time / 2
    }

    /// Comes back to it; `None`: the server that is there now does not hold it.
    pub(super) fn take(&self, config: &Config) -> Option<Result<Handshake, ConnectError>> {
        for token in &self.tokens {
            let resuming = Resuming {
                server: None,
                token,
                received: NO_LINES,
                timeout: config.connect_timeout,
            };
            match handshake::join(config, Some(&resuming)) {
                Ok(back) if back.joined.resumed == Some(Resumed::Rank) => return Some(Ok(back)),
                // It does not go by the protocol.
                Ok(back) => back.stream.abort(),
                Err(ConnectError::Refused { error, .. }) if error.is(Code::NotResumable) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::message::RpcError;

    #[test]
    fn a_turn_grows_with_the_rank_up_to_a_quarter_of_what_is_left() {
        let (hold, short) = (Duration::from_secs(15), Duration::from_secs(1));
        for (rank, in_hold, in_short) in [
            (0, 0, 0),
            (10, 6, 6),
            (2_000, 1300, 250),
            (9_999, 3750, 250),
            (1_000_000, 3750, 250),
            (u32::MAX, 3750, 250),
        ] {
            let turns = [turn(rank, hold), turn(rank, short)];
            assert_eq!(
                turns.map(|it| it.as_millis()),
                [in_hold, in_short],
                "{rank}"
            );
            assert_eq!(turn(rank, Duration::ZERO), Duration::ZERO, "{rank}");
        }
    }

    #[test]
    fn the_last_of_many_tries_several_times_while_its_place_is_held() {
        let mut left = Duration::from_secs(15) - MARGIN;
        let mut tries = 0;
        while let Some(then) = left.checked_sub(PAUSE + turn(u32::MAX, left)) {
            (left, tries) = (then, tries + 1);
        }
        assert!(tries >= 5, "{tries}");
    }

    #[test]
    fn a_server_is_down_if_its_machine_says_so() {
        let unreachable = |kind: ErrorKind| ConnectError::Unreachable {
            server: "there".into(),
            source: kind.into(),
        };
        let refused = |code| ConnectError::Refused {
            server: "there".into(),
            error: RpcError::new(code, "no"),
        };
        let timed_out = ConnectError::TimedOut {
            server: "there".into(),
            after: TRY.start,
        };
        assert!(means_down(&unreachable(ErrorKind::ConnectionRefused)));
        assert!(means_down(&unreachable(ErrorKind::ConnectionReset)));
        assert!(means_down(&refused(Code::ShuttingDown)));
        assert!(!means_down(&unreachable(ErrorKind::NetworkUnreachable)));
        assert!(!means_down(&refused(Code::Full)));
        assert!(!means_down(&timed_out));
    }
}
