//! The place of a member whose connection may break and come back: what its sessions have received,
//! which tokens bring it back, and which session has it.
//!
//! A place goes from session to session: the one that loses the connection leaves it
//! ([`Hold::leave`]), the one that a client comes back to [claims](Hold::claim) it, and has it once
//! the earlier one looks at nothing more. One that no session claims in time is over, and so is one
//! whose member ends. Times are those of the timer queue.

use crate::authority::token::TokenHash;
use common::sys::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use common::sys::sync::{Condvar, Mutex, lock, wait_timeout};
use common::wire::ResumeToken;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How long a session may take to let go of a place: it may wait a second for memory, and then
/// handles what is in its buffer.
const HAND_OVER: Duration = Duration::from_secs(3);

/// Hexadecimal digits of a token.
pub(crate) const TOKEN_DIGITS: usize = 32;

/// Those in front are its member's number: so no table has to say which token is whose. They are for a
/// thousand joins a second over thirty years. The others are random: as many as no guess finds.
pub(crate) const NUMBER_DIGITS: usize = 10;

/// The place of one member.
pub(crate) struct Hold {
    /// Lines of its client that were looked at.
    received: AtomicU64,
    /// As many of them as the client knows of: the low bits are enough to see a change.
    said: AtomicU32,
    /// The lines that its client had acknowledged at the last check, and since when: again the low
    /// bits.
    acknowledged: AtomicU32,
    acknowledged_at: AtomicU32,
    /// Since when it has no connection; 0: it has one.
    away_since: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stage: Stage,
    /// A session that a client has come back to is about to have it.
    is_claimed: bool,
    /// Something arrived after the answer to the first `join`.
    is_confirmed: bool,
    /// When it is over, if no session claims it: the low bits, which tell apart the times that it was
    /// to be over at.
    due: u32,
    token: TokenHash,
    /// The one before it, while the client may not have the answer with the new one.
    before: Option<Box<TokenHash>>,
    /// That one is of a member whose lines were lost: its client does not know of this one.
    before_is_of_another: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A session has it.
    Here,
    /// It waits for a session.
    Away,
    /// It is given up.
    Over,
}

/// The token of a place, and the one before it while that brings the client back, too.
pub(crate) type Tokens = (TokenHash, Option<TokenHash>);

/// A place that a session is about to have; dropping it lets others claim it.
pub(crate) struct Claim<'a>(&'a Hold);

/// The low bits of a count of lines, or of a time in milliseconds. They tell it from others that are less
/// than seven weeks away, and which of two times is the later one if those are not half as far apart.
fn low(number: u64) -> u32 {
    number as u32
}

/// What no other client guesses.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn random() -> Result<u128, getrandom::Error> {
    let mut random = [0; size_of::<u128>()];
    getrandom::fill(&mut random)?;
    Ok(u128::from_ne_bytes(random))
}

/// A new token of a member, and what is kept of it.
pub(crate) fn new_token(member: u64, random: u128) -> (ResumeToken, TokenHash) {
    let number = u128::from(member) << (4 * (TOKEN_DIGITS - NUMBER_DIGITS));
    let random = random >> (4 * NUMBER_DIGITS);
    // It need not grow: that leaves pieces with the thread of each session.
    let mut token = String::with_capacity(TOKEN_DIGITS);
    let _ = write!(token, "{:0TOKEN_DIGITS$x}", number | random);
    let hash = TokenHash::of(&token);
    (token.into(), hash)
}

/// The number of the member that a token is of, if it is of any.
pub(crate) fn member_of(token: &str) -> Option<u64> {
    let number = token.get(..NUMBER_DIGITS)?;
    u64::from_str_radix(number, 16).ok()
}

