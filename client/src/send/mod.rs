//! Sending: a command, the handle that follows it, and the outcomes that it ends in.

pub(crate) mod command;
pub(crate) mod input;
pub(crate) mod outcome;
pub(crate) mod pending_send;
pub(crate) mod send_handle;
