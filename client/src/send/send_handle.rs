//! A command that was sent: the handle of its sender, and what the reader thread keeps of it.

use crate::error::RequestError;
use crate::send::command::Command;
use crate::send::input::{FlowEnd, Input, InputFlow};
use crate::send::outcome::{Credit, Outcome, Output, WindowUpdate};
use common::limits::{MAX_OUTPUT, MIN_OUTPUT_SHARE, MIN_WINDOW_SHARE};
use common::net::outbox::Outbox;
use common::sys::sync::Arc;
use common::wire::message::{self, Id};
use common::wire::{Cancel, OutputStream, Tally, method};
use crossbeam_channel::{Receiver, Sender};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens to a command that was sent, in this order: `Accepted` if it is for several targets,
/// for each target `Started` (if it was [asked for](Command::progress)), `Output` and `Outcome` as they
/// come, and `End`, exactly once.
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

    /// Takes the writer of the command's input, once, if it [has input](Command::input). It writes
    /// from any thread, while another one reads the events.
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

/// What the reader thread keeps of a command until it has ended.
pub(crate) struct PendingSend {
    events: Sender<SendEvent>,
    window: Option<u64>,
    /// How many outcomes there will be, once that was told.
    targets: Option<u32>,
    outcomes: u32,
    /// The targets that have started, if the server is to tell that.
    started: Option<Box<StartedTargets>>,
    /// The targets with an outcome.
    ended: HashSet<u64>,
    /// The targets with output that was dropped here.
    cut: HashSet<u64>,
    unconsumed: Arc<AtomicU64>,
    /// By member: what was consumed with a window, and not told yet.
    untold: HashMap<u64, Arc<AtomicU64>>,
    /// How far its input has come, if it has any.
    input: Option<FlowEnd>,
}

/// The targets that have started, apart from what is kept of every send: few ask for them.
#[derive(Default)]
struct StartedTargets(HashSet<u64>);

/// In how many parts a target is told that its window was consumed: so many that it need
/// not wait for the next, so few that they cost little.
const TOLD_PARTS: u64 = 8;

impl PendingSend {
    pub(crate) fn new(events: Sender<SendEvent>, command: &Command) -> PendingSend {
        PendingSend {
            events,
            window: command.window,
            started: command.progress.then(Box::default),
            targets: None,
            outcomes: 0,
            ended: HashSet::new(),
            cut: HashSet::new(),
            unconsumed: Arc::default(),
            untold: HashMap::new(),
            input: command
                .input
                .map(|window| FlowEnd(Arc::new(InputFlow::new(window)))),
        }
    }

    /// How far its input has come, if it has any.
    pub(crate) fn input(&self) -> Option<Arc<InputFlow>> {
        self.input.as_ref().map(|end| Arc::clone(&end.0))
    }

    pub(crate) fn is_for_many(&self) -> bool {
        self.targets.is_some()
    }

    pub(crate) fn accept(&mut self, targets: u32) -> Option<(Sender<SendEvent>, SendEvent)> {
        match self.targets.replace(targets) {
            None => Some((self.events.clone(), SendEvent::Accepted { targets })),
            Some(_) => None,
        }
    }

    /// Passes on that a target was given it, unless that was told before, or for more targets than
    /// there are.
    pub(crate) fn start(&mut self, member: u64) -> Option<(Sender<SendEvent>, SendEvent)> {
        let started = self.started.as_mut()?;
        let is_expected = started.0.len() < self.targets.unwrap_or(1) as usize
            && !self.ended.contains(&member)
            && started.0.insert(member);
        is_expected.then(|| (self.events.clone(), SendEvent::Started { member }))
    }

    /// Passes an outcome on, unless its target had one already or there are too many.
    pub(crate) fn outcome(
        &mut self,
        mut outcome: Outcome,
    ) -> Option<(Sender<SendEvent>, SendEvent)> {
        let is_expected = self.outcomes < self.targets.unwrap_or(1);
        if !is_expected || outcome.member.is_some_and(|id| !self.ended.insert(id)) {
            return None;
        }
        self.outcomes += 1;
        outcome.truncated |= outcome.member.is_some_and(|id| self.cut.contains(&id));
        let event = SendEvent::Outcome(Box::new(outcome));
        Some((self.events.clone(), event))
    }

    /// Reserves room for output that has come; `None` if more of it waits than was agreed, or if it is of
    /// more targets than there are, because the server breaks the protocol.
    pub(crate) fn reserve(
        &mut self,
        id: u64,
        member: u64,
        bytes: u64,
        outbox: &Arc<Outbox>,
    ) -> Option<(Sender<SendEvent>, Credit)> {
        let targets = u64::from(self.targets.unwrap_or(1));
        let bound = match self.window {
            Some(window) => window.max(targets * MIN_WINDOW_SHARE),
            None => MAX_OUTPUT.max(targets * MIN_OUTPUT_SHARE),
        };
        let is_target = (self.untold.len() as u64) < targets || self.untold.contains_key(&member);
        if !is_target || self.ended.contains(&member) {
            return None;
        }
        let untold = self.untold.entry(member).or_default();
        if self.unconsumed.load(Ordering::Relaxed) + bytes > bound {
            self.cut.insert(member);
            return None;
        }
        self.unconsumed.fetch_add(bytes, Ordering::Relaxed);
        let tell = self.window.map(|window| WindowUpdate {
            outbox: Arc::clone(outbox),
            send: id,
            member,
            untold: Arc::clone(untold),
            enough: (window / targets.max(1)).max(MIN_WINDOW_SHARE) / TOLD_PARTS,
        });
        let credit = Credit {
            unconsumed: Arc::clone(&self.unconsumed),
            bytes,
            tell,
        };
        Some((self.events.clone(), credit))
    }

    pub(crate) fn end(self, how: Result<Tally, RequestError>) {
        // Its input ends with it, after that was told.
        let _ = self.events.send(SendEvent::End(how));
    }
}
