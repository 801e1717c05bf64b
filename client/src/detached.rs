//! Detached commands: they go on at the server when this client has left, and any client of the same
//! owner follows them later.

use crate::client::Client;
use crate::connection::PendingRequest;
use crate::connection::reconnect::Shared;
use crate::error::RequestError;
use crate::send::command::Command;
use crate::send::outcome::{Credit, Outcome, Output};
use crate::send::send_handle::SendEvent;
use common::limits::JOB_WAIT;
use common::sys::sync::Arc;
use common::sys::thread;
use common::wire::message::request_line;
use common::wire::name::Name;
use common::wire::{
    self, CancelJob, Detached, Empty, JobEvents, JobId, JobOutput, JobQuery, JobSummary, Jobs,
    JobsQuery, Tally, decode_output, method,
};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde_json::value::RawValue;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events of a job that are kept for a program that is behind: those of a few answers.
const KEPT: usize = 64;

/// How long a server that gives signs of life may take to answer, besides what it waits on purpose.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether there is a connection again.
const RETRY: Duration = Duration::from_millis(200);

impl Client {
    /// Sends a command that goes on after this client has ended, with this client's authority of
    /// now. With an id that is chosen here ([`JobId::random`]) a lost answer costs nothing: to send it
    /// again runs nothing twice, as the server refuses an id that it has.
    ///
    /// A window, progress and input are not for such a command.
    ///
    /// # Errors
    /// The server did not take it, or did not answer: then it may have taken it.
    pub fn detach(
        &self,
        command: impl Borrow<Command>,
        id: Option<JobId>,
    ) -> Result<Detached, RequestError> {
        let command = command.borrow();
        self.call_line(|request| command.detached_line(request, id))
    }

    /// The detached commands that the server shows this client, the newest first, page by page.
    ///
    /// # Errors
    /// The server did not answer, or not with that.
    pub fn detached(&self) -> Result<Vec<JobSummary>, RequestError> {
        let mut all: Vec<JobSummary> = Vec::new();
        loop {
            let query = JobsQuery {
                from: Some(all.len() as u64),
                limit: None,
            };
            let page: Jobs = self.call(method::JOBS, query)?;
            let is_last = page.jobs.is_empty();
            all.extend(page.jobs);
            if is_last || all.len() >= page.total as usize {
                return Ok(all);
            }
        }
    }

    /// Ends a detached command early; its outcomes are kept as others are.
    ///
    /// # Errors
    /// There is no such job of this client's, or the server did not answer.
    pub fn cancel_detached(&self, job: JobId) -> Result<(), RequestError> {
        let Empty {} = self.call(method::CANCEL_JOB, CancelJob { job })?;
        Ok(())
    }

