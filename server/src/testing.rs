//! Members without clients, for unit tests, which share one socket that nobody reads; and
//! places at which a session panics if its client's name asks for it.

use crate::connection::Connection;
use crate::loads::Loads;
use crate::member::Member;
use crate::roster::{Place, Roster};
use crate::transcript::Transcript;
use common::sync::Arc;
use common::transport::{Listener, Stream};
use std::sync::LazyLock;
use std::time::Duration;

static PAIR: LazyLock<(Stream, Arc<Stream>)> = LazyLock::new(|| {
    let (listener, _waker) = Listener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.address().to_string();
    let far = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
    let near = listener.accept().expect("loopback").expect("not woken");
    (far, Arc::new(near))
});

pub(crate) fn member(id: u64, name: impl Into<Box<str>>, slots: u32) -> Arc<Member> {
    member_among(&Loads::default(), id, name.into(), slots)
}

fn member_among(loads: &Loads, id: u64, name: Box<str>, slots: u32) -> Arc<Member> {
    let connection = Connection::new(Arc::clone(&PAIR.1), 1);
    let load = loads.join(id, slots);
    Member::new(id, name, slots, 1, Arc::new(connection), load)
}

pub(crate) fn roster(max: u32) -> Roster {
    Roster::new(max, Transcript::default())
}

/// Joins as a client would.
pub(crate) fn join(roster: &Roster, name: &str, slots: u32) -> Arc<Member> {
    let make = |id, name, loads: &Loads| member_among(loads, id, name, slots);
    roster
        .join(Some(name), make, |_, _| {})
        .unwrap_or_else(|e| panic!("{name}: {e:?}"))
}

/// Members in rank order.
pub(crate) fn ranked(roster: &Roster) -> Vec<Place> {
    roster.look(|view| view.ranked().to_vec())
}

/// Where a session can be made to panic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trip {
    /// In the list's write lock, once it is in it.
    Joining,
    /// In the list's write lock, once it is out of it.
    Leaving,
    /// While it handles a request, without a lock.
    Sending,
    /// In the lock of what it executes, for its output.
    Writing,
}

/// Panics for a client whose name is [`tripping`] there.
pub(crate) fn trip(here: Trip, member: &Member) {
    assert!(
        *member.name != *tripping(here),
        "a test asked for this panic"
    );
}

/// The name of a client whose session panics there.
pub(crate) fn tripping(there: Trip) -> String {
    format!("panics-{there:?}")
}
