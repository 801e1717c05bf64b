//! A network between a client and its server that a test can cut, and that may be slow.

use crate::support::{dial_plain, try_dial};
use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// Passes connections on to a server, until they are cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    /// How long what is said is under way, to either end.
    delay: Duration,
    over: AtomicBool,
    /// Both ends of each connection.
    open: Mutex<Vec<TcpStream>>,
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

    /// Ends every connection; those that are made from now on pass.
    pub(crate) fn cut(&self) {
        let open = std::mem::take(&mut *self.shared.open());
        for end in open {
            // It may be over already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each connection has two threads, which end with it.
    fn accept(&self, listener: &TcpListener) {
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
            let clone = |end: &TcpStream| end.try_clone().expect("a descriptor");
            self.open().extend([clone(&client), clone(&server)]);
            let back = (clone(&server), clone(&client));
            for (mut from, mut to) in [(client, server), back] {
                std::thread::spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    }

    /// The server hears of a client as it would over a long way: its first words come right behind
    /// the connection.
    fn pass_slowly(&self, client: TcpStream) {
        let (server, delay) = (self.server, self.delay);
        let clone = |end: &TcpStream| end.try_clone().expect("a descriptor");
        self.open().push(clone(&client));
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
