//! What both ends of Pecking Order share: the wire protocol (`PROTOCOL.md` beside
//! this crate says it in words) and the few tools around it.
//!
//! The direction of dependencies is downwards: `protocol` knows `message`, `outbox`
//! knows `transport`; nothing here knows `server` or `client`.

pub mod args;
mod compose;
pub mod console;
pub mod descriptors;
pub mod error;
pub mod escape;
mod id;
pub mod limits;
pub mod line;
pub mod log_limit;
pub mod logged;
pub mod machine;
pub mod memory;
pub mod message;
pub mod name;
pub mod outbox;
pub mod plain;
pub mod protocol;
pub mod selector;
#[cfg(all(test, not(shuttle)))]
#[path = "../../tests/support/skipped.rs"]
mod skipped;
pub mod sync;
pub mod text;
pub mod thread;
pub mod token;
#[cfg_attr(shuttle, path = "transport/memory.rs")]
pub mod transport;
pub mod trusted_file;
mod wildcard;
mod words;
