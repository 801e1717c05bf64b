//! What both ends of Pecking Order share: the wire protocol (`PROTOCOL.md` beside
//! this crate says it in words) and the few tools around it.
//!
//! The direction of dependencies is downwards: `protocol` knows `message`, `outbox`
//! knows `transport`; nothing here knows `server` or `client`.

pub mod args;
pub mod console;
pub mod error;
pub mod escape;
pub mod limits;
pub mod line;
pub mod message;
pub mod outbox;
pub mod protocol;
pub mod selector;
pub mod sync;
pub mod thread;
pub mod transport;
