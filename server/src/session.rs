//! One client's thread: reads its lines, answers what can be answered at once, and cleans
//! up after it.
//!
//! What a batch of input causes is flushed once at its end. A session never waits for
//! another client; it waits for its own one only: for input, and, before that, until that
//! client has taken enough of what waits for it.

use crate::admission::{Wanted, not_admitted};
use crate::answer::{self, Body};
use crate::clock::millis;
use crate::config::Config;
use crate::connection::{Connection, bye_line};
use crate::dispatcher::{self, Sending};
use crate::flushes::Flushes;
use crate::hub::Hub;
use crate::lines;
use crate::loads::Loads;
use crate::member::Member;
use crate::roster::Standing;
use common::limits::{MAX_LINE_BEFORE_JOIN, MAX_MEMBERS_PAGE};
use common::line::LineReader;
use common::message::{
    AnswerBody, Code, Id, Malformed, Message, RpcError, clip, error_line, notification_line,
    params, result_line,
};
use common::outbox::Line;
use common::plain::Plain;
use common::protocol::{
    ByeReason, Cancel, Empty, ExecutionConsumed, ExecutionOutput, Joined, MembersQuery, Send,
    SendConsumed, base64_len, method,
};
use common::sync::Arc;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Read;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Malformed lines after which a client is sent away: it does not speak the protocol.
const MOST_ERRORS: u32 = 16;

/// Stray answers of one client that are logged as warnings; the others are for debugging.
const STRAYS_LOGGED: u32 = 10;

/// Serves one connection until it ends. A panic ends the step that it happens in, and none
/// of the steps that clean up after it.
pub(crate) fn serve(hub: &Arc<Hub>, connection: &Arc<Connection>) {
    let mut session = Session::new(hub, connection);
    for step in [
        Session::read_lines,
        Session::leave_ranking,
        Session::tell_ranks,
        Session::end_sends,
        Session::end_work,
        Session::say_the_last,
        Session::linger,
    ] {
        if catch_unwind(AssertUnwindSafe(|| step(&mut session))).is_err() {
            log::error!("{}: its session panicked; it ends", connection.peer());
            connection.blame("its session panicked");
        }
    }
    connection.outbox.close();
}

type Flow = ControlFlow<()>;

/// What belongs to one client's thread alone.
struct Session<'a> {
    hub: &'a Arc<Hub>,
    connection: &'a Arc<Connection>,
    /// Once it has joined.
    member: Option<Arc<Member>>,
    flushes: Flushes<'a>,
    sending: Sending,
    errors: u32,
    strays: u32,
    /// When the batch of input came that is being handled.
    now: u64,
    /// Whether the batch of input was a sign of life.
    lives: bool,
    /// Whether a line ended in it.
    line_ended: bool,
    /// Whether it goes by its own word.
    leaves: bool,
    /// What it is told last, where it is closed.
    last_line: Option<Vec<u8>>,
}

