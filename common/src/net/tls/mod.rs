//! Encryption of one connection: TLS 1.3 by `rustls`, and nothing older.
//!
//! The session is the only state that both directions share, so it stands behind a lock, and no
//! thread makes a system call while it has that lock: a reader decrypts what it has read before,
//! a writer encrypts into a buffer and sends that afterwards. What is encrypted and not yet sent
//! belongs to the thread with the writer's role. So two peers that write at the same time and
//! have both of their sockets full never wait for each other's lock.
//!
//! Nothing here names a socket: reading and writing come as functions. There are no session
//! tickets and no early data: a replay would run a command twice.

pub mod certificate;
pub mod files;
pub mod handshake;
pub mod pin;
#[cfg(test)]
pub(in crate::net) mod testing;
#[cfg(test)]
mod tests;

use crate::net::Written;
use crate::net::scratch::{self, BATCH};
use crate::sys::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::sync::{Mutex, lock, role};
use rustls::Connection;
use rustls::crypto::{CryptoProvider, ring};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// What both ends must name in the handshake (ALPN, RFC 7301): so no other protocol's client or
/// server is ever taken for one of this.
pub const ALPN: &[u8] = b"pecking-order/1";

/// Bytes that are encrypted at a time: a record of the largest size (RFC 8446 §5.1), so that a
/// reader of the same connection need not sleep until it has its turn.
const SEAL_STEP: usize = 16 << 10;

/// Bytes that are encrypted for one system call: those of a batch, and of the line that ends it.
const SEAL_MOST: usize = BATCH + BATCH / 2;

/// Bytes that encryption adds to them: 22 for each record (RFC 8446 §5.2), and words of the session's
/// own.
const SEAL_MORE: usize = 1 << 10;

/// The cryptography that both ends use. AES-128 comes first: the one cipher suite that each
/// implementation of TLS 1.3 has (RFC 8446 §9.1), and an eighth faster than AES-256.
pub fn provider() -> Arc<CryptoProvider> {
    use ring::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring::default_provider()
    })
}

/// An encrypted connection after its handshake.
#[derive(Debug)]
pub(super) struct Tls {
    session: Mutex<Box<Connection>>,
    /// Something is encrypted, or an alert waits to be, that the socket has not taken.
    owes: AtomicBool,
    /// Something is decrypted that was not read.
    has_plaintext: AtomicBool,
    /// The thread that writes has it as its role.
    sealed: Mutex<Sealed>,
    /// Bytes of memory that it keeps.
    kept: AtomicUsize,
}

/// What is encrypted and was not sent.
#[derive(Debug, Default)]
struct Sealed {
    bytes: Vec<u8>,
    sent: usize,
}

impl Sealed {
    /// Sends what the socket takes at once; how much that was.
    fn send(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
        let before = self.sent;
        while self.sent < self.bytes.len() {
            match send(&self.bytes[self.sent..])? {
                0 => break,
                n => self.sent += n,
            }
        }
        let sent = self.sent - before;
        if self.is_empty() {
            self.sent = 0;
            scratch::give(std::mem::take(&mut self.bytes));
        } else if self.bytes.capacity() > 2 * self.bytes.len() {
            // It may be kept for long.
            self.bytes.shrink_to_fit();
        }
        Ok(sent)
    }

    /// Has a buffer for so many bytes once they are encrypted. One that doubles may be half empty.
    fn reserve(&mut self, length: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes = scratch::take();
        }
        self.bytes.reserve_exact(length + SEAL_MORE);
    }

    fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }
}

/// Takes what a session has to say.
fn take_said(session: &mut Connection, into: &mut Vec<u8>) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(into)?;
    }
    Ok(())
}

impl Tls {
    /// A session after its handshake, and what it has already encrypted.
    pub(super) fn new(session: Box<Connection>, has_plaintext: bool) -> Tls {
        Tls {
            owes: AtomicBool::new(session.wants_write()),
            has_plaintext: AtomicBool::new(has_plaintext),
            session: Mutex::new(session),
            sealed: Mutex::default(),
            kept: AtomicUsize::new(0),
        }
    }

    /// Whether something waits to be sent that is not among the caller's bytes any more.
    pub(super) fn owes(&self) -> bool {
        self.owes.load(Ordering::Acquire)
    }

    /// Whether something was decrypted that was not read.
    pub(super) fn has_plaintext(&self) -> bool {
        self.has_plaintext.load(Ordering::Acquire)
    }

    /// Bytes of memory in which something waits that is encrypted and was not sent.
    pub(super) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Lets go of that: nothing is sent any more.
    pub(super) fn discard(&self) {
        let mut sealed = role(&self.sealed);
        *sealed = Sealed::default();
        self.count(&sealed);
    }

    fn count(&self, sealed: &Sealed) {
        self.kept.store(sealed.bytes.capacity(), Ordering::Relaxed);
    }

