//! The way of a command: whom it reaches, to whom it is sent, and what comes back.

pub(crate) mod command;
pub(crate) mod dispatcher;
pub(crate) mod execution_result;
pub(crate) mod flush_set;
pub(crate) mod lines;
pub(crate) mod output_credit;
pub(crate) mod refusal_limiter;
pub(crate) mod selection;
