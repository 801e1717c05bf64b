//! What was written to a peer and not acknowledged by it: so that it can be written again over
//! another connection if this one breaks. Only a peer that asked for that has it; everything that
//! its outbox writes goes through here, in the writer's role.
//!
//! Lines are counted when they are acknowledged, and not before: a line is a `\n`. Two kinds of
//! lines are neither kept nor counted: an answer to `join`, and `ack`s.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes of pieces that short writes are put together to. A longer write is kept as it is.
const PIECE: usize = 32 << 10;

/// How far apart the moments are that are remembered.
const MARK_EVERY: Duration = Duration::from_millis(100);

/// Bytes that were written together, or will be.
#[derive(Debug)]
pub(super) struct KeptPiece {
    bytes: Vec<u8>,
    /// Before this they were acknowledged.
    start: usize,
    /// Lines that end in it.
    lines: u32,
}

impl KeptPiece {
    fn new(bytes: Vec<u8>) -> KeptPiece {
        let lines = count_lines(&bytes);
        KeptPiece {
            bytes,
            start: 0,
            lines,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes of memory that it needs.
    fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The lines and the bytes that it counts as while it waits: the end of a line is one, too.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.lines.max(1) as usize, self.len())
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes
    }

    fn ends_a_line(&self) -> bool {
        self.bytes.last() == Some(&b'\n')
    }

    /// Lets go of its first lines, which are fewer than it has, or all up to its last line's end.
    fn skip(&mut self, lines: u32) {
        let last = lines.saturating_sub(1) as usize;
        let end = memchr::memchr_iter(b'\n', self.bytes()).nth(last);
        self.start += end.map_or(0, |at| at + 1);
        self.lines -= lines;
    }
}

fn count_lines(bytes: &[u8]) -> u32 {
    memchr::memchr_iter(b'\n', bytes).count() as u32
}

/// What the peer may not have. An idle peer has all, and needs none of this.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Written, from the start of a line on.
    written: VecDeque<KeptPiece>,
    /// Written over an earlier connection, and to be written again before all else.
    again: VecDeque<KeptPiece>,
    /// Of what was written: not much more than may be kept.
    pub(super) bytes: u32,
    pub(super) lines: u32,
    /// Bytes of memory that it needs, and those that are counted for it.
    pub(super) memory: usize,
    pub(super) counted: usize,
    /// When lines were written, if that is to be known.
    times: Option<Box<Times>>,
}

#[derive(Debug)]
struct Times {
    /// How many lines in all were written at most [`MARK_EVERY`] after a moment.
    marks: VecDeque<(u64, Instant)>,
    /// When the newest line was written that the peer has acknowledged, or a moment before.
    acknowledged: Instant,
}

impl Times {
    fn mark(&mut self, sent: u64) {
        let now = Instant::now();
        match self.marks.back_mut() {
            Some((lines, at)) if now.duration_since(*at) < MARK_EVERY => *lines = sent,
            _ => self.marks.push_back((sent, now)),
        }
    }

    /// The newest line that was acknowledged is among the first that were written after a mark.
    fn acknowledge(&mut self, received: u64) {
        while let Some((lines, at)) = self.marks.front().copied() {
            self.acknowledged = at;
            if lines <= received {
                self.marks.pop_front();
            }
            if lines >= received {
                break;
            }
        }
        if self.marks.is_empty() {
            self.marks = VecDeque::new();
        }
    }
}