    /// Encrypts and sends what the socket takes at once, what was encrypted before first.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<Written> {
        let mut sealed = role(&self.sealed);
        let written = self.seal_and_send(&mut sealed, bytes, send);
        self.count(&sealed);
        written
    }

    fn seal_and_send(
        &self,
        sealed: &mut Sealed,
        bytes: &[u8],
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<Written> {
        let mut written = Written {
            taken: 0,
            sent: sealed.send(&mut send)?,
        };
        if sealed.is_empty() {
            let taken = self.seal_all(sealed, bytes);
            written.sent += self.send(sealed, &mut send)?;
            // Only now: if the peer has broken the connection, it was told so.
            written.taken = taken?;
        }
        Ok(written)
    }

    /// Encrypts what goes with one system call; how much of the bytes that is.
    fn seal_all(&self, sealed: &mut Sealed, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(SEAL_MOST)];
        sealed.reserve(bytes.len());
        let mut taken = 0;
        loop {
            let piece = &bytes[taken..bytes.len().min(taken + SEAL_STEP)];
            let step = self.seal(sealed, |session| session.writer().write(piece))?;
            taken += step;
            if step == 0 || taken == bytes.len() {
                return Ok(taken);
            }
        }
    }

    /// Sends what is encrypted, and after it that nothing more follows; says whether all of it
    /// went.
    pub(super) fn write_end(
        &self,
        send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut sealed = role(&self.sealed);
        let ended = self.end_and_send(&mut sealed, send);
        self.count(&sealed);
        ended
    }

    fn end_and_send(
        &self,
        sealed: &mut Sealed,
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        sealed.send(&mut send)?;
        if sealed.is_empty() {
            sealed.reserve(0);
            self.seal(sealed, |session| {
                // An answer to a key update goes before any other record.
                let _ = session.writer().write(&[]);
                session.send_close_notify();
                Ok(())
            })?;
            self.send(sealed, &mut send)?;
        }
        Ok(sealed.is_empty())
    }

    /// Sends what was just encrypted.
    fn send(
        &self,
        sealed: &mut Sealed,
        send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let sent = sealed.send(send)?;
        if !sealed.is_empty() {
            self.owes.store(true, Ordering::Release);
        }
        Ok(sent)
    }

    /// Has the session encrypt something, and takes along what else it has to say.
    fn seal<T>(
        &self,
        sealed: &mut Sealed,
        encrypt: impl FnOnce(&mut Connection) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut session = lock(&self.session);
        let done = encrypt(&mut session);
        take_said(&mut session, &mut sealed.bytes)?;
        // With the lock, so that a reader that finds more to say afterwards is not overlooked.
        self.owes.store(false, Ordering::Release);
        done
    }

    /// Reads what was sent, which may take several calls of `receive`: a record counts once it is
    /// whole. `Ok(0)` is the end, with a word of the peer's or without.
    ///
    /// What is received lands in the caller's buffer and is decrypted from there. What a record
    /// says is shorter than the record, so it never gets in the way of what follows; and the
    /// session holds no more than one record, whose plaintext stays within its bound.
    pub(super) fn read(
        &self,
        into: &mut [u8],
        mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        match self.take_plaintext(into) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            result => return result,
        }
        loop {
            let received = receive(into)?;
            if received == 0 {
                return Ok(0);
            }
            match self.open(into, received)? {
                (0, false) => {}
                (read, _) => return Ok(read),
            }
        }
    }

    fn take_plaintext(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut session = lock(&self.session);
        let result = session.reader().read(into);
        let is_full = matches!(result, Ok(n) if n == into.len());
        self.has_plaintext.store(is_full, Ordering::Release);
        result
    }

    /// Decrypts the first bytes of a buffer in place: how much they say, and whether the peer
    /// says nothing more.
    fn open(&self, buffer: &mut [u8], received: usize) -> io::Result<(usize, bool)> {
        let (mut opened, mut read) = (0, 0);
        while opened < received {
            // One step at a time: a writer may have its turn in between.
            let mut session = lock(&self.session);
            let step = session.read_tls(&mut &buffer[opened..received])?;
            if step == 0 {
                return Ok((read, true));
            }
            opened += step;
            let state = session.process_new_packets().map_err(|e| {
                self.owes.store(session.wants_write(), Ordering::Release);
                io::Error::new(ErrorKind::InvalidData, e)
            })?;
            let mut waiting = state.plaintext_bytes_to_read();
            if waiting > 0 {
                let free = if opened == received {
                    buffer.len()
                } else {
                    opened
                };
                let taken = session.reader().read(&mut buffer[read..free])?;
                read += taken;
                waiting -= taken;
            }
            self.has_plaintext.store(waiting > 0, Ordering::Release);
            if state.tls_bytes_to_write() > 0 {
                self.owes.store(true, Ordering::Release);
            }
            if state.peer_has_closed() {
                return Ok((read, true));
            }
        }
        Ok((read, false))
    }

    /// Encrypts with new keys from now on, and asks the peer for the same.
    #[cfg(test)]
    pub(super) fn refresh_keys(&self) {
        let mut session = lock(&self.session);
        session
            .refresh_traffic_keys()
            .expect("TLS 1.3 after its handshake");
        self.owes.store(true, Ordering::Release);
    }
}
