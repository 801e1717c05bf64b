//! What the reader thread keeps of a command that was sent, and holds the server to.

use crate::error::RequestError;
use crate::send::command::Command;
use crate::send::input::{FlowEnd, InputFlow};
use crate::send::outcome::{Credit, Outcome, WindowUpdate};
use crate::send::send_handle::SendEvent;
use common::limits::{MAX_OUTPUT, MIN_OUTPUT_SHARE, MIN_WINDOW_SHARE};
use common::net::outbox::Outbox;
use common::sys::sync::Arc;
use common::wire::Tally;
use crossbeam_channel::Sender;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

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
