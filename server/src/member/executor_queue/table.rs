//! The table behind the lock of a client's queue: what runs, what waits, and how much of that is
//! each sender's. Its callers hold the lock, and do with a change what is done outside of it.

use super::{Cancelled, QueueBounds, Registered, Running, TakenOut};
use crate::connection::Connection;
use crate::dispatch::command::Assignment;
use crate::member::Member;
use crate::millis;
use common::limits::{ANSWER_GRACE, MAX_OPEN_INPUTS};
use common::memory::Charge;
use common::net::outbox::Line;
use common::sys::sync::Arc;
use common::wire::message::notification_line;
use common::wire::{CancelExecution, Status, fast_encode, method};
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};

/// How often a client is checked again that has a slot, but much to read first.
const ROOM_TICK_MS: u64 = 20;

#[derive(Default)]
pub(super) struct Table {
    pub(super) state: State,
    /// By the id of the `execute`.
    pub(super) running: HashMap<u64, Running, RandomState>,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) waiting_bytes: usize,
    /// The part of each sender.
    pub(super) shares: HashMap<u64, Share, RandomState>,
    /// The time of the earliest timer for overdue answers.
    pub(super) watched: Option<u64>,
    /// The same, if it has still to be scheduled.
    pub(super) to_watch: Option<u64>,
    /// The senders that were told that their commands were started, and whose connections are to be
    /// flushed.
    pub(super) told: Vec<Arc<Member>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Open,
    /// The server stops: nothing new is started.
    Draining,
    /// The client has left.
    Gone,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Share {
    commands: usize,
    bytes: usize,
}

pub(super) struct Waiting {
    pub(super) assignment: Assignment,
    line: Line,
    /// For the line, if it is no one else's.
    _charge: Charge,
}

impl Table {
    pub(super) fn start(
        &mut self,
        assignment: Assignment,
        line: &mut Line,
        target: &Member,
        now: u64,
    ) {
        let command = &assignment.command;
        let id = command.id;
        let told = target.connection.outbox.push_from(line);
        if told && command.progress {
            command.tell_started(target.id);
            self.told.push(Arc::clone(&command.sender));
        }
        let overdue = command.time_left(now).map(|timeout| {
            let at = now
                .saturating_add(timeout)
                .saturating_add(millis(ANSWER_GRACE));
            (at, Status::TimedOut)
        });
        let running = Running {
            told,
            since: now,
            credit: command.credit(),
            overdue,
            cancelled: false,
            assignment: Some(assignment),
        };
        if let Some((at, _)) = overdue {
            self.watch(at, now);
        }
        self.running.insert(id, running);
    }

    /// Starts a command with input, or says why not: it never waits, as two senders that wait for
    /// each other's targets would stand still for ever.
    #[inline(never)]
    pub(super) fn start_with_input(
        &mut self,
        assignment: Assignment,
        line: &mut Line,
        target: &Member,
        now: u64,
    ) -> Registered {
        if !target.takes_input {
            return Registered::NoInput;
        }
        let has_input = |running: &&Running| {
            let assignment = running.assignment.as_ref();
            assignment.is_some_and(|assignment| assignment.command.input.is_some())
        };
        let is_free = self.has_slot(target.queue.slots, &target.connection)
            && self.waiting.is_empty()
            && self.running.values().filter(has_input).count() < MAX_OPEN_INPUTS;
        if !is_free {
            return Registered::Busy;
        }
        self.start(assignment, line, target, now);
        // The caller flushes the one sender that it may be.
        self.told.clear();
        Registered::Started
    }

    /// Gives the client what waits, as far as it has slots; says how many that were.
    pub(super) fn start_waiting(&mut self, slots: usize, target: &Member, now: u64) -> usize {
        let mut started = 0;
        while self.has_slot(slots, &target.connection)
            && let Some(mut next) = self.waiting.pop_front()
        {
            if next.deadline().is_some_and(|at| at <= now) {
                // The check that is due takes it out, and starts what waits behind it.
                self.waiting.push_front(next);
                self.watch(now, now);
                return started;
            }
            self.account(&next, false);
            next.shorten(now);
            self.start(next.assignment, &mut next.line, target, now);
            started += 1;
        }
        self.watch_room(slots, &target.connection, now);
        started
    }

    pub(super) fn cancel_running(
        &mut self,
        id: u64,
        connection: &Connection,
        now: u64,
    ) -> Cancelled {
        match self.running.get_mut(&id) {
            Some(running) if running.assignment.is_some() && !running.cancelled => {
                running.cancelled = true;
                let at = now.saturating_add(millis(ANSWER_GRACE));
                if running.overdue.is_none_or(|(earlier, _)| at < earlier) {
                    running.overdue = Some((at, Status::Cancelled));
                    self.watch(at, now);
                }
                let line = notification_line(method::CANCEL, CancelExecution { id });
                connection.outbox.push(line);
                Cancelled::Running
            }
            _ => Cancelled::Unknown,
        }
    }

