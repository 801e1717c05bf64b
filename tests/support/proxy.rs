//! A network between a client and its server that a test can break, and that may be slow.

use crate::support::{dial_plain, try_dial};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Passes connections on to a server, until they are cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// A way that bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

struct Shared {
    server: SocketAddr,
    /// How long what is said is under way, to either end.
    delay: Duration,
    over: AtomicBool,
    open: Mutex<Vec<Arc<Link>>>,
    /// Nothing passes before this.
    stalled_until: Mutex<Instant>,
}

/// Both ends of a connection.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// What goes this way is swallowed.
    swallows: [AtomicBool; 2],
}

impl Proxy {
    /// A network to a server.
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::far_from(server, Duration::ZERO)
    }

    /// A network to a server so far away. What passes is not changed, with any carrier.
    pub(crate) fn far_from(server: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server,
            delay: round_trip / 2,
            over: AtomicBool::new(false),
            open: Mutex::default(),
            stalled_until: Mutex::new(Instant::now()),
        });
        let accepting = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accepting.accept(&listener));
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Where to dial.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn take_open(&self) -> Vec<Arc<Link>> {
        std::mem::take(&mut *lock(&self.shared.open))
    }

    /// Ends every connection; those that are made from now on pass. A client hears of it once the
    /// server has closed its end: it could be back before the server knows that it has left.
    pub(crate) fn cut(&self) {
        for link in self.take_open() {
            // It may be over already.
            let _ = link.server.shutdown(Shutdown::Write);
        }
    }

    /// Breaks every connection: both ends see a reset.
    pub(crate) fn reset(&self) {
        for link in self.take_open() {
            // The server's end first: it is not to see the end of data.
            super::held::reset(&link.server);
            super::held::reset(&link.client);
        }
    }

    /// From now on nothing goes this way over the connections that are open, and no end is told.
    pub(crate) fn swallow(&self, way: Way) {
        for link in &*lock(&self.shared.open) {
            link.swallows[way as usize].store(true, Ordering::SeqCst);
        }
    }

    /// Nothing passes for so long.
    pub(crate) fn stall(&self, time: Duration) {
        *lock(&self.shared.stalled_until) = Instant::now() + time;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Each connection has two threads, which end with it.
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let client = client.expect("loopback");
            if !self.delay.is_zero() {
                self.pass_slowly(client);
                continue;
            }
            // Without a server the client finds its connection closed.
            let Ok(server) = try_dial(self.server) else {
                continue;
            };
            for end in [&client, &server] {
                let _ = end.set_nodelay(true);
            }
            let link = Arc::new(Link {
                client,
                server,
                swallows: Default::default(),
            });
            lock(&self.open).push(Arc::clone(&link));
            for way in [Way::ToServer, Way::ToClient] {
                let (link, shared) = (Arc::clone(&link), Arc::clone(&self));
                std::thread::spawn(move || shared.pass(&link, way));
            }
        }
    }

    /// Passes bytes on until the end.
    fn pass(&self, link: &Arc<Link>, way: Way) {
        let (mut from, mut to) = match way {
            Way::ToServer => (&link.client, &link.server),
            Way::ToClient => (&link.server, &link.client),
        };
        let mut bytes = [0; 16 << 10];
        let end = loop {
            let read = match from.read(&mut bytes) {
                Ok(read @ 1..) => read,
                end => break end,
            };
            let stalled = lock(&self.stalled_until).saturating_duration_since(Instant::now());
            std::thread::sleep(stalled);
            let is_lost = link.swallows[way as usize].load(Ordering::SeqCst);
            if !is_lost && let Err(error) = to.write_all(&bytes[..read]) {
                break Err(error);
            }
        };
        let is_lost = link.swallows[way as usize].load(Ordering::SeqCst);
        match end {
            _ if is_lost => {}
            Ok(_) => drop(to.shutdown(Shutdown::Write)),
            // As a network does: an end that broke is broken at the other end, too.
            Err(_) => super::held::reset(to),
        }
        lock(&self.open).retain(|open| !Arc::ptr_eq(open, link));
    }

    /// The server hears of a client as it would over a long way: its first words come right behind
    /// the connection.
    fn pass_slowly(&self, client: TcpStream) {
        let (server, delay) = (self.server, self.delay);
        let clone = |end: &TcpStream| end.try_clone().expect("a descriptor");
        // What ends the client's end ends the server's: that is not there yet.
        lock(&self.open).push(Arc::new(Link {
            client: clone(&client),
            server: clone(&client),
            swallows: Default::default(),
        }));
        std::thread::spawn(move || {
            let mut first = [0; 4096];
            let said = (&client).read(&mut first).unwrap_or(0);
            // There and back before it may say anything, and there again.
            sleep(3 * delay);
            let Ok(mut server) = dial_plain(server) else {
                return;
            };
            let _ = server.set_nodelay(true);
            let _ = server.write_all(&first[..said]);
            let back = (clone(&server), clone(&client));
            std::thread::spawn(move || copy_late(back.0, back.1, delay));
            copy_late(client, server, delay);
        });
    }
}

/// Copies what comes to its end, each piece after a while.
fn copy_late(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut bytes = [0; 4096];
    while let Ok(came @ 1..) = from.read(&mut bytes) {
        sleep(delay);
        if to.write_all(&bytes[..came]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes it, so that it sees that it is over.
        let _ = try_dial(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
