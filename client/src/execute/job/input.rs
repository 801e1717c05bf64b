//! The input of a job: what has come of it, and how far the job got through with it.
//!
//! The reader thread adds pieces and never waits; the job takes them. What a job has not taken is
//! bounded by the window, which the server holds the sender to.

use super::Job;
use common::limits::{INPUT_STEP, MAX_INPUT_PIECES, MAX_INPUT_WINDOW};
use common::sys::sync::lock;
use common::wire::message::notification_line;
use common::wire::{ExecutionInputConsumed, method};
use std::collections::VecDeque;
use std::io::{self, Read};
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

impl Job {
    /// Reads the input that its sender gives it, if it has any; only a client with
    /// [`Config::takes_input`](crate::Config::takes_input) is given such jobs. What is read is gone
    /// for another reader. Until it is read, or [closed](Self::close_input), the sender waits.
    ///
    /// ```
    /// # let server = server::Server::bind(server::Config {
    /// #     listen: "127.0.0.1:0".into(),
    /// #     ..Default::default()
    /// # })?;
    /// # let running = server.spawn()?;
    /// use client::{Client, Command, Config, ExecutionResult, Job, Simulation};
    /// use std::io::{Read, Write};
    ///
    /// let mut config = Config { server: running.address().to_string(), ..Config::default() };
    /// let boss = Client::connect(&config, Simulation)?;
    /// config.takes_input = true;
    /// let _worker = Client::connect(&config, |job: &Job| {
    ///     let mut text = String::new();
    ///     let read = job.input().map(|mut input| input.read_to_string(&mut text));
    ///     match read {
    ///         Some(Ok(bytes)) => ExecutionResult::exited(0, format!("{bytes} bytes: {text}")),
    ///         Some(Err(why)) => ExecutionResult::Failed(why.to_string()),
    ///         None => ExecutionResult::Refused("it needs input".into()),
    ///     }
    /// })?;
    ///
    /// let mut sent = boss.send(Command::new(["read"]).input())?;
    /// let mut input = sent.take_input().expect("the command has input");
    /// write!(input, "hello")?;
    /// input.finish();
    /// assert_eq!(sent.wait()?[0].stdout, b"5 bytes: hello");
    /// # running.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn input(&self) -> Option<JobInput<'_>> {
        self.0.has_input.then_some(JobInput(self))
    }

    /// Whether its sender gives it input.
    pub fn has_input(&self) -> bool {
        self.0.has_input
    }

    /// Wants no more of its input: the sender need not wait for what was not read.
    pub fn close_input(&self) {
        self.change_input(InputBuffer::close);
    }

    /// Adds a piece of input. The reader thread does, and does not wait.
    pub(crate) fn add_input(&self, bytes: Vec<u8>, is_last: bool) -> Result<(), TooMuchInput> {
        let mut state = lock(&self.0.stop);
        let Some(input) = &mut state.input else {
            return Ok(());
        };
        let is_awaited = input.add(bytes, is_last)?;
        let skipped = input.skip();
        drop(state);
        self.tell_consumed(skipped);
        if is_awaited {
            self.wake();
        }
        Ok(())
    }

    /// Takes the next piece of input; nothing at its end. [`consume_input`](Self::consume_input) says how
    /// much of it was dealt with.
    pub(crate) fn next_input(&self) -> Poll<Option<Vec<u8>>> {
        let mut state = lock(&self.0.stop);
        let next = state.input.as_mut().map(|input| input.next());
        next.unwrap_or(Poll::Ready(None))
    }

    /// Whether there is more input to take, or its end.
    pub(crate) fn has_next_input(&self) -> bool {
        let state = lock(&self.0.stop);
        state.input.as_ref().is_some_and(|input| input.has_next())
    }

    /// So much of the input was dealt with.
    pub(crate) fn consume_input(&self, bytes: u64) {
        self.change_input(|input| input.consume(bytes));
    }

    fn change_input(&self, change: impl FnOnce(&mut InputBuffer) -> Option<u64>) {
        let mut state = lock(&self.0.stop);
        let told = state.input.as_mut().and_then(|input| change(input));
        drop(state);
        self.tell_consumed(told);
    }

    fn tell_consumed(&self, bytes: Option<u64>) {
        if let (Some(bytes), Some(id)) = (bytes, self.id().number()) {
            let consumed = ExecutionInputConsumed { id, bytes };
            let line = notification_line(method::INPUT_CONSUMED, consumed);
            let outbox = &self.reply_to().outbox;
            outbox.push(line);
            outbox.flush();
        }
    }
}

impl InputBuffer {
    /// Adds a piece; says whether the job waits for it.
    pub(crate) fn add(&mut self, bytes: Vec<u8>, is_last: bool) -> Result<bool, TooMuchInput> {
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
    pub(crate) fn next(&mut self) -> Poll<Option<Vec<u8>>> {
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
    pub(crate) fn has_next(&self) -> bool {
        !self.pieces.is_empty() || self.has_end || self.is_closed
    }

    /// Copies what there is of the first piece; `None` if nothing is there yet.
    fn copy(&mut self, into: &mut [u8]) -> Option<usize> {
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
    pub(crate) fn consume(&mut self, bytes: u64) -> Option<u64> {
        self.left = self.left.saturating_sub(bytes);
        self.untold += bytes;
        let is_worth_it = self.untold >= INPUT_STEP || self.left == 0;
        (is_worth_it && self.untold > 0).then(|| std::mem::take(&mut self.untold))
    }

    /// Nothing more of it is wanted: what has come counts as taken, and what still comes as well.
    pub(crate) fn close(&mut self) -> Option<u64> {
        self.is_closed = true;
        self.pieces.clear();
        self.consume(self.left)
    }

    /// What came after the job had closed it.
    pub(crate) fn skip(&mut self) -> Option<u64> {
        if self.is_closed { self.close() } else { None }
    }
}

/// Reads the input of a job: see [`Job::input`].
#[derive(Debug)]
pub struct JobInput<'a>(pub(crate) &'a Job);

impl Read for JobInput<'_> {
    /// Waits until something has come. Nothing read means that the sender has said the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] once the job is no longer wanted: its input may then lack
    /// its end, and must not be taken for the whole.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        match self.0.wait_for(|state| state.input.as_mut()?.copy(into)) {
            Some(0) => Ok(0),
            Some(read) => {
                self.0.consume_input(read as u64);
                Ok(read)
            }
            None => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the command is no longer wanted",
            )),
        }
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
