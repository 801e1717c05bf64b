//! Reading one connection: takes the server's lines apart and hands each on. It never waits
//! for anything but the next byte, and everything it reads may be wrong.

use crate::connection::Connection;
use crate::connection::answers::{self, HEARTBEAT_ID, own_id};
use crate::events::{ClientEvent, Disconnect};
use crate::execute::job::input_buffer::TooMuchInput;
use crate::execute::job::{Job, ReplyTo};
use crate::send::outcome::{Outcome, Output};
use crate::send::pending_send::PendingSend;
use crate::send::send_handle::SendEvent;
use common::limits::{ACK_BYTES, LINE_DEADLINE};
use common::logging::log_limit;
use common::net::line_reader::LineReader;
use common::sys::sync::Arc;
use common::wire::message::{self, Code, Id, Message, RpcError};
use common::wire::name::{Name, wrong_name};
use common::wire::text::clip;
use common::wire::{
    self, Accepted, Ack, Bye, CancelExecution, Empty, Execute, ExecutionConsumed, ExecutionInput,
    Identity, Rank, Refused, SendInputConsumed, SendOutput, Started, decode_output, method,
};
use crossbeam_channel::Sender;
use serde_json::value::RawValue;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// After how long the server is told what was received, if something comes then: as the protocol
/// has it.
const ACK_AFTER: Duration = Duration::from_secs(1);

/// Reads until the connection is over.
pub(crate) struct Reader {
    connection: Arc<Connection>,
    lines: LineReader,
    asked: u64,
    /// Bytes that were read since the server was told what was received, and the time of the first.
    unsaid_bytes: usize,
    unsaid_since: Option<Instant>,
    /// Why the server is about to close.
    bye: Option<Disconnect>,
}

impl Reader {
    pub(crate) fn run(connection: Arc<Connection>, lines: LineReader) -> Disconnect {
        let mut reader = Reader {
            connection,
            lines,
            asked: 0,
            unsaid_bytes: 0,
            unsaid_since: None,
            bye: None,
        };
        let _about = log_limit::about("the server");
        let reason = reader.read_to_the_end();
        reader.bye.unwrap_or(reason)
    }

    fn read_to_the_end(&mut self) -> Disconnect {
        let stream = Arc::clone(&self.connection.stream);
        // A client that acknowledges looks twice in a heartbeat whether there is something to say.
        let looks = if self.connection.hold.is_some() { 2 } else { 1 };
        if let Err(e) = stream.set_read_timeout(Some(self.connection.heartbeat / looks)) {
            return Disconnect::Failed(e.to_string());
        }
        let mut silent = 0;
        let mut line_began = None;
        loop {
            if let Err(reason) = self.handle_lines() {
                return reason;
            }
            self.acknowledge();
            // What one read brought is answered in one write.
            self.connection.outbox.flush();
            if let Err(reason) = check_partial(self.lines.has_partial_line(), &mut line_began) {
                return reason;
            }
            match self.lines.fill(&mut &*stream) {
                Ok(0) => return Disconnect::Closed,
                Ok(read) => {
                    silent = 0;
                    self.unsaid_bytes += read;
                }
                Err(e) if !is_timeout(&e) => return Disconnect::Failed(e.to_string()),
                Err(_) if silent + 1 == 2 * looks => return Disconnect::Silent,
                Err(_) => {
                    silent += 1;
                    self.say_received();
                    if silent == looks {
                        self.ask_for_life();
                    }
                }
            }
        }
    }

    /// Has the server told, with what is written next, what was received, if that is much or some
    /// time ago.
    fn acknowledge(&mut self) {
        if self.connection.hold.is_none() || self.unsaid_bytes == 0 {
            return;
        }
        let since = *self.unsaid_since.get_or_insert_with(Instant::now);
        let is_late = || since.elapsed() >= ACK_AFTER.min(self.connection.heartbeat / 2);
        if self.unsaid_bytes >= ACK_BYTES || is_late() {
            self.say();
        }
    }

    fn say(&mut self) {
        if let Some(hold) = &self.connection.hold {
            self.connection.outbox.say_received(hold.received());
        }
        (self.unsaid_bytes, self.unsaid_since) = (0, None);
    }

    /// Tells the server what was received, if there is something new.
    fn say_received(&mut self) {
        if self.unsaid_bytes > 0 {
            self.say();
            self.connection.outbox.flush();
        }
    }

    fn ask_for_life(&mut self) {
        self.asked += 1;
        let id = Id::Text(format!("{HEARTBEAT_ID}{}", self.asked).into());
        self.connection
            .tell(message::request_line(&id, method::PING, Empty {}));
    }

