//! Connections: what a line is read from and written to, over any carrier.

#[cfg(shuttle)]
pub mod in_memory;
pub mod line_reader;
#[cfg(not(shuttle))]
pub mod listener;
pub mod outbox;
#[cfg(not(shuttle))]
pub mod stream;
#[cfg(not(shuttle))]
pub mod tls;

#[cfg(shuttle)]
pub use in_memory as listener;
#[cfg(shuttle)]
pub use in_memory as stream;

/// What a write has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the caller's that were taken.
    pub taken: usize,
    /// Bytes that the socket took.
    pub sent: usize,
}
