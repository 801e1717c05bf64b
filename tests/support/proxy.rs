//! A network between a client and its server that a test can break.

use crate::support::try_dial;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server,
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

    /// Ends every connection, as a process does that ends; those that are made from now on pass.
    pub(crate) fn cut(&self) {
        for link in self.take_open() {
            for end in [&link.client, &link.server] {
                // It may be over already.
                let _ = end.shutdown(Shutdown::Both);
            }
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
