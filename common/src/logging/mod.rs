//! The log: where its records go, how many of them are shown, and how much of a command.

pub mod format;
pub mod log_limit;
pub mod logged;
pub mod logger;
