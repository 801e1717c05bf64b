//! What bounds and shortens the log.

pub mod log_limit;
pub mod logged;
