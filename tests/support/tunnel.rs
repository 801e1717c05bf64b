//! A TLS client between a test and its server: the test's end is a plain socket, so that every
//! test of bare lines can be run over TLS as well. It shares no code with the project.
//!
//! `PECKING_TEST_CARRIER=tls` has servers encrypt and connections go through here.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::pki::SHARED;

/// Whether tests that do not care are to use TLS.
pub(crate) fn is_carrier() -> bool {
    std::env::var_os("PECKING_TEST_CARRIER").is_some_and(|carrier| carrier == "tls")
}

/// What a server needs for that.
pub(crate) fn server_options() -> [&'static str; 4] {
    let (_, pair) = &*SHARED;
    ["--cert", &pair.cert, "--key", &pair.key]
}

/// The file by which a client knows such a server.
pub(crate) fn ca() -> String {
    SHARED.0.ca()
}

/// Has the command line of a server of either program say that, unless it says otherwise or tests
/// do not use TLS.
pub(crate) fn encrypt(server: &mut Command) {
    let is_told = |word: &OsStr| word == "--cert" || word == "--plain";
    if is_carrier() && !server.get_args().any(is_told) {
        server.args(server_options());
    }
}

/// A plain end of a connection to a server that encrypts.
pub(crate) fn through(server: TcpStream) -> io::Result<TcpStream> {
    static CONFIG: LazyLock<Arc<ClientConfig>> =
        LazyLock::new(|| Arc::new(config(&SHARED.0.ca(), &[b"pecking-order/1"])));
    through_with(server, Arc::clone(&CONFIG))
}

/// [`through`], and it holds no more than about so many bytes that the test does not read.
pub(crate) fn through_narrow(server: TcpStream, bytes: usize) -> io::Result<TcpStream> {
    let near = through(server)?;
    sockopt::set_socket_recv_buffer_size(&near, bytes)?;
    Ok(near)
}

/// What a client needs that trusts an authority and names protocols.
pub(crate) fn config(ca: &str, alpn: &[&[u8]]) -> ClientConfig {
    use rustls::pki_types::pem::PemObject;
    let ca = rustls::pki_types::CertificateDer::from_pem_file(ca).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(ca).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    config
}

/// [`through`], with another configuration.
pub(crate) fn through_with(server: TcpStream, config: Arc<ClientConfig>) -> io::Result<TcpStream> {
    let name = "localhost".try_into().expect("a name");
    let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    // What the test does not read waits at the server, as without a tunnel.
    sockopt::set_socket_send_buffer_size(&far, REST)?;
    near.set_nodelay(true)?;
    addresses().insert(near.local_addr()?, server.local_addr()?);
    for end in [&far, &server] {
        end.set_nodelay(true)?;
        end.set_nonblocking(true)?;
    }
    let mut tunnel = Tunnel {
        session,
        far: Some(far),
        server,
        to_near: Vec::new(),
        to_session: Vec::new(),
        near_ended: false,
        server_ended: false,
    };
    // It ends with either of its sockets, at the latest with this process.
    std::thread::spawn(move || tunnel.run());
    Ok(near)
}

/// A connection with this address has no tunnel, though an earlier one may have had.
pub(crate) fn is_plain(own: SocketAddr) {
    addresses().remove(&own);
}

/// The address that the server sees, of a connection with this address at the test's end.
pub(crate) fn address_at_server(own: SocketAddr) -> SocketAddr {
    addresses().get(&own).copied().unwrap_or(own)
}

fn addresses() -> std::sync::MutexGuard<'static, HashMap<SocketAddr, SocketAddr>> {
    static ADDRESSES: LazyLock<Mutex<HashMap<SocketAddr, SocketAddr>>> =
        LazyLock::new(Mutex::default);
    ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Tunnel {
    session: ClientConnection,
    /// The other end of the test's socket; gone once nothing more comes for it.
    far: Option<TcpStream>,
    server: TcpStream,
    to_near: Vec<u8>,
    to_session: Vec<u8>,
    near_ended: bool,
    server_ended: bool,
}

/// Bytes that rest here at the most, in each direction.
const REST: usize = 16 << 10;

impl Tunnel {
    fn run(&mut self) {
        let result = self.pass();
        if result.is_err() {
            // What goes wrong on one side is the end of the other.
            let _ = self.server.shutdown(Shutdown::Both);
        }
    }

    fn pass(&mut self) -> io::Result<()> {
        while !(self.near_ended && self.server_ended) {
            self.wait()?;
            self.read_near()?;
            self.write_tls()?;
            self.read_server()?;
            self.write_near()?;
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let wants = |read: bool, write: bool| {
            let read = if read {
                PollFlags::IN
            } else {
                PollFlags::empty()
            };
            read | if write {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            }
        };
        let may_read = !self.near_ended && !self.session.is_handshaking();
        let reads_near = may_read && self.to_session.is_empty();
        let writes_near = !self.to_near.is_empty();
        let reads_server = !self.server_ended && self.to_near.len() < REST;
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.server.as_fd(),
            wants(reads_server, self.session.wants_write()),
        )];
        if let Some(far) = &self.far
            && (reads_near || writes_near)
        {
            let wanted = wants(reads_near, writes_near);
            fds.push(PollFd::from_borrowed_fd(far.as_fd(), wanted));
        }
        poll(&mut fds, None)?;
        Ok(())
    }

    fn read_near(&mut self) -> io::Result<()> {
        // What was said before the end of the handshake waits for that, the end of it as well.
        if self.session.is_handshaking() {
            return Ok(());
        }
        self.seal()?;
        let Some(far) = &mut self.far else {
            return Ok(());
        };
        if !self.near_ended && self.to_session.is_empty() {
            let mut bytes = vec![0; REST];
            match far.read(&mut bytes) {
                Ok(0) => {
                    self.near_ended = true;
                    self.session.send_close_notify();
                }
                Ok(n) => self.to_session = bytes[..n].to_vec(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        self.seal()
    }

    fn seal(&mut self) -> io::Result<()> {
        let taken = self.session.writer().write(&self.to_session)?;
        self.to_session.drain(..taken);
        Ok(())
    }

    fn write_tls(&mut self) -> io::Result<()> {
        loop {
            // What the session had no room for has some once the rest went: nothing else wakes this.
            self.seal()?;
            if !self.session.wants_write() {
                break;
            }
            match self.session.write_tls(&mut self.server) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        if self.near_ended && self.to_session.is_empty() {
            let _ = self.server.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn read_server(&mut self) -> io::Result<()> {
        if self.server_ended || self.to_near.len() >= REST {
            return Ok(());
        }
        match self.session.read_tls(&mut self.server) {
            Ok(0) => self.server_ended = true,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        let state = self
            .session
            .process_new_packets()
            .map_err(io::Error::other)?;
        self.server_ended |= state.peer_has_closed();
        let mut bytes = vec![0; state.plaintext_bytes_to_read()];
        self.session.reader().read_exact(&mut bytes)?;
        self.to_near.extend(bytes);
        Ok(())
    }

    fn write_near(&mut self) -> io::Result<()> {
        let Some(far) = &mut self.far else {
            return Ok(());
        };
        while !self.to_near.is_empty() {
            match far.write(&self.to_near) {
                Ok(n) => drop(self.to_near.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        if self.server_ended {
            let _ = far.shutdown(Shutdown::Write);
        }
        Ok(())
    }
}
