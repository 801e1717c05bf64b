//! What has come of a job's input, and how far the job got through with it.
//!
//! What a job has not taken is bounded by the window, which the server holds the sender to.

use common::limits::{INPUT_STEP, MAX_INPUT_PIECES, MAX_INPUT_WINDOW};
use std::collections::VecDeque;
use std::task::Poll;

/// What has come of a job's input and was not taken yet.
#[derive(Default)]
pub(super) struct InputBuffer {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were read.
    read: usize,
    /// Bytes that came and are not consumed.
    left: u64,
    /// Bytes that are consumed, and not told yet.
    untold: u64,
    /// The sender has said the end.
    has_end: bool,
    /// The rest is not wanted.
    is_closed: bool,
}

/// More input than any window: the server breaks the protocol.
#[derive(Debug)]
pub(crate) struct TooMuchInput;

impl InputBuffer {
    /// Adds a piece; says whether the job waits for it.
    pub(super) fn add(&mut self, bytes: Vec<u8>, is_last: bool) -> Result<bool, TooMuchInput> {
        if self.has_end {
            return Ok(false);
        }
        self.has_end = is_last;
        let length = bytes.len() as u64;
        // An end alone is no piece: it may come when the sender has all of them under way.
        let is_piece = length > 0;
        if self.left + length > MAX_INPUT_WINDOW
            || is_piece && self.pieces.len() == MAX_INPUT_PIECES
        {
            return Err(TooMuchInput);
        }
        self.left += length;
        let was_empty = self.pieces.is_empty();
        if is_piece && !self.is_closed {
            self.pieces.push_back(bytes);
        }
        Ok(was_empty || is_last)
    }

    /// Takes the next piece; nothing at the end.
    pub(super) fn next(&mut self) -> Poll<Option<Vec<u8>>> {
        match self.pieces.pop_front() {
            Some(mut piece) => {
                piece.drain(..std::mem::take(&mut self.read));
                Poll::Ready(Some(piece))
            }
            None if self.has_end || self.is_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Whether there is a piece, or the end.
    pub(super) fn has_next(&self) -> bool {
        !self.pieces.is_empty() || self.has_end || self.is_closed
    }

    /// Copies what there is of the first piece; `None` if nothing is there yet.
    pub(super) fn copy(&mut self, into: &mut [u8]) -> Option<usize> {
        let Some(piece) = self.pieces.front() else {
            return self.has_next().then_some(0);
        };
        let unread = &piece[self.read..];
        let length = unread.len().min(into.len());
        into[..length].copy_from_slice(&unread[..length]);
        self.read += length;
        if self.read == piece.len() {
            self.read = 0;
            self.pieces.pop_front();
        }
        Some(length)
    }

    /// Notes what was taken; what is to be told of it now.
    pub(super) fn consume(&mut self, bytes: u64) -> Option<u64> {
        self.left = self.left.saturating_sub(bytes);
        self.untold += bytes;
        let is_worth_it = self.untold >= INPUT_STEP || self.left == 0;
        (is_worth_it && self.untold > 0).then(|| std::mem::take(&mut self.untold))
    }

    /// Nothing more of it is wanted: what has come counts as taken, and what still comes as well.
    pub(super) fn close(&mut self) -> Option<u64> {
        self.is_closed = true;
        self.pieces.clear();
        self.consume(self.left)
    }

    /// What came after the job had closed it.
    pub(super) fn skip(&mut self) -> Option<u64> {
        if self.is_closed { self.close() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(input: &mut InputBuffer, bytes: &[u8], is_last: bool) -> bool {
        input.add(bytes.to_vec(), is_last).expect("it fits")
    }

    #[test]
    fn what_is_taken_is_told_in_steps_or_when_it_is_all() {
        let mut input = InputBuffer::default();
        assert!(add(&mut input, &[7; 20_000], false));
        assert!(!add(&mut input, &[8; 20_000], false), "it has something");
        assert_eq!(input.consume(10_000), None);
        assert_eq!(input.consume(10_000), Some(20_000));
        assert_eq!(input.consume(10_000), None);
        assert_eq!(input.consume(9_999), Some(19_999));
        assert_eq!(input.consume(1), Some(1), "it is all");
        assert_eq!(input.consume(0), None);
    }

    #[test]
    fn pieces_come_in_order_and_then_the_end() {
        let mut input = InputBuffer::default();
        assert_eq!(input.next(), Poll::Pending);
        add(&mut input, b"abc", false);
        let mut two = [0; 2];
        assert_eq!(input.copy(&mut two), Some(2));
        assert_eq!(&two, b"ab");
        add(&mut input, b"d", true);
        add(&mut input, b"after the end", false);
        assert_eq!(input.next(), Poll::Ready(Some(b"c".to_vec())));
        assert_eq!(input.copy(&mut two), Some(1));
        assert_eq!(input.next(), Poll::Ready(None));
        assert_eq!(input.copy(&mut two), Some(0));
    }

    #[test]
    fn what_is_not_wanted_counts_as_taken() {
        let mut input = InputBuffer::default();
        add(&mut input, b"abc", false);
        assert_eq!(input.close(), Some(3));
        add(&mut input, b"de", false);
        assert_eq!(input.skip(), Some(2));
        assert_eq!(input.next(), Poll::Ready(None));
    }

    #[test]
    fn more_than_any_window_or_more_pieces_are_too_much_and_an_end_alone_is_none() {
        let window = vec![0; MAX_INPUT_WINDOW as usize];
        let pieces = vec![vec![0]; MAX_INPUT_PIECES];
        for all in [vec![window], pieces] {
            for (more, is_last, is_too_much) in [(&[][..], true, false), (&[0], false, true)] {
                let mut input = InputBuffer::default();
                for piece in all.clone() {
                    assert!(input.add(piece, false).is_ok());
                }
                let added = input.add(more.to_vec(), is_last);
                assert_eq!(added.is_err(), is_too_much, "{} and {more:?}", all.len());
            }
        }
    }
}
