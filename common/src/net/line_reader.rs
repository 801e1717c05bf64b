//! Lines out of a stream of bytes, with a bound.
//!
//! The reader asks for bytes only when it has no whole line left, so a burst that
//! arrives in one piece is handed on without another system call. Its buffer starts
//! small, grows while reads fill it, and goes back to its first size once reads are small
//! again: an idle connection costs [`FIRST_BUFFER`] bytes.

use std::io::{self, Read};

/// Bytes of an idle connection's buffer: most messages fit whole, and thousands are idle.
pub const FIRST_BUFFER: usize = 192;

/// How far the buffer grows for throughput alone; only a line that is longer takes it
/// further. Larger reads gain nothing measurable on loopback.
const READ_AHEAD: usize = 256 << 10;

/// Small reads in a row after which a grown buffer is given back: one pause between two
/// bursts is no reason to grow again.
const PATIENCE: u32 = 16;

/// Why there is no next line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line is longer than {limit} bytes")]
pub struct TooLong {
    /// The bound that it broke, in bytes, the `\n` included.
    pub limit: usize,
}

/// Splits what it reads into lines.
#[derive(Debug)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// The start of the first line that was not yet handed out.
    start: usize,
    /// The end of the bytes that were read.
    end: usize,
    /// Up to here no `\n` was found.
    scanned: usize,
    limit: usize,
    /// Whether the last read filled the buffer: more may be waiting.
    filled: bool,
    /// Reads in a row that a much smaller buffer would have held.
    small_reads: u32,
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes, `\n` included.
    pub fn new(limit: usize) -> LineReader {
        LineReader {
            buffer: vec![0; FIRST_BUFFER.min(limit)],
            start: 0,
            end: 0,
            scanned: 0,
            limit,
            filled: false,
            small_reads: 0,
        }
    }

    /// Sets another bound, for lines not yet handed out.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next line that is already here, without its `\n` or `\r\n`.
    ///
    /// # Errors
    /// A line, complete or not, that is longer than the bound. The stream is of no
    /// use any more: the start of the next line is not known.
    #[inline]
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let too_long = TooLong { limit: self.limit };
        let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..self.end]) else {
            self.scanned = self.end;
            if self.end - self.start >= self.limit {
                return Err(too_long);
            }
            return Ok(None);
        };
        let newline = self.scanned + at;
        let line = self.start..newline;
        if newline + 1 - self.start > self.limit {
            return Err(too_long);
        }
        self.start = newline + 1;
        self.scanned = self.start;
        let line = &self.buffer[line];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// What is here and was not handed out: of a line that is too long, its start.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Bytes of the buffer.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Makes the buffer small again if nothing is in it, for a time when memory is short: what the
    /// next burst costs more counts less then.
    pub fn give_back(&mut self) {
        if self.start == self.end && self.buffer.len() > FIRST_BUFFER {
            let limit = self.limit;
            *self = LineReader::new(limit);
        }
    }

    /// Whether a line has begun and not ended.
    pub fn has_partial_line(&self) -> bool {
        self.start < self.end
    }

    /// Reads once. `Ok(0)` is the end of the stream. Call it when
    /// [`next_line`](Self::next_line) has nothing more.
    ///
    /// # Errors
    /// The stream's own.
    pub fn fill(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        self.make_room();
        let room = &mut self.buffer[self.end..];
        let read = stream.read(room)?;
        self.filled = read == room.len();
        let is_small = self.buffer.len() > FIRST_BUFFER && read < self.buffer.len() / 16;
        self.small_reads = if is_small { self.small_reads + 1 } else { 0 };
        self.end += read;
        Ok(read)
    }

    /// Whether the last read filled the buffer: more may be waiting.
    pub fn has_filled(&self) -> bool {
        self.filled
    }

    /// Bytes that the buffer will have for the next [`fill`](Self::fill), for a caller that counts
    /// them before they are there.
    pub fn wanted(&self) -> usize {
        let (size, unread) = (self.buffer.len(), self.end - self.start);
        match size {
            _ if unread == 0 && self.small_reads > PATIENCE => FIRST_BUFFER.min(self.limit),
            // The line that is being read never needs more than its bound.
            _ if unread == size => (size * 2).min(self.limit.max(READ_AHEAD)).max(size + 1),
            _ if self.filled && size < READ_AHEAD => (size * 4).min(READ_AHEAD),
            _ => size,
        }
    }

    fn make_room(&mut self) {
        let (unread, wanted) = (self.start..self.end, self.wanted());
        if wanted < self.buffer.len() {
            self.buffer = vec![0; wanted];
            self.small_reads = 0;
        } else if self.start > 0 {
            self.buffer.copy_within(unread.clone(), 0);
        }
        self.end = unread.len();
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.resize(wanted, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A stream that gives its bytes in pieces of the sizes it was told.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::vec::IntoIter<usize>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes.next().unwrap_or(usize::MAX).max(1);
            let n = size.min(into.len()).min(self.bytes.len());
            into[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes = &self.bytes[n..];
            Ok(n)
        }
    }

    fn read_all(bytes: &[u8], sizes: Vec<usize>, limit: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut stream = Pieces {
            bytes,
            sizes: sizes.into_iter(),
        };
        let mut reader = LineReader::new(limit);
        let mut lines = Vec::new();
        loop {
            while let Some(line) = reader.next_line()? {
                lines.push(line.to_vec());
            }
            let read = reader.fill(&mut stream).expect("memory never fails");
            if read == 0 {
                return Ok(lines);
            }
        }
    }

    #[test]
    fn a_bound_includes_the_newline() {
        let exactly = [vec![b'x'; 99], vec![b'\n']].concat();
        assert_eq!(read_all(&exactly, vec![], 100).map(|l| l.len()), Ok(1));
        let over = [vec![b'x'; 100], vec![b'\n']].concat();
        assert_eq!(read_all(&over, vec![], 100), Err(TooLong { limit: 100 }));
    }

    #[test]
    fn an_endless_line_is_never_buffered_whole() {
        let mut reader = LineReader::new(4096);
        let mut stream = io::repeat(b'x');
        while reader.next_line() == Ok(None) {
            reader.fill(&mut stream).expect("endless");
            assert!(reader.buffer.len() <= READ_AHEAD, "the bound of throughput");
        }
    }

    #[test]
    fn a_buffer_grows_with_bursts_and_shrinks_with_small_reads() {
        let burst = b"{\"a\":1}\n".repeat(100_000);
        let mut stream = Pieces {
            bytes: &burst,
            sizes: vec![usize::MAX; 1000].into_iter(),
        };
        let mut trickle = io::repeat(b'\n');
        let mut reader = LineReader::new(1 << 20);
        let mut reads = 0;
        while reader.fill(&mut stream).expect("memory never fails") > 0 {
            while reader.next_line().expect("short lines").is_some() {}
            reads += 1;
        }
        assert_eq!(reader.buffer.len(), READ_AHEAD);
        assert!(reads < 30, "{reads} reads for {} bytes", burst.len());
        for _ in 0..=PATIENCE + 1 {
            let mut one = Read::by_ref(&mut trickle).take(1);
            reader.fill(&mut one).expect("memory never fails");
            while reader.next_line().expect("short lines").is_some() {}
        }
        assert_eq!(reader.buffer.len(), FIRST_BUFFER);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            lines in prop::collection::vec("[a-z\r]{0,40}", 0..40),
            sizes in prop::collection::vec(1usize..50, 0..200),
        ) {
            let stream: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), b"\n"].concat()).collect();
            let expected: Vec<Vec<u8>> = lines
                .iter()
                .map(|l| l.strip_suffix('\r').unwrap_or(l).as_bytes().to_vec())
                .collect();
            prop_assert_eq!(read_all(&stream, sizes, 64), Ok(expected));
        }
    }
}
