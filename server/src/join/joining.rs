//! The lines of a session before it has joined, and how `join` gives it a rank.

use crate::config::Config;
use crate::join::admission::{Wanted, check_token, not_admitted};
use crate::join::throttle::ANSWER_DELAY_MS;
use crate::member::Member;
use crate::millis;
use crate::ranking::Standing;
use crate::record;
use crate::session::{Flow, Session};
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, Message, RpcError, clip, error_line, result_line};
use common::wire::name::Name;
use common::wire::{Joined, method};
use serde_json::value::RawValue;

impl Session<'_> {
    #[inline(never)]
    pub(crate) fn line_before_join(&mut self, line: &[u8]) -> Flow {
        match Message::parse(line) {
            Ok(Message::Answer { id, .. }) => {
                self.stray(id.as_ref());
                Flow::Continue(())
            }
            Ok(Message::Request { id, method, params }) => {
                self.lives = true;
                self.request_before_join(id, &method, params)
            }
            Ok(Message::Notification { .. }) => {
                self.lives = true;
                Flow::Continue(())
            }
            // The session reads nothing that follows: a browser can be made to send HTTP to any port,
            // with lines of this protocol as the body.
            Err(malformed) => {
                log::debug!("{}: {}", self.connection.peer(), malformed.error);
                self.note_http(line);
                self.close_with(malformed.id, &malformed.error)
            }
        }
    }

    /// Logs that a connection that has not joined speaks HTTP, if its line looks like that.
    #[inline(never)]
    pub(crate) fn note_http(&self, line: &[u8]) {
        if looks_like_http(line) {
            let peer = self.connection.peer();
            let what = format_args!("{peer}: an HTTP request, refused");
            self.hub.http_log.log(self.now, what);
        }
    }

    #[inline(never)]
    fn request_before_join(&mut self, id: Id, method: &str, raw: Option<&RawValue>) -> Flow {
        if method != method::JOIN {
            let message = format!("{:?} before \"join\"; join first", clip(method));
            self.tell(error_line(
                Some(id),
                &RpcError::new(Code::NotJoined, message),
            ));
            return Flow::Continue(());
        }
        if !self.connection.begin_joining() {
            return Flow::Break(());
        }
        let joined = self.join(&id, raw);
        self.connection.end_joining(joined.is_ok());
        match joined {
            Ok(()) => {
                self.hub.handshakes.go(self.connection);
                Flow::Continue(())
            }
            Err(error) => self.not_joined(id, &error),
        }
    }

    #[inline(never)]
    fn not_joined(&mut self, id: Id, error: &RpcError) -> Flow {
        let peer = self.connection.peer();
        if let Some(audit) = &self.hub.config.audit
            && record::is_denial(error)
        {
            record::join_denied(audit, self.connection, error);
        }
        if error.is(Code::Unauthorized) {
            let what = format_args!("{peer} may not join: {error}");
            self.hub.token_log.log(self.now, what);
            let at = self.now.saturating_add(ANSWER_DELAY_MS);
            self.connection.refuse_at(at, error_line(Some(id), error));
            return Flow::Break(());
        }
        log::info!("{peer} may not join: {error}");
        let closes = [Code::UnsupportedProtocol, Code::ShuttingDown, Code::Full];
        if closes.iter().any(|code| error.is(*code)) {
            return self.close_with(Some(id), error);
        }
        self.tell(error_line(Some(id), error));
        Flow::Continue(())
    }

    /// Checks what the client asks for, and ranks it.
    fn join(&mut self, id: &Id, raw: Option<&RawValue>) -> Result<(), RpcError> {
        let (hub, address) = (self.hub, self.connection.peer().ip());
        let wanted = Wanted::read(raw, |shown| match &hub.config.token {
            None => Ok(()),
            Some(token) => check_token(&hub.throttle, token, shown, address, self.now),
        })?;
        self.admit(id, &wanted)?;
        let asks_for_token = hub.config.token.is_some();
        self.presence = asks_for_token.then(|| hub.throttle.member(address));
        Ok(())
    }

    #[inline(never)]
    fn admit(&mut self, id: &Id, wanted: &Wanted) -> Result<(), RpcError> {
        let (hub, connection) = (self.hub, self.connection);
        let make = |id, name| {
            let joined = hub.timers.now();
            Member::new(id, name, wanted.terms, joined, Arc::clone(connection))
        };
        let kept = &mut self.member;
        let mut stands = None;
        let welcome = |member: &Arc<Member>, standing| {
            stands = Some(standing);
            // Before it is in the list, so that it leaves the list whatever goes wrong from here.
            *kept = Some(Arc::clone(member));
            connection
                .outbox
                .push(welcome(&hub.config, id, member, standing));
        };
        let member = hub
            .roster
            .join(wanted.name.as_deref(), make, welcome)
            .map_err(|refusal| not_admitted(&refusal, wanted.name.as_deref()))?;
        if let Some(standing) = stands {
            hub.schedule_join_news(&member, standing);
        }
        self.about.change(&member.name);
        self.flushes.add(self.connection);
        Ok(())
    }

    /// Not in [`join`](Self::join): a stack keeps the memory that it once used, and logging uses more
    /// of it than all else that an idle client's session does.
    #[inline(never)]
    pub(crate) fn log_joined(&self, member: &Member) {
        log::info!(
            "{} joined as {member}, tier {}, slots {}",
            self.connection.peer(),
            member.tier,
            member.slots
        );
        if let Some(audit) = &self.hub.config.audit {
            record::join(audit, member);
        }
    }
}

/// Whether a line, or the start of one, looks like that of an HTTP request: a method and what it
/// is about (RFC 9112 §3), and `HTTP/` if the line is whole.
fn looks_like_http(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
        b"PRI",
    ];
    let mut words = line.split(|byte| *byte == b' ');
    let (method, last) = (words.next(), words.next_back());
    last.is_some_and(|last| {
        last.starts_with(b"HTTP/") || method.is_some_and(|method| METHODS.contains(&method))
    })
}

/// The answer to a `join`.
#[inline(never)]
fn welcome(config: &Config, id: &Id, member: &Member, standing: Standing) -> Vec<u8> {
    let joined = Joined {
        member: member.id,
        name: Name::known(member.name.to_string()),
        rank: standing.rank,
        tier: member.tier,
        members: standing.members,
        heartbeat_ms: millis(config.heartbeat),
        max_line: config.max_line,
    };
    result_line(id.clone(), joined)
}
