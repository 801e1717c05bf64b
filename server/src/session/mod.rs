//! A session: the thread of one connection. It reads the client's lines, handles each, and cleans
//! up at the end.
//!
//! The session flushes what a batch of input causes once, at its end. It never waits for another
//! client. For its own it waits for input, and before that until the client has taken enough of what
//! waits for it.
//!
//! This file reads lines, and [`lines`] hands each to what handles its kind: [`requests`] (with [`page`],
//! [`jobs`] and [`watch`]) what a member asks or tells, [`results`] what an executor answers.
//! [`leaving`] is the end of a member, [`away`] that of a connection whose place is held. What a session
//! does until its client has joined is in `join/`.

mod away;
mod jobs;
mod leaving;
mod lines;
pub(crate) mod page;
mod requests;
mod results;
mod watch;

use crate::connection::Connection;
use crate::connection::hold::Hold;
use crate::dispatch::flush_set::FlushSet;
use crate::hub::Hub;
use crate::join::throttle::Presence;
use crate::member::Member;
use crate::memory_shortage;
use common::limits::{MAX_LINE_BEFORE_JOIN, OUTBOX_BYTES};
use common::logging::log_limit::{self, About};
use common::memory::Charge;
use common::net::TLS_FIRST_BYTE;
use common::net::line_reader::LineReader;
use common::net::stream::Input;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError, error_line};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A step of a session.
type Step = fn(&mut Session<'_>);

/// What a session does to the end of its connection.
const SERVE: &[Step] = &[
    #[cfg(not(shuttle))]
    |session| session.encrypt(),
    |session| session.read_lines(),
    |session| session.leave_place(),
];

/// What it does after that, if its member leaves.
const CLEAN_UP: &[Step] = &[
    |session| session.leave_ranking(),
    |session| session.schedule_rank_news(),
    |session| session.end_sends(),
    |session| session.end_work(),
    |session| session.say_the_last(),
    |session| session.linger(),
];

/// Serves one connection until it ends; if its client has come back to its place over it, that of
/// the place.
pub(crate) fn serve(hub: &Arc<Hub>, connection: Arc<Connection>) {
    let mut next = serve_one(hub, &connection, None);
    drop(connection);
    while let Some(resumed) = next {
        let connection = Arc::clone(&resumed.member.connection);
        next = serve_one(hub, &connection, Some(resumed));
    }
}

/// A place that a client has come back to.
struct Resumption {
    member: Arc<Member>,
    /// What came behind its `join`.
    reader: Box<LineReader>,
}

/// A panic ends the step that it happens in; the steps that clean up follow all the same.
#[inline(never)]
fn serve_one(
    hub: &Arc<Hub>,
    connection: &Arc<Connection>,
    resumed: Option<Resumption>,
) -> Option<Resumption> {
    let about = about(connection);
    let mut session = Session::new(hub, connection, &about);
    if let Some(resumed) = resumed {
        session.go_on(resumed);
    }
    session.take(SERVE);
    let resumed = session.resumption();
    if resumed.is_none() && !session.is_away {
        session.take(CLEAN_UP);
    }
    if !session.is_away {
        connection.outbox.close();
        hub.disconnected(connection);
    }
    resumed
}

#[inline(never)]
fn about(connection: &Connection) -> About {
    log_limit::about(&connection.peer().ip().to_string())
}

pub(crate) type Flow = ControlFlow<()>;

/// What belongs to the thread of one connection alone.
pub(crate) struct Session<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) connection: &'a Arc<Connection>,
    /// Says what this thread's lines of the log are about.
    pub(crate) about: &'a About,
    /// Once it has joined.
    pub(crate) member: Option<Arc<Member>>,
    /// While it is a member, if the server asks for a token.
    pub(crate) presence: Option<Presence<'a>>,
    pub(crate) flushes: FlushSet<'a>,
    errors: u32,
    strays: u32,
    /// When the current batch of input came.
    pub(crate) now: u64,
    /// Whether that was a sign of life.
    pub(crate) lives: bool,
    /// Whether a line ended in it.
    line_ended: bool,
    /// Whether the client said `leave`.
    leaves: bool,
    /// The last line, if the server closes the connection.
    pub(crate) last_line: Option<Vec<u8>>,
    has_panicked: bool,
    /// Lines of its client over all connections.
    received: u64,
    /// Bytes of them since the client was told how many were received.
    unsaid_bytes: usize,
    /// Something arrived after the answer to `join`.
    is_confirmed: bool,
    /// The connection broke, and the place is held.
    is_away: bool,
    /// The member to whose place the client has come back.
    pub(crate) resumed: Option<Arc<Member>>,
    /// What was read and not handled, between two connections.
    reader: Option<Box<LineReader>>,
}

