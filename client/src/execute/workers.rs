//! The threads that execute: at most as many as the client has slots, started when there is
//! something to do and kept from then on, since a child process may be bound to the thread that
//! started it. Jobs start in the order of their arrival.
//!
//! The reader thread hands jobs in and never waits for them; a worker answers by itself. Workers
//! outlive a connection: a job that was stopped with it keeps its slot until it ends.

use crate::config::Config;
use crate::events::{ClientEvent, Events};
use crate::execute::executor::Executor;
use crate::execute::job::input_buffer::TooMuchInput;
use crate::execute::job::{Job, StopReason};
use crate::execute::result::{Execution, ExecutionResult};
use crate::execute::result_line;
use common::limits::MAX_QUOTED;
use common::logging::log_limit;
use common::logging::logged;
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait, wait_timeout};
use common::sys::thread;
use common::wire::message::{self, Code, Id, RpcError};
use common::wire::text::clip;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Jobs that may wait beyond the slots. A server never sends that many; one that does is
/// told that they failed, so that it cannot make a client keep them all.
const MAX_WAITING: usize = 1024;

/// How often a worker with a held slot checks whether it still has to hold it.
const HOLD_TICK: Duration = Duration::from_millis(250);

/// Why a command is not executed while every slot is held.
const ALL_HELD: &str = "all slots of this client are held by what earlier commands left running \
                        and cannot be ended";

/// Why a command with input is not executed while no slot is free.
const NO_WAIT: &str = "no slot of this client is free, and a command with input does not wait";

/// The workers' name, which a panic shows.
pub const WORKER_THREAD: &str = "executor";

