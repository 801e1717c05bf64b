//! Connections that are not ranked: those that have not joined yet, and those of members that left
//! and are being closed. Each has a thread, so both have a bound of their own, apart from that of the
//! members.
//!
//! Every connection gets in. If there is no room, the unjoined connection that has waited longest at
//! the address with the most of them is closed: a client that floods the server pushes out its own
//! connections first. Only the thread that accepts waits here, until the session of the closed one
//! has ended.
//!
//! A connection that has begun with a whole TLS handshake of this protocol has a place apart, which
//! silent connections cannot take: it needs another round trip, and connections that cost their
//! sender nothing would push it out meanwhile.

use crate::connection::Connection;
use crate::millis;
use common::limits::{
    MAX_GREETED, MAX_GREETED_PER_NETWORK, MAX_UNJOINED, MAX_UNJOINED_PER_ADDRESS,
};
use common::net::origin::origin;
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait_timeout, wait_timeout_while};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How long a new connection waits for room. A session that was told to end does so within a
/// scheduler's turn; if that takes longer, the server has no use for another thread.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// How old a connection is before it has to make room, as long as the server can be patient: time
/// enough for a client that the scheduler keeps waiting between its first two calls, and too short
/// for the next one to notice. A client behind 64 of one address, which fill its 16 places four
/// times over, waits three times as long: still less than a tenth of a second.
const SPARED_MS: u64 = 20;

/// How long new connections wait in all for those that may be about to join: a crowd of hundreds
/// that dials at once needs less. A flood has used it up soon, and delays no connection after that.
/// It comes back after ten times as long.
const COURTESY_MS: u64 = 1000;

/// How long a connection keeps its place in a TLS handshake: two round trips around the world.
const GREETED_SPARED_MS: u64 = 1000;

/// The connections that are not ranked.
pub(crate) struct Handshakes {
    table: Mutex<Table>,
    /// A connection joined, or a session ended.
    changed: Condvar,
    /// How many leavers may be open at a time: all members can leave at once.
    most_leavers: usize,
}

/// Each in the order in which they came.
#[derive(Default)]
struct Table {
    unjoined: VecDeque<Unjoined>,
    /// Those that have begun a TLS handshake of this protocol.
    greeted: VecDeque<Greeted>,
    leavers: VecDeque<Arc<Connection>>,
    courtesy: Courtesy,
}

struct Unjoined {
    from: IpAddr,
    connection: Arc<Connection>,
}

/// Which connections are counted together.
type Counted<'a> = dyn Fn(&Unjoined) -> bool + 'a;

struct Greeted {
    at: u64,
    unjoined: Unjoined,
}

#[derive(Default)]
struct Courtesy {
    spent_ms: u64,
    spent_at: u64,
}

impl Courtesy {
    fn is_left(&mut self, now: u64) -> bool {
        if now >= self.spent_at.saturating_add(10 * COURTESY_MS) {
            self.spent_ms = 0;
        }
        self.spent_ms < COURTESY_MS
    }

    fn spend(&mut self, ms: u64, now: u64) {
        if ms > 0 {
            self.spent_ms += ms;
            self.spent_at = now;
        }
    }
}

impl Handshakes {
    /// For a server of so many clients.
    pub(crate) fn new(max_clients: u32) -> Handshakes {
        Handshakes {
            table: Mutex::default(),
            changed: Condvar::new(),
            most_leavers: max_clients as usize,
        }
    }

    /// Makes room for a connection from an address; says whether there is some.
    pub(crate) fn make_room(&self, address: IpAddr, now: u64) -> bool {
        let (address, began) = (origin(address), Instant::now());
        let mut table = lock(&self.table);
        let spares = table.courtesy.is_left(now);
        loop {
            let waited = millis(began.elapsed());
            let now = now.saturating_add(waited);
            let overfull = table.overfull_for(address);
            let has_room = overfull.is_none() && !table.is_one_ending();
            if has_room || waited >= millis(ROOM_PATIENCE) {
                table.courtesy.spend(waited, now);
                return has_room;
            }
            let age = if spares { SPARED_MS } else { 0 };
            if let Some(from) = overfull {
                let old_enough = table.old_enough(from, age, now);
                drop(table);
                let one_goes = turn_one_away(&old_enough, now);
                table = lock(&self.table);
                if one_goes {
                    continue;
                }
            }
            // A connection's age changes without a notice.
            table = wait_timeout(&self.changed, table, Duration::from_millis(1));
        }
    }

