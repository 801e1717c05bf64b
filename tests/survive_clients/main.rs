//! What survives when clients, their connections or their server end, with the programs that
//! users start.

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod deaths;
mod drain;
mod plugs;
mod restart;
mod silence;
