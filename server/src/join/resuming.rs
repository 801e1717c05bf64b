//! How a client comes back to its place after its connection broke: the session of its new
//! connection waits until the earlier one looks at nothing more, and goes on in its place.
//!
//! If the lines of both ends can go on, the member stays as it is, and its connection has another
//! stream. If not, the place alone is kept: another member takes it, with the number, the name and
//! the rank, and all that was open of the earlier one ends.

use crate::authority::token::TokenHash;
use crate::connection::hold::{Claim, Hold, new_token, random};
use crate::eviction;
use crate::giving_up;
use crate::join::admission::{ComesBack, Wanted, not_admitted};
use crate::join::welcome::welcome;
use crate::member::Member;
use crate::ranking::{NotAdmitted, Standing};
use crate::session::Session;
use common::logging::log_limit;
use common::net::outbox::Cut;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError};
use common::wire::{Resumable, Resumed};
use std::time::Instant;

#[cold]
#[inline(never)]
fn not_resumable() -> RpcError {
    let message = "this server holds no place for that token; join anew";
    RpcError::new(Code::NotResumable, message)
}

impl Session<'_> {
    /// Has the client come back to the place that its token is of.
    ///
    /// # Errors
    /// There is none, or it is another credential's.
    #[inline(never)]
    pub(super) fn resume(
        &mut self,
        id: &Id,
        wanted: &Wanted,
        back: &ComesBack,
    ) -> Result<(), RpcError> {
        let hub = self.hub;
        self.come_back_to(id, wanted, back).map_err(|error| {
            match hub.keeps_places() && hub.roster.look(|view| view.is_draining()) {
                // It may be one that is held for the next start.
                true => not_admitted(&NotAdmitted::ShuttingDown, wanted),
                false => error,
            }
        })
    }

    fn come_back_to(&mut self, id: &Id, wanted: &Wanted, back: &ComesBack) -> Result<(), RpcError> {
        let hub = self.hub;
        let member = hub.roster.look(|view| {
            let (_, place) = view.by_number(back.member?)?;
            Some(Arc::clone(&place.member))
        });
        let member = member.filter(|member| is_of(member, wanted));
        let member = member.ok_or_else(not_resumable)?;
        let hold = member.connection.hold().ok_or_else(not_resumable)?;
        let cut = || member.connection.outbox.break_off(Cut::Broken);
        let claim = hold.claim(&back.token, cut).ok_or_else(not_resumable)?;
        // It may have waited.
        self.now = hub.timers.now();
        let standing = hub.roster.standing(&member).ok_or_else(not_resumable)?;
        let random = random().map_err(|_| not_resumable())?;
        let (token, hash) = new_token(member.id, random);
        let hold_ms = giving_up::hold_ms(hub).ok_or_else(not_resumable)?;
        let resume = Some(Resumable { token, hold_ms });
        let lines = (resume.clone(), Some(Resumed::Lines));
        let answer = welcome(hub, id, &member, standing, lines);
        let outbox = &member.connection.outbox;
        let (stream, now) = (&self.connection.stream, Instant::now());
        if hold.counts_with(&back.token) && outbox.resume(stream, back.received, &answer, now) {
            self.have_place(&member, claim, back.token, hash);
            return Ok(());
        }
        if hold.is_over() {
            // It was given up meanwhile, and its rank with it.
            return Err(not_resumable());
        }
        self.take_place(id, &member, wanted, [back.token, hash], resume)
    }

    /// Goes on in the place of the earlier session.
    #[inline(never)]
    fn have_place(
        &mut self,
        member: &Arc<Member>,
        claim: Claim<'_>,
        shown: TokenHash,
        token: TokenHash,
    ) {
        let (hub, now) = (self.hub, self.now);
        // First, so that a session has it if anything goes wrong from here.
        self.resumed = Some(Arc::clone(member));
        let away = member.connection.away_since();
        let away = away.map_or(0, |since| now.saturating_sub(since));
        member.connection.come_back(now);
        if !claim.have(shown, token) {
            // It was given up while this session took it, so nothing is written any more, and the
            // thread that gave it up may not have known of this stream.
            return member.connection.stream.close();
        }
        hub.roster.set_back(member);
        hub.schedule_news();
        for sender in member.came_back(away, &hub.timers, now) {
            self.flushes.add(&sender.connection);
        }
        self.flushes.add(&member.connection);
        let _any = log_limit::unlimited();
        log::info!(
            "{}: {member} is back after {away} ms, nothing lost",
            member.connection.peer()
        );
    }

    /// Takes the place of a member whose lines cannot go on.
    #[inline(never)]
    fn take_place(
        &mut self,
        id: &Id,
        earlier: &Arc<Member>,
        wanted: &Wanted,
        [shown, token]: [TokenHash; 2],
        resume: Option<Resumable>,
    ) -> Result<(), RpcError> {
        let (hub, connection) = (self.hub, self.connection);
        let terms = earlier.terms();
        let member = Member::new(
            earlier.id,
            earlier.name.clone(),
            terms,
            wanted.bearer(),
            earlier.joined,
            Arc::clone(connection),
        );
        // A client that comes back has what it has shown the token for.
        let hold = Box::new(Hold::again(token, Some(shown), self.now));
        let kept = &mut self.member;
        let tell = |standing: Standing| {
            *kept = Some(Arc::clone(&member));
            let answer = (resume, Some(Resumed::Rank));
            let line = welcome(hub, id, &member, standing, answer);
            connection.outbox.push(line);
            connection.set_hold(hold);
        };
        if !hub.roster.replace(earlier, &member, tell) {
            return Err(not_resumable());
        }
        hub.telemetry.counters.replaced();
        hub.note_place(connection);
        giving_up::let_go(hub, earlier);
        // The other one counts as having joined.
        let was_slow = earlier.connection.outbox.was_too_slow();
        hub.telemetry.counters.left(was_slow);
        hub.schedule_news();
        eviction::watch_expiry(hub, &member);
        self.about.change(&member.name);
        self.flushes.add(connection);
        let _any = log_limit::unlimited();
        log::warn!(
            "{}: {member} is back at its rank; what was open is lost",
            connection.peer()
        );
        Ok(())
    }
}

/// Whether a member has joined with the credential that a client has proven now.
#[inline(never)]
fn is_of(member: &Member, wanted: &Wanted) -> bool {
    match (&member.bearer, &wanted.proven) {
        (None, None) => true,
        (Some(bearer), Some(proven)) => bearer.grant().is_of_the_same(&proven.grant),
        _ => false,
    }
}
