//! What the system says of processes: `/proc`, and descriptors of processes.
//!
//! A process is named by its number and the moment of its start, since a number alone may mean
//! another process a moment later.

use super::identity::Mark;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::fs;
use std::time::Duration;

/// The flag in a process's `stat` that says that it is ending (`PF_EXITING`).
const EXITING: u64 = 1 << 2;

/// SIGKILL in a mask of signals.
const KILL: u64 = 1 << 8;

/// One process, whatever its number means later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// When it started, in ticks since the system did.
    started: u64,
}

/// What is said of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) process: Process,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// It has ended, and is not reaped yet.
    pub(crate) is_dead: bool,
    is_ending: bool,
}

/// What is said of the process that has a number.
pub(crate) fn stat(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name comes first, in brackets, and may itself have any character.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // Counted as proc(5) counts them: the state is the third.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |at| field(at).and_then(|field| field.parse::<i32>().ok());
    let large = |at| field(at).and_then(|field| field.parse::<u64>().ok());
    let is_dead = matches!(field(3)?, "Z" | "X");
    Some(Stat {
        process: Process {
            pid,
            started: large(22)?,
        },
        parent: number(4)?,
        session: number(6)?,
        is_dead,
        is_ending: is_dead || large(9)? & EXITING != 0,
    })
}

impl Process {
    /// Whether it lives, and nothing that has happened to it so far ends it.
    pub(crate) fn lives_on(self) -> bool {
        // In this order: a process that is killed has SIGKILL waiting for it, until it is ending.
        let is_killed = is_killed(self.pid);
        let stat = stat(self.pid).filter(|stat| stat.process == self);
        !is_killed && stat.is_some_and(|stat| !stat.is_ending)
    }

    /// A descriptor of it, if it is still there.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let process = pidfd_open(self.pid, PidfdFlags::empty()).ok()?;
        let is_it = stat(self.pid).is_some_and(|stat| stat.process == self);
        is_it.then_some(process)
    }

    /// Kills it, unless it has ended or the system does not allow it.
    pub(crate) fn kill(self) {
        if let Some(process) = self.open() {
            let _ = kill(&process);
        }
    }

    pub(crate) fn tree(self) -> HashSet<Process> {
        let mut tree = HashSet::from([self]);
        let mut unread = vec![self.pid];
        while let Some(parent) = unread.pop() {
            let children = children(parent).into_iter().filter_map(stat);
            for child in children.filter(|child| child.parent == parent.as_raw_nonzero().get()) {
                if tree.insert(child.process) {
                    unread.push(child.process.pid);
                }
            }
        }
        tree
    }

    /// Its name and number, for people.
    pub(crate) fn shown(self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        let name = common::terminal::escape::one_line(name.trim_end()).into_owned();
        format!("{name} (process {})", self.pid)
    }
}

pub(crate) fn kill(process: &OwnedFd) -> Result<(), Errno> {
    pidfd_send_signal(process, Signal::KILL)
}

/// Whether a descriptor can be read without waiting: that of a process once it has ended.
pub(crate) fn is_readable(fd: &OwnedFd) -> bool {
    is_readable_within(fd, Duration::ZERO)
}

/// Whether a descriptor can be read now or after a wait of up to so long.
pub(crate) fn is_readable_within(fd: &OwnedFd, wait: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let wait = Timespec::try_from(wait).unwrap_or_default();
    poll(&mut fds, Some(&wait)).is_ok() && fds[0].revents().contains(PollFlags::IN)
}

/// Whether SIGKILL waits for a process, as it does from when any signal was sent that ends it.
fn is_killed(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
    let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    pending.is_some_and(|mask| mask & KILL != 0)
}

fn children(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| numbers(&list)).collect()
}

/// The children of one thread of this process: its first one, if it has the process's number.
pub(crate) fn children_of_thread(thread: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/self/task/{thread}/children"));
    numbers(&list.unwrap_or_default())
}

/// The processes of the system, as far as it shows them.
pub(crate) fn all() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}

fn numbers(list: &str) -> Vec<Pid> {
    let numbers = list.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}

/// The mark that a process has, if it has one. `/proc` says it to every user, also of a process
/// of another user, while the environment is for its own user.
pub(crate) fn mark(pid: Pid) -> Option<Mark> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    Mark::of_limit(line.split_whitespace().next()?.parse().ok()?)
}

/// The environment that a process began its program with; empty if we may not see it.
pub(crate) fn environment(pid: Pid) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}
