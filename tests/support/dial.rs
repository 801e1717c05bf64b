//! Connections to a server on this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::tunnel;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

/// The last byte of the loopback addresses from which a test dials when the usual one has no
/// port left: sockets that tests have closed hold their ports for a minute.
const OTHERS: std::ops::Range<u8> = 201..220;

/// Dials a server, also if other tests have used up ports.
#[track_caller]
pub(crate) fn dial(server: SocketAddr) -> TcpStream {
    try_dial(server).expect("the server accepts")
}

/// [`dial`], when the server may be gone.
pub(crate) fn try_dial(server: SocketAddr) -> io::Result<TcpStream> {
    carried(dial_plain(server)?)
}

/// The end of a connection at which a test reads and writes lines.
fn carried(dialled: TcpStream) -> io::Result<TcpStream> {
    match tunnel::is_carrier() {
        true => tunnel::through(dialled),
        false => {
            tunnel::is_plain(dialled.local_addr()?);
            Ok(dialled)
        }
    }
}

/// Dials a server, and says nothing yet.
pub(crate) fn dial_plain(server: SocketAddr) -> io::Result<TcpStream> {
    let mut dialled = TcpStream::connect(server);
    for other in OTHERS {
        match &dialled {
            Err(error) if is_out_of_ports(error) => dialled = dial_plain_from(other, server),
            _ => break,
        }
    }
    dialled
}

fn is_out_of_ports(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable};
    matches!(error.kind(), AddrInUse | AddrNotAvailable)
}

/// Dials from an address of the loopback network; 1 is the usual one.
pub(crate) fn dial_from(own: u8, server: SocketAddr) -> io::Result<TcpStream> {
    carried(dial_plain_from(own, server)?)
}

/// [`dial_from`], and says nothing yet.
pub(crate) fn dial_plain_from(own: u8, server: SocketAddr) -> io::Result<TcpStream> {
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, own), 0));
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &own)?;
    connect(&socket, &server)?;
    Ok(TcpStream::from(socket))
}