    /// Tells what became of a detached command, from its start on: until it has ended, or only as far
    /// as it has come. A client that [reconnects](crate::Config::reconnect) goes on where it was.
    ///
    /// # Errors
    /// There is no such job of this client's, the server did not answer, or the system has no thread.
    pub fn follow(&self, job: JobId, to_its_end: bool) -> Result<JobHandle, RequestError> {
        let (into, events) = bounded(KEPT);
        let (stop, stopped) = bounded(0);
        let is_open = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            shared: Arc::clone(&self.shared),
            job,
            to_its_end,
            into,
            stopped,
            after: 0,
            tally: Tally::default(),
            is_open: Arc::clone(&is_open),
        };
        let id = self.shared.connection().new_id();
        let first = follower.ask(false)?;
        let thread = thread::spawn("job", move || follower.run(&first));
        let thread = thread.map_err(|error| RequestError::NoThread(error.to_string()))?;
        Ok(JobHandle {
            id,
            job,
            shared: Arc::clone(&self.shared),
            events,
            is_open,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// What becomes of a detached command. Dropping this ends nothing but the telling.
#[derive(derive_more::Debug)]
#[debug("JobHandle({job})")]
pub struct JobHandle {
    id: u64,
    job: JobId,
    shared: Arc<Shared>,
    events: Receiver<SendEvent>,
    is_open: Arc<AtomicBool>,
    /// Dropped to end the thread.
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl JobHandle {
    /// Which.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// A number of this client, apart from those of what it sends.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Asks for the command's end, as [`Client::cancel_detached`] does, and does not wait for the answer.
    pub fn cancel(&self) {
        let params = CancelJob { job: self.job };
        let line = |id: u64| request_line(&id.into(), method::CANCEL_JOB, params);
        self.shared.connection().ask_without_waiting(line);
    }

    /// The events: [`Output`](SendEvent::Output) and [`Outcome`](SendEvent::Outcome), and
    /// [`End`](SendEvent::End) with how many outcomes of each kind there were.
    pub fn receiver(&self) -> &Receiver<SendEvent> {
        &self.events
    }

    /// Whether it was open when the server was asked last.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that asks for events.
struct Follower {
    shared: Arc<Shared>,
    job: JobId,
    to_its_end: bool,
    into: Sender<SendEvent>,
    stopped: Receiver<Infallible>,
    /// The last event that came.
    after: u64,
    tally: Tally,
    is_open: Arc<AtomicBool>,
}

/// Why there are no more events.
enum Over {
    Ended,
    /// No one listens any more.
    Stopped,
    Failed(RequestError),
}

impl Follower {
    fn run(mut self, first: &RawValue) {
        let mut over = self.take(first);
        while over.is_ok() {
            over = self.next();
        }
        let end = match over {
            Ok(()) | Err(Over::Stopped) => return,
            Err(Over::Ended) => Ok(std::mem::take(&mut self.tally)),
            Err(Over::Failed(error)) => Err(error),
        };
        let _ = self.tell(SendEvent::End(end));
    }

    /// Asks for what has happened since, and tells it.
    fn next(&mut self) -> Result<(), Over> {
        match self.ask(self.to_its_end) {
            Ok(page) => self.take(&page),
            Err(RequestError::Lost | RequestError::NotConnected) => self.wait_for_connection(),
            Err(error) => Err(Over::Failed(error)),
        }
    }

    fn wait_for_connection(&self) -> Result<(), Over> {
        loop {
            if self
                .stopped
                .recv_timeout(RETRY)
                .is_err_and(|e| e.is_disconnected())
            {
                return Err(Over::Stopped);
            }
            if self.shared.disconnect().is_some() {
                return Err(Over::Failed(RequestError::Lost));
            }
            if self.shared.is_connected() {
                return Ok(());
            }
        }
    }

    /// What happened after the last event that came.
    fn ask(&self, wait: bool) -> Result<Box<RawValue>, RequestError> {
        let query = JobQuery {
            job: self.job,
            after: Some(self.after),
            wait: Some(wait),
        };
        let (answer, waiting) = bounded(1);
        let line = |id: u64| request_line(&id.into(), method::JOB, query);
        let connection = self.shared.connection();
        let id = connection.request(PendingRequest::Call(answer), line)?;
        let patience = JOB_WAIT + PATIENCE;
        select! {
            recv(waiting) -> answer => answer.unwrap_or(Err(RequestError::Lost)),
            // The request stays open, as its answer is still to come.
            recv(self.stopped) -> _ => Err(RequestError::TimedOut(Duration::ZERO)),
            default(patience) => {
                connection.take(id);
                Err(RequestError::TimedOut(patience))
            }
        }
    }

    fn take(&mut self, page: &RawValue) -> Result<(), Over> {
        let malformed = |why: String| Over::Failed(RequestError::Malformed(why));
        let page: JobEvents<'_> =
            serde_json::from_str(page.get()).map_err(|e| malformed(e.to_string()))?;
        self.is_open.store(page.open, Ordering::Relaxed);
        let is_whole = page.events.last().is_none_or(|event| event.n >= page.last);
        for event in page.events {
            if event.n <= self.after {
                return Err(malformed("events of a job come in their order".into()));
            }
            self.after = event.n;
            if let Some(output) = event.output {
                let output = read_output(output).ok_or_else(|| malformed("no base64".into()))?;
                self.tell(SendEvent::Output(Box::new(output)))?;
            }
            if let Some(outcome) = event.outcome {
                let outcome: wire::Outcome<'_> =
                    serde_json::from_str(outcome.get()).map_err(|e| malformed(e.to_string()))?;
                self.tally.count(outcome.status);
                let outcome = Outcome::from_wire(outcome);
                let outcome = outcome.ok_or_else(|| malformed("no target".into()))?;
                self.tell(SendEvent::Outcome(Box::new(outcome)))?;
            }
        }
        match is_whole && !(page.open && self.to_its_end) {
            true => Err(Over::Ended),
            false => Ok(()),
        }
    }

    fn tell(&self, event: SendEvent) -> Result<(), Over> {
        select! {
            send(self.into, event) -> sent => sent.map_err(|_| Over::Stopped),
            recv(self.stopped) -> _ => Err(Over::Stopped),
        }
    }
}

fn read_output(output: JobOutput<'_>) -> Option<Output> {
    Some(Output {
        member: output.member,
        name: Name::into_string(output.name),
        rank: output.rank,
        stream: output.stream,
        bytes: decode_output(output.text, output.base64)?,
        _credit: Credit::default(),
    })
}
