//! What a member asks for, and what it tells by notifications, as a sender or as an executor. The
//! answers of an executor are in `results`.

use super::lines::already_open;
use super::page::{fit, fit_beside};
use super::{Flow, Session};
use crate::authority::bearer::Bearer;
use crate::authority::rules::Role;
use crate::dispatch::{dispatcher, find, pass_input, preview};
use crate::member::Member;
use crate::record::{self, Asked};
use common::limits::MAX_MEMBERS_PAGE;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError, error_line, params, result_line};
use common::wire::method::{self, ClientMethod};
use common::wire::name::Name;
use common::wire::text::clip;
use common::wire::{
    Ack, Cancel, Detach, Empty, ExecutionInputConsumed, ExecutionOutput, Members, MembersQuery,
    Right, SelectQuery, Send, SendConsumed, SendInput, Text, Words,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes that may wait for a client before it gets another answer to `members` or `select`: some of
/// the largest of these, each of which costs the client a few bytes.
pub(super) const PAGE_ROOM: usize = 1 << 20;

/// Whether a client is told of another one, or of a machine of that name, as far as its role goes.
fn is_shown(role: &Role, own: &str, name: &str) -> bool {
    role.may(Right::List).is_ok() || name == own || role.allows(name, None).is_some()
}

/// The part of a list that a client asks for: where it begins, and how many entries it has at most.
pub(super) fn part(from: Option<u64>, limit: Option<u64>) -> (usize, usize) {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let limit = limit.map_or(MAX_MEMBERS_PAGE, number);
    (number(from.unwrap_or(0)), limit.min(MAX_MEMBERS_PAGE))
}

#[inline(never)]
fn send_params(raw: Option<&RawValue>) -> Result<Box<Send<'_>>, RpcError> {
    params(raw).map(Box::new)
}

/// Whether a client has the right to send.
pub(super) fn may_send(member: &Member) -> Result<(), RpcError> {
    match &member.bearer {
        None => Ok(()),
        Some(bearer) => may(bearer, Right::Send),
    }
}

/// With a frame of its own, as a server without identities never needs it.
#[inline(never)]
fn may(bearer: &Bearer, right: Right) -> Result<(), RpcError> {
    bearer.may(right).map_err(RpcError::from)
}

