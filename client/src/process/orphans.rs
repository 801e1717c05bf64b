//! What a command leaves behind: the processes of its session, those that left the session but
//! have its mark or its `PECKING_ID`, and all their descendants. Each of them ends with the
//! command, if the system lets this process end it.
//!
//! This process is the subreaper of its commands (`prctl(2)`, `PR_SET_CHILD_SUBREAPER`): a
//! process that loses its parent becomes a child of our first thread, while commands are children
//! of the threads that started them. So `/proc` tells orphans from commands.
//!
//! The mark is for processes that shed their environment, as daemons do: a limit that limits
//! nothing ([`Mark`]). A process that has shed the mark as well belongs to the only command that
//! runs, if there is but one; otherwise it lives until nothing runs.

use super::identity::{ClientIdentity, Mark, RunIdentity};
use super::proc::{self, Process};
use super::run_count;
use common::sys::sync::{Mutex, lock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process_group,
    pidfd_open, test_kill_process_group, waitid, waitpid,
};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a single leftover may take to end by itself: programs close their output just before
/// they end, and on a busy machine do not come to their end at once. Several have no grace: some may
/// flee from being killed, and time helps them.
const GRACE: Duration = Duration::from_millis(50);

/// How long a killed process may take to be gone. One that takes longer and is not ending cannot
/// be ended from here; it is reaped when it ends.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long an ending process may take: it gives gigabytes of memory back, or the machine is busy.
/// Together with the waits of `run.rs` (5 s after SIGTERM, 0.25 s after SIGKILL) it is less than
/// the 8 s after which a server gives up.
const ENDING_PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(1);

/// Held while the list of orphans is read and its dead are reaped. The system reads it out by places, a
/// few at a time: were some reaped meanwhile, others would move up to places that are behind already,
/// and what forks and ends all the time would be left out, since the newest are the last.
static LIST: Mutex<()> = Mutex::new(());

/// The least number of scans: one finds all and gives a single leftover its [`GRACE`], one finds all
/// that is left, one finds what had forked meanwhile, and one tells whether that goes on.
const LEAST_LOOKS: u32 = 4;

/// How often a process without both is scanned again: one that becomes another program has none.
const BLANK_LOOKS: u32 = 5;

/// The system's number for a session outside this namespace (`pid_namespaces(7)`).
const OUTSIDE: i32 = 0;

/// How many processes that cannot be ended the log names.
const NAMED: usize = 8;

/// A command's own process, which leads its session and its first group.
#[derive(Clone, Copy)]
pub(crate) struct SessionLeader<'a> {
    pub(crate) pid: Pid,
    pub(crate) process: BorrowedFd<'a>,
    pub(crate) is_reaped: bool,
}

/// What became of all that was left of a run.
#[derive(Debug, Default)]
pub(crate) struct SweepResult {
    /// How many processes were left behind and have been ended.
    pub(crate) ended: u32,
    /// Those that could not be ended, the command's own process included.
    pub(crate) running: Vec<OwnedFd>,
    /// How many killed processes had come since the scan before: processes that fork faster than
    /// they are killed may have put others in their place.
    pub(crate) fleeing: usize,
    /// There was nothing, as is usual, and nothing of other commands either.
    pub(crate) is_clean: bool,
}

