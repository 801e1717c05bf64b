//! What a command leaves behind: processes of its group, and those that left the group but
//! are known by their mark or by the `PECKING_ID` in their environment. None of them survives
//! the command.
//!
//! This process is the subreaper of all that its commands start (`prctl(2)`,
//! `PR_SET_CHILD_SUBREAPER`), so who loses his parent becomes a child of ours, namely of our
//! first thread; commands themselves are children of the threads that started them. So an
//! orphan is told from a command by where it stands in `/proc`.
//!
//! The mark is for those that shed their environment, as daemons do: a limit that limits
//! nothing ([`Mark`]), which `fork` and `execve` pass on like every limit. One that has set
//! that back, too, says nothing of whose it is. It belongs to the only command that runs, if
//! there is but one; otherwise it lives until nothing runs.

use super::census;
use super::spawn::Mark;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, getsid,
    kill_process_group, pidfd_open, pidfd_send_signal, test_kill_process_group, waitid, waitpid,
};
use std::fs;
use std::time::{Duration, Instant};

/// The variable by which an orphan is known to belong to one run of one command.
pub(crate) const ID_VARIABLE: &str = "PECKING_ID";

/// How long what was killed may take to be gone. A process that takes longer is in the hands
/// of the kernel; it is reaped when it ends.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long to wait before looking again whether those are gone that were killed.
const PAUSE: Duration = Duration::from_millis(1);

/// How often one is looked at again that has no mark and an empty environment: a process that
/// is just becoming another program has none for a moment.
const BLANK_LOOKS: u32 = 5;

/// Kills what is left of a command: its group, whose first process was reaped already, and
/// its orphans. Says whether there was nothing, as is usual, and is nothing of others' either:
/// who outlives all commands is nobody's to end.
pub(crate) fn end(group: Pid, run: &Run) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let (mut looks, mut were_some, mut is_clean) = (0, false, true);
    loop {
        let in_group = kill_group(group);
        let Left {
            found,
            blank,
            others,
        } = kill_orphans(Whose::Of(run));
        is_clean &= !others;
        looks += u32::from(blank);
        let are_some = in_group || found;
        // The system's list of children may leave one out while others end (proc(5)), so
        // where there were some it is looked once more.
        if !are_some && !were_some && (!blank || looks > BLANK_LOOKS) {
            return is_clean;
        }
        is_clean = false;
        were_some = are_some;
        if Instant::now() >= deadline {
            log::warn!("some of what a command started cannot be ended (group {group})");
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Kills a group whose leader was reaped; says whether there was anybody in it.
///
/// As long as somebody is in the group its number is not given again, so a process of that
/// number is a stranger, and then the group is not ours any more.
fn kill_group(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() || pidfd_open(group, PidfdFlags::empty()).is_ok() {
        return false;
    }
    kill_process_group(group, Signal::KILL).is_ok()
}

/// By what the processes of one run are known.
#[derive(Debug)]
pub(crate) struct Run {
    /// The value of [`ID_VARIABLE`], which no other run has, on this machine or since it
    /// started.
    pub(crate) id: String,
    /// The mark, which no other run has that this process knows of.
    pub(crate) mark: Mark,
}

/// Whose orphans to end.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// Those of one run, which has not ended yet.
    Of(&'a Run),
    /// Those of runs that have all ended.
    Nobodys,
}

/// What orphans there were.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Some that were reaped or killed.
    found: bool,
    /// Some that do not say whose they are.
    blank: bool,
    /// Some that are not known to be its own, and live.
    others: bool,
}

/// Kills and reaps orphans; says whether there were any, because then there may be others
/// now: what they had started is orphaned in its turn. Orphans of other commands that have
/// ended by themselves are reaped on the way.
fn kill_orphans(whose: Whose<'_>) -> Left {
    let before = census::now();
    let orphans = orphans();
    let mut left = Left::default();
    let mut strangers = Vec::new();
    for orphan in orphans {
        // Before it is looked at: whatever its number means later, this is the process that
        // is killed.
        let Ok(process) = pidfd_open(orphan, PidfdFlags::empty()) else {
            continue;
        };
        match waitpid(Some(orphan), WaitOptions::NOHANG) {
            Ok(None) => {}
            Ok(Some(_)) => {
                left.found = true;
                continue;
            }
            Err(_) => continue,
        }
        let mark = mark(orphan);
        let environment = environment(orphan);
        match whose {
            Whose::Of(run) if mark == Some(run.mark) || names(&environment, &run.id) => {
                left.found = true;
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
            _ => {
                left.blank |= mark.is_none() && environment.is_empty();
                strangers.push(process);
            }
        }
    }
    let expected = match whose {
        Whose::Of(_) => 1,
        Whose::Nobodys => 0,
    };
    // As many ran all the time as ought to, so nobody else can have brought them here.
    let are_known = before == census::now() && before.running == expected;
    if are_known {
        left.found |= !strangers.is_empty();
        for process in strangers {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    } else {
        left.others = !strangers.is_empty();
    }
    left
}

/// Reaps orphans that have ended, and ends those that outlived all commands; says whether
/// there are others.
pub(crate) fn reap() -> bool {
    kill_orphans(Whose::Nobodys);
    !orphans().is_empty()
}

/// The children of our first thread, but for those of our own session: these the program was
/// started with, or has started itself, and no command had anything to do with them. A command
/// has a session of its own, and nothing that it starts gets back into ours.
fn orphans() -> Vec<Pid> {
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if matches!(waitid(WaitId::All, any), Err(Errno::CHILD)) {
        // There are no children at all, which costs less to know than to read who they are.
        return Vec::new();
    }
    let (me, session) = (getpid(), getsid(None));
    let children = fs::read_to_string(format!("/proc/self/task/{me}/children"));
    let children = children.unwrap_or_default();
    let numbers = children
        .split_whitespace()
        .filter_map(|number| number.parse().ok());
    let children = numbers.filter_map(Pid::from_raw);
    children
        .filter(|child| getsid(Some(*child)) != session)
        .collect()
}

/// The mark that a process has, if it has one. `/proc` says it to everybody, also of a process
/// of another user, whose environment it keeps to itself.
fn mark(process: Pid) -> Option<Mark> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    Mark::of_limit(line.split_whitespace().next()?.parse().ok()?)
}

fn environment(process: Pid) -> Vec<u8> {
    fs::read(format!("/proc/{process}/environ")).unwrap_or_default()
}

/// Whether an environment is that of something that a run has started.
fn names(environment: &[u8], id: &str) -> bool {
    let wanted = format!("{ID_VARIABLE}={id}");
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == wanted.as_bytes())
}
