//! One of a program's two streams, on its way to the sender: read when there is room, cut
//! into chunks between characters, and handed on when a chunk is full or old.

use super::proc;
use common::wire::OutputStream;
use common::wire::text::whole_characters;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// Bytes after which a chunk is handed on: large enough that a line's own cost does not
/// show, small enough that nothing waits for it long.
pub(crate) const CHUNK: usize = 32 << 10;

/// Bytes that the first read takes at most: a page, which holds all that most programs write.
const FIRST_READ: usize = 4 << 10;

/// How much more the next read takes after one that took as much as it could.
const GROWTH: usize = 8;

/// Bytes that one read takes of a program that fills its pipe faster than it is read, and the
/// size of that pipe then: several chunks go with one wake-up and one write.
const BURST: usize = FIRST_READ * GROWTH * GROWTH;

/// How old a chunk may become before it is handed on.
pub(crate) const CHUNK_AGE: Duration = Duration::from_millis(100);

pub(crate) struct Pipe {
    pub(crate) stream: OutputStream,
    source: Option<OwnedFd>,
    /// What was read and not handed on, and room for more behind it.
    buffer: Vec<u8>,
    filled: usize,
    /// When the oldest of that was read.
    since: Option<Instant>,
    /// How many bytes the next read takes at most.
    room: usize,
}

impl Pipe {
    pub(crate) fn new(stream: OutputStream, source: OwnedFd) -> Pipe {
        Pipe {
            stream,
            source: Some(source),
            buffer: Vec::new(),
            filled: 0,
            since: None,
            room: FIRST_READ,
        }
    }

    /// What to wait for, unless the stream has ended.
    pub(crate) fn source(&self) -> Option<&OwnedFd> {
        self.source.as_ref()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.source.is_none()
    }

    /// Whether there is something to read now.
    pub(crate) fn has_unread(&self) -> bool {
        self.source.as_ref().is_some_and(proc::is_readable)
    }

    /// Gives up the rest of the stream.
    pub(crate) fn close(&mut self) {
        self.source = None;
    }

    /// Reads once, at most `most` bytes; how many. It is called when there is something to read, and
    /// [`keep`](Self::keep) says how much of it counts.
    pub(crate) fn read(&mut self, most: usize) -> usize {
        let Some(source) = &self.source else { return 0 };
        let end = self.filled + most.min(self.room);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        match rustix::io::read(source, &mut self.buffer[self.filled..end]) {
            Ok(0) => {
                self.source = None;
                0
            }
            Ok(n) => {
                if n == self.room && self.room < BURST {
                    self.room *= GROWTH;
                    if self.room == BURST {
                        // If the system has no more room for pipes, it stays as it is.
                        let _ = rustix::pipe::fcntl_setpipe_size(source, BURST);
                    }
                }
                n
            }
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(e) => {
                log::warn!("cannot read what a command writes: {e}");
                self.source = None;
                0
            }
        }
    }

    /// Keeps so much of what was just read.
    pub(crate) fn keep(&mut self, bytes: usize) {
        if bytes > 0 {
            self.since.get_or_insert_with(Instant::now);
            self.filled += bytes;
        }
    }

    /// When the chunk has to be handed on. The start of a character alone waits for its rest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        (whole_characters(&self.buffer[..self.filled]) > 0).then(|| since + CHUNK_AGE)
    }

    /// What is due: all of it if it is old or nothing can be added, else all whole chunks. It ends
    /// with a whole character, unless nothing can be added.
    pub(crate) fn due_now(&self, now: Instant, is_last_room: bool) -> Option<&[u8]> {
        let is_old = self.due().is_some_and(|at| at <= now);
        let len = match is_last_room || is_old {
            true => self.filled,
            false => self.filled / CHUNK * CHUNK,
        };
        let end = match whole_characters(&self.buffer[..len]) {
            0 if is_last_room => len,
            end => end,
        };
        (end > 0).then(|| &self.buffer[..end])
    }

    /// So much of it was handed on.
    pub(crate) fn forget(&mut self, bytes: usize, now: Instant) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
        self.since = (self.filled > 0).then_some(now);
    }

    /// What was not handed on, at the end.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.since = None;
        self.buffer.truncate(std::mem::take(&mut self.filled));
        std::mem::take(&mut self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_character_stays_for_the_next_chunk() {
        let (source, far) = rustix::pipe::pipe().expect("a pipe");
        rustix::pipe::fcntl_setpipe_size(&far, 4 * CHUNK).expect("a larger pipe");
        let mut pipe = Pipe::new(OutputStream::Stdout, source);
        let mut take = |bytes: &[u8], now, is_last_room| {
            rustix::io::write(&far, bytes).expect("a pipe");
            let mut left = bytes.len();
            while left > 0 {
                let read = pipe.read(usize::MAX);
                pipe.keep(read);
                left -= read;
            }
            let due = pipe.due_now(now, is_last_room)?.to_vec();
            pipe.forget(due.len(), now);
            Some(due)
        };
        let now = Instant::now();
        let late = now + Duration::from_secs(1);
        assert_eq!(take(b"a\xc3", now, false), None, "neither full nor old");
        assert_eq!(take(b"", late, false).as_deref(), Some(&b"a"[..]));
        let later = late + CHUNK_AGE;
        assert_eq!(take(b"", later, false), None, "half a character");
        assert_eq!(
            take(b"\xa4b", later, false).as_deref(),
            Some("äb".as_bytes())
        );
        assert_eq!(
            take(b"\xc3", now, true).as_deref(),
            Some(&b"\xc3"[..]),
            "no text"
        );
        let whole_chunks = take(&[b'x'; 3 * CHUNK - 1], now, false);
        assert_eq!(whole_chunks.map(|c| c.len()), Some(2 * CHUNK));
        assert_eq!(take(b"x", now, false).map(|c| c.len()), Some(CHUNK));
        assert_eq!(take(b"\xe2\x82", late, false), None);
        let no_character = take(b"\xff", Instant::now() + CHUNK_AGE, false);
        assert_eq!(no_character.as_deref(), Some(&b"\xe2\x82\xff"[..]));
        assert_eq!(take(b"\xc3", now, false), None);
        assert_eq!(pipe.due(), None, "it waits for what completes it");
        assert_eq!(pipe.take_rest(), b"\xc3", "until the end");
        assert!(pipe.take_rest().is_empty() && pipe.due().is_none());
    }
}