    /// Whether an address has all the places that it may have.
    pub(crate) fn has_all_places(&self, address: IpAddr) -> bool {
        let (table, from) = (lock(&self.table), origin(address));
        let greeted = table.greeted_here(&|one| one.from == from).count();
        table.count(from).max(greeted) >= MAX_UNJOINED_PER_ADDRESS
    }

    /// Closes a connection when the system has no descriptor for another one, unless all may be
    /// about to join; says whether one has gone.
    pub(crate) fn make_room_in_need(&self, now: u64) -> bool {
        let table = lock(&self.table);
        let before = table.unjoined.len();
        let fullest = table.fullest();
        let old_enough = fullest.map(|from| table.old_enough(from, SPARED_MS, now));
        drop(table);
        if !turn_one_away(&old_enough.unwrap_or_default(), now) {
            return false;
        }
        let are_the_same = |table: &mut Table| table.unjoined.len() >= before;
        let table = lock(&self.table);
        let table = wait_timeout_while(&self.changed, table, ROOM_PATIENCE, are_the_same);
        table.unjoined.len() < before
    }

    /// A client has connected.
    pub(crate) fn come(&self, connection: &Arc<Connection>) {
        let unjoined = Unjoined {
            from: origin(connection.peer().ip()),
            connection: Arc::clone(connection),
        };
        lock(&self.table).unjoined.push_back(unjoined);
    }

    /// A connection has begun a TLS handshake of this protocol. If there is room among those, or
    /// one of them has had its time, it makes room for other new connections.
    pub(crate) fn greet(&self, connection: &Arc<Connection>, now: u64) {
        let mut table = lock(&self.table);
        let from = origin(connection.peer().ip());
        let Ok(first) = table.room_to_greet(from, now) else {
            return;
        };
        let its = |one: &Unjoined| Arc::ptr_eq(&one.connection, connection);
        let at = table.unjoined.iter().position(its);
        if let Some(unjoined) = at.and_then(|at| table.unjoined.remove(at)) {
            table.greeted.push_back(Greeted { at: now, unjoined });
        }
        drop(table);
        self.changed.notify_all();
        if let Some(first) = first {
            first.turn_away(now);
        }
    }

    /// A connection is a member's now, or its session ends.
    pub(crate) fn go(&self, connection: &Arc<Connection>) {
        let mut table = lock(&self.table);
        let before = table.unjoined.len();
        table
            .unjoined
            .retain(|one| !Arc::ptr_eq(&one.connection, connection));
        if table.unjoined.len() < before {
            drop(table);
            self.changed.notify_all();
        } else {
            let its = |one: &Greeted| Arc::ptr_eq(&one.unjoined.connection, connection);
            table.greeted.retain(|one| !its(one));
            table.leavers.retain(|one| !Arc::ptr_eq(one, connection));
        }
    }

    /// A member has left and is being closed; if there are too many of these, the first is cut.
    pub(crate) fn leave(&self, member: &Arc<Connection>) {
        let mut table = lock(&self.table);
        table.leavers.push_back(Arc::clone(member));
        let too_many = table.leavers.len() > self.most_leavers;
        let first = too_many.then(|| table.leavers.pop_front()).flatten();
        drop(table);
        if let Some(first) = first {
            first.stream.shutdown();
        }
    }
}

impl Table {
    /// The address of which a connection has to go before one from `address` has room.
    fn overfull_for(&self, address: IpAddr) -> Option<IpAddr> {
        if self.count(address) >= MAX_UNJOINED_PER_ADDRESS {
            Some(address)
        } else if self.here().count() >= MAX_UNJOINED {
            self.fullest()
        } else {
            None
        }
    }

    /// Whether the session of a connection that was turned away has not ended yet.
    fn is_one_ending(&self) -> bool {
        self.unjoined.len() > self.here().count()
    }

    /// Those that were not turned away.
    fn here(&self) -> impl DoubleEndedIterator<Item = &Unjoined> {
        let unjoined = self.unjoined.iter();
        unjoined.filter(|one| !one.connection.is_turned_away())
    }

    /// The address that has most; of equals, the one that came first.
    fn fullest(&self) -> Option<IpAddr> {
        // Of equals, the last is taken for the greatest.
        let addresses = self.here().rev().map(|one| one.from);
        addresses.max_by_key(|from| self.count(*from))
    }

