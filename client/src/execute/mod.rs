//! Executing: the trait that a user of the library implements, a job as it sees it, the threads
//! that run it, and the line that answers it.

pub(crate) mod executor;
pub(crate) mod job;
pub(crate) mod result_line;
pub(crate) mod witness;
pub(crate) mod workers;
