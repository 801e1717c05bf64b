//! The JSON-RPC 2.0 envelope: what kind of message a line is. It knows no method.
//!
//! A line is read once. Its members stay raw text, so that a layer above parses only what it
//! needs.

pub use crate::wire::encode::{
    append_request, append_result, error_line, notification_line, request_line, result_line,
};
pub use crate::wire::error::{Code, RpcError};
pub use crate::wire::id::Id;
use crate::wire::text::{Text, clip};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// One line, told apart by its members.
#[derive(Debug)]
pub enum Message<'a> {
    /// `method` and `id`: to be answered.
    Request {
        id: Id,
        method: Cow<'a, str>,
        params: Option<&'a RawValue>,
    },
    /// `method` without `id`: never answered.
    Notification {
        method: Cow<'a, str>,
        params: Option<&'a RawValue>,
    },
    /// `result` or `error` without `method`: never answered either.
    Answer {
        /// The request it answers; `None` where the id is missing or no id.
        id: Option<Id>,
        body: AnswerBody<'a>,
    },
}

/// What an answer says.
#[derive(Debug)]
pub enum AnswerBody<'a> {
    Result(&'a RawValue),
    Error(&'a RawValue),
    /// Both members or one of them twice: an answer that says nothing.
    Malformed,
}

/// The members of an envelope, each as its raw text.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    /// The first member that stood twice.
    twice: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    #[serde(other)]
    Other,
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key()? {
            let (slot, name) = match key {
                Key::Jsonrpc => (&mut members.jsonrpc, "jsonrpc"),
                Key::Id => (&mut members.id, "id"),
                Key::Method => (&mut members.method, "method"),
                Key::Params => (&mut members.params, "params"),
                Key::Result => (&mut members.result, "result"),
                Key::Error => (&mut members.error, "error"),
                Key::Other => {
                    map.next_value::<de::IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                members.twice.get_or_insert(name);
            }
        }
        Ok(members)
    }
}

impl<'a> Message<'a> {
    /// Reads one line, without its line end.
    ///
    /// # Errors
    /// What to answer: [`Code::ParseError`] for what is not UTF-8 or not JSON,
    /// [`Code::InvalidRequest`] for what is not a message.
    pub fn parse(line: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let text = std::str::from_utf8(line).map_err(|e| {
            Malformed::new(
                Code::ParseError,
                format!("byte {} of the line is not UTF-8", e.valid_up_to() + 1),
            )
        })?;
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json
            .deserialize_map(MembersVisitor)
            .and_then(|members| json.end().map(|()| members))
            .map_err(|_| not_an_object(text))?;
        members.into_message()
    }
}

/// Why a line is no envelope: no JSON at all, or JSON of another shape.
fn not_an_object(text: &str) -> Malformed {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if raw.get().starts_with('[') => Malformed::new(
            Code::InvalidRequest,
            "batches are not supported; send one message a line",
        ),
        Ok(raw) => Malformed::new(
            Code::InvalidRequest,
            format!("{} is not a JSON object", clip(raw.get())),
        ),
        // That error repeats nothing of the line; one about its shape repeats whole strings.
        Err(error) => Malformed::new(Code::ParseError, format!("the line is not JSON: {error}")),
    }
}

