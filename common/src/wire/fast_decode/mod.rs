//! The lines that are written most, read in one pass: the usual members, without white space,
//! as types of `wire`. Every other line, right or wrong, is for [`Message::parse`] to read:
//! a slower way with the same result, which says what is wrong where something is.
//!
//! [`Message::parse`]: crate::wire::message::Message::parse

mod known;
mod rest;
#[cfg(test)]
mod tests;

pub(super) use known::numbered;
pub use known::{done, execute_from, outcome_of_many};

use crate::wire::name::Name;
use crate::wire::{ExecutionInput, ExecutionOutput, ExecutionResult, Send, SendInput, SendOutput};
use rest::Rest;

/// A line that a client writes most.
#[derive(Debug)]
pub enum Plain<'a> {
    /// `{"jsonrpc":"2.0","id":1,"method":"send","params":{...}}`
    Send { id: u64, request: Send<'a> },
    /// `{"jsonrpc":"2.0","id":1,"result":{...}}`
    Result {
        id: u64,
        executed: ExecutionResult<'a>,
    },
    /// `{"jsonrpc":"2.0","method":"output","params":{...}}`
    Output(ExecutionOutput<'a>),
    /// `{"jsonrpc":"2.0","method":"input","params":{...}}`
    Input(SendInput<'a>),
}

impl<'a> Plain<'a> {
    /// Reads a line, without its line end, if it has one of these forms.
    pub fn read(line: &'a [u8]) -> Option<Plain<'a>> {
        let rest = line.strip_prefix(b"{\"jsonrpc\":\"2.0\",")?;
        let mut rest = Rest(simdutf8::basic::from_utf8(rest).ok()?);
        let plain = if rest.has("\"method\":\"output\",\"params\":") {
            Plain::Output(rest.output()?)
        } else if rest.has("\"id\":") {
            let id = rest.natural()?;
            if rest.has(",\"result\":") {
                let executed = rest.execution_result()?;
                Plain::Result { id, executed }
            } else {
                rest.skip(",\"method\":\"send\",\"params\":")?;
                let request = rest.send()?;
                Plain::Send { id, request }
            }
        } else {
            rest.skip("\"method\":\"input\",\"params\":")?;
            Plain::Input(rest.send_input()?)
        };
        (rest.0 == "}").then_some(plain)
    }
}

impl<'a> SendOutput<'a> {
    /// Reads a line, without its line end, if it is an `output` for a sender in the form that
    /// a server gives it: as with [`Plain`], others are for [`Message::parse`] to read.
    ///
    /// [`Message::parse`]: crate::wire::message::Message::parse
    pub fn of_plain_line(line: &'a [u8]) -> Option<SendOutput<'a>> {
        let mut rest = Rest(str::from_utf8(line).ok()?);
        let (mut text, mut base64) = (None, None);
        rest.skip("{\"jsonrpc\":\"2.0\",\"method\":\"output\",\"params\":{\"send\":")?;
        let send = rest.natural()?.into();
        rest.skip(",\"member\":")?;
        let member = rest.natural()?;
        rest.skip(",\"name\":")?;
        let name = Name::told(rest.string()?.into_cow()).ok()?;
        rest.skip(",\"rank\":")?;
        let rank = u32::try_from(rest.natural()?).ok()?;
        rest.skip(",")?;
        let stream = rest.stream()?;
        match rest.has(",\"text\":") {
            true => text = Some(rest.string()?),
            false => {
                rest.skip(",\"base64\":")?;
                base64 = Some(rest.string()?);
            }
        }
        (rest.0 == "}}").then_some(SendOutput {
            send,
            member,
            name,
            rank,
            stream,
            text,
            base64,
        })
    }
}

impl<'a> ExecutionInput<'a> {
    /// Reads a line, without its line end, if it is an `input` for an executor in the form that
    /// a server gives it: as with [`Plain`], others are for [`Message::parse`] to read.
    ///
    /// [`Message::parse`]: crate::wire::message::Message::parse
    pub fn of_plain_line(line: &'a [u8]) -> Option<ExecutionInput<'a>> {
        let line = line.strip_prefix(b"{\"jsonrpc\":\"2.0\",\"method\":\"input\",\"params\":")?;
        let mut rest = Rest(str::from_utf8(line).ok()?);
        let (id, text, base64, end) = rest.input("\"id\":")?;
        (rest.0 == "}").then_some(ExecutionInput {
            id,
            text,
            base64,
            end,
        })
    }
}