impl<'a> Session<'a> {
    /// Not on the stack, which every idle session keeps by whole pages.
    #[inline(never)]
    fn new(
        hub: &'a Arc<Hub>,
        connection: &'a Arc<Connection>,
        about: &'a About,
    ) -> Box<Session<'a>> {
        Box::new(Session {
            hub,
            connection,
            about,
            member: None,
            presence: None,
            flushes: FlushSet::new(&hub.timers),
            errors: 0,
            strays: 0,
            now: hub.timers.now(),
            lives: false,
            line_ended: false,
            leaves: false,
            last_line: None,
            has_panicked: false,
            received: 0,
            unsaid_bytes: 0,
            is_confirmed: false,
            is_away: false,
            resumed: None,
            reader: None,
        })
    }

    #[inline(never)]
    fn take(&mut self, steps: &[Step]) {
        for step in steps {
            if catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
                self.panicked();
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn panicked(&mut self) {
        let peer = self.connection.peer();
        log::error!("{peer}: its session panicked; it ends");
        self.connection.blame("its session panicked");
        self.has_panicked = true;
    }

    /// Goes on in the place of an earlier session.
    #[inline(never)]
    fn go_on(&mut self, resumed: Resumption) {
        let Resumption { member, mut reader } = resumed;
        reader.set_limit(self.hub.config.max_line);
        self.received = member.connection.hold().map_or(0, Hold::received);
        self.about.change(&member.name);
        self.note_presence();
        self.reader = Some(reader);
        self.member = Some(member);
    }

    /// Counts the member at its address, if the server asks for a token.
    pub(crate) fn note_presence(&mut self) {
        let config = &self.hub.config;
        if config.token.is_some() || config.authority.is_some() {
            let address = self.connection.peer().ip();
            self.presence = Some(self.hub.throttle.member(address));
        }
    }

    /// What the next session goes on with, if the client has come back to its place.
    #[inline(never)]
    fn resumption(&mut self) -> Option<Resumption> {
        let member = self.resumed.take()?;
        self.presence = None;
        let reader = self.reader.take();
        let reader = reader.unwrap_or_else(|| Box::new(LineReader::new(self.hub.config.max_line)));
        Some(Resumption { member, reader })
    }

    /// Reads until the connection ends or is to be closed.
    #[inline(never)]
    fn read_lines(&mut self) {
        if self.last_line.is_some() {
            return;
        }
        // What came behind the `join` of a client that is back is handled before anything is read.
        let mut has_lines = self.reader.is_some();
        let mut reader = self.reader.take().unwrap_or_else(|| self.first_reader());
        let Ok(mut input) = self.connection.stream.input() else {
            return;
        };
        let mut charge = Charge::new(&self.hub.budget.all, 0);
        loop {
            if !std::mem::take(&mut has_lines) && !self.read(&mut reader, &mut input, &mut charge) {
                return;
            }
            if self.handle_lines(&mut reader).is_break() {
                if self.resumed.is_some() {
                    self.reader = Some(reader);
                }
                return;
            }
            if self.member.is_none() && self.connection.outbox.is_behind() {
                return self
                    .connection
                    .blame("it took no answers, and had not joined");
            }
        }
    }

    /// Reads what comes next; `false`: the connection has ended.
    #[inline]
    fn read(&mut self, reader: &mut LineReader, input: &mut Input, charge: &mut Charge) -> bool {
        if self.hub.budget.is_scarce() {
            reader.give_back();
        }
        // Counted before it is there, so that not all that wait for memory take it at once.
        charge.set(reader.wanted());
        self.wait_for_room(OUTBOX_BYTES / 2);
        let read = match reader.fill(input) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(e) => {
                self.broke(&e);
                return false;
            }
        };
        match self.member {
            None => self.connection.set_heard(),
            Some(_) => self.has_read(read),
        }
        if !self.connection.outbox.is_open() {
            return false;
        }
        if let Some(telemetry) = self.hub.telemetry.counting() {
            let member = self.member.as_ref().map_or(0, |member| member.id);
            telemetry.counters.received(member, read);
        }
        self.now = self.hub.timers.now();
        true
    }

    #[inline(never)]
    fn first_reader(&self) -> Box<LineReader> {
        let limit = MAX_LINE_BEFORE_JOIN.min(self.hub.config.max_line);
        Box::new(LineReader::new(limit))
    }

    /// Handles every line that is here, and writes what that causes.
    fn handle_lines(&mut self, reader: &mut LineReader) -> Flow {
        let flow = self.take_lines(reader);
        let now = self.now;
        let partial = reader.has_partial_line();
        let line_ended = std::mem::take(&mut self.line_ended);
        self.connection.set_partial_line(partial, line_ended, now);
        let line_bytes = if partial { reader.capacity() } else { 0 };
        self.connection.set_line_bytes(line_bytes);
        if std::mem::take(&mut self.lives) || partial {
            self.connection.hear(now);
        }
        self.has_handled();
        self.flush();
        flow
    }

    /// The connection has failed.
    #[inline(never)]
    fn broke(&self, error: &std::io::Error) {
        self.connection.blame(error.to_string());
        if self.connection.hold().is_some() {
            self.connection.outbox.fail(error);
        }
    }

    /// Writes what is queued for this client and others.
    fn flush(&mut self) {
        self.flushes.flush();
        if self.member.is_none() {
            self.connection.outbox.flush();
        }
    }

    /// Waits until no more than so many bytes wait for the client, and there is memory for more.
    fn wait_for_room(&mut self, bytes: usize) {
        let is_short = self.hub.budget.all.excess() > 0;
        if is_short {
            memory_shortage::wait(self.hub, self.connection);
        }
        if self.connection.outbox.wait_until_waiting(bytes) || is_short {
            // The session did not read meanwhile.
            self.now = self.hub.timers.now();
            self.connection.resume(self.now);
        }
    }

    /// Handles every line that is here.
    fn take_lines(&mut self, reader: &mut LineReader) -> Flow {
        let mut member = self.member.clone();
        if member.is_none() && reader.unread().first() == Some(&TLS_FIRST_BYTE) {
            return self.refuse_tls();
        }
        loop {
            match reader.next_line() {
                Ok(None) => return Flow::Continue(()),
                Ok(Some(line)) => {
                    self.line_ended = true;
                    match &member {
                        _ if line.is_empty() => self.lives = true,
                        Some(member) => {
                            self.received += 1;
                            self.line(member, line)?;
                        }
                        None => self.line_before_join(line)?,
                    }
                }
                Err(too_long) => {
                    if member.is_none() {
                        self.note_http(reader.unread());
                    }
                    let error = RpcError::new(Code::InvalidRequest, too_long.to_string());
                    return self.close_with(None, &error);
                }
            }
            if member.is_none()
                && let Some(joined) = &self.member
            {
                self.log_joined(joined);
                member = Some(Arc::clone(joined));
                reader.set_limit(self.hub.config.max_line);
            }
            if self.connection.outbox.is_over_half() || self.hub.budget.all.excess() > 0 {
                // The answers to one batch of requests may be too much at once.
                self.flush();
                self.wait_for_room(OUTBOX_BYTES / 2);
            }
            if !self.connection.outbox.is_open() {
                return Flow::Break(());
            }
        }
    }

    pub(crate) fn tell(&mut self, line: Vec<u8>) {
        self.connection.outbox.push(line);
        if self.member.is_some() {
            self.flushes.add(self.connection);
        }
    }

    /// Answers a request with an error and closes.
    #[inline(never)]
    pub(crate) fn close_with(&mut self, id: Option<Id>, error: &RpcError) -> Flow {
        self.connection.blame(error.message.clone());
        self.last_line = Some(error_line(id, error));
        Flow::Break(())
    }
}
