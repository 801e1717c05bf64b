//! Those who are connected and not ranked: newcomers that have not joined yet, and those who
//! left and are being closed. Each has a thread, so both have a bound of their own, apart from
//! that of the members.
//!
//! Whoever connects gets in. Where there is no room, the newcomer that has waited longest at
//! the address that holds most goes: who floods the server pushes out itself before anybody
//! else. Only the thread at the door waits here, until that of whoever goes has ended.

use crate::connection::Connection;
use crate::timers::timer_queue::millis;
use common::limits::{MAX_UNJOINED, MAX_UNJOINED_PER_ADDRESS};
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait_timeout_while};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Threads that may be about to end besides, of those who were turned away: as one ends, the
/// next can be started. With two at the door and the program's other five (main, timers, stdout,
/// stderr, signals) they are fewer than ten, as whoever looks at the server may count one more
/// that has all but ended.
const MOST_ENDING: usize = 2;

/// How long room is waited for. A thread that was told to end does so within a scheduler's
/// turn; where that takes longer, another thread is the last thing that is needed.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// How much of that is for those whose first words their threads did not get round to
/// reading: that is our doing, and most likely it is a `join`.
const UNREAD_PATIENCE: Duration = Duration::from_millis(100);

/// How long a newcomer is spared that may be about to join, as long as there is courtesy left:
/// enough for a client that the scheduler keeps waiting between its first two calls, and too
/// short for the next one to mind. Who comes right behind 64 of one address, which fill its 16
/// places four times over, waits three times as long: still less than a tenth of a second.
const SPARED_MS: u64 = 20;

/// How much waiting there is for those who are spared: a crowd of hundreds that comes at once
/// needs less. A flood has used it up soon, and then whoever comes gets in without delay.
const COURTESY: Duration = Duration::from_secs(1);

/// How long it takes to come back once it is used up.
const COURTESY_RETURNS: Duration = Duration::from_secs(10);

/// Making room is followed by a pause: it takes a tenth of a millisecond of two cores, so
/// whoever floods the server has a good part of one at the most. It is no longer than that,
/// since whoever waits behind a flood waits for each of its connections.
const PAUSE: Duration = Duration::from_micros(250);

/// How often it is looked again whether somebody is to be spared no longer.
const SPARED_TICK: Duration = Duration::from_millis(1);

/// The connected who are not ranked.
pub(crate) struct Handshakes {
    table: Mutex<Table>,
    /// Somebody joined, or a thread ended.
    changed: Condvar,
    /// How many of those who left are waited for at a time: everybody can leave at once.
    most_leavers: usize,
}

/// How much longer newcomers are waited for that may be about to join.
#[derive(Default)]
pub(crate) struct Courtesy {
    spent: Duration,
    /// When something was spent last.
    at: Option<Instant>,
}

impl Courtesy {
    fn is_left(&mut self) -> bool {
        if self.at.is_some_and(|at| at.elapsed() >= COURTESY_RETURNS) {
            *self = Courtesy::default();
        }
        self.spent < COURTESY
    }

    fn spend(&mut self, waited: Duration) {
        self.spent += waited;
        self.at = Some(Instant::now());
    }
}

/// Both in the order in which they came here.
#[derive(Default)]
struct Table {
    newcomers: VecDeque<Newcomer>,
    leavers: VecDeque<Arc<Connection>>,
    /// How many have gone.
    gone: u64,
}

struct Newcomer {
    from: IpAddr,
    connection: Arc<Connection>,
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

    /// Makes room for a newcomer from an address, and waits until there is some; says whether
    /// there is.
    pub(crate) fn make_room(&self, address: IpAddr, now: u64, courtesy: &mut Courtesy) -> bool {
        let (began, mut one_went) = (Instant::now(), false);
        loop {
            let crowd = lock(&self.table).in_the_way(origin(address));
            let waited = began.elapsed();
            if crowd.in_the_way.is_empty() && crowd.ending <= MOST_ENDING {
                if one_went {
                    std::thread::sleep(PAUSE);
                }
                return true;
            }
            if waited >= ROOM_PATIENCE {
                return false;
            }
            let now = now.saturating_add(millis(waited));
            let is_courteous = courtesy.is_left();
            let may_go = |one: &Connection| {
                (waited >= UNREAD_PATIENCE || !one.has_first_words())
                    && (!is_courteous || one.age(now) >= SPARED_MS)
            };
            let mut in_the_way = crowd.in_the_way.iter();
            if in_the_way.any(|one| may_go(one) && one.turn_away(now)) {
                one_went = true;
            } else if crowd.in_the_way.is_empty() {
                self.wait_for_more_gone(crowd.gone, ROOM_PATIENCE - waited);
            } else {
                self.wait_for_more_gone(crowd.gone, SPARED_TICK);
                courtesy.spend(began.elapsed() - waited);
            }
        }
    }

