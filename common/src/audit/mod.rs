//! The audit log: what clients did, as JSON lines that are linked by hashes.
//!
//! A command [reserves](Audit::reserve) the places of its records before it runs, or it does not
//! run. These are places in the queue, and not writes: one thread writes what is queued, within
//! milliseconds, and the disk has it within a second. Of a command that ran just before a kill or a
//! power cut, the records may be missing. A disk that is full or stands still stops commands, by an
//! error that says so, and never a thread of the program.
//!
//! A log proves nothing to a user that may write the file; see [`verify`](mod@verify).

mod chain;
mod denied;
mod file;
mod hash;
mod log;
#[cfg(feature = "cli")]
mod options;
mod queue;
pub mod record;
pub mod show;
mod sync;
#[cfg(all(test, not(shuttle)))]
mod tests;
pub mod verify;
mod words;
mod writer;

pub use self::log::{
    Audit, CLOSE_PATIENCE, Full, KeptOutcomes, MAX_MESSAGE, ROTATE_RANGE, Reservation, Settings,
    Unavailable, clipped,
};
pub use file::{AuditError, NoLog};
pub use hash::Hash;
#[cfg(feature = "cli")]
pub use options::AuditOptions;
pub use queue::{LATER_RECORDS, QUEUE_BYTES, QUEUE_RECORDS};
pub use words::{AuditedWords, KeptWords, WordsKey};
pub use writer::RETRY;
