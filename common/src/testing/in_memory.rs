//! What stands for sockets in a build that explores schedules: streams in memory, with as little
//! room as a schedule needs to fill them. It takes the place of `stream.rs` and `listener.rs`
//! there, so that the explorer knows of every wait.

use crate::net::Written;
use crate::sys::sync::{Arc, Condvar, Mutex, leaf, lock, wait};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// The address of both ends of all of them.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// One end of a connection.
#[derive(Debug)]
pub struct Stream {
    link: Mutex<Link>,
}

#[derive(Clone, Debug)]
struct Link {
    to_peer: Arc<Pipe>,
    from_peer: Arc<Pipe>,
}

impl Clone for Stream {
    fn clone(&self) -> Stream {
        Stream::of(self.link())
    }
}

/// What is read of a stream.
pub type Input = Stream;

#[derive(Debug)]
struct Pipe {
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Nothing more is written.
    ended: bool,
    /// Nothing more is read either.
    broken: bool,
}

impl Pipe {
    fn new(room: usize) -> Arc<Pipe> {
        Arc::new(Pipe {
            room,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut lock(&self.state));
        self.changed.notify_all();
        changed
    }

    fn wait_until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = lock(&self.state);
        loop {
            if let Some(ready) = ready(&mut state) {
                drop(state);
                self.changed.notify_all();
                return ready;
            }
            state = wait(&self.changed, state);
        }
    }
}

impl Stream {
    /// Two ends; either holds this many bytes that were not read.
    pub fn pair(room: usize) -> (Stream, Stream) {
        let (there, back) = (Pipe::new(room), Pipe::new(room));
        let near = Link {
            to_peer: Arc::clone(&there),
            from_peer: Arc::clone(&back),
        };
        let far = Link {
            to_peer: back,
            from_peer: there,
        };
        (Stream::of(near), Stream::of(far))
    }

    fn of(link: Link) -> Stream {
        Stream {
            link: Mutex::new(link),
        }
    }

    fn link(&self) -> Link {
        leaf(&self.link).clone()
    }

    fn to_peer(&self) -> Arc<Pipe> {
        self.link().to_peer
    }

    fn from_peer(&self) -> Arc<Pipe> {
        self.link().from_peer
    }

    /// As for a socket.
    pub fn adopt(&self, other: &Stream) {
        let link = other.link();
        *leaf(&self.link) = link;
        *leaf(&other.link) = Stream::pair(0).0.link();
    }

    /// As for a socket.
    pub fn abort(&self) {
        self.reset();
    }

    /// The connection breaks: both ends find that it was reset.
    pub fn reset(&self) {
        for pipe in [self.to_peer(), self.from_peer()] {
            pipe.change(|state| {
                state.bytes.clear();
                (state.ended, state.broken) = (true, true);
            });
        }
    }

    /// As for a socket.
    ///
    /// # Errors
    /// None.
    pub fn input(&self) -> io::Result<Input> {
        Ok(self.clone())
    }

    /// As for a socket.
    pub fn peer(&self) -> SocketAddr {
        PEER
    }

    /// Nothing is encrypted in memory.
    pub fn is_encrypted(&self) -> bool {
        false
    }

    /// Memory acknowledges at once.
    pub fn set_unacknowledged_timeout(&self, _timeout: Duration) {}

    /// As for a socket.
    ///
    /// # Errors
    /// It was shut down.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.to_peer().room;
        self.to_peer().change(|state| {
            if state.broken {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if state.ended {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(room - state.bytes.len());
            state.bytes.extend(&bytes[..taken]);
            Ok(taken)
        })
    }

    /// As for a socket.
    ///
    /// # Errors
    /// It was shut down.
    pub fn write(&self, bytes: &[u8]) -> io::Result<Written> {
        let taken = self.write_now(bytes)?;
        Ok(Written { taken, sent: taken })
    }

    /// Nothing is encrypted here.
    pub fn owes(&self) -> bool {
        false
    }

    /// Nothing is encrypted here.
    pub fn kept(&self) -> usize {
        0
    }

    /// Nothing is encrypted here.
    pub fn discard(&self) {}

    /// Waits until something can be written or the connection has ended, however long.
    ///
    /// # Errors
    /// None.
    pub fn wait_writable(&self, _timeout: Duration) -> io::Result<bool> {
        let room = self.to_peer().room;
        let is_writable = |state: &mut State| state.ended || state.bytes.len() < room;
        Ok(self
            .to_peer()
            .wait_until(|state| is_writable(state).then_some(true)))
    }

    /// As for a socket.
    pub fn has_unread(&self) -> bool {
        self.from_peer().change(|state| !state.bytes.is_empty())
    }

    /// Waits until nothing more is written at this end, as the other has ended before.
    pub fn wait_for_end(&self) {
        self.to_peer().wait_until(|state| state.ended.then_some(()));
    }

    /// As for a socket.
    pub fn shutdown_write(&self) -> bool {
        self.to_peer().change(|state| state.ended = true);
        true
    }

    /// As for a socket.
    pub fn drop_input(&self) {
        while matches!((&mut &*self).read(&mut [0; 512]), Ok(1..)) {}
    }

    /// As for a socket.
    pub fn shutdown(&self) {
        self.to_peer().change(|state| state.ended = true);
        self.from_peer().change(|state| state.ended = true);
    }

    /// As for a socket.
    pub fn close(&self) {
        self.shutdown();
    }
}

impl Read for &Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from_peer = self.from_peer();
        let read = from_peer.wait_until(|state| {
            let read = into.len().min(state.bytes.len());
            let bytes = state.bytes.drain(..read);
            into.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            (read > 0 || state.ended).then_some(read)
        });
        match read == 0 && from_peer.change(|state| state.broken) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(read),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self).read(into)
    }
}

/// Connections that are here to be accepted, and whether more are.
type Queue = (VecDeque<Stream>, bool);

/// Accepts connections.
#[derive(Debug)]
pub struct Listener(Arc<(Mutex<Queue>, Condvar)>);

/// Ends a [`Listener`]'s wait.
#[derive(Debug)]
pub struct Waker(Arc<(Mutex<Queue>, Condvar)>);

impl Waker {
    /// As for a socket.
    pub fn wake(&self) {
        lock(&self.0.0).1 = true;
        self.0.1.notify_all();
    }
}

impl Listener {
    /// As for a socket; the address does not matter.
    ///
    /// # Errors
    /// None.
    pub fn bind(_address: &str) -> io::Result<(Listener, Waker)> {
        let queue = Arc::default();
        Ok((Listener(Arc::clone(&queue)), Waker(queue)))
    }

    /// As for a socket, which does not matter.
    ///
    /// # Errors
    /// None.
    pub fn adopt(_socket: TcpListener) -> io::Result<(Listener, Waker)> {
        Listener::bind("")
    }

    /// The address of all of them.
    pub fn address(&self) -> SocketAddr {
        PEER
    }

    /// Connects to it.
    pub fn dial(&self, room: usize) -> Stream {
        let (near, far) = Stream::pair(room);
        lock(&self.0.0).0.push_back(near);
        self.0.1.notify_all();
        far
    }

    /// As for a socket.
    ///
    /// # Errors
    /// None.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        let mut queue = lock(&self.0.0);
        while !queue.1 && queue.0.is_empty() {
            queue = wait(&self.0.1, queue);
        }
        Ok(queue.0.pop_front().filter(|_| !queue.1))
    }
}