/// Kills what is left of a command: its own process, should that still run, its group, and its
/// orphans with all that descends from them.
pub(crate) fn end(leader: Option<SessionLeader<'_>>, run: &RunIdentity) -> SweepResult {
    let start = Instant::now();
    let mut sweep = Sweep {
        leader,
        run: Some(run),
        ..Sweep::default()
    };
    let (mut blank_looks, mut were_some, mut is_clean) = (0, false, true);
    for looks in 1.. {
        let scan = sweep.scan();
        is_clean &= !scan.others;
        blank_looks += u32::from(scan.blank);
        // The system's list of children may leave one out while others end (proc(5)), so a scan
        // that found some is followed by another one.
        if !scan.found && !were_some && (!scan.blank || blank_looks > BLANK_LOOKS) {
            return sweep.finish(is_clean);
        }
        is_clean = false;
        were_some = scan.found;
        let patience = if sweep.are_ending() {
            ENDING_PATIENCE
        } else {
            PATIENCE
        };
        if looks >= LEAST_LOOKS && start.elapsed() >= GRACE + patience {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let mut result = sweep.finish(false);
    if result.running.is_empty() {
        // No two scans found nothing, so something may have fled.
        result.fleeing = result.fleeing.max(1);
    }
    result
}

/// The processes of a run that could not be ended when its command was answered.
#[derive(Debug)]
pub(crate) struct Survivors {
    run: RunIdentity,
    /// The command's own process, if it is among them.
    leader: Option<(Pid, OwnedFd)>,
    running: Vec<OwnedFd>,
    /// There may be others, which have come meanwhile.
    are_fleeing: bool,
}

impl Survivors {
    /// What is left of a run, if anything is.
    pub(crate) fn new(
        run: RunIdentity,
        leader: Option<(Pid, OwnedFd)>,
        left: SweepResult,
    ) -> Option<Survivors> {
        let survivors = Survivors {
            run,
            leader,
            running: left.running,
            are_fleeing: left.fleeing > 0,
        };
        survivors.are_there().then_some(survivors)
    }

    fn are_there(&self) -> bool {
        self.are_fleeing || !self.running.is_empty()
    }

    /// Waits up to this long until one ends, and ends all that it can; returns whether any is left.
    pub(crate) fn are_running(&mut self, wait: Duration) -> bool {
        let mut fds: Vec<_> = self
            .running
            .iter()
            .map(|process| PollFd::new(process, PollFlags::IN))
            .collect();
        let wait = Timespec::try_from(wait).ok().filter(|_| !self.are_fleeing);
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let ready = poll(&mut fds, Some(&wait.unwrap_or(at_once)));
        let has_ended = ready.is_ok_and(|ready| ready > 0);
        drop(fds);
        if !has_ended && !self.are_fleeing {
            for process in &self.running {
                let _ = proc::kill(process);
            }
            return self.are_there();
        }
        self.leader.take_if(|(_, process)| reap(process));
        let leader = self.leader.as_ref().map(|(pid, process)| SessionLeader {
            pid: *pid,
            process: process.as_fd(),
            is_reaped: false,
        });
        // What it had started may be orphaned now, and can be ended.
        let left = end(leader, &self.run);
        self.are_fleeing = left.fleeing > 0;
        self.running = left.running;
        self.are_there()
    }
}

/// Reaps a child if it has ended; says whether there is nothing to reap any more.
pub(crate) fn reap(process: &OwnedFd) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match waitid(WaitId::PidFd(process.as_fd()), options) {
        Ok(status) => status.is_some(),
        Err(e) => e == Errno::CHILD,
    }
}

/// Reaps orphans, and ends those that outlived all commands; returns whether there are others.
pub(crate) fn reap_all() -> bool {
    end_all();
    let _turn = lock(&LIST);
    !orphans().is_empty()
}

/// Ends orphans that outlived all commands, and their children, unless a command still runs.
pub(crate) fn end_all() {
    let deadline = Instant::now() + PATIENCE;
    let mut sweep = Sweep::default();
    while sweep.scan().found && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Some were reaped or killed that are not known to be another command's.
    found: bool,
    /// Some have neither mark nor environment.
    blank: bool,
    /// Some live and are not known to be its own, or have ended and are another command's.
    others: bool,
}

/// Finds and kills processes, again and again: children of a killed process become orphans.
#[derive(Default)]
struct Sweep<'a> {
    leader: Option<SessionLeader<'a>>,
    /// The run to end processes of; without one, the runs that have all ended.
    run: Option<&'a RunIdentity>,
    /// Those that lived on, had they not been killed here.
    seen: HashSet<Process>,
    last: HashSet<Process>,
    before: HashSet<Process>,
}