    /// Whether an address has all the places that it may have.
    pub(crate) fn has_all_places(&self, address: IpAddr) -> bool {
        lock(&self.table).count(origin(address)) >= MAX_UNJOINED_PER_ADDRESS
    }

    /// Makes room where the system has none for another connection, unless all may be about
    /// to join; says whether somebody went.
    pub(crate) fn make_room_in_need(&self, now: u64) -> bool {
        let crowd = lock(&self.table).crowd(Table::of_the_fullest);
        let may_go = |one: &Connection| one.age(now) >= SPARED_MS && !one.has_first_words();
        let mut newcomers = crowd.in_the_way.iter();
        let one_goes = crowd.ending > 0 || newcomers.any(|one| may_go(one) && one.turn_away(now));
        one_goes && self.wait_for_more_gone(crowd.gone, ROOM_PATIENCE)
    }

    /// Says whether there are.
    fn wait_for_more_gone(&self, seen: u64, at_most: Duration) -> bool {
        let table = lock(&self.table);
        let are_the_same = |table: &mut Table| table.gone == seen;
        let table = wait_timeout_while(&self.changed, table, at_most, are_the_same);
        table.gone != seen
    }

    /// Somebody has connected.
    pub(crate) fn come(&self, connection: &Arc<Connection>) {
        let newcomer = Newcomer {
            from: origin(connection.peer().ip()),
            connection: Arc::clone(connection),
        };
        lock(&self.table).newcomers.push_back(newcomer);
    }

    /// Somebody is a member now, or its thread ends.
    pub(crate) fn go(&self, connection: &Arc<Connection>) {
        let mut table = lock(&self.table);
        let before = table.newcomers.len();
        table
            .newcomers
            .retain(|one| !Arc::ptr_eq(&one.connection, connection));
        if table.newcomers.len() < before {
            table.gone += 1;
            drop(table);
            self.changed.notify_all();
        } else {
            table.leavers.retain(|one| !Arc::ptr_eq(one, connection));
        }
    }

    /// A member has left and is being closed; where too many are, who left first is cut.
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

/// Those who are not ranked, as somebody finds them who wants in.
struct Crowd {
    /// Of these one has to go, the first first.
    in_the_way: Vec<Arc<Connection>>,
    /// So many were turned away whose threads have not ended.
    ending: usize,
    /// [`Table::gone`] at that time.
    gone: u64,
}

impl Table {
    fn crowd(&self, in_the_way: impl FnOnce(&Table) -> Vec<Arc<Connection>>) -> Crowd {
        let here = self.here().count();
        Crowd {
            in_the_way: in_the_way(self),
            ending: self.newcomers.len() - here,
            gone: self.gone,
        }
    }

    /// Those of whom one has to go before somebody from an address can come.
    fn in_the_way(&self, address: IpAddr) -> Crowd {
        self.crowd(|table| {
            if table.count(address) >= MAX_UNJOINED_PER_ADDRESS {
                table.of(address)
            } else if table.here().count() >= MAX_UNJOINED {
                table.of_the_fullest()
            } else {
                Vec::new()
            }
        })
    }

    /// Those who were not turned away.
    fn here(&self) -> impl Iterator<Item = &Newcomer> {
        let newcomers = self.newcomers.iter();
        newcomers.filter(|one| !one.connection.is_turned_away())
    }

    /// Those of the address that holds most; of equals, of the one that came here first.
    fn of_the_fullest(&self) -> Vec<Arc<Connection>> {
        let mut counts: Vec<(IpAddr, usize)> = Vec::new();
        for one in self.here() {
            match counts.iter_mut().find(|(from, _)| *from == one.from) {
                Some((_, count)) => *count += 1,
                None => counts.push((one.from, 1)),
            }
        }
        // Of equals, the last is taken for the greatest.
        let fullest = counts.iter().rev().max_by_key(|(_, count)| *count);
        fullest.map(|(from, _)| self.of(*from)).unwrap_or_default()
    }

    fn count(&self, address: IpAddr) -> usize {
        self.here().filter(|one| one.from == address).count()
    }

    fn of(&self, address: IpAddr) -> Vec<Arc<Connection>> {
        let of_address = self.here().filter(|one| one.from == address);
        of_address.map(|one| Arc::clone(&one.connection)).collect()
    }
}

/// What counts as one address: of IPv6, the network that one household or machine has.
pub(crate) fn origin(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let parse = |text: &str| origin(text.parse().expect("an address"));
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.1"), parse("192.0.2.2"));
    }

    #[test]
    fn courtesy_is_used_up_and_comes_back() {
        let mut courtesy = Courtesy::default();
        courtesy.spend(COURTESY / 2);
        assert!(courtesy.is_left());
        courtesy.spend(COURTESY);
        assert!(!courtesy.is_left());
        courtesy.at = courtesy.at.and_then(|at| at.checked_sub(COURTESY_RETURNS));
        assert!(courtesy.at.is_none() || courtesy.is_left());
    }
}
