//! A client over all its connections: its present one, and the thread that reads each to its end
//! and dials the next if the client is to reconnect.

use crate::config::Config;
use crate::connection::Connection;
use crate::connection::backoff::Backoff;
use crate::connection::handshake::{self, Handshake};
use crate::connection::reader::Reader;
use crate::connection::resuming::{Absence, FormerPlace, Kept, NotBack};
use crate::error::ConnectError;
use crate::events::{ClientEvent, Disconnect, Events};
use crate::execute::job::StopReason;
use crate::execute::workers::Workers;
use common::net::line_reader::LineReader;
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::{ByeReason, Resumed};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How long a connection must have held for the backoff to begin anew when it is lost: so no
/// server is dialled more often than twice a second for long.
const STEADY: Duration = Duration::from_millis(250);

/// The same if the server has sent this client away for its behaviour, which is likely to happen
/// again: as long as the longest pause.
const STEADY_AFTER_BLAME: Duration = Duration::from_secs(30);

/// What outlives a connection.
pub(crate) struct Shared {
    pub(crate) events: Arc<Events>,
    pub(crate) workers: Arc<Workers>,
    /// The number of the next request: no two have the same, whatever connection they are of.
    next_id: Arc<AtomicU64>,
    state: Mutex<State>,
}

struct State {
    /// The connection; the last one if there is none.
    connection: Arc<Connection>,
    is_connected: bool,
    /// From now on the end is what this client wants.
    is_leaving: bool,
    disconnect: Option<Disconnect>,
}

impl Shared {
    /// Begins with the first connection; what it reads goes on in the line reader.
    pub(crate) fn begin(
        handshake: Handshake,
        events: Arc<Events>,
        workers: Arc<Workers>,
    ) -> (Shared, LineReader) {
        let next_id = Arc::new(AtomicU64::new(handshake::JOIN_ID + 1));
        let (connection, lines) = Connection::new(handshake, &events, &workers, &next_id);
        let state = Mutex::new(State {
            connection: Arc::new(connection),
            is_connected: true,
            is_leaving: false,
            disconnect: None,
        });
        let shared = Shared {
            events,
            workers,
            next_id,
            state,
        };
        (shared, lines)
    }

    /// The connection; the last one if there is none.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&lock(&self.state).connection)
    }

    pub(crate) fn is_connected(&self) -> bool {
        lock(&self.state).is_connected
    }

    /// Why there will be no connection any more, once that is so.
    pub(crate) fn disconnect(&self) -> Option<Disconnect> {
        lock(&self.state).disconnect.clone()
    }

    /// From now on the end is what this client wants: no other connection takes the place
    /// of this one. Says whether there is none, and another is to follow.
    pub(crate) fn leave(&self) -> (Arc<Connection>, bool) {
        let mut state = lock(&self.state);
        state.is_leaving = true;
        let is_away = !state.is_connected && state.disconnect.is_none();
        (Arc::clone(&state.connection), is_away)
    }

    fn is_leaving(&self) -> bool {
        lock(&self.state).is_leaving
    }

    /// The connection is over and another one is to follow: what is open ends as lost, what
    /// runs here is stopped. `false` if this client is leaving.
    fn lose(&self, reason: Disconnect) -> bool {
        if !self.set_connected(false) {
            return false;
        }
        self.end_open();
        self.events.tell(|| ClientEvent::Lost(reason));
        true
    }

    /// Notes whether there is a connection; `false`: this client is leaving.
    fn set_connected(&self, is_connected: bool) -> bool {
        let mut state = lock(&self.state);
        state.is_connected = is_connected && !state.is_leaving;
        !state.is_leaving
    }

    /// What is open ends as lost, what runs here is stopped.
    fn end_open(&self) {
        self.connection().end();
        self.workers.stop_because(StopReason::Disconnected);
    }

    /// Another connection takes the place of the lost one; `None` if this client is leaving.
    fn come_back(&self, handshake: Handshake) -> Option<LineReader> {
        let (lines, before) = self.put(handshake)?;
        let (rank, members) = self.connection().standing();
        let was = before.standing().0;
        let event = || ClientEvent::Rejoined { was, rank, members };
        self.events.tell(event);
        Some(lines)
    }

    /// Puts another connection in the place of the lost one, which is returned; `None` if this
    /// client is leaving.
    fn put(&self, handshake: Handshake) -> Option<(LineReader, Arc<Connection>)> {
        let (connection, lines) =
            Connection::new(handshake, &self.events, &self.workers, &self.next_id);
        let connection = Arc::new(connection);
        let before = {
            let mut state = lock(&self.state);
            if state.is_leaving {
                drop(state);
                connection.end();
                return None;
            }
            state.is_connected = true;
            std::mem::replace(&mut state.connection, connection)
        };
        Some((lines, before))
    }

    /// There will be no connection any more. The thread that reads calls this last, once.
    fn end(&self, reason: Disconnect) {
        let connection = {
            let mut state = lock(&self.state);
            state.is_connected = false;
            state.disconnect = Some(reason.clone());
            Arc::clone(&state.connection)
        };
        connection.end();
        self.workers.close();
        self.events.tell_last(reason);
    }
}