impl Hold {
    /// That of a member which joins now.
    pub(crate) fn new(token: TokenHash, now: u64) -> Hold {
        let state = State {
            stage: Stage::Here,
            is_claimed: false,
            is_confirmed: false,
            due: 0,
            token,
            before: None,
            before_is_of_another: false,
        };
        Hold {
            received: AtomicU64::new(0),
            said: AtomicU32::new(0),
            acknowledged: AtomicU32::new(0),
            acknowledged_at: AtomicU32::new(low(now)),
            away_since: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The place of a client that has come back without its lines. The token that it has shown stays
    /// good until something arrives over its new connection.
    pub(crate) fn again(token: TokenHash, before: Option<TokenHash>, now: u64) -> Hold {
        let hold = Hold::new(token, now);
        let mut state = lock(&hold.state);
        state.is_confirmed = true;
        state.before = before.map(Box::new);
        state.before_is_of_another = true;
        drop(state);
        hold
    }

    /// That of a member of an earlier start of this server; it is over at a time.
    #[cfg(not(shuttle))]
    pub(crate) fn restored((token, before): Tokens, now: u64, due: u64) -> Hold {
        let hold = Hold::again(token, before, now);
        hold.leave(now, due);
        hold
    }

    pub(crate) fn away_since(&self) -> Option<u64> {
        match self.away_since.load(Ordering::Relaxed) {
            0 => None,
            at => Some(at),
        }
    }

    /// Lines of its client that were looked at.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn set_received(&self, lines: u64) {
        self.received.store(lines, Ordering::Relaxed);
    }

    /// The lines that its client is to be told were received, if it does not know.
    pub(crate) fn unsaid(&self) -> Option<u64> {
        let received = self.received();
        let said = low(received);
        (self.said.swap(said, Ordering::Relaxed) != said).then_some(received)
    }

    /// How long its client has acknowledged nothing, as of a check at which it had acknowledged so
    /// many lines, and others of its lines or not.
    pub(crate) fn silence(&self, acknowledged: u32, owes_any: bool, now: u64) -> u64 {
        let before = self.acknowledged.swap(acknowledged, Ordering::Relaxed);
        if before != acknowledged || !owes_any {
            self.end_silence(now);
        }
        // Of two threads that look at the clock, one may be behind. They look with each heartbeat, of a
        // day at the most, so that not weeks have passed.
        let passed = low(now).wrapping_sub(self.acknowledged_at.load(Ordering::Relaxed)) as i32;
        u64::try_from(passed).unwrap_or(0)
    }

    /// Its client has come back: it was not silent while it was away.
    pub(crate) fn end_silence(&self, now: u64) {
        self.acknowledged_at.store(low(now), Ordering::Relaxed);
    }

    /// Something arrived over the connection whose answer carried the token: it is the only one
    /// from now on.
    pub(crate) fn confirm(&self) {
        let mut state = lock(&self.state);
        state.is_confirmed = true;
        state.before_is_of_another = false;
        state.before = None;
    }

    /// Whether an end of the connection may be other than a leave.
    pub(crate) fn is_confirmed(&self) -> bool {
        lock(&self.state).is_confirmed
    }

    /// Whether a client that shows a token counts the lines of this member: not if it has not got the
    /// answer that told it that the earlier ones are lost.
    pub(crate) fn counts_with(&self, token: &TokenHash) -> bool {
        let state = lock(&self.state);
        !state.before_is_of_another || state.token.is(token)
    }

    /// Its tokens, if it is one that its client may come back to.
    #[cfg(not(shuttle))]
    pub(crate) fn to_keep(&self) -> Option<Tokens> {
        let state = lock(&self.state);
        let is_held = state.stage != Stage::Over && state.is_confirmed;
        is_held.then(|| state.tokens())
    }

    /// Its tokens, for the next start of the server.
    #[cfg(not(shuttle))]
    pub(crate) fn tokens(&self) -> Tokens {
        lock(&self.state).tokens()
    }

    /// The session that has it looks at nothing more; without another one it is over at a time.
    /// `false`: it is over already.
    pub(crate) fn leave(&self, now: u64, due: u64) -> bool {
        let mut state = lock(&self.state);
        if state.stage == Stage::Over {
            return false;
        }
        state.stage = Stage::Away;
        state.due = low(due);
        self.away_since.store(now, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// It is over; what it was.
    pub(crate) fn end(&self) -> Stage {
        let stage = std::mem::replace(&mut lock(&self.state).stage, Stage::Over);
        self.changed.notify_all();
        stage
    }

    /// It is over if it was to be at this time, and no session has claimed it; says whether it is.
    /// `until` puts that off to a later time.
    pub(crate) fn expire(&self, at: u64, until: Option<u64>) -> bool {
        let mut state = lock(&self.state);
        let is_due = state.stage == Stage::Away && !state.is_claimed && state.due == low(at);
        match until {
            _ if !is_due => false,
            Some(later) => {
                state.due = low(later);
                false
            }
            None => {
                state.stage = Stage::Over;
                true
            }
        }
    }

    /// Whether it is given up.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).stage == Stage::Over
    }

    /// Whether it waits for a session.
    pub(crate) fn is_left(&self) -> bool {
        lock(&self.state).stage == Stage::Away
    }

    /// When it is over, if no session has it.
    #[cfg(all(test, shuttle))]
    pub(crate) fn due(&self) -> Option<u64> {
        let state = lock(&self.state);
        (state.stage == Stage::Away).then_some(state.due.into())
    }

    /// Whether it is to be over at this time.
    pub(crate) fn is_due(&self, at: u64) -> bool {
        let state = lock(&self.state);
        state.stage == Stage::Away && state.due == low(at)
    }

    /// Claims it for a client that shows a token, once no other session has it. `cut` ends the
    /// connection of one that does. `None`: the token is not, or no more, its own.
    pub(crate) fn claim(&self, token: &TokenHash, cut: impl Fn()) -> Option<Claim<'_>> {
        let deadline = Instant::now() + HAND_OVER;
        let mut state = lock(&self.state);
        loop {
            if state.stage == Stage::Over || !state.knows(token) {
                return None;
            }
            if state.stage == Stage::Away && !state.is_claimed {
                state.is_claimed = true;
                return Some(Claim(self));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if state.stage == Stage::Here {
                // Its client has the token, so the answer has arrived.
                state.is_confirmed = true;
                drop(state);
                cut();
                state = lock(&self.state);
                if state.stage != Stage::Here {
                    continue;
                }
            }
            state = wait_timeout(&self.changed, state, left);
        }
    }
}

impl State {
    #[cfg(not(shuttle))]
    fn tokens(&self) -> Tokens {
        (self.token, self.before.as_deref().copied())
    }

    fn knows(&self, token: &TokenHash) -> bool {
        let before = self.before.as_ref().is_some_and(|before| before.is(token));
        self.token.is(token) || before
    }
}

impl Claim<'_> {
    /// The session has it from now on, and a new token brings the client back, or still the one
    /// that it has shown. `false`: it is over.
    pub(crate) fn have(self, shown: TokenHash, token: TokenHash) -> bool {
        let hold = self.0;
        let mut state = lock(&hold.state);
        if state.stage == Stage::Over {
            return false;
        }
        state.stage = Stage::Here;
        hold.away_since.store(0, Ordering::Relaxed);
        state.token = token;
        state.before = Some(Box::new(shown));
        state.before_is_of_another = false;
        true
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).is_claimed = false;
        self.0.changed.notify_all();
    }
}

#[cfg(all(test, not(shuttle)))]
#[path = "hold_tests.rs"]
mod tests;
