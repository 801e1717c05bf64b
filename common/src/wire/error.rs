//! What a request is answered with where it was not done: the one table of codes and
//! reasons, and the error object that carries them.

use crate::wire::id::Id;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The errors of the protocol, each with its number; its name is its reason.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::FromRepr, strum::IntoStaticStr,
)]
#[repr(i64)]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// The line is not JSON or not UTF-8.
    ParseError = -32700,
    /// The line is JSON and no message.
    InvalidRequest = -32600,
    /// There is no such method.
    MethodNotFound = -32601,
    /// The method does not take these parameters.
    InvalidParams = -32602,
    /// The server's own fault.
    Internal = -32603,
    /// The server already has all the clients it accepts.
    Full = 1,
    /// No or a wrong credential.
    Unauthorized = 2,
    /// A request before `join`.
    NotJoined = 3,
    /// A second `join`.
    AlreadyJoined = 4,
    /// Another client has that name.
    NameTaken = 5,
    /// The server does not speak that version.
    UnsupportedProtocol = 6,
    /// The selector finds no client.
    NoTarget = 7,
    /// The single target ranks above the sender.
    Outranked = 8,
    Busy = 9,
    /// The server drains.
    ShuttingDown = 10,
    /// The client's credential does not give what it asks for.
    Forbidden = 11,
    /// The audit log cannot be written.
    AuditUnavailable = 12,
    /// The server takes encrypted connections only.
    TlsRequired = 13,
    /// The server holds no place for that token.
    NotResumable = 15,
    /// An executor's policy does not run this command.
    Refused = 20,
    /// An executor has no such program.
    NotFound = 21,
    /// An executor could not start the program.
    Failed = 22,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The machine-readable name, `error.data.reason`.
    pub fn reason(self) -> &'static str {
        self.into()
    }

    /// The code of a number, if the protocol has it.
    pub fn from_number(number: i64) -> Option<Code> {
        Code::from_repr(number)
    }
}

/// An error object: what a request is answered with where it was not done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The number on the wire; [`Code::from_number`] knows those of the protocol.
    pub code: i64,
    /// A sentence for a person: what was wrong and what would be right.
    pub message: String,
    /// For programs. Apart, as threads with small stacks hand errors on.
    #[serde(default, deserialize_with = "known_data")]
    pub data: Box<ErrorData>,
}

/// What of an error's `data` this protocol knows; anything else there is its peer's own.
#[serde_with_macros::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorData {
    #[serialize_always]
    reason: Option<Cow<'static, str>>,
    /// The request id that is already open.
    pub id: Option<Box<Id>>,
    /// The versions that the server speaks.
    pub supported: Option<Vec<u64>>,
    /// How long to wait before another try.
    pub retry_ms: Option<u64>,
    /// What of its credential the client lacks, if that is why.
    pub rule: Option<Box<str>>,
}

/// Data of another form says nothing.
fn known_data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<ErrorData>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

impl RpcError {
    /// An error of the protocol.
    pub fn new(code: Code, message: impl Into<String>) -> RpcError {
        RpcError {
            code: code.number(),
            message: message.into(),
            data: Box::new(ErrorData {
                reason: Some(code.reason().into()),
                ..ErrorData::default()
            }),
        }
    }

    /// [`Code::Forbidden`], and the rule that it is by.
    pub fn forbidden(rule: impl Into<Box<str>>, message: impl Into<String>) -> RpcError {
        let mut error = RpcError::new(Code::Forbidden, message);
        error.data.rule = Some(rule.into());
        error
    }

    /// Whether this is that error of the protocol.
    pub fn is(&self, code: Code) -> bool {
        self.code == code.number()
    }

    /// The name of its code on the wire; `internal` for a code that is not of the protocol.
    pub fn reason(&self) -> &'static str {
        Code::from_number(self.code).map_or("internal", Code::reason)
    }

    /// Reads an error object that a peer sent.
    ///
    /// # Errors
    /// Where it has no integer `code` or no string `message`.
    pub fn parse(raw: &RawValue) -> Result<RpcError, serde_json::Error> {
        serde_json::from_str(raw.get())
    }
}
