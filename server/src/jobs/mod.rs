//! Detached commands: a command whose sender need not be there when it ends. A job keeps what becomes
//! of it, and clients ask for that.
//!
//! To the rest of the server a detached command is a command like others. Its sender is a
//! [stand-in](stand_in), which is in no ranking and has no connection, with the name, the tier and the
//! credential that the client had when it sent it; so nothing that becomes of that client reaches the
//! command. What a sender would be told goes to the job instead
//! ([`Telling::Job`](crate::dispatch::command::Telling)).
//!
//! A [table] says which jobs there are and whose. How much they keep is bounded in all and for each
//! owner: an owner's own oldest jobs that have ended go first, then output of its own jobs is cut. No
//! owner costs another one anything.
//!
//! The table and the log of a job are leaves among the locks: output is kept under the lock of its
//! target's queue, so that none comes after its outcome.

mod account;
mod cancel;
pub(crate) mod detach;
mod job;
mod keeper;
mod list;
mod log;
mod stand_in;
mod table;
#[cfg(all(test, not(shuttle)))]
mod tests;

pub(crate) use cancel::cancel;
pub(crate) use job::Job;
pub(crate) use log::Wait;
pub(crate) use table::Jobs;