    pub(super) fn cancel_waiting(&mut self, id: u64) -> Cancelled {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|waiting| waiting.assignment.command.id == id);
        match at.and_then(|at| self.waiting.remove(at)) {
            Some(cancelled) => {
                self.account(&cancelled, false);
                Cancelled::Waiting
            }
            None => Cancelled::Unknown,
        }
    }

    /// Whether the client can be given a command: it has a slot, and has taken most of what it
    /// was given. A client that reads slowly has commands wait here, where they have a bound.
    pub(super) fn has_slot(&self, slots: usize, connection: &Connection) -> bool {
        self.running.len() < slots && !connection.outbox.is_over_half() && !connection.is_away()
    }

    /// Has the queue checked when the next answer is overdue.
    pub(super) fn watch_overdue(&mut self, now: u64) {
        let overdue = self.running.values().filter_map(|running| running.overdue);
        if let Some(next) = overdue.map(|(at, _)| at).min() {
            self.watch(next.max(now + 1), now);
        }
    }

    /// Takes out what has waited until its deadline.
    pub(super) fn take_expired(&mut self, now: u64) -> Vec<TakenOut> {
        let is_over = |waiting: &Waiting| waiting.deadline().is_some_and(|at| at <= now);
        let mut expired = Vec::new();
        let mut at = 0;
        while at < self.waiting.len() {
            if !is_over(&self.waiting[at]) {
                at += 1;
            } else if let Some(waiting) = self.waiting.remove(at) {
                self.account(&waiting, false);
                expired.push(TakenOut {
                    assignment: waiting.assignment,
                    since: None,
                    status: Status::TimedOut,
                    truncated: false,
                });
            }
        }
        expired
    }

    /// Has the queue checked soon if a command waits for something else than a slot: no answer will
    /// start it then. What waits for a client that is away is started when it comes back.
    pub(super) fn watch_room(&mut self, slots: usize, connection: &Connection, now: u64) {
        if !self.waiting.is_empty() && self.running.len() < slots && !connection.is_away() {
            self.watch(now + ROOM_TICK_MS, now);
        }
    }

    /// Has a command wait, if there is room for it.
    pub(super) fn wait(
        &mut self,
        assignment: Assignment,
        line: &mut Line,
        bounds: QueueBounds<'_>,
    ) -> bool {
        let share = self
            .shares
            .get(&assignment.command.sender.id)
            .copied()
            .unwrap_or_default();
        let half = |bound: usize| (bound / 2).max(1);
        let fits = self.waiting.len() < bounds.commands
            && self.waiting_bytes + line.len() <= bounds.bytes
            && share.commands < half(bounds.commands)
            && share.bytes + line.len() <= half(bounds.bytes);
        if fits {
            let line = line.take();
            let charge = bounds.memory.map_or(Charge::default(), |memory| {
                Charge::new(memory, line.own_bytes())
            });
            let waiting = Waiting {
                assignment,
                line,
                _charge: charge,
            };
            self.account(&waiting, true);
            self.waiting.push_back(waiting);
        }
        fits
    }

    /// Counts what waits, in all and by sender.
    fn account(&mut self, waiting: &Waiting, comes: bool) {
        let bytes = waiting.line.len();
        let share = self.shares.entry(waiting.sender()).or_default();
        if comes {
            share.commands += 1;
            share.bytes += bytes;
            self.waiting_bytes += bytes;
        } else {
            share.commands -= 1;
            share.bytes -= bytes;
            self.waiting_bytes -= bytes;
            if share.commands == 0 {
                self.shares.remove(&waiting.sender());
            }
        }
    }

    /// Asks for a timer, unless an earlier one is scheduled. It is never far away, so that a long
    /// time-out of a client that has left keeps no memory for long.
    pub(super) fn watch(&mut self, at: u64, now: u64) {
        let at = at.min(now.saturating_add(millis(ANSWER_GRACE)));
        if self.watched.is_none_or(|watched| at < watched) {
            self.watched = Some(at);
            self.to_watch = Some(at);
        }
    }
}

impl Waiting {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.assignment.command.deadline
    }

    /// Has the target end it at its deadline, which has come closer while it waited.
    fn shorten(&mut self, now: u64) {
        let command = &self.assignment.command;
        if command.deadline.is_some()
            && let Some(left) = command.time_left(now)
            && let Some(line) = fast_encode::with_timeout(&self.line, left)
        {
            self.line = line.into();
        }
    }

    fn sender(&self) -> u64 {
        self.assignment.command.sender.id
    }
}
