//! The way of a command: which clients it reaches, how they get it, and what comes back. A session
//! reads a `send` (`session/requests.rs`), and then:
//!
//! 1. [`dispatcher`] has the [`request`] checked, and its targets found ([`find`]): [`selection`]
//!    decides by rank which clients it reaches, and [`scope`] what the sender's role adds to that.
//! 2. It makes a [`command`] of it, says how many targets there are, and tells those of a higher rank
//!    ([`refused`]).
//! 3. [`distribute`] puts it into each target's queue (`member/executor_queue/`), or into its outbox
//!    if it has a free slot.
//! 4. What was put there is written at the end of the session's batch of lines ([`flush_set`]).
//! 5. What an executor answers ([`execution_result`]) ends the command at that target; its output
//!    ([`output_credit`]) and its [`input`] ([`pass_input`]) pass before that.
//!
//! A command also ends without an answer: its target leaves or is too late, and what was in the target's
//! queue is told to the senders by `Hub::conclude_all`. A detached one begins in `jobs/detach.rs`, and
//! goes the same way.
//!
//! [`preview`] does the first step alone, for `select`.

pub(crate) mod command;
mod counts;
pub(crate) mod dispatcher;
mod distribute;
pub(crate) mod execution_result;
pub(crate) mod find;
pub(crate) mod flush_set;
mod input;
pub(crate) mod outcome_details;
pub(crate) mod output_credit;
pub(crate) mod pass_input;
pub(crate) mod preview;
pub(crate) mod refused;
mod request;
pub(crate) mod scope;
pub(crate) mod selection;
