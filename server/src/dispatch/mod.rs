//! The way of a command: which clients it reaches, how they get it, and what comes back.

pub(crate) mod command;
pub(crate) mod dispatcher;
mod distribute;
pub(crate) mod execution_result;
pub(crate) mod find;
pub(crate) mod flush_set;
pub(crate) mod input;
pub(crate) mod output_credit;
pub(crate) mod preview;
pub(crate) mod refusal_limiter;
mod request;
pub(crate) mod scope;
pub(crate) mod selection;
