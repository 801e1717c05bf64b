//! `pecking run --stdin`: standard input, read and given to the command on a thread of its own.
//!
//! It is read no faster than the slowest target takes it, and no further once the command has ended
//! everywhere. A read of a terminal or a pipe may block for ever, so no thread joins this one.

use crate::failure::Failure;
use client::Input;
use common::sys::thread;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, BufReader, ErrorKind, Read};

/// Bytes that are read at a time: what a pipe holds.
const READ: usize = 64 << 10;

/// Starts to read. If not all of it can be read, as far as it is wanted, the command is cancelled, and
/// why is told at the channel.
///
/// # Errors
/// The system has no thread left.
pub(crate) fn start(input: Input) -> Result<Receiver<io::Error>, Failure> {
    let (failure, failed) = bounded(1);
    thread::spawn("input", move || feed(io::stdin(), input, &failure))
        .map_err(Failure::NoThread)?;
    Ok(failed)
}

/// Gives a command all that there is to read.
fn feed(source: impl Read, mut input: Input, failure: &Sender<io::Error>) {
    let mut source = BufReader::with_capacity(READ, source);
    match io::copy(&mut source, &mut input) {
        Ok(_) => input.finish(),
        // The command has ended everywhere: the rest is not wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        // Before the input is dropped without its end, which cancels the command.
        Err(error) => drop(failure.send(error)),
    }
}
