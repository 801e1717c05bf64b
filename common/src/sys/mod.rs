//! What the operating system and the standard library give: locks, threads, files, resources.

pub mod fault;
pub mod file_stamp;
pub mod position;
pub mod replace_file;
pub mod resources;
pub mod sync;
pub mod thread;
pub mod trusted_file;
