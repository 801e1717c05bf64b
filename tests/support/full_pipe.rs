//! A pipe that is full and that no process reads.

use rustix::io::ioctl_fionbio;
use std::io::{PipeReader, PipeWriter, Write, pipe};

/// A pipe that takes nothing from the beginning; how many dots are in it.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = pipe().expect("the system has pipes");
    // Both ends of a descriptor that is passed on share this, so it is taken back.
    ioctl_fionbio(&writer, true).expect("a pipe can be asked not to wait");
    let mut filled = 0;
    // Less than a page at last, or some of the last one would be left.
    for size in [4096, 1] {
        while let Ok(written) = writer.write(&[b'.'; 4096][..size]) {
            filled += written;
        }
    }
    ioctl_fionbio(&writer, false).expect("a pipe can be asked to wait");
    (reader, writer, filled)
}
