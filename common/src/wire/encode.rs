//! Messages as the lines that are written.

use crate::wire::error::RpcError;
use crate::wire::id::Id;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a, P, R, E> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Option<Id>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<E>,
}

fn line<P: Serialize, R: Serialize, E: Serialize>(envelope: &Envelope<'_, P, R, E>) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    append(&mut line, envelope);
    line
}

fn append<P: Serialize, R: Serialize, E: Serialize>(
    line: &mut Vec<u8>,
    envelope: &Envelope<'_, P, R, E>,
) {
    serde_json::to_writer(&mut *line, envelope)
        .expect("structs of strings and numbers always become JSON");
    line.push(b'\n');
}

type No = Option<()>;

/// A request's line, its `\n` included.
pub fn request_line(id: Id, method: &str, params: impl Serialize) -> Vec<u8> {
    line(&request(id, method, params))
}

/// Adds a request's line to a buffer: nothing of the line is anywhere else, if the buffer has
/// room for it.
pub fn append_request(line: &mut Vec<u8>, id: Id, method: &str, params: impl Serialize) {
    append(line, &request(id, method, params));
}

fn request<P: Serialize>(id: Id, method: &str, params: P) -> Envelope<'_, P, (), ()> {
    Envelope {
        jsonrpc: "2.0",
        id: Some(Some(id)),
        method: Some(method),
        params: Some(params),
        result: None,
        error: None,
    }
}

/// A notification's line, its `\n` included.
pub fn notification_line(method: &str, params: impl Serialize) -> Vec<u8> {
    line(&Envelope::<_, No, No> {
        jsonrpc: "2.0",
        id: None,
        method: Some(method),
        params: Some(params),
        result: None,
        error: None,
    })
}

/// The line of a request's result, its `\n` included.
pub fn result_line(id: Id, result: impl Serialize) -> Vec<u8> {
    line(&Envelope::<No, _, No> {
        jsonrpc: "2.0",
        id: Some(Some(id)),
        method: None,
        params: None,
        result: Some(result),
        error: None,
    })
}

/// The line of an error, its `\n` included; `id` is `null` where it could not be told.
pub fn error_line(id: Option<Id>, error: &RpcError) -> Vec<u8> {
    line(&Envelope::<No, No, _> {
        jsonrpc: "2.0",
        id: Some(id),
        method: None,
        params: None,
        result: None,
        error: Some(error),
    })
}