    fn handle_lines(&mut self) -> Result<(), Disconnect> {
        loop {
            match self.lines.next_line() {
                Ok(None) => return Ok(()),
                Ok(Some([])) => {}
                Ok(Some(line)) => {
                    if let Some(hold) = &self.connection.hold {
                        hold.set_received(hold.received() + 1);
                    }
                    handle(&self.connection, line, &mut self.bye)?;
                }
                Err(e) => {
                    let error = RpcError::new(Code::InvalidRequest, e.to_string());
                    self.connection.tell(message::error_line(None, &error));
                    return Err(Disconnect::Protocol(e.to_string()));
                }
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A line that trickles has an end of its own.
fn check_partial(is_partial: bool, began: &mut Option<Instant>) -> Result<(), Disconnect> {
    if !is_partial {
        *began = None;
        return Ok(());
    }
    match began.get_or_insert_with(Instant::now).elapsed() > LINE_DEADLINE {
        true => Err(Disconnect::Protocol("a line did not end in time".into())),
        false => Ok(()),
    }
}

/// Handles one line; an error is why the connection is of no use any more.
fn handle(
    connection: &Arc<Connection>,
    line: &[u8],
    bye: &mut Option<Disconnect>,
) -> Result<(), Disconnect> {
    if let Some(told) = SendOutput::of_plain_line(line) {
        output(connection, told);
        return Ok(());
    }
    if let Some(told) = ExecutionInput::of_plain_line(line) {
        return input(connection, told);
    }
    match Message::parse(line) {
        Ok(Message::Request { id, method, params }) => {
            if let Err(error) = request(connection, &id, &method, params) {
                connection
                    .outbox
                    .push(message::error_line(Some(id), &error));
            }
        }
        Ok(Message::Notification { method, params }) if method == method::INPUT => {
            match message::params(params) {
                Ok(told) => return input(connection, told),
                Err(error) => log::warn!("the server's \"input\" is ignored: {error}"),
            }
        }
        Ok(Message::Notification { method, params }) => {
            if let Err(error) = notification(connection, &method, params, bye) {
                // Without this notification, an outcome may never come: the connection is of no
                // use any more.
                if let Some(why) = wrong_name(params) {
                    return Err(Disconnect::Protocol(format!("its {method:?}: {why}")));
                }
                log::warn!("the server's {method:?} is ignored: {error}");
            }
        }
        Ok(Message::Answer { id, body }) => answers::answer(connection, id, &body),
        Err(malformed) => {
            log::warn!("a line of the server's is ignored: {}", malformed.error);
            connection
                .outbox
                .push(message::error_line(malformed.id, &malformed.error));
        }
    }
    Ok(())
}

fn request(
    connection: &Arc<Connection>,
    id: &Id,
    method: &str,
    params: Option<&RawValue>,
) -> Result<(), RpcError> {
    match method {
        method::PING => {
            connection.outbox.push(message::result_line(id, Empty {}));
        }
        method::EXECUTE => {
            let execute: Execute<'_> = message::params(params).map_err(not_started(params))?;
            let job = Job::new(
                id.clone(),
                own_origin(execute.from),
                execute.command.to_vec(),
                execute.timeout_ms.map(Duration::from_millis),
                execute.window,
                execute.stdin,
                ReplyTo {
                    outbox: Arc::clone(&connection.outbox),
                    max_line: connection.joined.max_line,
                },
            );
            connection.workers.submit(job);
        }
        _ => {
            let message = format!("a client has no method {:?}", clip(method));
            return Err(RpcError::new(Code::MethodNotFound, message));
        }
    }
    Ok(())
}

/// Without an allowed name, identity and role of the sender, a command has failed; other errors
/// stay as they are.
fn not_started(params: Option<&RawValue>) -> impl FnOnce(RpcError) -> RpcError {
    move |error| match wrong_name(params) {
        Some(why) => RpcError::new(Code::Failed, why),
        None => error,
    }
}

fn own_origin(origin: wire::Origin<'_>) -> wire::Origin<'static> {
    wire::Origin {
        member: origin.member,
        name: origin.name.into_owned(),
        rank: origin.rank,
        tier: origin.tier,
        identity: origin.identity.map(Identity::into_owned),
        role: origin.role.map(Name::into_owned),
    }
}

fn notification(
    connection: &Arc<Connection>,
    method: &str,
    params: Option<&RawValue>,
    bye: &mut Option<Disconnect>,
) -> Result<(), RpcError> {
    match method {
        method::CANCEL => {
            let cancel: CancelExecution = message::params(params)?;
            connection.workers.cancel(&cancel.id.into());
        }
        method::CONSUMED => {
            let consumed: ExecutionConsumed = message::params(params)?;
            connection
                .workers
                .consumed(&consumed.id.into(), consumed.bytes);
        }
        method::ACK => {
            // It is the one line that is not counted.
            if let Some(hold) = &connection.hold {
                hold.set_received(hold.received() - 1);
                let Ack { received } = message::params(params)?;
                connection.outbox.acknowledge(received);
            }
        }
        method::INPUT_CONSUMED => {
            let SendInputConsumed { send, consumed } = message::params(params)?;
            let flow = own_id(&send).and_then(|id| connection.with_send(id, |send| send.input()));
            if let Some(flow) = flow.flatten() {
                flow.consumed(consumed);
            }
        }
        method::ACCEPTED => {
            let accepted: Accepted = message::params(params)?;
            let targets = accepted.targets;
            tell_send(connection, &accepted.send, |send| send.accept(targets));
        }
        method::STARTED => {
            let Started { send, member } = message::params(params)?;
            tell_send(connection, &send, |send| send.start(member));
        }
        method::OUTCOME => outcome(connection, message::params(params)?),
        method::OUTPUT => output(connection, message::params(params)?),
        method::WATCHED => connection.tell_watch(message::params(params)?),
        method::RANK => {
            let Rank { rank, members } = message::params(params)?;
            connection.set_standing(rank, members);
            connection
                .events
                .tell(|| ClientEvent::Rank { rank, members });
        }
        method::REFUSED => {
            let refused: Refused<'_> = message::params(params)?;
            connection.events.tell(|| ClientEvent::Refused {
                from: own_origin(refused.from),
                words: refused.command.into_owned(),
                truncated: refused.truncated,
            });
        }
        method::BYE => {
            let Bye {
                reason,
                message,
                held,
            } = message::params(params)?;
            let message = message.into_owned();
            if let Some(hold) = connection.hold.as_deref().filter(|_| held) {
                hold.set_outlives_server();
            }
            *bye = Some(Disconnect::Bye {
                reason,
                message: message.clone(),
            });
            connection
                .events
                .tell(|| ClientEvent::Bye { reason, message });
        }
        _ => log::debug!("the server's notification {:?} is unknown", clip(method)),
    }
    Ok(())
}

/// Tells an open send an event, outside the table's lock.
fn tell_send(
    connection: &Connection,
    id: &Id,
    make: impl FnOnce(&mut PendingSend) -> Option<(Sender<SendEvent>, SendEvent)>,
) {
    let told = own_id(id).and_then(|id| connection.with_send(id, make));
    match told {
        Some(Some((events, event))) => drop(events.send(event)),
        Some(None) => log::warn!("the server told the send {id} something that it cannot"),
        None => log::debug!("the server told something of the send {id}, which is not open"),
    }
}

fn outcome(connection: &Connection, mut wire: wire::Outcome<'_>) {
    let Some(id) = wire.send.take() else {
        log::warn!("the server told an outcome of no send");
        return;
    };
    let Some(outcome) = Outcome::from_wire(wire) else {
        log::warn!("the server told an outcome of the send {id} without its target");
        return;
    };
    tell_send(connection, &id, |send| match send.is_for_many() {
        true => send.outcome(outcome),
        false => None,
    });
}

fn output(connection: &Connection, mut wire: SendOutput<'_>) {
    let bytes = decode_output(wire.text.take(), wire.base64.take());
    let (Some(id), Some(bytes)) = (own_id(&wire.send), bytes) else {
        log::warn!("an output of the server's is ignored: neither text nor base64");
        return;
    };
    tell_send(connection, &wire.send, |send| {
        let length = bytes.len() as u64;
        let (events, credit) = send.reserve(id, wire.member, length, &connection.outbox)?;
        let output = Output {
            member: wire.member,
            name: wire.name.into_string(),
            rank: wire.rank,
            stream: wire.stream,
            bytes,
            _credit: credit,
        };
        Some((events, SendEvent::Output(Box::new(output))))
    });
}

/// A piece of input for what runs here. Without it a program would take the rest for the whole, so
/// a server that says more than it may is left.
fn input(connection: &Connection, piece: ExecutionInput<'_>) -> Result<(), Disconnect> {
    let ExecutionInput {
        id,
        text,
        base64,
        end,
    } = piece;
    let Some(bytes) = decode_output(text, base64) else {
        return Err(Disconnect::Protocol("its \"input\" is no base64".into()));
    };
    let added = connection.workers.input(&id.into(), bytes, end);
    added.map_err(|TooMuchInput| Disconnect::Protocol("it sent more input than a window".into()))
}
