//! What clients dial that is no server, or not yet.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// An address at which no program listens.
pub(crate) fn nowhere() -> String {
    free_address().to_string()
}

/// An address that is free, and stays so until the test has a server listen there: it is of a
/// loopback address that no other test uses, if the system has more than one.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.200:0");
    let listener = listener.or_else(|_| TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

/// Takes a connection, for which it does not wait for ever.
#[track_caller]
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    listener.set_nonblocking(true).expect("it listens");
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("an open socket");
            return stream;
        }
        assert!(Instant::now() < deadline, "no client dials in");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Passes on what comes, both ways, until an end is closed.
pub(crate) fn pass_on(client: &TcpStream, server: &TcpStream) {
    let clone = |end: &TcpStream| end.try_clone().expect("a descriptor");
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (clone(from), clone(to));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