/// The state of the thread that reads and dials again. Dropping it, after a panic too, ends
/// everything that depends on the connection.
pub(crate) struct Reconnector {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Config,
    /// Disconnected once this client leaves.
    pub(crate) stop: Receiver<()>,
    /// Dropped when this thread is about to end.
    pub(crate) _running: Sender<()>,
    pub(crate) backoff: Backoff,
    pub(crate) end: Option<Disconnect>,
}

impl Reconnector {
    /// Reads the connection, and those that follow, to the end.
    pub(crate) fn run(mut self, mut lines: LineReader) {
        loop {
            let connection = self.shared.connection();
            let reason = Reader::run(Arc::clone(&connection), lines);
            if self.shared.is_leaving() {
                return self.end(Disconnect::Left);
            }
            let back = match Absence::begin(&connection, &reason) {
                None => Err(NotBack::Gone),
                Some(absence) => self.come_back(&absence, &reason),
            };
            let is_over = match back {
                Ok(next) => {
                    lines = next;
                    continue;
                }
                Err(NotBack::Left) => return self.end(Disconnect::Left),
                Err(NotBack::Gone) => false,
                Err(NotBack::Over) => true,
            };
            if is_over {
                self.shared.workers.stop_because(StopReason::GivenUp);
            }
            if !self.config.reconnect || reason.is_final() {
                return self.end(reason);
            }
            if connection.since.elapsed() >= enough(&reason) {
                self.backoff = Backoff::new();
            }
            if !self.shared.lose(reason) {
                return self.end(Disconnect::Left);
            }
            match self.dial(is_over.then(|| FormerPlace::of(&connection)).flatten()) {
                Ok(next) => lines = next,
                Err(reason) => return self.end(reason),
            }
        }
    }

    fn end(&mut self, reason: Disconnect) {
        self.end = Some(reason);
    }

    /// Comes back to the place that the server holds, if that works.
    fn come_back(&self, absence: &Absence<'_>, reason: &Disconnect) -> Result<LineReader, NotBack> {
        let shared = &self.shared;
        if !shared.set_connected(false) {
            return Err(NotBack::Left);
        }
        if absence.is_of_rank() {
            shared.end_open();
        }
        let (rank, left) = (shared.connection().standing().0, absence.left());
        shared.events.tell(|| ClientEvent::Away {
            reason: reason.clone(),
            rank,
            left,
        });
        let kept = absence.come_back(&self.config, &self.stop)?;
        let after = absence.length();
        let (what, lines) = match kept {
            Kept::Lines(lines) => (Resumed::Lines, shared.set_connected(true).then_some(lines)),
            Kept::Rank(handshake) => {
                shared.end_open();
                let put = shared.put(*handshake);
                (Resumed::Rank, put.map(|(lines, _)| lines))
            }
        };
        let lines = lines.ok_or(NotBack::Left)?;
        let rank = shared.connection().standing().0;
        shared.events.tell(|| ClientEvent::Resumed {
            kept: what,
            rank,
            after,
        });
        Ok(lines)
    }

    /// Dials until there is a connection again, or never will be; first for the place that this client
    /// had, for as long as it may be held.
    fn dial(&mut self, mut place: Option<FormerPlace>) -> Result<LineReader, Disconnect> {
        let longest = place.as_ref().map(FormerPlace::longest_pause);
        self.backoff.set_longest(longest);
        let mut pause = self.backoff.next_pause();
        // Once: a client that is turned away again should come less often.
        let mut may_reset = true;
        loop {
            match self.stop.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Err(Disconnect::Left),
            }
            let taken = place.as_ref().and_then(|place| place.take(&self.config));
            if taken.is_none() && place.take().is_some() {
                self.backoff.set_longest(None);
            }
            let joined = taken.unwrap_or_else(|| handshake::join(&self.config, None));
            let error = match joined {
                Ok(handshake) => return self.shared.come_back(handshake).ok_or(Disconnect::Left),
                Err(error) if error.is_final() && !error.is_about_trust() => {
                    return Err(Disconnect::NotAdmitted(error.to_string()));
                }
                Err(error) => Arc::new(error),
            };
            let was_turned_away = matches!(*error, ConnectError::TurnedAway { .. });
            if was_turned_away && std::mem::take(&mut may_reset) {
                self.backoff.reset();
            }
            pause = self.backoff.next_pause().max(error.retry_after());
            let event = || ClientEvent::NotYet { error, pause };
            self.shared.events.tell(event);
        }
    }
}

impl Drop for Reconnector {
    fn drop(&mut self) {
        let panicked = || Disconnect::Failed("the reader thread panicked".into());
        self.shared.end(self.end.take().unwrap_or_else(panicked));
    }
}

/// How long a connection must have held that ended like this, for its loss to be a new one.
fn enough(reason: &Disconnect) -> Duration {
    match reason {
        Disconnect::Bye { reason, .. } if *reason != ByeReason::ShuttingDown => STEADY_AFTER_BLAME,
        _ => STEADY,
    }
}
