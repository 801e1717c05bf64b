//! What a request is answered with where it was not done: the one table of codes and
//! reasons, and the error object that carries them.

use crate::wire::message::Id;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The errors of the protocol: the one table of codes and reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The line is not JSON or not UTF-8.
    ParseError,
    /// The line is JSON and no message.
    InvalidRequest,
    /// Nobody knows this method.
    MethodNotFound,
    /// The method does not take these parameters.
    InvalidParams,
    /// The server's own fault.
    Internal,
    /// The server already has all the clients it accepts.
    Full,
    /// No or a wrong credential.
    Unauthorized,
    /// A request before `join`.
    NotJoined,
    /// A second `join`.
    AlreadyJoined,
    /// Somebody here has that name.
    NameTaken,
    /// The server does not speak that version.
    UnsupportedProtocol,
    /// The selector finds nobody at all.
    NoTarget,
    /// The single target ranks above the sender.
    Outranked,
    /// A queue is full.
    Busy,
    /// The server drains.
    ShuttingDown,
    /// The client's credential does not give what it asks for.
    Forbidden,
    /// The audit log cannot be written.
    AuditUnavailable,
    /// The server takes encrypted connections only.
    TlsRequired,
    /// An executor's policy does not run this command.
    Refused,
    /// An executor has no such program.
    NotFound,
    /// An executor could not start the program.
    Failed,
}

impl Code {
    /// Every code with its number and its stable name.
    const TABLE: [(Code, i64, &'static str); 21] = [
        (Code::ParseError, -32700, "parse_error"),
        (Code::InvalidRequest, -32600, "invalid_request"),
        (Code::MethodNotFound, -32601, "method_not_found"),
        (Code::InvalidParams, -32602, "invalid_params"),
        (Code::Internal, -32603, "internal"),
        (Code::Full, 1, "full"),
        (Code::Unauthorized, 2, "unauthorized"),
        (Code::NotJoined, 3, "not_joined"),
        (Code::AlreadyJoined, 4, "already_joined"),
        (Code::NameTaken, 5, "name_taken"),
        (Code::UnsupportedProtocol, 6, "unsupported_protocol"),
        (Code::NoTarget, 7, "no_target"),
        (Code::Outranked, 8, "outranked"),
        (Code::Busy, 9, "busy"),
        (Code::ShuttingDown, 10, "shutting_down"),
        (Code::Forbidden, 11, "forbidden"),
        (Code::AuditUnavailable, 12, "audit_unavailable"),
        (Code::TlsRequired, 13, "tls_required"),
        (Code::Refused, 20, "refused"),
        (Code::NotFound, 21, "not_found"),
        (Code::Failed, 22, "failed"),
    ];

    fn row(self) -> (Code, i64, &'static str) {
        let row = Self::TABLE.iter().find(|(code, ..)| *code == self);
        *row.expect("the table holds every code; a unit test looks")
    }

    /// The number on the wire.
    pub fn number(self) -> i64 {
        self.row().1
    }

    /// The machine-readable name, `error.data.reason`.
    pub fn reason(self) -> &'static str {
        self.row().2
    }

    /// The code of a number, if the protocol has it.
    pub fn from_number(number: i64) -> Option<Code> {
        let row = Self::TABLE.iter().find(|(_, n, _)| *n == number);
        row.map(|(code, ..)| *code)
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorData {
    /// [`Code::reason`].
    reason: Option<Cow<'static, str>>,
    /// The request id that is already open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<Id>>,
    /// The versions that the server speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported: Option<Vec<u64>>,
    /// How long to wait before another try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// What of its credential the client lacks, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
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

    /// Reads an error object that a peer sent.
    ///
    /// # Errors
    /// Where it has no integer `code` or no string `message`.
    pub fn parse(raw: &RawValue) -> Result<RpcError, serde_json::Error> {
        serde_json::from_str(raw.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row() {
        for (code, number, reason) in Code::TABLE {
            assert_eq!(Code::from_number(number), Some(code));
            assert_eq!((code.number(), code.reason()), (number, reason));
        }
    }
}
