//! Sending: a command, its input, the handle that follows it, the outcomes that it ends in, and what
//! the reader thread keeps of it until it has ended.

pub(crate) mod command;
pub(crate) mod input;
pub(crate) mod outcome;
pub(crate) mod pending_send;
pub(crate) mod send_handle;