impl<'a> Session<'a> {
    fn new(hub: &'a Arc<Hub>, connection: &'a Arc<Connection>) -> Session<'a> {
        Session {
            hub,
            connection,
            member: None,
            flushes: Flushes::new(&hub.clock),
            sending: Sending::default(),
            errors: 0,
            strays: 0,
            now: hub.clock.now(),
            lives: false,
            line_ended: false,
            leaves: false,
            last_line: None,
        }
    }

    /// Reads until the connection ends or is to be closed.
    fn read_lines(&mut self) {
        let mut reader = LineReader::new(MAX_LINE_BEFORE_JOIN.min(self.hub.config.max_line));
        let Ok(mut input) = self.connection.stream.input() else {
            return;
        };
        loop {
            self.wait_for_room();
            match reader.fill(&mut input) {
                Ok(0) => return,
                Ok(_) if self.member.is_none() => self.connection.set_heard(),
                Ok(_) => {}
                Err(e) => return self.connection.blame(e.to_string()),
            }
            if !self.connection.outbox.is_open() {
                return;
            }
            self.now = self.hub.clock.now();
            let flow = self.take_lines(&mut reader);
            let now = self.now;
            let partial = reader.has_partial_line();
            let line_ended = std::mem::take(&mut self.line_ended);
            self.connection.set_partial_line(partial, line_ended, now);
            if std::mem::take(&mut self.lives) || partial {
                self.connection.hear(now);
            }
            self.flush();
            if flow.is_break() {
                return;
            }
            if self.member.is_none() && self.connection.outbox.is_behind() {
                return self
                    .connection
                    .blame("it took no answers, and had not joined");
            }
        }
    }

    /// Writes what this client and others were told.
    fn flush(&mut self) {
        self.flushes.flush();
        if self.member.is_none() {
            self.connection.outbox.flush();
        }
    }

    /// Waits until the client has taken enough of what waits for it.
    fn wait_for_room(&mut self) {
        if self.connection.outbox.wait_for_room() {
            // It was we who did not read.
            self.now = self.hub.clock.now();
            self.connection.resume(self.now);
        }
    }

    /// Handles every line that is here.
    fn take_lines(&mut self, reader: &mut LineReader) -> Flow {
        let mut member = self.member.clone();
        loop {
            match reader.next_line() {
                Ok(None) => return Flow::Continue(()),
                Ok(Some(line)) => {
                    self.line_ended = true;
                    match &member {
                        _ if line.is_empty() => self.lives = true,
                        Some(member) => self.line(member, line)?,
                        None => self.line_before_join(line)?,
                    }
                }
                Err(too_long) => {
                    let error = RpcError::new(Code::InvalidRequest, too_long.to_string());
                    return self.close_with(None, &error);
                }
            }
            if member.is_none() && self.member.is_some() {
                member.clone_from(&self.member);
                reader.set_limit(self.hub.config.max_line);
            }
            if self.connection.outbox.is_over_half() {
                // What one batch of requests is answered with may be too much at once.
                self.flush();
                self.wait_for_room();
            }
            if !self.connection.outbox.is_open() {
                return Flow::Break(());
            }
        }
    }

    /// What it needs of the stack is not in the frame of [`read_lines`](Self::read_lines),
    /// which every idle session keeps; so it is for all that have this attribute.
    #[inline(never)]
    fn line(&mut self, member: &Arc<Member>, line: &[u8]) -> Flow {
        match Plain::read(line) {
            Some(plain) => self.plain_line(member, plain),
            None => self.any_line(member, line),
        }
    }

    #[inline(never)]
    fn line_before_join(&mut self, line: &[u8]) -> Flow {
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
            Err(malformed) => {
                self.lives = true;
                self.malformed(malformed)
            }
        }
    }

    #[inline(never)]
    fn any_line(&mut self, member: &Arc<Member>, line: &[u8]) -> Flow {
        match Message::parse(line) {
            Ok(Message::Answer { id, body }) => {
                self.answer(member, id.as_ref(), &body);
                Flow::Continue(())
            }
            Ok(Message::Request { id, method, params }) => {
                self.lives = true;
                match member.sends.is_open(&id) {
                    true => self.malformed(already_open(id)),
                    false => self.request(member, id, &method, params),
                }
            }
            Ok(Message::Notification { method, params }) => {
                self.lives = true;
                self.notification(member, &method, params)
            }
            Err(malformed) => {
                self.lives = true;
                self.malformed(malformed)
            }
        }
    }

    /// Handles a line of the kinds and in the form that most have; everything else takes the
    /// long way.
    fn plain_line(&mut self, member: &Arc<Member>, plain: Plain<'_>) -> Flow {
        match plain {
            Plain::Send { id, request } => {
                self.lives = true;
                return self.send(member, Id::from(id), &request);
            }
            Plain::Result { id, executed } => {
                self.answer_of(member, id, Body::Executed(executed));
            }
            Plain::Output(output) => {
                self.lives = true;
                self.output(member, output);
            }
        }
        Flow::Continue(())
    }

    fn tell(&mut self, line: Vec<u8>) {
        match &self.member {
            Some(member) => {
                member.tell(&mut line.into());
                self.flushes.add_sender(member);
            }
            None => {
                self.connection.outbox.push(line);
            }
        }
    }

    /// Answers a request with an error and closes.
    #[inline(never)]
    fn close_with(&mut self, id: Option<Id>, error: &RpcError) -> Flow {
        self.connection.blame(error.message.clone());
        self.last_line = Some(error_line(id, error));
        Flow::Break(())
    }

    #[inline(never)]
    fn malformed(&mut self, mut malformed: Malformed) -> Flow {
        let is_open = |id: &mut Id| self.member.as_ref().is_some_and(|m| m.sends.is_open(id));
        if let Some(id) = malformed.id.take_if(is_open) {
            // Under that id it would be taken for the answer of the open request.
            malformed.error.open_id = Some(id);
        }
        log::debug!("{}: {}", self.connection.peer(), malformed.error);
        self.tell(error_line(malformed.id, &malformed.error));
        self.errors += 1;
        if self.errors < MOST_ERRORS {
            return Flow::Continue(());
        }
        let message = format!("{MOST_ERRORS} lines were no messages of this protocol");
        self.last_line = Some(bye_line(ByeReason::TooManyErrors, &message));
        self.connection.blame(message);
        Flow::Break(())
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
                self.hub.strangers.go(self.connection);
                Flow::Continue(())
            }
            Err(error) => self.not_joined(id, &error),
        }
    }

    #[inline(never)]
    fn not_joined(&mut self, id: Id, error: &RpcError) -> Flow {
        log::info!("{} may not join: {error}", self.connection.peer());
        let closes = [
            Code::UnsupportedProtocol,
            Code::Unauthorized,
            Code::ShuttingDown,
            Code::Full,
        ];
        if closes.iter().any(|code| error.is(*code)) {
            return self.close_with(Some(id), error);
        }
        self.tell(error_line(Some(id), error));
        Flow::Continue(())
    }

    /// Has it ranked last.
    fn join(&mut self, id: &Id, raw: Option<&RawValue>) -> Result<(), RpcError> {
        let wanted = Wanted::read(raw, self.hub.config.token.as_deref())?;
        self.admit(id, &wanted)
    }

    #[inline(never)]
    fn admit(&mut self, id: &Id, wanted: &Wanted) -> Result<(), RpcError> {
        let (hub, connection) = (self.hub, self.connection);
        let make = |id, name, loads: &Loads| {
            let (slots, joined) = (wanted.slots, hub.clock.now());
            let load = loads.join(id, slots);
            Member::new(id, name, slots, joined, Arc::clone(connection), load)
        };
        let kept = &mut self.member;
        let welcome = |member: &Arc<Member>, standing| {
            // Before it is in the list, so that it leaves that whatever goes wrong from here.
            *kept = Some(Arc::clone(member));
            connection
                .outbox
                .push(welcome(&hub.config, id, member, standing));
        };
        let member = hub
            .roster
            .join(wanted.name.as_deref(), make, welcome)
            .map_err(|refusal| not_admitted(&refusal, wanted.name.as_deref()))?;
        log::info!(
            "{} joined as {member}, slots {}",
            connection.peer(),
            member.slots
        );
        self.flushes.add_sender(&member);
        Ok(())
    }

    #[inline(never)]
    fn request(
        &mut self,
        member: &Arc<Member>,
        id: Id,
        method: &str,
        raw: Option<&RawValue>,
    ) -> Flow {
        let answer = match method {
            method::SEND => match params(raw) {
                Ok(request) => return self.send(member, id, &request),
                Err(error) => Err(error),
            },
            method::PING => Ok(result_line(id.clone(), Empty {})),
            method::MEMBERS => params(raw).map(|query| self.members(id.clone(), &query)),
            method::JOIN => Err(RpcError::new(
                Code::AlreadyJoined,
                format!("you have joined already, as {member}"),
            )),
            _ => Err(RpcError::new(
                Code::MethodNotFound,
                format!(
                    "there is no method {:?}; a client asks for send, members or ping",
                    clip(method)
                ),
            )),
        };
        self.tell(answer.unwrap_or_else(|error| error_line(Some(id), &error)));
        Flow::Continue(())
    }

    /// Takes a `send`, whose answer then comes by itself, or answers why not.
    fn send(&mut self, member: &Arc<Member>, id: Id, request: &Send<'_>) -> Flow {
        #[cfg(test)]
        crate::testing::trip(crate::testing::Trip::Sending, member);
        let sent = dispatcher::send(
            self.hub,
            member,
            id.clone(),
            request,
            self.now,
            &mut self.sending,
            &mut self.flushes,
        );
        if let Err(error) = sent {
            if member.sends.is_open(&id) {
                return self.malformed(already_open(id));
            }
            log::info!("{member}: its send was not taken: {error}");
            self.tell(error_line(Some(id), &error));
        }
        Flow::Continue(())
    }

    fn members(&self, id: Id, query: &MembersQuery) -> Vec<u8> {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let from = number(query.from.unwrap_or(0));
        let limit = query
            .limit
            .map_or(MAX_MEMBERS_PAGE, number)
            .min(MAX_MEMBERS_PAGE);
        result_line(id, self.hub.roster.page(from, limit, self.hub.clock.now()))
    }

    /// Notifications are never answered; what is wrong with one is only logged.
    #[inline(never)]
    fn notification(&mut self, member: &Arc<Member>, method: &str, raw: Option<&RawValue>) -> Flow {
        match method {
            method::LEAVE => {
                self.leaves = true;
                return Flow::Break(());
            }
            method::CANCEL => {
                if let Some(cancel) = self.told::<Cancel>(method, raw)
                    && let Some(command) = member.sends.get(&cancel.send)
                {
                    dispatcher::cancel(self.hub, &command, &mut self.flushes);
                }
            }
            method::OUTPUT => {
                if let Some(output) = self.told::<ExecutionOutput<'_>>(method, raw) {
                    self.output(member, output);
                }
            }
            method::CONSUMED => {
                if let Some(consumed) = self.told::<SendConsumed>(method, raw) {
                    self.consumed(member, &consumed);
                }
            }
            _ => log::debug!("{member}: ignored the notification {:?}", clip(method)),
        }
        Flow::Continue(())
    }

    /// The parameters of a notification, if they are right.
    fn told<'r, T: Deserialize<'r>>(&self, method: &str, raw: Option<&'r RawValue>) -> Option<T> {
        let read = params(raw);
        read.inspect_err(|e: &RpcError| {
            log::debug!("{}: ignored its {method}: {e}", self.connection.peer());
        })
        .ok()
    }

    /// An answer counts if it was asked for: of a ping, or of a command that this client,
    /// and no other, was given.
    #[inline(never)]
    fn answer(&mut self, member: &Arc<Member>, id: Option<&Id>, body: &AnswerBody<'_>) {
        let number = match id {
            Some(Id::Integer(number)) => u64::try_from(*number).ok(),
            Some(Id::Large(number)) => Some(*number),
            _ => None,
        };
        match number {
            Some(number) => self.answer_of(member, number, body.into()),
            None => self.stray(id),
        }
    }

    /// The answer to a request of the server's, if there was one with that id.
    fn answer_of(&mut self, member: &Arc<Member>, id: u64, body: Body<'_>) {
        if self.connection.is_ping(id) {
            self.lives = true;
            return;
        }
        let now = self.now;
        let answered = member.workload.answered(id, self.connection, now);
        self.hub.watch(member, answered.watch);
        if answered.starts_others {
            self.flushes.add_executor(member);
        }
        let Some(mut running) = answered.running else {
            return self.stray(Some(&id.into()));
        };
        self.lives = true;
        let Some(assignment) = running.assignment else {
            log::info!("#{id}: {member} answered after its outcome was taken; its slot is free");
            return;
        };
        let sender = &assignment.command.sender.connection.outbox;
        let (status, mut ending) = answer::read(body, &mut running.budget, sender.is_over_half());
        ending.elapsed_ms = status
            .has_started()
            .then(|| now.saturating_sub(running.since));
        assignment.conclude(status, &ending, &mut self.flushes);
    }

    fn stray(&mut self, id: Option<&Id>) {
        self.strays += 1;
        let level = match self.strays {
            0..=STRAYS_LOGGED => log::Level::Warn,
            _ => log::Level::Debug,
        };
        let id = id.map_or("none".into(), ToString::to_string);
        log::log!(
            level,
            "{}: ignored an answer to nothing it was asked (id {id})",
            self.connection.peer()
        );
    }

    /// Passes what a command wrote on to its sender, as far as that takes it. That is pushed
    /// while the command is in its table, so no output comes after its outcome.
    fn output(&mut self, member: &Arc<Member>, output: ExecutionOutput<'_>) {
        let connection = self.connection;
        let told = member.workload.output(output.id, |budget, assignment| {
            #[cfg(test)]
            crate::testing::trip(crate::testing::Trip::Writing, member);
            let command = &assignment.command;
            let sender = &command.sender.connection.outbox;
            if sender.is_over_half() {
                // The sender will never consume it, so the executor has its window back.
                if let Some(bytes) = budget.drop_output(output_len(&output)) {
                    let id = command.id;
                    let line = notification_line(method::CONSUMED, ExecutionConsumed { id, bytes });
                    connection.outbox.push(line);
                }
                return Arc::clone(member);
            }
            let is_base64 = output.base64.is_some();
            let taken = match (output.text, output.base64) {
                (Some(text), None) => Some(budget.take_text(text)),
                (None, Some(base64)) => budget.take_base64(base64),
                _ => None,
            };
            if let Some(taken) = taken.filter(|taken| !taken.is_empty()) {
                let to = assignment.to();
                sender.push(lines::output(command, to, output.stream, is_base64, &taken));
            }
            Arc::clone(&command.sender)
        });
        if let Some(member) = told {
            self.flushes.add_sender(&member);
        }
    }

    /// Lets an executor send more, as its sender got through with some.
    fn consumed(&mut self, member: &Member, consumed: &SendConsumed) {
        let Some(command) = member.sends.get(&consumed.send) else {
            return;
        };
        // Targets stand in rank order, which is the order of their numbers.
        let at = command
            .targets
            .binary_search_by_key(&consumed.member, |t| t.member.id);
        let Ok(at) = at else {
            return;
        };
        let target = &command.targets[at].member;
        target
            .workload
            .consumed(command.id, consumed.bytes, &target.connection);
        self.flushes.add_executor(target);
    }

    /// Those below it move up.
    fn leave_ranking(&mut self) {
        let Some(member) = &self.member else {
            return;
        };
        if self.connection.is_member() {
            self.hub.strangers.leave(self.connection);
        }
        self.hub.roster.leave(member);
        let why = match self.connection.why() {
            Some(why) => format!(": {why}"),
            None if self.leaves => " on purpose".into(),
            None => String::new(),
        };
        log::info!("{} left: {member}{why}", self.connection.peer());
    }

    /// Those who moved up are told, whatever went wrong with leaving.
    fn tell_ranks(&mut self) {
        if self.member.is_some() {
            self.hub.schedule_news();
        }
    }

    /// Those who execute what it sent need not go on.
    fn end_sends(&mut self) {
        let sends = self.member.as_ref().map(|member| member.sends.take_all());
        for command in sends.unwrap_or_default() {
            dispatcher::cancel(self.hub, &command, &mut self.flushes);
        }
    }

    /// Those who wait for what it executes are told that it is lost.
    fn end_work(&mut self) {
        if let Some(member) = &self.member {
            self.hub
                .conclude_all(member.workload.close(), &mut self.flushes);
        }
    }

    /// Only now: who reads its last line, or the end, is gone for everybody else, too.
    fn say_the_last(&mut self) {
        self.flushes.flush();
        if let Some(member) = &self.member {
            member.hand_over_all();
        }
        let now = self.hub.clock.now();
        self.connection
            .finish(self.last_line.take().map(Line::from), now);
        self.member = None;
        if !self.connection.is_turned_away() {
            self.hub.look_soon(self.connection);
        }
    }

    /// Takes nothing more from the peer, and waits until it has taken what is queued for it.
    /// To close earlier, with something unread, would reset the connection and lose its last
    /// lines (RFC 9293 §3.10.7.1). The clock cuts it off in the end.
    fn linger(&mut self) {
        let mut sink = [0; 512];
        while matches!((&*self.connection.stream).read(&mut sink), Ok(1..)) {}
        self.connection.outbox.settle();
    }
}

/// The answer to a `join`.
#[inline(never)]
fn welcome(config: &Config, id: &Id, member: &Member, standing: Standing) -> Vec<u8> {
    let joined = Joined {
        member: member.id,
        name: member.name.to_string(),
        rank: standing.rank,
        members: standing.members,
        heartbeat_ms: millis(config.heartbeat),
        max_line: config.max_line,
    };
    result_line(id.clone(), joined)
}

/// How many bytes of output a notification carries.
fn output_len(output: &ExecutionOutput<'_>) -> u64 {
    let text = output.text.as_ref().map(|text| text.len() as u64);
    let base64 = output
        .base64
        .as_ref()
        .and_then(|text| base64_len(&text.decoded()));
    text.or(base64).unwrap_or(0)
}

fn already_open(id: Id) -> Malformed {
    let mut error = RpcError::new(
        Code::InvalidRequest,
        format!("the request id {id} is still open; use another one"),
    );
    error.open_id = Some(id);
    Malformed { id: None, error }
}
