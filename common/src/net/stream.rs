//! One connection, plain or encrypted, the only module that names `TcpStream`. Reads block; writes
//! never do, so that no thread waits for the peer of another one.
//!
//! A stream that is to be encrypted carries nothing before its handshake: all that is written to
//! it then is an error, so that no line goes out in the clear by mistake.

use crate::net::Written;
use crate::net::tls::Tls;
use crate::sys::sync::atomic::{AtomicBool, Ordering};
use crate::sys::sync::{Arc, Mutex, leaf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// One connection. Its descriptor goes with [`close`](Self::close), even if other threads still
/// hold the stream, and another connection can take its place ([`adopt`](Self::adopt)).
#[derive(Debug)]
pub struct Stream {
    link: Mutex<Link>,
    /// For a look without the lock.
    is_encrypted: AtomicBool,
}

#[derive(Clone, Debug)]
struct Link {
    /// Until it is closed.
    socket: Option<Arc<TcpStream>>,
    peer: SocketAddr,
    /// How it carries bytes, once that is decided.
    carrier: Option<Carrier>,
}

#[derive(Clone, Debug)]
enum Carrier {
    Plain,
    Tls(Arc<Tls>),
}

impl Stream {
    /// Dials a server, address by address of its name, within a time.
    ///
    /// # Errors
    /// The last address's, or that the name has none.
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Stream> {
        let deadline = Instant::now() + timeout;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now());
            match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
                Ok(socket) => return Stream::new(socket, address),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    pub(super) fn new(socket: TcpStream, peer: SocketAddr) -> io::Result<Stream> {
        // Lines are written whole; waiting for more (Nagle, RFC 896) only delays them.
        socket.set_nodelay(true)?;
        let socket = Some(Arc::new(socket));
        Ok(Stream::of(socket, peer, Some(Carrier::Plain), false))
    }

    fn of(
        socket: Option<Arc<TcpStream>>,
        peer: SocketAddr,
        carrier: Option<Carrier>,
        is_encrypted: bool,
    ) -> Stream {
        let link = Link {
            socket,
            peer,
            carrier,
        };
        Stream {
            link: Mutex::new(link),
            is_encrypted: AtomicBool::new(is_encrypted),
        }
    }

    /// One that has ended, and was to this peer.
    pub fn closed(peer: SocketAddr) -> Stream {
        Stream::of(None, peer, Some(Carrier::Plain), false)
    }

    /// From now on it is the connection of another stream, which has none any more. What is read
    /// and written at this moment still goes over the one before, whose descriptor goes after that.
    pub fn adopt(&self, other: &Stream) {
        let mut link = leaf(&other.link).clone();
        drop(leaf(&other.link).socket.take());
        let is_encrypted = matches!(link.carrier, Some(Carrier::Tls(_)));
        std::mem::swap(&mut *leaf(&self.link), &mut link);
        self.is_encrypted.store(is_encrypted, Ordering::Release);
    }

    /// A stream that has ended, with the address of this one, and encrypted if this one is: for what is
    /// said of a connection after its end.
    #[must_use]
    pub fn past(&self) -> Stream {
        Stream::of(None, self.peer(), None, self.is_encrypted())
    }

    /// The same connection, which carries nothing before a TLS handshake or
    /// [`stay_plain`](Self::stay_plain).
    pub fn undecided(self) -> Stream {
        leaf(&self.link).carrier = None;
        self
    }

    /// From now on it carries what a session encrypts, if that was not decided before.
    pub(super) fn encrypt(&self, tls: Tls) {
        let mut link = leaf(&self.link);
        if link.carrier.is_none() {
            link.carrier = Some(Carrier::Tls(Arc::new(tls)));
            self.is_encrypted.store(true, Ordering::Release);
        }
    }

    /// It carries everything in the clear, if that was not decided before.
    pub fn stay_plain(&self) {
        leaf(&self.link).carrier.get_or_insert(Carrier::Plain);
    }

    /// Whether what it carries is encrypted.
    #[inline]
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted.load(Ordering::Acquire)
    }

    /// What encrypts it, if something does.
    #[inline]
    fn tls(&self) -> Option<Arc<Tls>> {
        if !self.is_encrypted() {
            return None;
        }
        match &leaf(&self.link).carrier {
            Some(Carrier::Tls(tls)) => Some(Arc::clone(tls)),
            _ => None,
        }
    }

    /// Changes its keys.
    #[cfg(test)]
    pub(super) fn refresh_keys(&self) {
        self.tls().expect("it is encrypted").refresh_keys();
    }

    /// The socket, and how it carries bytes.
    fn ends(&self) -> io::Result<(Raw, Carrier)> {
        let not_yet = || io::Error::new(io::ErrorKind::NotConnected, "before the TLS handshake");
        let link = leaf(&self.link);
        let carrier = link.carrier.clone().ok_or_else(not_yet)?;
        let socket = link.socket.clone().ok_or(io::ErrorKind::NotConnected)?;
        Ok((Raw(socket), carrier))
    }

    /// The socket itself, for the handshake.
    pub(super) fn raw(&self) -> io::Result<Raw> {
        self.socket().map(Raw)
    }

    fn socket(&self) -> io::Result<Arc<TcpStream>> {
        let socket = leaf(&self.link).socket.clone();
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// What comes from the other end, for the one thread that reads it: the descriptor stays
    /// until this is dropped, too.
    ///
    /// # Errors
    /// The stream was closed already.
    pub fn input(&self) -> io::Result<Input> {
        let (socket, carrier) = self.ends()?;
        Ok(Input { socket, carrier })
    }

    /// The address at the other end.
    pub fn peer(&self) -> SocketAddr {
        leaf(&self.link).peer
    }

    /// Ends the connection if bytes written are not acknowledged in this time
    /// (`TCP_USER_TIMEOUT`, RFC 5482): the peer has vanished while something was on its way to it.
    pub fn set_unacknowledged_timeout(&self, timeout: Duration) {
        #[cfg(target_os = "linux")]
        {
            let ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
            if let Ok(socket) = self.socket() {
                let _ = sockopt::set_tcp_user_timeout(&*socket, ms);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = timeout;
    }

    /// Makes a read that finds nothing fail after this time; `None` waits for ever.
    ///
    /// # Errors
    /// The system's own.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let at_least = Duration::from_millis(1);
        self.socket()?
            .set_read_timeout(timeout.map(|t| t.max(at_least)))
    }

    /// Its descriptor, for a poller; it stays open for as long as this is held.
    ///
    /// # Errors
    /// The connection was closed.
    pub fn descriptor(&self) -> io::Result<Arc<impl AsFd + use<>>> {
        self.socket()
    }

    /// Reads what is here already. An error of the kind `WouldBlock`: nothing now. If it is
    /// encrypted, more may be here even if that does not fill the buffer.
    ///
    /// # Errors
    /// The connection's own; it is of no use any more.
    pub fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        let (socket, carrier) = self.ends()?;
        match carrier {
            Carrier::Plain => socket.receive_now(into),
            Carrier::Tls(tls) => tls.read(into, |into| socket.receive_now(into)),
        }
    }

    /// Writes what the system takes at once; how much that was. `Ok(0)` for non-empty bytes:
    /// nothing now.
    ///
    /// # Errors
    /// The connection's own; it is of no use any more.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes).map(|written| written.taken)
    }

    /// [`write_now`](Self::write_now), which also says how much the system took: of an encrypted
    /// connection something that was taken before may come first.
    ///
    /// # Errors
    /// The connection's own; it is of no use any more.
    pub fn write(&self, bytes: &[u8]) -> io::Result<Written> {
        let (socket, carrier) = self.ends()?;
        match carrier {
            Carrier::Plain => {
                let taken = socket.send_now(bytes)?;
                Ok(Written { taken, sent: taken })
            }
            Carrier::Tls(tls) => tls.write(bytes, |bytes| socket.send_now(bytes)),
        }
    }

    /// Whether something waits here that was taken and not sent. A write of nothing sends it.
    #[inline]
    pub fn owes(&self) -> bool {
        self.tls().is_some_and(|tls| tls.owes())
    }

    /// Bytes of memory in which that waits.
    #[inline]
    pub fn kept(&self) -> usize {
        self.tls().map_or(0, |tls| tls.kept())
    }

    /// Lets go of that, as nothing is sent any more; by the thread that writes.
    #[inline]
    pub fn discard(&self) {
        if let Some(tls) = self.tls() {
            tls.discard();
        }
    }

    /// Waits until the system takes bytes again, at most this long; says whether it does.
    ///
    /// # Errors
    /// The system's own.
    pub fn wait_writable(&self, timeout: Duration) -> io::Result<bool> {
        let socket = self.socket()?;
        let mut fds = [PollFd::new(&*socket, PollFlags::OUT)];
        wait(&mut fds, Some(timeout))?;
        Ok(!fds[0].revents().is_empty())
    }

    /// Waits until something comes or the system takes bytes again, as far as either is asked for, at
    /// most this long.
    ///
    /// # Errors
    /// The connection was closed, or the system's own. If neither is asked for, also that nothing can
    /// come or go any more: else a read or a write tells.
    pub fn wait_ready(
        &self,
        input: bool,
        output: bool,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let socket = self.socket()?;
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, input);
        events.set(PollFlags::OUT, output);
        let mut fds = [PollFd::new(&*socket, events)];
        wait(&mut fds, timeout)?;
        // The system tells of an end unasked, and over and over.
        match events.is_empty() && !fds[0].revents().is_empty() {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    /// Whether something has come that is not read yet; the end of the stream counts.
    pub fn has_unread(&self) -> bool {
        if self.tls().is_some_and(|tls| tls.has_plaintext()) {
            return true;
        }
        self.socket().is_ok_and(|socket| {
            // A peek would take an error away from the thread that reads.
            let mut fds = [PollFd::new(&*socket, PollFlags::IN)];
            wait(&mut fds, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
        })
    }

    /// Drops what still comes until the peer says that nothing more does, plain or encrypted.
    pub fn drop_input(&self) {
        let mut sink = [0; 512];
        if let Ok(socket) = self.raw() {
            while matches!(socket.receive(&mut sink), Ok(1..)) {}
        }
    }

    /// Waits until both directions have ended.
    pub fn wait_for_end(&self) {
        if let Ok(socket) = self.socket() {
            // That event, and an error, come unasked.
            let mut fds = [PollFd::new(&*socket, PollFlags::empty())];
            let _ = wait(&mut fds, None);
        }
    }

    /// Sends FIN after what is already written; reads go on. Of an encrypted connection the peer
    /// is told first that nothing more follows. Says whether that is done: if not, the system
    /// takes no more now.
    pub fn shutdown_write(&self) -> bool {
        let Ok(socket) = self.socket().map(Raw) else {
            return true;
        };
        if let Some(tls) = self.tls()
            && let Ok(false) = tls.write_end(|bytes| socket.send_now(bytes))
        {
            return false;
        }
        let _ = socket.0.shutdown(Shutdown::Write);
        true
    }

    /// Ends the connection for both directions; a blocked read returns.
    pub fn shutdown(&self) {
        if let Ok(socket) = self.socket() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Ends the connection and gives its descriptor back, once the threads are done that read or
    /// write at this moment.
    pub fn close(&self) {
        self.shutdown();
        let socket = leaf(&self.link).socket.take();
        drop(socket);
    }

    /// [`close`](Self::close) by a reset: the peer sees that the connection broke, and not that this
    /// end has left.
    pub fn abort(&self) {
        if let Ok(socket) = self.socket() {
            let _ = sockopt::set_socket_linger(&*socket, Some(Duration::ZERO));
        }
        let socket = leaf(&self.link).socket.take();
        drop(socket);
    }
}

impl Read for &Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.input()?.read(into)
    }
}

/// The reading end of a [`Stream`].
#[derive(Debug)]
pub struct Input {
    socket: Raw,
    carrier: Carrier,
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.carrier {
            Carrier::Plain => self.socket.receive(into),
            Carrier::Tls(tls) => tls.read(into, |into| self.socket.receive(into)),
        }
    }
}

/// A socket, with either carrier.
#[derive(Debug)]
pub(super) struct Raw(Arc<TcpStream>);

impl Raw {
    /// Reads what comes, and waits for it.
    pub(super) fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.0).read(into) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn receive_now(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(&*self.0, &mut *into, RecvFlags::DONTWAIT) {
                Ok((n, _)) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sends what the system takes at once; `Ok(0)` for non-empty bytes: nothing now.
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(&*self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Polls until something is ready or the time is over, through signals.
pub(super) fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| {
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i32::MAX.into(),
                tv_nsec: 0,
            })
        });
        match poll(fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests;