    /// Those in a TLS handshake that were not turned away and that are counted together.
    fn greeted_here<'a>(&'a self, are: &'a Counted<'_>) -> impl Iterator<Item = &'a Greeted> {
        let greeted = self.greeted.iter().filter(|one| are(&one.unjoined));
        greeted.filter(|one| !one.unjoined.connection.is_turned_away())
    }

    /// Whether one more from an address may be in a TLS handshake, and which of them has to go for
    /// that, if any.
    fn room_to_greet(&self, from: IpAddr, now: u64) -> Result<Option<Arc<Connection>>, NoRoom> {
        let of_network = |one: &Unjoined| network(one.from) == network(from);
        let bounds: [(usize, &Counted<'_>); 3] = [
            (MAX_UNJOINED_PER_ADDRESS, &|one| one.from == from),
            (MAX_GREETED_PER_NETWORK, &of_network),
            (MAX_GREETED, &|_: &Unjoined| true),
        ];
        for (most, are) in bounds {
            if self.greeted_here(are).count() >= most {
                // One that goes makes room in the wider bounds as well.
                let first = self.greeted_here(are).next();
                let first = first.filter(|one| now.saturating_sub(one.at) >= GREETED_SPARED_MS);
                let first = first.map(|one| Arc::clone(&one.unjoined.connection));
                return first.map(Some).ok_or(NoRoom);
            }
        }
        Ok(None)
    }

    fn count(&self, address: IpAddr) -> usize {
        self.here().filter(|one| one.from == address).count()
    }

    /// The connections of an address that have a certain age, the oldest first.
    fn old_enough(&self, address: IpAddr, age: u64, now: u64) -> Vec<Arc<Connection>> {
        let connections = self.here().filter(|one| one.from == address);
        let connections = connections.map(|one| &one.connection);
        connections
            .filter(|one| one.age(now) >= age)
            .cloned()
            .collect()
    }
}

/// All places are taken by connections that keep them for now.
struct NoRoom;

/// What counts as one network: what one provider gives to one site, more or less.
fn network(origin: IpAddr) -> IpAddr {
    match origin {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0 << 8).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 80).into(),
    }
}

/// Turns the first away that may be; says whether there is one.
fn turn_one_away(connections: &[Arc<Connection>], now: u64) -> bool {
    let mut connections = connections.iter();
    connections.any(|one| !one.has_first_words() && one.turn_away(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_of_one_site() {
        let parse = |text: &str| network(origin(text.parse().expect("an address")));
        assert_eq!(parse("192.0.2.1"), parse("192.0.2.255"));
        assert_ne!(parse("192.0.2.1"), parse("192.0.3.1"));
        assert_eq!(parse("2001:db8:1::1"), parse("2001:db8:1:2::1"));
        assert_ne!(parse("2001:db8:1::1"), parse("2001:db8:2::1"));
    }

    fn greeted(from: Ipv4Addr, at: u64) -> Greeted {
        let unjoined = Unjoined {
            from: from.into(),
            connection: Arc::clone(&crate::testing::member(1, "test", 0).connection),
        };
        Greeted { at, unjoined }
    }

    #[test]
    fn connections_in_a_tls_handshake_are_bounded_and_spared_for_a_second() {
        const SPARED: u64 = GREETED_SPARED_MS;
        let here = Ipv4Addr::new(192, 0, 2, 1).into();
        // How many there are, of which addresses, and which of them goes.
        for (count, first, step, goes) in [
            (15, [192, 0, 2, 1], 0, None),
            (16, [192, 0, 2, 1], 0, Some(0)),
            (63, [192, 0, 2, 10], 1, None),
            (64, [192, 0, 2, 10], 1, Some(0)),
            (255, [10, 0, 0, 0], 1 << 8, None),
            (256, [10, 0, 0, 0], 1 << 8, Some(0)),
        ] {
            let mut table = Table::default();
            for n in 0..count {
                let from = Ipv4Addr::from_bits(Ipv4Addr::from(first).to_bits() + n * step);
                table.greeted.push_back(greeted(from, 100 + u64::from(n)));
            }
            let room = |now| table.room_to_greet(here, now);
            let at = |n: usize| Arc::as_ptr(&table.greeted[n].unjoined.connection);
            let early = room(100 + SPARED - 1);
            assert_eq!(early.is_err(), goes.is_some(), "{count} of {first:?}");
            let late = room(100 + SPARED).ok().flatten();
            assert_eq!(late.map(|one| Arc::as_ptr(&one)), goes.map(at));
        }
    }

    #[test]
    fn courtesy_is_used_up_and_comes_back() {
        let mut courtesy = Courtesy::default();
        courtesy.spend(COURTESY_MS, 10);
        assert!(!courtesy.is_left(10) && !courtesy.is_left(10_009));
        assert!(courtesy.is_left(10_010));
    }
}
