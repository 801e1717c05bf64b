//! The standard input of a program: a pipe that never blocks the thread that supervises the run.
//!
//! A program reads the end of its input only after its sender has said it. So the pipe stays open
//! when a command is cancelled, late, or its connection lost: a program that goes on after a signal
//! would else take a part of its input for the whole.

use crate::execute::job::Job;
use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::task::Poll;

pub(crate) struct Stdin {
    /// Until everything was written, or the program has closed its end.
    sink: Option<OwnedFd>,
    /// The piece that is being written, and how much of it was.
    piece: Vec<u8>,
    written: usize,
}

impl Stdin {
    /// Writes to this pipe, which does not block; a program without input has none.
    pub(crate) fn new(sink: Option<OwnedFd>) -> Stdin {
        Stdin {
            sink,
            piece: Vec::new(),
            written: 0,
        }
    }

    /// What to wait for: room, if there is something to write. An error is told in any case.
    pub(crate) fn interest(&self, job: &Job) -> Option<(&OwnedFd, PollFlags)> {
        let has_piece = self.written < self.piece.len();
        let sink = self.sink.as_ref()?;
        let flags = match has_piece || job.has_next_input() {
            true => PollFlags::OUT,
            false => PollFlags::empty(),
        };
        Some((sink, flags))
    }

    /// Writes once; called when there is room, or the program has closed its end.
    pub(crate) fn write(&mut self, job: &Job, events: PollFlags) {
        if events.contains(PollFlags::ERR) {
            return self.close(job);
        }
        if self.written == self.piece.len() {
            match job.next_input() {
                Poll::Ready(Some(piece)) => (self.piece, self.written) = (piece, 0),
                Poll::Pending => return,
                Poll::Ready(None) => {
                    self.sink = None;
                    return;
                }
            }
        }
        let Some(sink) = &self.sink else { return };
        match rustix::io::write(sink, &self.piece[self.written..]) {
            Ok(written) => {
                self.written += written;
                job.consume_input(written as u64);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => {
                if e != Errno::PIPE {
                    log::warn!("cannot write what a command reads: {e}");
                }
                self.close(job);
            }
        }
    }

    /// The program wants no more: the sender does not wait for the rest.
    fn close(&mut self, job: &Job) {
        self.sink = None;
        self.piece = Vec::new();
        self.written = 0;
        job.close_input();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::time::{Duration, Instant};

    fn add(job: &Job, bytes: &[u8], is_last: bool) {
        assert!(job.add_input(bytes.to_vec(), is_last).is_ok());
    }

    #[test]
    fn a_pipe_takes_what_there_is_room_for_and_the_end_closes_it() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut stdin = Stdin::new(Some(write));
        let job = Job::with_input_of_test(7);
        let interest = |stdin: &Stdin| stdin.interest(&job).map(|(_, flags)| flags);
        assert_eq!(interest(&stdin), Some(PollFlags::empty()));
        let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        for piece in all.chunks(32 << 10) {
            add(&job, piece, false);
        }
        let mut came = Vec::new();
        let mut buffer = vec![0; 10_000];
        assert_eq!(interest(&stdin), Some(PollFlags::OUT));
        while came.len() < all.len() {
            // Also when there is no room: it does not block.
            for _ in 0..9 {
                stdin.write(&job, PollFlags::OUT);
            }
            let n = rustix::io::read(&read, &mut buffer).expect("it has something");
            came.extend_from_slice(&buffer[..n]);
        }
        assert!(came == all);
        assert_eq!(interest(&stdin), Some(PollFlags::empty()));
        add(&job, b"", true);
        stdin.write(&job, PollFlags::OUT);
        assert_eq!(interest(&stdin), None);
        // A program that another test starts at this moment has the pipe, too, until it runs.
        let deadline = Instant::now() + Duration::from_secs(30);
        while rustix::io::read(&read, &mut buffer) != Ok(0) {
            assert!(Instant::now() < deadline, "the end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_that_closes_its_end_has_the_rest_consumed_unread() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut stdin = Stdin::new(Some(write));
        let job = Job::with_input_of_test(7);
        add(&job, b"abc", false);
        drop(read);
        stdin.write(&job, PollFlags::ERR);
        assert!(stdin.interest(&job).is_none());
        add(&job, b"more", false);
        assert_eq!(job.next_input(), Poll::Ready(None));
    }
}
