//! One client of a bench: its connection, and what it is there for.

use super::endpoint::{ConnectionLost, Endpoint};
use super::executor::Executor;
use super::sender::Sender;
use common::sys::sync::Arc;
use common::wire::message::{Code, Message, RpcError, error_line, params, result_line};
use common::wire::{Bye, Empty, method};
use std::time::Instant;

/// One client of a bench.
pub(super) struct Peer {
    pub(super) endpoint: Endpoint,
    pub(super) role: Role,
}

/// What a client is there for.
pub(super) enum Role {
    Send(Box<Sender>),
    Execute(Arc<Executor>),
}

impl Peer {
    /// Does all that there is to do without waiting. `to_the_end`: the server has closed, so
    /// that a read of less than there is room for need not be the last.
    pub(super) fn serve(&mut self, to_the_end: bool) -> Result<(), ConnectionLost> {
        let mut may_read = true;
        loop {
            let now = Instant::now();
            self.take_lines(now)?;
            if let Role::Send(sender) = &mut self.role {
                sender.send(&mut self.endpoint.out, now);
            }
            self.endpoint.flush()?;
            if !may_read {
                return Ok(());
            }
            match self.endpoint.read()? {
                None => return Ok(()),
                Some(filled) => may_read = filled || to_the_end,
            }
        }
    }

    fn take_lines(&mut self, now: Instant) -> Result<(), ConnectionLost> {
        let role = &mut self.role;
        let mut gone = Ok(());
        self.endpoint.take_lines(|line, out| {
            let is_taken = match role {
                Role::Send(sender) => sender.take(line, now),
                Role::Execute(executor) => executor.take(line, out),
            };
            if !is_taken && gone.is_ok() {
                gone = role.take_other(line, out, now);
            }
        })?;
        gone
    }
}

impl Role {
    /// Takes a line that is not one of those that come most.
    fn take_other(
        &mut self,
        line: &[u8],
        out: &mut Vec<u8>,
        now: Instant,
    ) -> Result<(), ConnectionLost> {
        if line.is_empty() {
            return Ok(());
        }
        let message = Message::parse(line).map_err(|e| ConnectionLost(e.error.message))?;
        match (message, self) {
            (Message::Answer { id, body }, Role::Send(sender)) => {
                return sender.answer(id.as_ref(), &body, now);
            }
            (Message::Request { id, method, .. }, _) if method == method::PING => {
                out.extend_from_slice(&result_line(&id, Empty {}));
            }
            (Message::Request { id, method, .. }, _) if method == method::EXECUTE => {
                Executor::refuse(id, out);
            }
            (Message::Request { id, .. }, _) => {
                let error = RpcError::new(Code::MethodNotFound, "a bench knows no such method");
                out.extend_from_slice(&error_line(Some(id), &error));
            }
            (
                Message::Notification {
                    method,
                    params: raw,
                },
                _,
            ) if method == method::BYE => {
                let bye: Bye<'_> = params(raw).map_err(|e| ConnectionLost(e.message))?;
                return Err(ConnectionLost(bye.message.into_owned()));
            }
            _ => {}
        }
        Ok(())
    }
}
