//! The steps at the end of a session.

use super::Session;
use crate::dispatch::dispatcher;
use crate::record;
use common::logging::log_limit;
use common::net::outbox::Line;

impl Session<'_> {
    /// Takes the member out of the ranking: those below it move up.
    pub(super) fn leave_ranking(&mut self) {
        let Some(member) = &self.member else {
            return;
        };
        if self.connection.is_member() {
            self.hub.handshakes.leave(self.connection);
        }
        if let Some(hold) = self.connection.hold() {
            hold.end();
        }
        self.hub.roster.leave(member);
        self.presence = None;
        let reason = self.connection.why();
        let why = match &reason {
            Some(why) => format!(": {why}"),
            None if self.leaves => " on purpose".into(),
            None => String::new(),
        };
        if let Some(audit) = &self.hub.config.audit {
            let by_itself = if self.leaves {
                "on purpose"
            } else {
                "it closed the connection"
            };
            record::leave(audit, member, reason.as_deref().unwrap_or(by_itself));
        }
        let by_itself = if self.leaves { "on purpose" } else { "closed" };
        let departed = member.departed(reason.as_deref().unwrap_or(by_itself));
        let was_slow = self.connection.outbox.was_too_slow();
        self.hub.telemetry.left(departed, was_slow);
        let _any = log_limit::unlimited();
        log::info!("{} left: {member}{why}", self.connection.peer());
    }

    /// Schedules news for the members that moved up, also if leaving went wrong.
    pub(super) fn schedule_rank_news(&mut self) {
        if self.member.is_some() {
            self.hub.schedule_news();
            self.hub.note_place(self.connection);
        }
    }

    /// Cancels what the member sent.
    pub(super) fn end_sends(&mut self) {
        if let Some(member) = &self.member {
            let why = (&**member, dispatcher::SENDER_LEFT);
            dispatcher::cancel_all(self.hub, member, why, &mut self.flushes);
        }
    }

    /// Tells the senders of what the member executes that it is lost.
    pub(super) fn end_work(&mut self) {
        if let Some(member) = &self.member {
            self.hub
                .conclude_all(member.queue.close(), &mut self.flushes);
        }
    }

    /// Sends the last line. Only now: a client that reads it, or the end, is gone for all others too.
    pub(super) fn say_the_last(&mut self) {
        self.flushes.flush();
        if !self.connection.is_to_be_refused() {
            let now = self.hub.timers.now();
            self.connection
                .finish(self.last_line.take().map(Line::from), now);
        }
        self.hub.timers.retry_stuck(self.connection);
        self.member = None;
        if !self.connection.is_turned_away() {
            self.hub.schedule_check(self.connection);
        }
    }

    /// Discards what the peer sends, and waits until it has taken what is queued for it. An earlier
    /// close, with something unread, would reset the connection and lose its last lines (RFC 9293
    /// §3.10.7.1). The timer thread cuts the connection in the end.
    pub(super) fn linger(&mut self) {
        self.connection.stream.drop_input();
        if self.connection.is_to_be_refused() {
            // Half a close does not bring the answer any sooner, nor does a whole one make room
            // for another try.
            self.connection.stream.wait_for_end();
        }
        self.connection.outbox.settle();
    }
}
