//! Connections: what a line is read from and written to, over any carrier.

pub mod line_reader;
#[cfg(not(shuttle))]
pub mod listener;
pub mod outbox;
#[cfg(not(shuttle))]
pub mod stream;

#[cfg(shuttle)]
pub use crate::testing::in_memory as listener;
#[cfg(shuttle)]
pub use crate::testing::in_memory as stream;