impl Session<'_> {
    #[inline(never)]
    pub(super) fn request(
        &mut self,
        member: &Arc<Member>,
        id: Id,
        method: &str,
        raw: Option<&RawValue>,
    ) -> Flow {
        let method_of = ClientMethod::from_name(method);
        if method_of == Some(ClientMethod::Send) {
            return match send_params(raw) {
                Ok(request) if request.detach.as_ref().is_some_and(Detach::is_wanted) => {
                    self.send_detached(member, &id, request)
                }
                Ok(request) => self.send(member, &id, &request),
                // The missing right is told first, before all else that is wrong.
                Err(error) => {
                    let error = may_send(member).err().unwrap_or(error);
                    self.not_sent(member, &id, None, &error)
                }
            };
        }
        self.other_request(member, id, method_of, method, raw)
    }

    #[inline(never)]
    fn other_request(
        &mut self,
        member: &Arc<Member>,
        id: Id,
        method: Option<ClientMethod>,
        name: &str,
        raw: Option<&RawValue>,
    ) -> Flow {
        let answer = match method {
            Some(ClientMethod::Ping) => Ok(result_line(&id, Empty {})),
            Some(ClientMethod::Members) => {
                self.flush();
                self.wait_for_room(PAGE_ROOM);
                params(raw).map(|query| self.members(member, &id, &query))
            }
            Some(ClientMethod::Select) => {
                self.flush();
                self.wait_for_room(PAGE_ROOM);
                self.select(member, &id, raw)
            }
            Some(ClientMethod::Jobs) => self.jobs(member, &id, raw),
            Some(ClientMethod::Job) => match self.job(member, &id, raw) {
                Ok(None) => return Flow::Continue(()),
                Ok(Some(line)) => Ok(line),
                Err(error) => Err(error),
            },
            Some(ClientMethod::CancelJob) => self.cancel_job(member, &id, raw),
            Some(ClientMethod::Watch) => {
                self.flush();
                self.wait_for_room(PAGE_ROOM);
                match self.watch(member, &id, raw) {
                    Ok(None) => return Flow::Continue(()),
                    Ok(Some(line)) => Ok(line),
                    Err(error) => Err(error),
                }
            }
            Some(ClientMethod::Join) => Err(RpcError::new(
                Code::AlreadyJoined,
                format!("you have joined already, as {member}"),
            )),
            // A `send` does not come here, and notifications are no requests.
            Some(
                ClientMethod::Send
                | ClientMethod::Cancel
                | ClientMethod::Output
                | ClientMethod::Consumed
                | ClientMethod::Input
                | ClientMethod::InputConsumed
                | ClientMethod::Leave
                | ClientMethod::Ack,
            )
            | None => Err(RpcError::new(
                Code::MethodNotFound,
                format!(
                    "there is no method {:?}; a client asks for send, select, members, watch, \
                     jobs, job, cancel_job or ping",
                    clip(name)
                ),
            )),
        };
        match answer {
            Err(_) if member.sends.have_ended() => {}
            Err(error) => self.tell(error_line(Some(id), &error)),
            Ok(line) => self.tell(line),
        }
        Flow::Continue(())
    }

    /// Handles a `send`: its answer comes later, unless the server does not take it.
    pub(super) fn send(&mut self, member: &Arc<Member>, id: &Id, request: &Send<'_>) -> Flow {
        fault_point!(Sending, member);
        let sent = may_send(member).and_then(|()| {
            dispatcher::send(self.hub, member, id, request, self.now, &mut self.flushes)
        });
        match sent {
            Ok(()) => Flow::Continue(()),
            Err(error) => self.not_sent(member, id, Some(request), &error),
        }
    }

    #[inline(never)]
    fn not_sent(
        &mut self,
        member: &Member,
        id: &Id,
        request: Option<&Send<'_>>,
        error: &RpcError,
    ) -> Flow {
        let to = request.and_then(|request| request.to.as_ref());
        let command = request.map(|request| request.command);
        self.not_taken(member, id, to, command, error)
    }

    #[inline(never)]
    pub(super) fn not_taken(
        &mut self,
        member: &Member,
        id: &Id,
        to: Option<&Text<'_>>,
        command: Option<Words<'_>>,
        error: &RpcError,
    ) -> Flow {
        if member.sends.have_ended() {
            // Its `bye` follows.
            return Flow::Continue(());
        }
        if member.sends.is_open(id) {
            return self.malformed(already_open(id.clone()));
        }
        let asked = Asked {
            method: method::SEND,
            to,
            command,
        };
        self.note_denial(member, &asked, error);
        if let Some(telemetry) = self.hub.telemetry.counting() {
            telemetry.refused(method::SEND, error);
        }
        log::info!("{member}: its send was not taken: {error}");
        self.tell(error_line(Some(id.clone()), error));
        Flow::Continue(())
    }

    /// Puts on record that a client may not do something: it is told so, or that there is no target
    /// where its role hides those that are here.
    pub(super) fn note_denial(&self, member: &Member, asked: &Asked<'_>, error: &RpcError) {
        let Some(audit) = &self.hub.config.audit else {
            return;
        };
        if record::is_denial(error) {
            return record::denied(audit, member, asked, error);
        }
        if error.is(Code::NoTarget) {
            let (to, command) = (asked.to, asked.command.as_ref());
            if let Some(denial) = find::hidden_by_role(self.hub, member, to, command) {
                record::denied(audit, member, asked, &denial);
            }
        }
    }

    fn members(&self, member: &Member, id: &Id, query: &MembersQuery) -> Vec<u8> {
        let (from, limit) = part(query.from, query.limit);
        let now = self.hub.timers.now();
        let mut page = match &member.bearer {
            None => self.hub.roster.page(from, limit, now),
            Some(bearer) => {
                let grant = bearer.grant();
                let role = grant.role();
                match role.may(Right::List) {
                    Ok(()) => self.hub.roster.page(from, limit, now),
                    Err(_) => self.hub.roster.page_of(from, limit, now, |other| {
                        is_shown(role, &member.name, &other.name)
                    }),
                }
            }
        };
        match query.expected {
            Some(true) if from == 0 => self.add_expected(member, &mut page),
            _ => fit(&mut page.members),
        }
        result_line(id, page)
    }

    /// Adds the machines that are expected to a page: those that the client would be shown if they were
    /// here.
    #[inline(never)]
    fn add_expected(&self, member: &Member, page: &mut Members) {
        if let Some(expected) = &self.hub.config.expected {
            let grant = member.bearer.as_ref().map(|bearer| bearer.grant());
            let role = grant.as_ref().map(|grant| grant.role());
            let is_shown = |name: &&str| role.is_none_or(|role| is_shown(role, &member.name, name));
            let known = expected.known();
            let names = known.machines.names().filter(is_shown);
            page.expected = Some(names.map(|name| Name::known(name.to_owned())).collect());
        }
        fit_beside(&page.expected, &mut page.members);
    }

    /// Says what a `send` would reach; its errors are those of `send`, in the same order.
    #[inline(never)]
    fn select(
        &self,
        member: &Member,
        id: &Id,
        raw: Option<&RawValue>,
    ) -> Result<Vec<u8>, RpcError> {
        let query = params::<SelectQuery<'_>>(raw);
        // The missing right is told first, as for a `send`.
        let selection = may_send(member).and_then(|()| {
            let SelectQuery { to, command, .. } = query.as_ref().map_err(RpcError::clone)?;
            find::find(self.hub, member, to.as_ref(), command.as_ref())
        });
        let selection = selection.inspect_err(|error| {
            let query = query.as_ref().ok();
            let asked = Asked {
                method: method::SELECT,
                to: query.and_then(|query| query.to.as_ref()),
                command: query.and_then(|query| query.command),
            };
            self.note_denial(member, &asked, error);
        })?;
        let query = query?;
        let (from, limit) = part(query.from, query.limit);
        let mut page = preview::page(selection, from, limit);
        fit(&mut page.targets);
        Ok(result_line(id, page))
    }

    /// Notifications are never answered; what is wrong with one is only logged.
    #[inline(never)]
    pub(super) fn notification(
        &mut self,
        member: &Arc<Member>,
        method: &str,
        raw: Option<&RawValue>,
    ) -> Flow {
        match ClientMethod::from_name(method) {
            Some(ClientMethod::Leave) => {
                self.leaves = true;
                return Flow::Break(());
            }
            Some(ClientMethod::Ack) => {
                // It is the one line that is not counted.
                self.received -= 1;
                if let Some(Ack { received }) = self.told(method, raw) {
                    member.connection.outbox.acknowledge(received);
                }
            }
            Some(ClientMethod::Cancel) => {
                if let Some(cancel) = self.told::<Cancel>(method, raw)
                    && let Some(command) = member.sends.get(&cancel.send)
                {
                    if let Some(on_record) = &command.on_record {
                        record::cancel(on_record, &command, member, "its sender asked");
                    }
                    dispatcher::cancel(self.hub, &command, &mut self.flushes);
                }
            }
            Some(ClientMethod::Output) => {
                if let Some(output) = self.told::<ExecutionOutput<'_>>(method, raw) {
                    self.output(member, output);
                }
            }
            Some(ClientMethod::Consumed) => {
                if let Some(consumed) = self.told::<SendConsumed>(method, raw) {
                    self.consumed(member, &consumed);
                }
            }
            Some(ClientMethod::Input) => {
                if let Some(piece) = self.told::<SendInput<'_>>(method, raw) {
                    self.input(member, piece);
                }
            }
            Some(ClientMethod::InputConsumed) => {
                if let Some(consumed) = self.told::<ExecutionInputConsumed>(method, raw) {
                    self.input_consumed(member, &consumed);
                }
            }
            // Requests without an id have no answer.
            Some(
                ClientMethod::Join
                | ClientMethod::Send
                | ClientMethod::Select
                | ClientMethod::Jobs
                | ClientMethod::Job
                | ClientMethod::CancelJob
                | ClientMethod::Members
                | ClientMethod::Watch
                | ClientMethod::Ping,
            )
            | None => log::debug!("{member}: ignored the notification {:?}", clip(method)),
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

    /// Passes input on to the targets of a command.
    #[inline(never)]
    pub(super) fn input(&mut self, member: &Member, piece: SendInput<'_>) {
        if let Some(command) = member.sends.get(&piece.send) {
            let memory = &self.hub.budget.commands;
            pass_input::pass_on(&command, piece, memory, &mut self.flushes);
        }
    }

    /// Lets an executor send more output, as its sender consumed some.
    fn consumed(&mut self, member: &Member, consumed: &SendConsumed) {
        let Some(command) = member.sends.get(&consumed.send) else {
            return;
        };
        let Some(target) = command.targets.find(consumed.member) else {
            return;
        };
        target.member.consumed(command.id, consumed.bytes);
        self.flushes.add(&target.member.connection);
    }
}
