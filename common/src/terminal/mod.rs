//! Where a program meets a person: command line arguments, the standard streams, and the escaping
//! of text that came from a peer.

pub mod args;
#[cfg(feature = "cli")]
pub mod config_file;
pub mod console;
pub mod escape;
#[cfg(feature = "cli")]
pub mod package_files;
pub mod table;
