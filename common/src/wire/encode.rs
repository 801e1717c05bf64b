//! The envelopes of the lines that this end writes, around parameters and results with serde
//! forms. It knows no method.

use crate::wire::error::RpcError;
use crate::wire::id::Id;
use serde::Serialize;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: Id,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct Notification<'a, P> {
    jsonrpc: &'static str,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct Success<R> {
    jsonrpc: &'static str,
    id: Id,
    result: R,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    id: Option<Id>,
    error: &'a RpcError,
}

const VERSION: &str = "2.0";

fn line(envelope: impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    append(&mut line, envelope);
    line
}

fn append(line: &mut Vec<u8>, envelope: impl Serialize) {
    serde_json::to_writer(&mut *line, &envelope)
        .expect("structs of strings and numbers always become JSON");
    line.push(b'\n');
}

/// A request's line, its `\n` included.
pub fn request_line(id: Id, method: &str, params: impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    append_request(&mut line, id, method, params);
    line
}

/// Adds a request's line to a buffer. If the buffer has room for it, no other memory holds any
/// of the line.
pub fn append_request(line: &mut Vec<u8>, id: Id, method: &str, params: impl Serialize) {
    let jsonrpc = VERSION;
    append(
        line,
        Request {
            jsonrpc,
            id,
            method,
            params,
        },
    );
}

/// A notification's line, its `\n` included.
pub fn notification_line(method: &str, params: impl Serialize) -> Vec<u8> {
    let jsonrpc = VERSION;
    line(Notification {
        jsonrpc,
        method,
        params,
    })
}

/// The line of a request's result, its `\n` included.
pub fn result_line(id: Id, result: impl Serialize) -> Vec<u8> {
    let jsonrpc = VERSION;
    line(Success {
        jsonrpc,
        id,
        result,
    })
}

/// The line of an error, its `\n` included; `id` is `null` if it is not known.
pub fn error_line(id: Option<Id>, error: &RpcError) -> Vec<u8> {
    let jsonrpc = VERSION;
    line(Failure { jsonrpc, id, error })
}
