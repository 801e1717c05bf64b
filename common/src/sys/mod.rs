//! What the operating system and the standard library give: locks, threads, files, resources.

pub mod file_stamp;
pub mod resources;
pub mod sync;
pub mod thread;
pub mod trusted_file;
