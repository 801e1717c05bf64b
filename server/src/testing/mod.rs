//! Members without clients, for unit tests and micro-benchmarks: they share one socket without a
//! reader. And places at which a session panics if its client's name asks for it.

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(test)]
mod panics;
#[cfg(all(test, shuttle))]
mod schedules;

use crate::connection::Connection;
#[cfg(test)]
use crate::dispatch::command::{Command, Target, Targets, Telling};
#[cfg(test)]
use crate::hub::Hub;
#[cfg(test)]
use crate::member::ScheduleCheck;
use crate::member::{Member, Terms};
#[cfg(test)]
use crate::ranking::Place;
use crate::ranking::Roster;
#[cfg(test)]
use crate::timers::timer_queue::Timer;
use crate::transcript::Transcript;
#[cfg(test)]
use common::memory::Charge;
use common::memory::Memory;
use common::net::stream::Stream;
use common::sys::sync::Arc;
#[cfg(test)]
use common::sys::sync::{Mutex, lock};
use common::wire::tags::Tags;
use common::wire::tier::Tier;

/// Puts a file in the place of one that may be there, as an editor does.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn put_file(file: &std::path::Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(&new, file).expect("a rename");
}

#[cfg(not(shuttle))]
static PAIR: std::sync::LazyLock<(Stream, Arc<Stream>)> = std::sync::LazyLock::new(|| {
    let (listener, _waker) =
        common::net::listener::Listener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.address().to_string();
    let far = Stream::connect(&address, std::time::Duration::from_secs(5)).expect("loopback");
    let near = listener.accept().expect("loopback").expect("not woken");
    (far, Arc::new(near))
});

/// A stream without a reader.
#[cfg(not(shuttle))]
fn unread() -> Arc<Stream> {
    Arc::clone(&PAIR.1)
}

/// A stream without a reader: one of its own, as nothing outlives a schedule.
#[cfg(shuttle)]
fn unread() -> Arc<Stream> {
    Arc::new(Stream::pair(1 << 20).0)
}

#[cfg(test)]
pub(crate) fn member(id: u64, name: impl Into<Box<str>>, slots: u32) -> Arc<Member> {
    member_in(Tier::DEFAULT, id, name, slots)
}

/// A member of a tier, which is told when its rank changes.
pub(crate) fn member_in(tier: Tier, id: u64, name: impl Into<Box<str>>, slots: u32) -> Arc<Member> {
    tagged(tier, id, name, slots, Tags::default())
}

fn tagged(tier: Tier, id: u64, name: impl Into<Box<str>>, slots: u32, tags: Tags) -> Arc<Member> {
    let connection = Connection::new(unread(), &Memory::unlimited(), 1);
    let terms = Terms {
        tier,
        slots,
        rank_news: true,
        takes_input: false,
        tags,
    };
    Member::new(id, name.into(), terms, None, 1, Arc::new(connection))
}

/// A command for one target, under the same number for its sender.
#[cfg(test)]
pub(crate) fn command(
    id: u64,
    sender: &Arc<Member>,
    target: &Arc<Member>,
    timeout: Option<u64>,
) -> Arc<Command> {
    Arc::new(Command {
        id,
        send: id.into(),
        sender: Arc::clone(sender),
        targets: Targets::One(Target {
            member: Arc::clone(target),
            rank: 1,
            allow: None,
        }),
        timeout,
        deadline: None,
        progress: false,
        window: None,
        input: None,
        telling: Telling::Answer,
        _charge: Charge::default(),
        on_record: None,
        shown: None,
    })
}

pub(crate) fn roster(max: u32) -> Roster {
    Roster::new(max, Transcript::default())
}

/// Joins as a client would.
pub(crate) fn join(roster: &Roster, name: &str, slots: u32) -> Arc<Member> {
    join_in(roster, Tier::DEFAULT, name, slots)
}

/// Joins as a client of a tier would.
pub(crate) fn join_in(roster: &Roster, tier: Tier, name: &str, slots: u32) -> Arc<Member> {
    let make = |id, name| member_in(tier, id, name, slots);
    let joined = roster.join(Some(name), make, |_, _| {});
    joined.unwrap_or_else(|e| panic!("{name}: {e:?}")).member
}

/// Joins as a client with tags would.
#[cfg(test)]
pub(crate) fn join_tagged(
    roster: &Roster,
    name: &str,
    slots: u32,
    pairs: &[(&str, &str)],
) -> Arc<Member> {
    let mut tags = Tags::default();
    for (key, value) in pairs {
        tags.add(key, value).expect("a tag");
    }
    let make = |id, name| tagged(Tier::DEFAULT, id, name, slots, tags);
    let joined = roster.join(Some(name), make, |_, _| {});
    joined.unwrap_or_else(|e| panic!("{name}: {e:?}")).member
}

/// The times of the checks that members ask for.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Watched(Mutex<Vec<u64>>);

#[cfg(test)]
impl Watched {
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.0))
    }
}

#[cfg(test)]
impl ScheduleCheck for Watched {
    fn schedule_check(&self, _: &Arc<Member>, at: u64) {
        lock(&self.0).push(at);
    }
}

/// Members in rank order.
#[cfg(test)]
pub(crate) fn ranked(roster: &Roster) -> Vec<Place> {
    roster.look(|view| view.ranked().to_vec())
}

#[cfg(test)]
/// A place at which a test can make a session panic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trip {
    /// Under the list's write lock, once the member is in it.
    Joining,
    /// Under the list's write lock, once the member is out of it.
    Leaving,
    /// In a request, without a lock.
    Sending,
    /// Under the lock of the member's queue, in its output.
    Writing,
    /// In the timer thread, at its deadlines.
    Looking,
    /// In the timer thread, at overdue answers.
    Overdue,
    /// In the timer thread, at a flush.
    Flushing,
    /// In the timer thread, at rank news.
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
/// The timer with which the timer thread comes to one of these places.
pub(crate) fn due(there: Trip, member: &Arc<Member>) -> Option<Timer> {
    let connection = &member.connection;
    match there {
        Trip::Looking => Some(Timer::Deadlines(Arc::downgrade(connection))),
        Trip::Overdue => Some(Timer::Overdue(member.rank_key(), 0)),
        Trip::Flushing => Some(Timer::Flush(Arc::downgrade(connection))),
        _ => None,
    }
}

#[cfg(test)]
/// Panics if a timer is about a client whose name is [`tripping`] there.
pub(crate) fn trip_due(hub: &Hub, due: &Timer) {
    let of_member = |key| hub.roster.member(key).map(|it| Arc::clone(&it.connection));
    let (there, about) = match due {
        Timer::Deadlines(connection) => (Trip::Looking, connection.upgrade()),
        Timer::Overdue(member, _) => (Trip::Overdue, of_member(*member)),
        Timer::Flush(connection) => (Trip::Flushing, connection.upgrade()),
        _ => return,
    };
    let member = find(hub, &tripping(there));
    let is_its = |about: Arc<Connection>| {
        member.is_some_and(|member| Arc::ptr_eq(&member.connection, &about))
    };
    assert!(!about.is_some_and(is_its), "a test asked for this panic");
}

#[cfg(test)]
/// The member of that name.
pub(crate) fn find(hub: &Hub, name: &str) -> Option<Arc<Member>> {
    let place = hub.roster.look(|view| Some(view.any_case(name)?.1.clone()));
    place.map(|place| place.member)
}
