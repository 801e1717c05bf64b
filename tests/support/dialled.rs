//! What clients dial that is no server, or not yet.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// An address where nobody listens.
pub(crate) fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    address.to_string()
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
        assert!(Instant::now() < deadline, "nobody dials in");
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
