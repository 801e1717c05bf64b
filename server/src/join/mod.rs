//! How a connection becomes a member: from the acceptor, past the limits of unjoined connections
//! and of wrong tokens, to what `join` asks for.

pub(crate) mod acceptor;
pub(crate) mod admission;
pub(crate) mod handshakes;
pub(crate) mod throttle;
pub(crate) mod token;
