//! The lines of a session before it has joined, and how `join` gives it a rank.

use crate::authority::grant::{Proof, showed};
use crate::authority::redact;
use crate::clock::wall_clock;
use crate::connection::hold::{Hold, new_token, random};
use crate::eviction;
use crate::giving_up;
use crate::hub::Hub;
use crate::join::admission::{Proven, Wanted, check_token, not_admitted, prove};
use crate::join::throttle::ANSWER_DELAY_MS;
use crate::join::welcome::welcome;
use crate::member::Member;
use crate::ranking::{Admitted, Standing};
use crate::record;
use crate::session::{Flow, Session};
use common::net::NO_TLS_ALERT;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, Malformed, Message, RpcError, error_line};
use common::wire::method::ClientMethod;
use common::wire::text::clip;
use common::wire::{Resumable, method};
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
            Err(malformed) => self.malformed_before_join(line, malformed),
        }
    }

    /// Ends a connection that begins with TLS, with the word for it that a TLS client knows: this
    /// server does not encrypt.
    #[inline(never)]
    pub(crate) fn refuse_tls(&mut self) -> Flow {
        let peer = self.connection.peer();
        let what = format_args!("{peer}: TLS, refused: this server has no certificate (--cert)");
        self.hub.tls_log.log(self.now, what);
        self.connection.blame("it began with TLS");
        self.last_line = Some(NO_TLS_ALERT.to_vec());
        Flow::Break(())
    }

    #[cold]
    #[inline(never)]
    fn malformed_before_join(&mut self, line: &[u8], malformed: Malformed) -> Flow {
        log::debug!("{}: {}", self.connection.peer(), malformed.error);
        self.note_http(line);
        self.close_with(malformed.id, &malformed.error)
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

    #[cold]
    #[inline(never)]
    fn ask_to_join(&mut self, id: Id, method: &str) {
        let message = format!("{:?} before \"join\"; join first", clip(method));
        let error = RpcError::new(Code::NotJoined, message);
        self.tell(error_line(Some(id), &error));
    }

    #[inline(never)]
    fn request_before_join(&mut self, id: Id, method: &str, raw: Option<&RawValue>) -> Flow {
        if ClientMethod::from_name(method) != Some(ClientMethod::Join) {
            self.ask_to_join(id, method);
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
                match self.resumed {
                    None => Flow::Continue(()),
                    // The rest is for the session of its place.
                    Some(_) => Flow::Break(()),
                }
            }
            Err(error) => self.not_joined(id, raw, &without_token(error)),
        }
    }

    #[inline(never)]
    fn not_joined(&mut self, id: Id, raw: Option<&RawValue>, error: &RpcError) -> Flow {
        let peer = self.connection.peer();
        if let Some(audit) = &self.hub.config.audit
            && record::is_denial(error)
        {
            record::join_denied(audit, self.connection, raw, error);
        }
        if let Some(telemetry) = self.hub.telemetry.counting() {
            telemetry.refused(method::JOIN, error);
        }
        if error.is(Code::Unauthorized) {
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
        let wanted = Wanted::read(raw, |shown| self.prove(shown))?;
        match &wanted.resume {
            None => self.admit(id, wanted)?,
            Some(back) => self.resume(id, &wanted, back)?,
        }
        self.note_presence();
        Ok(())
    }

    /// Checks what the client shows; `None` at a server that knows no identities.
    #[inline(never)]
    fn prove(&self, shown: Option<&str>) -> Result<Option<Proven>, RpcError> {
        self.proven(shown).inspect_err(|error| {
            let peer = self.connection.peer();
            let showed = showed(shown, self.connection.identity());
            let what = format_args!("{peer} may not join: {error} (it showed {showed})");
            self.hub.token_log.log(self.now, what);
        })
    }

    fn proven(&self, shown: Option<&str>) -> Result<Option<Proven>, RpcError> {
        let (hub, address) = (self.hub, self.connection.peer().ip());
        match (&hub.config.authority, &hub.config.token) {
            (Some(authority), _) => {
                let rules = authority.rules();
                let proof = Proof::of(shown, self.connection.identity());
                let check = || rules.authenticate(proof, address, wall_clock());
                let grant = prove(&hub.throttle, address, self.now, check)?;
                Ok(Some(Proven { rules, grant }))
            }
            (None, Some(token)) => {
                let check = || check_token(token, shown);
                prove(&hub.throttle, address, self.now, check).map(|()| None)
            }
            (None, None) => Ok(None),
        }
    }

    #[inline(never)]
    fn admit(&mut self, id: &Id, mut wanted: Box<Wanted>) -> Result<(), RpcError> {
        let (hub, connection) = (self.hub, self.connection);
        let terms = wanted.terms.clone();
        let bearer = wanted.bearer();
        let make = |id, name| {
            let joined = hub.timers.now();
            Member::new(id, name, terms, bearer, joined, Arc::clone(connection))
        };
        let kept = &mut self.member;
        let mut stands = None;
        let now = self.now;
        // Drawn here, as the ranking is locked while the place is made.
        let random = wanted.hold.then(random).transpose().ok().flatten();
        let welcome = |member: &Arc<Member>, standing| {
            stands = Some(standing);
            // Before it is in the list, so that it leaves the list if anything goes wrong from here.
            *kept = Some(Arc::clone(member));
            let place = random.and_then(|random| place(hub, member, random, now));
            first_welcome(hub, id, member, standing, place);
        };
        let Admitted { member, replaced } = hub
            .roster
            .join(wanted.newcomer(), make, welcome)
            .map_err(|refusal| not_admitted(&refusal, &wanted))?;
        hub.note_number(member.id);
        if let Some(standing) = stands {
            hub.schedule_join_news(&member, standing);
        }
        self.about.change(&member.name);
        self.flushes.add(self.connection);
        if let Some(proven) = wanted.proven.take() {
            self.begin_to_hold(&member, &proven, &replaced);
        }
        Ok(())
    }

    /// What is done of a client that has joined with a credential: those in whose place it is end,
    /// and it is held to the rules, which may have changed meanwhile.
    #[inline(never)]
    fn begin_to_hold(&mut self, member: &Arc<Member>, proven: &Proven, replaced: &[Arc<Member>]) {
        for other in replaced {
            eviction::evict(self.hub, other, eviction::REPLACED, &mut self.flushes);
        }
        eviction::watch_expiry(self.hub, member);
        let authority = self.hub.config.authority.as_ref();
        if authority.is_some_and(|authority| !Arc::ptr_eq(&authority.rules(), &proven.rules)) {
            eviction::hold(self.hub, member, &mut self.flushes);
        }
    }

    /// Not in [`join`](Self::join): a stack keeps the memory that it once used, and logging uses more
    /// of it than all else that an idle client's session does.
    #[inline(never)]
    pub(crate) fn log_joined(&self, member: &Member) {
        let identity = member.bearer.as_ref().map(|bearer| bearer.identity());
        let identity = identity.map_or(String::new(), |id| format!(", identity {id}"));
        log::info!(
            "{} joined as {member}{identity}, tier {}, slots {}",
            self.connection.peer(),
            member.tier,
            member.slots
        );
        self.hub.telemetry.counters.joined();
        if let Some(audit) = &self.hub.config.audit {
            record::join(audit, member);
        }
    }
}

/// An error without a token in it, as a client may have put its own into another parameter.
#[cold]
#[inline(never)]
fn without_token(mut error: RpcError) -> RpcError {
    error.message = redact(&error.message).into_owned();
    error
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

/// A place that is to be held, and what its client is told of it.
type Place = (Box<Hold>, Resumable);

/// The place of a client that asks for one to be held, and what brings it back there.
#[inline(never)]
fn place(hub: &Hub, member: &Member, random: u128, now: u64) -> Option<Place> {
    let hold_ms = giving_up::hold_ms(hub)?;
    let (token, hash) = new_token(member.id, random);
    let hold = Box::new(Hold::new(hash, now));
    Some((hold, Resumable { token, hold_ms }))
}

/// Queues the answer to a first `join`; what comes behind it counts if the place is to be held.
#[inline(never)]
fn first_welcome(hub: &Hub, id: &Id, member: &Member, standing: Standing, place: Option<Place>) {
    let (hold, resume) = place.unzip();
    let line = welcome(hub, id, member, standing, (resume, None));
    member.connection.outbox.push(line);
    if let Some(hold) = hold {
        member.connection.set_hold(hold);
    }
}
