//! A network between a client and its server that a test can cut.

use crate::support::try_dial;
use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Passes connections on to a server, until they are cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    over: AtomicBool,
    /// Both ends of each connection.
    open: Mutex<Vec<TcpStream>>,
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
