//! One run of one program: hands its output on, ends it when it is no longer wanted, and says how
//! it ended. One thread waits for the first of these: output, the end of the process, a deadline,
//! or a word from the sender (cancelled; more output wanted).

use super::identity::RunIdentity;
use super::orphans::{self, SessionLeader, Survivors};
use super::pipe::Pipe;
use super::reaper::{self, Reaper};
use super::spawn::{Program, SpawnError, Spawned, Step, spawn};
use super::stdin::Stdin;
use crate::execute::job::{Job, StopReason};
use crate::execute::result::{Execution, ExecutionResult};
use crate::policy::Settings;
use common::limits::MAX_OUTPUT_SHARE;
use common::wire::{Leftovers, OutputStream};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a program has from SIGTERM to SIGKILL: as long as people expect of `timeout -k`
/// and service managers to clean up, and short of what a server waits for an answer.
const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// How long the pipes are drained after the end of the program: its children may end, too.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a killed process may take to be gone before its command is answered all the same.
const KILL_PATIENCE: Duration = Duration::from_millis(250);

/// How long the process that has ended stays unreaped while its pipes are drained.
const REAP_AFTER: Duration = Duration::from_millis(500);

/// How often a run that waits for the server to take output looks again.
const HELD_UP_TICK: Duration = Duration::from_millis(20);

/// Runs a program to its end; what of it could not be ended, if there is anything.
pub(crate) fn run(
    program: &Program,
    settings: &Settings,
    known_by: RunIdentity,
    reaper: &Reaper,
    job: &Job,
) -> (ExecutionResult, Option<Survivors>) {
    let wake = match eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) {
        Ok(wake) => Arc::new(wake),
        Err(e) => {
            let why = format!("cannot watch a process: {e}");
            return (ExecutionResult::Failed(why), None);
        }
    };
    let spawned = match spawn(program) {
        Ok(spawned) => spawned,
        Err(error) => return (not_started(program, &error), None),
    };
    let mut supervisor = Supervisor::new(spawned, wake, settings, reaper, job);
    supervisor.supervise();
    supervisor.finish(known_by)
}

/// Why a program was not started, as its sender is told.
fn not_started(program: &Program, error: &SpawnError) -> ExecutionResult {
    let path = program.path.to_string_lossy();
    let why = &error.source;
    match (error.step, why.kind()) {
        (Step::Execute, std::io::ErrorKind::NotFound) => {
            ExecutionResult::NotFound(format!("{path}: {why}"))
        }
        (Step::Execute, _) if why.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            ExecutionResult::Failed(format!(
                "{path}: {why}; a script needs a first line such as #!/bin/sh"
            ))
        }
        (Step::Execute, _) => ExecutionResult::Failed(format!("{path}: {why}")),
        (Step::Folder, _) => {
            let cwd = program
                .cwd
                .as_ref()
                .map(|cwd| cwd.to_string_lossy())
                .unwrap_or_default();
            ExecutionResult::Failed(format!("cannot start in {cwd}: {why}"))
        }
        (Step::User, _) => {
            ExecutionResult::Failed(format!("cannot take its user and groups: {why}"))
        }
        (Step::Limit, _) => ExecutionResult::Failed(format!("cannot set its limits: {why}")),
        (Step::Prepare, _) => ExecutionResult::Failed(format!("cannot start a process: {why}")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was asked to end; it is killed then.
    Ending {
        kill_at: Instant,
    },
    /// It was killed; it is not waited for any longer then.
    Killed {
        give_up_at: Instant,
    },
}

struct Supervisor<'a> {
    job: &'a Job,
    reaper: &'a Reaper,
    /// When the reaper is to look after what this one leaves behind while it runs.
    reap_from: Option<Instant>,
    group: Pid,
    process: OwnedFd,
    /// When it ended, once it has; it may be unreaped still.
    ended_at: Option<Instant>,
    /// How it ended, once it has. Never known if other code of this process has reaped it.
    status: Option<WaitIdStatus>,
    reaped: bool,
    stdin: Stdin,
    pipes: [Pipe; 2],
    wake: Arc<OwnedFd>,
    phase: Phase,
    deadline: Option<Instant>,
    /// How much longer the pipes are drained once it has ended.
    drain_left: Duration,
    /// How much more output is passed on; what comes after that is read and let go of.
    output_left: u64,
    truncated: bool,
}

