//! One connection that has joined, and is never waited for.

use crate::config::{Config, ConnectError};
use crate::connection::handshake::{self, Handshake};
use common::net::line_reader::LineReader;
use common::net::stream::Stream;
use common::sys::sync::Arc;
use common::wire::message::notification_line;
use common::wire::{Empty, Joined, method};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

/// Why a connection is over.
#[derive(Debug)]
pub(super) struct ConnectionLost(pub(super) String);

/// One connection that has joined.
pub(super) struct Endpoint {
    stream: Arc<Stream>,
    lines: LineReader,
    /// What is to be written.
    pub(super) out: Vec<u8>,
    pub(super) joined: Joined,
}

impl Endpoint {
    /// Dials and joins; the only thing here that takes its time.
    pub(super) fn join(
        config: &Config,
        name: String,
        slots: u32,
    ) -> Result<Endpoint, ConnectError> {
        let Handshake {
            stream,
            lines,
            joined,
            ..
        } = handshake::join(&Config {
            name: Some(name),
            slots,
            ..config.clone()
        })?;
        Ok(Endpoint {
            stream,
            lines,
            out: Vec::new(),
            joined,
        })
    }

    /// Has a poller tell when there is something to read, or room to write again.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let descriptor = self.stream.descriptor()?;
        let fd = descriptor.as_fd().as_raw_fd();
        registry.register(
            &mut SourceFd(&fd),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Hands on every line that is here, and where to put what is to be written.
    pub(super) fn take_lines(
        &mut self,
        mut take: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Result<(), ConnectionLost> {
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => take(line, &mut self.out),
                Ok(None) => return Ok(()),
                Err(e) => return Err(ConnectionLost(e.to_string())),
            }
        }
    }

    /// Reads once; whether there may be more, `None` where there was nothing.
    pub(super) fn read(&mut self) -> Result<Option<bool>, ConnectionLost> {
        let mut reading = ReadNow {
            stream: &self.stream,
            filled: false,
        };
        match self.lines.fill(&mut reading) {
            Ok(0) => Err(ConnectionLost("it closed the connection".into())),
            Ok(_) => Ok(Some(reading.filled)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(ConnectionLost(e.to_string())),
        }
    }

    /// Writes as much as the system takes.
    pub(super) fn flush(&mut self) -> Result<(), ConnectionLost> {
        let mut written = 0;
        while written < self.out.len() || self.stream.owes() {
            match self.stream.write_now(&self.out[written..]) {
                Ok(0) => break,
                Ok(n) => written += n,
                Err(e) => return Err(ConnectionLost(e.to_string())),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    /// Says that it leaves.
    pub(super) fn say_leave(&mut self) {
        self.out
            .extend_from_slice(&notification_line(method::LEAVE, Empty {}));
        let _ = self.flush();
    }

    /// Waits until the server has closed: only then it is sure to have left. Which end closes
    /// first also says whose port rests for a minute, and those of this end are few.
    pub(super) fn wait_end(&self, deadline: Instant) {
        let mut sink = [0; 4 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let more = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| (&*self.stream).read(&mut sink));
            if left.is_zero() || !matches!(more, Ok(1..)) {
                break;
            }
        }
        self.stream.close();
    }
}

/// Reads what is here, and notes whether that was as much as there was room for.
struct ReadNow<'a> {
    stream: &'a Stream,
    filled: bool,
}

impl Read for ReadNow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read_now(into)?;
        // What is decrypted says nothing about what the system has left.
        self.filled = n == into.len() || self.stream.is_encrypted();
        Ok(n)
    }
}
