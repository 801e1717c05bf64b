//! What both ends of Pecking Order share: the wire protocol (`PROTOCOL.md` beside
//! this crate says it in words) and the few tools around it.
//!
//! The direction of dependencies is downwards: `net` knows `wire`, and both know `sys`; nothing
//! here knows `server` or `client`.

#![forbid(unsafe_code)]

pub mod audit;
pub mod expected;
pub mod limits;
pub mod logging;
pub mod memory;
pub mod net;
#[cfg(all(test, not(shuttle)))]
#[path = "../../tests/support/skipped.rs"]
mod skipped;
pub mod sys;
pub mod terminal;
#[cfg(shuttle)]
pub mod testing;
pub mod token;
pub mod wire;
