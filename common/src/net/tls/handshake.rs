//! The handshake: from a connection that carries nothing to one that carries what is encrypted.
//!
//! A client does all of it on the thread that dials. At a server the thread of the connection
//! waits for the bytes, and other threads calculate: what a handshake needs of the stack would
//! stay with the connection's thread for as long as that lives.

use super::{ALPN, Tls, take_said};
use crate::net::TLS_FIRST_BYTE;
use crate::net::stream::Stream;
use rustls::client::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::{ClientConfig, Connection, ServerConfig};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that are received at a time in a handshake: a flight of most peers fits, and what comes
/// behind it stays below what a session takes of plaintext that was not read.
const FLIGHT: usize = 2 << 10;

/// Bytes before the contents of a record.
const HEADER: usize = 5;

/// Bytes of a ClientHello, with its records around it: the longest that this protocol knows of
/// before `join`.
pub const MAX_HELLO: usize = crate::limits::MAX_LINE_BEFORE_JOIN;

/// How long one write of a handshake waits for the socket; the caller's deadline ends it earlier.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The connection ended, or its time did.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer closed before the end of the handshake.
    #[error("the connection ended within the TLS handshake")]
    Closed,
    /// The peer does not begin with TLS.
    #[error("it does not begin with TLS")]
    NotTls,
    /// One end does not accept what the other one said.
    #[error("{0}")]
    Tls(rustls::Error),
    /// The peer speaks TLS, and not for this protocol.
    #[error(
        "it does not name the protocol {:?} (ALPN)",
        String::from_utf8_lossy(ALPN)
    )]
    NoAlpn,
}

/// Encrypts an undecided stream as its client, until a time.
///
/// # Errors
/// The server is not trusted, does not speak TLS or this protocol, or does not answer in time.
pub fn connect(
    stream: &Stream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    deadline: Instant,
) -> Result<(), HandshakeError> {
    let session = ClientConnection::new(config, name).map_err(HandshakeError::Tls)?;
    let mut session = Box::new(Connection::from(session));
    let mut unread = 0;
    loop {
        send(stream, &mut session, deadline)?;
        if !session.is_handshaking() {
            break;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(ErrorKind::TimedOut).into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut flight = [0; FLIGHT];
        let received = receive(stream, &mut flight)?;
        let taken = take(&mut session, &flight[..received]);
        if taken.is_err() {
            // It is told why, if it listens.
            let _ = send(stream, &mut session, deadline);
        }
        unread = taken?;
    }
    finish(stream, session, unread, |named| named == Some(ALPN))
}

/// The rest of a connection whose handshake is over: it must be of this protocol.
fn finish(
    stream: &Stream,
    session: Box<Connection>,
    unread: usize,
    is_ours: impl FnOnce(Option<&[u8]>) -> bool,
) -> Result<(), HandshakeError> {
    let is_ours = is_ours(session.alpn_protocol());
    stream.encrypt(Tls::new(session, unread > 0));
    match is_ours {
        true => Ok(()),
        false => Err(HandshakeError::NoAlpn),
    }
}

/// Sends what a session has to say.
fn send(stream: &Stream, session: &mut Connection, until: Instant) -> Result<(), HandshakeError> {
    let mut bytes = Vec::new();
    take_said(session, &mut bytes)?;
    send_all(stream, &bytes, until)
}

fn send_all(stream: &Stream, mut bytes: &[u8], until: Instant) -> Result<(), HandshakeError> {
    let raw = stream.raw()?;
    while !bytes.is_empty() {
        match raw.send_now(bytes)? {
            0 => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() || !stream.wait_writable(left)? {
                    return Err(io::Error::from(ErrorKind::TimedOut).into());
                }
            }
            sent => bytes = &bytes[sent..],
        }
    }
    Ok(())
}

fn receive(stream: &Stream, into: &mut [u8]) -> Result<usize, HandshakeError> {
    match stream.raw()?.receive(into)? {
        0 => Err(HandshakeError::Closed),
        received => Ok(received),
    }
}

/// Has a session take what was received; how much plaintext it has then.
fn take(session: &mut Connection, mut bytes: &[u8]) -> Result<usize, HandshakeError> {
    let mut unread = 0;
    while !bytes.is_empty() {
        if session.read_tls(&mut bytes)? == 0 {
            // The peer has said that nothing more follows.
            break;
        }
        let state = session.process_new_packets().map_err(HandshakeError::Tls)?;
        unread = state.plaintext_bytes_to_read();
    }
    Ok(unread)
}

/// The records that a client of a server says next, whole ones only: the thread that calculates with them
/// is not called for each byte of a client that lets them drip.
///
/// # Errors
/// The connection ended, or does not begin with TLS.
pub fn receive_records(stream: &Stream, is_first: bool) -> Result<Vec<u8>, HandshakeError> {
    let raw = stream.raw()?;
    let mut bytes = vec![0; FLIGHT];
    let mut end = 0;
    loop {
        match raw.receive(&mut bytes[end..])? {
            0 => return Err(HandshakeError::Closed),
            received => end += received,
        }
        if is_first && bytes[0] != TLS_FIRST_BYTE {
            return Err(HandshakeError::NotTls);
        }
        let missing = missing(&bytes[..end]);
        if missing == 0 {
            bytes.truncate(end);
            return Ok(bytes);
        }
        bytes.resize(bytes.len().max(end + missing), 0);
    }
}

/// How many bytes are missing to the end of a record.
fn missing(mut bytes: &[u8]) -> usize {
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        match rest.get(length..) {
            Some(next) => bytes = next,
            None => return length - rest.len(),
        }
    }
    match bytes {
        [] => 0,
        part => HEADER - part.len(),
    }
}

