//! What one client executes: the commands it was given and has not answered, and those that
//! wait until it has a slot for them.
//!
//! This table decides a command's outcome: taking the command out is the single act that does. So the client that it was given to is the only one that can answer for it, and it is
//! answered once. Whether the client is still here is checked under the same lock, in the
//! act of registering.
//!
//! Lines for the client are pushed under the lock, so that commands arrive in the order in which
//! they were registered, and leave at the next flush. Nothing is written here.

use crate::connection::Connection;
use crate::dispatch::command::Assignment;
use crate::dispatch::output_credit::OutputCredit;
use crate::member::{Member, Watch};
use crate::millis;
use common::limits::{ANSWER_GRACE, MAX_OPEN_INPUTS};
use common::memory::{Charge, Memory};
use common::net::outbox::Line;
use common::sys::sync::atomic::{AtomicU32, Ordering};
use common::sys::sync::{Arc, Mutex, MutexGuard, lock};
use common::wire::message::notification_line;
use common::wire::{CancelExecution, ExecutionConsumed, Status, fast_encode, method};
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};

/// How often a client is checked again that has a slot, but much to read first.
const ROOM_TICK_MS: u64 = 20;

/// How much may wait for one client; one sender gets at most half of either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueBounds<'a> {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
    /// Counts the lines that wait.
    pub(crate) memory: Option<&'a Arc<Memory>>,
}

/// What one client executes.
pub(crate) struct ExecutorQueue {
    slots: usize,
    /// By itself, so that a member can be made on a small stack.
    table: Box<Mutex<Table>>,
    /// How many run and how many wait, to be read without the lock.
    running: AtomicU32,
    waiting: AtomicU32,
}

#[derive(Default)]
struct Table {
    state: State,
    /// By the id of the `execute`.
    running: HashMap<u64, Running, RandomState>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The part of each sender.
    shares: HashMap<u64, Share, RandomState>,
    /// The time of the earliest timer for overdue answers.
    watched: Option<u64>,
    /// The same, if it has still to be scheduled.
    to_watch: Option<u64>,
    /// The senders that were told that their commands were started, and whose connections are to be
    /// flushed.
    told: Vec<Arc<Member>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The server stops: nothing new is started.
    Draining,
    /// The client has left.
    Gone,
}

#[derive(Clone, Copy, Default)]
struct Share {
    commands: usize,
    bytes: usize,
}

struct Waiting {
    assignment: Assignment,
    line: Line,
    /// For the line, if it is no one else's.
    _charge: Charge,
}

/// A command that a client was given.
pub(crate) struct Running {
    /// `None`: the server took the outcome itself, and the slot stays in use until the
    /// client answers or leaves.
    pub(crate) assignment: Option<Assignment>,
    /// When it was given.
    pub(crate) since: u64,
    /// Whether it was: a client that is about to be disconnected is not told any more.
    told: bool,
    pub(crate) credit: OutputCredit,
    /// When the server takes the outcome itself, and which one.
    overdue: Option<(u64, Status)>,
    /// The client was told to end it.
    cancelled: bool,
}

/// What became of a registration.
pub(crate) enum Registered {
    /// The client gets it at once.
    Started,
    /// It waits for a slot.
    Waiting,
    /// The queue is full, or it has input and the client no free slot.
    Busy,
    /// It has input, and the client takes none.
    NoInput,
    /// The server stops.
    Draining,
    /// The client has left.
    Gone,
}

/// What became of a piece of input.
pub(crate) enum Fed {
    /// The client gets it.
    Taken,
    /// So much waits for the client that it gets no more.
    Behind,
    /// The command is not open at the client.
    NotOpen,
}

/// What became of an answer.
pub(crate) struct Answered {
    /// The command, if the client was given it and had not answered yet.
    pub(crate) running: Option<Running>,
    /// The client gets others, which waited for its slot.
    pub(crate) starts_others: bool,
    /// The senders of those that were told so.
    pub(crate) told: Vec<Arc<Member>>,
}

/// What a cancellation found.
pub(crate) enum Cancelled {
    /// It had not been started, and never will be.
    Waiting,
    /// The client was told to end it.
    Running,
    /// It has its outcome already.
    Unknown,
}

/// A command that was taken out because its client is gone, or does not answer.
pub(crate) struct TakenOut {
    pub(crate) assignment: Assignment,
    /// When the client was given it, if it was.
    pub(crate) since: Option<u64>,
    pub(crate) status: Status,
    pub(crate) truncated: bool,
}

