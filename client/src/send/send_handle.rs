//! A command that was sent: the handle of its sender, and what that is told.

use crate::error::RequestError;
use crate::send::input::{Input, InputFlow};
use crate::send::outcome::{Outcome, Output};
use common::net::outbox::Outbox;
use common::sys::sync::Arc;
use common::wire::message::{self, Id};
use common::wire::{Cancel, OutputStream, Tally, method};
use crossbeam_channel::Receiver;
use std::collections::HashMap;

/// What happens to a command that was sent, in this order: `Accepted` if it is for several targets,
/// for each target `Started` (if it was [asked for]), `Output` and `Outcome` as they come, and `End`,
/// exactly once.
///
/// [asked for]: crate::Command::progress
#[derive(Debug)]
#[non_exhaustive]
pub enum SendEvent {
    /// It is for this many targets; there will be an outcome of each.
    Accepted {
        /// How many.
        targets: u32,
    },
    /// A target was given it, and has a slot for it. Not told while this client is behind with
    /// what it is told.
    Started {
        /// The target's number.
        member: u64,
    },
    /// A target wrote something.
    Output(Box<Output>),
    /// It has ended at one target.
    Outcome(Box<Outcome>),
    /// It has ended everywhere: how many outcomes of each kind there were, or why the
    /// outcomes that are missing will never come.
    End(Result<Tally, RequestError>),
}

/// A command that was sent. Dropping this does not cancel it, unless it has input that was not
/// [taken](Self::take_input), and drops its outcomes.
#[derive(derive_more::Debug)]
#[debug("SendHandle({id})")]
pub struct SendHandle {
    id: u64,
    events: Receiver<SendEvent>,
    outbox: Arc<Outbox>,
    input: Option<Input>,
}

impl SendHandle {
    pub(crate) fn new(
        id: u64,
        events: Receiver<SendEvent>,
        outbox: &Arc<Outbox>,
        max_line: usize,
        input: Option<Arc<InputFlow>>,
    ) -> SendHandle {
        let input = input.map(|flow| Input {
            send: id,
            outbox: Arc::clone(outbox),
            max_line,
            flow,
            is_finished: false,
        });
        SendHandle {
            id,
            events,
            outbox: Arc::clone(outbox),
            input,
        }
    }

    /// Takes the writer of the command's input, once, if it [has input]. It writes from any thread,
    /// while another one reads the events.
    ///
    /// ```
    /// # let server = server::Server::bind(server::Config {
    /// #     listen: "127.0.0.1:0".into(),
    /// #     ..Default::default()
    /// # })?;
    /// # let running = server.spawn()?;
    /// # use client::{Client, Command, Config, ExecutionResult, Job, Simulation};
    /// # let mut config = Config { server: running.address().to_string(), ..Config::default() };
    /// # let boss = Client::connect(&config, Simulation)?;
    /// # config.takes_input = true;
    /// # let count = |job: &Job| {
    /// #     let read = std::io::copy(&mut job.input().expect("input"), &mut std::io::sink());
    /// #     ExecutionResult::exited(0, format!("{}", read.expect("its end")))
    /// # };
    /// # let _worker = Client::connect(&config, count)?;
    /// let mut file = std::fs::File::open("/bin/sh")?;
    /// let mut sent = boss.send(Command::new(["count"]).input())?;
    /// let mut input = sent.take_input().expect("the command has input");
    /// std::thread::spawn(move || {
    ///     // An error drops `input` before its end, which cancels the command.
    ///     std::io::copy(&mut file, &mut input).map(|_| input.finish())
    /// });
    /// let outcomes = sent.wait()?;
    /// # let size = std::fs::metadata("/bin/sh")?.len();
    /// # assert_eq!(outcomes[0].stdout, size.to_string().as_bytes());
    /// # running.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [has input]: crate::Command::input
    pub fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    /// The number of the request, never used again on this connection.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The events as they come, also for `crossbeam_channel::select!`. Disconnected after
    /// [`SendEvent::End`].
    pub fn receiver(&self) -> &Receiver<SendEvent> {
        &self.events
    }

    /// Cancels it: a run is ended, or never starts. The outcomes still come.
    pub fn cancel(&self) {
        let send = Id::from(self.id);
        let params = Cancel { send };
        let line = message::notification_line(method::CANCEL, params);
        self.outbox.push(line);
        self.outbox.flush();
    }

    /// Waits until it has ended everywhere and returns the outcome of each target, with all of its
    /// output. For more output than fits into memory, take the [events](Self::receiver). Input that was
    /// not taken cancels the command.
    ///
    /// # Errors
    /// The server did not take it, or was lost before all outcomes came.
    pub fn wait(mut self) -> Result<Vec<Outcome>, RequestError> {
        drop(self.input.take());
        let mut outcomes = Vec::new();
        // What was told as output, by member.
        let mut written: HashMap<u64, (Vec<u8>, Vec<u8>)> = HashMap::new();
        for event in &self.events {
            match event {
                SendEvent::Accepted { .. } | SendEvent::Started { .. } => {}
                SendEvent::Output(output) => {
                    let (stdout, stderr) = written.entry(output.member).or_default();
                    match output.stream {
                        OutputStream::Stdout => stdout.extend_from_slice(&output.bytes),
                        OutputStream::Stderr => stderr.extend_from_slice(&output.bytes),
                    }
                }
                SendEvent::Outcome(mut outcome) => {
                    let written = outcome.member.and_then(|id| written.remove(&id));
                    let (stdout, stderr) = written.unwrap_or_default();
                    outcome.stdout.splice(0..0, stdout);
                    outcome.stderr.splice(0..0, stderr);
                    outcomes.push(*outcome);
                }
                SendEvent::End(end) => return end.map(|_| outcomes),
            }
        }
        Err(RequestError::Lost)
    }
}
