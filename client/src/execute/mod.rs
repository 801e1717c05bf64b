//! Executing: the trait that a user of the library implements, a [`job`](job::Job) as it sees it, which
//! is one execution of a command (and no detached command, which the server calls a job), the threads
//! that run it, what became of it, the witness that puts it on record, and the line that answers it.

pub(crate) mod executor;
pub(crate) mod job;
pub(crate) mod result;
pub(crate) mod result_line;
pub(crate) mod witness;
pub(crate) mod workers;
