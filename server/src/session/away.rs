//! A connection that breaks and whose place is held: the session leaves the place, and another one
//! has it once the client comes back. Nothing of the member ends meanwhile.

use super::Session;
use crate::giving_up;
use crate::member::Member;
use crate::timers::timer_queue::Timer;
use common::limits::ACK_BYTES;
use common::logging::log_limit;

impl Session<'_> {
    /// Notes that so many bytes were read.
    #[inline(never)]
    pub(super) fn has_read(&mut self, bytes: usize) {
        let Some(hold) = self.connection.hold() else {
            return;
        };
        if !std::mem::replace(&mut self.is_confirmed, true) {
            hold.confirm();
            self.hub.note_place(self.connection);
        }
        self.unsaid_bytes += bytes;
    }

    /// Notes that what was read is handled, and has the client told if that is much.
    #[inline(never)]
    pub(super) fn has_handled(&mut self) {
        let Some(hold) = self.connection.hold() else {
            return;
        };
        hold.set_received(self.received);
        if self.unsaid_bytes >= ACK_BYTES {
            self.unsaid_bytes = 0;
            if self.connection.say_received() {
                self.flushes.add(self.connection);
            }
        }
    }

    /// Leaves the place to the session that the client comes back to, if the connection broke and
    /// the client has not been told to go.
    pub(super) fn leave_place(&mut self) {
        let Some(member) = self.member.clone() else {
            return;
        };
        let (connection, hub) = (self.connection, self.hub);
        let (Some(hold), Some(hold_ms)) = (connection.hold(), giving_up::hold_ms(hub)) else {
            return;
        };
        hold.set_received(self.received);
        let is_told_to_go = self.last_line.is_some() || connection.is_closing();
        let is_broken = connection.outbox.is_broken();
        if !is_broken || self.leaves || is_told_to_go || self.has_panicked || !hold.is_confirmed() {
            return;
        }
        self.presence = None;
        self.flushes.flush();
        connection.outbox.settle();
        // Before another session may put another one in its place.
        connection.stream.close();
        hub.roster.set_away(&member);
        let now = hub.timers.now();
        let due = self.now.saturating_add(hold_ms).max(now + 1);
        // Before the place is left: the client may be back at once.
        self.log_away(&member, due - now);
        if hold.leave(now, due) {
            self.is_away = true;
            hub.timers
                .schedule(due, Timer::HoldOver(member.rank_key(), due));
        }
    }

    #[inline(never)]
    fn log_away(&self, member: &Member, left: u64) {
        let why = self.connection.why();
        let why = why.unwrap_or_else(|| "its connection broke".into());
        let _any = log_limit::unlimited();
        log::info!(
            "{}: {member} is away: {why}; its place is held for {left} ms",
            self.connection.peer()
        );
    }
}