impl ExecutorQueue {
    pub(crate) fn new(slots: u32) -> ExecutorQueue {
        ExecutorQueue {
            slots: slots as usize,
            table: Box::default(),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    /// Commands that the client executes now.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// Commands that wait for it.
    pub(crate) fn queued(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets the credit of a running command judge some of its output, if its sender still wants it.
    pub(crate) fn output<T>(
        &self,
        id: u64,
        judge: impl FnOnce(&mut OutputCredit, &Assignment) -> T,
    ) -> Option<T> {
        let mut table = lock(&self.table);
        let running = table.running.get_mut(&id)?;
        let assignment = running.assignment.as_ref()?;
        Some(judge(&mut running.credit, assignment))
    }

    /// A command that runs, if its sender still wants it.
    pub(crate) fn assignment(&self, id: u64) -> Option<Assignment> {
        lock(&self.table).running.get(&id)?.assignment.clone()
    }

    /// Starts nothing any more; what waits is taken out.
    pub(crate) fn drain(&self) -> Vec<TakenOut> {
        self.shut(State::Draining, Status::Cancelled, false)
    }

    /// The client is gone: everything is taken out, and nothing is registered any more.
    pub(crate) fn close(&self) -> Vec<TakenOut> {
        self.shut(State::Gone, Status::Lost, true)
    }

    /// The drain is over: what runs is taken out, too.
    pub(crate) fn give_up(&self) -> Vec<TakenOut> {
        self.shut(State::Draining, Status::Lost, true)
    }

    fn shut(&self, state: State, status: Status, running_too: bool) -> Vec<TakenOut> {
        let mut table = lock(&self.table);
        if table.state != State::Gone {
            table.state = state;
        }
        let waiting = std::mem::take(&mut table.waiting);
        table.waiting_bytes = 0;
        table.shares.clear();
        let mut ended: Vec<TakenOut> = waiting
            .into_iter()
            .map(|waiting| TakenOut {
                assignment: waiting.assignment,
                since: None,
                status,
                truncated: false,
            })
            .collect();
        if running_too {
            ended.extend(table.running.drain().filter_map(|(_, mut running)| {
                let assignment = running.assignment.take()?;
                Some(running.taken_out(assignment, status))
            }));
        }
        self.count(&table);
        ended
    }

    fn count(&self, table: &Table) {
        self.set_load(table.running.len(), table.waiting.len());
    }

    /// Notes the load for others, which read the two figures without the lock: between these
    /// stores they may be off by one command.
    pub(crate) fn set_load(&self, running: usize, waiting: usize) {
        self.running.store(running as u32, Ordering::Relaxed);
        self.waiting.store(waiting as u32, Ordering::Relaxed);
    }
}

/// How a member's queue changes.
impl Member {
    /// Gives the client a command, or has it wait.
    pub(crate) fn register(
        self: &Arc<Self>,
        assignment: Assignment,
        line: &mut Line,
        bounds: QueueBounds<'_>,
        timers: &dyn Watch,
        now: u64,
    ) -> Registered {
        let (slots, connection) = (self.queue.slots, &self.connection);
        let mut table = lock(&self.queue.table);
        match table.state {
            State::Open => {}
            State::Draining => return Registered::Draining,
            State::Gone => return Registered::Gone,
        }
        let deadline = assignment.command.deadline;
        let registered = if assignment.command.input.is_some() {
            table.start_with_input(assignment, line, self, now)
        } else if table.has_slot(slots, connection) && table.waiting.is_empty() {
            table.start(assignment, line, self, now);
            // The caller flushes the one sender that it may be.
            table.told.clear();
            Registered::Started
        } else if table.wait(assignment, line, bounds) {
            table.watch_room(slots, now);
            if let Some(at) = deadline {
                table.watch(at.max(now + 1), now);
            }
            Registered::Waiting
        } else {
            Registered::Busy
        };
        self.changed(table, timers);
        registered
    }

    /// Takes a command out that the client has answered, and gives it the next ones.
    pub(crate) fn answered(self: &Arc<Self>, id: u64, timers: &dyn Watch, now: u64) -> Answered {
        let mut table = lock(&self.queue.table);
        let running = table.running.remove(&id);
        let started = table.start_waiting(self.queue.slots, self, now);
        let told = std::mem::take(&mut table.told);
        self.changed(table, timers);
        Answered {
            running,
            starts_others: started > 0,
            told,
        }
    }

    /// Ends a command whose sender no longer wants it.
    pub(crate) fn cancel(self: &Arc<Self>, id: u64, timers: &dyn Watch, now: u64) -> Cancelled {
        let mut table = lock(&self.queue.table);
        let cancelled = if table.running.contains_key(&id) {
            table.cancel_running(id, &self.connection, now)
        } else {
            table.cancel_waiting(id)
        };
        self.changed(table, timers);
        cancelled
    }

    /// The sender consumed some of a command's output: the client may send more.
    pub(crate) fn consumed(&self, id: u64, bytes: u64) {
        let mut table = lock(&self.queue.table);
        let Some(running) = table.running.get_mut(&id) else {
            return;
        };
        let bytes = running.credit.consume(bytes);
        if bytes > 0 {
            let consumed = ExecutionConsumed { id, bytes };
            let line = notification_line(method::CONSUMED, consumed);
            self.connection.outbox.push(line);
        }
    }

    /// Gives the client a piece of a command's input, if that runs. Half of the outbox stays free:
    /// input never makes a client a slow consumer.
    pub(crate) fn feed(&self, id: u64, line: &Line) -> Fed {
        let table = lock(&self.queue.table);
        let running = table.running.get(&id);
        if running.is_none_or(|running| running.assignment.is_none()) {
            return Fed::NotOpen;
        }
        let outbox = &self.connection.outbox;
        if outbox.is_over_half() {
            return Fed::Behind;
        }
        outbox.push(line.clone());
        Fed::Taken
    }

    /// Takes the outcome of a running command from the client, which is told to end it; says whether
    /// it had none yet. The slot stays in use until the client answers.
    pub(crate) fn give_up(&self, id: u64) -> bool {
        let mut table = lock(&self.queue.table);
        let Some(running) = table.running.get_mut(&id) else {
            return false;
        };
        let was_open = running.assignment.take();
        if was_open.is_some() && !std::mem::replace(&mut running.cancelled, true) {
            let line = notification_line(method::CANCEL, CancelExecution { id });
            self.connection.outbox.push(line);
        }
        drop(table);
        was_open.is_some()
    }

    /// Checks the queue at a time that it asked for: takes out what should have been answered by
    /// `judged`, whose slots stay in use, and what has waited until its deadline, and starts what
    /// waits, if there is room for it. Returns the senders, too, that were told that something
    /// starts.
    pub(crate) fn take_overdue(
        self: &Arc<Self>,
        at: u64,
        judged: u64,
        now: u64,
        timers: &dyn Watch,
    ) -> (Vec<TakenOut>, Vec<Arc<Member>>) {
        let mut table = lock(&self.queue.table);
        if table.watched != Some(at) {
            // The queue asked for an earlier check after this one.
            return (Vec::new(), Vec::new());
        }
        table.watched = None;
        let mut ended = table.take_expired(now);
        for running in table.running.values_mut() {
            if let Some((_, status)) = running.overdue.take_if(|(at, _)| *at <= judged)
                && let Some(assignment) = running.assignment.take()
            {
                ended.push(running.taken_out(assignment, status));
            }
        }
        let overdue = table.running.values().filter_map(|running| running.overdue);
        let deadlines = table.waiting.iter().filter_map(Waiting::deadline);
        if let Some(next) = overdue.map(|(at, _)| at).chain(deadlines).min() {
            table.watch(next.max(now + 1), now);
        }
        table.start_waiting(self.queue.slots, self, now);
        let told = std::mem::take(&mut table.told);
        self.changed(table, timers);
        (ended, told)
    }

    /// Ends a change: notes the load, and schedules the check that the queue asks for.
    fn changed(self: &Arc<Self>, mut table: MutexGuard<'_, Table>, timers: &dyn Watch) {
        self.queue.count(&table);
        let watch = table.to_watch.take();
        drop(table);
        if let Some(at) = watch {
            timers.watch(self, at);
        }
    }
}

impl Table {
    fn start(&mut self, assignment: Assignment, line: &mut Line, target: &Member, now: u64) {
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
    fn start_with_input(
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
    fn start_waiting(&mut self, slots: usize, target: &Member, now: u64) -> usize {
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
        self.watch_room(slots, now);
        started
    }

    fn cancel_running(&mut self, id: u64, connection: &Connection, now: u64) -> Cancelled {
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

    fn cancel_waiting(&mut self, id: u64) -> Cancelled {
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
    fn has_slot(&self, slots: usize, connection: &Connection) -> bool {
        self.running.len() < slots && !connection.outbox.is_over_half()
    }

    /// Takes out what has waited until its deadline.
    fn take_expired(&mut self, now: u64) -> Vec<TakenOut> {
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
    /// start it then.
    fn watch_room(&mut self, slots: usize, now: u64) {
        if !self.waiting.is_empty() && self.running.len() < slots {
            self.watch(now + ROOM_TICK_MS, now);
        }
    }

    /// Has a command wait, if there is room for it.
    fn wait(&mut self, assignment: Assignment, line: &mut Line, bounds: QueueBounds<'_>) -> bool {
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
    fn watch(&mut self, at: u64, now: u64) {
        let at = at.min(now.saturating_add(millis(ANSWER_GRACE)));
        if self.watched.is_none_or(|watched| at < watched) {
            self.watched = Some(at);
            self.to_watch = Some(at);
        }
    }
}

impl Running {
    fn taken_out(&self, assignment: Assignment, status: Status) -> TakenOut {
        TakenOut {
            assignment,
            since: self.told.then_some(self.since),
            status,
            truncated: self.credit.was_cut(),
        }
    }
}

impl Waiting {
    fn deadline(&self) -> Option<u64> {
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

#[cfg(test)]
mod tests;
