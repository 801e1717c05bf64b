//! How often an address may guess the token. An address has 16 tries; one that a wrong
//! token took comes back after a second, so the server checks no more than 16 wrong ones in a second; after 20 in a
//! minute it checks none for a while. The right token costs none: thousands of clients behind one
//! address come back unhindered.
//!
//! The server checks every token from the address of a member: otherwise a machine that guesses
//! there would keep the others of that address out. Wrong ones are answered no sooner.

use common::net::origin::origin;
use common::sys::sync::{Mutex, lock};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// How long a wrong try waits for its answer, and until it is back.
pub(crate) const ANSWER_DELAY_MS: u64 = 1000;

/// Tries of one address: as many as it has connections that have not joined.
const PERMITS: usize = common::limits::MAX_UNJOINED_PER_ADDRESS;

/// Wrong tries ...
const MOST_WRONG: usize = 20;

/// ... in this time after which an address is refused: more than people mistype, and a handful
/// of services with an old token, which are started again every few seconds.
const WRONG_IN_MS: u64 = 60_000;

/// For how long, at first; each time it is twice as long ...
const FIRST_REFUSAL_MS: u64 = 1000;

/// ... up to this.
const LONGEST_REFUSAL_MS: u64 = 60_000;

/// Addresses whose wrong tries are remembered: each costs some 300 bytes. An attacker that has
/// more addresses has so many permits that it gains nothing from being forgotten.
const MOST_ADDRESSES: usize = 4096;

/// How often old entries are dropped when there are so many.
const TIDY_MS: u64 = 1000;

/// What became of a try that is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Whether the token was checked.
    pub(crate) was_heard: bool,
    /// How long after the answer the next try is worth while.
    pub(crate) retry_ms: u64,
}

#[derive(Default)]
pub(crate) struct Throttle {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    wrong: HashMap<IpAddr, Wrong>,
    /// When old entries were dropped last.
    tidied: u64,
    /// How many members come from an address.
    members: HashMap<IpAddr, u32>,
}

/// The wrong tries of one address.
#[derive(Default)]
struct Wrong {
    /// When the last ones came.
    times: VecDeque<u64>,
    refused_until: u64,
    last_refusal_ms: u64,
}

impl Throttle {
    /// Checks a token, if the address may try one now.
    pub(crate) fn look<T, E>(
        &self,
        address: IpAddr,
        now: u64,
        prove: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, (Refused, Option<E>)> {
        let address = origin(address);
        let mut table = lock(&self.table);
        if let Some(wrong) = table.refusing(address, now) {
            return Err((wrong.answer(now, false), None));
        }
        let error = match prove() {
            Ok(proven) => return Ok(proven),
            Err(error) => error,
        };
        let wrong = table.of(address, now);
        wrong.note(now);
        Err((wrong.answer(now, true), Some(error)))
    }

    /// Whether no token from an address is checked now.
    pub(crate) fn refuses(&self, address: IpAddr, now: u64) -> bool {
        lock(&self.table).refusing(origin(address), now).is_some()
    }

    /// Counts a member that comes from an address, until it is dropped.
    pub(crate) fn member(&self, address: IpAddr) -> Presence<'_> {
        let address = origin(address);
        *lock(&self.table).members.entry(address).or_default() += 1;
        Presence {
            throttle: self,
            address,
        }
    }
}

/// A member comes from an address.
pub(crate) struct Presence<'a> {
    throttle: &'a Throttle,
    address: IpAddr,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let mut table = lock(&self.throttle.table);
        if let Some(count) = table.members.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.members.remove(&self.address);
            }
        }
    }
}

impl Table {
    /// The wrong tries of an address, if no token from it is checked now.
    fn refusing(&self, address: IpAddr, now: u64) -> Option<&Wrong> {
        let wrong = self.wrong.get(&address).filter(|wrong| wrong.refuses(now));
        wrong.filter(|_| !self.members.contains_key(&address))
    }

    /// The entry for the wrong tries of an address.
    fn of(&mut self, address: IpAddr, now: u64) -> &mut Wrong {
        let is_new = !self.wrong.contains_key(&address);
        let is_full = is_new && self.wrong.len() >= MOST_ADDRESSES;
        let pause = if is_full { TIDY_MS } else { WRONG_IN_MS };
        if now >= self.tidied.saturating_add(pause) {
            self.tidied = now;
            self.wrong.retain(|_, wrong| !wrong.is_long_ago(now));
        }
        if is_full && self.wrong.len() >= MOST_ADDRESSES {
            let any = self.wrong.keys().next().copied();
            any.and_then(|any| self.wrong.remove(&any));
        }
        self.wrong.entry(address).or_default()
    }
}

impl Wrong {
    fn refuses(&self, now: u64) -> bool {
        let counts = |at: &&u64| now < at.saturating_add(ANSWER_DELAY_MS);
        let counting = self.times.iter().rev().take_while(counts).count();
        now < self.refused_until || counting >= PERMITS
    }

