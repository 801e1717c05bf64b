//! Connections: what a line is read from and written to, over any carrier.

pub mod line_reader;
pub mod outbox;
#[cfg_attr(shuttle, path = "in_memory.rs")]
pub mod transport;
