//! Real programs that are executed for others: how they start, what they write, how they
//! end, and what a policy lets through.

mod executing;
#[path = "../support/mod.rs"]
mod support;

mod as_user;
mod client_end;
mod detached;
mod end;
mod held_slots;
mod input;
mod isolation;
mod leftovers;
mod output;
mod policy;
mod readme;
mod run;
mod senders;
mod stdin;
mod terminal;
mod unread;
mod words;