/// Whether the first records that a client says are a whole ClientHello that names this protocol,
/// as far as that shows without a look at everything in it.
pub fn is_hello(records: &[u8]) -> bool {
    // A record of the handshake (RFC 8446 §5.1), and a message in it (§4): type and length.
    const CLIENT_HELLO: u8 = 1;
    let [
        TLS_FIRST_BYTE,
        _,
        _,
        _,
        _,
        CLIENT_HELLO,
        a,
        b,
        c,
        hello @ ..,
    ] = records
    else {
        return false;
    };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    let names = |hello: &[u8]| hello.windows(ALPN.len()).any(|part| part == ALPN);
    hello.get(..length).is_some_and(names)
}

/// A server's side of a handshake: what it calculates, apart from the socket.
#[derive(Default)]
pub struct Handshake {
    stage: Stage,
    /// What is to be sent.
    out: Vec<u8>,
    received: usize,
    unread: usize,
}

/// The thread of a connection holds one as well, so it is small.
#[derive(Default)]
enum Stage {
    #[default]
    New,
    Hello(Box<Acceptor>),
    Session(Box<Connection>),
    /// It has failed.
    Over,
}

impl Handshake {
    /// Takes what the client says next, and calculates the answer.
    ///
    /// # Errors
    /// The client's hello, its certificate or anything else of that is wrong; what the client is
    /// to be told is in [`send`](Self::send).
    pub fn take(&mut self, bytes: &[u8], config: &Arc<ServerConfig>) -> Result<(), HandshakeError> {
        self.out = Vec::new();
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New => self.hear(Box::default(), bytes, config)?,
            Stage::Hello(acceptor) => self.hear(acceptor, bytes, config)?,
            Stage::Session(mut session) => {
                let taken = take(&mut session, bytes);
                self.collect(&mut session);
                self.unread = taken?;
                Stage::Session(session)
            }
            Stage::Over => return Err(HandshakeError::Closed),
        };
        Ok(())
    }

    /// Takes more of a ClientHello. The answer to it is the most expensive step.
    fn hear(
        &mut self,
        mut acceptor: Box<Acceptor>,
        mut bytes: &[u8],
        config: &Arc<ServerConfig>,
    ) -> Result<Stage, HandshakeError> {
        self.received += bytes.len();
        while !bytes.is_empty() {
            acceptor.read_tls(&mut bytes)?;
        }
        let answered = match acceptor.accept() {
            Ok(Some(accepted)) => accepted.into_connection(Arc::clone(config)),
            Ok(None) if self.received < MAX_HELLO => return Ok(Stage::Hello(acceptor)),
            Ok(None) => return Err(too_long()),
            Err(wrong) => Err(wrong),
        };
        match answered {
            Ok(session) => {
                let mut session = Box::new(Connection::from(session));
                self.collect(&mut session);
                Ok(Stage::Session(session))
            }
            Err((error, mut alert)) => {
                alert.write_all(&mut self.out)?;
                Err(HandshakeError::Tls(error))
            }
        }
    }

    fn collect(&mut self, session: &mut Connection) {
        // Memory takes everything.
        let _ = take_said(session, &mut self.out);
    }

    /// Sends what was calculated.
    ///
    /// # Errors
    /// The connection ended.
    pub fn send(&mut self, stream: &Stream) -> Result<(), HandshakeError> {
        send_all(stream, &self.out, Instant::now() + WRITE_PATIENCE)?;
        // Its memory goes back where it was taken: another thread would keep it for itself.
        self.out.clear();
        Ok(())
    }

    /// Whether the client has to say more.
    pub fn goes_on(&self) -> bool {
        match &self.stage {
            Stage::New | Stage::Hello(_) => true,
            Stage::Session(session) => session.is_handshaking(),
            Stage::Over => false,
        }
    }

    /// The certificate that the client has shown, if it has.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.stage {
            Stage::Session(session) => session.peer_certificates()?.first(),
            _ => None,
        }
    }

    /// Encrypts the stream from now on. `is_ours` is given the protocol that the client has named.
    ///
    /// # Errors
    /// That is not one of the caller's.
    pub fn finish(
        self,
        stream: &Stream,
        is_ours: impl FnOnce(Option<&[u8]>) -> bool,
    ) -> Result<(), HandshakeError> {
        match self.stage {
            Stage::Session(session) => finish(stream, session, self.unread, is_ours),
            _ => Err(HandshakeError::Closed),
        }
    }
}

fn too_long() -> HandshakeError {
    let why = format!("a ClientHello of more than {MAX_HELLO} bytes");
    HandshakeError::Tls(rustls::Error::General(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_hello_that_names_the_protocol_is_known() {
        let length = ALPN.len() as u8;
        let hello = [&[22, 3, 1, 0, 4 + length, 1, 0, 0, length][..], ALPN].concat();
        assert!(is_hello(&hello));
        let changed = |at: usize, to: u8| {
            let mut changed = hello.clone();
            changed[at] = to;
            changed
        };
        for wrong in [
            hello[..hello.len() - 1].to_vec(),
            changed(0, 23),
            changed(5, 2),
            changed(6, 1),
            changed(8, length + 1),
            changed(8, length - 1),
            changed(9, b'P'),
            Vec::new(),
        ] {
            assert!(!is_hello(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_missing_to_whole_records_is_known() {
        let records = [
            &[22, 3, 1, 0, 2, 1, 2][..],
            &[23, 3, 3, 0, 0],
            &[21, 3, 3, 1, 0],
        ]
        .concat();
        for (length, expected) in [
            (0, 0),
            (1, 4),
            (4, 1),
            (5, 2),
            (6, 1),
            (7, 0),
            (8, 4),
            (12, 0),
            (16, 1),
            (17, 256),
        ] {
            assert_eq!(missing(&records[..length]), expected, "{length}");
        }
    }
}
