//! The stream of events: what has changed since the last one, ten times a second at most. What
//! changed several times meanwhile is told once, as it is now. Only when hyper has room for it is an
//! event made; so a reader that does not read has one event that waits, and the system's buffers.

use super::connections::EventsPlace;
use super::drive::Wants;
use crate::hub::Hub;
use crate::watch::board::TICK_MS;
use crate::watch::reader::Reader;
use common::sys::sync::Arc;
use hyper::body::Bytes;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The pause between two events.
const TICK: Duration = Duration::from_millis(TICK_MS);

/// After how long a silence a stream says that it lives: proxies and sweeps end silent ones.
const SILENCE: Duration = Duration::from_secs(10);

/// What one stream was told.
struct Events {
    hub: Arc<Hub>,
    reader: Reader,
    wants: Rc<Wants>,
    _place: EventsPlace,
    next: Instant,
    said: Instant,
}

/// A stream of events for a connection, which ends when it is dropped.
pub(super) fn stream(
    hub: &Arc<Hub>,
    place: EventsPlace,
    wants: Rc<Wants>,
) -> Box<dyn FnMut() -> Option<Bytes>> {
    let now = Instant::now();
    let mut events = Events {
        hub: Arc::clone(hub),
        reader: Reader::open(&hub.readers),
        wants,
        _place: place,
        next: now,
        said: now,
    };
    Box::new(move || events.next())
}

impl Events {
    /// The next event, if it is time and there is one.
    fn next(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if now < self.next {
            self.wants.at(self.next);
            return None;
        }
        self.next = now + TICK;
        let event = self.event(now);
        match event {
            Some(_) => self.said = now,
            None => self.wants.at(self.next),
        }
        event
    }

    fn event(&mut self, now: Instant) -> Option<Bytes> {
        let event = self.hub.tell(&mut self.reader, |update| {
            let mut event = b"event: update\ndata: ".to_vec();
            // Nothing of it can fail: all keys are texts.
            serde_json::to_writer(&mut event, update).ok()?;
            event.extend_from_slice(b"\n\n");
            Some(event.into())
        });
        event.flatten().or_else(|| {
            let is_silent = now.duration_since(self.said) >= SILENCE;
            is_silent.then(|| Bytes::from_static(b":\n\n"))
        })
    }
}
