//! Members without clients, for unit tests and micro-benchmarks, which share one socket that
//! nobody reads; and places at which a session panics if its client's name asks for it.

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(test)]
mod panics;
#[cfg(all(test, shuttle))]
mod schedules;

use crate::connection::Connection;
#[cfg(test)]
use crate::hub::Hub;
use crate::member::Member;
#[cfg(test)]
use crate::ranking::Place;
use crate::ranking::Roster;
#[cfg(test)]
use crate::timers::timer_queue::Timer;
use crate::transcript::Transcript;
use common::memory::Memory;
use common::net::stream::Stream;
use common::sys::sync::Arc;

#[cfg(not(shuttle))]
static PAIR: std::sync::LazyLock<(Stream, Arc<Stream>)> = std::sync::LazyLock::new(|| {
    let (listener, _waker) =
        common::net::listener::Listener::bind("127.0.0.1:0").expect("loopback");
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

pub(crate) fn member(id: u64, name: impl Into<Box<str>>, slots: u32) -> Arc<Member> {
    let connection = Connection::new(unread(), &Memory::unlimited(), 1);
    Member::new(id, name.into(), slots, 1, Arc::new(connection))
}

pub(crate) fn roster(max: u32) -> Roster {
    Roster::new(max, Transcript::default())
}

/// Joins as a client would.
pub(crate) fn join(roster: &Roster, name: &str, slots: u32) -> Arc<Member> {
    let make = |id, name| member(id, name, slots);
    let joined = roster.join(Some(name), make, |_, _| {});
    joined.unwrap_or_else(|e| panic!("{name}: {e:?}"))
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
    /// In the timer thread, which looks at its deadlines.
    Looking,
    /// In the timer thread, which looks for answers that should have come.
    Overdue,
    /// In the timer thread, which writes what waits for company.
    Flushing,
    /// In the timer thread, which writes what there was no thread to catch up with.
    Retrying,
    /// In the timer thread, which tells it its rank.
    Telling,
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

#[cfg(test)]
/// What is due for a client, in which the timer thread comes to one of these places.
pub(crate) fn due(there: Trip, member: &Arc<Member>) -> Option<Timer> {
    let connection = &member.connection;
    match there {
        Trip::Looking => Some(Timer::Deadlines(Arc::downgrade(connection))),
        Trip::Overdue => Some(Timer::Overdue(Arc::downgrade(member), 0)),
        Trip::Flushing => Some(Timer::Flush(Arc::downgrade(member))),
        Trip::Retrying => Some(Timer::Retry(Arc::downgrade(&connection.outbox))),
        _ => None,
    }
}

#[cfg(test)]
/// Panics where what is due is about a client whose name is [`tripping`] there.
pub(crate) fn trip_due(hub: &Hub, due: &Timer) {
    let (there, about) = match due {
        Timer::Deadlines(connection) => (Trip::Looking, connection.as_ptr().cast::<()>()),
        Timer::Overdue(member, _) => (Trip::Overdue, member.as_ptr().cast()),
        Timer::Flush(member) => (Trip::Flushing, member.as_ptr().cast()),
        Timer::Retry(outbox) => (Trip::Retrying, outbox.as_ptr().cast()),
        Timer::RankNews | Timer::MakeRoom | Timer::Drain => return,
    };
    let Some(member) = find(hub, &tripping(there)) else {
        return;
    };
    let its = [
        Arc::as_ptr(&member).cast::<()>(),
        Arc::as_ptr(&member.connection).cast(),
        Arc::as_ptr(&member.connection.outbox).cast(),
    ];
    assert!(!its.contains(&about), "a test asked for this panic");
}

#[cfg(test)]
/// The member of that name.
pub(crate) fn find(hub: &Hub, name: &str) -> Option<Arc<Member>> {
    let place = hub.roster.look(|view| Some(view.any_case(name)?.1.clone()));
    place.map(|place| place.member)
}