impl Kept {
    /// Whether it need not be here.
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.again.is_empty() && self.times.is_none()
    }

    /// From now on it is known when lines were written.
    pub(super) fn note_times(&mut self) {
        let times = Times {
            marks: VecDeque::new(),
            acknowledged: Instant::now(),
        };
        self.times = Some(Box::new(times));
    }

    /// When the newest line was written that the peer has acknowledged, or a moment before.
    pub(super) fn acknowledged_at(&self) -> Option<Instant> {
        self.times.as_ref().map(|times| times.acknowledged)
    }

    /// What is to be written again before all else.
    pub(super) fn next_again(&mut self) -> Option<KeptPiece> {
        let piece = self.again.pop_front()?;
        if self.again.is_empty() {
            self.again = VecDeque::new();
        }
        self.memory -= piece.memory();
        Some(piece)
    }

    pub(super) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Takes the first bytes of the rest, which were written; a part of the rest does not count.
    /// The peer has acknowledged so many lines in all.
    pub(super) fn keep(
        &mut self,
        rest: &mut Vec<u8>,
        written: usize,
        uncounted: &mut Range<usize>,
        acknowledged: u64,
    ) {
        let before = self.lines;
        self.take_written(rest, written, uncounted);
        let sent = acknowledged + u64::from(self.lines);
        if self.lines > before
            && let Some(times) = &mut self.times
        {
            times.mark(sent);
        }
    }

    /// The peer has so many lines more, which makes so many in all.
    pub(super) fn acknowledge(&mut self, new: u32, received: u64) {
        self.let_go(new);
        if let Some(times) = &mut self.times {
            times.acknowledge(received);
        }
    }

    /// A part of the rest does not count.
    fn take_written(&mut self, rest: &mut Vec<u8>, written: usize, uncounted: &mut Range<usize>) {
        let Range { start, end } = *uncounted;
        if start == end && written == rest.len() && is_worth_moving(rest) {
            self.push(std::mem::take(rest));
        } else {
            self.append(&rest[..start.min(written)]);
            self.append(&rest[end.min(written)..written]);
            rest.drain(..written);
        }
        let left = start.saturating_sub(written)..end.saturating_sub(written);
        *uncounted = if left.is_empty() { 0..0 } else { left };
    }

    fn push(&mut self, bytes: Vec<u8>) {
        let piece = KeptPiece::new(bytes);
        self.bytes += piece.len() as u32;
        self.lines += piece.lines;
        self.memory += piece.memory();
        self.written.push_back(piece);
    }

    fn append(&mut self, bytes: &[u8]) {
        match self.written.back_mut() {
            _ if bytes.is_empty() => {}
            Some(last) if last.bytes.len() + bytes.len() <= PIECE => {
                let (before, lines) = (last.memory(), count_lines(bytes));
                last.bytes.extend_from_slice(bytes);
                last.lines += lines;
                self.memory += last.memory() - before;
                self.bytes += bytes.len() as u32;
                self.lines += lines;
            }
            _ => self.push(bytes.to_vec()),
        }
    }

    /// The peer has so many lines more.
    fn let_go(&mut self, mut left: u32) {
        self.lines -= left;
        while left > 0
            && let Some(first) = self.written.front_mut()
        {
            if first.lines < left || (first.lines == left && first.ends_a_line()) {
                left -= first.lines;
                self.bytes -= first.len() as u32;
                self.memory -= first.memory();
                self.written.pop_front();
            } else {
                let before = first.len();
                first.skip(left);
                self.bytes -= (before - first.len()) as u32;
                left = 0;
            }
        }
        if self.written.is_empty() {
            self.written = VecDeque::new();
        }
    }

    /// Has all that the peer may not have written again, the rest included, which all counts.
    /// Returns the lines and the bytes of it that the outbox has to count as waiting now.
    /// The peer was there last at a time.
    pub(super) fn begin_again(&mut self, rest: Vec<u8>, there: Instant) -> (usize, usize) {
        let mut again = std::mem::take(&mut self.written);
        if !rest.is_empty() {
            again.push_back(KeptPiece::new(rest));
        }
        let counted = again.iter().map(KeptPiece::waiting);
        let counted = counted.fold((0, 0), |(a, b), (lines, bytes)| (a + lines, b + bytes));
        again.append(&mut self.again);
        (self.bytes, self.lines) = (0, 0);
        self.memory = again.iter().map(KeptPiece::memory).sum();
        self.again = again;
        if let Some(times) = &mut self.times {
            times.marks = VecDeque::new();
            times.acknowledged = there;
        }
        counted
    }
}

/// Whether it is cheaper to keep a buffer than to copy what is in it.
fn is_worth_moving(bytes: &Vec<u8>) -> bool {
    bytes.len() > PIECE / 2 && bytes.len() > bytes.capacity() / 2
}