pub(crate) struct Workers {
    executor: Box<dyn Executor>,
    events: Arc<Events>,
    slots: usize,
    tells: bool,
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<Id, Job>,
    /// Of those, not yet started.
    waiting: VecDeque<Job>,
    idle: usize,
    alive: usize,
    /// Of those, threads that wait for the end of what their last command left running.
    held: usize,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

impl State {
    /// Takes a job out of those that wait; says whether it was there.
    fn take_waiting(&mut self, job: &Job) -> bool {
        let place = self.waiting.iter().position(|w| w.place() == job.place());
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }
}

impl Workers {
    pub(crate) fn new(executor: impl Executor, events: Arc<Events>, config: &Config) -> Workers {
        Workers {
            executor: Box::new(executor),
            events,
            slots: config.slots.unwrap_or(1) as usize,
            tells: config.job_events,
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Queues a job, or answers at once that it will not run.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        // Before a worker can have it, so that the order is known.
        self.executor.enqueued(&job);
        if let Err(line) = self.admit(&job) {
            self.executor.discarded(&job);
            job.reply_to().outbox.push(line);
            return;
        }
        self.tell(|| ClientEvent::JobReceived(job));
        if !self.start_worker_if_needed() {
            self.fail_waiting("no thread to execute it with");
        }
    }

    fn tell(&self, event: impl FnOnce() -> ClientEvent) {
        if self.tells {
            self.events.tell(event);
        }
    }

    /// Puts a job into the queue; the error is the line that says why not.
    fn admit(&self, job: &Job) -> Result<(), Vec<u8>> {
        let refuse = |answer: ExecutionResult| result_line::line(job, &answer, None);
        let mut state = lock(&self.state);
        if state.open.contains_key(job.id()) {
            let mut error = RpcError::new(
                Code::InvalidRequest,
                format!("the id {} is still open; choose another one", job.id()),
            );
            error.data.id = Some(Box::new(job.id().clone()));
            return Err(message::error_line(None, &error));
        }
        if self.slots == 0 {
            let message = "this client only sends; it has no slots";
            return Err(refuse(ExecutionResult::Refused(message.into())));
        }
        if state.closed || state.waiting.len() >= MAX_WAITING {
            let message = format!("{MAX_WAITING} commands already wait at this client");
            return Err(refuse(ExecutionResult::Failed(message)));
        }
        if state.held >= self.slots {
            return Err(refuse(ExecutionResult::Failed(ALL_HELD.into())));
        }
        if job.has_input() && state.open.len() + state.held >= self.slots {
            return Err(refuse(ExecutionResult::Failed(NO_WAIT.into())));
        }
        state.open.insert(job.id().clone(), job.clone());
        state.waiting.push_back(job.clone());
        Ok(())
    }

    /// Makes a worker take the job that was put into the queue; returns whether there is one.
    fn start_worker_if_needed(self: &Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        if state.waiting.len() <= state.idle || state.alive >= self.slots {
            // The woken thread finds the lock free.
            drop(state);
            self.work.notify_one();
            return true;
        }
        let workers = Arc::clone(self);
        match thread::spawn(WORKER_THREAD, move || workers.work()) {
            Ok(handle) => {
                state.alive += 1;
                state.threads.push(handle);
                true
            }
            Err(e) => {
                log::warn!("no thread to execute with: {e}");
                state.alive > 0
            }
        }
    }

    /// Answers what waits, and is not executed.
    fn fail_waiting(&self, why: &str) {
        let waiting: Vec<Job> = lock(&self.state).waiting.drain(..).collect();
        for job in waiting {
            self.executor.discarded(&job);
            self.finish(&job, &ExecutionResult::Failed(why.into()), None);
        }
    }

    /// Tells a job that it is no longer wanted. One that has not started is answered here.
    pub(crate) fn cancel(&self, id: &Id) {
        let mut state = lock(&self.state);
        let Some(job) = state.open.get(id).cloned() else {
            return;
        };
        let was_waiting = state.take_waiting(&job);
        drop(state);
        let reason = job.stop_because(StopReason::Cancelled);
        if was_waiting {
            self.discard(&job, reason);
        }
    }

    /// Answers a job that waited and is no longer wanted.
    fn discard(&self, job: &Job, reason: StopReason) {
        self.executor.discarded(job);
        self.finish(
            job,
            &ExecutionResult::Ended(Execution::default()),
            Some(reason),
        );
    }

    fn discard_late(&self) {
        let waiting: Vec<Job> = lock(&self.state).waiting.iter().cloned().collect();
        for job in waiting {
            if let Some(reason) = job.stop_reason()
                && lock(&self.state).take_waiting(&job)
            {
                self.discard(&job, reason);
            }
        }
    }

    /// Tells a job that its sender got through with some of its output.
    pub(crate) fn consumed(&self, id: &Id, bytes: u64) {
        let job = lock(&self.state).open.get(id).cloned();
        if let Some(job) = job {
            job.add_credit(bytes);
        }
    }

    /// Adds a piece to the input of a job.
    pub(crate) fn input(&self, id: &Id, bytes: Vec<u8>, is_last: bool) -> Result<(), TooMuchInput> {
        let job = lock(&self.state).open.get(id).cloned();
        job.map_or(Ok(()), |job| job.add_input(bytes, is_last))
    }

    /// What runs here and what waits for it, in the order of arrival.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = lock(&self.state).open.values().cloned().collect();
        jobs.sort_by_key(Job::received);
        jobs
    }

    /// Takes no more jobs, forgets those that wait and stops those that run.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.work.notify_all();
        self.stop_because(StopReason::Disconnected);
    }

    /// Forgets the jobs that wait and stops those that run: no server is there to be answered, or it is
    /// about to say that they are lost.
    pub(crate) fn stop_because(&self, reason: StopReason) {
        let (waiting, open) = {
            let mut state = lock(&self.state);
            let waiting = std::mem::take(&mut state.waiting);
            let open: Vec<Job> = state.open.drain().map(|(_, job)| job).collect();
            (waiting, open)
        };
        for job in waiting {
            self.executor.discarded(&job);
        }
        for job in open {
            job.stop_because(reason);
        }
    }