    fn note(&mut self, now: u64) {
        self.times.push_back(now);
        if self.times.len() > MOST_WRONG {
            self.times.pop_front();
        }
        let first = self.times.front().copied().unwrap_or(now);
        let are_too_many = self.times.len() == MOST_WRONG && now < first + WRONG_IN_MS;
        if are_too_many && now >= self.refused_until {
            let ms = (2 * self.last_refusal_ms).clamp(FIRST_REFUSAL_MS, LONGEST_REFUSAL_MS);
            self.last_refusal_ms = ms;
            self.refused_until = now + ms;
        }
    }

    fn answer(&self, now: u64, was_heard: bool) -> Refused {
        let answered = now + ANSWER_DELAY_MS;
        let left = self.refused_until.saturating_sub(answered);
        Refused {
            was_heard,
            retry_ms: left.max(ANSWER_DELAY_MS),
        }
    }

    fn is_long_ago(&self, now: u64) -> bool {
        let last = self.times.back().copied().unwrap_or(0);
        now >= last.max(self.refused_until).saturating_add(WRONG_IN_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn other(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    fn wrong(throttle: &Throttle, from: IpAddr, now: u64) -> Refused {
        let tried = throttle.look(from, now, || Err::<(), ()>(()));
        tried.expect_err("it is wrong").0
    }

    fn right(throttle: &Throttle, now: u64) -> bool {
        throttle.look(HERE, now, || Ok::<(), ()>(())).is_ok()
    }

    fn heard(throttle: &Throttle, from: IpAddr, now: u64) -> bool {
        wrong(throttle, from, now).was_heard
    }

    #[test]
    fn an_address_has_16_tries_a_second_and_the_right_token_uses_none() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            assert!(right(&throttle, 10));
        }
        let looked_at = (0..100).filter(|_| heard(&throttle, HERE, 10)).count();
        assert_eq!(looked_at, PERMITS);
        let unheard: Result<(), (Refused, Option<()>)> =
            throttle.look(HERE, 1009, || unreachable!("it is not looked at"));
        assert!(unheard.is_err());
        assert!(throttle.refuses(HERE, 1009) && !throttle.refuses(HERE, 1010));
        assert!(!throttle.refuses(other(1), 10));
        assert!(
            heard(&throttle, other(1), 10),
            "another address has its own"
        );
        assert!(right(&throttle, 1010));
        assert!(heard(&throttle, HERE, 1010));
    }

    #[test]
    fn after_20_wrong_tokens_in_a_minute_an_address_is_refused_ever_longer_and_forgotten_at_last() {
        let throttle = Throttle::default();
        let (mut now, mut refusals, mut tries) = (1, Vec::new(), Vec::new());
        while refusals.len() < 8 {
            let mut tried = 0;
            let refused_until = loop {
                let refused = wrong(&throttle, HERE, now);
                assert!(refused.was_heard);
                tried += 1;
                let until = lock(&throttle.table).wrong[&HERE].refused_until;
                if until > now {
                    assert_eq!(refused.retry_ms, (until - now - 1000).max(1000));
                    break until;
                }
                now += 100;
            };
            assert!(!heard(&throttle, HERE, refused_until - 1));
            tries.push(tried);
            refusals.push(refused_until - now);
            now = refused_until;
        }
        assert_eq!(tries[0], MOST_WRONG);
        assert_eq!(refusals, [1, 2, 4, 8, 16, 32, 60, 60].map(|s| s * 1000));
        assert!(heard(&throttle, other(1), now + WRONG_IN_MS));
        let table = lock(&throttle.table);
        assert!(!table.wrong.contains_key(&HERE), "it is forgotten");
    }

    #[test]
    fn every_token_from_the_address_of_a_member_is_checked() {
        let throttle = Throttle::default();
        let first = throttle.member(HERE);
        let second = throttle.member(HERE);
        for now in 1..100 {
            assert!(heard(&throttle, HERE, now));
            assert!(right(&throttle, now));
            assert!(!throttle.refuses(HERE, now));
        }
        drop(first);
        assert!(heard(&throttle, HERE, 100));
        drop(second);
        assert!(!heard(&throttle, HERE, 101));
        assert!(lock(&throttle.table).members.is_empty());
    }

    #[test]
    fn guesses_of_many_addresses_are_remembered_of_a_bounded_number() {
        let throttle = Throttle::default();
        for n in 0..3 * MOST_ADDRESSES as u32 {
            assert!(heard(&throttle, other(n), 10));
            assert!(heard(
                &throttle,
                IpAddr::V6((u128::from(n + 1) << 64).into()),
                10
            ));
        }
        assert!(lock(&throttle.table).wrong.len() <= MOST_ADDRESSES);
    }
}