impl<'a> Supervisor<'a> {
    fn new(
        spawned: Spawned,
        wake: Arc<OwnedFd>,
        settings: &Settings,
        reaper: &'a Reaper,
        job: &'a Job,
    ) -> Supervisor<'a> {
        let waker = Arc::clone(&wake);
        job.set_waker(move || {
            let _ = rustix::io::write(&waker, &1u64.to_ne_bytes());
        });
        let own = settings
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        // Without a window the server keeps no more of it anyway.
        let share = if job.window().is_none() {
            MAX_OUTPUT_SHARE
        } else {
            u64::MAX
        };
        Supervisor {
            job,
            reaper,
            reap_from: Some(Instant::now() + reaper::TICK),
            group: spawned.pid,
            process: spawned.pidfd,
            ended_at: None,
            status: None,
            reaped: false,
            stdin: Stdin::new(spawned.stdin),
            pipes: [
                Pipe::new(OutputStream::Stdout, spawned.stdout),
                Pipe::new(OutputStream::Stderr, spawned.stderr),
            ],
            wake,
            phase: Phase::Running,
            deadline: [own, job.deadline()].into_iter().flatten().min(),
            drain_left: DRAIN,
            output_left: settings.max_output.unwrap_or(u64::MAX).min(share),
            truncated: false,
        }
    }

    /// Waits until the process and its output have ended, or are given up.
    fn supervise(&mut self) {
        loop {
            let now = Instant::now();
            self.advance(now);
            self.hand_on(now);
            if self.is_over(now) {
                return;
            }
            let can_read = self.may_read() > 0;
            let is_draining = self.has_ended() && can_read;
            self.wait(self.next_deadline(now, can_read), can_read);
            if is_draining {
                self.drain_left = self.drain_left.saturating_sub(now.elapsed());
            }
        }
    }

    /// Goes on to the next phase when it is time for it.
    fn advance(&mut self, now: Instant) {
        if self.reap_from.take_if(|at| now >= *at).is_some() {
            self.reaper.wake();
        }
        if !self.reaped && self.ended_at.is_some_and(|at| now >= at + REAP_AFTER) {
            self.reap();
        }
        match self.phase {
            Phase::Running => {
                if self.deadline.is_some_and(|at| now >= at) {
                    self.job.stop_because(StopReason::TimedOut);
                }
                if self.job.stop_reason().is_some() {
                    self.signal(Signal::TERM);
                    // One that was stopped would not hear it.
                    self.signal(Signal::CONT);
                    self.phase = Phase::Ending {
                        kill_at: now + TERM_TO_KILL,
                    };
                }
            }
            Phase::Ending { kill_at } if now >= kill_at || self.is_given_up() => {
                self.signal(Signal::KILL);
                self.phase = Phase::Killed {
                    give_up_at: now + KILL_PATIENCE,
                };
            }
            _ => {}
        }
    }

    /// Whether it is to end at once.
    fn is_given_up(&self) -> bool {
        self.job.stop_reason() == Some(StopReason::GivenUp)
    }

    fn signal(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// Whether there is nothing more to wait for.
    fn is_over(&self, now: Instant) -> bool {
        let is_given_up = matches!(self.phase, Phase::Killed { give_up_at } if now >= give_up_at);
        let is_drained = self.pipes.iter().all(Pipe::has_ended) || self.drain_left.is_zero();
        is_given_up || (self.has_ended() && (is_drained || self.is_unread()))
    }

    /// Whether the rest of the pipes stays unread: it is to end, and its sender's window is full.
    fn is_unread(&self) -> bool {
        self.phase != Phase::Running && self.may_read() == 0
    }

    /// How many bytes may be read now.
    fn may_read(&self) -> usize {
        if self.output_left == 0 {
            // What is cut is read all the same, so that the program runs on.
            return usize::MAX;
        }
        match self.job.is_held_up() {
            true => 0,
            false => usize::try_from(self.job.credit()).unwrap_or(usize::MAX),
        }
    }

    fn next_deadline(&self, now: Instant, can_read: bool) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Running => self.deadline,
            Phase::Ending { kill_at } => Some(kill_at),
            Phase::Killed { give_up_at } => Some(give_up_at),
        };
        let drain = (self.has_ended() && can_read).then(|| now + self.drain_left);
        let reap = self
            .ended_at
            .filter(|_| !self.reaped)
            .map(|at| at + REAP_AFTER);
        let chunks = self.pipes.iter().map(Pipe::due);
        let held_up = self.job.is_held_up().then(|| now + HELD_UP_TICK);
        [phase, drain, reap, held_up, self.reap_from]
            .into_iter()
            .chain(chunks)
            .flatten()
            .min()
    }

    /// Waits for the next event, and takes it in.
    fn wait(&mut self, until: Option<Instant>, can_read: bool) {
        let mut fds = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        let watches_process = !self.has_ended();
        if watches_process {
            fds.push(PollFd::from_borrowed_fd(
                self.process.as_fd(),
                PollFlags::IN,
            ));
        }
        let first_pipe = fds.len();
        let sources = self
            .pipes
            .iter()
            .filter_map(Pipe::source)
            .filter(|_| can_read);
        fds.extend(sources.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        let input = self.stdin.interest(self.job);
        fds.extend(input.map(|(fd, flags)| PollFd::from_borrowed_fd(fd.as_fd(), flags)));
        let has_input = input.is_some();
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(&mut fds, left.as_ref()).is_err() {
            return;
        }
        let input = fds.last().filter(|_| has_input).map(PollFd::revents);
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        let mut pipes = ready[first_pipe..].iter();
        for at in 0..self.pipes.len() {
            if can_read && !self.pipes[at].has_ended() && pipes.next() == Some(&true) {
                self.read(at);
            }
        }
        if let Some(events) = input.filter(|events| !events.is_empty()) {
            self.stdin.write(self.job, events);
        }
        if watches_process && ready[1] {
            self.look_how_it_ended();
        }
    }

    fn read(&mut self, at: usize) {
        let most = self.may_read();
        if most == 0 {
            return;
        }
        let pipe = &mut self.pipes[at];
        let read = pipe.read(most);
        let kept = self.output_left.min(read as u64);
        self.truncated |= kept < read as u64;
        self.output_left -= kept;
        self.job.spend(kept);
        pipe.keep(kept as usize);
    }

    fn look_how_it_ended(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(self.process.as_fd()), options) {
            Ok(Some(status)) => {
                self.status = Some(status);
                self.ended_at = Some(Instant::now());
            }
            Err(Errno::CHILD) => {
                log::warn!(
                    "other code of this process has reaped a command; how it ended is not known"
                );
                self.reaped = true;
                self.ended_at = Some(Instant::now());
            }
            _ => {}
        }
    }

    fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    fn reap(&mut self) {
        self.reaped = orphans::reap(&self.process);
    }

    fn hand_on(&mut self, now: Instant) {
        // With the window used up nothing can be added to a chunk.
        let is_last_room = self.job.credit() == 0;
        for pipe in &mut self.pipes {
            while let Some(chunks) = pipe.due_now(now, is_last_room) {
                let length = chunks.len();
                self.job.send(pipe.stream, chunks);
                pipe.forget(length, now);
            }
        }
    }

    /// Ends what is left, and says how it went.
    fn finish(mut self, known_by: RunIdentity) -> (ExecutionResult, Option<Survivors>) {
        self.job.forget_waker();
        let is_wanted = self.phase == Phase::Running;
        for pipe in &mut self.pipes {
            // A process that still holds the pipe is killed, and unread output is lost.
            self.truncated |= is_wanted && pipe.has_unread();
            pipe.close();
        }
        if self.has_ended() && !self.reaped {
            self.reap();
        }
        let leader = SessionLeader {
            pid: self.group,
            process: self.process.as_fd(),
            is_reaped: self.reaped,
        };
        let left = orphans::end(Some(leader), &known_by);
        if !left.is_clean {
            self.reaper.wake();
        }
        if !self.has_ended() {
            self.look_how_it_ended();
            self.reap();
        }
        let leftovers = Leftovers {
            ended: left.ended,
            running: u32::try_from(left.running.len() + left.fleeing).unwrap_or(u32::MAX),
        };
        let answer = self.answer(leftovers, is_wanted);
        let leader = (!self.reaped).then_some((self.group, self.process));
        (answer, Survivors::new(known_by, leader, left))
    }

    fn answer(&mut self, leftovers: Leftovers, is_wanted: bool) -> ExecutionResult {
        if self.status.is_none() && is_wanted {
            return ExecutionResult::Failed("it ran, but how it ended is not known".into());
        }
        let [stdout, stderr] = self.pipes.each_mut().map(Pipe::take_rest);
        // It was taken already, and goes with the answer, which takes it again.
        self.job.add_credit((stdout.len() + stderr.len()) as u64);
        ExecutionResult::Ended(Execution {
            exit_code: self
                .status
                .as_ref()
                .and_then(WaitIdStatus::exit_status)
                .map(i64::from),
            signal: self
                .status
                .as_ref()
                .and_then(WaitIdStatus::terminating_signal)
                .map(signal_name),
            stdout,
            stderr,
            truncated: self.truncated,
            leftovers,
        })
    }
}

/// A signal's name, as `signal(7)` has it.
fn signal_name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(named) => named.as_str().into(),
        Err(_) => format!("SIG{signal}"),
    }
}
