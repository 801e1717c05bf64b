//! The handshake: from a connection that carries nothing to one that carries what is encrypted.
//!
//! A client does all of it on the thread that dials. At a server the thread of the connection
//! waits for the bytes, and other threads calculate: what a handshake needs of the stack would
//! stay with the connection's thread for as long as that lives.

use super::{ALPN, Tls};
use crate::net::TLS_FIRST_BYTE;
use crate::net::stream::Stream;
use rustls::client::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConfig, Connection, ServerConfig};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that are received at a time in a handshake: a flight of most peers fits, and what comes
/// behind it stays below what a session takes of plaintext that was not read.
const FLIGHT: usize = 4 << 10;

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
        unread = taken.map_err(|e| {
            // It may be told why; that it is not trusted matters more than whether it hears that.
            let _ = send(stream, &mut session, deadline);
            e
        })?;
    }
    finish(stream, session, unread)
}

/// The rest of a connection whose handshake is over: it must be of this protocol.
fn finish(stream: &Stream, session: Box<Connection>, unread: usize) -> Result<(), HandshakeError> {
    let is_ours = session.alpn_protocol() == Some(ALPN);
    stream.encrypt(Tls::new(session, unread > 0));
    match is_ours {
        true => Ok(()),
        false => Err(HandshakeError::NoAlpn),
    }
}

/// Sends what a session has to say.
fn send(stream: &Stream, session: &mut Connection, until: Instant) -> Result<(), HandshakeError> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes)?;
    }
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

/// What a server has heard of a client before it calculates anything.
pub struct Hello(Accepted);

impl Hello {
    /// Receives a client's whole ClientHello.
    ///
    /// # Errors
    /// What came is none; the client was told so.
    pub fn receive(stream: &Stream) -> Result<Hello, HandshakeError> {
        let mut acceptor = Acceptor::default();
        let mut total = 0;
        loop {
            let mut flight = [0; FLIGHT];
            let received = receive(stream, &mut flight)?;
            if total == 0 && flight[0] != TLS_FIRST_BYTE {
                return Err(HandshakeError::NotTls);
            }
            total += received;
            let mut bytes = &flight[..received];
            while !bytes.is_empty() {
                acceptor.read_tls(&mut bytes)?;
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Hello(accepted)),
                Ok(None) if total < MAX_HELLO => {}
                Ok(None) => return Err(too_long()),
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    alert.write_all(&mut bytes)?;
                    let _ = stream.raw()?.send_now(&bytes);
                    return Err(HandshakeError::Tls(error));
                }
            }
        }
    }

    /// Whether the client names this protocol.
    pub fn names_protocol(&self) -> bool {
        let hello = self.0.client_hello();
        hello
            .alpn()
            .is_some_and(|mut all| all.any(|one| one == ALPN))
    }

    /// Calculates the server's answer, which is the most expensive step.
    ///
    /// # Errors
    /// The two have no version, cipher or protocol in common. What is to be told is in the error.
    pub fn answer(self, config: Arc<ServerConfig>) -> Result<Answered, Told> {
        match self.0.into_connection(config) {
            Ok(session) => Ok(Answered::new(session.into())),
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                let _ = alert.write_all(&mut bytes);
                Err(Told { error, bytes })
            }
        }
    }
}

/// Why a handshake failed, and what the peer is to be told.
#[derive(Debug)]
pub struct Told {
    error: rustls::Error,
    bytes: Vec<u8>,
}

impl Told {
    /// Tells the peer as far as the socket takes it at once.
    pub fn tell(self, stream: &Stream) -> HandshakeError {
        if let Ok(raw) = stream.raw() {
            let _ = raw.send_now(&self.bytes);
        }
        HandshakeError::Tls(self.error)
    }
}

/// A server's side of a handshake from its answer on.
pub struct Answered {
    session: Box<Connection>,
    out: Vec<u8>,
    unread: usize,
}

impl Answered {
    fn new(session: Connection) -> Answered {
        let mut answered = Answered {
            session: Box::new(session),
            out: Vec::new(),
            unread: 0,
        };
        answered.collect();
        answered
    }

    fn collect(&mut self) {
        while self.session.wants_write() {
            // Memory takes everything.
            let _ = self.session.write_tls(&mut self.out);
        }
    }

    /// Sends what is calculated, and receives the client's next words, if any are due.
    ///
    /// # Errors
    /// The connection ended.
    pub fn exchange(&mut self, stream: &Stream) -> Result<Option<Vec<u8>>, HandshakeError> {
        let out = std::mem::take(&mut self.out);
        send_all(stream, &out, Instant::now() + WRITE_PATIENCE)?;
        if !self.session.is_handshaking() {
            return Ok(None);
        }
        let mut flight = vec![0; FLIGHT];
        let received = receive(stream, &mut flight)?;
        flight.truncate(received);
        Ok(Some(flight))
    }

    /// Calculates the next step from what the client said.
    ///
    /// # Errors
    /// The client's certificate or anything else of what it said is wrong.
    pub fn take(mut self, bytes: &[u8]) -> Result<Answered, Told> {
        match take(&mut self.session, bytes) {
            Ok(unread) => self.unread = unread,
            Err(error) => {
                self.collect();
                let error = match error {
                    HandshakeError::Tls(error) => error,
                    other => rustls::Error::General(other.to_string()),
                };
                let bytes = self.out;
                return Err(Told { error, bytes });
            }
        }
        self.collect();
        Ok(self)
    }

    /// The certificate that the client has shown, if it has.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.peer_certificates()?.first()
    }

    /// Encrypts the stream from now on.
    ///
    /// # Errors
    /// The client did not name this protocol.
    pub fn finish(self, stream: &Stream) -> Result<(), HandshakeError> {
        finish(stream, self.session, self.unread)
    }
}

fn too_long() -> HandshakeError {
    let why = format!("a ClientHello of more than {MAX_HELLO} bytes");
    HandshakeError::Tls(rustls::Error::General(why))
}
