//! Watching a server: what it tells of its members and of the commands that it relays, as it
//! changes.

use crate::connection::{Connection, Told};
use common::sys::sync::Arc;
use common::wire::message::request_line;
use common::wire::method;
use common::wire::watch::{self, Watched};
use crossbeam_channel::Receiver;

/// What is kept for a program that does not take it: a few seconds of changes, of which most are
/// small and none is larger than half a MiB. Past it the watch ends.
pub(crate) const KEPT: usize = 64;

/// A server that is watched, until this is dropped.
#[derive(derive_more::Debug)]
#[debug("Watch({id})")]
pub struct Watch {
    /// The number of its request.
    pub(crate) id: u64,
    pub(crate) told: Receiver<Told>,
    pub(crate) connection: Arc<Connection>,
}

impl Watch {
    /// The first state, then what has changed, at most ten times a second. It is disconnected when
    /// the connection is lost, when another watch takes the place of this one, and when the program
    /// was so far behind that something was dropped: then a new watch begins with the state anew.
    pub fn told(&self) -> &Receiver<Box<Watched<'static>>> {
        &self.told
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.connection.stop_watch(self.id) {
            let end = watch::Watch { on: Some(false) };
            let line = |id: u64| request_line(&id.into(), method::WATCH, end);
            self.connection.ask_without_waiting(line);
        }
    }
}
