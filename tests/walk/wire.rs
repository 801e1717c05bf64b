//! One connection of a walk: a client of bare lines without a thread of its own, so that it
//! reads when it is told to, and not before.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::held::reset;
use crate::support::{checked, try_dial};

/// What a client that does not read takes before its server has to wait, besides what the
/// server's own system takes: little, and more than the largest segment of loopback, below which
/// systems wait for more.
const SMALL_BUFFER: usize = 128 << 10;

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// The address that the server sees.
    pub(crate) address: SocketAddr,
    /// Lines that were written.
    pub(crate) sent: u64,
    patience: Duration,
    buffer: Vec<u8>,
    /// How much of it was looked at, without a `\n`.
    scanned: usize,
    lines: VecDeque<Value>,
}

impl Wire {
    /// Connects. Whatever is waited for has this long to come.
    pub(crate) fn connect(address: SocketAddr, patience: Duration) -> std::io::Result<Wire> {
        let stream = try_dial(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, SMALL_BUFFER)?;
        Ok(Wire {
            address: stream.local_addr()?,
            stream,
            sent: 0,
            patience,
            buffer: Vec::new(),
            scanned: 0,
            lines: VecDeque::new(),
        })
    }

    /// Writes lines, perhaps without the end of the last one.
    pub(crate) fn write(&mut self, lines: &str) -> Result<(), String> {
        self.sent += lines.matches('\n').count() as u64;
        let written = self.stream.write_all(lines.as_bytes());
        written.map_err(|e| format!("cannot write: {e}"))
    }

    /// The next message; none at the connection's end.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, String> {
        let deadline = Instant::now() + self.patience;
        while self.lines.is_empty() {
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(n) => self.take(&piece[..n])?,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(format!("nothing more came in {:?} ({e})", self.patience)),
            }
            if self.lines.is_empty() && Instant::now() >= deadline {
                return Err("a line does not end".into());
            }
        }
        Ok(self.lines.pop_front())
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        self.buffer.extend_from_slice(piece);
        if !piece.contains(&b'\n') {
            self.scanned = self.buffer.len();
            return Ok(());
        }
        let mut start = 0;
        while let Some(at) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') {
            let end = self.scanned + at + 1;
            self.lines.push_back(checked(&self.buffer[start..end])?);
            (start, self.scanned) = (end, end);
        }
        self.buffer.drain(..start);
        self.scanned = self.buffer.len();
        Ok(())
    }

    /// Closes the sending half.
    pub(crate) fn close_sending(&self) {
        // The server may have been quicker; either way it is closed afterwards.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Breaks the connection off with a reset instead of a regular end.
    pub(crate) fn reset(&self) {
        reset(&self.stream);
    }
}
