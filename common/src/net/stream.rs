//! One connection, the only module that names `TcpStream`. Reads block; writes never do, so that
//! no thread waits for the peer of another one. A second kind of carrier would stand beside this
//! one and give the same few operations.

use crate::sys::sync::{Arc, Mutex, lock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// One connection. Its descriptor goes with [`close`](Self::close), even if other threads still
/// hold the stream.
#[derive(Debug)]
pub struct Stream {
    socket: Mutex<Option<Arc<TcpStream>>>,
    peer: SocketAddr,
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
        let socket = Mutex::new(Some(Arc::new(socket)));
        Ok(Stream { socket, peer })
    }

    fn socket(&self) -> io::Result<Arc<TcpStream>> {
        let socket = lock(&self.socket).clone();
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// What comes from the other end, for the one thread that reads it: the descriptor stays
    /// until this is dropped, too.
    ///
    /// # Errors
    /// The stream was closed already.
    pub fn input(&self) -> io::Result<Input> {
        self.socket().map(Input)
    }

    /// The address at the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
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

    /// Reads what is here already. An error of the kind `WouldBlock`: nothing now.
    ///
    /// # Errors
    /// The connection's own; it is of no use any more.
    pub fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        let socket = self.socket()?;
        loop {
            match recv(&*socket, &mut *into, RecvFlags::DONTWAIT) {
                Ok((n, _)) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Writes what the system takes at once. `Ok(0)` for non-empty bytes: nothing now.
    ///
    /// # Errors
    /// The connection's own; it is of no use any more.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket()?;
        loop {
            match send(&*socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(e) => return Err(e.into()),
            }
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

    /// Whether something has come that is not read yet; the end of the stream counts.
    pub fn has_unread(&self) -> bool {
        self.socket().is_ok_and(|socket| {
            // A peek would take an error away from the thread that reads.
            let mut fds = [PollFd::new(&*socket, PollFlags::IN)];
            wait(&mut fds, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
        })
    }

    /// Waits until both directions have ended.
    pub fn wait_for_end(&self) {
        if let Ok(socket) = self.socket() {
            // That event, and an error, come unasked.
            let mut fds = [PollFd::new(&*socket, PollFlags::empty())];
            let _ = wait(&mut fds, None);
        }
    }

    /// Sends FIN after what is already written; reads go on.
    pub fn shutdown_write(&self) {
        if let Ok(socket) = self.socket() {
            let _ = socket.shutdown(Shutdown::Write);
        }
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
        let socket = lock(&self.socket).take();
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
pub struct Input(Arc<TcpStream>);

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.0).read(into) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
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
mod tests {
    use super::*;
    use crate::net::listener::Listener;

    fn pair() -> (Stream, Stream) {
        let (listener, _waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.address().to_string();
        let dialled = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
        let accepted = listener.accept().expect("loopback").expect("not woken");
        (dialled, accepted)
    }

    #[test]
    fn a_full_socket_takes_nothing_and_says_so() {
        let (near, far) = pair();
        let chunk = vec![b'x'; 1 << 20];
        let mut written = 0;
        while let Ok(n @ 1..) = near.write_now(&chunk) {
            written += n;
        }
        assert_eq!(near.write_now(&chunk).ok(), Some(0));
        assert_eq!(near.wait_writable(Duration::ZERO).ok(), Some(false));
        let mut sink = vec![0; 1 << 16];
        while written > 0 {
            written -= (&far).read(&mut sink).expect("what was written");
        }
        assert_eq!(near.wait_writable(Duration::from_secs(5)).ok(), Some(true));
    }

    #[test]
    fn a_read_of_what_is_here_never_waits() {
        let (near, far) = pair();
        let kind = |result: io::Result<usize>| result.map_err(|e| e.kind());
        let nothing_now = Err(io::ErrorKind::WouldBlock);
        assert_eq!(kind(near.read_now(&mut [0; 8])), nothing_now);
        assert_eq!(far.write_now(b"abc").ok(), Some(3));
        while !near.has_unread() {}
        let mut into = [0; 8];
        assert_eq!(
            (kind(near.read_now(&mut into)), &into[..3]),
            (Ok(3), &b"abc"[..])
        );
        assert_eq!(kind(near.read_now(&mut into)), nothing_now);
        far.close();
        while !near.has_unread() {}
        assert_eq!(kind(near.read_now(&mut into)), Ok(0));
    }

    #[test]
    fn shutdown_ends_a_blocked_read() {
        let (near, _far) = pair();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| (&near).read(&mut [0; 8]));
            near.shutdown();
            assert_eq!(reading.join().expect("no panic").ok(), Some(0));
        });
    }

    #[test]
    fn a_wait_for_the_end_is_one_for_both_directions() {
        let (near, far) = pair();
        far.shutdown_write();
        assert_eq!((&near).read(&mut [0; 8]).ok(), Some(0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| near.wait_for_end());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished(), "its own half is open");
            near.shutdown_write();
        });
        near.wait_for_end();
    }

    #[test]
    fn a_closed_stream_that_is_still_held_gives_its_descriptor_back() {
        let (near, far) = pair();
        near.close();
        assert_eq!((&far).read(&mut [0; 8]).ok(), Some(0));
        assert!(near.input().is_err() && near.write_now(b"x").is_err());
    }
}
