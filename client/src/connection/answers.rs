//! The server's answers to this client's own requests: each goes to the waiting thread, or ends its
//! send. Any of it may be wrong.

use crate::connection::{Connection, PendingRequest, Told};
use crate::error::RequestError;
use crate::send::outcome::Outcome;
use crate::send::pending_send::PendingSend;
use common::wire::message::{self, AnswerBody, Id, RpcError};
use common::wire::{self, Tally};
use crossbeam_channel::Sender;
use serde_json::value::RawValue;

/// The start of the id of a request for a sign of life; the answer needs no attention.
pub(super) const HEARTBEAT_ID: &str = "heartbeat-";

/// Takes one answer.
pub(super) fn answer(connection: &Connection, id: Option<Id>, body: &AnswerBody<'_>) {
    let Some(id) = id else {
        log_stray_answer("null", body);
        return;
    };
    if matches!(&id, Id::Text(text) if text.starts_with(HEARTBEAT_ID)) {
        return;
    }
    let open = own_id(&id).and_then(|number| Some((number, connection.take(number)?)));
    match open {
        None => log_stray_answer(&id.to_string(), body),
        Some((_, PendingRequest::Call(waiting))) => {
            drop(waiting.send(plain(body).map(ToOwned::to_owned)));
        }
        Some((number, PendingRequest::Watch(into, waiting))) => {
            drop(waiting.send(begin_watch(connection, number, into, body)));
        }
        Some((_, PendingRequest::Send(mut send))) => {
            let end = end_send(&mut send, body);
            send.end(end);
        }
    }
}

/// The number of one of our requests; others are no numbers.
pub(super) fn own_id(id: &Id) -> Option<u64> {
    match id {
        Id::Integer(id) => u64::try_from(*id).ok(),
        Id::Large(id) => Some(*id),
        Id::Text(_) => None,
    }
}

/// The first state; what follows goes to the same place.
fn begin_watch(
    connection: &Connection,
    id: u64,
    into: Sender<Told>,
    body: &AnswerBody<'_>,
) -> Result<(), RequestError> {
    let first = message::result::<Told>(plain(body)?);
    let first = first.map_err(|e| RequestError::Malformed(e.to_string()))?;
    // It has room: nothing was told yet.
    let _ = into.try_send(first);
    connection.begin_watch(id, into);
    Ok(())
}

fn log_stray_answer(id: &str, body: &AnswerBody<'_>) {
    let what = match body {
        AnswerBody::Error(raw) => RpcError::parse(raw).map(|e| e.message).unwrap_or_default(),
        _ => String::new(),
    };
    log::warn!("the server answered {id}, which is not open {what}");
}

fn plain<'a>(body: &AnswerBody<'a>) -> Result<&'a RawValue, RequestError> {
    let malformed = |what: &dyn std::fmt::Display| RequestError::Malformed(what.to_string());
    match body {
        AnswerBody::Result(raw) => Ok(raw),
        AnswerBody::Error(raw) => match RpcError::parse(raw) {
            Ok(error) => Err(error.into()),
            Err(e) => Err(malformed(&e)),
        },
        AnswerBody::Malformed => Err(malformed(&"it has a result and an error")),
    }
}

/// The response to a send: the outcome itself, or the tally after all outcomes.
fn end_send(send: &mut PendingSend, body: &AnswerBody<'_>) -> Result<Tally, RequestError> {
    let malformed = |e: serde_json::Error| RequestError::Malformed(e.to_string());
    let raw = plain(body)?;
    if send.is_for_many() {
        return message::result(raw).map_err(malformed);
    }
    let wire: wire::Outcome<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
    let mut tally = Tally::default();
    tally.count(wire.status);
    let nameless = || RequestError::Malformed("the outcome does not name its target".into());
    let outcome = Outcome::from_wire(wire).ok_or_else(nameless)?;
    if let Some((events, event)) = send.outcome(outcome) {
        let _ = events.send(event);
    }
    Ok(tally)
}
