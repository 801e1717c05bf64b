//! Members without clients, for unit tests and micro-benchmarks, which share one socket that
//! nobody reads; and places at which a session panics if its client's name asks for it.

use crate::connection::Connection;
use crate::loads::{Load, Loads};
use crate::member::Member;
#[cfg(test)]
use crate::roster::Place;
use crate::roster::Roster;
use crate::transcript::Transcript;
use common::sync::Arc;
use common::transport::Stream;

#[cfg(not(shuttle))]
static PAIR: std::sync::LazyLock<(Stream, Arc<Stream>)> = std::sync::LazyLock::new(|| {
    let (listener, _waker) = common::transport::Listener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.address().to_string();
    let far = Stream::connect(&address, std::time::Duration::from_secs(5)).expect("loopback");
    let near = listener.accept().expect("loopback").expect("not woken");
    (far, Arc::new(near))
});

/// A stream that nobody reads.
#[cfg(not(shuttle))]
fn unread() -> Arc<Stream> {
    Arc::clone(&PAIR.1)
}

/// A stream that nobody reads: one of its own, as nothing outlives a schedule.
#[cfg(shuttle)]
fn unread() -> Arc<Stream> {
    Arc::new(Stream::pair(1 << 20).0)
}

#[cfg(test)]
pub(crate) fn member(id: u64, name: impl Into<Box<str>>, slots: u32) -> Arc<Member> {
    member_with(id, name.into(), slots, Loads::default().join(id, slots))
}

fn member_with(id: u64, name: Box<str>, slots: u32, load: Arc<Load>) -> Arc<Member> {
    let connection = Connection::new(unread(), 1);
    Member::new(id, name, slots, 1, Arc::new(connection), load)
}

pub(crate) fn roster(max: u32) -> Roster {
    Roster::new(max, Transcript::default())
}

/// Joins as a client would.
pub(crate) fn join(roster: &Roster, name: &str, slots: u32) -> Arc<Member> {
    join_with_load(roster, name, slots).0
}

/// Joins, and gives what the member's load is set by.
pub(crate) fn join_with_load(roster: &Roster, name: &str, slots: u32) -> (Arc<Member>, Arc<Load>) {
    let mut its_load = None;
    let make = |id, name, loads: &Loads| {
        let load = loads.join(id, slots);
        its_load = Some(Arc::clone(&load));
        member_with(id, name, slots, load)
    };
    let joined = roster.join(Some(name), make, |_, _| {});
    let member = joined.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    (member, its_load.expect("a member was made"))
}

/// Members in rank order.
#[cfg(test)]
pub(crate) fn ranked(roster: &Roster) -> Vec<Place> {
    roster.look(|view| view.ranked().to_vec())
}

#[cfg(test)]
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

#[cfg(test)]
/// Panics for a client whose name is [`tripping`] there.
pub(crate) fn trip(here: Trip, member: &Member) {
    assert!(
        *member.name != *tripping(here),
        "a test asked for this panic"
    );
}

#[cfg(test)]
/// The name of a client whose session panics there.
pub(crate) fn tripping(there: Trip) -> String {
    format!("panics-{there:?}")
}
