//! The envelopes of the lines that this end writes, around parameters and results with serde
//! forms. It knows no method.

use crate::wire::error::RpcError;
use crate::wire::id::Id;
use crate::wire::text::Text;
use serde::Serialize;

/// What comes before the id of a request or of its answer.
pub(super) const HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;

/// A request's line, its `\n` included.
pub fn request_line(id: &Id, method: &str, params: impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    append_request(&mut line, id, method, params);
    line
}

/// Adds a request's line to a buffer. With room for it, no other memory holds any of the line.
pub fn append_request(buffer: &mut Vec<u8>, id: &Id, method: &str, params: impl Serialize) {
    let mut line = Line(std::mem::take(buffer));
    line.request(id, method).json(params);
    *buffer = line.end();
}

/// A notification's line, its `\n` included.
pub fn notification_line(method: &str, params: impl Serialize) -> Vec<u8> {
    let mut line = Line(Vec::with_capacity(128));
    line.notification(method).json(params);
    line.end()
}

/// The line of a request's result, its `\n` included.
pub fn result_line(id: &Id, result: impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    append_result(&mut line, id, result);
    line
}

/// Adds the line of a request's result to a buffer.
pub fn append_result(buffer: &mut Vec<u8>, id: &Id, result: impl Serialize) {
    let mut line = Line(std::mem::take(buffer));
    line.result(id).json(result);
    *buffer = line.end();
}

/// The line of an error, its `\n` included; `id` is `null` if it is not known.
pub fn error_line(id: Option<Id>, error: &RpcError) -> Vec<u8> {
    let mut line = Line(Vec::with_capacity(128));
    line.add(HEAD).json(id).add(r#","error":"#).json(error);
    line.end()
}

/// A line in the making: its envelope is open until the [end](Self::end).
pub(super) struct Line(pub(super) Vec<u8>);

impl Line {
    #[inline]
    pub(super) fn request(&mut self, id: &Id, method: &str) -> &mut Line {
        self.add(HEAD).id(id).method(method)
    }

    #[inline]
    pub(super) fn method(&mut self, method: &str) -> &mut Line {
        self.add(r#","method":""#).add(method).add(r#"","params":"#)
    }

    #[inline]
    pub(super) fn notification(&mut self, method: &str) -> &mut Line {
        self.add(r#"{"jsonrpc":"2.0","method":""#).add(method);
        self.add(r#"","params":"#)
    }

    #[inline]
    pub(super) fn result(&mut self, id: &Id) -> &mut Line {
        self.add(HEAD).id(id).add(r#","result":"#)
    }

    #[inline]
    pub(super) fn add(&mut self, piece: &str) -> &mut Line {
        self.0.extend_from_slice(piece.as_bytes());
        self
    }

    #[inline]
    pub(super) fn number(&mut self, number: impl itoa::Integer) -> &mut Line {
        self.add(itoa::Buffer::new().format(number))
    }

    #[inline]
    pub(super) fn id(&mut self, id: &Id) -> &mut Line {
        match id {
            Id::Integer(number) => self.number(*number),
            Id::Large(number) => self.number(*number),
            Id::Text(text) => {
                Text::from(&**text).append_to(&mut self.0);
                self
            }
        }
    }

    fn json(&mut self, value: impl Serialize) -> &mut Line {
        serde_json::to_writer(&mut self.0, &value)
            .expect("structs of strings and numbers always become JSON");
        self
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.add("}\n");
        self.0
    }
}
