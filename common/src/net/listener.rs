//! The socket at which connections arrive, and what ends a wait for the next one. It accepts one
//! connection at a time; which of them may stay is decided elsewhere.

use super::stream::{Stream, wait};
use crate::sys::sync::Arc;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// Connections that the system holds between two calls of accept; its own `somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// A listening socket whose wait for the next connection can be ended by another thread.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    wake: UnixStream,
}

/// Ends a [`Listener`]'s wait.
#[derive(Debug)]
pub struct Waker {
    is_over: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Waker {
    /// The listener's `accept` returns `None` from now on.
    pub fn wake(&self) {
        if !self.is_over.swap(true, Ordering::AcqRel) {
            let _ = (&self.wake).write(&[1]);
        }
    }
}

impl Listener {
    /// Listens at the first address of a name that can be bound.
    ///
    /// # Errors
    /// The last address's, or that the name has none.
    pub fn bind(address: &str) -> io::Result<(Listener, Waker)> {
        Listener::adopt(TcpListener::bind(address)?)
    }

    /// Takes over a socket that listens.
    ///
    /// # Errors
    /// The system's own, also if it does not listen.
    pub fn adopt(socket: TcpListener) -> io::Result<(Listener, Waker)> {
        // Listening again only changes the length of the queue (listen(2)).
        rustix::net::listen(&socket, BACKLOG)?;
        socket.set_nonblocking(true)?;
        let (wake, waker) = UnixStream::pair()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let waker = Waker {
            is_over: Arc::clone(&is_over),
            wake: waker,
        };
        let listener = Listener {
            address: socket.local_addr()?,
            socket,
            is_over,
            wake,
        };
        Ok((listener, waker))
    }

    /// The address at which it listens; if port 0 was asked for, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection; `None` once the [`Waker`] was used.
    ///
    /// # Errors
    /// The system's own, and only if a connection waits to be accepted: it was gone again, or no
    /// descriptors are left.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        // A system without a descriptor left says so whether a connection waits or not, so the
        // poll comes before an error counts.
        let mut connection_waits = false;
        loop {
            // Before each accept, however many connections wait.
            if self.is_over.load(Ordering::Acquire) {
                return Ok(None);
            }
            match self.socket.accept() {
                Ok((socket, peer)) => {
                    socket.set_nonblocking(false)?;
                    return Stream::new(socket, peer).map(Some);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() != io::ErrorKind::WouldBlock && connection_waits => {
                    return Err(e);
                }
                Err(_) => {}
            }
            connection_waits = true;
            let mut fds = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.wake, PollFlags::IN),
            ];
            wait(&mut fds, None)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_woken_listener_accepts_no_connection_that_waits() {
        let (listener, waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.address().to_string();
        let _dialled = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
        waker.wake();
        waker.wake();
        assert!(listener.accept().expect("woken").is_none());
    }

    #[test]
    fn a_waker_ends_the_wait_for_connections() {
        let (listener, waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept());
            waker.wake();
            let accepted = accepting.join().expect("no panic").expect("woken");
            assert!(accepted.is_none());
        });
    }
}