impl<'a> Members<'a> {
    fn into_message(self) -> Result<Message<'a>, Malformed> {
        let Some(method) = self.method else {
            return self.into_answer();
        };
        let invalid = |id: Option<Id>, message: String| Malformed {
            id,
            error: RpcError::new(Code::InvalidRequest, message),
        };
        let id = match self.id {
            Some(_) if self.twice == Some("id") => None,
            Some(raw) => Some(Id::parse(raw.get()).map_err(|e| invalid(None, e))?),
            None => None,
        };
        if let Some(name) = self.twice {
            return Err(invalid(id, format!("the member {name:?} stands twice")));
        }
        let Ok(method) = serde_json::from_str(method.get()).map(Text::into_cow) else {
            let message = format!("the method {} is not a string", clip(method.get()));
            return Err(invalid(id, message));
        };
        let params = self.params;
        let Some(id) = id else {
            return Ok(Message::Notification { method, params });
        };
        if !self.jsonrpc.is_some_and(is_version_2) {
            let message = "the member \"jsonrpc\" must be \"2.0\"".into();
            return Err(invalid(Some(id), message));
        }
        Ok(Message::Request { id, method, params })
    }

    fn into_answer(self) -> Result<Message<'a>, Malformed> {
        let body = match (self.result, self.error) {
            (None, None) => {
                let message = "a message has a \"method\", a \"result\" or an \"error\"";
                let mut malformed = Malformed::new(Code::InvalidRequest, message);
                if self.twice.is_none() {
                    malformed.id = self.id.and_then(|raw| Id::parse(raw.get()).ok());
                }
                return Err(malformed);
            }
            _ if self.twice.is_some() => AnswerBody::Malformed,
            (Some(result), None) => AnswerBody::Result(result),
            (None, Some(error)) => AnswerBody::Error(error),
            (Some(_), Some(_)) => AnswerBody::Malformed,
        };
        let id = match self.twice {
            Some("id") => None,
            _ => self.id.and_then(|raw| Id::parse(raw.get()).ok()),
        };
        Ok(Message::Answer { id, body })
    }
}

fn is_version_2(raw: &RawValue) -> bool {
    let written_plainly = raw.get() == "\"2.0\"";
    written_plainly
        || serde_json::from_str::<Text<'_>>(raw.get()).is_ok_and(|v| v.decoded() == "2.0")
}

/// A line that is no message, and the error that says so.
#[derive(Debug)]
pub struct Malformed {
    /// The request's id, where it could be told.
    pub id: Option<Id>,
    /// What to answer.
    pub error: RpcError,
}

impl Malformed {
    fn new(code: Code, message: impl Into<String>) -> Malformed {
        Malformed {
            id: None,
            error: RpcError::new(code, message),
        }
    }
}

/// Reads `params` into what a method takes. Absent, `null` and `{}` are the same.
///
/// # Errors
/// [`Code::InvalidParams`] with the member that is wrong and what would be right.
pub fn params<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<T, RpcError> {
    let text = match raw.map(RawValue::get) {
        None | Some("null") => "{}",
        Some(text) if text.starts_with('{') => text,
        Some(text) => return Err(no_object(text)),
    };
    serde_json::from_str(text).map_err(|plain| invalid_params::<T>(text, &plain))
}

/// Apart, as all that errors take of the stack would stay resident for each client that joins.
#[cold]
#[inline(never)]
fn no_object(text: &str) -> RpcError {
    // Its kind only: by position there may be a token in it.
    let kind = match text.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        _ => "a number",
    };
    let message = format!("params must be an object, not {kind}");
    RpcError::new(Code::InvalidParams, message)
}

/// Reads the object again for the path: only what is wrong pays for it.
#[cold]
#[inline(never)]
fn invalid_params<'a, T: Deserialize<'a>>(text: &'a str, plain: &serde_json::Error) -> RpcError {
    let mut json = serde_json::Deserializer::from_str(text);
    let message = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(e) if e.path().iter().len() > 0 => format!("params.{}: {}", e.path(), e.inner()),
        _ => format!("params: {plain}"),
    };
    RpcError::new(Code::InvalidParams, short(&without_position(message)))
}

/// A message that repeats what a peer sent, short enough to be sent back and logged.
fn short(message: &str) -> &str {
    const MOST: usize = 240;
    &message[..message.floor_char_boundary(MOST)]
}

/// A position counted from the start of `params` tells the peer nothing.
fn without_position(mut message: String) -> String {
    if let Some(at) = message.rfind(" at line ") {
        message.truncate(at);
    }
    message
}

/// Reads a result into what a method gives.
///
/// # Errors
/// Where the peer's result has another shape.
pub fn result<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.get())
}
