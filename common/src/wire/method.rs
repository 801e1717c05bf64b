//! The names of the methods.

#![allow(missing_docs)] // Each constant says its own name.
pub const JOIN: &str = "join";
pub const SEND: &str = "send";
pub const SELECT: &str = "select";
pub const CANCEL: &str = "cancel";
pub const MEMBERS: &str = "members";
pub const LEAVE: &str = "leave";
pub const PING: &str = "ping";
pub const EXECUTE: &str = "execute";
pub const OUTPUT: &str = "output";
pub const CONSUMED: &str = "consumed";
pub const ACCEPTED: &str = "accepted";
pub const STARTED: &str = "started";
pub const OUTCOME: &str = "outcome";
pub const RANK: &str = "rank";
pub const REFUSED: &str = "refused";
pub const BYE: &str = "bye";