impl Sweep<'_> {
    /// Kills and reaps orphans, and reaps those of other commands that have ended.
    fn scan(&mut self) -> Scan {
        let mut scan = Scan::default();
        let is_first = self.before.is_empty() && self.last.is_empty();
        self.before.extend(self.last.drain());
        let leader = self.leader_alive();
        let mut own = Vec::new();
        let mut strangers = Vec::new();
        let before = run_count::now();
        for (orphan, mark, is_reaped) in self.reap_orphans() {
            // Whatever its number means later, this is the process that is looked at.
            let Some(stat) = proc::stat(orphan).filter(|_| !is_reaped) else {
                // It was reaped here or by another thread, and may have left one that was not listed yet;
                // but what another command's leaves is that command's.
                let is_others = self.is_of_another(mark);
                scan.others |= is_others;
                scan.found |= !is_others;
                continue;
            };
            let is_known = self.is_known(&stat, mark);
            let environment = match is_known {
                true => Vec::new(),
                false => proc::environment(orphan),
            };
            if !is_known && !self.is_named(&environment) {
                scan.blank |= mark.is_none() && environment.is_empty();
                strangers.push(stat.process);
            } else if is_first {
                own.push(stat.process);
            } else {
                // At once: what forks and ends all the time is gone a moment later.
                self.kill_all(stat.process.tree());
            }
        }
        let expected = usize::from(self.run.is_some());
        // As many ran all the time as ought to, so no other command can have brought them here.
        if before == run_count::now() && before.running == expected {
            own.append(&mut strangers);
        }
        scan.others |= !strangers.is_empty();
        if is_first && let [only] = own[..] {
            wait_for_end(only);
        }
        let all = leader.into_iter().chain(own);
        self.kill_all(all.flat_map(Process::tree).collect());
        scan.found |= self.kill_group() || !self.last.is_empty();
        scan
    }

    /// Reaps the orphans that have ended; the mark of each orphan, if there is a run to compare it with,
    /// and whether it was reaped.
    fn reap_orphans(&self) -> Vec<(Pid, Option<Mark>, bool)> {
        let _turn = lock(&LIST);
        let look = |orphan| {
            // In this order: one that has ended has its mark until it is reaped.
            let mark = self.run.and_then(|_| proc::mark(orphan));
            let lives = matches!(waitpid(Some(orphan), WaitOptions::NOHANG), Ok(None));
            (orphan, mark, !lives)
        };
        orphans().into_iter().map(look).collect()
    }

    /// Kills processes. All are looked at first, because the end of one may end others.
    fn kill_all(&mut self, processes: HashSet<Process>) {
        let lived = processes.iter().filter(|process| process.lives_on());
        self.seen.extend(lived);
        for process in &processes {
            process.kill();
        }
        self.last.extend(processes);
    }

    /// Whether none has come since the look before, and all that are left are ending.
    fn are_ending(&self) -> bool {
        let has_come = |process| !self.before.contains(process);
        let mut last = self.last.iter();
        !last.any(|process| has_come(process) || process.lives_on())
    }

    /// The command's own process, if that has not ended.
    fn leader_alive(&self) -> Option<Process> {
        let leader = self.leader.filter(|leader| !leader.is_reaped)?;
        let stat = proc::stat(leader.pid)?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let is_alive = matches!(waitid(WaitId::PidFd(leader.process), options), Ok(None));
        is_alive.then_some(stat.process)
    }

    /// Whether an orphan is known to be of the run by its mark or its session.
    fn is_known(&self, stat: &proc::Stat, mark: Option<Mark>) -> bool {
        let is_in_session = |leader: SessionLeader<'_>| {
            let number = leader.pid.as_raw_nonzero().get();
            stat.session == number && leader.has_its_number()
        };
        let has_mark = self.run.is_some_and(|run| mark == Some(run.mark));
        has_mark || self.leader.is_some_and(is_in_session)
    }

    /// Whether a mark is that of another run of this process.
    fn is_of_another(&self, mark: Option<Mark>) -> bool {
        let both = self.run.zip(mark);
        both.is_some_and(|(run, mark)| mark != run.mark && mark.is_of(ClientIdentity::own()))
    }

    fn is_named(&self, environment: &[u8]) -> bool {
        self.run.is_some_and(|run| run.is_in(environment))
    }

    /// Kills the command's first group at once; returns whether there was a process in it.
    fn kill_group(&self) -> bool {
        let Some(leader) = self.leader else {
            return false;
        };
        if test_kill_process_group(leader.pid).is_err() || !leader.has_its_number() {
            return false;
        }
        kill_process_group(leader.pid, Signal::KILL).is_ok() && leader.is_reaped
    }

    /// What became of them, after the last scan.
    fn finish(self, is_clean: bool) -> SweepResult {
        let (mut running, mut ended) = (Vec::new(), self.seen);
        let mut shown = Vec::new();
        let mut fleeing = self.last.difference(&self.before).count();
        for process in self.last {
            let Some(descriptor) = process.open().filter(|d| !proc::is_readable(d)) else {
                continue;
            };
            ended.remove(&process);
            fleeing -= usize::from(!self.before.contains(&process));
            shown.push(process.shown());
            running.push(descriptor);
        }
        if fleeing > 0 {
            log::warn!(
                "what a command has started forks faster than it is ended; its slot stays taken \
                 until then"
            );
        }
        if !shown.is_empty() {
            shown.truncate(NAMED);
            let shown = shown.join(", ");
            log::warn!(
                "of what a command has started, {} cannot be ended; its slot stays taken until \
                 then: {shown}",
                running.len()
            );
        }
        SweepResult {
            ended: ended.len().try_into().unwrap_or(u32::MAX),
            running,
            fleeing,
            is_clean,
        }
    }
}

impl SessionLeader<'_> {
    /// Whether its number still names the session and the group of its command. As long as a
    /// process is in either, the system does not give the number again; a process that has it
    /// after the leader was reaped is a stranger.
    fn has_its_number(self) -> bool {
        !self.is_reaped || pidfd_open(self.pid, PidfdFlags::empty()).is_err()
    }
}

/// Waits until a process has ended, or its grace is over.
fn wait_for_end(process: Process) {
    if let Some(process) = process.open() {
        proc::is_readable_within(&process, GRACE);
    }
}

/// The children of our first thread, without those of our own session, and those of a session
/// outside the container that this process is the first of: no command started these. A command has
/// a session of its own, and nothing that it starts gets back into ours.
fn orphans() -> Vec<Pid> {
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if matches!(waitid(WaitId::All, any), Err(Errno::CHILD)) {
        // There are no children at all. To know that costs less than to read their list.
        return Vec::new();
    }
    let own = session(None);
    let is_left = |child: &Pid| {
        let session = session(Some(*child));
        session != own && session != Some(OUTSIDE)
    };
    let children = proc::children_of_thread(getpid()).into_iter();
    children.filter(is_left).collect()
}

/// The session of a process, or of this one; [`OUTSIDE`], which is the number of none, if it is one
/// that this process's namespace does not have.
fn session(of: Option<Pid>) -> Option<i32> {
    let of = of.map(|pid| nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get()));
    nix::unistd::getsid(of).ok().map(nix::unistd::Pid::as_raw)
}
