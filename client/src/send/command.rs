//! A command for others to execute, and the lines that ask the server for it.

use common::limits::INPUT_WINDOW;
use common::wire::message;
use common::wire::{Detach, JobId, SelectQueryOut, SendOut, Stdin, method};
use std::time::Duration;

/// A command for others to execute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    words: Vec<String>,
    to: Option<String>,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    pub(super) progress: bool,
    run: Option<String>,
    pub(super) window: Option<u64>,
    pub(super) input: Option<u64>,
}

impl Command {
    /// A command: the program or command word, then its arguments. No shell ever reads them.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Command {
        Command {
            words: words.into_iter().map(Into::into).collect(),
            ..Command::default()
        }
    }

    /// The selector of its targets: `next`, `least-loaded`, `below`, `all`, or a list such as
    /// `2,4-6,web*,!web3`. Without this the server decides.
    #[must_use]
    pub fn to(mut self, selector: impl Into<String>) -> Command {
        self.to = Some(selector.into());
        self
    }

    /// How long it may take at each target, in whole milliseconds, at least one.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Command {
        self.timeout = Some(timeout);
        self
    }

    /// How long it may take from when the server takes it, waiting included, in whole
    /// milliseconds, at least one.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Command {
        self.deadline = Some(deadline);
        self
    }

    /// Asks to be told when each target is given it: [`SendEvent::Started`](crate::SendEvent::Started).
    #[must_use]
    pub fn progress(mut self) -> Command {
        self.progress = true;
        self
    }

    /// Has the server take it only if this is the `run` that the server told in
    /// [`Joined`](common::wire::Joined): a member
    /// number in the selector means another client in another one.
    #[must_use]
    pub fn run(mut self, run: impl Into<String>) -> Command {
        self.run = Some(run.into());
        self
    }

    /// Lets its targets write this many bytes ahead of what was consumed, 1 to 16 MiB, and
    /// nothing of its output is cut. Without a window, output is cut at a bound.
    #[must_use]
    pub fn window(mut self, bytes: u64) -> Command {
        self.window = Some(bytes);
        self
    }

    /// Gives it input, which [`SendHandle::take_input`] writes. Its targets have to take input
    /// ([`Config::takes_input`]), and it waits for none of them: a target without a free slot is busy.
    ///
    /// [`SendHandle::take_input`]: crate::SendHandle::take_input
    /// [`Config::takes_input`]: crate::Config::takes_input
    #[must_use]
    pub fn input(self) -> Command {
        self.input_window(INPUT_WINDOW)
    }

    /// [`input`](Self::input), of which so many bytes may be on their way, 1 to 1 MiB; with
    /// `input` these are 64 KiB.
    #[must_use]
    pub fn input_window(mut self, bytes: u64) -> Command {
        self.input = Some(bytes);
        self
    }

    /// The words.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether it has input.
    pub fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// The selector of its targets, if it has one.
    pub fn selector(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// The question what it would reach, from a place in the list of targets on.
    pub(crate) fn query(&self, from: usize) -> SelectQueryOut<'_> {
        SelectQueryOut {
            to: self.to.as_deref(),
            command: &self.words,
            from: from as u64,
        }
    }

    pub(crate) fn request_line(&self, id: u64) -> Vec<u8> {
        self.line(id, None)
    }

    /// The request that is detached, under an id of this client's choice if it has one.
    pub(crate) fn detached_line(&self, id: u64, job: Option<JobId>) -> Vec<u8> {
        let named = job.map(|job| Detach::Named(Box::new(job)));
        self.line(id, Some(named.unwrap_or(Detach::Flag(true))))
    }

    fn line(&self, id: u64, detach: Option<Detach>) -> Vec<u8> {
        let ms = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let params = SendOut {
            command: &self.words,
            to: self.to.as_deref(),
            timeout_ms: self.timeout.map(|timeout| ms(timeout).max(1)),
            window: self.window,
            deadline_ms: self.deadline.map(|deadline| ms(deadline).max(1)),
            progress: self.progress,
            run: self.run.as_deref(),
            stdin: self.input.map(Stdin::Window),
            detach,
        };
        message::request_line(&id.into(), method::SEND, params)
    }
}
