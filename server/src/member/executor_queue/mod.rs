//! What one client executes: the commands it was given and has not answered, and those that
//! wait until it has a slot for them.
//!
//! This table decides a command's outcome: taking the command out is the single act that does. So
//! the client that it was given to is the only one that can answer for it, and it is answered once.
//! Whether the client is still here is checked under the same lock, in the act of registering.
//!
//! Lines for the client are pushed under the lock, so that commands arrive in the order in which
//! they were registered, and leave at the next flush. Nothing is written here.

mod table;

use crate::dispatch::command::Assignment;
use crate::dispatch::output_credit::OutputCredit;
use crate::member::{Member, ScheduleCheck};
use crate::millis;
use common::limits::ANSWER_GRACE;
use common::memory::Memory;
use common::net::outbox::Line;
use common::sys::sync::atomic::{AtomicU32, Ordering};
use common::sys::sync::{Arc, Mutex, MutexGuard, lock};
use common::wire::message::notification_line;
use common::wire::{CancelExecution, ExecutionConsumed, Status, method};
use table::{State, Table, Waiting};

/// How much may wait for one client; one sender gets at most half of either, and the detached commands
/// of one owner a quarter.
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
        timers: &dyn ScheduleCheck,
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
            table.watch_room(slots, connection, now);
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
    pub(crate) fn answered(
        self: &Arc<Self>,
        id: u64,
        timers: &dyn ScheduleCheck,
        now: u64,
    ) -> Answered {
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
    pub(crate) fn cancel(
        self: &Arc<Self>,
        id: u64,
        timers: &dyn ScheduleCheck,
        now: u64,
    ) -> Cancelled {
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
        timers: &dyn ScheduleCheck,
    ) -> (Vec<TakenOut>, Vec<Arc<Member>>) {
        let mut table = lock(&self.queue.table);
        if table.watched != Some(at) {
            // The queue asked for an earlier check after this one.
            return (Vec::new(), Vec::new());
        }
        table.watched = None;
        let mut ended = table.take_expired(now);
        let deadlines = table.waiting.iter().filter_map(Waiting::deadline);
        if let Some(next) = deadlines.min() {
            table.watch(next.max(now + 1), now);
        }
        if self.connection.is_away() {
            // What it was given stays open until it is back.
            self.changed(table, timers);
            return (ended, Vec::new());
        }
        for running in table.running.values_mut() {
            if let Some((_, status)) = running.overdue.take_if(|(at, _)| *at <= judged)
                && let Some(assignment) = running.assignment.take()
            {
                ended.push(running.taken_out(assignment, status));
            }
        }
        table.watch_overdue(now);
        table.start_waiting(self.queue.slots, self, now);
        let told = std::mem::take(&mut table.told);
        self.changed(table, timers);
        (ended, told)
    }

    /// The client is back after so long: what it was to have ended meanwhile has that much longer,
    /// and it is given what waits. Returns the senders that were told so.
    pub(crate) fn came_back(
        self: &Arc<Self>,
        away: u64,
        timers: &dyn ScheduleCheck,
        now: u64,
    ) -> Vec<Arc<Member>> {
        let mut table = lock(&self.queue.table);
        for running in table.running.values_mut() {
            if let Some((at, _)) = &mut running.overdue {
                let grace_began = at.saturating_sub(millis(ANSWER_GRACE));
                *at += now.saturating_sub(grace_began).min(away);
            }
        }
        table.watch_overdue(now);
        table.start_waiting(self.queue.slots, self, now);
        let told = std::mem::take(&mut table.told);
        self.changed(table, timers);
        told
    }

    /// Ends a change: notes the load, and schedules the check that the queue asks for.
    fn changed(self: &Arc<Self>, mut table: MutexGuard<'_, Table>, timers: &dyn ScheduleCheck) {
        self.queue.count(&table);
        let watch = table.to_watch.take();
        drop(table);
        if let Some(at) = watch {
            timers.schedule_check(self, at);
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

#[cfg(test)]
mod tests;
