//! What the operating system and the standard library give: locks, threads, files, descriptors.

pub mod descriptors;
pub mod machine;
pub mod sync;
pub mod thread;
pub mod trusted_file;
