//! One client of a bench: a connection that has joined and is never waited for, and its role.

use super::programs::NOT_FOR_OTHERS;
use super::sender::Sender;
use crate::connection::handshake::Handshake;
use common::net::line_reader::LineReader;
use common::net::stream::Stream;
use common::sys::sync::Arc;
use common::wire::fast_decode::execute_from;
use common::wire::fast_encode::Prepared;
use common::wire::message::{
    Code, Message, RpcError, error_line, notification_line, params, result_line,
};
use common::wire::{Bye, Empty, ExecutionResult, method};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

pub(super) struct Peer {
    stream: Arc<Stream>,
    lines: LineReader,
    out: Vec<u8>,
    pub(super) role: Role,
}

pub(super) enum Role {
    Send(Box<Sender>),
    Execute(Arc<Executor>),
}

/// Executes for the senders of its bench, at once, and refuses the commands of other clients.
pub(super) struct Executor {
    /// The start of the names of those senders.
    pub(super) senders: String,
    pub(super) answer: Prepared,
}

impl Executor {
    /// An executor with results of this many bytes.
    pub(super) fn new(senders: String, result: usize) -> Executor {
        let executed = ExecutionResult {
            exit_code: Some(0),
            stdout: (result > 0).then(|| "=".repeat(result).into()),
            ..ExecutionResult::default()
        };
        Executor {
            senders,
            answer: Prepared::new(&result_line(&0.into(), executed)),
        }
    }
}

impl Peer {
    pub(super) fn new(handshake: Handshake, role: Role) -> Peer {
        Peer {
            stream: handshake.stream,
            lines: handshake.lines,
            out: Vec::new(),
            role,
        }
    }

    /// Makes a poller tell when there is something to read, or room to write again.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let descriptor = self.stream.descriptor()?;
        let fd = descriptor.as_fd().as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&fd), token, interest)
    }

    pub(super) fn sender(&self) -> Option<&Sender> {
        match &self.role {
            Role::Send(sender) => Some(sender),
            Role::Execute(_) => None,
        }
    }

    /// Does all that is possible without waiting. `to_the_end`: the server has closed, so a
    /// read that does not fill the buffer need not be the last. If the connection is encrypted, it
    /// never is: what was decrypted says nothing about what the system still has.
    pub(super) fn serve(&mut self, to_the_end: bool) -> io::Result<()> {
        let to_the_end = to_the_end || self.stream.is_encrypted();
        let mut may_read = true;
        loop {
            let now = Instant::now();
            while let Some(line) = self.lines.next_line().map_err(io::Error::other)? {
                self.role.take(line, &mut self.out, now)?;
            }
            if let Role::Send(sender) = &mut self.role {
                sender.send(&mut self.out, now);
            }
            self.flush()?;
            if !may_read {
                return Ok(());
            }
            match self.lines.fill(&mut ReadNow(&self.stream)) {
                Ok(0) => return Err(io::Error::other("it closed the connection")),
                Ok(_) => may_read = self.lines.has_filled() || to_the_end,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.out.len() || self.stream.owes() {
            match self.stream.write_now(&self.out[written..])? {
                0 => break,
                n => written += n,
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    pub(super) fn say_leave(&mut self) {
        let line = notification_line(method::LEAVE, Empty {});
        self.out.extend_from_slice(&line);
        let _ = self.flush();
    }

    /// Waits until the server has closed: only then the client has left for certain. The end
    /// that closes first has a port that rests for a minute, and this end has few.
    pub(super) fn wait_end(&self, deadline: Instant) {
        let mut sink = [0; 4 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_set = self.stream.set_read_timeout(Some(left));
            let more = is_set.and_then(|()| (&*self.stream).read(&mut sink));
            if left.is_zero() || !matches!(more, Ok(1..)) {
                return self.stream.close();
            }
        }
    }
}

impl Role {
    fn take(&mut self, line: &[u8], out: &mut Vec<u8>, now: Instant) -> io::Result<()> {
        let is_taken = match self {
            Role::Send(sender) => sender.take(line, now),
            Role::Execute(executor) => {
                let id = execute_from(line, executor.senders.as_bytes());
                id.inspect(|id| executor.answer.append(*id, out)).is_some()
            }
        };
        match is_taken || line.is_empty() {
            true => Ok(()),
            false => self.take_other(line, out, now),
        }
    }

    /// Takes a line that is not one of the usual ones.
    fn take_other(&mut self, line: &[u8], out: &mut Vec<u8>, now: Instant) -> io::Result<()> {
        let message = Message::parse(line).map_err(|e| io::Error::other(e.error.message))?;
        match (message, self) {
            (Message::Answer { id, body }, Role::Send(sender)) => {
                sender.answer(id.as_ref(), &body, now)?;
            }
            (Message::Request { id, method, .. }, _) => {
                out.extend_from_slice(&match &*method {
                    method::PING => result_line(&id, Empty {}),
                    method::EXECUTE => {
                        error_line(Some(id), &RpcError::new(Code::Refused, NOT_FOR_OTHERS))
                    }
                    _ => {
                        let why = "a bench knows no such method";
                        error_line(Some(id), &RpcError::new(Code::MethodNotFound, why))
                    }
                });
            }
            (
                Message::Notification {
                    method,
                    params: raw,
                },
                Role::Send(sender),
            ) if method == method::OUTCOME => {
                let outcome = params(raw).map_err(|e| io::Error::other(e.message))?;
                sender.outcome(&outcome, now);
            }
            (
                Message::Notification {
                    method,
                    params: raw,
                },
                _,
            ) if method == method::BYE => {
                let bye: Bye<'_> = params(raw).map_err(|e| io::Error::other(e.message))?;
                return Err(io::Error::other(bye.message.into_owned()));
            }
            _ => {}
        }
        Ok(())
    }
}

struct ReadNow<'a>(&'a Stream);

impl Read for ReadNow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(into)
    }
}
