//! Connections: what a line is read from and written to, over any carrier.

pub mod line_reader;
#[cfg(not(shuttle))]
pub mod listener;
pub mod origin;
pub mod outbox;
mod scratch;
#[cfg(not(shuttle))]
pub mod stream;
#[cfg(not(shuttle))]
pub mod tls;

#[cfg(shuttle)]
pub use crate::testing::in_memory as listener;
#[cfg(shuttle)]
pub use crate::testing::in_memory as stream;

/// The first byte of every TLS connection: a record of the handshake (RFC 8446 §5.1). No line of
/// this protocol begins with it.
pub const TLS_FIRST_BYTE: u8 = 22;

/// A fatal alert in the clear, for a client that begins with TLS if the server does not encrypt:
/// `protocol_version` (RFC 8446 §6), as every client knows it.
pub const NO_TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// What a write has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the caller's that were taken.
    pub taken: usize,
    /// Bytes that the socket took.
    pub sent: usize,
}
