//! What a build that explores schedules has in the place of sockets and channels, so that the
//! explorer knows of every wait. No other build has it.

pub mod channel;
pub mod in_memory;
