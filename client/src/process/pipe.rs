//! One of a program's two streams, on its way to the sender: read when there is room, cut
//! into chunks between characters, and handed on when a chunk is full or old.

use crate::answer::whole_characters;
use common::protocol::OutputStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// Bytes after which a chunk is handed on: large enough that a line's own cost does not
/// show, small enough that nothing waits for it long.
pub(crate) const CHUNK: usize = 32 << 10;

/// How old a chunk may become before it is handed on.
pub(crate) const CHUNK_AGE: Duration = Duration::from_millis(100);

pub(crate) struct Pipe {
    pub(crate) stream: OutputStream,
    source: Option<OwnedFd>,
    chunk: Vec<u8>,
    /// When the oldest byte of the chunk was read.
    since: Option<Instant>,
}

impl Pipe {
    pub(crate) fn new(stream: OutputStream, source: OwnedFd) -> Pipe {
        Pipe {
            stream,
            source: Some(source),
            chunk: Vec::new(),
            since: None,
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
        let Some(source) = &self.source else {
            return false;
        };
        let mut fds = [PollFd::new(source, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::IN)
    }

    /// Nobody wants to read the rest.
    pub(crate) fn close(&mut self) {
        self.source = None;
    }

    /// Reads once, at most `most` bytes; how many. It is called where there is something.
    pub(crate) fn read(&mut self, most: usize, scratch: &mut [u8]) -> usize {
        let Some(source) = &self.source else { return 0 };
        let room = most.min(scratch.len());
        match rustix::io::read(source, &mut scratch[..room]) {
            Ok(0) => {
                self.source = None;
                0
            }
            Ok(n) => n,
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(e) => {
                log::warn!("cannot read what a command writes: {e}");
                self.source = None;
                0
            }
        }
    }

    /// Adds what was read to the chunk.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.chunk.extend_from_slice(bytes);
        }
    }

    /// When the chunk is to be handed on at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + CHUNK_AGE)
    }

    /// The chunk, if it is full or old or nothing can be added to it, up to its last whole
    /// character.
    pub(crate) fn take_due(&mut self, now: Instant, is_last_room: bool) -> Option<Vec<u8>> {
        let is_old = self.due().is_some_and(|at| at <= now);
        if self.chunk.is_empty() || !(is_last_room || is_old || self.chunk.len() >= CHUNK) {
            return None;
        }
        let end = whole_characters(&self.chunk);
        // What is no text has no characters to be kept whole.
        let end = if end == 0 { self.chunk.len() } else { end };
        let rest = self.chunk.split_off(end);
        self.since = (!rest.is_empty()).then_some(now);
        Some(std::mem::replace(&mut self.chunk, rest))
    }

    /// What was not handed on, at the end.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.since = None;
        std::mem::take(&mut self.chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_character_stays_for_the_next_chunk() {
        let (source, _far) = rustix::pipe::pipe().expect("a pipe");
        let mut pipe = Pipe::new(OutputStream::Stdout, source);
        let late = Instant::now() + Duration::from_secs(1);
        pipe.keep(b"a\xc3");
        assert_eq!(
            pipe.take_due(Instant::now(), false),
            None,
            "neither full nor old"
        );
        assert_eq!(pipe.take_due(late, false).as_deref(), Some(&b"a"[..]));
        pipe.keep(b"\xa4b");
        assert_eq!(
            pipe.take_due(late + CHUNK_AGE, false).as_deref(),
            Some("äb".as_bytes())
        );
        pipe.keep(b"\xc3");
        // A part of a character that stays alone for long is no text.
        assert_eq!(pipe.take_due(late, false).as_deref(), Some(&b"\xc3"[..]));
        pipe.keep(&[b'x'; CHUNK]);
        assert_eq!(
            pipe.take_due(Instant::now(), false).map(|c| c.len()),
            Some(CHUNK)
        );
        assert!(pipe.take_rest().is_empty() && pipe.due().is_none());
    }
}
