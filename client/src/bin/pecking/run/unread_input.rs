//! Warns that `run` does not read its standard input.

use common::terminal::console::Console;
use rustix::fs::{FileType, fstat, tell};
use rustix::io::ioctl_fionread;
use std::io;

const NOT_PASSED_ON: &str = "note: run does not pass its standard input on to the command (--stdin does; </dev/null ends this note)";

/// Says so if standard input has something to read; returns whether it did.
pub(crate) fn note_unread(console: &Console) -> bool {
    let is_there = has_something();
    if is_there {
        console.say(NOT_PASSED_ON);
    }
    is_there
}

/// Whether standard input is a pipe or a file that has something to read. Neither waits for it
/// nor takes it from the program that reads it next.
fn has_something() -> bool {
    let stdin = io::stdin();
    let Ok(stat) = fstat(&stdin) else {
        return false;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            tell(&stdin).is_ok_and(|at| at < size)
        }
        FileType::Fifo | FileType::Socket => ioctl_fionread(&stdin).is_ok_and(|bytes| bytes > 0),
        _ => false,
    }
}
