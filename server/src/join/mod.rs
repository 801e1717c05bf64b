//! How a connection becomes a member, in this order:
//!
//! 1. [`acceptor`] accepts a connection and serves its session.
//! 2. [`handshakes`] bounds how many connections have not joined, and decides which one makes room.
//! 3. If the server encrypts, the session does the handshake ([`encrypting`], and `tls/` for the
//!    calculations).
//! 4. The session reads the first lines ([`joining`]); HTTP and other protocols end here.
//! 5. [`admission`] checks what `join` asks for; [`throttle`] bounds how often an address may guess
//!    the [`token`].
//! 6. The roster (`ranking/`) ranks the member last of its tier, and its answer ([`welcome`]) is queued. Or the client
//!    comes back to its place ([`resuming`]).

pub(crate) mod acceptor;
mod admission;
#[cfg(not(shuttle))]
mod encrypting;
pub(crate) mod handshakes;
mod joining;
mod resuming;
pub(crate) mod throttle;
pub(crate) mod token;
mod welcome;
