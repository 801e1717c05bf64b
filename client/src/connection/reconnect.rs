//! A client over all its connections: the one that it has now, and the thread that
//! reads each to its end and, where the client is to come back, dials the next.

use crate::config::{Config, ConnectError};
use crate::connection::Connection;
use crate::connection::backoff::Backoff;
use crate::connection::handshake::{self, Handshake};
use crate::connection::reader::Reader;
use crate::events::{ClientEvent, Disconnect, Events};
use crate::execute::workers::Workers;
use common::net::line_reader::LineReader;
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::ByeReason;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How long a connection must have held for its loss to be a new one, after which the backoff
/// begins anew: so no server is dialled more often than twice a second for long. What comes
/// sooner goes on with the backoff as it was, which may have become long.
const STEADY: Duration = Duration::from_millis(250);

/// The same where the server has sent this client away for what it did: it is likely to do
/// so again, so this is as long as the longest pause.
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
    /// The connection; the last one where there is none.
    connection: Arc<Connection>,
    stage: Stage,
    /// From now on the end is what this client wants.
    is_leaving: bool,
    disconnect: Option<Disconnect>,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is one.
    Connected,
    /// There is none, and there will be another.
    Reconnecting,
    /// There will be none any more.
    Closed,
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
            stage: Stage::Connected,
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

    /// The connection; the last one where there is none.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&lock(&self.state).connection)
    }

    pub(crate) fn stage(&self) -> Stage {
        lock(&self.state).stage
    }

    /// Why there will be no connection any more, once that is so.
    pub(crate) fn disconnect(&self) -> Option<Disconnect> {
        lock(&self.state).disconnect.clone()
    }

    /// From now on the end is what this client wants: no other connection takes the place
    /// of this one.
    pub(crate) fn leave(&self) -> (Arc<Connection>, Stage) {
        let mut state = lock(&self.state);
        state.is_leaving = true;
        (Arc::clone(&state.connection), state.stage)
    }

    fn is_leaving(&self) -> bool {
        lock(&self.state).is_leaving
    }

    /// The connection is over and another one is to follow: what is open ends as lost, what
    /// runs here is stopped. `false` where this client is leaving.
    fn lose(&self, reason: Disconnect) -> bool {
        let connection = {
            let mut state = lock(&self.state);
            if state.is_leaving {
                return false;
            }
            state.stage = Stage::Reconnecting;
            Arc::clone(&state.connection)
        };
        connection.end();
        self.workers.stop_all();
        self.events.tell(|| ClientEvent::Lost(reason));
        true
    }

    /// Another connection takes the place of the one that was lost; `None` where this client
    /// is leaving.
    fn come_back(&self, handshake: Handshake) -> Option<LineReader> {
        let (connection, lines) =
            Connection::new(handshake, &self.events, &self.workers, &self.next_id);
        let (rank, members) = connection.standing();
        let connection = Arc::new(connection);
        let before = {
            let mut state = lock(&self.state);
            if state.is_leaving {
                drop(state);
                connection.end();
                return None;
            }
            state.stage = Stage::Connected;
            std::mem::replace(&mut state.connection, connection)
        };
        let was = before.standing().0;
        let event = || ClientEvent::Rejoined { was, rank, members };
        self.events.tell(event);
        Some(lines)
    }

    /// There will be no connection any more. The thread that reads does this, once, as the
    /// last thing.
    fn end(&self, reason: Disconnect) {
        let connection = {
            let mut state = lock(&self.state);
            state.stage = Stage::Closed;
            state.disconnect = Some(reason.clone());
            Arc::clone(&state.connection)
        };
        connection.end();
        self.workers.close();
        self.events.tell_last(reason);
    }
}

/// What the thread keeps that reads, and dials again. Dropping it, after a panic too, ends
/// everything that hangs on the connection.
pub(crate) struct Reconnector {
    shared: Arc<Shared>,
    config: Config,
    /// Disconnected once this client leaves.
    stop: Receiver<()>,
    /// Dropped when this thread is about to end.
    _running: Sender<()>,
    backoff: Backoff,
    end: Option<Disconnect>,
}

impl Reconnector {
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: Config,
        stop: Receiver<()>,
        running: Sender<()>,
    ) -> Reconnector {
        Reconnector {
            shared,
            config,
            stop,
            _running: running,
            backoff: Backoff::new(),
            end: None,
        }
    }

    /// Reads the connection, and those that follow, to the end.
    pub(crate) fn run(mut self, mut lines: LineReader) {
        loop {
            let connection = self.shared.connection();
            let reason = Reader::new(Arc::clone(&connection), lines).run();
            if self.shared.is_leaving() {
                return self.end(Disconnect::Left);
            }
            if !self.config.reconnect {
                return self.end(reason);
            }
            if connection.age() >= enough(&reason) {
                self.backoff = Backoff::new();
            }
            if !self.shared.lose(reason) {
                return self.end(Disconnect::Left);
            }
            match self.dial() {
                Ok(next) => lines = next,
                Err(reason) => return self.end(reason),
            }
        }
    }

    fn end(&mut self, reason: Disconnect) {
        self.end = Some(reason);
    }

    /// Dials until there is a connection again, or never will be.
    fn dial(&mut self) -> Result<LineReader, Disconnect> {
        let mut pause = self.backoff.next_pause();
        // Once: where it goes on like that, whoever is turned away should come less often.
        let mut may_reset = true;
        loop {
            match self.stop.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Err(Disconnect::Left),
            }
            let error = match handshake::join(&self.config) {
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