    /// Joins the threads, until `deadline`. If an executor has not returned by then, its thread is
    /// left behind: nothing can end a function from outside.
    pub(crate) fn join(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        let here = std::thread::current().id();
        let threads = std::mem::take(&mut state.threads);
        let own = threads.iter().filter(|t| t.thread().id() == here).count();
        while state.alive > own {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = wait_timeout(&self.ended, state, left);
        }
        let all_ended = state.alive <= own;
        drop(state);
        for thread in threads {
            let may_join = all_ended || thread.is_finished();
            if may_join && thread.thread().id() != here {
                let _ = thread.join();
            }
        }
        if !all_ended {
            log::warn!("a command did not end in time; its thread is left behind");
        }
    }

    fn work(self: Arc<Self>) {
        while let Some(job) = self.next_job() {
            let answer = self.execute(&job);
            let is_held = self.executor.still_runs(&job, Duration::ZERO);
            // Before the answer, which makes the server send the next command.
            let were_all_held = is_held && self.hold_slot();
            self.answer(&job, answer);
            if were_all_held {
                self.fail_waiting(ALL_HELD);
            }
            if is_held {
                self.wait_for_slot(&job);
            }
        }
        lock(&self.state).alive -= 1;
        self.ended.notify_all();
    }

    fn answer(&self, job: &Job, answer: ExecutionResult) {
        let answer = result_line::send_surplus(job, answer);
        // Whether it was stopped counts as of now, not once there is room.
        let stop = job.stop_reason();
        job.reply_to().outbox.wait_for_room();
        self.finish(job, &answer, stop);
    }

    fn hold_slot(&self) -> bool {
        let mut state = lock(&self.state);
        state.held += 1;
        state.held >= self.slots
    }

    /// Waits until nothing of a job runs any more, or this client closes. The server knows nothing
    /// of it and sends on, so this thread also answers the jobs that wait for too long.
    fn wait_for_slot(&self, job: &Job) {
        while !lock(&self.state).closed && self.executor.still_runs(job, HOLD_TICK) {
            self.discard_late();
        }
        lock(&self.state).held -= 1;
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = wait(&self.work, state);
            state.idle -= 1;
        }
    }

    /// A panic in an executor is the end of one command, not of a thread.
    fn execute(&self, job: &Job) -> ExecutionResult {
        if job.stop_reason().is_some() {
            self.executor.discarded(job);
            return ExecutionResult::Ended(Execution::default());
        }
        let run = AssertUnwindSafe(|| self.executor.execute(job));
        catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            log::error!("the executor panicked: {text}");
            ExecutionResult::Failed(format!("the executor panicked: {text}"))
        })
    }

    /// Answers a job, once.
    fn finish(&self, job: &Job, answer: &ExecutionResult, stop: Option<StopReason>) {
        if !self.take_out(job) {
            // The connection is gone, and the table was emptied with it.
            let words = job.words();
            let whole = words.join(" ");
            let first = clip(words.first().map_or("", String::as_str));
            let words = logged::command(first, clip(&whole), words.len());
            let from = &job.origin().name;
            let _about = log_limit::about(from);
            log::info!("{words} from {from}: ended, and its connection is gone");
            return;
        }
        // Told first: once the server has the answer it may send the next command.
        self.tell(|| ClientEvent::JobFinished {
            job: job.clone(),
            answer: answer.clipped(MAX_QUOTED),
        });
        let outbox = &job.reply_to().outbox;
        outbox.push(result_line::line(job, answer, stop));
        outbox.flush();
    }

    /// Takes this job out of those that are open; says whether it was there. Another one of
    /// the same id is of a later connection, to a server that has begun to count anew.
    fn take_out(&self, job: &Job) -> bool {
        let mut state = lock(&self.state);
        let open = state.open.get(job.id());
        let is_open = open.is_some_and(|open| open.place() == job.place());
        is_open && state.open.remove(job.id()).is_some()
    }
}
