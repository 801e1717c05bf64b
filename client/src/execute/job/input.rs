//! The input of a job: the reader thread adds pieces and never waits, and the job takes them.

use super::Job;
use super::input_buffer::{InputBuffer, TooMuchInput};
use common::sys::sync::lock;
use common::wire::message::notification_line;
use common::wire::{ExecutionInputConsumed, method};
use std::io::{self, Read};
use std::task::Poll;

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
